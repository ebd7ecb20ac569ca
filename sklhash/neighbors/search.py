"""Exact search over words of codes, in threads: the engine of HammingNeighbors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils import gen_even_slices
from sklearn.utils.parallel import Parallel, delayed

__all__ = ["codes_within", "nearest_codes", "split_rows"]

Words = NDArray[np.uint64]


def nearest_codes(
    queries: Words,
    database: Words,
    own_rows: NDArray[np.int64],
    k: int,
    n_jobs: int | None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest codes of each query, by distance, then index.

    Parameters
    ----------
    queries, database : ndarray of shape (n_queries, n_words) and (n_database, n_words)
        Codes in 64-bit words.

    own_rows : ndarray of shape (n_queries,)
        The database row that a query is and leaves out, or -1.

    k : int
        Number of neighbours; at least that many must be there.

    n_jobs : int or None
        Number of threads.

    Returns
    -------
    distances, indices : ndarray of shape (n_queries, k)
        Numbers of differing bits, and database rows.
    """
    from sklhash._kernels.knn import nearest

    distances = np.empty((len(queries), k), dtype=np.int32)
    indices = np.empty((len(queries), k), dtype=np.int64)

    def search(rows: slice) -> None:
        nearest(queries[rows], database, own_rows[rows], distances[rows], indices[rows])

    _in_threads(search, len(queries), n_jobs)
    return distances, indices


def codes_within(
    queries: Words,
    database: Words,
    own_rows: NDArray[np.int64],
    radius: int,
    by_distance: bool,
    n_jobs: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Find all codes within a radius of each query, by distance, then index.

    Parameters
    ----------
    queries, database, own_rows, n_jobs
        As for :func:`nearest_codes`.

    radius : int
        Number of differing bits, inclusive.

    by_distance : bool
        Whether to order by distance before index.

    Returns
    -------
    starts : ndarray of shape (n_queries + 1,)
        Where the results of each query begin and end in the other two.

    distances, indices : ndarray of shape (starts[-1],)
        Numbers of differing bits, and database rows.
    """
    from sklhash._kernels.radius import count_within, within

    radius = min(radius, 64 * database.shape[1])
    counts = np.empty(len(queries), dtype=np.int64)

    def count(rows: slice) -> None:
        count_within(queries[rows], database, own_rows[rows], radius, counts[rows])

    _in_threads(count, len(queries), n_jobs)
    starts = np.concatenate(([0], np.cumsum(counts)))
    distances = np.empty(starts[-1], dtype=np.int32)
    indices = np.empty(starts[-1], dtype=np.int64)

    def search(rows: slice) -> None:
        within(
            queries[rows],
            database,
            own_rows[rows],
            radius,
            starts[:-1][rows],
            by_distance,
            distances,
            indices,
        )

    _in_threads(search, len(queries), n_jobs)
    return starts, distances, indices


def split_rows(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.object_]:
    """Cut what :func:`codes_within` found into one array a query."""
    rows = np.empty(len(starts) - 1, dtype=object)
    rows[:] = np.split(values, starts[1:-1])
    return rows


def _in_threads(
    search: Callable[[slice], None], n_queries: int, n_jobs: int | None
) -> None:
    n_parts = min(n_queries, effective_n_jobs(n_jobs))
    Parallel(n_jobs=n_parts, require="sharedmem")(
        delayed(search)(rows) for rows in gen_even_slices(n_queries, n_parts)
    )
