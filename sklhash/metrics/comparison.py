"""Whether one set of codes retrieves better than another, on the same queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import permutation_test

from sklhash._memory import working_bytes
from sklhash.codes import check_code_pair
from sklhash.metrics.bootstrap import as_generator, confidence_intervals
from sklhash.metrics.options import retrieval_score
from sklhash.metrics.ranking import mean_average_precision_score

__all__ = ["RetrievalComparison", "compare_retrieval"]


class RetrievalComparison(NamedTuple):
    """Two scores on the same queries, and what their difference means."""

    score_a: float
    """Mean score of the first codes."""

    score_b: float
    """Mean score of the second codes."""

    difference: float
    """``score_b - score_a``."""

    low: float
    """Lower end of the confidence interval of the difference."""

    high: float
    """Upper end."""

    p_value: float
    """Probability of a difference at least as large, either way, by chance alone."""

    n_queries: int
    """Queries that both scores are defined for."""


@retrieval_score(score=[callable])
def compare_retrieval(
    codes_a: tuple[ArrayLike, ArrayLike],
    codes_b: tuple[ArrayLike, ArrayLike],
    query_y: Any,
    database_y: Any,
    *,
    score: Callable[..., Any] = mean_average_precision_score,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    random_state: Any = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
    **kwargs: Any,
) -> RetrievalComparison:
    """Test whether two sets of codes retrieve equally well, query by query.

    The queries are the same, so their scores are compared in pairs: a hard query is
    hard for both, and the difference is known far better than either score. The
    p-value is that of a permutation test, in which each query's two scores change
    places by chance; the interval comes from a bootstrap over queries.

    Parameters
    ----------
    codes_a : tuple (query_codes, database_codes)
        Codes of the queries and of the database, array-like of shape (n_queries,
        n_bits) and (n_database, n_bits); if packed, n_bytes wide.

    codes_b : tuple (query_codes, database_codes)
        Other codes of the same samples, likewise (n_queries, n_bits) and (n_database,
        n_bits); the number of bits may be another one.

    query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
        Class labels, or a dense or sparse label indicator of zeros and ones.

    database_y : array-like of shape (n_database,) or (n_database, n_labels)
        Labels of the same kind.

    score : callable, default=mean_average_precision_score
        A retrieval score of this package, called with ``average=None``.

    confidence_level : float, default=0.95
        Level of the interval, between 0 and 1.

    n_resamples : int, default=9999
        Number of permutations and of bootstrap samples. If there are fewer
        permutations than that, all are tried.

    random_state : int, RandomState instance or None, default=None
        Source of the permutations and samples.

    <exclude_self>

    <packed>

    **kwargs : dict
        Options of `score`, such as ``k=100``.

    Returns
    -------
    comparison : RetrievalComparison
        The named tuple (score_a, score_b, difference, low, high, p_value, n_queries).

    Raises
    ------
    ValueError
        If codes are not a pair, fewer than two queries have both scores, options in
        `kwargs` are for means of queries, or as `score` does.

    Notes
    -----
    The test says how far the queries, drawn again, would bear out the difference. It
    does not see the chance in training: for that compare fits with other seeds.

    References
    ----------
    .. [1] M. D. Smucker, J. Allan and B. Carterette. A comparison of statistical
       significance tests for information retrieval evaluation. CIKM 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> from sklhash.metrics import compare_retrieval
    >>> X, y = load_digits(return_X_y=True)
    >>> short, long = (LSH(b, random_state=0).fit_transform(X) for b in (16, 32))
    >>> comparison = compare_retrieval(
    ...     (short[:300], short[300:]), (long[:300], long[300:]), y[:300], y[300:],
    ...     random_state=0)
    >>> comparison.low < comparison.difference < comparison.high
    True
    >>> comparison.p_value < 0.01
    True
    """
    settled = {"average", "sample_weight", "return_empty_share"} & set(kwargs)
    if settled:
        raise ValueError(f"{sorted(settled)} cannot be given: queries are compared.")
    for name, codes in (("codes_a", codes_a), ("codes_b", codes_b)):
        names = f"{name}[0]", f"{name}[1]"
        check_code_pair(*_check_codes(codes, name), packed=packed, names=names)
    labels = query_y, database_y
    options = {"exclude_self": exclude_self, "packed": packed, **kwargs}
    pair = np.stack(
        [
            score(*codes, *labels, average=None, **options)
            for codes in (codes_a, codes_b)
        ]
    )
    pair = pair[:, ~np.isnan(pair).any(axis=0)]
    if pair.shape[1] < 2:
        raise ValueError(
            "A comparison needs at least two queries that both scores are defined for, "
            f"got {pair.shape[1]}."
        )
    score_a, score_b = pair.mean(axis=1)
    differences = pair[1] - pair[0]
    generator = as_generator(random_state)
    (low,), (high,) = confidence_intervals(
        differences[:, None],
        np.ones(len(differences)),
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        generator=generator,
    )
    return RetrievalComparison(
        float(score_a),
        float(score_b),
        float(score_b - score_a),
        float(low),
        float(high),
        _p_value(differences, n_resamples, generator),
        len(differences),
    )


def _check_codes(codes: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(codes, (tuple, list)) or len(codes) != 2:
        raise ValueError(
            f"{name} must be a pair (query_codes, database_codes), got "
            f"{type(codes).__name__}."
        )
    return codes[0], codes[1]


def _p_value(
    differences: NDArray[np.float64], n_resamples: int, generator: np.random.Generator
) -> float:
    """Test whether differences are as likely to have the other sign."""
    n_bytes = working_bytes()
    test = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        batch=max(1, int(n_bytes // (32 * len(differences)))),
        rng=generator,
    )
    return float(test.pvalue)
