"""Which models are the same for a store, and which are others."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import sklhash
from sklhash import CodeStore, pack_codes
from tests.hashers.methods import HASHERS
from tests.stores.encoded import Watched, X, files_in, fitted, stamps_in

pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")


def same_model_in_other_guises(hasher, folder):
    sklhash.save(hasher, folder / "model")
    yield sklhash.load(folder / "model")
    yield sklhash.load(folder / "model", mmap_mode="r")
    yield pickle.loads(pickle.dumps(hasher))
    settings = {"packed": True, "verbose": 3, "max_epochs": 9, "precision": "bf16"}
    changed = pickle.loads(pickle.dumps(hasher))
    known = {n: v for n, v in settings.items() if n in hasher.get_params()}
    yield changed.set_params(**known)


@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
def test_the_same_model_goes_on_in_any_guise(cls, tmp_path):
    hasher = fitted(cls)
    hasher.encode_to(tmp_path / "store", X[:9])
    before = stamps_in(tmp_path / "store")
    for same in same_model_in_other_guises(hasher, tmp_path):
        same.encode_to(tmp_path / "store", X[:9])
    assert stamps_in(tmp_path / "store") == before


def models_with_one_number_changed(hasher):
    """Yield the name of what was changed, and the model."""
    for name, value in vars(hasher).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fi":
            changed = pickle.loads(pickle.dumps(hasher))
            array = np.array(value)
            array.flat[0] += 1
            setattr(changed, name, array)
            yield name, changed
    if hasattr(hasher, "net_"):
        for name in hasher.net_.module_.state_dict():
            changed = pickle.loads(pickle.dumps(hasher))
            with torch.no_grad():
                weights = changed.net_.module_.state_dict()[name]
                weights.view(-1)[0] += 1
            yield name, changed


@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
def test_a_model_that_encodes_otherwise_is_refused(cls, tmp_path):
    hasher = fitted(cls)
    hasher.encode_to(tmp_path, X[:9])
    before, values, n_others = files_in(tmp_path), hasher.decision_function(X), 0
    for name, changed in models_with_one_number_changed(hasher):
        if np.array_equal(changed.decision_function(X), values):
            continue
        n_others += 1
        with pytest.raises(ValueError, match="another model"):
            changed.encode_to(tmp_path, X[:9])
        assert files_in(tmp_path) == before, name
    assert n_others > 1


def test_a_model_of_another_class_or_width_is_refused(tmp_path):
    fitted().encode_to(tmp_path, X)
    alike = pickle.loads(pickle.dumps(fitted()))
    alike.__class__ = Watched
    for other in (fitted(n_bits=20), alike):
        with pytest.raises(ValueError, match="stays as it is: .*another model"):
            other.encode_to(tmp_path, X)


GO_ON = """
import sys
import numpy as np
import sklhash
X = np.load(sys.argv[2])
for path in sys.argv[3:]:
    hasher = sklhash.load(path)
    hasher.encode_to(f"{sys.argv[1]}/{type(hasher).__name__}", X, shard_size=20)
"""


FAMILIES = [sklhash.PCAH, sklhash.SpectralHashing, sklhash.SDH, sklhash.OrthoHash]


def test_another_process_goes_on(tmp_path):
    np.save(tmp_path / "X.npy", X)
    unfinished = np.concatenate([X[:40], np.full_like(X[40:], np.nan)])
    for cls in FAMILIES:
        with pytest.raises(ValueError, match="NaN"):
            fitted(cls).encode_to(tmp_path / cls.__name__, unfinished, shard_size=20)
        sklhash.save(fitted(cls), tmp_path / f"{cls.__name__}.model")
    models = tmp_path.glob("*.model")
    script = [sys.executable, "-W", "error", "-c", GO_ON]
    subprocess.run([*script, tmp_path, tmp_path / "X.npy", *models], check=True)
    for cls in FAMILIES:
        expected = pack_codes(fitted(cls).transform(X))
        np.testing.assert_array_equal(CodeStore(tmp_path / cls.__name__), expected)
