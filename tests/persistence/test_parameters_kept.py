"""Parameters of any kind that a hasher takes come back, with the trust they need."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.callback import ProgressBar

from sklhash import DPSH, DSDH, NINH, SDH, CIBHash, OrthoHash
from sklhash.training.augment import (
    FeatureAugmentation,
    FeatureDropout,
    FeatureMixup,
    GaussianNoise,
)
from sklhash.training.checkpoints import Checkpoint
from tests.hashers.methods import HASHERS, SEEDED
from tests.ids import plain
from tests.persistence.same import assert_same, saved
from tests.persistence.small import X, fitted, small, y

# PCAH has no more than that many bits of its own.
pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")


@dataclass(frozen=True)
class Shift(FeatureAugmentation):
    """Moves the features, by much or by little."""

    by: float = 0.5
    times: int = 2

    def __call__(self, x, standardize, generator):
        noise = torch.rand(x.shape[0], 1, generator=generator)
        return x + self.by * self.times * noise


def halved(epoch, max_epochs):
    return 0.5**epoch


def reversed_features(x):
    return x.flip(1)


def plain_descent(parameters, **settings):
    return torch.optim.SGD(parameters, **settings)


def assert_alike(loaded, hasher):
    assert_same(loaded, hasher)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    for model in (loaded, hasher):
        model.set_params(warm_start=True).fit(X, y)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))


CODEBOOK = np.sign(np.random.default_rng(1).standard_normal((3, 8))).astype(int)
PLAIN = [
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (5, 4)},
    {"hidden_layer_sizes": [5, 4]},
    {"hidden_layer_sizes": np.array([5, 4])},
    {"n_bits": np.int64(8), "lr": np.float32(0.01), "max_epochs": np.uint8(2)},
    {"lr": np.float64(0.01), "batch_size": np.int32(20), "verbose": np.bool_(False)},
    {"random_state": None},
    {"random_state": np.random.RandomState(3)},
    {"device": torch.device("cpu")},
    {"device": "auto"},
    {"augment": None},
    {"augment": "gaussian"},
    {"augment": GaussianNoise(0.25)},
    {"augment": FeatureDropout(0.1)},
    {"augment": FeatureMixup(0.2)},
    {"optimizer": torch.optim.RMSprop},
    {"optimizer": torch.optim.Rprop, "weight_decay": 0},
    {"net_params": {}},
    {"net_params": {"optimizer__betas": (0.8, 0.9)}},
    {"net_params": {"optimizer__amsgrad": True, "optimizer__eps": 1e-7}},
    {"lr_schedule": "step"},
    {"validation_fraction": 0.2, "n_iter_no_change": 1},
    {"precision": "bf16"},
    {"warm_start": True},
    {"optimizer": np.str_("sgd"), "packed": np.bool_(True)},
]


@pytest.mark.parametrize("parameters", PLAIN, ids=plain)
def test_plain_parameters_need_no_trust(parameters, tmp_path):
    hasher = small(OrthoHash, **{"max_epochs": 3, **parameters}).fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.get_params(), hasher.get_params())
    assert_alike(loaded, hasher)


@pytest.mark.parametrize(
    ("parameters", "trusted"),
    [
        ({"augment": Shift(0.25)}, Shift),
        ({"augment": reversed_features}, reversed_features),
        ({"lr_schedule": halved}, halved),
        ({"optimizer": plain_descent}, plain_descent),
    ],
    ids=plain,
)
def test_functions_and_classes_come_back_with_trust(parameters, trusted, tmp_path):
    hasher = small(OrthoHash, **parameters).fit(X, y)
    loaded = saved(hasher, tmp_path, trusted=[trusted])
    assert_alike(loaded, hasher)
    with pytest.raises(ValueError, match=f"trusted=\\[{trusted.__name__}\\]"):
        saved(hasher, tmp_path)


@pytest.mark.parametrize(
    "path",
    ["runs", Path("runs"), Checkpoint("runs"), Checkpoint(Path("runs"), every=2)],
)
def test_a_checkpoint_is_kept_as_where_it_was(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hasher = small(OrthoHash, checkpoint=path).fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.checkpoint, path)
    assert_alike(loaded, hasher)


@pytest.mark.parametrize("dtype", [int, np.int8, float])
def test_a_codebook_of_the_user_comes_back(dtype, tmp_path):
    hasher = small(OrthoHash, codebook=CODEBOOK.astype(dtype)).fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.codebook, hasher.codebook)
    assert_same(loaded.codebook_, hasher.codebook_)
    assert_alike(loaded, hasher)


@pytest.mark.parametrize("cls", SEEDED, ids=lambda cls: cls.__name__)
def test_a_random_state_goes_on_drawing(cls, tmp_path):
    hasher = fitted(small(cls, random_state=np.random.RandomState(0)))
    loaded = saved(hasher, tmp_path)
    for model in (loaded, hasher):
        model.fit(X, y)
    assert_same(loaded.random_state, hasher.random_state)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))


@pytest.mark.parametrize(
    ("cls", "parameters"),
    [
        (NINH, {"margin": 2, "epsilon": 0.25}),
        (SDH, {"gamma": np.float32(0.01), "max_samples": np.int16(50)}),
        (DSDH, {"validation_fraction": 0.2}),
        (DPSH, {"validation_fraction": 0.2}),
    ],
)
def test_parameters_of_some_methods_come_back(cls, parameters, tmp_path):
    hasher = small(cls, **parameters).fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded, hasher)
    assert_same(loaded.transform(X), hasher.transform(X))


@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
def test_what_was_changed_since_the_fit_waits_for_the_next_one(cls, tmp_path):
    changes = {"n_bits": 5, "hidden_layer_sizes": (3, 3), "n_anchors": 7}
    names = cls().get_params().keys()
    hasher = fitted(small(cls))
    hasher.set_params(**{name: changes[name] for name in names & changes.keys()})
    loaded = saved(hasher, tmp_path)
    assert_same(loaded, hasher)
    assert_same(loaded.transform(X), hasher.transform(X))
    assert_same(loaded.fit(X, y).transform(X), hasher.fit(X, y).transform(X))


def test_an_accelerator_stays_behind(make_accelerator, tmp_path):
    hasher = small(CIBHash, accelerator=make_accelerator()).fit(X)
    loaded = saved(hasher, tmp_path)
    assert loaded.accelerator is None
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    loaded.partial_fit(X)
    assert loaded.n_iter_ == 4


def test_callbacks_of_scikit_learn_stay_behind(tmp_path):
    hasher = small(OrthoHash).set_callbacks(ProgressBar())
    hasher.fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    assert not hasattr(loaded, "_skl_callbacks")
    loaded.partial_fit(X, y)


def test_requests_of_metadata_stay_behind(tmp_path):
    with config_context(enable_metadata_routing=True):
        hasher = small(DPSH).set_fit_request(pairs=True).fit(X, y)
        loaded = saved(hasher, tmp_path)
        assert not hasattr(loaded, "_metadata_request")
        assert_same(loaded.transform(X), hasher.transform(X))
