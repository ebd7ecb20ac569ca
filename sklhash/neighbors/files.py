"""Arrays in one file that is opened without being read, and labels as arrays.

The format is that of safetensors: eight bytes with the length of the header, little-
endian; the header in JSON, filled up with spaces; the arrays, without gaps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from math import prod
from typing import Any, BinaryIO, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklhash._files import PathLike, written_whole

__all__ = [
    "labels_as_arrays",
    "labels_from_arrays",
    "naming_file",
    "read_arrays",
    "write_arrays",
]

Arrays = dict[str, NDArray[Any]]
Metadata = dict[str, str]

FORMAT = "sklhash.HammingNeighbors"
VERSION = 1
# Mapped codes are to begin at a cache line; the safetensors package aligns to 8 bytes
# and has no setting for it, so the header is written here.
ALIGNMENT = 64
LONGEST_HEADER = 100_000_000  # what the safetensors package reads

_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_NAMES = {"b1": "BOOL"} | {
    code: f"{code[0].upper()}{8 * int(code[1])}"
    for code in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
}
_DTYPES = {name: np.dtype(f"<{code}") for code, name in _NAMES.items()}


def write_arrays(path: PathLike, arrays: Arrays, metadata: Metadata) -> None:
    """Write arrays into one file, which is there whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file. An earlier one stays as it is until the new one is complete.

    arrays : dict of str to ndarray
        Arrays of bools, integers or floats, of any strides; none is copied whole. Those
        of a multiple of 64 bytes, and the first of 8-byte items, begin at a multiple of
        64 bytes in the file; all begin at a multiple of their item's size.

    metadata : dict of str to str
        What else is to be kept; "format", "version" and "checksum" are taken.

    Raises
    ------
    TypeError
        If an array has another dtype.
    """
    arrays = _in_file_order(arrays)
    header = _header(arrays, metadata)
    with written_whole(path) as file:
        file.write(header)
        for array in arrays.values():
            for piece in _pieces(array):
                file.write(piece)


def read_arrays(
    path: PathLike, mmap_mode: Literal["r", "c"] | None = "r"
) -> tuple[Arrays, Metadata]:
    """Open a file of :func:`write_arrays`.

    Parameters
    ----------
    path : str or path-like
        The file.

    mmap_mode : {"r", "c"} or None, default="r"
        "r" maps the file into memory without reading it, and the arrays are read-only;
        with "c" they can be changed in memory and the file stays as it is; None reads
        the file.

    Returns
    -------
    arrays : dict of str to ndarray
        The arrays, aligned in memory as they are in the file.

    metadata : dict of str to str
        What was kept beside them.

    Raises
    ------
    ValueError
        If `mmap_mode` is unknown, or the file is of another kind, of a newer version,
        truncated or damaged.
    """
    if mmap_mode not in ("r", "c", None):
        raise ValueError(f"mmap_mode must be 'r', 'c' or None, got {mmap_mode!r}.")
    with naming_file(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = _read_header(file, size)
        start = file.tell()
        metadata = header.pop("__metadata__")
        _check_spans(header, size - start)
        if mmap_mode is None:
            data = _read_aligned(file, size - start)
        else:
            data = np.memmap(file, np.uint8, mmap_mode)[start:].view(np.ndarray)
        arrays = {name: _cut(data, **entry) for name, entry in header.items()}
    return arrays, metadata


@contextmanager
def naming_file(path: PathLike) -> Iterator[None]:
    """Turn whatever a malformed file brings about into a ValueError that names it."""
    try:
        yield
    except _MALFORMED as bad:
        reason = bad if isinstance(bad, ValueError) else repr(bad)
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as an index saved by sklhash: {reason}"
        ) from bad


def labels_as_arrays(y: Any) -> tuple[Arrays, Metadata]:
    """Take labels apart into what :func:`write_arrays` writes.

    Parameters
    ----------
    y : ndarray, csr_array or None
        Labels: bools, numbers or strings, also in an object array, or a sparse
        indicator.

    Returns
    -------
    arrays : dict of str to ndarray
        The parts, with names that begin with "y". An array of numbers or of fixed-width
        strings is a part as it is, so that it can be mapped; of other strings each is
        kept once.

    metadata : dict of str to str
        How to put them together again.

    Raises
    ------
    TypeError
        If `y` is no array, or holds anything else.
    """
    if y is None:
        return {}, {}
    if isinstance(y, sparse.csr_array):
        parts = {"y_data": y.data, "y_indices": y.indices, "y_indptr": y.indptr}
        return parts, {"y": "csr_array", "y_columns": str(y.shape[1])}
    if not isinstance(y, np.ndarray):
        raise TypeError(
            f"y must be an ndarray or csr_array to be saved, got {type(y)}."
        )
    kind = y.dtype.kind
    if kind in "buif":
        return {"y": y}, {"y": "numbers", "y_kind": kind}
    if kind == "U":
        characters = np.ascontiguousarray(y).astype(y.dtype.newbyteorder("="))
        return {"y": characters[..., None].view(np.uint32)}, {"y": "characters"}
    if kind in "TO" and all(isinstance(label, str) for label in y.flat):
        return _distinct_strings(y), {"y": "strings", "y_kind": kind}
    return {"y": _numbers_in(y)}, {"y": "numbers", "y_kind": kind}


def labels_from_arrays(arrays: Arrays, metadata: Metadata) -> Any:
    """Put together what :func:`labels_as_arrays` took apart.

    Parameters
    ----------
    arrays, metadata : dict
        What :func:`labels_as_arrays` returned, among others or alone.

    Returns
    -------
    y : ndarray, csr_array or None
        The labels, of the kind that they were. Numbers and fixed-width strings are
        views of what came.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """
    form, kind = metadata.get("y"), metadata.get("y_kind")
    if form is None:
        return None
    if form == "numbers":
        return arrays["y"].astype(object) if kind == "O" else arrays["y"]
    if form == "characters":
        width = arrays["y"].shape[-1]
        return arrays["y"].view(f"U{width}")[..., 0]
    if form == "strings":
        text, ends = arrays["y_text"].tobytes(), arrays["y_ends"].tolist()
        distinct = [
            text[begin:end].decode("utf-8", "surrogatepass")
            for begin, end in pairwise([0, *ends])
        ]
        labels = np.array(distinct, dtype=object)[arrays["y_ids"]]
        return labels.astype(kind, copy=False)
    if form == "csr_array":
        parts = arrays["y_data"], arrays["y_indices"], arrays["y_indptr"]
        shape = len(parts[2]) - 1, int(metadata["y_columns"])
        y = sparse.csr_array(parts, shape=shape)
        y.check_format(full_check=True)  # scipy writes where wrong indices point
        return y
    raise ValueError(f"it has labels of an unknown kind, {form!r}.")


def _distinct_strings(y: NDArray[Any]) -> Arrays:
    ids: dict[str, int] = {}
    found = (ids.setdefault(label, len(ids)) for label in y.flat)
    rows = np.fromiter(found, dtype=np.int64, count=y.size).reshape(y.shape)
    encoded = [label.encode("utf-8", "surrogatepass") for label in ids]
    return {
        "y_text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "y_ends": np.cumsum([len(label) for label in encoded], dtype=np.int64),
        "y_ids": rows.astype(np.min_scalar_type(len(ids))),
    }


def _numbers_in(y: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers in an object array, or say that there is something else."""
    with suppress(ValueError):  # ragged
        numbers = np.array(y.tolist() if y.dtype == object else y)
        if (
            numbers.dtype.kind in "buif"
            and numbers.shape == y.shape
            and (numbers.astype(object) == y).all()
        ):
            return numbers
    raise TypeError(
        "y must hold bools, numbers or strings, all of one kind and none missing, to "
        f"be saved, got {y!r}."
    )


