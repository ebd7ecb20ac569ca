"""Scores that the library does not have: search by cosine, and NDCG.

Relevance is the number of labels shared, 0 or 1 with classes. The gain of an item is
2^relevance - 1, the discount of rank i is 1 / log2(1 + i), and the ideal ranking is
that of the whole database. Queries are taken a block at a time.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

from sklhash import hamming_distances, mean_average_precision_score

from .datasets import Split

NDCG_K = 100
BLOCK_ROWS = 100


def score_codes(
    query_codes: np.ndarray, database_codes: np.ndarray, data: Split, k: int | None
) -> dict[str, float]:
    """Score packed codes by mAP and, with several labels a row, NDCG; ties expected."""
    scores = {
        "map": mean_average_precision_score(
            query_codes, database_codes, data.query.y, data.database.y, k=k, packed=True
        )
    }
    if is_multilabel(data):
        ndcg = ndcg_of_codes(query_codes, database_codes, data.query.y, data.database.y)
        scores["ndcg"] = ndcg
    return scores


def score_cosine(data: Split, k: int | None) -> dict[str, float]:
    """Score exact search by cosine; equal cosines, which are rare, come as sorted."""
    precisions, ndcgs = [], []
    for rows, order in rank_by_cosine(data.query.X, data.database.X):
        shared = shared_labels(data.query.y[rows], data.database.y)
        ranked = np.take_along_axis(shared, order, axis=1)
        precisions.append(average_precision(ranked > 0, k))
        gains = 2.0**shared - 1
        dcg = (2.0 ** ranked[:, :NDCG_K] - 1) @ discounts(ranked.shape[1])
        ndcgs.append(divide(dcg, ideal_dcg(gains)))
    scores = {"map": float(np.concatenate(precisions).mean())}
    if is_multilabel(data):
        scores["ndcg"] = float(np.concatenate(ndcgs).mean())
    return scores


def is_multilabel(data: Split) -> bool:
    return data.query.y.ndim == 2


def shared_labels(query_y: np.ndarray, database_y: np.ndarray) -> np.ndarray:
    """Count the labels that queries and database items share, float32."""
    if query_y.ndim == 1:
        return (query_y[:, None] == database_y).astype(np.float32)
    return query_y.astype(np.float32) @ database_y.astype(np.float32).T


def rank_by_cosine(
    query_X: np.ndarray, database_X: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of queries and their rankings, (n_rows, n_database)."""
    query_X, database_X = normalize(query_X), normalize(database_X)
    for rows in gen_batches(len(query_X), BLOCK_ROWS):
        yield rows, np.argsort(-(query_X[rows] @ database_X.T), axis=1)


def average_precision(ranked: np.ndarray, k: int | None) -> np.ndarray:
    """Average precision of rankings, (n_queries, n_items), up to rank k."""
    ranked = ranked[:, :k]
    hits = np.cumsum(ranked, axis=1)
    precision = hits / np.arange(1, ranked.shape[1] + 1)
    return divide((precision * ranked).sum(axis=1), hits[:, -1])


def ndcg_of_codes(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_y: np.ndarray,
    database_y: np.ndarray,
) -> float:
    """NDCG@100 of packed codes, the expectation over the orders of tied items."""
    scores = []
    for rows in gen_batches(len(query_codes), BLOCK_ROWS):
        distances = hamming_distances(query_codes[rows], database_codes, packed=True)
        gains = 2.0 ** shared_labels(query_y[rows], database_y) - 1
        n_distances = 8 * database_codes.shape[1] + 1
        dcg = expected_dcg(distances, gains, n_distances)
        scores.append(divide(dcg, ideal_dcg(gains)))
    return float(np.concatenate(scores).mean())


def expected_dcg(
    distances: np.ndarray, gains: np.ndarray, n_distances: int
) -> np.ndarray:
    """DCG where each rank has the mean gain of the items at its distance.

    That is the expectation, since DCG is linear in the gains.
    """
    n_queries = len(distances)
    cells = (distances + n_distances * np.arange(n_queries)[:, None]).ravel()
    n_cells = n_queries * n_distances
    counts = np.bincount(cells, minlength=n_cells).reshape(n_queries, -1)
    sums = np.bincount(cells, gains.ravel(), minlength=n_cells).reshape(n_queries, -1)
    discount = discounts(distances.shape[1])
    discount_before = np.concatenate([[0], np.cumsum(discount)])
    last = np.cumsum(counts, axis=1).clip(max=len(discount))
    first = (np.cumsum(counts, axis=1) - counts).clip(max=len(discount))
    discount_within = discount_before[last] - discount_before[first]
    return (divide(sums, counts) * discount_within).sum(axis=1)


def ideal_dcg(gains: np.ndarray) -> np.ndarray:
    discount = discounts(gains.shape[1])
    n_ranks = len(discount)
    best = -np.partition(-gains, n_ranks - 1, axis=1)[:, :n_ranks]
    return -np.sort(-best, axis=1) @ discount


def discounts(n_items: int) -> np.ndarray:
    """Return the discounts of the ranks that count."""
    return 1 / np.log2(np.arange(2, min(NDCG_K, n_items) + 2))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, zero by zero being zero: what a query without a relevant item counts."""
    return numerator / np.where(denominator == 0, 1, denominator)
