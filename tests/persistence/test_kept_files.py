"""Files of every format that there was are read for ever.

The real values were computed on one machine; others may differ in the last digits.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import sklhash
from sklhash import HammingNeighbors, HashedNeighbors
from tests.hashers.methods import HASHERS
from tests.persistence.saved.answers import answers, is_search

SAVED = Path(__file__).parent / "saved"
FILES = sorted(SAVED.glob("format-*/*.sklhash"))

# PCAH has no more than that many bits of its own.
pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")
every_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)


@cache
def told(folder):
    return json.loads((folder / "expected.json").read_text())


def rows_of(path):
    given = told(path.parent)
    return np.array(given["X"], dtype=np.float32), np.array(given["y"])


def test_every_class_has_a_file():
    stems = {path.stem for path in FILES}
    assert {cls.__name__ for cls in HASHERS} | {"search", "index"} <= stems
    assert sum(path.stat().st_size for path in FILES) < 300_000


@every_file
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_what_it_says_is_what_it_said(path, mmap_mode):
    X, _ = rows_of(path)
    expected = told(path.parent)["expected"][path.stem]
    found = answers(sklhash.load(path, mmap_mode=mmap_mode), X[:15])
    for name in ("class", "attributes"):
        assert found[name] == expected[name]
    # A later version may have more of them.
    assert expected["parameters"].items() <= found["parameters"].items()
    if "indices" in expected:
        assert found["indices"] == expected["indices"]
        np.testing.assert_allclose(found["distances"], expected["distances"], atol=1e-4)
        return
    values, wanted = np.array(found["values"]), np.array(expected["values"])
    tolerance = 1e-4 * np.abs(wanted).max()
    np.testing.assert_allclose(values, wanted, atol=tolerance)
    certain = np.abs(wanted) > 10 * tolerance
    assert certain.mean() > 0.9
    codes = sklhash.load(path).transform(X[:15])
    np.testing.assert_array_equal(codes[certain], (wanted > 0)[certain])


@every_file
def test_it_scores(path):
    X, y = rows_of(path)
    model = sklhash.load(path)
    last = model[-1] if hasattr(model, "steps") else model
    labels = y
    if getattr(last, "y_", np.empty(0)).dtype.kind in "OUT":
        labels = np.array(["cat", "dög", "eel"], dtype=object)[y]
    if isinstance(model, HammingNeighbors):
        bits = np.unpackbits(model.codes_, axis=1, bitorder="little")
        assert model.score(bits[model.live_], model.y_[model.live_]) > 0.5
    else:
        assert model.score(X, labels) > 0.5


@every_file
def test_it_goes_on(path):
    X, y = rows_of(path)
    model = sklhash.load(path)
    if isinstance(model, HashedNeighbors):
        model.add(X[:3], model.y_[:3]).remove([1])
        assert model.n_samples_fit_ == 63
    elif isinstance(model, HammingNeighbors):
        codes = np.unpackbits(model.codes_[:3], axis=1, bitorder="little")
        model.partial_fit(codes, model.y_[:3]).remove([1])
        assert model.n_samples_fit_ == 63
    elif not hasattr(model, "steps") and hasattr(model, "partial_fit"):
        labels = np.asarray(getattr(model, "classes_", np.arange(3)))[y]
        if getattr(model, "_multilabel", False):
            labels = np.eye(4, dtype=int)[y]
        n_epochs = getattr(model, "n_iter_", None)
        model.partial_fit(X, labels)
        if n_epochs is not None:
            assert model.n_iter_ == n_epochs + model.max_epochs
    if not is_search(model):
        labels = np.asarray(getattr(model, "classes_", np.arange(3)))[y]
        assert clone(model).fit(X, labels) is not model


@every_file
def test_it_is_written_anew(path, tmp_path):
    X, _ = rows_of(path)
    model = sklhash.load(path)
    sklhash.save(model, tmp_path / "again")
    assert answers(sklhash.load(tmp_path / "again"), X) == answers(model, X)
