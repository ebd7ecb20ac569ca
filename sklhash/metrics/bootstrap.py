"""Confidence intervals of scores, by drawing the queries again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state, gen_batches

from sklhash.metrics.options import mean_of_defined

__all__ = ["as_generator", "confidence_intervals"]

_RESAMPLES_AT_ONCE = 64


def confidence_intervals(
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    confidence_level: float,
    n_resamples: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Percentile intervals of mean scores over queries drawn with replacement.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_scores)
        NaN for a query that a score leaves out.
    weights : ndarray of shape (n_queries,)
    confidence_level : float
    n_resamples : int
    generator : Generator

    Returns
    -------
    intervals : ndarray of shape (2, n_scores)
        The lower ends and the upper ends, over the samples that hold a query that the
        score is defined for; NaN if none does.
    """
    n_queries = len(scores)
    means = np.empty((n_resamples, scores.shape[1]))
    for part in gen_batches(n_resamples, _RESAMPLES_AT_ONCE):
        drawn = generator.integers(n_queries, size=(part.stop - part.start, n_queries))
        times = np.stack([np.bincount(rows, minlength=n_queries) for rows in drawn])
        means[part] = mean_of_defined(scores, times * weights)
    tail = (1 - confidence_level) / 2
    defined = ~np.isnan(means).all(axis=0)
    intervals = np.full((2, scores.shape[1]), np.nan)
    ends = np.nanquantile(means[:, defined], [tail, 1 - tail], axis=0)
    intervals[:, defined] = ends
    return intervals


def as_generator(random_state: Any) -> np.random.Generator:
    """Return a generator, without touching numpy's global one for None."""
    if random_state is None:
        return np.random.default_rng()
    seed = check_random_state(random_state).randint(2**31 - 1)
    return np.random.default_rng(seed)
