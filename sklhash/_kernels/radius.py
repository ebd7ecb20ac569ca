"""All codes within a radius, in the order (distance, index) or in index order."""

from __future__ import annotations

import numpy as np

from sklhash._kernels.popcount import distances_to, kernel

__all__ = ["count_within", "within"]


@kernel
def count_within(queries, database, own_row, radius, counts):
    """Count the database codes within `radius` of each query.

    queries : uint64 (n_queries, n_words)
    database : uint64 (n_database, n_words)
    own_row : int64 (n_queries,), the database row to leave out, or -1
    radius : int, inclusive
    counts : int64 (n_queries,), written
    """
    row_distances = np.empty(len(database), dtype=np.int32)
    for q in range(len(queries)):
        distances_to(queries[q], database, row_distances)
        inside = 0
        for i in range(len(database)):
            inside += row_distances[i] <= radius
        if own_row[q] >= 0:
            inside -= row_distances[own_row[q]] <= radius
        counts[q] = inside


@kernel
def within(queries, database, own_row, radius, start, by_distance, distances, indices):
    """Find the database codes within `radius` of each query.

    queries, database, own_row, radius : as for `count_within`
    start : int64 (n_queries,), where the results of each query begin
    by_distance : bool, order by (distance, index) instead of index
    distances, indices : int32 and int64 (sum of counts,), written
    """
    n_distances = 64 * database.shape[1] + 2
    row_distances = np.empty(len(database), dtype=np.int32)
    for q in range(len(queries)):
        distances_to(queries[q], database, row_distances)
        place = np.zeros(n_distances, dtype=np.int64)
        if by_distance:
            for i in range(len(database)):
                place[row_distances[i] + 1] += i != own_row[q]
        place[0] = start[q]
        for d in range(1, n_distances):
            place[d] += place[d - 1]
        for i in range(len(database)):
            distance = row_distances[i]
            if distance <= radius and i != own_row[q]:
                slot = distance if by_distance else 0
                distances[place[slot]] = distance
                indices[place[slot]] = i
                place[slot] += 1
