"""Hashers encode Dask arrays and data frames block by block, when that is asked for."""

import os
import pickle
import signal
from contextlib import suppress

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_digits
from torch import nn

from sklhash import ITQ, LSH, HashedNeighbors, OrthoHash
from tests.hashers.methods import HASHERS, make

CHUNKS = ((1, 130, 0, 169, 100), (50, 14))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400].astype(np.float32), y[:400]


@pytest.fixture(scope="module")
def fitted(digits):
    return LSH(12, random_state=0).fit(digits[0])


@pytest.fixture(scope="module")
def frame(digits):
    return pd.DataFrame(digits[0]).add_prefix("pixel")


class Counted(LSH):
    """Notes down each time that it is unpickled, in whichever process."""

    notes: str | None = None

    def __setstate__(self, state):
        super().__setstate__(state)
        with open(self.notes, "a") as notes:
            notes.write("unpickled\n")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
def test_codes_are_those_of_the_same_rows_in_memory(cls, packed, digits, frame):
    X, y = digits
    hasher = make(cls, 12, packed=packed).fit(X, y)
    lazy = da.from_array(X, chunks=CHUNKS)
    codes, values = hasher.transform(lazy), hasher.decision_function(lazy)
    assert codes.chunks == (CHUNKS[0], (2 if packed else 12,))
    assert values.chunks == (CHUNKS[0], (12,))
    assert (codes.dtype, values.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(codes.compute(), hasher.transform(X), strict=True)
    np.testing.assert_array_equal(
        values.compute(), hasher.decision_function(X), strict=True
    )
    hasher.fit(frame, y)
    codes = hasher.transform(dd.from_pandas(frame, npartitions=3))
    assert np.isnan(codes.chunks[0]).tolist() == [True] * 3
    assert codes.chunks[1] == (2 if packed else 12,)
    np.testing.assert_array_equal(codes.compute(), hasher.transform(frame), strict=True)


def test_rows_of_any_rank_go_through_a_backbone(digits):
    X, y = digits
    images = X.reshape(-1, 1, 8, 8)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    hasher = make(OrthoHash, backbone=backbone).fit(images, y)
    lazy = da.from_array(images, chunks=(150, 1, 4, 8))
    codes = hasher.transform(lazy)
    assert codes.chunks == ((150, 150, 100), (16,))
    np.testing.assert_array_equal(codes.compute(), hasher.transform(images))


def test_blocks_are_sparse_matrices_too(fitted, digits):
    lazy = da.from_array(digits[0], chunks=(150, -1)).map_blocks(sparse.csr_matrix)
    np.testing.assert_array_equal(
        fitted.transform(lazy).compute(), fitted.transform(digits[0])
    )


def test_blocks_that_a_filter_left_empty_have_no_codes(frame):
    hasher = LSH(12, random_state=0).fit(frame)
    late = frame.index >= 300
    lazy = dd.from_pandas(frame.assign(late=late), npartitions=4)
    lazy = lazy[lazy.late].drop(columns="late")
    for method in ("transform", "decision_function"):
        values = getattr(hasher, method)(lazy).compute()
        expected = getattr(hasher, method)(frame[late])
        np.testing.assert_array_equal(values, expected, strict=True)


def test_nothing_is_computed_before_it_is_asked_for(fitted, digits):
    def fail(block):
        raise RuntimeError("computed")

    lazy = da.from_array(digits[0]).map_blocks(fail, meta=digits[0][:0])
    codes = fitted.transform(lazy)
    with pytest.raises(RuntimeError, match="computed"):
        codes.compute()


def test_a_lazy_result_is_of_the_hasher_that_there_was(digits):
    X, _ = digits
    hasher = LSH(12, random_state=0).fit(X)
    expected = hasher.transform(X)
    codes = hasher.transform(da.from_array(X, chunks=(150, -1)))
    hasher.set_params(n_bits=16, packed=True, random_state=1).fit(X)
    np.testing.assert_array_equal(codes.compute(), expected, strict=True)


def test_what_is_no_feature_of_the_fit_is_refused_at_once(fitted, frame, digits):
    X, lazy = digits[0], da.from_array(digits[0])
    named, renamed = LSH(12, random_state=0).fit(frame), frame.add_prefix("the_")
    one = frame["pixel0"]
    for hasher, in_memory, lazily, message in [
        (LSH(12), X, lazy, "not fitted yet"),
        (fitted, X[:, :9], lazy[:, :9], "9 features, but LSH is expecting 64 features"),
        (fitted, X[:, 0], lazy[:, 0], "Expected 2D array, got 1D array"),
        (fitted, X + 0j, lazy + 0j, "Complex data not supported"),
        (fitted, one, dd.from_pandas(one), "Expected a 2-dimensional container"),
        (named, renamed, dd.from_pandas(renamed), r"unseen at fit time:\n- the_pixel0"),
    ]:
        for method in ("transform", "decision_function"):
            for rows in (in_memory, lazily):
                with pytest.raises(ValueError, match=message):
                    getattr(hasher, method)(rows)
    with pytest.raises(ValueError, match=r"known number of columns.*compute_chunk_siz"):
        fitted.transform(lazy[:, lazy[0] > 3])


def test_names_that_are_not_those_of_the_fit_are_warned_of_once(fitted, frame):
    with pytest.warns(UserWarning, match="fitted without feature names") as record:
        fitted.transform(dd.from_pandas(frame, npartitions=3)).compute(
            scheduler="synchronous"
        )
    assert len(record) == 1


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_data_frames_of_lazy_codes_are_refused(container, digits):
    lazy = da.from_array(digits[0])
    hasher = LSH(12, random_state=0).fit(digits[0])
    with (
        sklearn.config_context(transform_output=container),
        pytest.raises(ValueError, match=rf'transform="{container}"\) would compute'),
    ):
        hasher.transform(lazy)
    codes = hasher.transform(lazy)
    with sklearn.config_context(transform_output=container):
        computed = codes.compute(scheduler="synchronous")
    assert isinstance(computed, np.ndarray)
    hasher.set_output(transform=container)
    with pytest.raises(ValueError, match=rf'transform="{container}"\) would compute'):
        hasher.transform(lazy)
    assert hasher.decision_function(lazy).shape == (400, 12)


def test_values_that_are_no_numbers_are_found_when_they_are_computed(fitted, digits):
    X = digits[0].copy()
    X[333, 3] = np.nan
    codes = fitted.transform(da.from_array(X, chunks=(100, -1)))
    assert codes[:300].compute().shape == (300, 12)
    with pytest.raises(ValueError, match="X contains NaN"):
        codes.compute()


def test_threads_share_one_copy_of_the_hasher(digits, tmp_path):
    hasher = Counted(12, random_state=0, notes=str(tmp_path / "notes")).fit(digits[0])
    codes = hasher.transform(da.from_array(digits[0], chunks=(20, -1)))
    (tmp_path / "notes").unlink()  # the call has made a copy
    codes.compute(scheduler="threads")
    assert (tmp_path / "notes").read_text().split() == ["unpickled"]


def test_each_worker_has_the_hasher_once_and_the_graph_too(client, digits, tmp_path):
    X = np.tile(digits[0], (5, 1))
    hasher = Counted(12, random_state=0, notes=str(tmp_path / "notes")).fit(X)
    codes = hasher.transform(da.from_array(X, chunks=(50, -1)))
    (tmp_path / "notes").unlink()
    np.testing.assert_array_equal(codes.compute(), hasher.transform(X), strict=True)
    n_workers = len(client.scheduler_info()["workers"])
    notes = (tmp_path / "notes").read_text().split()
    assert 1 <= len(notes) <= n_workers < codes.numblocks[0]

    wide = LSH(500, random_state=0).fit(X)
    n_bytes = len(pickle.dumps(wide))
    for n_blocks in (1, 50):
        lazy = da.zeros((100, 64), chunks=(100 // n_blocks, -1), dtype=np.float32)
        graph = pickle.dumps(dict(wide.transform(lazy).__dask_graph__()))
        assert n_bytes < len(graph) < 1.5 * n_bytes + 2000 * n_blocks


def killing_a_worker(codes, note):
    """Kill the first process that comes here."""
    with suppress(FileExistsError), open(note, "x"):
        os.kill(os.getpid(), signal.SIGKILL)
    return codes


def test_a_worker_that_dies_with_the_hasher_changes_no_code(
    mortal_client, digits, tmp_path
):
    hasher = LSH(12, random_state=0).fit(digits[0])
    before = mortal_client.run(os.getpid).values()
    lazy = da.from_array(digits[0], chunks=(50, -1))
    codes, meta = hasher.transform(lazy), np.empty((0, 12), np.uint8)
    codes = codes.map_blocks(killing_a_worker, tmp_path / "note", meta=meta)
    np.testing.assert_array_equal(codes.compute(), hasher.transform(digits[0]))
    assert set(before) != set(mortal_client.run(os.getpid).values())


def test_a_fit_and_a_score_read_dask_into_memory(digits, frame):
    X, y = digits
    lazy_X, lazy_y = da.from_array(X, chunks=(150, 30)), da.from_array(y, chunks=100)
    hasher = make(OrthoHash).fit(lazy_X, lazy_y)
    plain = make(OrthoHash).fit(X, y)
    np.testing.assert_array_equal(hasher.transform(X), plain.transform(X))
    assert hasher.score(lazy_X, lazy_y) == plain.score(X, y)
    lazy = dd.from_pandas(frame.assign(y=y), npartitions=3)
    hasher = make(OrthoHash).fit(lazy.drop(columns="y"), lazy.y)
    np.testing.assert_array_equal(hasher.transform(frame), plain.transform(X))
    assert hasher.feature_names_in_.tolist() == frame.columns.tolist()


@pytest.mark.parametrize("rerank", [None, "cosine", "asymmetric"])
def test_an_index_of_features_reads_dask_into_memory(rerank, digits, frame):
    y = digits[1]
    lazy = dd.from_pandas(frame, npartitions=3)
    search = HashedNeighbors(ITQ(16, random_state=0), rerank=rerank)
    plain = HashedNeighbors(ITQ(16, random_state=0), rerank=rerank).fit(frame, y)
    search.fit(lazy, y).add(lazy, y)
    plain.add(frame, y)
    np.testing.assert_array_equal(search.codes_, plain.codes_)
    np.testing.assert_array_equal(search.pack(lazy), plain.pack(frame))
    found, expected = search.kneighbors(lazy), plain.kneighbors(frame)
    np.testing.assert_array_equal(found, expected)
    assert search.score(lazy, y) == plain.score(frame, y)
