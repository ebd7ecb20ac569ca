"""What rankings give, with ties expected or in index order, behind the same methods.

Both are made for a block of queries, and each method returns one number a query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.metrics.counts import Counts

__all__ = ["ExpectedRanking", "IndexRanking", "Numbers", "Ranking"]

Numbers = NDArray[np.float64]


class Ranking(ABC):
    """What scores ask of the rankings of some queries.

    Parameters
    ----------
    counts : Counts
        What lies at each distance from them.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.all_relevant = counts.all_relevant

    @abstractmethod
    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k; k is one number or one a query."""

    @abstractmethod
    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""

    @abstractmethod
    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up ``2**shared - 1`` times discount, over as many ranks as have one.

        The gains are scaled, as those of `ideal_discounted_gain` are.
        """

    @abstractmethod
    def average_precision(
        self, k: int, normalize: str, *, weighted: bool = False
    ) -> Numbers:
        """Sum the precisions (or mean gains, if weighted) at the hits, and divide."""

    @abstractmethod
    def reciprocal_rank(self, k: int) -> Numbers:
        """Return one over the rank of the first relevant item among k, or 0."""

    @abstractmethod
    def relevance_by_rank(self, k: int) -> Numbers:
        """Return how likely the item at each rank is relevant, (n_queries, k)."""

    @abstractmethod
    def add_by_rank(self, weights: Numbers, steps: Numbers) -> None:
        """Add up the relevance at each rank, one query after the other.

        `weights` are of shape (n_sums, n_queries). `steps`, of which
        :meth:`summed_by_rank` makes the sums, are of shape (2, n_sums, k + 1).
        """

    @staticmethod
    @abstractmethod
    def summed_by_rank(steps: Numbers) -> Numbers:
        """Return the relevance at each rank, summed over queries, (n_sums, k)."""

    def ideal_discounted_gain(self, discounts: Numbers) -> Numbers:
        """Discounted gain of the database in the best order."""
        at_level = self.counts.by_level[:, ::-1].sum(axis=2)
        gains = _gains(self.counts.n_levels)[::-1]
        return _over_ties(at_level, at_level * gains, discounts)


class ExpectedRanking(Ranking):
    """Rankings whose tied items stand in all orders at once."""

    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k."""
        return self._among_first(k, self.counts.relevant)

    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""
        return self._among_first(k, self.counts.shared)

    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up gain times discount."""
        by_level = self.counts.by_level
        gains = np.einsum("l,qld->qd", _gains(self.counts.n_levels), by_level)
        return _over_ties(self.counts.totals, gains, discounts)

    def average_precision(
        self, k: int, normalize: str, *, weighted: bool = False
    ) -> Numbers:
        """Sum the precisions, or mean gains, at the hits, and divide."""
        from sklhash._kernels.ranking import expected_average_precision

        gains = self.counts.shared if weighted else self.counts.relevant
        return self._scored(
            expected_average_precision, gains, k, _divisor_code(normalize)
        )

    def average_precision_bound(self, k: int, normalize: str, highest: bool) -> Numbers:
        """Highest or lowest average precision over all orders of tied items."""
        from sklhash._kernels.ranking import average_precision_bound

        return self._scored(
            average_precision_bound, k, _divisor_code(normalize), highest
        )

    def reciprocal_rank(self, k: int) -> Numbers:
        """Return one over the rank of the first relevant item among k, or 0."""
        from sklhash._kernels.ranking import expected_reciprocal_rank

        return self._scored(expected_reciprocal_rank, k)

    def relevance_by_rank(self, k: int) -> Numbers:
        """Return the share of relevant items in the tie of each rank."""
        shares = self.counts.relevant / np.maximum(self.counts.totals, 1)
        return np.stack(
            [
                np.repeat(share, total)[:k]
                for share, total in zip(shares, self.counts.totals, strict=True)
            ]
        )

    def add_by_rank(self, weights: Numbers, steps: Numbers) -> None:
        """Add that share, as steps up where ties start and down where they end."""
        last = np.cumsum(self.counts.totals, axis=1)
        first = last - self.counts.totals
        k = steps.shape[2] - 1
        first, last = first.clip(max=k), last.clip(max=k)
        shares = self.counts.relevant / np.maximum(self.counts.totals, 1)
        for up, down, weight in zip(*steps, weights, strict=True):
            heights = (weight[:, None] * shares).ravel()
            np.add.at(up, first.ravel(), heights)
            np.add.at(down, last.ravel(), heights)

    @staticmethod
    def summed_by_rank(steps: Numbers) -> Numbers:
        """Sum up the steps before each rank."""
        up, down = steps
        return np.cumsum(up - down, axis=1)[:, :-1]

    def _among_first(self, k: Any, sums: NDArray[np.int64]) -> Numbers:
        """Share out what is summed over a tie to those of its items within k."""
        before = np.cumsum(self.counts.totals, axis=1) - self.counts.totals
        within = np.clip(np.reshape(k, (-1, 1)) - before, 0, self.counts.totals)
        return (sums * within / np.maximum(self.counts.totals, 1)).sum(axis=1)

    def _scored(self, kernel: Any, *arguments: Any) -> Numbers:
        scores = np.empty(len(self.counts))
        kernel(self.counts.totals, self.counts.relevant, *arguments, scores)
        return scores


