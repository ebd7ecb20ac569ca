"""The same search over codes in shards, here or on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from sklhash.codes import as_words
from sklhash.neighbors.engine import Algorithm, Engine, choose_engine
from sklhash.neighbors.search import Counts, Distances, Hits, Places, Queries
from sklhash.neighbors.search_shard import SearchShard
from sklhash.neighbors.table import Rows, Selection, Words
from sklhash.sharding import ShardedCodes
from sklhash.sharding.shards import Shard, Shards
from sklhash.sharding.sources import Source

__all__ = ["OnShards", "ShardSelection", "ShardedTable"]

_QUERY_BYTES = 2**22  # that are sent at once
_WORD = 8  # bytes


@dataclass(frozen=True)
class ShardSelection:
    """Some of the codes of a sharded table, to be searched.

    Parameters
    ----------
    shards : Shards
        Of :class:`SearchShard`.

    mask : ndarray of shape (n_rows,), dtype=bool, or None
        Whether the code of each row may be found; None if all may.

    n_allowed : int
        How many may.

    n_rows : int
        Number of rows of the table, removed ones too.
    """

    shards: Shards
    mask: NDArray[np.bool_] | None
    n_allowed: int
    n_rows: int

    def allows(self, rows: Rows) -> NDArray[np.bool_]:
        """Tell whether the codes of some rows may be found."""
        return np.ones(len(rows), bool) if self.mask is None else self.mask[rows]

    def rows_of(self, places: Rows) -> Rows:
        """Return the rows at some places: the places are the rows."""
        return places

    def places_of(self, places: Rows) -> Rows:
        """Return where places of the table are here: at the same places."""
        return places


class ShardedTable:
    """Codes in shards: to a search what a :class:`CodeTable` is, row and place alike.

    A table does not change: `append` and `remove` return another one.

    Parameters
    ----------
    shards : Shards
        Of :class:`SearchShard`.

    n_bytes : int
        Bytes of a packed code.

    live : ndarray of shape (n_rows,), dtype=bool, or None
        The rows that were not removed; None if none was.
    """

    def __init__(
        self, shards: Shards, n_bytes: int, live: NDArray[np.bool_] | None = None
    ) -> None:
        self.shards = shards
        self.n_bytes = n_bytes
        self._live = live

    @property
    def n_bits(self) -> int:
        """Bits of a code, with those that fill up its last byte."""
        return 8 * self.n_bytes

    @property
    def n_arrived(self) -> int:
        """Number of codes that ever came."""
        return len(self.shards)

    @property
    def n_stored(self) -> int:
        """Number of codes that the shards hold: all that ever came."""
        return len(self.shards)

    @property
    def n_live(self) -> int:
        """Number of codes that were not removed."""
        return self.n_arrived if self._live is None else int(self._live.sum())

    @property
    def live_rows(self) -> NDArray[np.bool_]:
        """Whether each row was not removed, (n_arrived,)."""
        return np.ones(self.n_arrived, bool) if self._live is None else self._live

    @property
    def live_places(self) -> NDArray[np.bool_]:
        """Whether the code at each place was not removed, (n_stored,)."""
        return self.live_rows

    @property
    def codes(self) -> ShardedCodes:
        """The codes that were not removed."""
        return ShardedCodes(self.shards, self.n_bytes, self._live)

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Packed codes of all rows, zeros for those removed, (n_arrived, n_bytes)."""
        packed = np.asarray(ShardedCodes(self.shards, self.n_bytes))
        packed[~self.live_rows] = 0
        return packed

    @property
    def y(self) -> Any:
        """Labels of all rows, or None."""
        labels = ShardedCodes(self.shards, self.n_bytes).labels
        return None if labels is None else labels.joined()

    def append(self, sources: list[Source]) -> ShardedTable:
        """Return a table with more shards."""
        shards = self.shards.followed_by(sources)
        live = self._live
        if live is not None:
            live = np.concatenate([live, np.ones(len(shards) - len(live), bool)])
        return ShardedTable(shards, self.n_bytes, live)

    def remove(self, rows: Rows) -> ShardedTable:
        """Return a table without the codes of some rows."""
        live = self.live_rows.copy()
        live[rows] = False
        return ShardedTable(self.shards, self.n_bytes, live)

    def places_of(self, rows: Rows) -> Rows:
        """Return the places of rows, -1 for those that were removed."""
        return np.where(self.live_rows[rows], rows, -1)

    def words(self, places: Rows | slice = slice(None)) -> Words:
        """Return the codes at some places, (n, n_words)."""
        return as_words(np.asarray(ShardedCodes(self.shards, self.n_bytes)))[places]

    def packed_at(self, rows: Rows) -> NDArray[np.uint8]:
        """Return the packed codes of some rows."""
        packed = np.empty((len(rows), self.n_bytes), dtype=np.uint8)
        number = np.searchsorted(self.shards.starts, rows, side="right") - 1
        there = [number == i for i in range(len(self.shards.lengths))]
        wanted = [
            rows[mask] - start
            for mask, start in zip(there, self.shards.starts, strict=True)
        ]
        for mask, codes in zip(there, self.shards.map(_at, wanted), strict=True):
            packed[mask] = codes
        return packed

    def select(self, mask: NDArray[np.bool_] | None = None) -> ShardSelection:
        """Return the live codes, or those of them that `mask` names."""
        if mask is None:
            return ShardSelection(self.shards, self._live, self.n_live, self.n_arrived)
        selected = mask & self.live_rows
        n_allowed = int(selected.sum())
        return ShardSelection(self.shards, selected, n_allowed, self.n_arrived)


