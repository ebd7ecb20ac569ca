"""Items counted by distance and by the labels they share with a query.

A count is a read, an addition and a write, which cost more than the distance. With one
class a row the items are sorted by class, so that only distances are counted, and those
of two items in one step: a table has a cell for each pair of distances. With labels a
cell stands for a distance and a number of shared labels. Steps in a row go to different
tables, since a cell that was just written is slow to read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklhash._kernels.popcount import inlined, kernel
from sklhash._kernels.vectors import write_distances, write_shared

__all__ = ["Planes", "count_by_class", "count_by_shared_labels", "shorts"]

RUN = 64  # what one step of `write_distances` writes
_STRETCH = 32 * RUN  # items whose distances are held at once
_SHORT_STRETCH = 8 * RUN  # where more arrays share the nearest memory
_FEW = 4 * RUN  # items that are counted one by one
_MOST_IN_A_CELL = 60_000  # cells of pairs hold 16 bits
_MOST_WORDS_IN_PAIRS = 2  # of wider codes there are too many pairs of distances


class Planes(NamedTuple):
    """Codes or labels of rows, word-planar; 64 more rows can be read behind them."""

    memory: np.ndarray  # uint64 (n_words, at least 64 more than rows)
    address: int
    plane: int  # bytes from a word of a row to the next
    words: tuple[int, ...]


@inlined
def shorts(n):
    """Allocate numbers of 16 bits that begin with a cache line, unlike np.empty's."""
    room = np.empty(n + 32, np.uint16)
    start = -room.ctypes.data % 64 // 2
    return room[start : start + n]


@kernel
def count_by_class(codes, n, starts, queries, classes, counts):
    """Count items of the query's class and others, by distance.

    codes : Planes of `n` items, sorted by class
    starts : int64 (n_classes + 1,), where each class begins
    queries : uint64 (n_queries, n_words)
    classes : int64 (n_queries,)
    counts : int64 (n_queries, 2, n_distances), others and those of the class, added to
    """
    distances = shorts(_STRETCH)
    places = shorts(_STRETCH // 2)
    n_distances = counts.shape[2]
    if len(codes.words) <= _MOST_WORDS_IN_PAIRS:
        tables = np.zeros((2, n_distances * n_distances), np.uint16)
    else:
        tables = np.zeros((4, n_distances), np.uint16)
    for q in range(len(queries)):
        query = queries[q].ctypes.data
        first, last = starts[classes[q]], starts[classes[q] + 1]
        others, own = counts[q, 0], counts[q, 1]
        held = _count(codes, 0, first, query, distances, places, tables, others, 0)
        held = _count(codes, last, n, query, distances, places, tables, others, held)
        if held > 0:
            _empty_tables(codes.words, tables, others)
        held = _count(codes, first, last, query, distances, places, tables, own, 0)
        if held > 0:
            _empty_tables(codes.words, tables, own)


@inlined
def _count(codes, start, stop, query, distances, places, tables, counts, held):
    """Return how many items the tables hold that are not in the counts yet."""
    while start < stop:
        n = min(stop - start, _STRETCH)
        for i in range(0, n, RUN):
            write_distances(
                codes.address,
                codes.plane,
                start + i,
                query,
                distances.ctypes.data + 2 * i,
                codes.words,
            )
        if n <= _FEW:
            for i in range(n):
                counts[distances[i]] += 1
        else:
            if len(codes.words) <= _MOST_WORDS_IN_PAIRS:
                _count_pairs(distances, n, places, tables, len(counts))
            else:
                _count_singles(distances, n, tables)
            if n % 2 == 1:
                counts[distances[n - 1]] += 1
            held += n
            if held > _MOST_IN_A_CELL - _STRETCH:
                _empty_tables(codes.words, tables, counts)
                held = 0
        start += n
    return held


@inlined
def _count_pairs(distances, n, places, tables, n_distances):
    half = n // 2
    for i in range(half):
        places[i] = distances[i] * np.uint16(n_distances) + distances[half + i]
    even, odd = tables[0], tables[1]
    for i in range(0, half - 1, 2):
        even[np.uint64(places[i])] += np.uint16(1)
        odd[np.uint64(places[i + 1])] += np.uint16(1)
    if half % 2 == 1:
        even[np.uint64(places[half - 1])] += np.uint16(1)


@inlined
def _count_singles(distances, n, tables):
    n_even = n // 2 * 2
    for i in range(0, n_even - 3, 4):
        tables[0, distances[i]] += np.uint16(1)
        tables[1, distances[i + 1]] += np.uint16(1)
        tables[2, distances[i + 2]] += np.uint16(1)
        tables[3, distances[i + 3]] += np.uint16(1)
    for i in range(n_even // 4 * 4, n_even):
        tables[0, distances[i]] += np.uint16(1)


@kernel
def _empty_tables(words, tables, counts):
    n_distances = len(counts)
    if len(words) <= _MOST_WORDS_IN_PAIRS:
        second = np.zeros(n_distances, np.uint32)
        for d in range(n_distances):
            start = d * n_distances
            total = np.uint32(0)
            for e in range(n_distances):
                cell = np.uint32(tables[0, start + e]) + np.uint32(tables[1, start + e])
                second[e] += cell
                total += cell
            counts[d] += total
        for d in range(n_distances):
            counts[d] += second[d]
    else:
        for table in tables:
            for d in range(n_distances):
                counts[d] += table[d]
    tables[:] = 0


@kernel
def count_by_shared_labels(codes, labels, n, queries, query_labels, tables, counts):
    """Count items by the number of labels that they share with the query and distance.

    codes, labels : Planes of `n` items, in the same order
    queries : uint64 (n_queries, n_words)
    query_labels : uint64 (n_queries, n_label_words)
    tables : uint32 (4, n_levels * n_distances), zeros, working memory
    counts : int64 (n_queries, n_levels, n_distances), added to
    """
    distances = shorts(_SHORT_STRETCH)
    shared = shorts(_SHORT_STRETCH)
    places = np.empty(_SHORT_STRETCH, np.uint32)
    n_levels, n_distances = counts.shape[1:]
    for q in range(len(queries)):
        query, own_labels = queries[q].ctypes.data, query_labels[q].ctypes.data
        for start in range(0, n, _SHORT_STRETCH):
            stop = min(start + _SHORT_STRETCH, n)
            for i in range(0, stop - start, RUN):
                write_distances(
                    codes.address,
                    codes.plane,
                    start + i,
                    query,
                    distances.ctypes.data + 2 * i,
                    codes.words,
                )
                write_shared(
                    labels.address,
                    labels.plane,
                    start + i,
                    own_labels,
                    shared.ctypes.data + 2 * i,
                    labels.words,
                )
            for i in range(_SHORT_STRETCH):
                places[i] = np.uint32(shared[i]) * np.uint32(n_distances) + distances[i]
            size = stop - start
            for i in range(0, size - 3, 4):
                tables[0, places[i]] += np.uint32(1)
                tables[1, places[i + 1]] += np.uint32(1)
                tables[2, places[i + 2]] += np.uint32(1)
                tables[3, places[i + 3]] += np.uint32(1)
            for i in range(size // 4 * 4, size):
                tables[0, places[i]] += np.uint32(1)
        for level in range(n_levels):
            for d in range(n_distances):
                place = level * n_distances + d
                for t in range(4):
                    counts[q, level, d] += tables[t, place]
        tables[:] = 0
