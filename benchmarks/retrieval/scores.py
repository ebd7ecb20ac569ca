"""Scores of codes, and the same scores of search by cosine, which has no codes.

Relevance is the number of labels shared, 0 or 1 with classes. The gain of an item is
2^relevance - 1, the discount of rank i is 1 / log2(1 + i), and the ideal ranking is
that of the whole database. Queries are taken a block at a time.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

from sklhash.metrics import mean_average_precision_score, ndcg_at_k_score
from sklhash.metrics.relevance import shared_counts

from .datasets import Split

NDCG_K = 100
BLOCK_ROWS = 100


def score_codes(
    query_codes: np.ndarray, database_codes: np.ndarray, data: Split, k: int | None
) -> dict[str, float]:
    """Score packed codes by mAP and, with several labels a row, NDCG; ties expected."""
    retrieval = query_codes, database_codes, data.query.y, data.database.y
    with shared_counts():
        scores = {"map": mean_average_precision_score(*retrieval, k=k, packed=True)}
        if is_multilabel(data):
            n_ranks = min(NDCG_K, len(database_codes))
            scores["ndcg"] = ndcg_at_k_score(*retrieval, k=n_ranks, packed=True)
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
