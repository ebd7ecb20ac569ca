import json
import os
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file
from scipy import sparse

from sklhash.neighbors import files
from sklhash.neighbors.files import (
    labels_as_arrays,
    labels_from_arrays,
    naming_file,
    read_arrays,
    write_arrays,
)

MODES = ["r", "c", None]
PLANES = np.arange(2 * 512, dtype=np.uint64).reshape(2, 512)
ARRAYS = {"live": np.array([True, False, True]), "planes": PLANES}

numeric = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
)
some_arrays = st.dictionaries(
    st.text(min_size=1, max_size=5).filter(str.isidentifier),
    hnp.arrays(numeric, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    max_size=4,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "codes.index"


@pytest.fixture
def saved(path):
    write_arrays(path, ARRAYS, {"n_bits": "128"})
    return path


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)


def write_header(path, header, data=b"", *, checksum=True):
    """Write a file by hand, as a stranger might."""

    def text_of(header):
        return json.dumps(header, separators=(",", ":")).encode()

    if checksum:
        header["__metadata__"]["checksum"] = f"{crc32(text_of(header)):08x}"
    text = text_of(header)
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def header_of(dtype="I64", shape=(2,), data_offsets=(0, 16), **about):
    about = {"format": files.FORMAT, "version": "1", **about}
    entry = {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}
    return {"__metadata__": about, "planes": entry}


@given(
    arrays=some_arrays,
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
    mode=st.sampled_from(MODES),
)
def test_what_is_read_is_what_was_written(tmp_path_factory, arrays, metadata, mode):
    path = tmp_path_factory.mktemp("files") / "some"
    write_arrays(path, arrays, metadata)
    read, metadata_read = read_arrays(path, mode)
    native = {n: a.astype(a.dtype.newbyteorder("=")) for n, a in arrays.items()}
    assert_same(read, native)
    assert metadata_read == metadata


@given(arrays=some_arrays)
def test_the_safetensors_package_reads_the_file(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("files") / "some"
    write_arrays(path, arrays, {"n_bits": "64"})
    native = {n: a.astype(a.dtype.newbyteorder("=")) for n, a in arrays.items()}
    assert_same(load_file(path), native)
    with safe_open(path, "numpy") as file:
        assert file.metadata()["n_bits"] == "64"


@pytest.mark.parametrize("n_codes", [1, 3, 512])
@pytest.mark.parametrize("mode", MODES)
def test_all_arrays_are_aligned_and_codes_to_a_cache_line(path, n_codes, mode):
    arrays = {
        "a": np.arange(3, dtype=np.uint8),
        "planes": PLANES[:, :n_codes],
        "b": np.arange(5, dtype=np.uint16),
        "c": np.arange(7),
    }
    write_arrays(path, arrays, {})
    read, _ = read_arrays(path, mode)
    assert_same(read, arrays)
    assert read["planes"].ctypes.data % 64 == 0
    assert all(array.flags.aligned for array in read.values())
    assert path.read_bytes().index(arrays["planes"].tobytes()) % 64 == 0


@pytest.mark.parametrize(
    "strange",
    [
        PLANES.T,
        PLANES[:, ::-3],
        PLANES.astype(">u8"),
        np.asfortranarray(PLANES),
        np.broadcast_to(np.float32(3), (70, 1000)),
        np.arange(5_000_000)[::2],  # more than one piece
    ],
)
def test_arrays_of_any_strides_and_byte_order_are_written(path, strange):
    write_arrays(path, {"strange": strange}, {})
    expected = strange.astype(strange.dtype.newbyteorder("="))
    assert_same(read_arrays(path)[0], {"strange": expected})


def test_a_mapped_file_never_changes(saved):
    before = saved.read_bytes()
    read_only, _ = read_arrays(saved, "r")
    with pytest.raises(ValueError, match="read-only"):
        read_only["planes"][:] = 0
    for mode in ("c", None):
        arrays, _ = read_arrays(saved, mode)
        arrays["planes"][:] = 0
        assert not arrays["planes"].any()
    assert saved.read_bytes() == before
    assert_same(read_only, ARRAYS)


def test_opening_reads_next_to_nothing_of_100_million_codes(path):
    resource = pytest.importorskip("resource")
    planes = np.broadcast_to(np.uint64(0), (1, 100_000_000))
    path.write_bytes(files._header({"planes": planes}, {}))
    os.truncate(path, path.stat().st_size + planes.nbytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays, _ = read_arrays(path)
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert arrays["planes"].shape == planes.shape
    assert pages < planes.nbytes / 4096 / 100
    assert arrays["planes"][0, -1] == 0
    path.unlink()


def test_the_file_that_is_mapped_can_be_written_anew(saved):
    arrays, _ = read_arrays(saved)
    write_arrays(saved, {**arrays, "more": np.ones(3)}, {})
    assert_same(arrays, ARRAYS)
    assert_same(read_arrays(saved)[0], {**ARRAYS, "more": np.ones(3)})


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_earlier_file(
    saved, monkeypatch, failure, step
):
    def fail(*args):
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(failure):
        write_arrays(saved, {"planes": PLANES + 1}, {})
    monkeypatch.undo()
    assert os.listdir(saved.parent) == [saved.name]
    assert_same(read_arrays(saved)[0], ARRAYS)


def test_a_write_without_room_leaves_the_earlier_file(saved):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            write_arrays(saved, {"planes": np.zeros(1_000_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(saved.parent) == [saved.name]
    assert_same(read_arrays(saved)[0], ARRAYS)


def test_a_link_stays_a_link(saved):
    link = saved.with_name("link")
    link.symlink_to(saved.name)
    write_arrays(link, {"planes": PLANES + 1}, {})
    assert link.is_symlink()
    assert_same(read_arrays(saved)[0], {"planes": PLANES + 1})


@pytest.mark.parametrize("dtype", [complex, "M8[s]", object, "U3", np.longdouble])
def test_other_dtypes_are_not_written(path, dtype):
    with pytest.raises(
        TypeError, match=r"planes must be an array of bools.* got dtype"
    ):
        write_arrays(path, {"planes": np.zeros(2, dtype=dtype)}, {})
    assert not path.exists()


@given(data=st.data(), mode=st.sampled_from(MODES))
def test_a_damaged_header_is_refused_or_harmless(tmp_path_factory, data, mode):
    path = tmp_path_factory.mktemp("files") / "damaged"
    write_arrays(path, ARRAYS, {"n_bits": "128"})
    content = bytearray(path.read_bytes())
    n_header = 8 + int.from_bytes(content[:8], "little")
    position = st.integers(0, n_header - 1)
    if data.draw(st.booleans(), label="truncate"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for place in data.draw(st.lists(position, max_size=3), label="places"):
        if place < len(content):
            content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_arrays(path, mode)
    except ValueError as error:
        found = str(error)
    if isinstance(found, str):
        assert str(path) in found
    else:
        assert_same(found[0], ARRAYS)
        assert found[1] == {"n_bits": "128"}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (header_of(format="pt"), "format is 'sklhash"),
        (header_of(version="2"), "of version 2, this sklhash reads 1"),
        (header_of(dtype="BF16"), "dtype 'BF16', which is none of BOOL, U8"),
        (header_of(dtype=["I64"]), "unhashable"),
        (header_of(data_offsets=(8, 24)), "bytes 0 to 16 of the data.* got"),
        (header_of(data_offsets=(0, 1 << 70)), "bytes 0 to 16 of the data.* got"),
        (header_of(shape=(3,)), "bytes 0 to 24 of the data.* got"),
        (header_of(shape=(-1, -2)), "can only specify one unknown dimension"),
        (header_of(shape=(2.0,), data_offsets=(0.0, 16.0)), "TypeError"),
        (header_of(shape=(4,), data_offsets=(0, 32)), "truncated"),
        (header_of(shape=(1,), data_offsets=(0, 8)), "something appended"),
        (header_of(shape=(0, 1 << 63), data_offsets=(0, 0)), "something appended"),
        ({"__metadata__": header_of()["__metadata__"], "planes": {}}, "KeyError"),
    ],
)
def test_a_malformed_file_is_refused_with_its_reason(path, header, reason):
    write_header(path, header, bytes(16))
    with pytest.raises(ValueError, match=f"codes.index' cannot be read as.*{reason}"):
        read_arrays(path)


@pytest.mark.parametrize("shape", [(0, 1 << 62), (0, 1 << 63), (1 << 90, 0)])
def test_impossible_shapes_of_nothing_are_refused(path, shape):
    write_header(path, header_of(shape=shape, data_offsets=(0, 0)))
    with pytest.raises(ValueError, match="cannot be read"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "of another kind or truncated, has 0 bytes"),
        (b"\x80\x04\x95", "of another kind or truncated, has 3 bytes"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'", "of another kind"),
        ((10**12 + 56).to_bytes(8, "little") + b"{}", "of another kind or truncated"),
        ((56).to_bytes(8, "little") + b"\xff" * 56, "its header is no JSON"),
        ((56).to_bytes(8, "little") + b"[".ljust(56), "its header is no JSON"),
        ((56).to_bytes(8, "little") + b"[]".ljust(56), "does not say that its format"),
        ((2**20 - 8).to_bytes(8, "little") + b"[" * (2**20 - 8), "recursion"),
    ],
)
def test_a_file_of_another_kind_is_refused(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"codes.index' cannot be read as.*{reason}"):
        read_arrays(path)


def test_a_header_longer_than_any_is_not_read(path):
    length = files.LONGEST_HEADER + 56
    path.write_bytes(length.to_bytes(8, "little"))
    os.truncate(path, 2 * length)
    with pytest.raises(ValueError, match=f"call for a header of {length}"):
        read_arrays(path)


def test_a_header_without_its_checksum_is_refused(path):
    write_header(path, header_of(), bytes(16), checksum=False)
    with pytest.raises(ValueError, match="its header was changed"):
        read_arrays(path)


def test_an_unknown_mode_or_a_missing_file_is_an_error(path):
    with pytest.raises(ValueError, match=r"mmap_mode must be .* got 'r\+'"):
        read_arrays(path, "r+")
    with pytest.raises(FileNotFoundError, match="codes.index"):
        read_arrays(path)


labels = st.one_of(
    st.none(),
    hnp.arrays(numeric, hnp.array_shapes(max_dims=2, min_side=0)),
    hnp.arrays(hnp.unicode_string_dtypes(max_len=6), st.integers(0, 9)),
    hnp.arrays(object, st.integers(0, 9), elements=st.text(max_size=6)),
    hnp.arrays(object, st.integers(1, 9), elements=st.integers(-(2**63), 2**63 - 1)),
    hnp.arrays(object, st.integers(1, 9), elements=st.booleans()),
    hnp.arrays(object, st.integers(1, 9), elements=st.integers(-9, 9).map(float)),
)


@given(y=labels, mode=st.sampled_from(MODES))
def test_labels_come_back_from_a_file(tmp_path_factory, y, mode):
    path = tmp_path_factory.mktemp("files") / "labels"
    write_arrays(path, *labels_as_arrays(y))
    found = labels_from_arrays(*read_arrays(path, mode))
    if y is None:
        assert found is None
        return
    assert found.dtype == y.dtype.newbyteorder("=")
    assert found.shape == y.shape
    np.testing.assert_array_equal(found, y)
    if y.dtype == object:
        assert [type(v) for v in found] == [type(v) for v in y.tolist()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, np.float64])
def test_a_sparse_indicator_comes_back_from_a_file(path, dtype, mode):
    y = sparse.random_array((40, 7), density=0.3, rng=0, format="csr").astype(dtype)
    y[3, 2] = 0  # stored
    write_arrays(path, *labels_as_arrays(y))
    found = labels_from_arrays(*read_arrays(path, mode))
    assert isinstance(found, sparse.csr_array)
    assert (found.shape, found.dtype, found.nnz) == (y.shape, y.dtype, y.nnz)
    np.testing.assert_array_equal(found.toarray(), y.toarray(), strict=True)
    np.testing.assert_array_equal(found[[3, 1]].toarray(), y.toarray()[[3, 1]])


def test_strings_of_any_dtype_come_back(path):
    words = ["cat", "", "ünder", "\ud800", "cat", "a\0b", "日本"]
    for y in (
        np.array(words, dtype=object),
        np.array(words[:3], dtype=">U5"),
        np.array(words[:3], dtype=np.dtypes.StringDType()),
        np.array([np.str_("cat"), "dog"], dtype=object),
    ):
        write_arrays(path, *labels_as_arrays(y))
        found = labels_from_arrays(*read_arrays(path))
        assert found.dtype.kind == y.dtype.kind
        assert found.tolist() == y.tolist()


def test_each_string_is_kept_once(path):
    y = np.array(["a long name of a class"] * 10_000, dtype=object)
    write_arrays(path, *labels_as_arrays(y))
    assert path.stat().st_size < 11_000


def test_numbers_and_fixed_width_strings_are_mapped_not_read(path):
    for y in (np.arange(9), np.array(["cat", "horse"]), np.eye(3, dtype=np.float32)):
        write_arrays(path, *labels_as_arrays(y))
        arrays, metadata = read_arrays(path)
        found = labels_from_arrays(arrays, metadata)
        assert np.shares_memory(found, arrays["y"])
        assert not found.flags.writeable


@pytest.mark.parametrize(
    "y",
    [
        ["a list"],
        sparse.coo_array(np.eye(2)),
        np.array(["a", None], dtype=object),
        np.array(["a", 1], dtype=object),
        np.array([1, None], dtype=object),
        np.array([1.0, np.nan], dtype=object),
        np.array([2**70], dtype=object),
        np.array([2**60 + 1, 0.5], dtype=object),
        np.array([(1, 2), (3, 4)] + [None], dtype=object)[:2],
        np.array([[1], [2, 3], None], dtype=object)[:2],
        np.array([object()]),
        np.array([b"bytes"]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.array([1j]),
    ],
)
def test_other_labels_are_not_saved(y):
    with pytest.raises(TypeError, match=r"y must .* to\s+be saved, got"):
        labels_as_arrays(y)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"y_indices": np.array([0, 99])}, "indices must be < 2"),
        ({"y_indptr": np.array([0, 9])}, "index pointer"),
        ({"y_indptr": np.array([1, 2, 2])}, "index pointer"),
    ],
)
def test_a_sparse_indicator_that_points_outside_is_refused(damage, reason):
    arrays, metadata = labels_as_arrays(sparse.csr_array(np.eye(2)))
    with (
        pytest.raises(ValueError, match=f"some path.*{reason}"),
        naming_file("some path"),
    ):
        labels_from_arrays({**arrays, **damage}, metadata)


def test_labels_without_their_parts_are_refused():
    arrays, metadata = labels_as_arrays(np.array(["a", "b"], dtype=object))
    arrays["y_ids"] = np.array([0, 2])
    with (
        pytest.raises(ValueError, match="some path.*IndexError"),
        naming_file("some path"),
    ):
        labels_from_arrays(arrays, metadata)
    with pytest.raises(ValueError, match="some path.*y_text"), naming_file("some path"):
        labels_from_arrays({}, metadata)
    with pytest.raises(ValueError, match="unknown kind, 'pickle'"):
        labels_from_arrays({}, {"y": "pickle"})
