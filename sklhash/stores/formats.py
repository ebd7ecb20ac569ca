"""Shards as files: what stands in them, and how it is read and checked."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklhash.stores.files import Folder
from sklhash.stores.manifest import Shard, StoredFile

__all__ = ["FORMATS", "Format", "ShardFormat"]

Format = Literal["npy", "parquet"]


class ShardFormat(Protocol):
    """How a shard is laid out in files."""

    def contents(self, codes: NDArray[np.uint8], ids: NDArray[Any]) -> list[bytes]:
        """Return what stands in its files."""

    def codes(
        self, folder: Folder, shard: Shard, n_bytes: int, *, mapped: bool
    ) -> NDArray[np.uint8]:
        """Return its codes, mapped into memory if that can be."""

    def ids(self, folder: Folder, shard: Shard, *, mapped: bool) -> NDArray[Any]:
        """Return its ids, mapped into memory if that can be."""

    def check(self) -> None:
        """Raise an ImportError if what it needs is not installed."""


class NpyFormat:
    """Codes in one .npy file, ids in another."""

    def check(self) -> None:
        """Need nothing."""

    def contents(self, codes: NDArray[np.uint8], ids: NDArray[Any]) -> list[bytes]:
        """Return both files."""
        return [_as_npy(codes), _as_npy(ids)]

    def codes(
        self, folder: Folder, shard: Shard, n_bytes: int, *, mapped: bool
    ) -> NDArray[np.uint8]:
        """Return the array in the first file."""
        wanted = _Array(np.dtype(np.uint8), (shard.n_samples, n_bytes))
        return _read_npy(folder, shard.files[0], wanted, mapped)

    def ids(self, folder: Folder, shard: Shard, *, mapped: bool) -> NDArray[Any]:
        """Return the array in the second file."""
        wanted = _Array(np.dtype(shard.ids_dtype), (shard.n_samples,))
        return _read_npy(folder, shard.files[1], wanted, mapped)


class ParquetFormat:
    """A table with the columns "id" and "code"."""

    def check(self) -> None:
        """Need pyarrow."""
        _pyarrow()

    def contents(self, codes: NDArray[np.uint8], ids: NDArray[Any]) -> list[bytes]:
        """Return the one file."""
        pa, parquet = _pyarrow()
        code = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(codes.shape[1]), len(codes), [None, pa.py_buffer(codes)]
        )
        table = pa.table({"id": pa.array(ids), "code": code})
        file = BytesIO()
        parquet.write_table(table, file, use_dictionary=False)
        return [file.getvalue()]

    def codes(
        self, folder: Folder, shard: Shard, n_bytes: int, *, mapped: bool
    ) -> NDArray[np.uint8]:
        """Return the codes in the table."""
        pa, _ = _pyarrow()
        column = _read_column(folder, shard, "code", pa.binary(n_bytes))
        parts = [_bytes_in(chunk, n_bytes) for chunk in column.chunks]
        return np.concatenate([np.empty((0, n_bytes), np.uint8), *parts])

    def ids(self, folder: Folder, shard: Shard, *, mapped: bool) -> NDArray[Any]:
        """Return the ids in the table."""
        pa, _ = _pyarrow()
        dtype = np.dtype(shard.ids_dtype)
        kind = {"i": pa.int64(), "U": pa.string(), "S": pa.binary()}[dtype.kind]
        column = _read_column(folder, shard, "id", kind)
        if dtype.kind == "i":
            return column.to_numpy()
        ids = np.array(column.to_pylist(), dtype=dtype.kind)
        if ids.dtype.itemsize > dtype.itemsize:
            raise ValueError(f"its ids are longer than those of dtype {dtype}.")
        return ids.astype(dtype)


FORMATS: dict[str, ShardFormat] = {"npy": NpyFormat(), "parquet": ParquetFormat()}


class _Array(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def _as_npy(array: NDArray[Any]) -> bytes:
    file = BytesIO()
    np.lib.format.write_array(
        file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
    )
    return file.getvalue()


def _read_npy(
    folder: Folder, stored: StoredFile, wanted: _Array, mapped: bool
) -> NDArray[Any]:
    if mapped and folder.is_local:
        with folder.open(stored.name) as file:
            offset = _begin(file, wanted)
            size = file.seek(0, 2)
            _check_size(stored, size, offset, wanted)
        return np.memmap(
            folder.path_of(stored.name), wanted.dtype, "r", offset, wanted.shape
        )
    data = folder.read(stored.name)
    offset = _begin(BytesIO(data), wanted)
    _check_size(stored, len(data), offset, wanted)
    return np.frombuffer(data, wanted.dtype, offset=offset).reshape(wanted.shape)


def _begin(file: BinaryIO, wanted: _Array) -> int:
    """Return where the array in a .npy file begins, if it is the one that should be."""
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"its version is {version}, not (1, 0).")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as bad:  # also of Python's parser, which reads the header
        raise ValueError(f"it is no .npy file: {bad}") from bad
    if (dtype, shape) != (wanted.dtype, wanted.shape) or is_fortran:
        raise ValueError(
            f"it holds an array of dtype {dtype} and shape {shape}"
            f"{', in Fortran order' if is_fortran else ''}; the manifest tells of "
            f"{wanted.dtype} and {wanted.shape}."
        )
    return file.tell()


def _check_size(stored: StoredFile, size: int, offset: int, wanted: _Array) -> None:
    end = offset + wanted.dtype.itemsize * int(np.prod(wanted.shape, dtype=object))
    if not size == stored.size == end:
        raise ValueError(
            f"it has {size} bytes, the manifest tells of {stored.size}, and its array "
            f"ends at byte {end}."
        )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as missing:
        raise ImportError(
            "Parquet shards need pyarrow: pip install 'sklhash[parquet]'."
        ) from missing
    return pyarrow, parquet


def _read_column(folder: Folder, shard: Shard, name: str, kind: Any) -> Any:
    """Return a column of the table of a shard, if the table is what it should be."""
    pa, parquet = _pyarrow()
    (stored,) = shard.files
    with folder.open(stored.name) as file:
        size = file.seek(0, 2)
        if size != stored.size:
            raise ValueError(
                f"it has {size} bytes, the manifest tells of {stored.size}."
            )
        try:
            with parquet.ParquetFile(file) as table:
                _check_table(table, name, kind, shard.n_samples)
                column = table.read(columns=[name]).column(0)
        except (pa.ArrowException, OSError) as bad:
            raise ValueError(f"it is no Parquet file: {bad}") from bad
    if column.null_count or len(column) != shard.n_samples:
        raise ValueError(f"its column {name!r} has missing values.")
    return column


def _check_table(table: Any, name: str, kind: Any, n_samples: int) -> None:
    found = table.schema_arrow
    if found.names != ["id", "code"] or found.field(name).type != kind:
        raise ValueError(f"its columns are {found}.")
    if table.metadata.num_rows != n_samples:
        raise ValueError(f"it has {table.metadata.num_rows} rows, not {n_samples}.")


def _bytes_in(chunk: Any, n_bytes: int) -> NDArray[np.uint8]:
    data = np.frombuffer(chunk.buffers()[1], np.uint8)
    rows = slice(chunk.offset * n_bytes, (chunk.offset + len(chunk)) * n_bytes)
    return data[rows].reshape(len(chunk), n_bytes)
