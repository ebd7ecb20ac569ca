"""What retrieval scores have in common: their options, and the mean over queries."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_params
from sklearn.utils.validation import _check_sample_weight

from sklhash._validation import Interval

__all__ = [
    "CONFIDENCE_LEVEL",
    "LABELS",
    "NO_RELEVANT",
    "check_k",
    "check_weights",
    "checked_options",
    "fill_empty",
    "mean_of_defined",
    "mean_over_queries",
    "retrieval_score",
]

Score = TypeVar("Score", bound=Callable[..., Any])

NO_RELEVANT = "no relevant item in the database"
_HINT = (
    " Do queries and database share any class? (Folds of labels sorted by class do "
    "not, unless they are stratified.)"
)
LABELS = ["array-like", "sparse matrix"]
CONFIDENCE_LEVEL = Interval(Real, 0, 1, closed="neither")

_CONSTRAINTS = {
    "k": [None, Interval(Integral, 1, None, closed="left")],
    "radius": [Interval(Integral, 0, None, closed="left")],
    "ties": [StrOptions({"expected", "index"})],
    "normalize": [StrOptions({"hits", "relevant", "min"})],
    "empty": [StrOptions({"zero", "skip", "raise"})],
    "average": [StrOptions({"macro"}), None],
    "sample_weight": ["array-like", None],
    "exclude_self": ["boolean", "array-like"],
    "packed": ["boolean"],
    "n_bits": [None, Interval(Integral, 1, None, closed="left")],
    "confidence_level": [CONFIDENCE_LEVEL],
    "n_resamples": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "name": [str, None],
    "ax": [HasMethods(["get_figure", "plot"]), None],
    "log": ["boolean"],
}

_DOCS = {
    "codes and labels": """
query_codes : array-like of shape (n_queries, n_bits)
    Codes of the queries; if packed, of shape (n_queries, n_bytes).

database_codes : array-like of shape (n_database, n_bits)
    Codes of the database; if packed, of shape (n_database, n_bytes).

query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
    Class labels, or a dense or sparse label indicator of zeros and ones.

database_y : array-like of shape (n_database,) or (n_database, n_labels)
    Labels of the same kind.
""",
    "k": """
k : int, default=None
    How many items of the ranking count; None for all.
""",
    "ties": """
ties : {"expected", "index"}, default="expected"
    "expected" is the exact expectation over all orders of the items at equal distance,
    which does not change when the database is shuffled; "index" takes such items in
    database order, as a stable argsort does.
""",
    "empty": """
empty : {"zero", "skip", "raise"}, default="zero"
    What a query without a relevant item in the database does: count 0, be left out of
    the mean, or raise an error.
""",
    "average": """
average : {"macro"} or None, default="macro"
    "macro" is the mean over queries, None returns the scores of the queries; NaN where
    a query is left out.
""",
    "sample_weight": """
sample_weight : array-like of shape (n_queries,), default=None
    Weights of the queries in the mean, not negative.
""",
    "exclude_self": """
exclude_self : bool or array-like of shape (n_queries,), dtype=int, default=False
    Whether query ``i`` is database item ``i`` and is left out of its own ranking; or
    which database item each query is.
""",
    "packed": """
packed : bool, default=False
    Whether the codes are packed.
""",
    "n_bits": """
n_bits : int, default=None
    Number of bits of packed codes; None is eight a byte.
""",
    "returns": """
score : float or ndarray of shape (n_queries,), dtype=float64
    The mean, or the scores if ``average=None``. NaN if every query is left out.
""",
    "raises": """
ValueError
    If an option is none of those above, codes or labels are malformed, differ in width,
    kind or number, `k` is larger than what a query can retrieve, or a query is empty
    and ``empty="raise"``.
""",
}


def checked_options(**constraints: list[Any]) -> Callable[[Score], Score]:
    """Make a function check its options, those of the common names by one constraint.

    What it calls checks on: options may be passed on that are not its own.
    """

    def check(function: Score) -> Score:
        names = inspect.signature(function).parameters
        shared = {name: _CONSTRAINTS[name] for name in names if name in _CONSTRAINTS}
        return validate_params(
            {**shared, **constraints}, prefer_skip_nested_validation=False
        )(function)

    return check


def retrieval_score(
    **constraints: list[Any],
) -> Callable[[Score], Score]:
    """Make a function a retrieval score: check its options and complete its docstring.

    Options of the common names are checked and documented here, others by
    `constraints` and by the function. A line ``<name>`` in the docstring stands for the
    paragraph of that name.
    """

    def complete(score: Score) -> Score:
        checked = checked_options(**constraints)(score)
        checked.__doc__ = _completed(inspect.cleandoc(score.__doc__ or ""))
        return checked

    return complete


def _completed(doc: str) -> str:
    for name, paragraph in _DOCS.items():
        doc = doc.replace(f"<{name}>", paragraph.strip())
    return doc


def check_k(k: int | None, n_items: int) -> int:
    """Return how many items of a ranking count."""
    if k is not None and k > n_items:
        raise ValueError(
            f"k must be at most the {n_items} item(s) that a query can retrieve, got "
            f"k={k}."
        )
    return n_items if k is None else int(k)


def mean_over_queries(
    scores: NDArray[np.float64],
    *,
    average: str | None,
    sample_weight: Any = None,
    empty: str = "zero",
    lacking: str = NO_RELEVANT,
) -> Any:
    """Average over queries, those that are NaN as `empty` says.

    Parameters
    ----------
    scores : ndarray of shape (n_queries,)
        NaN for a query that the score is not defined for.
    average, sample_weight, empty
        Options of the score.
    lacking : str
        What such a query has, for messages.
    """
    weights = check_weights(sample_weight, scores)
    scores = fill_empty(scores, empty, lacking)
    if average is None:
        return scores
    return float(mean_of_defined(scores, weights))


def fill_empty(
    scores: NDArray[np.float64], empty: str, lacking: str
) -> NDArray[np.float64]:
    """Do with scores that are NaN what `empty` says."""
    is_empty = np.isnan(scores)
    if empty == "raise" and is_empty.any():
        raise ValueError(
            f"{is_empty.sum()} of {len(scores)} queries have {lacking}, the first is "
            f"query {np.argmax(is_empty)}."
        )
    if is_empty.all():
        hint = _HINT if lacking == NO_RELEVANT else ""
        message = f"Every query has {lacking}.{hint}"
        warnings.warn(message, UndefinedMetricWarning, stacklevel=5)
    return np.where(is_empty, 0.0, scores) if empty == "zero" else scores


def check_weights(sample_weight: Any, scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of the queries, ones if there are none."""
    if sample_weight is None:
        return np.ones(len(scores))
    return _check_sample_weight(sample_weight, scores, ensure_non_negative=True)


def mean_of_defined(scores: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Average over queries what is not NaN; NaN where there is nothing.

    `scores` begin with an axis of queries. `weights` end with one and may have axes
    before it, for many averages at once.
    """
    is_defined = ~np.isnan(scores)
    total = weighted_sum(weights, is_defined)
    summed = weighted_sum(weights, np.where(is_defined, scores, 0.0))
    return np.where(total > 0, summed / np.where(total > 0, total, 1), np.nan)


def weighted_sum(weights: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return ``weights @ values``, to the last digit at any number of threads of BLAS.

    Each may have one axis more than the one they share.
    """
    rows, columns = "r" * (weights.ndim - 1), "c" * (values.ndim - 1)
    values = np.ascontiguousarray(values.T)  # faster
    return np.einsum(f"{rows}q,{columns}q->{rows}{columns}", weights, values)
