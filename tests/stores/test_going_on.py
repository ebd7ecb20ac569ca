"""Encoding that was interrupted goes on, and nothing else is taken for it."""

import itertools
import os
import shutil
import signal

import dask
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

from sklhash import CodeStore
from sklhash.stores.files import Folder
from tests.stores.encoded import (
    X,
    files_in,
    fitted,
    packed,
    parts,
    stamps_in,
)

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


def interrupted(folder, *chunks):
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(folder, [*chunks, np.full_like(X, np.nan)])


def test_fewer_shards_than_a_stream_has_left_are_refused(tmp_path):
    interrupted(tmp_path, X, X)
    with pytest.raises(ValueError, match="it has a shard 1, and chunks makes 1"):
        fitted().encode_to(tmp_path, X)


def test_a_receipt_of_another_shard_is_refused(tmp_path):
    interrupted(tmp_path, X, X)
    shutil.copy(tmp_path / "00000.json", tmp_path / "00001.json")
    with pytest.raises(ValueError, match="the receipt of shard 1 is of 0"):
        fitted().encode_to(tmp_path, [X, X])


def test_receipts_that_are_gone_when_they_are_read_are_an_error(tmp_path):
    folder = Folder.at(tmp_path, None)
    with pytest.raises(FileNotFoundError):
        folder.read_all(["00000.json"])


def test_more_shards_than_a_manifest_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sklhash.stores.writing.MOST_SHARDS", 2)
    with pytest.raises(ValueError, match="chunks must make at most 2 shards"):
        fitted().encode_to(tmp_path, X, shard_size=20)


def test_what_failed_before_a_shard_was_written_binds_nobody(tmp_path):
    with pytest.raises(ValueError, match="chunk 0 of chunks cannot be encoded: .* NaN"):
        fitted().encode_to(tmp_path, np.full_like(X, np.nan), format="parquet")
    with pytest.raises(ValueError, match="incomplete.* 0 shards so far"):
        CodeStore(tmp_path)
    assert len(fitted(n_bits=20).encode_to(tmp_path, X, shard_size=20)) == 50
