"""Exact search over codes, in groups and threads: what HammingNeighbors runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil, isqrt, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils import gen_even_slices

from sklhash._kernels.hits import DISTANCE_BITS, PLACE, PLACE_BITS
from sklhash._memory import working_bytes
from sklhash.neighbors.table import PADDING, Selection

if TYPE_CHECKING:
    from sklhash._kernels.knn import Plan
    from sklhash.neighbors.multi_index import MultiIndex

__all__ = [
    "Hits",
    "Queries",
    "codes_within",
    "count_within",
    "nearest_by_index",
    "nearest_codes",
    "scan_cost",
]

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]
Distances = NDArray[np.int32]
Places = NDArray[np.int64]
Find = Callable[["Queries", int], Words | None]
Result = TypeVar("Result")

_TOGETHER = 4  # queries that share a pass over the codes
_GROUP = 256  # queries that share a block of codes
_SMALL_GROUP = 64  # if each keeps more than a little
_INDEX_GROUP = 8192  # queries that are looked up at once
_BLOCK_BYTES = 32 << 10  # codes in the nearest memory
_BLOCK_MULTIPLE = 512  # codes
_ROOM = 64  # hits a query, at first

_DISTANCE_BITS, _PLACE_BITS = np.uint64(DISTANCE_BITS), np.uint64(PLACE_BITS)
_DISTANCES, _PLACES = np.uint64((1 << DISTANCE_BITS) - 1), np.uint64(PLACE)


class Queries(NamedTuple):
    """Codes to search for, and the place that is left out for each, or -1."""

    words: Words
    own: Places

    def take(self, rows: Any) -> Queries:
        """Return some of the queries."""
        return Queries(self.words[rows], self.own[rows])


class Hits(NamedTuple):
    """Codes found for a group of queries: how many for each, and all in a row."""

    counts: Counts
    distances: Distances
    places: Places


def nearest_codes(
    selection: Selection, queries: Queries, k: int, n_jobs: int | None
) -> tuple[Distances, Places]:
    """Find the k nearest codes of each query, by distance, then place.

    Parameters
    ----------
    selection : Selection
        The codes to search; for each query at least k besides its own.

    queries : Queries
        Words of shape (n_queries, n_words).

    k : int
        Number of neighbours, at least 1.

    n_jobs : int or None
        Number of threads.

    Returns
    -------
    distances, places : ndarray of shape (n_queries, k)
        Numbers of differing bits, and where the codes are in the selection.
    """

    def search(rows: slice, memory: int, distances: Distances, places: Places) -> None:
        _nearest(selection, queries.take(rows), memory, distances[rows], places[rows])

    return _k_for_each(search, len(queries.words), k, n_jobs)


def nearest_by_index(
    selection: Selection,
    queries: Queries,
    k: int,
    n_jobs: int | None,
    *,
    index: MultiIndex,
) -> tuple[Distances, Places]:
    """Find the k nearest codes of each query by an index, by distance, then place.

    The radius grows until it holds k codes of a query. Queries for which a scan costs
    less than the next radius are scanned for.

    The parameters are those of :func:`nearest_codes` and :func:`codes_within`.

    Returns
    -------
    distances, places : ndarray of shape (n_queries, k)
        Numbers of differing bits, and where the codes are in the selection.
    """

    def search(rows: slice, memory: int, distances: Distances, places: Places) -> None:
        for group in _slices(rows.start, rows.stop, _INDEX_GROUP):
            left = np.arange(group.start, group.stop)
            for radius in index.radii(scan_cost(selection)):
                part = queries.take(left)
                hits = _find_by_index(selection, radius, index, part, memory // 32)
                if hits is None:  # too many to be better than a scan
                    break
                enough, d, p = _first_k(hits, len(left), k)
                distances[left[enough]], places[left[enough]] = d, p
                left = left[~enough]
                if len(left) == 0:
                    break
            if len(left) > 0:
                d, p = distances[left], places[left]
                _nearest(selection, queries.take(left), memory, d, p)
                distances[left], places[left] = d, p

    return _k_for_each(search, len(queries.words), k, n_jobs)


def codes_within(
    selection: Selection,
    queries: Queries,
    radius: int,
    n_jobs: int | None,
    *,
    by_distance: bool,
    index: MultiIndex | None = None,
) -> list[Hits]:
    """Find all codes within a radius of each query.

    Parameters
    ----------
    selection, queries, n_jobs
        As for :func:`nearest_codes`.

    radius : int
        Number of differing bits, inclusive.

    by_distance : bool
        Whether to order a query's hits by distance and place, or by place alone.

    index : MultiIndex, default=None
        An index of the first codes of the selection, or of these and later ones; None
        scans all.

    Returns
    -------
    hits : list of Hits
        What was found, a group of queries after another.
    """
    n_threads = effective_n_jobs(n_jobs)
    memory = working_bytes() // n_threads
    find = _finder(selection, radius, index)
    size = _GROUP if index is None else _INDEX_GROUP

    def search(rows: slice) -> list[Hits]:
        groups = _found_in_groups(find, queries.take(rows), size, memory)
        return [_in_order(hits, n_queries, by_distance) for hits, n_queries in groups]

    parts = _in_threads(search, len(queries.words), n_threads)
    return [hits for part in parts for hits in part]


def count_within(
    selection: Selection,
    queries: Queries,
    radius: int,
    n_jobs: int | None,
    *,
    index: MultiIndex | None = None,
) -> Counts:
    """Count the codes within a radius of each query.

    The parameters are those of :func:`codes_within`.

    Returns
    -------
    counts : ndarray of shape (n_queries,)
    """
    n_threads = effective_n_jobs(n_jobs)
    memory = working_bytes() // n_threads
    find = _finder(selection, radius, index)

    def search(rows: slice) -> Counts:
        part = queries.take(rows)
        if index is None:
            groups = _slices(0, len(part.words), _GROUP)
            counts = [_scan(selection, part.take(g), radius, 0)[1] for g in groups]
        else:
            found = _found_in_groups(find, part, _INDEX_GROUP, memory)
            counts = [_counts(hits, n_queries) for hits, n_queries in found]
        return np.concatenate([np.empty(0, np.int64), *counts])

    return np.concatenate(_in_threads(search, len(queries.words), n_threads))


def _k_for_each(
    search: Callable[[slice, int, Distances, Places], None],
    n_queries: int,
    k: int,
    n_jobs: int | None,
) -> tuple[Distances, Places]:
    """Return what `search` writes for parts of the queries, within a part's memory."""
    distances = np.empty((n_queries, k), dtype=np.int32)
    places = np.empty((n_queries, k), dtype=np.int64)
    n_threads = effective_n_jobs(n_jobs)
    memory = working_bytes() // n_threads
    _in_threads(
        lambda rows: search(rows, memory, distances, places), n_queries, n_threads
    )
    return distances, places


