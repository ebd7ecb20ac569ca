"""Shards: codes and labels in parts, each where it lies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklhash.sharding.places import Here, Merge, OnWorkers, load_shards
from sklhash.sharding.sources import Readable, Source, read_source

__all__ = ["Shard", "Shards", "joined", "joined_labels"]

Read = Callable[[Any], NDArray[np.uint8]]


class Shard:
    """Some codes and their labels.

    Parameters
    ----------
    codes : Readable
        Packed codes.

    y : ndarray or csr_array, or None
        Their labels.
    """

    def __init__(self, codes: Readable, y: Any) -> None:
        self._codes = codes
        self.y = y

    def __len__(self) -> int:
        return len(self._codes)

    def __sizeof__(self) -> int:  # by which Dask decides what it had better not move
        return _bytes_of(self._codes) + _bytes_of(self.y)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """The packed codes, maybe a memory map."""
        return joined(self._codes.parts())

    def items(self, live: NDArray[np.bool_] | None) -> tuple[NDArray[np.uint8], Any]:
        """Return the packed codes and labels of some rows, of all for None."""
        if live is None:
            return self.codes, self.y
        return self.codes[live], None if self.y is None else self.y[live]


class Shards:
    """Codes in order, in shards that lie in this process or on a cluster.

    The shards are loaded when they are first asked for, anew if the cluster has
    forgotten them or this is a copy in another process.

    Parameters
    ----------
    sources : list of Source
        What they come from.

    read : callable
        What checks a block of codes and packs it.

    kind : type
        What a shard is made into, ``kind(codes, y)``.
    """

    def __init__(
        self, sources: list[Source], read: Read, kind: type[Shard] = Shard
    ) -> None:
        self.sources = sources
        self._read = read
        self._kind = kind
        self._place: Here | OnWorkers | None = None
        self.lengths: list[int] = self.map(len)

    @property
    def starts(self) -> list[int]:
        """Row of the first code of each shard."""
        return [0, *accumulate(self.lengths)][:-1]

    def __len__(self) -> int:
        return sum(self.lengths)

    def cut(self, rows: NDArray[Any] | None) -> list[Any]:
        """Cut what there is one of for each row; None is nothing for each shard."""
        if rows is None:
            return [None] * len(self.lengths)
        spans = zip(self.starts, self.lengths, strict=True)
        return [rows[start : start + length] for start, length in spans]

    def map(
        self,
        function: Callable[..., Any],
        *each: list[Any],
        shared: tuple[Any, ...] = (),
    ) -> list[Any]:
        """Call a function for each shard, where it lies.

        Parameters
        ----------
        function : callable
            ``function(shard, *of_each, *shared)``.

        *each : list
            Arguments, one for each shard.

        shared : tuple, default=()
            Arguments that are the same for all.

        Returns
        -------
        results : list
            One a shard.
        """
        return self._loaded().map(function, self._zipped(each), shared)

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Merge,
        *each: list[Any],
        shared: tuple[Any, ...] = (),
    ) -> Any:
        """Call a function for each shard, as :meth:`map`, and merge what it returns.

        Parameters
        ----------
        function, *each, shared
            As for :meth:`map`.

        merge : callable
            ``merge(results)`` of a list of results of shards that follow each other, in
            order, or of what it has returned for such. It is called at least once.

        Returns
        -------
        merged : object
        """
        return self._loaded().reduce(function, merge, self._zipped(each), shared)

    def followed_by(self, sources: list[Source]) -> Shards:
        """Return shards with more behind them."""
        together = self._copy()
        together.sources = [*self.sources, *sources]
        together._place = self._loaded().with_more(self._load, sources)
        together.lengths = together.map(len)
        return together

    def _zipped(self, each: tuple[list[Any], ...]) -> list[tuple[Any, ...]]:
        if not each:
            return [()] * len(self.sources)
        return list(zip(*each, strict=True))

    def _loaded(self) -> Here | OnWorkers:
        place = self._place
        if place is None or place.is_lost:
            self._place = place = load_shards(self._load, self.sources)
        return place

    @property
    def _load(self) -> Callable[..., Shard]:
        return partial(_load, self._kind, self._read)

    def _copy(self) -> Shards:
        shards = Shards.__new__(Shards)
        vars(shards).update(vars(self))
        return shards

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_place": None}


def joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Join arrays of rows that follow each other, without a copy if there is one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def joined_labels(parts: list[Any]) -> Any:
    """Join labels of shards that follow each other; None if there are none."""
    if parts[0] is None:
        return None
    parts = [part for part in parts if part.shape[0] > 0] or parts[:1]
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack([sparse.csr_array(part) for part in parts], format="csr")
    return np.concatenate(parts)


def _load(kind: type[Shard], read: Read, *source: Any) -> Shard:
    return kind(*read_source(Source(*source), read))


def _bytes_of(values: Any) -> int:
    if sparse.issparse(values):
        return sum(map(_bytes_of, (values.data, values.indices, values.indptr)))
    return getattr(values, "nbytes", 64)
