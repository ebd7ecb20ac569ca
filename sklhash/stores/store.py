"""CodeStore: packed codes in shards, read from wherever they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import reduce
from typing import Any, Literal
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions, validate_params

from sklhash._arrays import as_array
from sklhash._files import PathLike
from sklhash._validation import is_whole_number
from sklhash.stores.files import Folder, StorageOptions
from sklhash.stores.formats import FORMATS, Format
from sklhash.stores.opening import manifest_of, naming_store
from sklhash.stores.reading import ShardReader

__all__ = ["CodeStore"]

PIECE = 2**24  # bytes


class CodeStore:
    """Packed codes and their ids in shards: a folder that need not fit into memory.

    :meth:`~sklhash.BaseHasher.encode_to` writes it. It is read a shard at a time, is
    never changed by reading, and can be sent to other processes, which open the same
    files.

    Parameters
    ----------
    path : str or path-like
        The folder: a local path, or a URL that fsspec knows, such as
        ``"s3://bucket/codes"``.

    mmap_mode : {"r"} or None, default="r"
        "r" maps the shards of a local store of .npy files into memory, read-only, so
        that processes share them and what is not used is not read. None reads a shard
        into memory; so does "r" where nothing can be mapped.

    storage_options : dict, default=None
        What fsspec's file system is made with: credentials, an endpoint.

    Attributes
    ----------
    path : str
        The folder, as an absolute path if it is local.

    n_samples : int
        Number of codes.

    n_bits : int
        Number of bits of a code.

    n_bytes : int
        Number of bytes of a code, ``ceil(n_bits / 8)``.

    n_shards : int
        Number of shards.

    lengths : tuple of int
        Numbers of codes of the shards, in order.

    format : {"npy", "parquet"}
        What the shards are.

    shape : tuple of int
        ``(n_samples, n_bytes)``.

    dtype : dtype
        uint8, that of packed codes.

    Raises
    ------
    FileNotFoundError
        If no store is there.
    ImportError
        If the file system, or Parquet, needs a package that is not installed.
    ValueError
        If the store is incomplete, its manifest is malformed, or a file is missing or
        has another size than the manifest says.

    See Also
    --------
    BaseHasher.encode_to : Writes a store.
    HammingNeighbors : Searches one.

    Notes
    -----
    Shards are plain files, which other programs read without this class. Shard 0 of the
    format "npy" is ``00000.codes.npy``, uint8 of shape ``(n, n_bytes)`` in C order with
    the data at a multiple of 64 bytes, and ``00000.ids.npy``, of shape ``(n,)`` and
    dtype int64, ``<U`` or ``S``; of the format "parquet" ``00000.parquet``, a table
    with the columns ``id`` (int64, string or binary) and ``code``
    (``fixed_len_byte_array(n_bytes)``). Bit ``j`` of a code is bit ``j % 8``, counted
    from the least significant one, of byte ``j // 8``; the bits behind the last one are
    zero. Rows are numbered through the shards in order.

    ``manifest.json`` has "version" (1), "n_bits", "n_bytes", "n_samples", "n_shards",
    "format", "model" (a fingerprint), and in "shards" for each its "n_samples", "rows"
    and "ids" (fingerprints of what was encoded), "ids_dtype" and "files", each with its
    "name", "size" in bytes and "crc32". A store that is not complete has ``begun.json``
    instead, and ``00000.json`` for shard 0, once that is written.

    What is in a store is not trusted: names, sizes, dtypes and shapes are checked, and
    nothing is unpickled. That the padding bits are zero is checked where a shard is
    read into memory, not where it is mapped.

    Examples
    --------
    >>> import sklhash, tempfile
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = sklhash.LSH(64, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = hasher.encode_to(folder, X, ids=10 * y, shard_size=1000)
    ...     store = sklhash.CodeStore(folder, mmap_mode=None)
    ...     codes, ids = store.codes(1), store.ids_at([[0, 1], [1795, 1796]])
    >>> store.shape, store.lengths
    ((1797, 8), (1000, 797))
    >>> codes.shape
    (797, 8)
    >>> ids
    array([[ 0, 10],
           [90, 80]])
    """

    @validate_params(
        {
            "path": [str, os.PathLike],
            "mmap_mode": [StrOptions({"r"}), None],
            "storage_options": [dict, None],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        path: PathLike,
        *,
        mmap_mode: Literal["r"] | None = "r",
        storage_options: StorageOptions = None,
    ) -> None:
        self._folder = Folder.at(path, storage_options)
        self._is_mapped = mmap_mode == "r"
        self._manifest = manifest_of(self._folder)
        self._lengths = tuple(shard.n_samples for shard in self._manifest.shards)
        FORMATS[self.format].check()

    @property
    def path(self) -> str:
        """The folder."""
        return self._folder.path

    @property
    def n_samples(self) -> int:
        """Number of codes."""
        return sum(self._lengths)

    @property
    def n_bits(self) -> int:
        """Number of bits of a code."""
        return self._manifest.plan.n_bits

    @property
    def n_bytes(self) -> int:
        """Number of bytes of a code."""
        return -(-self.n_bits // 8)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self._manifest.shards)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Numbers of codes of the shards."""
        return self._lengths

    @property
    def format(self) -> Format:
        """What the shards are."""
        return self._manifest.plan.format  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the codes of all shards."""
        return self.n_samples, self.n_bytes

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Dtype of the codes."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.n_samples

    def __repr__(self) -> str:
        return (
            f"<CodeStore {self.path!r}: {self.n_samples} codes of {self.n_bits} bits, "
            f"{self.n_shards} {self.format} shard{'s' * (self.n_shards != 1)}>"
        )

    def __iter__(self) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
        """Yield the ids and the codes of one shard after the other."""
        for shard in range(self.n_shards):
            yield self.ids(shard), self.codes(shard)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all codes, in memory."""
        if copy is False:
            raise ValueError("The codes of a store cannot be one array without a copy.")
        codes = np.empty(self.shape, dtype=np.uint8)
        starts = self._starts()
        for shard in range(self.n_shards):
            codes[starts[shard] : starts[shard + 1]] = self.codes(shard)
        return codes if dtype is None else codes.astype(dtype, copy=False)

    def codes(self, shard: int) -> NDArray[np.uint8]:
        """Return the codes of a shard.

        Parameters
        ----------
        shard : int
            Number of the shard, from 0 to ``n_shards - 1``.

        Returns
        -------
        codes : ndarray of shape (lengths[shard], n_bytes), dtype=uint8
            Packed codes; a read-only :class:`numpy.memmap` if they are mapped.

        Raises
        ------
        TypeError
            If `shard` is no integer.
        ValueError
            If there is no such shard, or its file is not what the manifest says.
        """
        return self.reader(shard).codes()

    def ids(self, shard: int) -> NDArray[Any]:
        """Return the ids of the codes of a shard.

        Parameters
        ----------
        shard : int
            Number of the shard, from 0 to ``n_shards - 1``.

        Returns
        -------
        ids : ndarray of shape (lengths[shard],)
            Ids, int64 or strings or bytes of a fixed width; read-only if they are
            mapped.

        Raises
        ------
        TypeError
            If `shard` is no integer.
        ValueError
            If there is no such shard, or its file is not what the manifest says.
        """
        return self.reader(shard).ids()

    def ids_at(self, indices: ArrayLike) -> NDArray[Any]:
        """Return the ids of some codes, of the hits of a search for example.

        Only the shards that have them are read.

        Parameters
        ----------
        indices : array-like of shape (n_ids,), dtype=int
            Numbers of codes through all shards, from 0 to ``n_samples - 1``. May have
            any other shape too.

        Returns
        -------
        ids : ndarray of shape (n_ids,)
            Their ids, in the shape of `indices`.

        Raises
        ------
        ValueError
            If `indices` are no integers or out of range, or a shard is not what the
            manifest says.
        """
        indices = as_array(indices, "indices")
        if indices.size and indices.dtype.kind not in "iu":
            raise ValueError(f"indices must be integers, got dtype {indices.dtype}.")
        rows = indices.astype(np.intp, casting="unsafe").ravel()
        wrong = (indices.ravel() < 0) | (indices.ravel() >= self.n_samples)
        if wrong.any():
            raise ValueError(
                f"indices must be from 0 to {self.n_samples - 1}, got "
                f"{indices.ravel()[wrong][0]}."
            )
        starts = self._starts()
        shards = np.searchsorted(starts, rows, side="right") - 1
        ids = np.empty(len(rows), dtype=self._dtype_of_ids())
        for shard in np.unique(shards):
            there = shards == shard
            ids[there] = self.ids(shard)[rows[there] - starts[shard]]
        return ids.reshape(indices.shape)

    def reader(self, shard: int) -> ShardReader:
        """Return what reads one shard, to send that and no more to another process.

        Parameters
        ----------
        shard : int
            Number of the shard, from 0 to ``n_shards - 1``.

        Returns
        -------
        reader : ShardReader
            With the methods `codes` and `ids`, which have no arguments, and the length
            of the shard.

        Raises
        ------
        TypeError
            If `shard` is no integer.
        ValueError
            If there is no such shard.
        """
        record = self._manifest.shards[self._checked(shard)]
        plan = self._manifest.plan
        return ShardReader(
            self._folder, record, plan.format, plan.n_bits, self._is_mapped
        )

    def verify(self) -> None:
        """Read all files once and compare their checksums with the manifest.

        A file that is damaged can be removed: ``encode_to``, called as it was, makes it
        again.

        Raises
        ------
        ValueError
            If a file was changed since it was written; it is named.
        """
        for shard in self._manifest.shards:
            for file in shard.files:
                with naming_store(self.path, file):
                    if self._checksum(file.name) != file.crc32:
                        raise ValueError(
                            "it was changed since it was written: its checksum differs."
                        )

    def _checksum(self, name: str) -> str:
        checksum = 0
        with self._folder.open(name) as file:
            while piece := file.read(PIECE):
                checksum = crc32(piece, checksum)
        return f"{checksum:08x}"

    def _checked(self, shard: Any) -> int:
        if not is_whole_number(shard):
            raise TypeError(f"shard must be an integer, got {shard!r}.")
        if not 0 <= shard < self.n_shards:
            raise ValueError(
                f"shard must be from 0 to {self.n_shards - 1}, got {shard}."
            )
        return int(shard)

    def _starts(self) -> NDArray[np.int64]:
        """Return the number of the first code of each shard, and that of all codes."""
        return np.cumsum([0, *self.lengths])

    def _dtype_of_ids(self) -> np.dtype[Any]:
        dtypes = {np.dtype(s.ids_dtype) for s in self._manifest.shards if s.n_samples}
        return reduce(np.promote_types, dtypes)
