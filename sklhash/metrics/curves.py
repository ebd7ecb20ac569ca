"""Precision and recall at every radius or at every rank."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions

from sklhash.metrics.options import (
    check_k,
    check_weights,
    mean_of_defined,
    retrieval_score,
)
from sklhash.metrics.relevance import Relevance, count_relevance

__all__ = ["precision_recall_curve"]

Curve = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


@retrieval_score(
    by=[StrOptions({"radius", "rank"})],
    average=[StrOptions({"macro", "micro"}), None],
    empty=[StrOptions({"zero", "skip"})],
)
def precision_recall_curve(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    by: Literal["radius", "rank"] = "radius",
    k: int | None = None,
    ties: Literal["expected", "index"] = "expected",
    empty: Literal["zero", "skip"] = "zero",
    average: Literal["macro", "micro"] | None = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Curve:
    """Precision and recall of a Hamming ranking, cut at every radius or every rank.

    Parameters
    ----------
    <codes and labels>

    by : {"radius", "rank"}, default="radius"
        Cut at each Hamming radius from 0 to the number of bits, where the order of ties
        does not matter, or at each rank from 1 to `k`.

    k : int, default=None
        Last rank; None for all. Only for ``by="rank"``.

    ties : {"expected", "index"}, default="expected"
        "expected" is the exact expectation over all orders of the items at equal
        distance, "index" takes such items in database order. Only for ``by="rank"``.

    empty : {"zero", "skip"}, default="zero"
        Whether a query counts 0 or is left out, at each radius, in the mean precision
        if there is nothing within the radius, and in the mean recall if nothing in the
        database is relevant.

    average : {"macro", "micro"} or None, default="macro"
        "macro" is the mean over queries of their precision and recall; "micro" pools
        the items of all queries; None returns the curves of the queries, NaN where a
        query is left out.

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    precision : ndarray of shape (n_points,) or (n_queries, n_points), dtype=float64
    recall : ndarray of the same shape, dtype=float64
    points : ndarray of shape (n_points,), dtype=int64
        The radii, in bits, or the ranks. Packed codes have radii up to 8 times their
        bytes.

    Raises
    ------
    ValueError
        If codes or labels are malformed, differ in width, kind or number, or `k` is
        larger than what a query can retrieve or given with ``by="radius"``.

    Examples
    --------
    >>> from sklhash.metrics import precision_recall_curve
    >>> database, y = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]], [1, 2, 1, 2]
    >>> precision, recall, radii = precision_recall_curve([[0, 0, 0]], database, [1], y)
    >>> precision.round(2), recall, radii
    (array([1.  , 0.67, 0.67, 0.5 ]), array([0.5, 1. , 1. , 1. ]), array([0, 1, 2, 3]))
    """
    if by == "radius" and k is not None:
        raise ValueError(f'k is for by="rank", got k={k} with by="radius".')
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    weights = check_weights(sample_weight, np.empty(relevance.n_queries))
    if by == "radius":
        n_bits = np.shape(query_codes)[1] * (8 if packed else 1)
        return _by_radius(relevance, n_bits, empty, average, weights)
    k = check_k(k, relevance.n_items)
    return _by_rank(relevance, ties, k, empty, average, weights)


def _by_radius(
    relevance: Relevance,
    n_bits: int,
    empty: str,
    average: str | None,
    weights: NDArray[np.float64],
) -> Curve:
    items = np.concatenate([block.totals for block in relevance.blocks()])
    hits = np.concatenate([block.relevant for block in relevance.blocks()])
    items, hits = (
        np.cumsum(counts, axis=1)[:, : n_bits + 1] for counts in (items, hits)
    )
    if average == "micro":
        items, hits = weights[None] @ items, weights[None] @ hits
        weights = np.ones(1)
    precision = _filled(hits, items, empty)
    recall = _filled(hits, hits[:, -1:], empty)
    if average is not None:
        precision, recall = (
            mean_of_defined(curve, weights) for curve in (precision, recall)
        )
    return precision, recall, np.arange(n_bits + 1)


def _by_rank(
    relevance: Relevance,
    ties: str,
    k: int,
    empty: str,
    average: str | None,
    weights: NDArray[np.float64],
) -> Curve:
    ranks = np.arange(1, k + 1)
    all_relevant = np.concatenate([block.all_relevant for block in relevance.blocks()])
    if average is None:
        blocks = [r.relevance_by_rank(k) for r in relevance.rankings(ties)]
        hits = np.cumsum(np.concatenate(blocks), axis=1)
        return hits / ranks, _filled(hits, all_relevant[:, None], empty), ranks
    if average == "micro":
        for_recall = weights / (weights @ all_relevant or np.nan)
    else:
        counted = weights * (all_relevant > 0)
        total = counted.sum() if empty == "skip" else weights.sum()
        for_recall = counted / np.maximum(all_relevant, 1) / (total or np.nan)
    both = np.stack([weights / weights.sum(), for_recall])
    hits = np.cumsum(_summed_relevance(relevance, ties, k, both), axis=1)
    return hits[0] / ranks, hits[1], ranks


def _summed_relevance(
    relevance: Relevance, ties: str, k: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum over queries the relevance at each rank, once for each row of weights."""
    summed = np.zeros((len(weights), k))
    start = 0
    for ranking in relevance.rankings(ties):
        stop = start + len(ranking.counts)
        summed += ranking.sum_by_rank(weights[:, start:stop], k)
        start = stop
    return summed


def _filled(
    numerator: NDArray[Any], denominator: NDArray[Any], empty: str
) -> NDArray[np.float64]:
    """Divide; where the denominator is zero, 0 or NaN as `empty` says."""
    nothing = 0.0 if empty == "zero" else np.nan
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), nothing)
