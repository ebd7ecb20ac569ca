"""Encoding into a store: whatever comes, and whenever it is killed."""

import itertools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tracemalloc
from functools import cache
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from dask.callbacks import Callback
from pyarrow import parquet
from scipy import sparse
from sklearn.exceptions import NotFittedError
from torch import nn

import sklhash
from sklhash import CodeStore, pack_codes
from tests.hashers.methods import HASHERS, make

pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = np.arange(50) % 3
FORMATS = ["npy", "parquet"]
CUT = [0, 20, 40, 50]

formats = pytest.mark.parametrize("format", FORMATS)


@cache
def fitted(cls=sklhash.LSH, n_bits=12):
    quick = {"max_epochs": 1, "hidden_layer_sizes": (), "n_anchors": 10}
    parameters = {name: quick[name] for name in quick if hasattr(cls, name)}
    return make(cls, n_bits, **parameters).fit(X, Y)


@cache
def packed():
    return pack_codes(fitted().transform(X))


def files_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def stamps_in(folder):
    """Return what tells a file that was written anew."""
    stats = {path.name: path.stat() for path in Path(folder).iterdir()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def parts():
    return [X[start:stop] for start, stop in itertools.pairwise(CUT)]


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
@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil"])
def test_sparse_rows_have_the_codes_of_dense_ones(layout, format, tmp_path):
    thin = np.where(X > 1, X, 0)
    chunks = sparse.coo_array(thin).asformat(layout)
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


# Dask


def unknown_lengths():
    rows = da.from_array(X, chunks=(20, 6))
    return rows[rows[:, 0] > 0]


def test_blocks_of_unknown_length_need_ids():
    unknown = unknown_lengths()
    with pytest.raises(ValueError, match=r"call chunks.compute_chunk_sizes\(\)"):
        fitted().encode_to("memory://unknown", unknown)
    with pytest.raises(ValueError, match="ids must be a Dask array or series"):
        fitted().encode_to("memory://unknown", unknown, ids=np.arange(50))
    ids = da.arange(50, chunks=20)[unknown_rows := da.from_array(X[:, 0] > 0, 20)]
    store = fitted().encode_to("memory://unknown", unknown, ids=ids)
    expected = np.flatnonzero(X[:, 0] > 0)
    assert unknown_rows.npartitions == store.n_shards == 3
    np.testing.assert_array_equal(store.ids_at(range(len(store))), expected)
    np.testing.assert_array_equal(store, packed()[expected])
    known = unknown.compute_chunk_sizes()
    store = fitted().encode_to("memory://known", known)
    np.testing.assert_array_equal(store, packed()[expected])


def test_ids_in_other_blocks_are_refused():
    chunks = da.from_array(X, chunks=(20, 6))
    for size in (25, 20 + 1):
        with pytest.raises(ValueError, match="ids must have the blocks of chunks"):
            fitted().encode_to("memory://b", chunks, ids=da.arange(50, chunks=size))


class Watched(sklhash.LSH):
    """Counts how often it is sent."""

    loaded = 0

    def __setstate__(self, state):
        Watched.loaded += 1
        super().__setstate__(state)


def test_the_model_is_one_task_and_each_block_another(tmp_path):
    hasher = make(Watched, 12).fit(X)
    Watched.loaded, ran = 0, []
    with Callback(posttask=lambda key, *_: ran.append(str(key))):
        hasher.encode_to(tmp_path, da.from_array(X, chunks=(5, 6)))
    assert Watched.loaded == 1
    assert sum("write" in key for key in ran) == 10
    assert sum("loads" in key for key in ran) == 1


def test_a_cluster_writes_the_same_files_and_goes_on(client, tmp_path):
    plain, folder = tmp_path / "plain", tmp_path / "blocks"
    fitted().encode_to(plain, X, shard_size=20)
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(folder, damaged())
    before = stamps_in(folder)
    with pytest.raises(ValueError, match="incomplete"):
        CodeStore(folder)
    store = fitted().encode_to(folder, da.from_array(X, chunks=(20, 6)))
    assert files_in(folder) == files_in(plain)
    assert before.items() & stamps_in(folder).items()
    before = stamps_in(folder)
    changed = X.copy()
    changed[49, 5] += 1
    with pytest.raises(ValueError, match="other rows for shard 2"):
        fitted().encode_to(folder, da.from_array(changed, chunks=(20, 6)))
    assert stamps_in(folder) == before
    sums = [client.submit(total, store, shard) for shard in range(3)]
    assert sum(client.gather(sums)) == packed().sum()


def test_a_worker_that_dies_while_it_encodes_changes_nothing(mortal_client, tmp_path):
    fitted().encode_to(tmp_path / "plain", X, shard_size=20)
    pids = set(mortal_client.run(os.getpid).values())
    blocks = da.from_array(X, chunks=(20, 6)).map_blocks(
        dying_once, tmp_path / "died", dtype=X.dtype
    )
    fitted().encode_to(tmp_path / "blocks", blocks)
    assert int((tmp_path / "died").read_text()) in pids
    assert files_in(tmp_path / "blocks") == files_in(tmp_path / "plain")


def dying_once(block, record):
    """Kill the process that comes to the second block, the first time."""
    if np.array_equal(block, X[20:40]) and not record.exists():
        record.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def total(store, shard):
    return int(store.codes(shard).sum())


def damaged():
    """Return the rows with a block that cannot be encoded."""
    blocks = [X[:20], np.full_like(X[20:40], np.nan), X[40:]]
    return da.concatenate([da.from_array(block, chunks=-1) for block in blocks])


# Interrupted


def kill_at(step):
    """Have this process killed before one of its steps on disk."""
    steps = itertools.count()

    def before(function):
        def counted(*args, **kwargs):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted

    for name in ("fsync", "replace", "unlink", "makedirs"):
        setattr(os, name, before(getattr(os, name)))


def encode_until_killed(step, folder, chunks, **options):
    """Encode in a process of its own; return whether it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            kill_at(step)
            with dask.config.set(scheduler="synchronous"):
                fitted().encode_to(folder, chunks(), **options)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


WAYS = {
    "rows": lambda: X,
    "blocks": lambda: da.from_array(X, chunks=(20, 6)),
    "stream": lambda: iter(parts()),
}


@pytest.mark.parametrize(
    ("way", "format"), [*((way, "npy") for way in WAYS), ("rows", "parquet")]
)
def test_a_run_goes_on_wherever_it_was_killed(way, format, tmp_path):
    options = {"shard_size": 20, "format": format}
    fitted().encode_to(tmp_path / "whole", X, **options)
    expected = files_in(tmp_path / "whole")
    packed()
    n_kept = 0
    for step in itertools.count():
        folder = tmp_path / str(step)
        if not encode_until_killed(step, folder, WAYS[way], **options):
            break
        left = stamps_in(folder) if folder.exists() else {}
        if "manifest.json" in left:
            np.testing.assert_array_equal(CodeStore(folder), packed())
        else:
            with pytest.raises(
                (ValueError, FileNotFoundError), match="incomplete|no m"
            ):
                CodeStore(folder)
        with dask.config.set(scheduler="synchronous"):
            fitted().encode_to(folder, WAYS[way](), **options)
        assert files_in(folder) == expected
        receipts = {name[:5] for name in left if name[:5] + ".json" == name}
        finished = {name for name in left if name[:5] in receipts}
        now = stamps_in(folder)
        assert all(left[name] == now[name] for name in finished & now.keys())
        n_kept += len(finished & now.keys())
    assert step > 20
    assert n_kept > 20


def test_a_run_that_is_killed_again_and_again_ends(tmp_path):
    for step in (9, 9, 9, 14, 100):
        encode_until_killed(step, tmp_path / "store", WAYS["rows"], shard_size=20)
    np.testing.assert_array_equal(CodeStore(tmp_path / "store"), packed())


@pytest.mark.parametrize("damage", ["gone", "cut", "empty receipt", "half a receipt"])
def test_what_is_half_written_counts_as_missing(damage, tmp_path):
    folder = tmp_path / "store"
    fitted().encode_to(folder, X, shard_size=20)
    expected = files_in(folder)
    chunks = [*parts()[:2], np.full_like(X[:1], np.nan)]
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(folder, chunks)
    assert len(list(folder.glob("0*.json"))) == 2
    codes, receipt = folder / "00001.codes.npy", folder / "00001.json"
    if damage == "gone":
        codes.unlink()
    elif damage == "cut":
        codes.write_bytes(codes.read_bytes()[:-1])
    else:
        size = 0 if damage == "empty receipt" else 99
        receipt.write_bytes(receipt.read_bytes()[:size])
    fitted().encode_to(folder, X, shard_size=20)
    assert files_in(folder) == expected


@pytest.mark.parametrize("name", ["manifest.json", "begun.json"])
def test_a_manifest_or_plan_that_is_half_written_is_written_anew(name, tmp_path):
    def chunks():
        yield from parts()
        shutil.copytree(tmp_path / "store", tmp_path / "begun")

    fitted().encode_to(tmp_path / "store", chunks())
    expected = files_in(tmp_path / "store")
    if name == "begun.json":
        for path in (tmp_path / "begun").glob("0*"):
            path.unlink()
    text = (tmp_path / "begun" / "begun.json").read_bytes()
    (tmp_path / "begun" / name).write_bytes(text[:99])
    with pytest.raises(ValueError, match="cannot be read as a store"):
        CodeStore(tmp_path / "begun")
    fitted().encode_to(tmp_path / "begun", X, shard_size=20)
    assert files_in(tmp_path / "begun") == expected


@pytest.mark.parametrize("name", ["00007.parquet", "00000.codes.npy", "123456.json"])
def test_files_that_may_be_of_somebody_else_are_not_touched(name, tmp_path):
    (tmp_path / name).write_bytes(b"features")
    with pytest.raises(ValueError, match=f"is no store, but has files .* {name}"):
        fitted().encode_to(tmp_path, X)
    assert files_in(tmp_path) == {name: b"features"}
    (tmp_path / name).rename(tmp_path / "notes.json")
    fitted().encode_to(tmp_path, X)
    assert files_in(tmp_path)["notes.json"] == b"features"


def test_what_a_killed_run_wrote_behind_the_last_shard_is_removed(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(tmp_path, [X, np.full_like(X, np.nan)])
    (tmp_path / "00001.codes.npy").write_bytes(b"half a shard")
    (tmp_path / "000001.json").write_bytes(b"not ours")
    fitted().encode_to(tmp_path, [X])
    left = {"manifest.json", "00000.codes.npy", "00000.ids.npy", "000001.json"}
    assert files_in(tmp_path).keys() == left


def test_files_that_are_lost_while_the_rest_is_written_are_noticed(tmp_path):
    def chunks():
        yield X[:20]
        (tmp_path / "00000.codes.npy").unlink()
        yield X[20:]

    with pytest.raises(ValueError, match="lacks 1 files .* 00000.codes.npy"):
        fitted().encode_to(tmp_path, chunks())


# Other models, other input


def with_one_value_changed():
    changed = X.copy()
    changed[33, 4] = np.nextafter(changed[33, 4], 9)
    return changed


OTHER_INPUT = {
    "a value": (lambda: {"chunks": with_one_value_changed()}, "other rows for shard 1"),
    "dtype": (lambda: {"chunks": X.astype(np.float64)}, "other rows for shard 0"),
    "fewer rows": (lambda: {"chunks": X[:49]}, "has 50 codes, and chunks has 49 rows"),
    "more rows": (
        lambda: {"chunks": X[np.arange(70) % 50]},
        "has 3 shards, and chunks makes 4",
    ),
    "order": (lambda: {"chunks": X[::-1]}, "other rows for shard 0"),
    "size": (
        lambda: {"shard_size": 24},
        "shard 0 has 20 codes, and chunks has 24 rows for it",
    ),
    "smaller": (lambda: {"shard_size": 10}, "has 3 shards, and chunks makes 5"),
    "ids": (
        lambda: {"ids": np.arange(50) + (np.arange(50) > 48)},
        "ids has others for shard 2",
    ),
    "kind of ids": (
        lambda: {"ids": [*map(str, range(50))]},
        "ids has others for shard 0",
    ),
    "sparse": (lambda: {"chunks": sparse.csr_array(X)}, "other rows for shard 0"),
    "fewer chunks": (
        lambda: {"chunks": parts()[:2]},
        "has 3 shards, and chunks makes 2",
    ),
    "more chunks": (
        lambda: {"chunks": [*parts(), X]},
        "has 3 shards, and chunks makes more",
    ),
    "no chunks": (lambda: {"chunks": iter(())}, "has 3 shards, and chunks makes 0"),
    "other chunks": (lambda: {"chunks": [X[:19], X[19:40], X[40:]]}, "has 20 codes"),
    "a block": (
        lambda: {"chunks": da.from_array(with_one_value_changed(), chunks=(20, 6))},
        "other rows for shard 1",
    ),
    "blocks": (
        lambda: {"chunks": da.from_array(X, chunks=(30, 6))},
        "and chunks makes 2",
    ),
    "format": (lambda: {"format": "parquet"}, '"npy", not "parquet"'),
}


@pytest.mark.parametrize("change", OTHER_INPUT)
def test_other_input_is_refused_and_the_store_stays_as_it_was(change, tmp_path):
    make_arguments, message = OTHER_INPUT[change]
    fitted().encode_to(tmp_path, X, shard_size=20)
    before = stamps_in(tmp_path), files_in(tmp_path)
    arguments = {"chunks": X, "shard_size": 20, **make_arguments()}
    with pytest.raises(ValueError, match=f"stays as it is: .*{message}"):
        fitted().encode_to(tmp_path, **arguments)
    assert (stamps_in(tmp_path), files_in(tmp_path)) == before


@pytest.mark.parametrize(
    "change", ["a value", "ids", "fewer rows", "format", "a block"]
)
def test_other_input_is_refused_where_a_run_was_interrupted(change, tmp_path):
    make_arguments, message = OTHER_INPUT[change]
    ids = np.where(np.arange(50) == 30, 99, np.arange(50))
    if change == "ids":
        make_arguments, message = (lambda: {"ids": ids}), "ids has others for shard 1"
    unfinished = np.concatenate([X[:40], np.full_like(X[40:], np.nan)])
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(tmp_path, unfinished, shard_size=20)
    before = stamps_in(tmp_path), files_in(tmp_path)
    arguments = {"chunks": X, "shard_size": 20, **make_arguments()}
    with pytest.raises(ValueError, match=f"stays as it is: .*{message}"):
        fitted().encode_to(tmp_path, **arguments)
    assert (stamps_in(tmp_path), files_in(tmp_path)) == before


@pytest.mark.parametrize("way", ["rows", "blocks"])
def test_without_verifying_the_rows_of_finished_shards_are_not_read(way):
    path = f"memory://unread {way}"
    fitted().encode_to(path, X, shard_size=20)
    changed = with_one_value_changed()
    if way == "blocks":
        changed = da.from_array(changed, chunks=(20, 6))
    store = fitted().encode_to(path, changed, shard_size=20, verify=False)
    np.testing.assert_array_equal(store, packed())
    for other in (X[:45], da.from_array(X[:45], chunks=(20, 6))):
        with pytest.raises(ValueError, match="chunks has 45 rows"):
            fitted().encode_to(path, other, shard_size=20, verify=False)
    ids = [*map(str, range(50))]
    with pytest.raises(ValueError, match="ids has others for shard 0"):
        fitted().encode_to(path, X, ids=ids, shard_size=20, verify=False)


def test_what_failed_before_a_shard_was_written_binds_nobody(tmp_path):
    with pytest.raises(ValueError, match="chunk 0 of chunks cannot be encoded: .* NaN"):
        fitted().encode_to(tmp_path, np.full_like(X, np.nan), format="parquet")
    with pytest.raises(ValueError, match="incomplete.* 0 shards so far"):
        CodeStore(tmp_path)
    assert len(fitted(n_bits=20).encode_to(tmp_path, X, shard_size=20)) == 50


# The model


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
