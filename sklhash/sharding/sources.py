"""What shards come from: blocks of a Dask collection, a store, or an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sklhash._dask import blocks_of, is_dask, lengths_of, n_tasks
from sklhash._validation import check_same_length
from sklhash.stores import CodeStore
from sklhash.stores.reading import ShardReader
from sklhash.targets import copied_labels

__all__ = [
    "CodesInStore",
    "PackedCodes",
    "Readable",
    "Source",
    "read_source",
    "sources_of",
]


class Readable(Protocol):
    """Packed codes that need no check."""

    def __len__(self) -> int: ...

    def parts(self) -> list[NDArray[np.uint8]]:
        """Return the codes, in arrays of shape (n_samples, n_bytes) that follow."""


class PackedCodes:
    """Packed codes in memory.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_bytes), dtype=uint8
        The codes.
    """

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes
        self.nbytes = codes.nbytes

    def __len__(self) -> int:
        return len(self._codes)

    def parts(self) -> list[NDArray[np.uint8]]:
        """Return them, in one part."""
        return [self._codes]


class CodesInStore:
    """Codes of shards of a store that follow each other, read where they are wanted.

    Parameters
    ----------
    readers : list of ShardReader
        Read the shards.
    """

    def __init__(self, readers: list[ShardReader]) -> None:
        self._readers = readers

    def __len__(self) -> int:
        return sum(map(len, self._readers))

    def parts(self) -> list[NDArray[np.uint8]]:
        """Return the codes of each shard, mapped where the store maps its files."""
        return [reader.codes() for reader in self._readers]


class Source(NamedTuple):
    """What one shard comes from."""

    number: int
    """Which of the blocks given together."""

    codes: Any
    """Readable codes, or a delayed block of codes."""

    columns: Any
    """Columns that a block has to have, as :func:`_columns_of` gives them."""

    y: Any
    """Their labels, maybe delayed, or None."""


def sources_of(X: Any, y: Any) -> list[Source]:
    """Return what the shards of some codes come from.

    Parameters
    ----------
    X : CodeStore, Dask array or data frame, or PackedCodes
        Codes.

    y : ndarray, csr_array or Dask collection, or None
        Their labels.

    Returns
    -------
    sources : list of Source

    Raises
    ------
    ValueError
        If `y` is of another length, or does not say where to cut it.
    """
    if isinstance(X, CodeStore):
        codes: list[Any] = _in_store(X, n_parts=None if is_dask(y) else n_tasks())
        lengths: list[int] | None = [len(shards) for shards in codes]
    elif is_dask(X):
        codes, lengths = blocks_of(X), lengths_of(X)
    else:
        codes, lengths = [X], [len(X)]
    columns = _columns_of(X) if is_dask(X) else None
    labels = [None] * len(codes) if y is None else _cut(y, len(codes), lengths)
    return [
        Source(number, block, columns, part)
        for number, (block, part) in enumerate(zip(codes, labels, strict=True))
    ]


def read_source(
    source: Source, read: Callable[[Any], NDArray[np.uint8]]
) -> tuple[Readable, Any]:
    """Return the codes and the labels of a shard.

    Parameters
    ----------
    source : Source
        With blocks that are computed.

    read : callable
        What checks a block of codes and packs it.

    Returns
    -------
    codes : Readable
        Packed codes, in memory or in a store.

    y : ndarray or csr_array, or None
        Their labels, a copy.

    Raises
    ------
    ValueError
        If a block does not hold codes, or others than it should, or does not have as
        many as labels.
    """
    number, codes, columns, y = source
    try:
        if not hasattr(codes, "parts"):
            _check_columns(codes, columns)
            codes = PackedCodes(read(codes))
        if y is not None:
            y = copied_labels(y)
            check_same_length(X=codes, y=y)
    except ValueError as bad:
        raise ValueError(f"Block {number} of X: {bad}") from bad
    return codes, y


def _in_store(store: CodeStore, n_parts: int | None) -> list[CodesInStore]:
    """Return the codes of a store in about as many parts, or in its shards for None.

    A part is at least a shard.
    """
    readers = [store.reader(number) for number in range(store.n_shards)]
    if n_parts is None:
        return [CodesInStore([reader]) for reader in readers]
    middles = np.cumsum(store.lengths) - np.array(store.lengths) / 2
    numbers = (middles * n_parts / store.n_samples).astype(int)
    return [
        CodesInStore([reader for _, reader in together])
        for _, together in groupby(zip(numbers, readers, strict=True), itemgetter(0))
    ]


def _columns_of(X: Any) -> Any:
    """Return the names of the columns of a frame, or their number in a tuple."""
    return list(X.columns) if hasattr(X, "columns") else X.shape[1:]


def _check_columns(block: Any, columns: Any) -> None:
    found = _columns_of(block)
    if found != columns:
        raise ValueError(f"it must have the columns of X, {columns}, got {found}.")


def _cut(y: Any, n_blocks: int, lengths: Sequence[int] | None) -> list[Any]:
    """Cut labels as codes are cut."""
    if is_dask(y):
        blocks = blocks_of(y)
        y_lengths = lengths_of(y)
        if len(blocks) != n_blocks or (
            y_lengths is not None
            and lengths is not None
            and list(lengths) != list(y_lengths)
        ):
            raise ValueError(
                "y must have the blocks of X: got inconsistent numbers of samples, in "
                f"{n_blocks} blocks of {_some(lengths)} rows and {len(blocks)} of "
                f"{_some(y_lengths)}; y.rechunk and y.repartition change them."
            )
        return blocks
    if lengths is None:
        raise ValueError(
            "Dask does not know how long the blocks of X are, so that y cannot be cut "
            "at their ends: give y as a Dask collection of the same blocks, or call "
            "X.compute_chunk_sizes() before, of a data frame "
            "X.to_dask_array(lengths=True)."
        )
    if y.shape[0] != sum(lengths):
        raise ValueError(
            "X and y must have as many rows, got inconsistent numbers of samples: "
            f"{sum(lengths)} and {y.shape[0]}."
        )
    ends = np.cumsum([0, *lengths]).tolist()
    return [y[start:stop] for start, stop in pairwise(ends)]


def _some(lengths: Sequence[int] | None) -> str:
    if lengths is None:
        return "unknown numbers of"
    return f"{', '.join(map(str, lengths[:5]))}{', ...' if len(lengths) > 5 else ''}"
