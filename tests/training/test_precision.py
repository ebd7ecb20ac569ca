import pickle
import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklhash import DeepHasher, HashLoss, HashNet, OrthoHash
from sklhash.training.heads import HashHead
from tests.hashers.methods import DEEP_HASHERS, make


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600].astype(np.float32), y[:600]


class OutputLoss(HashLoss):
    """Notes what it is given."""

    def __init__(self):
        super().__init__()
        self.outputs = []

    def forward(self, output, y, index):
        self.outputs.append(output.detach())
        return (output.sigmoid() - output.sigmoid().mean(dim=0)).square().mean()


class OutputHash(DeepHasher):
    max_epochs = 2
    device = "cpu"

    def _make_loss(self, targets):
        return OutputLoss()


@pytest.mark.parametrize("backbone", [None, nn.Linear(64, 20)])
def test_the_network_trains_in_bf16_and_the_loss_in_float32(backbone, digits):
    hasher = OutputHash(8, backbone=backbone, precision="bf16", random_state=0)
    hasher.fit(*digits)
    outputs = torch.cat(hasher.net_.criterion_.outputs)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs.bfloat16().float(), outputs)
    whole = hasher.set_params(precision="float32").fit(*digits)
    outputs = torch.cat(whole.net_.criterion_.outputs)
    assert not torch.equal(outputs.bfloat16().float(), outputs)


@pytest.mark.parametrize("augment", ["gaussian", "dropout", "mixup"])
def test_features_in_bf16_are_augmented(augment, digits):
    hasher = OutputHash(8, backbone=nn.Linear(64, 20), augment=augment, random_state=0)
    hasher.set_params(precision="bf16").fit(*digits)
    outputs = torch.cat(hasher.net_.criterion_.outputs)
    assert torch.equal(outputs.bfloat16().float(), outputs)


@each_of(DEEP_HASHERS)
def test_what_was_trained_in_bf16_is_float32_and_encodes_in_float32(cls, digits):
    X, y = (part[:150] for part in digits)
    hasher = make(cls, precision="bf16").fit(X, y)
    assert np.isfinite(hasher.loss_curve_).all()
    for tensor in hasher.net_.module_.state_dict().values():
        assert tensor.dtype in (torch.float32, torch.int64)
    values = hasher.decision_function(X)
    assert values.dtype == np.float32
    exact = pickle.loads(pickle.dumps(hasher.net_.module_)).double().eval()
    with torch.no_grad():
        expected = exact(torch.from_numpy(X).double()).numpy()
    np.testing.assert_allclose(values, expected, atol=1e-4 * np.abs(expected).max())
    whole = make(cls).fit(X, y)
    assert (hasher.decision_function(X) != whole.decision_function(X)).any()


@each_of([OrthoHash, HashNet])
def test_bf16_learns_as_well(cls, digits):
    X, y = digits
    scores = [
        make(cls, 32, max_epochs=10, precision=precision)
        .fit(X[:400], y[:400])
        .score(X[400:], y[400:])
        for precision in ("float32", "bf16")
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.03)


@each_of([OrthoHash, HashNet])
def test_bf16_goes_on_in_a_stream_and_in_the_next_fit(cls, digits):
    X, y = digits
    hasher = make(cls, precision="bf16", warm_start=True).fit(X, y)
    hasher.partial_fit(X, y, n_epochs=1).fit(X, y)
    assert hasher.n_iter_ == 7
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


def test_other_precisions_are_refused(digits):
    with pytest.raises(ValueError, match="'precision' parameter"):
        make(OrthoHash, precision="float16").fit(*digits)


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="needs a C++ compiler"
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch itself
def test_a_compiled_network_learns_the_same_and_is_not_kept(digits):
    X, y = (part[:120] for part in digits)
    parameters = {"hidden_layer_sizes": (), "batch_size": 30, "augment": None}
    hasher = make(OrthoHash, compile=True, **parameters).fit(X, y)
    plain = make(OrthoHash, **parameters).fit(X, y)
    np.testing.assert_allclose(
        hasher.decision_function(X), plain.decision_function(X), atol=1e-3
    )
    assert (hasher.transform(X) == plain.transform(X)).mean() > 0.999
    module = hasher.net_.module_
    assert isinstance(module, HashHead)
    assert module.state_dict().keys() == plain.net_.module_.state_dict().keys()
    stored = pickle.loads(pickle.dumps(hasher))
    np.testing.assert_array_equal(stored.transform(X), hasher.transform(X))
    stored.partial_fit(X, y, n_epochs=1)
    assert stored.n_iter_ == 4