def _in_file_order(arrays: Arrays) -> Arrays:
    """Order arrays so that all are aligned although nothing may lie between them."""
    order = sorted(
        arrays.items(),
        key=lambda item: (item[1].nbytes % ALIGNMENT > 0, -item[1].itemsize),
    )
    return dict(order)


def _header(arrays: Arrays, metadata: Metadata) -> bytes:
    about = {**metadata, "format": FORMAT, "version": str(VERSION)}
    header: dict[str, dict[str, Any]] = {"__metadata__": about}
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
    about["checksum"] = _checksum(header)
    text = _as_json(header)
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _as_json(header: dict[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()


def _checksum(header: dict[str, Any]) -> str:
    return f"{crc32(_as_json(header)):08x}"


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    """Give an array in C order, little-endian, at most 16 MB at a time."""
    pieces: Any = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_dtypes=[array.dtype.newbyteorder("<")],
        casting="equiv",
        order="C",
        buffersize=2**24 // array.itemsize,
    )
    return (np.ascontiguousarray(piece).data for piece in pieces)


def _read_header(file: BinaryIO, size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    aligned = (8 + length) % ALIGNMENT == 0
    if not aligned or length > min(size - 8, LONGEST_HEADER):
        raise ValueError(
            f"it is of another kind or truncated, has {size} bytes, of which the first "
            f"eight call for a header of {length}."
        )
    try:
        header = json.loads(file.read(length))
    except ValueError as bad:
        raise ValueError(f"its header is no JSON: {bad}") from bad
    about = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"its header does not say that its format is {FORMAT!r}.")
    if about.get("version") != str(VERSION):
        raise ValueError(
            f"it is of version {about.get('version')}, this sklhash reads {VERSION}."
        )
    if about.pop("checksum", None) != _checksum(header):
        raise ValueError("its header was changed, its checksum is that of another.")
    del about["format"], about["version"]
    return header


def _check_spans(header: dict[str, Any], size: int) -> None:
    """Refuse arrays that do not fill the data, one right behind the other."""
    end = 0
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise ValueError(
                f"array {name!r} has dtype {entry['dtype']!r}, which is none of "
                f"{', '.join(_DTYPES)}."
            )
        begin, stop = entry["data_offsets"]
        n_bytes = prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize
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


def _cut(
    data: NDArray[np.uint8], dtype: str, shape: list[int], data_offsets: list[int]
) -> NDArray[Any]:
    return data[slice(*data_offsets)].view(_DTYPES[dtype]).reshape(shape)


def _read_aligned(file: BinaryIO, size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    data = memory[begin : begin + size]
    if file.readinto(data) < size:  # type: ignore[attr-defined]
        raise ValueError("it was truncated while it was read.")
    return data
