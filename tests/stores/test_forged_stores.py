"""Stores that cannot be right are refused."""

import json
import pickle
import struct
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sklhash import CodeStore
from sklhash.stores.manifest import (
    LONGEST,
    MOST_CONTAINERS,
    MOST_SHARDS,
    Manifest,
    Plan,
    Shard,
    StoredFile,
    file_names,
    written_manifest,
)
from tests.stores.stored import HASHER, IDS, PACKED, X, store_in


def forge(folder, change):
    """Change what the manifest says."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))


def refused(folder, match):
    with pytest.raises(ValueError, match=match) as error:
        CodeStore(folder)
    assert str(folder) in str(error.value)


NOT_WHOLE = [-1, 1.0, "1", True, None, [], {}]
WRONG = {
    "version": [*NOT_WHOLE, 0, 2],
    "n_bits": [*NOT_WHOLE, 0, 8, 17, 65_001, 10**30],
    "n_bytes": [*NOT_WHOLE, 0, 1, 3, 10**30],
    "n_samples": [*NOT_WHOLE, 0, 49, 51, 10**30],
    "n_shards": [*NOT_WHOLE, 0, 2, 4, 10**30],
    "format": ["csv", "", None, 3, ["npy"], "parquet"],
    "model": [3, None, []],
    "shards": [{}, None, 3, [], "shards", [[]], [None], [{}]],
    "other": [1],
}
WRONG_OF_A_SHARD = {
    "n_samples": [*NOT_WHOLE, 19, 21, 10**30],
    "rows": [3, None, []],
    "ids": [3, None, []],
    "ids_dtype": [
        "O",
        "|O",
        "<f8",
        ">i8",
        "<U0",
        "<U99999999999",
        "U8",
        3,
        None,
        "<i8,",
    ],
    "files": [[], {}, None, 3, "files", [{}], [None]],
    "other": [1],
}
ELSEWHERE = [
    "../00000.codes.npy",
    "/etc/hostname",
    "00000.codes.npy/",
    "00001.codes.npy",
    "00000.ids.npy",
    "0.codes.npy",
    "00000.codes.npy\n",
    "\u0660\u0660\u0660\u0660\u0660.codes.npy",
    "s3://bucket/00000.codes.npy",
    "00000.CODES.npy",
    "",
    ".",
    3,
    None,
]
WRONG_OF_A_FILE = {
    "name": ELSEWHERE,
    "size": [*NOT_WHOLE, 0, 10**30],
    "crc32": ["", "0" * 7, "0" * 9, "zzzzzzzz", "0000000F", 3, None],
    "other": [1],
}


@pytest.mark.parametrize(
    ("part", "values"),
    [
        *((lambda m: m, wrong) for wrong in WRONG.items()),
        *((lambda m: m["shards"][0], wrong) for wrong in WRONG_OF_A_SHARD.items()),
        *(
            (lambda m: m["shards"][0]["files"][0], wrong)
            for wrong in WRONG_OF_A_FILE.items()
        ),
    ],
)
def test_a_forged_manifest_is_refused_and_not_gone_on_with(part, values, folder):
    name, wrong = values
    whole = (folder / "manifest.json").read_bytes()
    for value in wrong:
        (folder / "manifest.json").write_bytes(whole)
        forge(
            folder, lambda manifest, value=value: part(manifest).update({name: value})
        )
        refused(folder, "cannot be read as a store of codes")
        if name == "size":
            continue  # as that of a file which is half written
        with pytest.raises(ValueError, match="cannot be read|stays as it is"):
            HASHER.encode_to(folder, X, ids=IDS, shard_size=20)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"3", b"null", b"{", b"{}", b"\xff", b"NaN"),
        *(b'{"version": 1, "version": 1}', b"[" * 10**5, b'{"n":' * 10**5),
        *(b"[" * 2_000_000, b'{"version": 1, "n_bits": Infinity}'),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_manifest_is_refused(text, folder):
    (folder / "manifest.json").write_bytes(text)
    refused(folder, "cannot be read as a store of codes")


def test_an_error_is_short_however_much_of_a_file_it_tells(folder):
    name = "a" * 10_000
    (folder / "manifest.json").write_text(f'{{"{name}": 1, "{name}": 1}}')
    with pytest.raises(ValueError, match="a name twice, among .*a…$") as error:
        CodeStore(folder)
    assert len(str(error.value)) < 1500


def test_a_manifest_that_is_too_long_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("sklhash.stores.opening.LONGEST", 100)
    monkeypatch.setattr("sklhash.stores.files.Folder.read", None)
    refused(folder, r"its manifest.json has \d+ bytes")


def test_every_manifest_that_can_be_written_can_be_read():
    print32, n = "0" * 32, 1000
    shard = MOST_SHARDS - 1
    files = tuple(StoredFile(name, 2**40, "0" * 8) for name in file_names(shard, "npy"))
    shards = (Shard(2**40, print32, print32, "<U99999999", files),) * n
    text = written_manifest(
        Manifest(Plan(print32, 65_000, "npy", n, n * 2**40), shards)
    )
    assert len(text) / n * MOST_SHARDS < LONGEST
    assert (
        text.count(b"{") + text.count(b"[")
    ) / n * MOST_SHARDS < MOST_CONTAINERS + 1e5


@given(place=st.integers(0), byte=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_manifest_with_a_changed_byte_is_refused_or_leads_nowhere_else(
    tmp_path_factory, place, byte
):
    folder = forged_store(tmp_path_factory)
    content = bytearray(forged_store.manifest)
    content[place % len(content)] ^= byte
    (folder / "manifest.json").write_bytes(content)
    try:
        store = CodeStore(folder)
        codes = [store.codes(shard) for shard in range(store.n_shards)]
        ids = [store.ids(shard) for shard in range(store.n_shards)]
    except ValueError:
        return
    np.testing.assert_array_equal(np.concatenate(codes), PACKED)
    np.testing.assert_array_equal(np.concatenate(ids), IDS)


def forged_store(tmp_path_factory):
    if not hasattr(forged_store, "folder"):
        folder = tmp_path_factory.mktemp("forged")
        HASHER.encode_to(folder, X, ids=IDS, shard_size=20)
        forged_store.manifest = (folder / "manifest.json").read_bytes()
        forged_store.folder = folder
    return forged_store.folder


def in_place_of(folder, name, content):
    """Put a file in the place of another, and its size into the manifest."""
    (folder / name).write_bytes(content)

    def change(manifest):
        for shard in manifest["shards"]:
            for file in shard["files"]:
                if file["name"] == name:
                    file["size"] = len(content)

    forge(folder, change)


def npy(header, data=b"", version=(1, 0)):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + data


HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (20, 2), }"
FORGED_ARRAYS = {
    "pickled": npy(HEADER.replace("|u1", "|O"), bytes(320)),
    "wide": npy(HEADER.replace("|u1", "<u2"), bytes(80)),
    "signed": npy(HEADER.replace("|u1", "|i1"), bytes(40)),
    "flat": npy(HEADER.replace("(20, 2)", "(40,)"), bytes(40)),
    "huge": npy(HEADER.replace("(20, 2)", f"({2**40}, 2)"), bytes(40)),
    "negative": npy(HEADER.replace("(20, 2)", "(-20, -2)"), bytes(40)),
    "Fortran": npy(HEADER.replace("False", "True"), bytes(40)),
    "code": npy(HEADER.replace("False", "__import__('os')"), bytes(40)),
    "deep": npy("(" * 110, bytes(40)),
    "version": npy(HEADER, bytes(40), version=(3, 0)),
    "too long": npy(HEADER, bytes(41)),
    "too short": npy(HEADER, bytes(39)),
    "a pickle": pickle.dumps(np.zeros((20, 2), np.uint8)),
    "nothing": b"",
    "padded": bytes(200),
}


@pytest.mark.parametrize("kind", FORGED_ARRAYS)
@pytest.mark.parametrize("mmap_mode", ["r", None])
def test_a_forged_array_is_refused(kind, mmap_mode, folder):
    in_place_of(folder, "00000.codes.npy", FORGED_ARRAYS[kind])
    with pytest.raises(
        ValueError, match=f"00000.codes.npy.*{folder}.*be read|{folder}"
    ):
        CodeStore(folder, mmap_mode=mmap_mode).codes(0)


def test_ids_of_another_dtype_than_told_are_refused(folder):
    path = folder / "00000.ids.npy"
    np.save(path, IDS[:20].astype("S"))
    in_place_of(folder, path.name, path.read_bytes())
    with pytest.raises(ValueError, match=r"00000.ids.npy of .* dtype \|S8"):
        CodeStore(folder).ids(0)


def tables():
    ids = pa.array(IDS[:20].tolist())
    codes = pa.array([row.tobytes() for row in PACKED[:20]], pa.binary(2))
    some = pa.array([None, *(row.tobytes() for row in PACKED[1:20])], pa.binary(2))
    wide = pa.array([bytes(3)] * 20, pa.binary(3))
    yield "another width", pa.table({"id": ids, "code": wide}), "columns"
    yield "any width", pa.table({"id": ids, "code": codes.cast("binary")}), "columns"
    yield "missing", pa.table({"id": ids, "code": some}), "missing values"
    yield "fewer", pa.table({"id": ids[:9], "code": codes[:9]}), "9 rows"
    yield "more", pa.table({"id": ids, "code": codes, "x": ids}), "columns"
    yield "order", pa.table({"code": codes, "id": ids}), "columns"
    yield "name", pa.table({"id": ids, "codes": codes}), "columns"


@pytest.mark.parametrize(
    ("table", "message"),
    [pytest.param(*rest, id=kind) for kind, *rest in tables()],
)
def test_a_forged_table_is_refused(table, message, tmp_path):
    store_in(tmp_path, "parquet")
    path = tmp_path / "00000.parquet"
    parquet.write_table(table, path)
    in_place_of(tmp_path, path.name, path.read_bytes())
    with pytest.raises(ValueError, match=f"00000.parquet of .*{message}"):
        CodeStore(tmp_path).codes(0)


def test_ids_that_are_longer_than_told_are_refused(tmp_path):
    store_in(tmp_path, "parquet")
    path = tmp_path / "00000.parquet"
    table = parquet.read_table(path)
    longer = pa.array(["a" * 99] * 20)
    parquet.write_table(table.set_column(0, "id", longer), path)
    in_place_of(tmp_path, path.name, path.read_bytes())
    with pytest.raises(ValueError, match="longer than those of dtype <U8"):
        CodeStore(tmp_path).ids(0)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, bytes(99)], ids=repr)
def test_what_is_no_parquet_is_refused(content, tmp_path):
    store_in(tmp_path, "parquet")
    in_place_of(tmp_path, "00000.parquet", content)
    with pytest.raises(ValueError, match="00000.parquet of .* is no Parquet file"):
        CodeStore(tmp_path).codes(0)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    store_in(tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'sklhash\[parquet\]'"):
        CodeStore(tmp_path)
    with pytest.raises(ImportError, match=r"pip install 'sklhash\[parquet\]'"):
        HASHER.encode_to(tmp_path / "new", X, format="parquet")
    assert not (tmp_path / "new").exists()
