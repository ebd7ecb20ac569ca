"""Encoding into a store: whatever comes."""

import itertools
import tracemalloc

import dask.array as da
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

import sklhash
from sklhash import pack_codes
from tests.hashers.methods import HASHERS, make
from tests.stores.encoded import (
    CUT,
    X,
    Y,
    files_in,
    fitted,
    formats,
    packed,
    parts,
)

pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")

rng = np.random.default_rng(0)


def in_memory_map(folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


DENSE = {
    "array": lambda folder: X,
    "memory map": in_memory_map,
    "Fortran order": lambda folder: np.asfortranarray(X),
    "tensor": lambda folder: torch.from_numpy(X),
    "polars frame": lambda folder: pl.DataFrame(X, schema=[*"abcdef"]),
    "arrow table": lambda folder: pa.table(dict(zip("abcdef", X.T, strict=True))),
    "pandas frame": lambda folder: pd.DataFrame(X, columns=[*"abcdef"]),
    "list": lambda folder: parts(),
    "generator": lambda folder: iter(parts()),
    "Dask array": lambda folder: da.from_array(X, chunks=(20, 4)),
}


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("kind", DENSE)
def test_the_same_rows_make_the_same_store_whatever_holds_them(kind, tmp_path):
    plain = fitted().encode_to(tmp_path / "plain", X, shard_size=20)
    chunks = DENSE[kind](tmp_path)
    store = fitted().encode_to(tmp_path / "other", chunks, shard_size=20)
    np.testing.assert_array_equal(store, packed())
    assert store.lengths == (20, 20, 10)
    np.testing.assert_array_equal(store.ids_at(np.arange(50)), np.arange(50))
    assert files_in(tmp_path / "other") == files_in(tmp_path / "plain")
    assert plain.n_bits == 12


@formats
@pytest.mark.parametrize(
    "layout",
    [sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.lil_matrix],
    ids=lambda layout: layout.__name__,
)
def test_sparse_rows_have_the_codes_of_dense_ones(layout, format, tmp_path):
    thin = np.where(X > 1, X, 0)
    chunks = layout(thin)
    store = fitted().encode_to(tmp_path, chunks, shard_size=20, format=format)
    np.testing.assert_array_equal(store, pack_codes(fitted().transform(thin)))


@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
def test_every_hasher_writes_packed_codes(cls):
    hasher = fitted(cls)
    path = f"memory://{cls.__name__}"
    store = hasher.encode_to(path, X, shard_size=20)
    np.testing.assert_array_equal(store, pack_codes(hasher.transform(X)))
    hasher.set_params(packed=True)
    assert len(hasher.encode_to(path, X, shard_size=20)) == 50
    hasher.set_params(packed=False)


def test_rows_of_any_rank_are_encoded():
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(6, 5))
    images = X.reshape(50, 2, 3)
    hasher = make(sklhash.OrthoHash, 8, backbone=backbone).fit(images, Y)
    store = hasher.encode_to("memory://any rank", images, shard_size=20)
    np.testing.assert_array_equal(store, pack_codes(hasher.transform(images)))


# What others read


def test_npy_shards_are_read_by_numpy_alone(tmp_path):
    ids = np.array([f"image {i}" for i in range(50)])
    fitted().encode_to(tmp_path, X, ids=ids, shard_size=20)
    codes, names = (
        [
            np.load(path, mmap_mode="r")
            for path in sorted(tmp_path.glob(f"*.{kind}.npy"))
        ]
        for kind in ("codes", "ids")
    )
    np.testing.assert_array_equal(np.concatenate(codes), packed())
    np.testing.assert_array_equal(np.concatenate(names), ids)
    assert all(array.offset % 64 == 0 for array in codes)
    assert all(array.flags.c_contiguous for array in codes)


def test_parquet_shards_are_read_by_arrow_pandas_and_duckdb(tmp_path):
    ids = np.array([f"image {i}" for i in range(50)])
    fitted().encode_to(tmp_path, X, ids=ids, shard_size=20, format="parquet")
    shards = sorted(tmp_path.glob("*.parquet"))
    expected = [row.tobytes() for row in packed()]
    table = parquet.read_table(shards[0])
    assert table.schema.field("code").type == pa.binary(2)
    assert table["code"].to_pylist() == expected[:20]
    frame = pd.concat(map(pd.read_parquet, shards))
    assert frame["id"].tolist() == ids.tolist()
    assert frame["code"].tolist() == expected
    found = duckdb.sql(
        f"select id, code from read_parquet('{tmp_path}/*.parquet') order by filename"
    ).fetchall()
    assert sorted(found) == sorted(zip(ids.tolist(), expected, strict=True))


# Ids


IDS = {
    "whole numbers": np.arange(50)[::-1] * 3 - 70,
    "few bytes": np.arange(50, dtype=np.uint8),
    "strings": np.array([f"é{i}" * (i % 4) for i in range(50)]),
    "bytes": np.array([b"%d" % i for i in range(50)]),
    "objects": np.array([f"image {i}" for i in range(50)], dtype=object),
    "numbers as objects": np.arange(50).astype(object),
    "a list": [str(i) for i in range(50)],
    "numpy's strings": np.array([str(i) for i in range(50)], np.dtypes.StringDType()),
    "a series": pd.Series([str(i) for i in range(50)]),
}


@formats
@pytest.mark.parametrize("kind", IDS)
def test_ids_come_back(kind, format):
    path, ids = f"memory://{kind}{format}", IDS[kind]
    store = fitted().encode_to(path, X, ids=ids, shard_size=20, format=format)
    rows = rng.integers(50, size=(4, 3))
    found = store.ids_at(rows)
    assert found.shape == (4, 3)
    assert found.dtype.kind in "iUS"
    assert found.tolist() == [[[*ids][i] for i in row] for row in rows]
    chunks = zip(parts(), [ids[a:b] for a, b in itertools.pairwise(CUT)], strict=True)
    again = fitted().encode_to(path, chunks, format=format)
    assert again.ids_at(rows).tolist() == found.tolist()
    blocks = da.from_array(X, chunks=(20, 6))
    assert len(fitted().encode_to(path, blocks, ids=ids, format=format)) == 50


