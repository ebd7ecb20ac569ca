"""Searches come back from a file, with codes, labels and the vectors they rank by."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklhash
from sklhash import ITQ, LSH, HammingNeighbors, HashedNeighbors, OrthoHash, pack_codes
from sklhash.neighbors import hashed, stored
from tests.persistence.same import assert_same, saved
from tests.persistence.small import X, small, y

MODES = [None, "r", "c"]
rng = np.random.default_rng(0)
CODES = rng.integers(2, size=(900, 70), dtype=np.uint8)
VALUES = rng.standard_normal((900, 70))
CLASSES = np.arange(900) % 3
NAMES = np.array(["cat", "dög", ""], dtype=object)
INDICATOR = np.eye(3, dtype=np.int8)[CLASSES]

LABELS = {
    "none": None,
    "ints": CLASSES,
    "small ints": CLASSES.astype(np.uint8),
    "large ints": CLASSES.astype(np.uint64) + 2**63,
    "floats": CLASSES.astype(np.float32),
    "bools": CLASSES > 0,
    "fixed width": NAMES.astype("U5")[CLASSES],
    "other byte order": NAMES.astype(">U5")[CLASSES],
    "StringDType": NAMES.astype(np.dtypes.StringDType())[CLASSES],
    "objects": NAMES[CLASSES],
    "a series": pd.Series(NAMES[CLASSES]),
    "objects that are bools": (CLASSES > 0).astype(object),
    "indicator": INDICATOR,
    "sparse indicator": sparse.csr_array(INDICATOR),
    "sparse matrix": sparse.csr_matrix(INDICATOR.astype(bool)),
}
READINGS = {
    "bits": ({}, CODES),
    "packed": ({"packed": True}, pack_codes(CODES)),
    "threshold": ({"threshold": 0.25}, VALUES),
}
CHANGES = {
    "none": [],
    "some": [np.arange(100, 200)],
    "most": [np.arange(100, 700)],
    "all": [np.arange(900)],
    "in two steps": [np.arange(0, 600), np.arange(601, 899)],
}


def assert_finds_the_same(found, wanted, queries):
    assert_same(found, wanted)
    if wanted.n_live_:
        assert_same(
            found.kneighbors(queries[:50], 1), wanted.kneighbors(queries[:50], 1)
        )
        assert_same(
            [*found.radius_neighbors(queries[:9], 30)],
            [*wanted.radius_neighbors(queries[:9], 30)],
        )
        if wanted.y_ is not None:
            labels = wanted.y_[:50]
            assert found.score(queries[:50], labels) == wanted.score(
                queries[:50], labels
            )


@pytest.mark.parametrize("mmap_mode", MODES)
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("reading", READINGS)
def test_a_search_finds_what_it_found(reading, changes, mmap_mode, tmp_path):
    parameters, codes = READINGS[reading]
    search = HammingNeighbors(7, radius=30, n_jobs=2, **parameters)
    search.fit(codes[:400], CLASSES[:400]).partial_fit(codes[400:], CLASSES[400:])
    for rows in CHANGES[changes]:
        search.remove(rows)
    loaded = saved(search, tmp_path, mmap_mode=mmap_mode)
    assert_finds_the_same(loaded, search, codes)
    for model in (loaded, search):
        model.partial_fit(codes[:9], CLASSES[:9]).remove([900, 905])
    assert_finds_the_same(loaded, search, codes)
    assert_same(saved(loaded, tmp_path), search)


@pytest.mark.parametrize("mmap_mode", ["r", None])
@pytest.mark.parametrize("labels", LABELS)
def test_labels_of_any_kind_come_back(labels, mmap_mode, tmp_path):
    search = HammingNeighbors().fit(CODES, LABELS[labels])
    loaded = saved(search, tmp_path, mmap_mode=mmap_mode)
    if labels == "other byte order":
        np.testing.assert_array_equal(loaded.y_, search.y_)
        return
    assert_finds_the_same(loaded, search, CODES)
    for model in (loaded, search):
        y = LABELS[labels]
        model.partial_fit(CODES[:9], None if y is None else y[:9]).remove([3])
    assert_finds_the_same(loaded, search, CODES)


@pytest.mark.parametrize("mmap_mode", MODES)
def test_an_index_of_several_tables_is_made_again(mmap_mode, tmp_path):
    search = HammingNeighbors(3, radius=4, algorithm="multi_index", mode="distance")
    search.fit(CODES[:, :32]).radius_neighbors(CODES[:9, :32])
    loaded = saved(search, tmp_path, mmap_mode=mmap_mode)
    assert loaded.algorithm_ == "multi_index"
    queries = CODES[:99, :32]
    assert_same(loaded.radius_neighbors(queries), search.radius_neighbors(queries))
    assert_same(loaded, search)


def test_a_search_has_its_own_save_and_load(tmp_path):
    search = HammingNeighbors(3).fit(CODES, CLASSES)
    search.save(tmp_path / "own")
    sklhash.save(search, tmp_path / "general")
    assert (tmp_path / "own").read_bytes() == (tmp_path / "general").read_bytes()
    for mmap_mode in MODES:
        loaded = HammingNeighbors.load(tmp_path / "general", mmap_mode)
        assert_same(loaded, search)
        assert loaded._stored.table.planes.flags.writeable == (mmap_mode != "r")
    with pytest.raises(ValueError, match=r"holds a LSH, not a HammingNeighbors"):
        HammingNeighbors.load(path_of_hasher(tmp_path))


def path_of_hasher(folder):
    sklhash.save(small(LSH).fit(X), folder / "hasher")
    return folder / "hasher"


class Counting(HammingNeighbors):
    """A search with something of its own."""

    def fit(self, X, y=None):
        self.n_fits_ = 1
        return super().fit(X, y)


def test_a_search_of_others_comes_back_by_its_own_load(tmp_path):
    search = Counting().fit(CODES)
    search.save(tmp_path / "search")
    loaded = Counting.load(tmp_path / "search")
    assert_same(loaded, search)
    assert loaded.n_fits_ == 1
    with pytest.raises(ValueError, match=r"Counting.*trusted=\[Counting\]"):
        HammingNeighbors.load(tmp_path / "search")


def test_parameters_and_names_of_columns_come_back(tmp_path):
    frame = LSH(16, random_state=0).set_output(transform="pandas").fit_transform(X)
    search = HammingNeighbors(
        np.int64(3), radius=np.uint8(2), threshold=np.float32(0.5), mode="distance"
    ).fit(frame)
    loaded = saved(search, tmp_path)
    assert_same(loaded.get_params(), search.get_params())
    assert_finds_the_same(loaded, search, frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.kneighbors(frame[frame.columns[::-1]])


def test_all_that_a_fit_of_a_search_sets_is_declared():
    codes = pd.DataFrame(CODES).rename(columns=str)
    for search, checks in (
        (HammingNeighbors().fit(codes), stored._FITTED),
        (HashedNeighbors(LSH(8), rerank="cosine").fit(X, y), hashed._FITTED),
    ):
        assert search._fitted_state().keys() == checks.keys()


FORMS = {
    "float32": X,
    "float64": X.astype(np.float64),
    "pandas": pd.DataFrame(X, columns=[f"x{i}" for i in range(12)]),
    "mixed pandas": pd.DataFrame({"a": X[:, 0], "b": (9 * X[:, 1]).astype(int)}),
    "polars": pl.DataFrame(X, schema=[f"x{i}" for i in range(12)]),
    "CSR array": sparse.csr_array(np.where(X > 0, X, 0)),
    "CSR matrix": sparse.csr_matrix(np.where(X > 0, X, 0)),
    "CSC": sparse.csc_array(np.where(X > 0, X, 0)),
    "lists": X.tolist(),
}


def some(form, rows):
    return form[rows] if not sparse.issparse(form) else form.tocsr()[rows]


def assert_ranks_the_same(found, wanted, queries):
    assert_same(found, wanted)
    assert_same(found.kneighbors(queries, 5), wanted.kneighbors(queries, 5))
    assert_same(found.radius_neighbors(queries, 3), wanted.radius_neighbors(queries, 3))


@pytest.mark.parametrize("mmap_mode", ["r", None])
@pytest.mark.parametrize("rerank", [None, "cosine", "euclidean", "asymmetric"])
@pytest.mark.parametrize("form", FORMS)
def test_an_index_of_vectors_ranks_as_before(form, rerank, mmap_mode, tmp_path):
    rows = FORMS[form]
    index = HashedNeighbors(ITQ(2, random_state=0), rerank=rerank, n_candidates=9)
    index.fit(some(rows, slice(0, 40)), y[:40])
    index.add(some(rows, slice(40, 60)), y[40:]).remove([3, 45])
    loaded = saved(index, tmp_path, mmap_mode=mmap_mode)
    assert_ranks_the_same(loaded, index, rows)
    assert loaded.score(rows, y) == index.score(rows, y)
    for model in (loaded, index):
        model.add(some(rows, slice(0, 9)), y[:9]).remove([60])
    assert_ranks_the_same(loaded, index, rows)
    assert_same(saved(loaded, tmp_path), index)


HASHERS = {
    "a pipeline": make_pipeline(StandardScaler(), small(ITQ)),
    "a frozen hasher": FrozenEstimator(small(ITQ).fit(X)),
    "a frozen pipeline": FrozenEstimator(
        make_pipeline(StandardScaler(), small(OrthoHash)).fit(X, y)
    ),
    "a deep hasher": small(OrthoHash),
    "a packed hasher": small(ITQ, 12, packed=True),
}


@pytest.mark.parametrize("rerank", [None, "cosine", "asymmetric"])
@pytest.mark.parametrize("hasher", HASHERS)
def test_an_index_comes_back_with_its_hasher(hasher, rerank, tmp_path):
    search = HammingNeighbors(4, radius=2)
    index = HashedNeighbors(clone(HASHERS[hasher]), search, rerank).fit(X, y)
    loaded = saved(index, tmp_path)
    assert_ranks_the_same(loaded, index, X)
    assert loaded.score(X, y) == index.score(X, y)
    assert_same(loaded.pack(X), index.pack(X))
    again = clone(loaded).fit(X, y)
    assert_same(again.kneighbors(X), index.kneighbors(X))
    loaded.hasher_.fit(X[::-1] ** 2, y)
    if not isinstance(loaded.hasher_, FrozenEstimator):
        with pytest.raises(ValueError, match="hasher has changed"):
            loaded.kneighbors(X)


def test_memory_mapped_vectors_come_into_the_file(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    index = HashedNeighbors(small(ITQ), rerank="cosine").fit(mapped, y)
    expected = index.kneighbors(X)
    sklhash.save(index, tmp_path / "index")
    del index, mapped
    (tmp_path / "X.npy").unlink()
    for mmap_mode in MODES:
        loaded = sklhash.load(tmp_path / "index", mmap_mode=mmap_mode)
        assert_same(loaded.kneighbors(X), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint64, bool])
def test_vectors_keep_their_dtype(dtype, tmp_path):
    rows = (X > 0).astype(dtype)
    index = HashedNeighbors(small(ITQ), rerank="euclidean").fit(rows, y)
    assert_ranks_the_same(saved(index, tmp_path), index, rows)


def test_an_index_that_lost_all_rows_comes_back(tmp_path):
    index = HashedNeighbors(small(ITQ), rerank="cosine").fit(X, y).remove(range(60))
    loaded = saved(index, tmp_path)
    assert_same(loaded, index)
    assert loaded.n_live_ == 0
    loaded.add(X[:9], y[:9])
    assert loaded.kneighbors(X[:1], 1)[1] == 60
