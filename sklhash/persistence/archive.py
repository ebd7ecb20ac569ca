"""The file of a model: a zip of a description in JSON and arrays, and a checksum.

Nothing in it is compressed, so that arrays can be mapped into memory, and nothing takes
more memory than the file has bytes. It ends in the comment of the zip: the CRC-32 of
all that is before.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sklhash._files import PathLike, written_whole
from sklhash._strict_json import check_length, parsed
from sklhash.persistence.arrays import (
    ALIGNMENT,
    Arrays,
    arrays_in,
    header_of,
    in_file_order,
    pieces_of,
)

__all__ = ["MmapMode", "naming_file", "read_archive", "write_archive"]

MmapMode = Literal["r", "c"] | None

FORMAT = 1
DESCRIPTION, ARRAYS = "model.json", "arrays.safetensors"
LONGEST_DIRECTORY = 2**10
LONGEST_REASON = 1000  # characters, some of which are the file's

_COMMENT = b"sklhash crc32 "
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MARK, _END_64_MARK = b"PK\5\6", b"PK\6\6"
_LONGEST_END = 2**16 + _END.size + _LOCATOR.size + _END_64.size  # with its comment
_ZIP64 = 20  # bytes that the sizes of a large entry take in front of it
_PADDING = 0xD935  # what Android's zipalign calls its own
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_BLOCK = 2**20

_MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,  # of torch, and too deep a nest
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


class _Entry(NamedTuple):
    start: int
    stop: int


def write_archive(path: PathLike, description: dict[str, Any], arrays: Arrays) -> None:
    """Write a description and its arrays, which are there whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file. An earlier one stays as it is until the new one is complete.

    description : dict
        What JSON can hold; the number of the format is added.

    arrays : dict of str to ndarray
        Arrays of bools, integers or floats, of any strides; none is copied whole. Those
        of a multiple of 64 bytes, and the first of 8-byte items, begin at a multiple of
        64 bytes in the file; all begin at a multiple of their item's size.

    Raises
    ------
    TypeError
        If an array has another dtype.
    ValueError
        If the description takes more than 8 MiB or holds more than 262,144 lists and
        dicts.
    """
    numbered = {"format": FORMAT, **description}
    text = json.dumps(numbered, indent=1, allow_nan=False).encode()
    check_length(text)
    arrays = in_file_order(arrays)
    header = header_of(arrays)
    with written_whole(path) as file:
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            archive.comment = _COMMENT + b"0" * 8
            archive.writestr(zipfile.ZipInfo(DESCRIPTION, _FIRST_DAY), text)
            with archive.open(_aligned_entry(file), "w", force_zip64=True) as entry:
                entry.write(header)
                for array in arrays.values():
                    for piece in pieces_of(array):
                        entry.write(piece)
        _write_checksum(file)


def read_archive(
    path: PathLike, mmap_mode: MmapMode, *, verify: bool
) -> tuple[dict[str, Any], Arrays]:
    """Open a file of :func:`write_archive`, after all checks but those of the meaning.

    Parameters
    ----------
    path : str or path-like
        The file.

    mmap_mode : {"r", "c"} or None
        "r" maps the arrays into memory, read-only; with "c" they can be changed in
        memory and the file stays as it is; None reads them.

    verify : bool
        Whether to read the file once and compare its checksum.

    Returns
    -------
    description : dict
        What the JSON says.

    arrays : dict of str to ndarray
        The arrays, aligned in memory as they are in the file.

    Raises
    ------
    ValueError
        If the file is of another kind, truncated, has a changed byte (noticed in the
        arrays with `verify` only) or anything besides the two parts.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _refuse_long_directory(file, size)
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive, file, size)
            description = _description(archive.read(DESCRIPTION))
        _refuse_other_end(file, size)
        if verify:
            _verify(file, size)
        start, stop = entries[ARRAYS]
        if mmap_mode is None:
            file.seek(start)
            data = _read_aligned(file, stop - start)
        else:
            whole = np.memmap(file, np.uint8, mmap_mode)
            data = whole[start:stop].view(np.ndarray)
        return description, arrays_in(data)


@contextmanager
def naming_file(path: PathLike) -> Iterator[None]:
    """Turn whatever a malformed file brings about into a ValueError that names it."""
    try:
        yield
    except _MALFORMED as bad:
        is_told = isinstance(bad, (ValueError, RuntimeError))
        reason = str(bad) if is_told else f"a part of it is malformed: {bad!r}."
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[:LONGEST_REASON]}…"
        raise ValueError(
            f"{os.fspath(path)!r} cannot be loaded as a file of sklhash.save: {reason}"
        ) from bad


