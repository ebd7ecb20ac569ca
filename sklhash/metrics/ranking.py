"""Retrieval scores of codes, from relevance counted by Hamming distance."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_consistent_length, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklhash.codes import as_words, check_code_pair
from sklhash.targets import relevance_labels

__all__ = ["mean_average_precision_score"]


@validate_params(
    {
        "k": [None, Interval(Integral, 1, None, closed="left")],
        "ties": [StrOptions({"expected", "index"})],
        "normalize": [StrOptions({"hits", "relevant", "min"})],
        "empty": [StrOptions({"zero", "skip", "raise"})],
        "exclude_self": ["boolean"],
        "packed": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def mean_average_precision_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Literal["expected", "index"] = "expected",
    normalize: Literal["hits", "relevant", "min"] = "hits",
    empty: Literal["zero", "skip", "raise"] = "zero",
    exclude_self: bool = False,
    packed: bool = False,
) -> float:
    r"""Mean average precision (mAP) of a Hamming ranking.

    The database is ranked by Hamming distance to each query; an item is relevant if it
    has the query's class or, with label indicators, at least one of its labels.
    Average precision is the sum of the precisions at the ranks of the relevant items
    among the first `k`, divided as `normalize` says. Codes of `n_bits` bits have only
    ``n_bits + 1`` distances, so ties are the rule, and a score that does not say how
    they are ordered cannot be compared.

    Parameters
    ----------
    query_codes : array-like of shape (n_queries, n_bits)
        Codes of the queries; if packed, of shape (n_queries, n_bytes).

    database_codes : array-like of shape (n_database, n_bits)
        Codes of the database; if packed, of shape (n_database, n_bytes).

    query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
        Class labels, or a dense or sparse label indicator of zeros and ones.

    database_y : array-like of shape (n_database,) or (n_database, n_labels)
        Labels of the same kind.

    k : int, default=None
        How many items of the ranking count (mAP@k); None for all.

    ties : {"expected", "index"}, default="expected"
        "expected" is the exact expectation over all orders of the items at equal
        distance, which does not change when the database is shuffled; "index" takes
        such items in database order, as a stable argsort does.

    normalize : {"hits", "relevant", "min"}, default="hits"
        What the sum of precisions is divided by: the relevant items found among the
        first `k` (the habit of hashing papers), all relevant items of the database, or
        the smaller of `k` and that number. The same for ``k=None``.

    empty : {"zero", "skip", "raise"}, default="zero"
        What a query whose divisor is zero does: count 0, be left out of the mean, or
        raise an error. With ``normalize="hits"`` that is a query without a relevant
        item among the first `k` (with expected ties: in no order of the tied items),
        else one without a relevant item in the database.

    exclude_self : bool, default=False
        Whether query ``i`` is database item ``i`` and is left out of its own ranking.

    packed : bool, default=False
        Whether the codes are packed.

    Returns
    -------
    score : float
        mAP between 0 and 1. NaN if every query is skipped.

    Raises
    ------
    ValueError
        If codes or labels are malformed, differ in width, kind or number, `k` is
        larger than the database, or a query is empty and ``empty="raise"``.

    Warns
    -----
    UndefinedMetricWarning
        If the divisor of every query is zero.

    Notes
    -----
    For a distance with :math:`n` items, :math:`r` of them relevant, behind :math:`N`
    nearer items with :math:`R` relevant ones, the expected sum of precisions is [1]_

    .. math::
        \frac{r}{n} \sum_{t=1}^{n}
        \frac{R + 1 + (t - 1) \frac{r - 1}{n - 1}}{N + t}.

    If `k` cuts a tie, and the divisor is the number of hits, the expectation runs over
    the hypergeometric number of relevant items above the cut.

    References
    ----------
    .. [1] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008. K. He, F. Cakir,
       S. A. Bargal and S. Sclaroff. Hashing as tie-aware learning to rank. CVPR 2018.

    Examples
    --------
    >>> from sklhash.metrics import mean_average_precision_score
    >>> query, query_y = [[0, 0, 0]], ["cat"]
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> round(mean_average_precision_score(query, database, query_y, database_y), 4)
    0.9167
    >>> round(mean_average_precision_score(
    ...     query, database, query_y, database_y, ties="index"), 4)
    0.8333
    """
    query_codes, database_codes = check_code_pair(
        query_codes,
        database_codes,
        packed=packed,
        names=("query_codes", "database_codes"),
    )
    query_labels, database_labels, multilabel = relevance_labels(query_y, database_y)
    check_consistent_length(query_codes, query_labels)
    check_consistent_length(database_codes, database_labels)
    k = _check_ranking(len(query_codes), len(database_codes), k, exclude_self)
    precisions, is_defined = _average_precisions(
        (as_words(query_codes), as_words(database_codes)),
        (query_labels, database_labels, multilabel),
        n_distances=8 * query_codes.shape[1] + 1,
        k=k,
        ties=ties,
        normalize=normalize,
        exclude_self=exclude_self,
    )
    where = f"among the first {k}" if normalize == "hits" else "in the database"
    return _mean_over_queries(precisions, is_defined, empty, where)


def _check_ranking(
    n_queries: int, n_database: int, k: int | None, exclude_self: bool
) -> int:
    """Return how many items of a ranking count."""
    if n_queries == 0:
        raise ValueError("query_codes must have at least one row, got none.")
    if exclude_self and n_queries != n_database:
        raise ValueError(
            "exclude_self=True leaves database row i out for query i, which needs as "
            f"many queries as database rows, got {n_queries} and {n_database}."
        )
    n_items = n_database - exclude_self
    if n_items < 1:
        raise ValueError(
            f"There is nothing to rank: database_codes has {n_database} row(s), and "
            f"exclude_self={exclude_self}."
        )
    if k is not None and k > n_items:
        raise ValueError(
            f"k must be at most the {n_items} item(s) that a query can retrieve, got "
            f"k={k}."
        )
    return n_items if k is None else k


def _average_precisions(
    codes: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    labels: tuple[NDArray[np.uint64], NDArray[np.uint64], bool],
    *,
    n_distances: int,
    k: int,
    ties: str,
    normalize: str,
    exclude_self: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average precision of each query, and whether its divisor is not zero."""
    from sklhash._kernels import ranking as kernels

    queries, database = codes
    query_labels, database_labels, multilabel = labels
    divisor = {
        "hits": kernels.HITS,
        "relevant": kernels.RELEVANT,
        "min": kernels.MINIMUM,
    }[normalize]
    own_rows = np.arange(len(queries)) if exclude_self else np.full(len(queries), -1)
    precisions = np.empty(len(queries))
    is_defined = np.empty(len(queries), dtype=bool)
    bytes_a_query = 2 * 8 * n_distances
    block_rows = int(get_config()["working_memory"] * 2**20) // bytes_a_query
    for rows in gen_batches(len(queries), max(1, block_rows)):
        ranking = (
            queries[rows],
            database,
            query_labels[rows],
            database_labels,
            multilabel,
            own_rows[rows],
        )
        totals = np.zeros((len(queries[rows]), n_distances), dtype=np.int64)
        relevant = np.zeros_like(totals)
        kernels.count_by_distance(*ranking, totals, relevant)
        counts = (totals, relevant, k, divisor, precisions[rows])
        if ties == "expected":
            kernels.expected_average_precision(*counts)
        else:
            kernels.average_precision_in_index_order(*ranking, *counts)
        has_hit, has_relevant = precisions[rows] > 0, relevant.any(axis=1)
        is_defined[rows] = has_hit if normalize == "hits" else has_relevant
    return precisions, is_defined


def _mean_over_queries(
    scores: NDArray[np.float64],
    is_defined: NDArray[np.bool_],
    empty: str,
    where: str,
) -> float:
    """Average over queries, those that are not defined as `empty` says."""
    if empty == "raise" and not is_defined.all():
        raise ValueError(
            f"{np.sum(~is_defined)} of {len(scores)} queries have no relevant item "
            f"{where}, the first is query {np.argmin(is_defined)}."
        )
    if not is_defined.any():
        warnings.warn(
            f"No query has a relevant item {where}: do queries and database share any "
            "class? (Folds of labels sorted by class do not, unless they are "
            "stratified.)",
            UndefinedMetricWarning,
            stacklevel=4,
        )
        return 0.0 if empty == "zero" else float("nan")
    return float(np.mean(scores[is_defined] if empty == "skip" else scores))
