"""Retrieval scores of codes, from relevance counted by Hamming distance."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions

from sklhash.metrics import formulas
from sklhash.metrics.formulas import evaluate
from sklhash.metrics.options import (
    check_k,
    check_weights,
    mean_over_queries,
    retrieval_score,
)
from sklhash.metrics.protocols import (
    BOUNDS,
    PROTOCOLS,
    ap_options,
    has_bounds,
    where_empty,
)
from sklhash.metrics.relevance import count_relevance

__all__ = [
    "average_cumulative_gain_score",
    "mean_average_precision_score",
    "mean_reciprocal_rank_score",
    "ndcg_at_k_score",
    "precision_at_k_score",
    "precision_within_radius_score",
    "r_precision_score",
    "recall_at_k_score",
    "weighted_mean_average_precision_score",
]

Ties = Literal["expected", "index"]
AllTies = Literal["expected", "index", "optimistic", "pessimistic"]
Normalize = Literal["hits", "relevant", "min"]
Empty = Literal["zero", "skip", "raise"]
Average = Literal["macro"] | None
ALL_TIES = [StrOptions({"expected", "index", "optimistic", "pessimistic"})]
PROTOCOL = [None, StrOptions(set(PROTOCOLS))]


@retrieval_score(ties=ALL_TIES, protocol=PROTOCOL)
def mean_average_precision_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: AllTies = "expected",
    normalize: Normalize = "hits",
    empty: Empty = "zero",
    protocol: str | None = None,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Mean average precision (mAP) of a Hamming ranking.

    The database is ranked by Hamming distance to each query; an item is relevant if it
    has the query's class or, with label indicators, at least one of its labels.
    Average precision is the sum of the precisions at the ranks of the relevant items
    among the first `k`, divided as `normalize` says. Codes of `n_bits` bits have only
    ``n_bits + 1`` distances, so ties are the rule, and a score that does not say how
    they are ordered cannot be compared.

    Parameters
    ----------
    <codes and labels>

    <k>

    ties : {"expected", "index", "optimistic", "pessimistic"}, default="expected"
        "expected" is the exact expectation over all orders of the items at equal
        distance, which does not change when the database is shuffled; "index" takes
        such items in database order, as a stable argsort does. "optimistic" and
        "pessimistic" are the highest and the lowest score that any order gives; there
        are none of a mean with ``empty="skip"`` and a `k`, where the order decides
        which queries are left out.

    normalize : {"hits", "relevant", "min"}, default="hits"
        What the sum of precisions is divided by: the relevant items found among the
        first `k` (the habit of hashing papers), all relevant items of the database, or
        the smaller of `k` and that number. The same for ``k=None``.

    empty : {"zero", "skip", "raise"}, default="zero"
        What a query whose divisor is zero does: count 0, be left out of the mean, or
        raise an error. With ``normalize="hits"`` that is a query without a relevant
        item among the first `k` (unless ties are in index order: in no order of the
        tied items; an order without one counts 0), else one without a relevant item in
        the database.

    protocol : str, default=None
        Compute as an official evaluation code does: ties, divisor, what a query without
        a hit counts, and `k` if none is given. See the Notes. Options at their default
        give way to it.

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>
        Or if `protocol` is given along with an option that it sets otherwise.

    Warns
    -----
    UndefinedMetricWarning
        If the divisor of every query is zero.

    See Also
    --------
    weighted_mean_average_precision_score : Counts the labels that items share.
    retrieval_report : This and other scores, with the protocol they were made by.

    Notes
    -----
    For a distance with :math:`n` items, :math:`r` of them relevant, behind :math:`N`
    nearer items with :math:`R` relevant ones, the expected sum of precisions is [1]_
    [2]_

    .. math::
        \frac{r}{n} \sum_{t=1}^{n}
        \frac{R + 1 + (t - 1) \frac{r - 1}{n - 1}}{N + t}.

    If `k` cuts a tie, and the divisor is the number of hits, the expectation runs over
    the hypergeometric number of relevant items above the cut.

    The protocols. Where a code's sort is not stable its result is not defined, and
    index order is used.

    =============== ======== ========= ============================ ====================
    protocol        ties     normalize a query without a hit        ``k=None`` means
    =============== ======== ========= ============================ ====================
    "orthohash"     index    hits      counts 0                     all
    "hashnet"       index    hits      is left out                  all
    "hashnet-caffe" index    hits      is left out if the database  all
                                       has no relevant item either
    "deephash"      index    hits      is left out                  all
    "dsdh"          index    hits      is left out                  all
    "dpsh"          index    hits      counts 0                     all but the farthest
    "cibhash"       index    hits      counts 0                     all but the farthest
    "swuxyj"        index    hits      counts 0                     all but the farthest
    "treezzz"       index    hits      counts 0                     all but the farthest
    "nsh"           index    hits      counts 0                     1000
    "ninh"          index    min       counts 0                     all
    "dsrh"          expected hits      is left out                  all
    =============== ======== ========= ============================ ====================

    Four leave the farthest item out because their codes write ``[0:-1]`` for all.
    "hashnet" is the PyTorch code, "deephash" that of thulab/DeepHash, "swuxyj" and
    "treezzz" are collections of methods, "ninh" is the divisor of a Caffe copy. The k
    of "nsh" is reported, not read in its code, whose rules are taken to be CIBHash's.
    What "dsdh" leaves out with a `k` is not known. DSRH averages over random orders of
    ties, and leaves out queries without a label.

    References
    ----------
    .. [1] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008.

    .. [2] K. He, F. Cakir, S. A. Bargal and S. Sclaroff. Hashing as tie-aware learning
       to rank. CVPR 2018.

    Examples
    --------
    >>> from sklhash.metrics import mean_average_precision_score
    >>> query, query_y = [[0, 0, 0]], ["cat"]
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> for ties in ("pessimistic", "index", "expected", "optimistic"):
    ...     score = mean_average_precision_score(
    ...         query, database, query_y, database_y, ties=ties)
    ...     print(f"{ties:11} {score:.4f}")
    pessimistic 0.8333
    index       0.8333
    expected    0.9167
    optimistic  1.0000
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    options = ap_options(
        protocol,
        relevance.n_items,
        k=k,
        ties=ties,
        normalize=normalize,
        empty=empty,
    )
    if average and ties in BOUNDS and not has_bounds(options, relevance.n_items):
        raise ValueError(
            f"ties={ties!r} is no bound of a mean that leaves queries out, since the "
            f'order of ties decides which: empty="skip" wants k=None, got k={k}.'
        )
    formula = formulas.average_precision(options)
    (scores,) = evaluate(relevance, (options.ties, formula))
    return mean_over_queries(
        scores,
        average=average,
        sample_weight=sample_weight,
        empty=options.empty,
        lacking=where_empty(options, relevance.n_items),
    )


@retrieval_score()
def weighted_mean_average_precision_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    normalize: Normalize = "hits",
    empty: Empty = "zero",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Weighted mAP of a Hamming ranking: average cumulative gain at the hits.

    As :func:`mean_average_precision_score`, with the mean number of labels shared by
    the items up to a rank (ACG) in place of the precision there [1]_. It may exceed 1.
    With class labels it is the mAP.

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    normalize : {"hits", "relevant", "min"}, default="hits"
        What the sum is divided by: the relevant items found among the first `k`, all
        relevant items of the database, or the smaller of `k` and that number.

    empty : {"zero", "skip", "raise"}, default="zero"
        What a query whose divisor is zero does, as in the mAP.

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    For a distance with :math:`n` items, :math:`r` of them relevant, which share
    :math:`G` labels with the query in all, behind :math:`N` nearer items that share
    :math:`S`, the expected sum is

    .. math::
        \frac{1}{n} \sum_{t=1}^{n}
        \frac{r S + G + (t - 1) \frac{G (r - 1)}{n - 1}}{N + t},

    by the argument of McSherry and Najork (2008) with gains.

    References
    ----------
    .. [1] F. Zhao, Y. Huang, L. Wang and T. Tan. Deep semantic ranking based hashing
       for multi-label image retrieval. CVPR 2015.

    Examples
    --------
    >>> from sklhash.metrics import weighted_mean_average_precision_score
    >>> database, labels = [[0, 0], [0, 1], [1, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> weighted_mean_average_precision_score([[0, 0]], database, [[1, 1]], labels)
    1.25
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    options = ap_options(
        None, relevance.n_items, k=k, ties=ties, normalize=normalize, empty=empty
    )
    formula = formulas.weighted_average_precision(options)
    (scores,) = evaluate(relevance, (ties, formula))
    return mean_over_queries(
        scores,
        average=average,
        sample_weight=sample_weight,
        empty=empty,
        lacking=where_empty(options, relevance.n_items),
    )


@retrieval_score()
def precision_at_k_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Share of relevant items among the first k of a Hamming ranking.

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    Of a tie of :math:`n` items, :math:`r` of them relevant, that stands behind
    :math:`N` nearer items, the first :math:`k` hold :math:`r \min(n, k - N) / n`
    relevant items on average [1]_.

    References
    ----------
    .. [1] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008.

    Examples
    --------
    >>> from sklhash.metrics import precision_at_k_score
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> precision_at_k_score([[0, 0, 0]], database, ["cat"], database_y, k=2)
    0.75
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    k = check_k(k, relevance.n_items)
    (scores,) = evaluate(relevance, (ties, formulas.precision(k)))
    return mean_over_queries(scores, average=average, sample_weight=sample_weight)


@retrieval_score()
def recall_at_k_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Share of the relevant items that are among the first k of a Hamming ranking.

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    <empty>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    Of a tie of :math:`n` items, :math:`r` of them relevant, that stands behind
    :math:`N` nearer items, the first :math:`k` hold :math:`r \min(n, k - N) / n`
    relevant items on average (McSherry and Najork, ECIR 2008).

    Examples
    --------
    >>> from sklhash.metrics import recall_at_k_score
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> recall_at_k_score([[0, 0, 0]], database, ["cat"], database_y, k=1)
    0.5
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    k = check_k(k, relevance.n_items)
    (scores,) = evaluate(relevance, (ties, formulas.recall(k)))
    return mean_over_queries(
        scores, average=average, sample_weight=sample_weight, empty=empty
    )


@retrieval_score(return_empty_share=["boolean"])
def precision_within_radius_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    radius: int = 2,
    empty: Empty = "zero",
    return_empty_share: bool = False,
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    """Share of relevant items within a Hamming radius of the query (P@H<=r).

    The order of ties does not matter.

    Parameters
    ----------
    <codes and labels>

    radius : int, default=2
        Largest distance that counts, in bits.

    empty : {"zero", "skip", "raise"}, default="zero"
        What a query without any item within the radius does: count 0, as in the tables
        of most papers, be left out of the mean, or raise an error.

    return_empty_share : bool, default=False
        Whether to return the share of such queries too.

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    empty_share : float
        Share of queries, by weight, without any item within the radius. Only if
        ``return_empty_share=True``.

    Raises
    ------
    <raises>

    Examples
    --------
    >>> from sklhash.metrics import precision_within_radius_score
    >>> database, database_y = [[0, 0, 0], [0, 0, 1], [1, 1, 1]], [1, 2, 2]
    >>> precision_within_radius_score(
    ...     [[0, 0, 0], [1, 1, 0]], database, [1, 1], database_y, radius=0,
    ...     return_empty_share=True)
    (0.5, 0.5)
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    formula = formulas.precision_within(radius)
    (scores,) = evaluate(relevance, ("expected", formula))
    score = mean_over_queries(
        scores,
        average=average,
        sample_weight=sample_weight,
        empty=empty,
        lacking=f"no item within radius {radius}",
    )
    if not return_empty_share:
        return score
    weights = check_weights(sample_weight, scores)
    return score, float(np.average(np.isnan(scores), weights=weights))


