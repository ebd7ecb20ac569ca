"""Rankings by the Euclidean distance of vectors, and their scores.

Queries are taken a block at a time. Equal distances are in index order.
"""

from collections.abc import Iterator

import numpy as np
from retrieval.scores import average_precision
from sklearn.utils import gen_batches

BLOCK_ROWS = 100


def nearest(queries: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k nearest items, (n_queries, k)."""
    return np.concatenate([order[:, :k].copy() for _, order in rank(queries, items)])


def label_map(
    queries: np.ndarray, items: np.ndarray, query_y: np.ndarray, y: np.ndarray
) -> float:
    """Return the mAP of classes over the whole ranking, divided by the hits."""
    precisions = [
        average_precision(y[order] == query_y[rows, None], None)
        for rows, order in rank(queries, items)
    ]
    return float(np.concatenate(precisions).mean())


def rank(queries: np.ndarray, items: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of queries and their rankings, (n_rows, n_items); all float32."""
    of_items = squared_norms(items)
    for rows in gen_batches(len(queries), BLOCK_ROWS):
        block = queries[rows]
        squared = squared_norms(block)[:, None] + of_items - 2 * block @ items.T
        yield rows, in_order(squared.clip(0))


def in_order(distances: np.ndarray) -> np.ndarray:
    """Return the items by distance and index.

    The bits of floats that are not negative have the order of the floats, so one sort
    of whole numbers, which is fast, does what a stable argsort would.
    """
    keys = distances.view(np.uint32).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(distances.shape[1], dtype=np.uint64)
    keys.sort(axis=1)
    return (keys & np.uint64(2**32 - 1)).astype(np.int64)


def squared_norms(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the exact neighbours that were found."""
    is_found = (exact[:, :, None] == found[:, None, :]).any(axis=2)
    return float(is_found.mean())
