"""Files that are damaged, forged or no files of ours are refused, and it says why."""

import struct
import zipfile
from io import BytesIO

import numpy as np
import pytest
from torch import nn

import sklhash
from sklhash import LSH, HammingNeighbors
from tests.persistence.attacks import ATTACKS
from tests.persistence.changes import fitted
from tests.persistence.forgery import (
    ARRAYS,
    DESCRIPTION,
    Forgery,
    framed,
    header_of,
    sealed,
    zipped,
)
from tests.persistence.victims import MAKERS, TRUSTED, Doubled, use, victim

pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")
OTHER_KINDS = sorted(MAKERS.keys() - {"LSH"})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the path of a file of each kind, written once."""
    folder = tmp_path_factory.mktemp("saved")

    def path_of(kind):
        path = folder / kind
        if not path.exists():
            sklhash.save(victim(kind), path)
        return path

    return path_of


def reason(path, **options):
    """Return why a file is refused; the error has to name it."""
    with pytest.raises(ValueError, match=r"cannot be loaded as a file of") as refused:
        sklhash.load(path, **{"trusted": TRUSTED, **options})
    message = str(refused.value)
    assert message.startswith(repr(str(path)))
    assert len(message) < 1500
    return message


@pytest.mark.parametrize("kind", MAKERS)
def test_a_forgery_without_a_change_is_loaded(kind, saved, tmp_path):
    Forgery(saved(kind)).write(tmp_path / "forged")
    use(sklhash.load(tmp_path / "forged", trusted=TRUSTED))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_forgery_is_refused_with_its_reason(name, saved, tmp_path):
    kind, attack, why = ATTACKS[name]
    forgery = Forgery(saved(kind))
    attack(forgery)
    path = tmp_path / "forged"
    forgery.write(path)
    with pytest.raises(ValueError, match=why):
        sklhash.load(path, trusted=TRUSTED)
    reason(path)
    reason(path, mmap_mode="r", verify=False)


def test_every_changed_byte_is_noticed(saved, tmp_path):
    data, path = bytearray(saved("LSH").read_bytes()), tmp_path / "changed"
    rng = np.random.default_rng(0)
    for place in range(len(data)):
        changed = data.copy()
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        reason(path)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_changed_bytes_are_noticed_in_every_kind_of_model(kind, saved, tmp_path):
    data, path = bytearray(saved(kind).read_bytes()), tmp_path / "changed"
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data), size=60):
        changed = data.copy()
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        reason(path, mmap_mode=rng.choice([None, "r", "c"]))


def test_a_changed_description_is_noticed_without_verifying(saved, tmp_path):
    path = tmp_path / "changed"
    path.write_bytes(saved("LSH").read_bytes().replace(b'"n_bits": 9', b'"n_bits": 8'))
    assert "CRC" in reason(path, verify=False)


def test_every_truncated_file_is_refused(saved, tmp_path):
    data, path = saved("LSH").read_bytes(), tmp_path / "truncated"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        reason(path)
        reason(path, mmap_mode="r", verify=False)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_truncated_files_of_every_kind_are_refused(kind, saved, tmp_path):
    data, path = saved(kind).read_bytes(), tmp_path / "truncated"
    for length in np.random.default_rng(0).integers(len(data), size=20):
        path.write_bytes(data[:length])
        reason(path)


@pytest.mark.parametrize("more", [b"\n", b"\0" * 8, b"00000000", b"PK\5\6" + bytes(18)])
def test_a_file_with_something_behind_it_is_refused(more, saved, tmp_path):
    path = tmp_path / "longer"
    path.write_bytes(saved("LSH").read_bytes() + more)
    reason(path)
    path.write_bytes(sealed(saved("LSH").read_bytes() + more))
    reason(path)


@pytest.mark.parametrize("before", [b"#!/bin/sh\nreboot\n", bytes(64)])
def test_a_file_behind_something_else_is_refused(before, saved, tmp_path):
    path = tmp_path / "longer"
    path.write_bytes(sealed(before + saved("LSH").read_bytes()))
    assert "'model.json' should begin at byte 0" in reason(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed or encrypted"),
        ({"compression": zipfile.ZIP_BZIP2}, "compressed or encrypted"),
        ({"compression": zipfile.ZIP_LZMA}, "compressed or encrypted"),
        ({"before": [("../evil", b"x")]}, r"nothing else, got \['../evil', "),
        ({"behind": [("/etc/passwd", b"x")]}, "nothing else, got"),
        ({"behind": [("C:\\evil", b"x")]}, "nothing else, got"),
        ({"behind": [("model.json/", b"")]}, "nothing else, got"),
        ({"behind": [("x" * 60_000, b"")]}, "list of parts takes"),
        ({"behind": [(f"{i}", b"") for i in range(20_000)]}, "list of parts takes"),
    ],
)
def test_a_zip_that_is_packed_otherwise_is_refused(changes, why, saved, tmp_path):
    path = tmp_path / "packed"
    Forgery(saved("LSH")).write(path, **changes)
    with pytest.raises(ValueError, match=why):
        sklhash.load(path)
    reason(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", [DESCRIPTION, ARRAYS])
def test_a_part_that_is_there_twice_is_refused(name, saved, tmp_path):
    path = tmp_path / "twice"
    Forgery(saved("LSH")).write(path, behind=[(name, b"{}")])
    assert "nothing else" in reason(path)


def test_parts_in_another_order_are_refused(saved, tmp_path):
    file = BytesIO()
    with zipfile.ZipFile(saved("LSH")) as old, zipfile.ZipFile(file, "w") as new:
        new.comment = old.comment
        for name in (ARRAYS, DESCRIPTION):
            new.writestr(name, old.read(name))
    path = tmp_path / "reversed"
    path.write_bytes(sealed(file.getvalue()))
    assert "in that order" in reason(path)


def directory_at(data):
    """Return where the list of parts of a zip without zip64 begins."""
    return struct.unpack_from("<L", data, data.rfind(b"PK\5\6") + 16)[0]


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (8, "<H", 1),  # encrypted
        (8, "<H", 0x40),
        (8, "<H", 0x20),
        (6, "<H", 99),  # a later version of zip
        (10, "<H", 8),
        (16, "<L", 7),  # checksum
        (20, "<L", 10),  # sizes
        (24, "<L", 10),
        (20, "<L", 2**32 - 2),
        (24, "<L", 2**32 - 2),
        (20, "<Q", 2**32 - 1),
        (28, "<H", 2**16 - 1),  # lengths of the name and of what is behind it
        (30, "<H", 2**16 - 1),
        (32, "<H", 2**16 - 1),
        (42, "<L", 2**32 - 2),  # where the part begins
        (42, "<L", 2**32 - 1),
        (42, "<L", 1),
    ],
)
def test_a_list_of_parts_that_lies_is_refused(offset, form, value, saved, tmp_path):
    Forgery(saved("LSH")).write(tmp_path / "lying")
    data = bytearray((tmp_path / "lying").read_bytes())
    second = data.rfind(b"PK\1\2")
    for entry in (directory_at(data), second):
        changed = data.copy()
        struct.pack_into(form, changed, entry + offset, value)
        if changed == data or (entry == second and offset in (16, 30, 32)):
            continue  # of the arrays, which have a checksum of their own, or of nothing
        (tmp_path / "lying").write_bytes(sealed(bytes(changed)))
        reason(tmp_path / "lying")


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        *(
            (offset, "<H", value)
            for offset in (4, 6, 8, 10)
            for value in (1, 2**16 - 1)
        ),
        *((12, "<L", value) for value in (0, 1, 2**20, 2**32 - 1)),
        *((16, "<L", value) for value in (0, 1, 2**20, 2**31, 2**32 - 1)),
        *((20, "<H", value) for value in (0, 10, 2**16 - 1)),
    ],
)
def test_an_end_of_the_zip_that_lies_is_refused(offset, form, value, saved, tmp_path):
    Forgery(saved("LSH")).write(tmp_path / "lying")
    data = bytearray((tmp_path / "lying").read_bytes())
    struct.pack_into(form, data, data.rfind(b"PK\5\6") + offset, value)
    (tmp_path / "lying").write_bytes(sealed(bytes(data)))
    try:
        loaded = sklhash.load(tmp_path / "lying")
    except ValueError:
        reason(tmp_path / "lying")
    else:  # zipfile does not look at the numbers of disks and parts
        assert offset < 12
        use(loaded)


@pytest.mark.parametrize("points_at_a_right_one", [True, False])
def test_a_long_list_of_parts_is_not_hidden_by_zip64(points_at_a_right_one, tmp_path):
    entries = (b"PK\1\2" + bytes(42)) * 40_000
    record = struct.Struct("<4sQ2H2L4Q")
    right = record.pack(b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, 100, 0)
    long = record.pack(b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(entries), len(right))
    data = right + entries + long
    place = 0 if points_at_a_right_one else len(data) - len(long)
    data += struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    comment = b"sklhash crc32 00000000"
    data += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 100, 0, len(comment))
    (tmp_path / "long").write_bytes(sealed(data + comment))
    assert "list of parts takes 1840000 bytes" in reason(tmp_path / "long")


NESTED = b'{"format": 1, "model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD_JSON = {
    "no JSON": (b"import os", "Expecting value"),
    "nothing": (b"", "Expecting value"),
    "no text": (b"\xff\xfe\xfa", "decode"),
    "a list": (b"[1]", "format is None"),
    "a number": (b"1", "format is None"),
    "a name twice": (b'{"format": 1, "format": 1}', "a name twice"),
    "NaN": (b'{"format": NaN}', "has NaN, which is no JSON"),
    "infinity": (b'{"format": -Infinity}', "has -Infinity, which is no JSON"),
    "a deep nest": (NESTED, "recursion"),
    "a deep nest of objects": (
        b'{"format": 1, "model": ' + b'{"tuple": [' * 20_000 + b"]}" * 20_000 + b"}",
        "recursion",
    ),
    "a long number": (b'{"format": ' + b"9" * 10_000 + b"}", "integer string"),
    "something behind it": (b'{"format": 1} {"format": 1}', "Extra data"),
    "20 MB": (b'{"format": 1}' + b" " * 20_000_000, "takes 20000013 bytes"),
    "a million lists": (
        b'{"format": 1, "model": [' + b"[]," * 10**6 + b"[]]}",
        "1000002 lists and objects|1000003 lists and objects",
    ),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_a_description_that_is_no_json_is_refused(name, saved, tmp_path):
    text, why = BAD_JSON[name]
    Forgery(saved("LSH")).write(tmp_path / "forged", text=text)
    with pytest.raises(ValueError, match=why):
        sklhash.load(tmp_path / "forged")
    reason(tmp_path / "forged")


def header_with(**changes):
    """Return a header of two arrays, and say something else of the first."""
    arrays = {"a": np.zeros(4, "f4"), "b": np.zeros(2, "f8")}
    header = header_of(arrays)
    header["a"] |= changes
    return header


BAD_HEADERS = {
    "no JSON": (b"os.system", "Expecting value"),
    "a list": (b"[]", "cannot be loaded"),
    "an entry that is none": ({"a": 5}, "cannot be loaded"),
    "a name twice": (
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
        b'"a":{"dtype":"U8","shape":[32],"data_offsets":[0,32]}}',
        "a name twice",
    ),
    "a dtype of objects": (header_with(dtype="O"), "has dtype 'O', which is none of"),
    "a dtype that is none": (header_with(dtype=[]), "cannot be loaded"),
    "an unknown entry": (header_with(more=1), "cannot be loaded"),
    "overlapping arrays": (
        header_with(data_offsets=[8, 24]),
        "array 'a' should lie in bytes 0 to 16",
    ),
    "a gap": (header_with(shape=[3], data_offsets=[0, 12]), "array 'b' should lie"),
    "a gap in front": (header_with(data_offsets=[1, 17]), "array 'a' should lie"),
    "a negative offset": (header_with(data_offsets=[-16, 0]), "'a' should lie"),
    "offsets in reverse": (header_with(data_offsets=[16, 0]), "'a' should lie"),
    "three offsets": (header_with(data_offsets=[0, 16, 0]), "too many values"),
    "offsets beyond the end": (header_with(data_offsets=[0, 2**63]), "should lie"),
    "floats as offsets": (header_with(shape=[4.0]), r"has the shape \[4\.0\]"),
    "a negative shape": (header_with(shape=[-1, -4]), r"has the shape \[-1, -4\]"),
    "a bool in a shape": (header_with(shape=[True, 4]), r"has the shape \[True, 4\]"),
    "a shape that is too large": (header_with(shape=[2**62, 4]), "should lie"),
    "a shape whose product overflows": (
        header_with(shape=[2**32, 2**32, 4]),
        "should lie",
    ),
    "a shape beyond 64 bits": (header_with(shape=[2**64]), "has the shape"),
    "a shape of many axes": (header_with(shape=[1] * 65 + [4]), "has the shape"),
    "a shape of huge numbers": (header_with(shape=[10**4000] * 60), "has the shape"),
    "an empty array of a huge shape": (
        header_with(shape=[0, 2**62, 2**62], data_offsets=[0, 0]),
        "cannot be loaded",
    ),
    "an array that does not begin at its items": (
        {
            "c": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
            "a": {"dtype": "F64", "shape": [3], "data_offsets": [1, 25]},
            "b": {"dtype": "U8", "shape": [7], "data_offsets": [25, 32]},
        },
        "'a' does not begin at a multiple",
    ),
    "bools of other bytes": (
        {"a": {"dtype": "BOOL", "shape": [32], "data_offsets": [0, 32]}},
        "bools that are neither true nor false",
    ),
    "5 MB": (b'{"a": "' + b"x" * 5_000_000 + b'"}', "call for a header of 5000"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_header_of_arrays_that_is_none_is_refused(name, saved, tmp_path):
    header, why = BAD_HEADERS[name]
    values = b"\2" * 32
    Forgery(saved("LSH")).write(tmp_path / "forged", header=header, values=values)
    with pytest.raises(ValueError, match=why):
        sklhash.load(tmp_path / "forged")
    reason(tmp_path / "forged")


@pytest.mark.parametrize("length", [0, 1, 55, 120, 2**31, 2**63, 2**64 - 1, 2**64 - 8])
def test_a_header_of_another_length_is_refused(length, saved, tmp_path):
    forgery, path = Forgery(saved("LSH")), tmp_path / "forged"
    header = framed(header_of(forgery.arrays))
    assert len(header) - 8 != length
    data = length.to_bytes(8, "little") + header[8:] + bytes(400)
    text = b'{"format": 1, "model": null}'
    path.write_bytes(zipped(text, data))
    reason(path)
    path.write_bytes(zipped(text, b""))
    reason(path)


def test_a_custom_layer_is_loaded_only_if_its_class_is_trusted(saved):
    path = saved("custom backbone")
    why = reason(path, trusted=[])
    assert "tests.persistence.victims.Doubled', which is none of the classes" in why
    assert "trusted=[Doubled]" in why
    use(sklhash.load(path, trusted=[Doubled]))


def test_a_subclass_is_loaded_only_if_it_is_trusted(tmp_path):
    class Mine(LSH):
        pass

    path = tmp_path / "mine"
    sklhash.save(Mine(8).fit(np.eye(4)), path)
    assert "trusted=[Mine]" in reason(path, trusted=[])
    assert type(sklhash.load(path, trusted=[Mine])) is Mine


def test_a_trusted_class_is_refused_where_another_one_is_wanted(saved, tmp_path):
    class Doubled(LSH):
        pass

    why = reason(saved("custom backbone"), trusted=[Doubled])
    assert "Doubled' where Module is wanted" in why

    def HammingNeighbors():
        raise AssertionError("it was called")

    forgery = Forgery(saved("LSH"))
    forgery.model["class"] = "evil.HammingNeighbors"
    forgery.write(tmp_path / "forged")
    why = reason(tmp_path / "forged", trusted=[HammingNeighbors])
    assert "where BaseEstimator is wanted" in why


@pytest.mark.parametrize("trusted", [["os.system"], [5], [None], [nn.ReLU()], [np]])
def test_what_is_no_class_cannot_be_trusted(trusted, saved):
    with pytest.raises(TypeError, match="trusted must hold classes and functions, got"):
        sklhash.load(saved("LSH"), trusted=trusted)


@pytest.mark.parametrize("trusted", ["Doubled", 5, None, Doubled])
def test_classes_are_trusted_in_a_list(trusted, saved):
    with pytest.raises(ValueError, match="trusted"):
        sklhash.load(saved("LSH"), trusted=trusted)


def test_two_classes_of_one_name_cannot_be_trusted(saved):
    other = type("Doubled", (nn.Module,), {})
    with pytest.raises(ValueError, match="one of each name, got two Doubled"):
        sklhash.load(saved("LSH"), trusted=[Doubled, other])


def test_a_file_of_another_model_is_no_search(saved):
    with pytest.raises(ValueError, match="holds a LSH, not a HammingNeighbors"):
        HammingNeighbors.load(saved("LSH"))


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("PK" * 100)
    for path in tmp_path.iterdir():
        reason(path)
    with pytest.raises(OSError, match="directory"):
        sklhash.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        sklhash.load(tmp_path / "missing")


def test_a_refused_file_is_closed_and_stays_as_it_is(saved, tmp_path):
    forgery = Forgery(saved("LSH"))
    fitted(forgery).clear()
    path = tmp_path / "forged"
    forgery.write(path)
    before = path.read_bytes()
    reason(path, mmap_mode="c")
    assert path.read_bytes() == before
    path.unlink()
