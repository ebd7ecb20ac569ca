"""Encoding Dask collections into a store, where Dask does its work."""

import os
import signal

import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback

from sklhash import CodeStore
from tests.hashers.methods import make
from tests.stores.encoded import Watched, X, files_in, fitted, packed, stamps_in


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
        fitted().encode_to(tmp_path / "damaged", damaged())
    with pytest.raises(ValueError, match="NaN"):
        fitted().encode_to(folder, [X[:20], np.full_like(X, np.nan)])
    before = stamps_in(folder)
    assert "00000.json" in before
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