def _aligned_entry(file: BinaryIO) -> zipfile.ZipInfo:
    """Return an entry whose data begins at a multiple of the alignment."""
    info = zipfile.ZipInfo(ARRAYS, _FIRST_DAY)
    start = file.tell() + _LOCAL.size + len(ARRAYS) + _ZIP64
    padding = -(start + 4) % ALIGNMENT
    info.extra = struct.pack("<2H", _PADDING, padding) + bytes(padding)
    return info


def _write_checksum(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    checksum = _checksum(file, size - 8)
    file.seek(size - 8)
    file.write(checksum)


def _checksum(file: BinaryIO, size: int) -> bytes:
    """Return the CRC-32 of the first bytes of a file, in hexadecimal digits."""
    file.seek(0)
    checksum, memory = 0, memoryview(bytearray(_BLOCK))
    while size:
        n_read = file.readinto(memory[: min(size, _BLOCK)])  # type: ignore[attr-defined]
        if not n_read:
            raise ValueError("it was truncated while it was read.")
        checksum = crc32(memory[:n_read], checksum)
        size -= n_read
    return b"%08x" % checksum


def _refuse_long_directory(file: BinaryIO, size: int) -> None:
    """Refuse what is no zip, or whose list of parts would take long to read."""
    start = max(0, size - _LONGEST_END)
    file.seek(start)
    tail = file.read(_LONGEST_END)
    # Zipfile takes the one that has no comment behind it, or else the last.
    places = {len(tail) - _END.size, tail.rfind(_END_MARK)}
    lengths = [
        length
        for place in places
        if place >= 0 and tail.startswith(_END_MARK, place)
        for length in _directory_lengths(tail, place)
    ]
    if not lengths:
        raise ValueError("it is truncated or no zip: it does not end as one.")
    if max(lengths) > LONGEST_DIRECTORY:
        raise ValueError(f"its list of parts takes {max(lengths)} bytes.")


def _directory_lengths(tail: bytes, place: int) -> Iterator[int]:
    """Give what the records at the end of a zip say that its list of parts takes."""
    if len(tail) - place >= _END.size:
        yield _END.unpack_from(tail, place)[5]
    record = place - _LOCATOR.size - _END_64.size
    if record >= 0 and tail.startswith(_END_64_MARK, record):
        yield _END_64.unpack_from(tail, record)[8]


def _refuse_other_end(file: BinaryIO, size: int) -> None:
    """Refuse what does not end as our files, with nothing behind."""
    length = _END.size + len(_COMMENT) + 8
    file.seek(max(0, size - length))
    end = file.read(length)
    n_comment = _END.unpack_from(end)[7]
    if (
        not end.startswith(_END_MARK)
        or not end.startswith(_COMMENT, _END.size)
        or n_comment != length - _END.size
    ):
        raise ValueError(
            "it has no checksum at its end: it was truncated, changed, or written by "
            "another program."
        )


def _entries(archive: zipfile.ZipFile, file: BinaryIO, size: int) -> dict[str, _Entry]:
    """Return where the two parts lie, if nothing else is there."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if names != [DESCRIPTION, ARRAYS]:
        raise ValueError(
            f"it must hold {DESCRIPTION!r} and {ARRAYS!r}, in that order and nothing "
            f"else, got {names}."
        )
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits:
            raise ValueError(f"its part {info.filename!r} is compressed or encrypted.")
        if info.file_size != info.compress_size or info.file_size > size:
            raise ValueError(
                f"its part {info.filename!r} says that it has {info.file_size} bytes, "
                f"in {info.compress_size} of a file of {size}."
            )
    entries, end = {}, 0
    for info in infos:
        if info.header_offset != end:
            raise ValueError(f"its part {info.filename!r} should begin at byte {end}.")
        entries[info.filename] = _entry(info, file, size)
        end = entries[info.filename].stop
    if archive.start_dir != end:
        raise ValueError(f"its list of parts should begin at byte {end}.")
    return entries


def _entry(info: zipfile.ZipInfo, file: BinaryIO, size: int) -> _Entry:
    file.seek(info.header_offset)
    *_, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
    start = info.header_offset + _LOCAL.size + name_length + extra_length
    stop = start + info.file_size
    if stop > size:
        raise ValueError(f"it is truncated: {info.filename!r} ends at byte {stop}.")
    return _Entry(start, stop)


def _description(text: bytes) -> dict[str, Any]:
    description = parsed(text)
    number = description.get("format") if isinstance(description, dict) else None
    if type(number) is not int or number != FORMAT:
        raise ValueError(
            f"its format is {number!r}, and this version of sklhash reads {FORMAT}."
        )
    return description


def _verify(file: BinaryIO, size: int) -> None:
    file.seek(size - 8)
    expected = file.read(8)
    if _checksum(file, size - 8) != expected:
        raise ValueError("it was changed since it was written: its checksum differs.")


def _read_aligned(file: BinaryIO, size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    data = memory[begin : begin + size]
    if file.readinto(data) < size:  # type: ignore[attr-defined]
        raise ValueError("it was truncated while it was read.")
    return data
