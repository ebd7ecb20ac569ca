"""What rankings give, with ties expected or in index order, behind the same methods.

Both are made for a block of queries, and each method returns one number a query.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExpectedRanking", "IndexRanking", "Numbers", "Ranking"]

Numbers = NDArray[np.float64]


class Ranking(ABC):
    """What scores ask of the rankings of some queries.

    Parameters
    ----------
    by_level : ndarray of shape (n_queries, n_levels, n_distances), dtype=int64
        Items by the labels they share with the query, and by distance.
    """

    def __init__(self, by_level: NDArray[np.int64]) -> None:
        self.by_level = by_level
        self.all_relevant = by_level[:, 1:].sum(axis=(1, 2))

    @abstractmethod
    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k; k is one number or one a query."""

    @abstractmethod
    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""

    @abstractmethod
    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up ``2**shared - 1`` times discount, over as many ranks as have one."""

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
    def sum_by_rank(self, weights: Numbers, k: int) -> Numbers:
        """Sum the relevance at each rank over queries.

        `weights` are of shape (n_sums, n_queries), the sums of shape (n_sums, k).
        """

    def ideal_discounted_gain(self, discounts: Numbers) -> Numbers:
        """Discounted gain of the database in the best order."""
        at_level = self.by_level[:, ::-1].sum(axis=2)
        gains = _gains(self.by_level)[::-1]
        return _over_ties(at_level, at_level * gains, discounts)


class ExpectedRanking(Ranking):
    """Rankings whose tied items stand in all orders at once."""

    def __init__(self, by_level: NDArray[np.int64]) -> None:
        super().__init__(by_level)
        self._totals = by_level.sum(axis=1)
        self._relevant = by_level[:, 1:].sum(axis=1)

    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k."""
        return self._among_first(k, self._relevant)

    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""
        return self._among_first(k, self._shared)

    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up gain times discount."""
        gains = np.einsum("l,qld->qd", _gains(self.by_level), self.by_level)
        return _over_ties(self._totals, gains, discounts)

    def average_precision(
        self, k: int, normalize: str, *, weighted: bool = False
    ) -> Numbers:
        """Sum the precisions, or mean gains, at the hits, and divide."""
        from sklhash._kernels.ranking import expected_average_precision

        gains = self._shared if weighted else self._relevant
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
        shares = self._relevant / np.maximum(self._totals, 1)
        return np.stack(
            [
                np.repeat(share, total)[:k]
                for share, total in zip(shares, self._totals, strict=True)
            ]
        )

    def sum_by_rank(self, weights: Numbers, k: int) -> Numbers:
        """Sum that share over queries, as steps where ties start and end."""
        last = np.cumsum(self._totals, axis=1)
        first = last - self._totals
        shares = self._relevant / np.maximum(self._totals, 1)
        sums = np.empty((len(weights), k))
        for row, weight in zip(sums, weights, strict=True):
            heights = (weight[:, None] * shares).ravel()
            n_places = int(last.max()) + 1
            up = np.bincount(first.ravel(), heights, n_places)
            down = np.bincount(last.ravel(), heights, n_places)
            row[:] = np.cumsum(up - down)[:k]
        return sums

    @property
    def _shared(self) -> NDArray[np.int64]:
        """Labels shared, summed over the items at each distance."""
        if self.by_level.shape[1] == 2:
            return self._relevant
        return np.einsum("l,qld->qd", np.arange(self.by_level.shape[1]), self.by_level)

    def _among_first(self, k: Any, sums: NDArray[np.int64]) -> Numbers:
        """Share out what is summed over a tie to those of its items within k."""
        before = np.cumsum(self._totals, axis=1) - self._totals
        within = np.clip(np.reshape(k, (-1, 1)) - before, 0, self._totals)
        return (sums * within / np.maximum(self._totals, 1)).sum(axis=1)

    def _scored(self, kernel: Any, *arguments: Any) -> Numbers:
        scores = np.empty(len(self.by_level))
        kernel(self._totals, self._relevant, *arguments, scores)
        return scores


class IndexRanking(Ranking):
    """Rankings whose tied items stand in database order.

    Parameters
    ----------
    by_level : ndarray of shape (n_queries, n_levels, n_distances), dtype=int64
        As for :class:`Ranking`.

    ranked : ndarray of shape (n_queries, width), dtype=uint8 or uint16
        Labels shared with the item at each rank, zero behind the last rank that counts;
        `width` is a multiple of 64.
    """

    def __init__(self, by_level: NDArray[np.int64], ranked: NDArray[Any]) -> None:
        super().__init__(by_level)
        self._ranked = ranked

    @property
    def _is_hit(self) -> NDArray[np.bool_]:
        if self._ranked.dtype == np.uint8 and self.by_level.shape[1] == 2:
            return self._ranked.view(np.bool_)
        return self._ranked > 0

    def hits(self, k: Any) -> Numbers:
        """Count relevant items among the first k."""
        if np.ndim(k) == 0:
            return np.count_nonzero(self._ranked[:, :k], axis=1)
        return np.array(
            [np.count_nonzero(row[:n]) for row, n in zip(self._ranked, k, strict=True)]
        )

    def gain(self, k: int) -> Numbers:
        """Sum up the labels shared with the first k items."""
        return self._ranked[:, :k].sum(axis=1, dtype=np.int64)

    def discounted_gain(self, discounts: Numbers) -> Numbers:
        """Sum up gain times discount."""
        gains = _gains(self.by_level)[self._ranked[:, : len(discounts)]]
        return np.asarray(gains @ discounts, dtype=np.float64)

    def average_precision(
        self, k: int, normalize: str, *, weighted: bool = False
    ) -> Numbers:
        """Sum the precisions, or mean gains, at the hits, and divide."""
        from sklhash._kernels.ranking import average_precision_of_rankings

        sums = np.empty(len(self._ranked))
        hits = np.empty(len(self._ranked), dtype=np.int64)
        average_precision_of_rankings(
            self._is_hit, self._ranked, k, weighted, sums, hits
        )
        divisors = {
            "hits": hits,
            "relevant": self.all_relevant,
            "min": np.minimum(self.all_relevant, k),
        }
        return sums / np.maximum(divisors[normalize], 1)

    def reciprocal_rank(self, k: int) -> Numbers:
        """Return one over the rank of the first relevant item among k, or 0."""
        is_hit = self._is_hit[:, :k]
        first = is_hit.argmax(axis=1)
        return is_hit[np.arange(len(first)), first].astype(float) / (first + 1)

    def relevance_by_rank(self, k: int) -> Numbers:
        """Tell whether the item at each rank is relevant, 0 or 1."""
        return self._is_hit[:, :k].astype(np.float64)

    def sum_by_rank(self, weights: Numbers, k: int) -> Numbers:
        """Sum over queries the relevance at each rank."""
        return np.asarray(weights @ self.relevance_by_rank(k))


def _gains(by_level: NDArray[np.int64]) -> Numbers:
    return np.exp2(np.arange(by_level.shape[1], dtype=np.float64)) - 1


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