class How(NamedTuple):
    """How each shard is searched."""

    algorithm: Algorithm
    device: str
    n_jobs: int | None


@dataclass(frozen=True)
class OnShards:
    """Search a selection of codes in shards.

    As many indexes as there are shards in a process would take as many times the memory
    that one may take, so that "auto" compares each query with each code.
    """

    selection: ShardSelection
    how: How

    @classmethod
    def by(
        cls,
        selection: ShardSelection,
        algorithm: Algorithm,
        device: str,
        n_jobs: int | None,
    ) -> OnShards:
        """Return what searches by an algorithm, on a device, in some threads."""
        named: Algorithm = "brute" if algorithm == "auto" else algorithm
        return cls(selection, How(named, device, n_jobs))

    @property
    def algorithm(self) -> Algorithm:
        """Name of what searches."""
        return self.how.algorithm

    def nearest(self, queries: Queries, k: int) -> tuple[Distances, Places]:
        """Find the k nearest codes of each query."""
        leave_out = bool((queries.own >= 0).any())
        parts = [
            _without_own(self._nearest(batch, k + leave_out), batch.own, k)
            for batch in _batches(queries)
        ]
        distances, rows = (np.concatenate(of) for of in zip(*parts, strict=True))
        return distances, rows

    def within(self, queries: Queries, radius: int, by_distance: bool) -> list[Hits]:
        """Find the codes within a radius of each query."""
        return [
            _merged_hits(self._map(_within, batch, radius, by_distance), by_distance)
            for batch in _batches(queries)
        ]

    def count(self, queries: Queries, radius: int) -> Counts:
        """Count the codes within a radius of each query."""
        counts = (self._map(_count, batch, radius) for batch in _batches(queries))
        return np.concatenate([np.sum(of, axis=0) for of in counts])

    def _nearest(self, queries: Queries, k: int) -> tuple[Distances, Places]:
        return self.selection.shards.reduce(
            _nearest, partial(_nearer, k), *self._each, shared=(queries, k, self.how)
        )

    def _map(self, function: Any, queries: Queries, *arguments: Any) -> list[Any]:
        shared = queries, *arguments, self.how
        return self.selection.shards.map(function, *self._each, shared=shared)

    @property
    def _each(self) -> tuple[list[int], list[Any]]:
        """Where each shard starts, and its part of the mask."""
        shards, mask = self.selection.shards, self.selection.mask
        return shards.starts, shards.cut(mask)