def _nearest(
    selection: Selection,
    queries: Queries,
    memory: int,
    distances: Distances,
    places: Places,
) -> None:
    """Scan, and scan once more for queries that a sample misled."""
    _scan_for_nearest(selection, queries, True, memory, distances, places)
    misled = np.flatnonzero(distances[:, 0] < 0)
    if len(misled) > 0:
        found = distances[misled], places[misled]
        _scan_for_nearest(selection, queries.take(misled), False, memory, *found)
        distances[misled], places[misled] = found


def _first_k(
    hits: Words, n_queries: int, k: int
) -> tuple[NDArray[np.bool_], Distances, Places]:
    """Tell which queries have k hits, and return the nearest k of these."""
    counts, distances, places = _in_order(hits, n_queries, by_distance=True)
    enough = counts >= k
    starts = np.cumsum(counts) - counts
    first = starts[enough][:, None] + np.arange(k)
    return enough, distances[first], places[first]


def _scan_for_nearest(
    selection: Selection,
    queries: Queries,
    sampled: bool,
    memory: int,
    distances: Distances,
    places: Places,
) -> None:
    """Search group by group, so that what is kept meanwhile fits into the memory."""
    from sklhash._kernels.knn import nearest

    n_queries, k = distances.shape
    codes, plan = selection.codes, _plan(selection, k, sampled)
    n_distances = 64 * len(codes.words) + 2
    room = min(4 * k + 64, selection.n_allowed + 1)  # beyond k + 1, to tidy up rarely
    size = _GROUP if k <= _GROUP else _SMALL_GROUP
    size = min(size, n_queries, memory // (8 * (room + n_distances)))
    together = _together(size)
    size = _round_up(max(size, 1), len(together))
    kept = np.empty((size, room), dtype=np.int64)
    tally = np.empty((size, n_distances), dtype=np.int64)
    for group in _slices(0, n_queries, size):
        words, own = _filled_up(queries.take(group), len(together))
        nearest(
            codes,
            words,
            together,
            own,
            k,
            plan,
            kept,
            tally,
            distances[group],
            places[group],
        )


def _plan(selection: Selection, k: int, sampled: bool) -> Plan:
    """Choose how to go over the codes; the numbers are those found to be fastest."""
    from sklhash._kernels.knn import Plan

    n_words, n_places = selection.planes.shape
    n_sampled = min(isqrt(selection.n_allowed * k), n_places // 8) if sampled else 0
    n_runs = n_sampled // 64
    expected = 64 * n_runs * k / n_places
    enough = ceil(expected + 4 * sqrt(expected) + 4)
    return Plan(
        block=_block(n_words),
        n_sampled_runs=n_runs,
        enough=enough,
        rarity=32 * k * n_places // selection.n_allowed,
        head_start=64 * n_runs * k // enough,
    )


def _finder(selection: Selection, radius: int, index: MultiIndex | None) -> Find:
    """Return what finds the hits of a group, or None if they are too many."""
    if index is None:
        return partial(_find_by_scan, selection, radius)
    return partial(_find_by_index, selection, radius, index)


def _found_in_groups(
    find: Find, queries: Queries, size: int, memory: int
) -> Iterator[tuple[Words, int]]:
    """Yield the hits of a group of queries after another, and how many queries it has.

    A group whose hits do not fit into the memory is halved.
    """
    for rows in _slices(0, len(queries.words), size):
        group = queries.take(rows)
        n_queries = len(group.words)
        hits = find(group, memory // 32 if n_queries > 1 else 2**62)
        if hits is None:
            yield from _found_in_groups(find, group, n_queries // 2, memory)
        else:
            yield hits, n_queries


def _find_by_scan(
    selection: Selection, radius: int, queries: Queries, most: int
) -> Words | None:
    room = _ROOM * len(queries.words)
    hits, counts = _scan(selection, queries, radius, room)
    n_hits = int(counts.sum())
    if n_hits > most:
        return None
    if n_hits > room:
        hits, _ = _scan(selection, queries, radius, n_hits)
    return hits[:n_hits]


def _find_by_index(
    selection: Selection, radius: int, index: MultiIndex, queries: Queries, most: int
) -> Words | None:
    hits = index.hits(queries.words, radius, most)
    if hits is None:
        return None
    if index.n_codes > selection.n_codes:
        hits = hits[_place_of(hits) < selection.n_codes]
    places = _place_of(hits)
    keep = places != queries.own[_query_of(hits)]
    if selection.n_allowed < selection.n_codes:
        keep &= selection.allows(places)
    if index.n_codes >= selection.n_codes:
        return hits if keep.all() else hits[keep]
    end = index.n_codes // PADDING * PADDING
    later, own = selection.behind(end), queries.own - end
    more = _find_by_scan(later, radius, queries._replace(own=own), most)
    if more is None:
        return None
    return np.concatenate([hits[keep & (places < end)], more + np.uint64(end)])


def _scan(
    selection: Selection, queries: Queries, radius: int, room: int
) -> tuple[Words, Counts]:
    """Write as many hits as there is room for, and count all."""
    from sklhash._kernels.radius import within

    n_queries = len(queries.words)
    together = _together(n_queries)
    words, own = _filled_up(queries, len(together))
    limits = np.zeros(len(words), dtype=np.int64)
    limits[:n_queries] = radius + 1
    hits = np.empty(room, dtype=np.uint64)
    counts = np.empty(len(words), dtype=np.int64)
    block = _block(len(selection.planes))
    within(selection.codes, words, together, own, limits, block, hits, counts)
    return hits, counts[:n_queries]


def _in_order(hits: Words, n_queries: int, by_distance: bool) -> Hits:
    """Sort hits by query and distance, or by query alone, then place."""
    if by_distance:
        hits.sort()
    else:
        hits = hits[np.argsort(hits & ~(_DISTANCES << _PLACE_BITS))]
    distances = (hits >> _PLACE_BITS & _DISTANCES).astype(np.int32)
    return Hits(_counts(hits, n_queries), distances, _place_of(hits))


def _counts(hits: Words, n_queries: int) -> Counts:
    return np.bincount(_query_of(hits), minlength=n_queries)


def _query_of(hits: Words) -> Places:
    return (hits >> (_DISTANCE_BITS + _PLACE_BITS)).astype(np.int64)


def _place_of(hits: Words) -> Places:
    return (hits & _PLACES).astype(np.int64)


def _filled_up(queries: Queries, multiple: int) -> tuple[Words, Places]:
    """Copy queries, and add some of zeros up to a multiple."""
    n_queries, n_words = queries.words.shape
    size = _round_up(n_queries, multiple)
    words = np.zeros((size, n_words), dtype=np.uint64)
    words[:n_queries] = queries.words
    own = np.full(size, -1)
    own[:n_queries] = queries.own
    return words, own


def _together(n_queries: int) -> tuple[int, ...]:
    """Return a tuple of as many entries as queries share a pass over the codes."""
    return (0,) * (_TOGETHER if n_queries > 1 else 1)


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _block(n_words: int) -> int:
    """Return how many codes stay in the nearest memory."""
    n_codes = _BLOCK_BYTES // (8 * n_words)
    return max(1, n_codes // _BLOCK_MULTIPLE) * _BLOCK_MULTIPLE


def _slices(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, stop)) for i in range(start, stop, size))


def scan_cost(selection: Selection) -> float:
    """Nanoseconds that a scan takes for a query, about."""
    return 0.03 * selection.planes.size


def _in_threads(
    search: Callable[[slice], Result], n_queries: int, n_threads: int
) -> list[Result]:
    n_parts = min(n_queries, n_threads)
    if n_parts <= 1:
        return [search(slice(0, n_queries))]
    # Not scikit-learn's own, whose threads change the filters of warnings of all.
    return Parallel(n_jobs=n_parts, require="sharedmem")(
        delayed(search)(rows) for rows in gen_even_slices(n_queries, n_parts)
    )
