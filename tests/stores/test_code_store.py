"""Reading a store."""

import os
import pickle

import numpy as np
import pytest

from sklhash import CodeStore, HammingNeighbors
from tests.stores.encoded import formats
from tests.stores.stored import HASHER, IDS, PACKED, X, store_in


@formats
@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_store_says_what_it_has_and_gives_it(place, format, tmp_path):
    path = tmp_path if place == "local" else f"memory://says {format}"
    store = store_in(path, format)
    assert store.path == str(path)
    assert (store.n_samples, store.n_bits, store.n_bytes) == (50, 12, 2)
    assert (store.n_shards, store.lengths, store.format) == (3, (20, 20, 10), format)
    assert (store.shape, store.dtype, len(store)) == ((50, 2), np.uint8, 50)
    assert (
        repr(store) == f"<CodeStore '{path}': 50 codes of 12 bits, 3 {format} shards>"
    )
    ids, codes = zip(*store, strict=True)
    np.testing.assert_array_equal(np.concatenate(codes), PACKED)
    np.testing.assert_array_equal(np.concatenate(ids), IDS)
    np.testing.assert_array_equal(store.codes(1), PACKED[20:40])
    np.testing.assert_array_equal(store.ids(2), IDS[40:])
    np.testing.assert_array_equal(np.asarray(store), PACKED)
    assert np.asarray(store, dtype=int).dtype == int
    with pytest.raises(ValueError, match="copy"):
        np.asarray(store, copy=False)
    store.verify()


def test_local_npy_shards_are_mapped_unless_they_are_not_to_be(folder):
    mapped, read = CodeStore(folder), CodeStore(folder, mmap_mode=None)
    assert isinstance(mapped.codes(0), np.memmap)
    assert not mapped.codes(0).flags.writeable
    assert not isinstance(read.codes(0), np.memmap)
    np.testing.assert_array_equal(read, mapped)
    remote = store_in("memory://not mapped", "npy")
    assert not isinstance(remote.codes(0), np.memmap)


@formats
def test_ids_of_hits_come_in_their_shape_from_the_shards_that_have_them(
    format, tmp_path
):
    store = store_in(tmp_path, format)
    search = HammingNeighbors(n_neighbors=4, packed=True).fit(np.asarray(store))
    hits = search.kneighbors(PACKED[:7], return_distance=False)
    np.testing.assert_array_equal(store.ids_at(hits), IDS[hits])
    assert store.ids_at(49) == "image 49"
    assert store.ids_at([]).shape == (0,)
    for name in os.listdir(tmp_path):
        if name.startswith(("00000", "00002")):
            os.unlink(tmp_path / name)
    assert store.ids_at([[21], [39]]).tolist() == [["image 21"], ["image 39"]]
    with pytest.raises(FileNotFoundError):
        store.ids_at([0])


@pytest.mark.parametrize(
    "indices",
    [[50], [-1], [0.5], ["0"], [True], [2**63], [None], [[0], [0, 1]]],
    ids=str,
)
def test_indices_that_are_none_are_refused(indices, folder):
    with pytest.raises(ValueError, match="indices"):
        CodeStore(folder).ids_at(indices)


@pytest.mark.parametrize("method", ["codes", "ids"])
def test_shards_that_are_not_there_are_refused(method, folder):
    read = getattr(CodeStore(folder), method)
    for shard in (3, -1):
        with pytest.raises(ValueError, match=f"shard must be from 0 to 2, got {shard}"):
            read(shard)
    for shard in (True, 0.0, "0", None):
        with pytest.raises(TypeError, match="shard must be an integer"):
            read(shard)
    assert len(read(np.int8(2))) == 10


def test_a_store_is_sent_without_its_codes(folder, monkeypatch):
    relative = os.path.relpath(folder)
    sent = pickle.dumps(CodeStore(relative, mmap_mode=None))
    monkeypatch.chdir("/")
    there = pickle.loads(sent)
    np.testing.assert_array_equal(there, PACKED)
    assert os.path.samefile(there.path, folder)
    assert not isinstance(there.codes(0), np.memmap)
    assert len(sent) < 3000


def test_a_reader_of_one_shard_is_sent_alone(tmp_path):
    store = HASHER.encode_to(tmp_path, X, ids=IDS, shard_size=1)
    sent = pickle.dumps(store.reader(7))
    assert len(sent) < 1500 < len(pickle.dumps(store)) / 5
    reader = pickle.loads(sent)
    np.testing.assert_array_equal(reader.codes(), PACKED[7:8])
    assert isinstance(reader.codes(), np.memmap)
    assert (reader.ids().tolist(), len(reader)) == (["image 7"], 1)


def test_what_is_no_store_is_told_from_one_that_is_incomplete(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", "memory://no such store"):
        with pytest.raises(FileNotFoundError, match="is no store of codes"):
            CodeStore(path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is no store of codes"):
        CodeStore(tmp_path / "file")
    chunks = [X[:20], np.full_like(X, np.nan)]
    with pytest.raises(ValueError, match="NaN"):
        HASHER.encode_to(tmp_path / "store", chunks)
    with pytest.raises(
        ValueError, match="store' .*incomplete.* 1 shards so far.* once more"
    ):
        CodeStore(tmp_path / "store")


def test_what_no_file_system_has_is_refused():
    with pytest.raises(ValueError, match="Protocol not known: carrier-pigeon"):
        CodeStore("carrier-pigeon://coop/codes")
    with pytest.raises(FileExistsError):
        HASHER.encode_to(__file__, X)


# Damage


@formats
def test_a_changed_byte_is_found_and_its_file_named(format, tmp_path):
    store = store_in(tmp_path, format)
    for name, content in ((p.name, p.read_bytes()) for p in tmp_path.glob("0*")):
        path = tmp_path / name
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        with pytest.raises(ValueError, match=f"{name} of .* its checksum differs"):
            store.verify()
        path.unlink()
        assert HASHER.encode_to(
            tmp_path, X, ids=IDS, shard_size=20, format=format
        ).n_shards
        store.verify()


@formats
def test_files_that_are_cut_or_missing_are_named(format, tmp_path):
    store = store_in(tmp_path, format)
    for path in tmp_path.glob("0*"):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(
            ValueError, match=f"{path.name} has {len(content) - 1} byte"
        ):
            CodeStore(tmp_path)
        with pytest.raises(ValueError, match=f"{path.name} of '{tmp_path}' cannot be"):
            list(store)
        path.unlink()
        with pytest.raises(ValueError, match=f"{path.name} is missing"):
            CodeStore(tmp_path)
        path.write_bytes(content)


def test_padding_bits_that_are_set_are_refused_where_a_shard_is_read(folder):
    path = folder / "00002.codes.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match="00002.codes.npy of .* padding bits set"):
        np.asarray(CodeStore(folder, mmap_mode=None))
    assert CodeStore(folder).codes(2)[9, 1] == 255