@retrieval_score()
def ndcg_at_k_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Normalised discounted cumulative gain of a Hamming ranking.

    An item that shares :math:`s` labels with the query has gain :math:`2^s - 1`, and
    rank :math:`i` the discount :math:`1 / \log_2(1 + i)`. The sum of gain times
    discount over the first `k` items is divided by that of the best order of the
    database.

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    <empty>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    DCG is linear in the gains, so its expectation over the orders of tied items gives
    each of them the mean gain of its tie [1]_.

    References
    ----------
    .. [1] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008. K. He, F. Cakir,
       S. A. Bargal and S. Sclaroff. Hashing as tie-aware learning to rank. CVPR 2018.

    Examples
    --------
    >>> from sklhash.metrics import ndcg_at_k_score
    >>> database, labels = [[0, 0], [0, 1], [1, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> round(ndcg_at_k_score([[0, 0]], database, [[1, 1]], labels, k=2), 4)
    0.7967
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    k = check_k(k, relevance.n_items)
    (scores,) = evaluate(relevance, (ties, formulas.ndcg(k)))
    return mean_over_queries(
        scores, average=average, sample_weight=sample_weight, empty=empty
    )


@retrieval_score()
def average_cumulative_gain_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    """Mean number of labels that the first k items share with the query (ACG@k).

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    It is linear in the gains, so each item of a tie counts the mean of the tie
    (McSherry and Najork, ECIR 2008). With class labels it is the precision.

    Examples
    --------
    >>> from sklhash.metrics import average_cumulative_gain_score
    >>> database, labels = [[0, 0], [0, 1], [1, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> average_cumulative_gain_score([[0, 0]], database, [[1, 1]], labels, k=2)
    1.5
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    k = check_k(k, relevance.n_items)
    (scores,) = evaluate(relevance, (ties, formulas.cumulative_gain(k)))
    return mean_over_queries(scores, average=average, sample_weight=sample_weight)


@retrieval_score()
def mean_reciprocal_rank_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    ties: Ties = "expected",
    empty: Empty = "zero",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Mean of one over the rank of the first relevant item of a Hamming ranking (MRR).

    A query whose first `k` items hold no relevant one counts 0.

    Parameters
    ----------
    <codes and labels>

    <k>

    <ties>

    <empty>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    The first relevant item of a tie of :math:`n` items, :math:`r` of them relevant,
    stands at its place :math:`t` with probability
    :math:`\binom{n - t}{r - 1} / \binom{n}{r}` [1]_.

    References
    ----------
    .. [1] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008.

    Examples
    --------
    >>> from sklhash.metrics import mean_reciprocal_rank_score
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> round(mean_reciprocal_rank_score(
    ...     [[0, 1, 1]], database, ["cat"], database_y), 4)
    0.6111
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    k = check_k(k, relevance.n_items)
    (scores,) = evaluate(relevance, (ties, formulas.reciprocal_rank(k)))
    return mean_over_queries(
        scores, average=average, sample_weight=sample_weight, empty=empty
    )


@retrieval_score()
def r_precision_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    ties: Ties = "expected",
    empty: Empty = "zero",
    average: Average = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    """Precision among as many items as a query has relevant ones.

    Parameters
    ----------
    <codes and labels>

    <ties>

    <empty>

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    <returns>

    Raises
    ------
    <raises>

    Notes
    -----
    Ties as in :func:`precision_at_k_score`, with a `k` for each query.

    Examples
    --------
    >>> from sklhash.metrics import r_precision_score
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> r_precision_score([[0, 0, 0]], database, ["cat"], database_y)
    0.75
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    (scores,) = evaluate(relevance, (ties, formulas.r_precision()))
    return mean_over_queries(
        scores, average=average, sample_weight=sample_weight, empty=empty
    )
