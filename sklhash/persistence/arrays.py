"""Arrays behind one header, in the safetensors format, written without being copied.

Eight bytes with the length of the header, little-endian; the header in JSON, filled up
with spaces; the arrays, without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash._strict_json import parsed

__all__ = [
    "ALIGNMENT",
    "Arrays",
    "arrays_in",
    "header_of",
    "in_file_order",
    "pieces_of",
]

Arrays = dict[str, NDArray[Any]]

# Mapped codes are to begin at a cache line; the safetensors package aligns to 8 bytes
# and has no setting for it, so the header is written here.
ALIGNMENT = 64
LONGEST_HEADER = 2**22  # bytes: some 30,000 arrays
MOST_AXES = 64  # of numpy
PIECE = 2**24  # bytes

_NAMES = {"b1": "BOOL"} | {
    code: f"{code[0].upper()}{8 * int(code[1])}"
    for code in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}
_DTYPES = {name: np.dtype(f"<{code}") for code, name in _NAMES.items()}


def in_file_order(arrays: Arrays) -> Arrays:
    """Order arrays so that all are aligned although nothing may lie between them."""
    order = sorted(
        arrays.items(),
        key=lambda item: (item[1].nbytes % ALIGNMENT > 0, -item[1].itemsize),
    )
    return dict(order)


def header_of(arrays: Arrays) -> bytes:
    """Return what stands before the arrays, of a length that keeps the alignment.

    Raises
    ------
    TypeError
        If an array is not of bools, integers or floats.
    """
    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name, array in arrays.items():
        code = array.dtype.str[1:]
        if code not in _NAMES:
            raise TypeError(
                f"{name} must be an array of bools, integers or floats to be saved, "
                f"got dtype {array.dtype}."
            )
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _NAMES[code],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def pieces_of(array: NDArray[Any]) -> Iterator[memoryview]:
    """Give an array in C order, little-endian, in copies of at most 16 MiB.

    Other threads may append codes behind those of a search while it is written: a zip
    file takes the checksum of a piece and writes it, and both have to be of the same.
    """
    pieces: Any = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_dtypes=[array.dtype.newbyteorder("<")],
        casting="equiv",
        order="C",
        buffersize=PIECE // array.itemsize,
    )
    return (np.array(piece).data for piece in pieces)


def arrays_in(data: NDArray[np.uint8]) -> Arrays:
    """Return the arrays in a header and what stands behind it, as views.

    Raises
    ------
    ValueError
        If the header is malformed, or the arrays do not fill the rest, one right behind
        the other.
    """
    length = int.from_bytes(data[:8].tobytes(), "little")
    if (8 + length) % ALIGNMENT or length > min(len(data) - 8, LONGEST_HEADER):
        raise ValueError(
            f"its arrays have {len(data)} bytes, of which the first eight call for a "
            f"header of {length}."
        )
    header = parsed(data[8 : 8 + length].tobytes())
    values = data[8 + length :]
    _check_spans(header, len(values))
    arrays = {name: _cut(values, **entry) for name, entry in header.items()}
    for name, array in arrays.items():
        _check_values(name, array)
    return arrays


def _check_spans(header: dict[str, Any], size: int) -> None:
    end = 0
    for name, entry in header.items():
        dtype, shape = entry["dtype"], entry["shape"]
        if dtype not in _DTYPES:
            raise ValueError(
                f"array {name!r} has dtype {dtype!r}, which is none of "
                f"{', '.join(_DTYPES)}."
            )
        if len(shape) > MOST_AXES or not all(
            type(n) is int and 0 <= n < 2**63 for n in shape
        ):
            raise ValueError(f"array {name!r} has the shape {shape}.")
        begin, stop = entry["data_offsets"]
        n_bytes = prod(shape) * _DTYPES[dtype].itemsize
        if (begin, stop) != (end, end + n_bytes):
            raise ValueError(
                f"array {name!r} should lie in bytes {end} to {end + n_bytes} of the "
                f"data, after the one before and as long as its shape, got {entry}."
            )
        end = stop
    if end != size:
        raise ValueError(
            f"it is truncated or has something appended: its arrays end at byte {end} "
            f"of the data, and there are {size}."
        )


def _check_values(name: str, array: NDArray[Any]) -> None:
    """Refuse what compiled code does not look out for."""
    if not array.flags.aligned:
        raise ValueError(f"array {name!r} does not begin at a multiple of its items.")
    if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
        raise ValueError(f"array {name!r} has bools that are neither true nor false.")


def _cut(
    data: NDArray[np.uint8], dtype: str, shape: list[int], data_offsets: list[int]
) -> NDArray[Any]:
    return data[slice(*data_offsets)].view(_DTYPES[dtype]).reshape(shape)
