"""How far real-valued codes are from the bits that they become."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, gen_batches
from sklearn.utils._param_validation import StrOptions

from sklhash._arrays import refuse_what_is_no_number
from sklhash._memory import working_bytes
from sklhash._validation import check_array_like
from sklhash.metrics.options import mean_over_queries, retrieval_score

__all__ = ["quantization_error_score"]


@retrieval_score(metric=[StrOptions({"euclidean", "cosine"})])
def quantization_error_score(
    X: ArrayLike,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    average: Literal["macro"] | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> Any:
    r"""How far real-valued codes are from the bits that they become; lower is better.

    Bits count as -1 and +1: a value :math:`v` becomes :math:`b = 1` where it is larger
    than 0, else :math:`b = -1`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_bits)
        Real-valued codes, what a hasher's `decision_function` returns.

    metric : {"euclidean", "cosine"}, default="euclidean"
        "euclidean" is the mean over the bits of :math:`(v - b)^2`. "cosine" is one
        minus the cosine between the codes :math:`v` and :math:`b`, which does not
        change with the scale of :math:`v`.

    average : {"macro"} or None, default="macro"
        "macro" is the mean over samples, None returns the errors of the samples.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples in the mean, not negative.

    Returns
    -------
    error : float or ndarray of shape (n_samples,), dtype=float64
        The mean, or the errors if ``average=None``: at least 0, which is reached where
        all values are -1 or +1 ("euclidean") or equal in magnitude ("cosine"). A row of
        zeros has the error 1 by either metric, the highest by "cosine".

    Raises
    ------
    ValueError
        If `X` is no dense matrix of finite numbers.

    See Also
    --------
    code_statistics : What the bits themselves are like.

    Notes
    -----
    "euclidean" is the quantisation loss of ITQ [1]_, its equation 2, divided by the
    number of values; "cosine" is that of OrthoHash [2]_, whose codes have no scale of
    their own. The first compares hashers only if their values are of one scale.

    Since larger is worse, a scorer for scikit-learn's searches returns the negative, as
    below.

    References
    ----------
    .. [1] Y. Gong and S. Lazebnik. Iterative quantization: a procrustean approach to
       learning binary codes. CVPR 2011.

    .. [2] J. T. Hoe, K. W. Ng, T. Zhang, C. S. Chan, Y.-Z. Song and T. Xiang. One loss
       for all: deep hashing with a single cosine similarity based learning objective.
       NeurIPS 2021.

    Examples
    --------
    >>> from sklhash.metrics import quantization_error_score
    >>> X = [[0.5, -1.5], [3.0, 4.0]]
    >>> quantization_error_score(X, average=None)
    array([0.25, 6.5 ])
    >>> quantization_error_score(X, metric="cosine", average=None).round(4)
    array([0.1056, 0.0101])

    The rotation that ITQ learns lowers the error of the principal components:

    >>> from sklearn.datasets import load_digits
    >>> from sklhash import ITQ, PCAH
    >>> def scorer(hasher, X, y=None):
    ...     values = hasher.decision_function(X)
    ...     return -quantization_error_score(values, metric="cosine")
    >>> X, _ = load_digits(return_X_y=True)
    >>> for hasher in (PCAH(n_bits=16), ITQ(n_bits=16, random_state=0)):
    ...     print(f"{scorer(hasher.fit(X), X):.2f}")
    -0.25
    -0.13
    """
    check_array_like(X, "X")
    X = check_array(X, dtype="numeric", input_name="X")
    refuse_what_is_no_number(X)
    values = check_array(X, dtype=[np.float64, np.float32], input_name="X")
    error = _euclidean if metric == "euclidean" else _cosine
    n_bytes = working_bytes()
    height = max(1, n_bytes // (32 * values.shape[1]))
    errors = [
        error(np.abs(values[rows], dtype=np.float64))
        for rows in gen_batches(len(values), height)
    ]
    return mean_over_queries(
        np.concatenate(errors), average=average, sample_weight=sample_weight
    )


# Both distances depend on magnitudes only, so that it does not matter what 0 becomes.
def _euclidean(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.square(magnitudes - 1).mean(axis=1)


def _cosine(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = magnitudes.max(axis=1, keepdims=True)  # whose square may overflow
    magnitudes = magnitudes / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(magnitudes, axis=1) * np.sqrt(magnitudes.shape[1])
    sums = magnitudes.sum(axis=1)
    cosines = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
    return np.clip(1 - cosines, 0, 1)
