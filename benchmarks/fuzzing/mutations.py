"""Changes of a file that a reader cannot tell by a checksum."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from math import prod
from random import Random
from typing import Any, NamedTuple

__all__ = ["changed_at_random", "mutated"]

NAMES = "model.json", "arrays.safetensors"
NUMBERS = (0, 1, -1, 2, 3, 7, 8, 9, 63, 64, 65, 255, 256, 511, 512, 513, 2**16, 65001)
NUMBERS += (2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**12, 10**400)
VALUES: tuple[Any, ...] = (
    *(*NUMBERS, 0.5, -0.0, 1e308, 1e-320, None, True, False, "", "a", "\ud800", "\x00"),
    *([], {}, [[]], [0], [None], {"": 0}, "cpu", "cuda", "float16", "int64", "O", "f4"),
    *("forward", "__class__", "training", "sklhash.LSH", "torch.nn.Linear", "T"),
    *("torch.nn.Identity", "torch.nn.functional.relu", "torch.optim.SGD", "pandas"),
    *({"float": "nan"}, {"float": "inf"}, {"float": "1e999"}, {"tuple": []}),
    *({"named": "torch.nn.Identity"}, {"scalar": ["float16", 1e300]}, {"dict": {}}),
    *({"scalar": ["int8", 300]}, {"path": "/etc/passwd"}, {"size": [2**40, 2**40]}),
    {"record": {"class": "sklhash.GaussianNoise", "fields": {}}},
)
DTYPES = ("BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64")
DTYPES += ("F16", "F32", "F64", "BF16", "")


_UNREADABLE = (
    *(LookupError, RuntimeError, TypeError, ValueError, AttributeError, EOFError),
    *(struct.error, zipfile.BadZipFile, zlib.error, OSError),
)


class _Parts(NamedTuple):
    description: Any
    header: Any
    values: bytes


def mutated(
    data: bytes, random: Random, change_bytes: Callable[[bytes], bytes]
) -> bytes:
    """Return another file, whose checksums are right.

    Parameters
    ----------
    data : bytes
        A file.

    random : random.Random
        Source of what is changed.

    change_bytes : callable
        Changes bytes that are of no known form.

    Returns
    -------
    data : bytes
        The file with a few changes in its JSON, in the header of its arrays, in the
        arrays, or anywhere.
    """
    if random.random() < 0.95:
        with suppress(*_UNREADABLE):  # it may be the change of a change
            return _changed_parts(_parts_of(data), random, change_bytes)
    return _sealed(change_bytes(data))


def _changed_parts(
    parts: _Parts, random: Random, change_bytes: Callable[[bytes], bytes]
) -> bytes:
    kind = random.random()
    if kind < 0.65:
        parts = parts._replace(description=_changed_tree(parts.description, random))
    elif kind < 0.85:
        parts = _with_other_array(parts, random)
    else:
        parts = parts._replace(values=change_bytes(parts.values))
    text = json.dumps(parts.description).encode()
    header = _framed(json.dumps(parts.header).encode())
    if random.random() < 0.03:
        text = change_bytes(text)
    if random.random() < 0.03:
        header = change_bytes(header)
    return _zipped(text, header + parts.values, random)


def changed_at_random(random: Random) -> Callable[[bytes], bytes]:
    """Return what changes a few bytes, or takes some out or in."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(random.choice((1, 1, 2, 8))):
            place = random.randrange(len(changed) + 1)
            length = random.choice((0, 1, 1, 1, 8, 64))
            drawn = random.randbytes(length)
            new = random.choice((bytes(length), b"\xff" * length, drawn))
            if random.random() < 0.8:
                changed[place : place + length] = new[: len(changed) - place]
            else:
                changed[place : place + random.choice((0, length))] = new
        return bytes(changed)

    return change


