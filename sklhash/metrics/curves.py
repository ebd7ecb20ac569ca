"""Precision and recall at every radius or at every rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions

from sklhash.metrics.options import (
    check_k,
    check_weights,
    retrieval_score,
    weighted_sum,
)
from sklhash.metrics.rankings import Numbers, Ranking
from sklhash.metrics.relevance import count_relevance
from sklhash.metrics.widths import width_of

__all__ = ["precision_recall_curve"]

Points = NDArray[np.int64]
Curves = tuple[Numbers, Numbers]
Blocks = Iterator[tuple[Ranking, Numbers]]


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
    n_bits: int | None = None,
) -> tuple[Numbers, Numbers, Points]:
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

    <n_bits>

    Returns
    -------
    precision : ndarray of shape (n_points,) or (n_queries, n_points), dtype=float64
        Precision at each point; a row a query if ``average=None``.

    recall : ndarray of shape (n_points,) or (n_queries, n_points), dtype=float64
        Recall at each point, likewise.

    points : ndarray of shape (n_points,), dtype=int64
        The radii, in bits, or the ranks.

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
        n_bits = width_of(query_codes, packed=packed, n_bits=n_bits, name="query_codes")
        points = np.arange(n_bits + 1)
        rankings = relevance.rankings("expected")
        curves, mean = _curves_by_radius, _mean_by_radius
    else:
        points = np.arange(1, check_k(k, relevance.n_items) + 1)
        rankings = relevance.rankings(ties)
        curves, mean = _curves_by_rank, _mean_by_rank
    if average is None:
        blocks = [curves(ranking, points, empty) for ranking in rankings]
        precision, recall = (
            np.concatenate(block) for block in zip(*blocks, strict=True)
        )
        return precision, recall, points
    weighted = _with_weights(rankings, weights)
    precision, recall = mean(weighted, points, average, empty)
    return precision, recall, points


def _with_weights(rankings: Iterator[Ranking], weights: Numbers) -> Blocks:
    stop = 0
    for ranking in rankings:
        start, stop = stop, stop + len(ranking.counts)
        yield ranking, weights[start:stop]


def _curves_by_radius(ranking: Ranking, points: Points, empty: str) -> Curves:
    """Return precision and recall of queries, (n_queries, n_radii)."""
    items, hits = _cumulated(ranking, points)
    return _divided(hits, items, empty), _divided(hits, hits[:, -1:], empty)


def _mean_by_radius(blocks: Blocks, points: Points, average: str, empty: str) -> Curves:
    """Return mean precision and recall, from sums over queries of both and divisors."""
    sums = np.zeros((4, len(points)))
    for ranking, weights in blocks:
        items, hits = _cumulated(ranking, points)
        found = hits[:, -1:]
        parts = (
            [hits, items, hits, found]
            if average == "micro"
            else [
                _divided(hits, items, "zero"),
                _in_mean(items, empty),
                _divided(hits, found, "zero"),
                _in_mean(found, empty),
            ]
        )
        of_queries = np.stack(np.broadcast_arrays(*parts), axis=1)
        # One after the other, as queries may come in blocks of any size.
        for weight, of_query in zip(weights, of_queries, strict=True):
            sums += weight * of_query
    return _divided(sums[0], sums[1], empty), _divided(sums[2], sums[3], empty)


def _curves_by_rank(ranking: Ranking, points: Points, empty: str) -> Curves:
    """Return precision and recall of queries, (n_queries, n_ranks)."""
    hits = np.cumsum(ranking.relevance_by_rank(len(points)), axis=1)
    return hits / points, _divided(hits, ranking.all_relevant[:, None], empty)


def _mean_by_rank(blocks: Blocks, points: Points, average: str, empty: str) -> Curves:
    """Return mean precision and recall, from sums over queries of hits and shares."""
    steps, in_blocks = np.zeros((2, 2, len(points) + 1)), []
    for ranking, weights in blocks:
        found = ranking.all_relevant
        shares = weights / np.maximum(found, 1)
        ranking.add_by_rank(np.stack([weights, shares]), steps)
        in_blocks.append((weights, shares, found))
    weights, shares, found = map(np.concatenate, zip(*in_blocks, strict=True))
    hits, recall = np.cumsum(ranking.summed_by_rank(steps), axis=1)
    if average == "micro":
        n_hits = weighted_sum(weights, found)
        precision = _divided(hits, weights.sum() * points, empty)
        return precision, _divided(np.minimum(hits, n_hits), n_hits, empty)
    recall = np.minimum(recall, weighted_sum(shares, found))  # which rounding exceeds
    in_recall = weighted_sum(weights, _in_mean(found, empty))
    return _divided(hits / points, weights.sum(), empty), _divided(
        recall, in_recall, empty
    )


def _cumulated(ranking: Ranking, points: Points) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count items and relevant items within each radius."""
    items = np.cumsum(ranking.counts.totals, axis=1)
    hits = np.cumsum(ranking.counts.relevant, axis=1)
    return items[:, : len(points)], hits[:, : len(points)]


def _in_mean(divisor: NDArray[Any], empty: str) -> NDArray[np.bool_]:
    """Tell which queries count."""
    return (divisor > 0) | (empty == "zero")


def _divided(numerator: NDArray[Any], denominator: NDArray[Any], empty: str) -> Numbers:
    """Divide; where the denominator is zero, 0 or NaN as `empty` says."""
    is_defined = denominator > 0
    quotient = numerator / np.where(is_defined, denominator, 1)
    return np.where(is_defined, quotient, 0.0 if empty == "zero" else np.nan)
