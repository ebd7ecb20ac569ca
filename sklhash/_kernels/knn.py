"""Exact k nearest codes, in the order (distance, index)."""

from __future__ import annotations

import numpy as np

from sklhash._kernels.popcount import distances_to, kernel

__all__ = ["nearest"]


@kernel
def nearest(queries, database, own_row, distances, indices):
    """Find the k nearest database codes of each query by a counting sort.

    queries : uint64 (n_queries, n_words)
    database : uint64 (n_database, n_words)
    own_row : int64 (n_queries,), the database row to leave out, or -1
    distances, indices : int32 and int64 (n_queries, k), written
    """
    n_database = len(database)
    k = distances.shape[1]
    n_distances = 64 * database.shape[1] + 1
    row_distances = np.empty(n_database, dtype=np.int32)
    for q in range(len(queries)):
        distances_to(queries[q], database, row_distances)
        count = np.zeros(n_distances, dtype=np.int64)
        for i in range(n_database):
            count[row_distances[i]] += 1
        if own_row[q] >= 0:
            count[row_distances[own_row[q]]] -= 1
        place, farthest = _first_places(count, k)
        for i in range(n_database):
            distance = row_distances[i]
            if distance <= farthest and i != own_row[q]:
                p = place[distance]
                if p < k:
                    distances[q, p] = distance
                    indices[q, p] = i
                    place[distance] += 1


@kernel
def _first_places(count, k):
    """Where each distance begins in the sorted list, and the k-th item's distance."""
    place = np.empty(len(count), dtype=np.int64)
    nearer = 0
    farthest = len(count) - 1
    for distance in range(len(count)):
        place[distance] = nearer
        if nearer < k <= nearer + count[distance]:
            farthest = distance
        nearer += count[distance]
    return place, farthest
