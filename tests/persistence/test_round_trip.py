"""A hasher that comes back from a file is the one that was saved."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone

import sklhash
from sklhash import DSDH, SDH, DeepHasher, OrthoHash
from sklhash._state import fitted_attributes
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, HASHERS, STREAMING
from tests.persistence.same import assert_same, saved
from tests.persistence.small import (
    LABELS,
    PAIRS,
    X,
    fitted,
    learns_from_pairs,
    small,
    y,
)

# PCAH has no more than that many bits of its own.
pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


all_hashers = each_of(HASHERS)
deep_hashers = each_of(DEEP_HASHERS)
FRAMES = {
    "pandas": pd.DataFrame(X, columns=[f"feature {i}" for i in range(12)]),
    "polars": pl.DataFrame(X, schema=[f"f{i}" for i in range(12)]),
}


@pytest.mark.parametrize(
    ("cls", "labels"),
    [
        *((cls, labels) for cls in HASHERS for labels in LABELS),
        *((cls, "pairs") for cls in HASHERS if learns_from_pairs(cls)),
    ],
    ids=str,
)
def test_a_loaded_hasher_is_the_saved_one(cls, labels, tmp_path):
    hasher = fitted(small(cls), labels)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.get_params(), hasher.get_params())
    assert_same(loaded, hasher)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    assert_same(loaded.transform(X), hasher.transform(X))
    assert_same(loaded.score(X, y), hasher.score(X, y))
    if hasattr(hasher, "predict"):
        assert_same(loaded.predict(X), hasher.predict(X))


@each_of([SDH, DSDH, OrthoHash])
def test_what_only_some_hashers_have_comes_back(cls, tmp_path):
    hasher = fitted(small(cls))
    loaded = saved(hasher, tmp_path)
    for name in dir(cls):
        if name.endswith("_") and not name.startswith("_"):
            assert_same(getattr(loaded, name), getattr(hasher, name), name)


@all_hashers
@pytest.mark.parametrize("form", ["csr", "float64", "ints"])
def test_a_fit_on_other_forms_of_features_comes_back(cls, form, tmp_path):
    forms = {
        "csr": sparse.csr_array(np.where(X > 0, X, 0)),
        "float64": X.astype(np.float64),
        "ints": (10 * X).astype(np.int16),
    }
    hasher = small(cls).fit(forms[form], y)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded, hasher)
    assert_same(
        loaded.decision_function(forms[form]), hasher.decision_function(forms[form])
    )


@all_hashers
def test_all_that_a_fit_sets_is_declared(cls):
    hasher = small(cls).fit(FRAMES["pandas"], y)
    names = fitted_attributes(hasher).keys()
    if isinstance(hasher, DeepHasher):
        names -= hasher._attributes_of(hasher.net_).keys()
    required = {
        name
        for name, check in cls._fitted.items()
        if not getattr(check, "may_be_absent", False)
    }
    assert required <= names <= cls._fitted.keys()


@all_hashers
@pytest.mark.parametrize("labels", ["ints", "multi-label"])
def test_saved_again_it_has_the_same_bytes(cls, labels, tmp_path):
    paths = [tmp_path / "once", tmp_path / "twice"]
    sklhash.save(fitted(small(cls), labels), paths[0])
    sklhash.save(sklhash.load(paths[0]), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


@all_hashers
@pytest.mark.parametrize("mmap_mode", ["r", "c"])
def test_a_mapped_hasher_is_the_saved_one(cls, mmap_mode, tmp_path):
    hasher = fitted(small(cls))
    before = hasher.decision_function(X)
    loaded = saved(hasher, tmp_path, mmap_mode=mmap_mode, verify=False)
    assert_same(loaded, hasher)
    assert_same(loaded.decision_function(X), before)
    content = (tmp_path / "model.sklhash").read_bytes()
    loaded.fit(X, y)
    if hasattr(loaded, "partial_fit"):
        loaded.partial_fit(X, y)
    assert (tmp_path / "model.sklhash").read_bytes() == content


@pytest.mark.parametrize("labels", ["ints", "object strings", "multi-label"])
@each_of(STREAMING)
def test_partial_fit_goes_on_as_if_it_had_never_been_away(cls, labels, tmp_path):
    chunk = X[:40] + 1, LABELS[labels][:40]
    hasher = small(cls).partial_fit(X, LABELS[labels])
    loaded = saved(hasher, tmp_path)
    for _ in range(2):
        hasher.partial_fit(*chunk)
        loaded.partial_fit(*chunk)
    assert_alike(loaded, hasher)


@pytest.mark.parametrize(
    ("cls", "labels"),
    [
        *((cls, labels) for cls in DEEP_HASHERS for labels in ("ints", "multi-label")),
        *((cls, "pairs") for cls in DEEP_HASHERS if learns_from_pairs(cls)),
    ],
    ids=str,
)
def test_a_warm_start_goes_on_as_if_it_had_never_been_away(cls, labels, tmp_path):
    hasher = fitted(small(cls, warm_start=True, lr_schedule="cosine"), labels)
    loaded = saved(hasher, tmp_path)
    known = {"pairs": PAIRS} if labels == "pairs" else {"y": LABELS[labels]}
    for model in (loaded, hasher):
        model.set_params(max_epochs=3).fit(X, **known)
    assert loaded.n_iter_ == 5
    assert_alike(loaded, hasher)


def assert_alike(loaded, hasher):
    """All but the seconds that epochs took."""
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    for name in ("loss_curve_", "classes_", "n_iter_"):
        if hasattr(hasher, name):
            assert_same(getattr(loaded, name), getattr(hasher, name))


@each_of(DEEP_STREAMING)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_every_optimizer_goes_on(cls, optimizer, tmp_path):
    settings = {"optimizer": optimizer, "lr": 0.01, "weight_decay": 0.1}
    hasher = fitted(small(cls, **settings))
    loaded = saved(hasher, tmp_path)
    assert_same(loaded, hasher)
    assert_alike(loaded.partial_fit(X, y), hasher.partial_fit(X, y))


@all_hashers
def test_a_clone_of_it_fits_alike(cls, tmp_path):
    hasher = fitted(small(cls))
    again = fitted(saved(hasher, tmp_path))
    assert_same(again.transform(X), hasher.transform(X))
    assert_same(again.get_params(), clone(hasher).get_params())


@all_hashers
@pytest.mark.parametrize("library", FRAMES)
def test_names_and_the_form_of_the_output_come_back(cls, library, tmp_path):
    hasher = small(cls).fit(FRAMES[library], y).set_output(transform=library)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.feature_names_in_, hasher.feature_names_in_)
    assert_same(loaded.transform(FRAMES[library]), hasher.transform(FRAMES[library]))
    assert_same(loaded, hasher)
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(FRAMES[library][FRAMES[library].columns[::-1]])


@all_hashers
def test_packed_codes_come_back(cls, tmp_path):
    hasher = small(cls, 12, packed=True).set_output(transform="default")
    hasher = fitted(hasher)
    loaded = saved(hasher, tmp_path)
    assert_same(loaded.transform(X), hasher.transform(X))
    assert_same(loaded.get_feature_names_out(), hasher.get_feature_names_out())


@each_of([cls for cls in HASHERS if cls not in STREAMING])
def test_what_does_not_stream_does_not_stream_later(cls, tmp_path):
    assert not hasattr(saved(fitted(small(cls)), tmp_path), "partial_fit")


@deep_hashers
def test_a_loaded_hasher_is_saved_pickled_and_copied_as_any(cls, tmp_path):
    loaded = saved(fitted(small(cls)), tmp_path)
    for again in (
        pickle.loads(pickle.dumps(loaded)),
        copy.deepcopy(loaded),
        saved(loaded, tmp_path),
    ):
        assert_same(again.decision_function(X), loaded.decision_function(X))
