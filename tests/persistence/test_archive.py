"""The file itself: a zip that zipfile reads, of arrays that safetensors reads."""

import json
import os
import zipfile
from zlib import crc32

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import sklhash
from sklhash import LSH, HammingNeighbors
from sklhash.persistence.archive import read_archive, write_archive
from tests.persistence.forgery import ARRAYS, DESCRIPTION, Forgery

CODES = ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
dtypes = st.sampled_from([np.dtype(code) for code in CODES])
arrays_of_any_kind = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    dtypes.flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0))
    ),
    max_size=5,
)


def contents(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@given(arrays=arrays_of_any_kind)
def test_any_arrays_are_read_back_here_and_by_safetensors(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "any"
    write_archive(path, {"a": [1, None, "é"]}, arrays)
    others = safetensors.numpy.load(contents(path)[ARRAYS])
    for mmap_mode in (None, "r", "c"):
        description, found = read_archive(path, mmap_mode, verify=True)
        assert description == {"format": 1, "a": [1, None, "é"]}
        assert found.keys() == others.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)
            np.testing.assert_array_equal(others[name], array)
            assert found[name].flags.aligned
            assert found[name].flags.writeable == (mmap_mode != "r")


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda a: a[::-1, ::2],
        lambda a: a.astype(">f8"),
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: a[:0],
    ],
)
def test_arrays_of_any_strides_and_order_of_bytes_are_written(change, tmp_path):
    array = change(np.random.default_rng(0).standard_normal((30, 8)))
    write_archive(tmp_path / "file", {}, {"a": array})
    _, found = read_archive(tmp_path / "file", None, verify=True)
    np.testing.assert_array_equal(found["a"], array)


def test_a_file_is_what_its_documentation_says(tmp_path):
    path = tmp_path / "model"
    model = LSH(9, random_state=0).fit(np.eye(4))
    sklhash.save(model, path)
    parts = contents(path)
    assert [*parts] == [DESCRIPTION, ARRAYS]
    with zipfile.ZipFile(path) as archive:
        kinds = {info.compress_type for info in archive.infolist()}
        assert kinds == {zipfile.ZIP_STORED}
        digits = archive.comment.removeprefix(b"sklhash crc32 ")
    assert digits == b"%08x" % crc32(path.read_bytes()[:-8])
    description = json.loads(parts[DESCRIPTION])
    assert description["format"] == 1
    assert {"python", "numpy", "torch", "sklhash"} <= description["versions"].keys()
    assert description["model"]["estimator"]["class"] == "sklhash.LSH"
    arrays = safetensors.numpy.load(parts[ARRAYS])
    np.testing.assert_array_equal(arrays["LSH.components_"], model.components_)


def test_the_same_model_is_the_same_file(tmp_path):
    model = LSH(9, random_state=0).fit(np.eye(4))
    for name in "ab":
        sklhash.save(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("n_features", [1, 7, 70])
def test_codes_begin_at_a_cache_line_and_all_arrays_at_their_items(
    n_features, tmp_path
):
    codes = np.random.default_rng(0).integers(2, size=(900, n_features), dtype="u1")
    y = np.arange(900, dtype="u1") % 3
    search = HammingNeighbors().fit(codes, y).remove(np.arange(600))
    search.save(tmp_path / "codes")
    with zipfile.ZipFile(tmp_path / "codes") as archive:
        arrays = archive.read(ARRAYS)
    data = (tmp_path / "codes").read_bytes()
    start = data.index(arrays)
    header = json.loads(arrays[8 : 8 + int.from_bytes(arrays[:8], "little")])
    start += 8 + int.from_bytes(arrays[:8], "little")
    for name, entry in header.items():
        begin = start + entry["data_offsets"][0]
        if name.endswith(("planes", "allowed")):
            assert begin % 64 == 0, name
        n_bits = int("".join(filter(str.isdigit, entry["dtype"])))
        assert begin % (n_bits // 8) == 0, name


def test_nothing_of_an_array_is_lost_between_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("sklhash.persistence.arrays.PIECE", 64)
    array = np.random.default_rng(0).integers(2**60, size=(101, 7))
    write_archive(tmp_path / "file", {}, {"a": array, "b": array[:, ::3]})
    _, found = read_archive(tmp_path / "file", "r", verify=True)
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], array[:, ::3])


@pytest.mark.parametrize("dtype", ["O", "c8", "U3", "M8[s]", "longdouble", "V4"])
def test_other_arrays_are_not_written(dtype, tmp_path):
    with pytest.raises(TypeError, match="a must be an array of bools, integers or"):
        write_archive(tmp_path / "file", {}, {"a": np.zeros(3, dtype)})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("long", ["x" * 2**23, [[]] * 2**18])
def test_a_description_that_would_not_be_read_is_not_written(long, tmp_path):
    with pytest.raises(ValueError, match="the description takes"):
        write_archive(tmp_path / "file", {"a": long}, {})
    assert os.listdir(tmp_path) == []


def test_a_file_of_safetensors_own_is_read(tmp_path):
    """Its header is another one, filled up to a multiple of 8 bytes."""
    forgery = Forgery(_saved(tmp_path))
    theirs = safetensors.numpy.save(forgery.arrays)
    length = int.from_bytes(theirs[:8], "little")
    header, values = theirs[8 : 8 + length], theirs[8 + length :]
    forgery.write(tmp_path / "theirs", header=header, values=values)
    loaded = sklhash.load(tmp_path / "theirs")
    assert loaded.transform(np.eye(4)).shape == (4, 9)


def _saved(folder):
    sklhash.save(LSH(9, random_state=0).fit(np.eye(4)), folder / "model")
    return folder / "model"