def _batches(queries: Queries) -> Iterator[Queries]:
    height = max(1, _QUERY_BYTES // (_WORD * queries.words.shape[1]))
    for rows in gen_batches(len(queries.words), height):
        yield queries.take(rows)


def _engines(
    shard: SearchShard, mask: Any, how: How, radius: int | None
) -> Iterator[tuple[int, int, Engine, Selection]]:
    """Yield what searches each table, where it starts, and how many rows it has."""
    in_place = how.device != "cpu" or how.algorithm == "multi_index"
    for start, table in shard.tables():
        stop = start + table.n_stored
        part = None if mask is None else mask[start:stop]
        selection = table.select(part, in_place=in_place)
        if selection.n_allowed > 0:
            engine = choose_engine(table, selection, radius, *how)
            yield start, stop, engine, selection


def _nearest(
    shard: SearchShard, start: int, mask: Any, queries: Queries, k: int, how: How
) -> tuple[Distances, Places]:
    """Find the k nearest codes of a shard, or all if it has fewer."""
    n_queries = len(queries.words)
    none = queries._replace(own=np.full(n_queries, -1))
    found = [
        (np.empty((n_queries, 0), np.int32), np.empty((n_queries, 0), np.int64)),
    ]
    for first, _, engine, selection in _engines(shard, mask, how, None):
        distances, places = engine.nearest(none, min(k, selection.n_allowed))
        found.append((distances, selection.rows_of(places) + start + first))
    return _nearer(k, found)


def _within(
    shard: SearchShard,
    start: int,
    mask: Any,
    queries: Queries,
    radius: int,
    by_distance: bool,
    how: How,
) -> Hits:
    """Find the codes of a shard within a radius."""
    n_queries = len(queries.words)
    found = [
        Hits(np.zeros(n_queries, np.int64), np.empty(0, np.int32), np.empty(0, int))
    ]
    for first, stop, engine, selection in _engines(shard, mask, how, radius):
        part = _shifted(queries, start + first, start + stop, selection)
        for_part = engine.within(part, radius, by_distance)
        counts, distances, places = map(np.concatenate, zip(*for_part, strict=True))
        rows = selection.rows_of(places) + start + first
        found.append(Hits(counts, distances, rows))
    return _merged_hits(found, by_distance)


def _count(
    shard: SearchShard, start: int, mask: Any, queries: Queries, radius: int, how: How
) -> Counts:
    """Count the codes of a shard within a radius."""
    counts = np.zeros(len(queries.words), dtype=np.int64)
    for first, stop, engine, selection in _engines(shard, mask, how, radius):
        part = _shifted(queries, start + first, start + stop, selection)
        counts += engine.count(part, radius)
    return counts


def _shifted(queries: Queries, start: int, stop: int, selection: Selection) -> Queries:
    """Say where the queries' own rows are among those of a table, -1 for elsewhere."""
    there = (queries.own >= start) & (queries.own < stop)
    own = np.where(there, queries.own - start, -1)
    own[there] = selection.places_of(own[there])
    return queries._replace(own=own)


def _nearer(k: int, found: list[tuple[Distances, Places]]) -> tuple[Distances, Places]:
    """Merge nearest codes of parts of the rows that follow each other."""
    distances, rows = (np.concatenate(of, axis=1) for of in zip(*found, strict=True))
    # numpy sorts 16 bits by counting, in linear time, and stably: the order of rows.
    order = np.argsort(distances.astype(np.uint16), axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(rows, order, axis=1),
    )


def _without_own(
    found: tuple[Distances, Places], own: Places, k: int
) -> tuple[Distances, Places]:
    """Leave out each query's own row, or the last where that is not among them."""
    distances, rows = found
    order = np.argsort(rows == own[:, None], axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(rows, order, axis=1),
    )


def _merged_hits(found: list[Hits], by_distance: bool) -> Hits:
    """Merge hits in parts of the rows that follow each other."""
    counts = np.sum([of.counts for of in found], axis=0)
    distances = np.concatenate([of.distances for of in found])
    rows = np.concatenate([of.places for of in found])
    query = np.concatenate(
        [np.repeat(np.arange(len(counts)), of.counts) for of in found]
    )
    if by_distance:
        query = query * (1 + distances.max(initial=0)) + distances
    order = np.argsort(query, kind="stable")
    return Hits(counts, distances[order], rows[order])


def _at(shard: Shard, rows: Rows) -> NDArray[np.uint8]:
    return shard.codes[rows]
