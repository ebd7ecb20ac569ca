"""The nearest codes of a few queries, for displays, which import no search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from sklhash._memory import working_bytes
from sklhash.codes import hamming_distances

__all__ = ["nearest_codes"]

_BYTES_A_PAIR = 16  # of distances, as they come and as they are sorted, and of indices


def nearest_codes(
    query_codes: NDArray[np.uint8],
    database_codes: NDArray[np.uint8],
    k: int,
    own: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Find the k nearest codes of each query, by distance, then index.

    Parameters
    ----------
    query_codes, database_codes : ndarray of shape (n, n_bytes), dtype=uint8
        Packed codes.

    k : int
        Number of neighbours, at most the number of codes there are to find.

    own : ndarray of shape (n_queries,), default=None
        The database item that is left out for each query.

    Returns
    -------
    distances, indices : ndarray of shape (n_queries, k)
        Numbers of differing bits, and which codes they are of.
    """
    n_queries, n_database = len(query_codes), len(database_codes)
    distances = np.empty((n_queries, k), dtype=np.int32)
    indices = np.empty((n_queries, k), dtype=np.int64)
    beyond = 8 * database_codes.shape[1] + 1
    memory = working_bytes()
    height = max(1, memory // (_BYTES_A_PAIR * n_database))
    for rows in gen_batches(n_queries, height):
        found = hamming_distances(query_codes[rows], database_codes, packed=True)
        if own is not None:
            found[np.arange(len(found)), own[rows]] = beyond
        # a stable sort of numbers of 8 or 16 bits is a radix sort, which is quick
        order = np.argsort(found.astype(np.min_scalar_type(beyond)), kind="stable")
        indices[rows] = order[:, :k]
        distances[rows] = np.take_along_axis(found, indices[rows], axis=1)
    return distances, indices
