"""The formula of each score: from rankings to one number a query.

Each function here settles the options and returns the formula. NaN stands for a query
that the score is not defined for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.metrics.protocols import BOUNDS, APOptions
from sklhash.metrics.rankings import ExpectedRanking, Numbers, Ranking
from sklhash.metrics.relevance import Relevance

__all__ = [
    "Formula",
    "average_precision",
    "cumulative_gain",
    "evaluate",
    "ndcg",
    "precision",
    "precision_within",
    "r_precision",
    "recall",
    "reciprocal_rank",
    "weighted_average_precision",
]

Formula = Callable[[Ranking], Numbers]


def evaluate(relevance: Relevance, *wanted: tuple[str, Formula]) -> list[Numbers]:
    """Apply formulas to the rankings of all queries, in one pass.

    With each formula comes the order of ties that it is for.
    """
    orders = dict.fromkeys(ties for ties, _ in wanted)
    scores: list[list[Numbers]] = [[] for _ in wanted]
    for counts in relevance.blocks():
        for order in orders:
            for ranking in relevance.rankings_of(counts, order):
                for (ties, formula), parts in zip(wanted, scores, strict=True):
                    if ties == order:
                        parts.append(formula(ranking))
    return [np.concatenate(parts) for parts in scores]


def average_precision(options: APOptions) -> Formula:
    """Return the formula of the average precision, or of its bounds."""

    def formula(ranking: Ranking) -> Numbers:
        arguments = options.k, options.normalize
        if options.ties in BOUNDS:
            assert isinstance(ranking, ExpectedRanking)
            highest = options.ties == "optimistic"
            scores = ranking.average_precision_bound(*arguments, highest)
        else:
            scores = ranking.average_precision(*arguments)
        return _where_not_empty(scores, ranking, options)

    return formula


def weighted_average_precision(options: APOptions) -> Formula:
    """Return the formula of the average precision weighted by labels shared."""

    def formula(ranking: Ranking) -> Numbers:
        scores = ranking.average_precision(options.k, options.normalize, weighted=True)
        return _where_not_empty(scores, ranking, options)

    return formula


def precision(k: int) -> Formula:
    """Return the formula of the precision at k."""
    return lambda ranking: ranking.hits(k) / k


def recall(k: int) -> Formula:
    """Return the formula of the recall at k."""
    return lambda ranking: _divided(ranking.hits(k), ranking.all_relevant)


def cumulative_gain(k: int) -> Formula:
    """Return the formula of the average cumulative gain at k."""
    return lambda ranking: ranking.gain(k) / k


def ndcg(k: int) -> Formula:
    """Return the formula of the normalised discounted cumulative gain at k."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return lambda ranking: _divided(
        ranking.discounted_gain(discounts), ranking.ideal_discounted_gain(discounts)
    )


def reciprocal_rank(k: int) -> Formula:
    """Return the formula of the reciprocal rank, 0 behind rank k."""
    return lambda ranking: np.where(
        ranking.all_relevant > 0, ranking.reciprocal_rank(k), np.nan
    )


def r_precision() -> Formula:
    """Return the formula of the precision at as many items as are relevant."""
    return lambda ranking: _divided(
        ranking.hits(ranking.all_relevant), ranking.all_relevant
    )


def precision_within(radius: int) -> Formula:
    """Return the formula of the precision within a radius."""

    def formula(ranking: Ranking) -> Numbers:
        within = slice(radius + 1)
        hits = ranking.counts.relevant[:, within].sum(axis=1)
        return _divided(hits, ranking.counts.totals[:, within].sum(axis=1))

    return formula


def _where_not_empty(scores: Numbers, ranking: Ranking, options: APOptions) -> Numbers:
    found: NDArray[Any]
    if options.empty_in == "database":
        found = ranking.all_relevant
    elif options.ties in BOUNDS:
        found = ranking.hits(options.k)
    else:
        found = scores  # zero only without a hit
    return np.where(found > 0, scores, np.nan)


def _divided(numerator: NDArray[Any], denominator: NDArray[Any]) -> Numbers:
    """Divide, NaN where the denominator is zero."""
    return np.where(
        denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan
    )
