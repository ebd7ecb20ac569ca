"""What is to be encoded, as the chunks that become shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import _num_samples

from sklhash._dask import blocks_of, is_dask, lengths_of
from sklhash.stores.ids import as_ids

__all__ = ["Blocks", "Chunk", "Rows", "Stream", "chunks_in"]


class Chunk(NamedTuple):
    """Rows, their ids if they are given, and the number of the first row."""

    X: Any
    ids: Any
    first: int | None

    def checked_ids(self) -> NDArray[Any]:
        """Return the ids that are given, else the index of a frame, else numbers."""
        n_samples = _num_samples(self.X)
        if self.ids is not None:
            return as_ids(self.ids, n_samples)
        if _is_indexed(self.X):
            return as_ids(self.X.index, n_samples)
        assert self.first is not None
        return np.arange(self.first, self.first + n_samples, dtype=np.int64)


class Rows:
    """An array or a frame, in memory or on disk, cut into chunks of some rows."""

    def __init__(self, X: Any, ids: Any, shard_size: int) -> None:
        n_samples = _num_samples(X)
        starts = [*range(0, n_samples, int(shard_size)), n_samples]
        self.lengths = [stop - start for start, stop in pairwise(starts)]
        self._starts = starts
        self._X = X.tocsr() if sparse.issparse(X) else X
        self._ids = None if ids is None else as_ids(ids, n_samples)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Chunk:
        start, stop = self._starts[number : number + 2]
        rows = slice(start, stop)
        X = self._X.iloc[rows] if _is_indexed(self._X) else self._X[rows]
        return Chunk(X, None if self._ids is None else self._ids[rows], start)


class Blocks:
    """A Dask collection, a chunk a block; its parts are delayed."""

    def __init__(self, X: Any, ids: Any) -> None:
        self.lengths = lengths_of(X)
        self._blocks = blocks_of(X)
        if ids is None and self.lengths is None and not _is_indexed(X):
            raise ValueError(
                "chunks is a Dask array whose blocks have unknown numbers of rows, so "
                "that the rows have no numbers: call chunks.compute_chunk_sizes() "
                "before, or give ids."
            )
        self._starts = [0, *accumulate(self.lengths or [])]
        self._ids = [None] * len(self) if ids is None else self._cut(ids)

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> Chunk:
        first = None if self.lengths is None else self._starts[number]
        return Chunk(self._blocks[number], self._ids[number], first)

    def _cut(self, ids: Any) -> Sequence[Any]:
        """Return the ids of each block."""
        if is_dask(ids):
            parts, lengths = blocks_of(ids), lengths_of(ids)
            known = lengths is not None and self.lengths is not None
            if len(parts) != len(self) or (known and lengths != self.lengths):
                raise ValueError(
                    f"ids must have the blocks of chunks, {self.lengths or len(self)}, "
                    f"got {lengths or len(parts)}."
                )
            return parts
        if self.lengths is None:
            raise ValueError(
                "ids must be a Dask array or series with the blocks of chunks, whose "
                f"numbers of rows are unknown, got {type(ids).__name__}."
            )
        array = as_ids(ids, self._starts[-1])
        return [array[start:stop] for start, stop in pairwise(self._starts)]


class Stream:
    """An iterable of arrays, or of pairs of an array and ids, a chunk each."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Chunk]:
        first = 0
        for chunk in self._chunks:
            is_pair = isinstance(chunk, tuple) and len(chunk) == 2
            X, ids = chunk if is_pair else (chunk, None)
            yield Chunk(X, ids, first)
            first += _num_samples(X)


def chunks_in(chunks: Any, ids: Any, shard_size: int) -> Blocks | Rows | Stream:
    """Return what a user gave as chunks.

    Raises
    ------
    TypeError
        If `chunks` is no array, Dask collection or iterable.
    ValueError
        If it has no rows, or `ids` are not one a row or do not go with it.
    """
    if is_dask(chunks):
        found: Blocks | Rows = Blocks(chunks, ids)
    elif sparse.issparse(chunks) or hasattr(chunks, "shape"):
        found = Rows(chunks, ids, shard_size)
    else:
        if not isinstance(chunks, Iterable) or isinstance(chunks, (str, bytes, dict)):
            raise TypeError(
                "chunks must be an array, a Dask collection or an iterable of arrays, "
                f"got {chunks!r}."
            )
        if ids is not None:
            raise ValueError(
                "ids must be None where chunks is an iterable: let it yield pairs "
                "(X, ids)."
            )
        return Stream(chunks)
    if found.lengths is not None and sum(found.lengths) == 0:
        raise ValueError("chunks must have at least one row, got none.")
    return found


def _is_indexed(X: Any) -> bool:
    return hasattr(X, "iloc")