WRONG_IDS = {
    "too few": (np.arange(49), r"one a row, of shape \(50,\)"),
    "two a row": (np.zeros((50, 2), int), "one a row"),
    "fractions": (np.arange(50) / 2, "got dtype float64"),
    "flags": (np.arange(50) > 3, "got dtype bool"),
    "dates": (pd.date_range("2020", periods=50), "got dtype datetime64"),
    "mixed": (np.array([1, "a"] * 25, dtype=object), "all of one kind"),
    "pairs": (pd.MultiIndex.from_arrays([range(50)] * 2), "all of one kind"),
    "missing": (np.array(["a", None] * 25, dtype=object), "all of one kind"),
    "cut off": (np.array(["a\0"] * 50, dtype=object), "null character"),
    "large": (np.full(50, 2**63, np.uint64), "at most 64 bits"),
    "larger": (np.array([2**70] * 50, dtype=object), "whole numbers"),
}


@pytest.mark.parametrize("kind", WRONG_IDS)
def test_ids_that_cannot_be_kept_are_refused(kind, tmp_path):
    ids, message = WRONG_IDS[kind]
    with pytest.raises(ValueError, match=f"ids .*{message}"):
        fitted().encode_to(tmp_path / "store", X, ids=ids)
    with pytest.raises(ValueError, match="ids must"):
        fitted().encode_to(tmp_path / "store", [(X, ids)])
    with pytest.raises(ValueError, match="ids must"):
        fitted().encode_to(tmp_path / "store", da.from_array(X), ids=ids)
    assert not list((tmp_path / "store").glob("0*"))


def test_ids_of_another_kind_in_a_later_chunk_are_refused(tmp_path):
    chunks = [(X[:20], np.arange(20)), (X[20:], np.array(["a"] * 30))]
    with pytest.raises(ValueError, match="of one kind .*strings and whole numbers"):
        fitted().encode_to(tmp_path, chunks)
    assert len(fitted().encode_to(tmp_path, [chunks[0], X[20:]])) == 50


def test_frames_hand_their_index_on(tmp_path):
    names = [f"row {i:02}" for i in range(50)]
    frame = pd.DataFrame(X, columns=[*"abcdef"], index=names)
    hasher = make(sklhash.LSH, 12).fit(frame)
    store = hasher.encode_to(tmp_path / "rows", frame, shard_size=20)
    assert store.ids_at(np.arange(50)).tolist() == names
    lazy = dd.from_pandas(frame, npartitions=3)
    store = hasher.encode_to(tmp_path / "blocks", lazy)
    assert store.n_shards == 3
    assert store.ids_at(np.arange(50)).tolist() == names
    np.testing.assert_array_equal(store, packed())
    store = hasher.encode_to(tmp_path / "ids", lazy, ids=lazy["a"].index.to_series())
    assert store.ids_at([49]).tolist() == names[49:]


# The rest


def test_empty_chunks_become_empty_shards():
    chunks = [X[:0], X[:20], X[20:20], X[20:], X[:0]]
    store = fitted().encode_to("memory://empty chunks", chunks)
    assert store.lengths == (0, 20, 0, 30, 0)
    np.testing.assert_array_equal(store, packed())
    assert store.ids_at([20, 49]).tolist() == [20, 49]
    assert store.codes(0).shape == (0, 2)


@formats
def test_empty_shards_are_read(format, tmp_path):
    named = [(X[:0], np.array([], dtype=object)), (X, [*map(str, range(50))])]
    store = fitted().encode_to(tmp_path, named, format=format)
    assert store.ids(0).shape == (0,)
    assert store.codes(0).shape == (0, 2)
    assert store.ids_at([49]).tolist() == ["49"]


@pytest.mark.parametrize(
    "chunks", [X[:0], [X[:0]], [], da.from_array(X[:0])], ids=["X", "[X]", "[]", "Dask"]
)
def test_no_rows_at_all_are_refused_and_leave_nothing(chunks, tmp_path):
    with pytest.raises(ValueError, match="chunks must have at least one row"):
        fitted().encode_to(tmp_path, chunks)
    assert files_in(tmp_path) == {}


def test_what_is_no_chunks_is_refused():
    for chunks in (3, "rows", b"rows", {"X": X}, None):
        with pytest.raises(TypeError, match="chunks must be an array"):
            fitted().encode_to("memory://none", chunks)
    with pytest.raises(ValueError, match="ids must be None where chunks"):
        fitted().encode_to("memory://none", [X], ids=np.arange(50))
    with pytest.raises(ValueError, match="2D array, got 1D"):
        fitted().encode_to("memory://none", X.tolist())


def test_a_hasher_that_is_not_fitted_writes_nothing(tmp_path):
    with pytest.raises(NotFittedError):
        sklhash.LSH(8).encode_to(tmp_path / "store", X)
    assert not (tmp_path / "store").exists()


def test_mapped_rows_are_never_in_memory_as_a_whole(tmp_path):
    wide = rng.standard_normal((40_000, 128), dtype=np.float32)  # 20 MB
    np.save(tmp_path / "X.npy", wide)
    hasher = sklhash.LSH(64, random_state=0).fit(wide[:100])
    del wide
    tracemalloc.start()
    hasher.encode_to(tmp_path / "store", np.load(tmp_path / "X.npy", mmap_mode="r"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