class IndexRanking(Ranking):
    """Rankings whose tied items stand in database order.

    Parameters
    ----------
    counts : Counts
        As for :class:`Ranking`.

    hits : Hits
        Ranks of the relevant items.
    """

    def __init__(self, counts: Counts, hits: Any) -> None:
        super().__init__(counts)
        self._hits = hits

    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k."""
        return self._summed(k, np.ones(self.counts.n_levels))

    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""
        return self._summed(k, np.arange(self.counts.n_levels, dtype=np.float64))

    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up gain times discount."""
        return self._summed(len(discounts), _gains(self.counts.n_levels), discounts)

    def average_precision(
        self, k: int, normalize: str, *, weighted: bool = False
    ) -> Numbers:
        """Sum the precisions, or mean gains, at the hits, and divide."""
        from sklhash._kernels.ranking import average_precision_of_hits

        scores = np.empty(len(self.counts))
        average_precision_of_hits(
            self._hits, self.all_relevant, k, _divisor_code(normalize), weighted, scores
        )
        return scores

    def reciprocal_rank(self, k: int) -> Numbers:
        """Return one over the rank of the first relevant item among k, or 0."""
        scores = np.zeros(len(self.counts))
        has_hit = self.all_relevant > 0
        first = self._hits.ranks[self._hits.starts[:-1][has_hit]].astype(np.int64)
        scores[has_hit] = np.where(first < k, 1 / (first + 1), 0)
        return scores

    def relevance_by_rank(self, k: int) -> Numbers:
        """Tell whether the item at each rank is relevant, 0 or 1."""
        relevance = np.zeros((len(self.counts), k))
        is_counted = self._hits.ranks < k
        rows = np.repeat(np.arange(len(self.counts)), self.all_relevant)
        relevance[rows[is_counted], self._hits.ranks[is_counted]] = 1
        return relevance

    def add_by_rank(self, weights: Numbers, steps: Numbers) -> None:
        """Add up the relevance at each rank, where it is."""
        is_counted = self._hits.ranks < steps.shape[2] - 1
        ranks = self._hits.ranks[is_counted]
        for sums, weight in zip(steps[0], weights, strict=True):
            np.add.at(sums, ranks, np.repeat(weight, self.all_relevant)[is_counted])

    @staticmethod
    def summed_by_rank(steps: Numbers) -> Numbers:
        """Return the sums, to which no steps lead."""
        return steps[0, :, :-1]

    def _summed(self, k: Any, worth: Numbers, discounts: Numbers | None = None) -> Any:
        from sklhash._kernels.ranking import sum_over_hits

        sums = np.empty(len(self.counts))
        k = np.broadcast_to(np.asarray(k, dtype=np.int64), sums.shape).copy()
        discounts = np.empty(0) if discounts is None else discounts
        sum_over_hits(self._hits, k, worth, discounts, sums)
        return sums


def _gains(n_levels: int) -> Numbers:
    """Return ``2**shared - 1``, scaled so that no number of labels overflows."""
    levels = np.arange(n_levels, dtype=np.float64)
    return np.exp2(levels - n_levels) - np.exp2(-float(n_levels))


def _over_ties(
    totals: NDArray[np.int64], gains: NDArray[Any], discounts: Numbers
) -> Numbers:
    """Sum gain times discount where each item of a tie has the tie's mean gain."""
    until = np.concatenate([[0], np.cumsum(discounts)])
    last = np.cumsum(totals, axis=1)
    first = last - totals
    within = (
        until[last.clip(max=len(discounts))] - until[first.clip(max=len(discounts))]
    )
    return (gains * within / np.maximum(totals, 1)).sum(axis=1)


def _divisor_code(normalize: str) -> int:
    from sklhash._kernels import ranking as kernels

    return {
        "hits": kernels.HITS,
        "relevant": kernels.RELEVANT,
        "min": kernels.MINIMUM,
    }[normalize]