def _parts_of(data: bytes) -> _Parts:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        text, arrays = (archive.read(name) for name in NAMES)
    stop = 8 + int.from_bytes(arrays[:8], "little")
    return _Parts(json.loads(text), json.loads(arrays[8:stop]), arrays[stop:])


def _changed_tree(tree: Any, random: Random) -> Any:
    tree = _copied(tree)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = [place for place in _places(tree) if place[1] != "versions"]
        if places:
            _change_at(*random.choice(places), places, random)
    return tree


def _copied(tree: Any) -> Any:
    return json.loads(json.dumps(tree))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Walk over all containers and the keys or indices in them."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], (dict, list)) and key != "versions":
            yield from _places(tree[key])


def _change_at(node: Any, key: Any, places: list[Any], random: Random) -> None:
    is_there = key in node if isinstance(node, dict) else key < len(node)
    if not is_there:  # any more
        return
    kind = random.randrange(10)
    if kind < 4:
        node[key] = _copied(random.choice(VALUES))
    elif kind < 7:
        other, its_key = random.choice(places)
        with suppress(LookupError):
            node[key] = _copied(other[its_key])
    elif kind == 7:
        del node[key]
    elif isinstance(node, list):
        node.insert(key, _copied(node[key]))
    elif kind == 8:
        node[f"{key}{random.choice(('_', 's', '2'))}"] = node.pop(key)
    elif type(node[key]) in (int, float):
        node[key] += random.choice((1, -1, 64, -64))


def _with_other_array(parts: _Parts, random: Random) -> _Parts:
    """Give an array another dtype or shape, with as many bytes as it then has."""
    header, values, pieces = _copied(parts.header), parts.values, []
    if not isinstance(header, dict) or not header:
        return parts
    chosen, end = random.choice(list(header)), 0
    for name, entry in header.items():
        begin, stop = entry["data_offsets"]
        piece = values[begin:stop]
        if name == chosen:
            piece = _changed_entry(entry, piece, random)
        pieces.append(piece)
        entry["data_offsets"] = [end, end + len(piece)]
        end += len(piece)
    if random.random() < 0.1:
        order = random.sample(list(header), len(header))
        header = {name: header[name] for name in order}
    if random.random() < 0.1:
        header = _changed_tree(header, random)
    return _Parts(parts.description, header, b"".join(pieces))


def _changed_entry(entry: dict[str, Any], piece: bytes, random: Random) -> bytes:
    shape = entry["shape"]
    kind = random.randrange(4)
    if kind == 0:
        entry["dtype"] = random.choice(DTYPES)
    elif kind == 1 and shape:
        axis = random.randrange(len(shape))
        shape[axis] = random.choice((0, 1, shape[axis] + 1, shape[axis] - 1, 512, 576))
    elif kind == 2:
        shape.insert(random.randint(0, len(shape)), random.choice((0, 1, 2, 2**40)))
    else:
        random.shuffle(shape)
    digits = "".join(filter(str.isdigit, entry["dtype"]))
    n_bytes = int(digits or 8) // 8 * prod(shape)
    if not 0 <= n_bytes < 2**16:
        return piece
    return (piece * (n_bytes // max(1, len(piece)) + 1))[:n_bytes]


def _framed(header: bytes) -> bytes:
    header += b" " * (-(8 + len(header)) % 64)
    return len(header).to_bytes(8, "little") + header


def _zipped(text: bytes, data: bytes, random: Random) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"sklhash crc32 00000000"
        archive.writestr(NAMES[0], text)
        info = zipfile.ZipInfo(NAMES[1])
        padding = -(file.tell() + 30 + len(NAMES[1]) + 4) % 64
        if random.random() < 0.02:
            padding = random.randrange(64)
        info.extra = struct.pack("<2H", 0xD935, padding) + bytes(padding)
        archive.writestr(info, data)
    return _sealed(file.getvalue())


def _sealed(data: bytes) -> bytes:
    return data[:-8] + b"%08x" % zlib.crc32(data[:-8])
