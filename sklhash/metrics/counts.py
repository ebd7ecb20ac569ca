"""What lies at each distance from some queries."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts"]


class Counts:
    """Database items counted by distance and relevance.

    Parameters
    ----------
    rows : slice
        Which queries.

    by_level : ndarray of shape (n_queries, n_levels, n_distances), dtype=int64
        Items by the labels they share with the query, and by distance. Classes share
        none or one.
    """

    def __init__(self, rows: slice, by_level: NDArray[np.int64]) -> None:
        self.rows = rows
        self.by_level = by_level

    def __len__(self) -> int:
        return len(self.by_level)

    @property
    def n_levels(self) -> int:
        """Numbers of labels that may be shared, with none."""
        return self.by_level.shape[1]

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """Items at each distance, (n_queries, n_distances)."""
        return self.by_level[:, 0] + self.relevant

    @cached_property
    def relevant(self) -> NDArray[np.int64]:
        """Relevant items at each distance, (n_queries, n_distances)."""
        if self.n_levels == 2:
            return np.ascontiguousarray(self.by_level[:, 1])
        return self.by_level[:, 1:].sum(axis=1)

    @cached_property
    def shared(self) -> NDArray[np.int64]:
        """Labels shared, summed over the items at each distance."""
        if self.n_levels == 2:
            return self.relevant
        return np.einsum("l,qld->qd", np.arange(self.n_levels), self.by_level)

    @cached_property
    def all_relevant(self) -> NDArray[np.int64]:
        """Relevant items of the database, (n_queries,)."""
        return self.relevant.sum(axis=1)

    def take(self, rows: slice) -> Counts:
        """Return the counts of some of these queries."""
        start = self.rows.start + rows.start
        stop = start + rows.stop - rows.start
        return Counts(slice(start, stop), self.by_level[rows])
