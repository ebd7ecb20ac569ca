"""All scores of a retrieval from one count, with the protocol they were made by."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import StrOptions

from sklhash._arrays import as_array
from sklhash._validation import Interval
from sklhash.metrics.bootstrap import as_generator, confidence_intervals
from sklhash.metrics.formulas import evaluate
from sklhash.metrics.options import (
    CONFIDENCE_LEVEL,
    check_weights,
    fill_empty,
    mean_of_defined,
    retrieval_score,
)
from sklhash.metrics.protocols import PROTOCOLS, ap_options
from sklhash.metrics.relevance import Relevance, count_relevance
from sklhash.metrics.report_rows import Row, rows_of
from sklhash.metrics.report_text import as_text
from sklhash.metrics.widths import width_of

__all__ = ["retrieval_report"]


@retrieval_score(
    at=["array-like"],
    protocol=[None, StrOptions(set(PROTOCOLS))],
    confidence_level=[None, CONFIDENCE_LEVEL],
    output_dict=["boolean"],
    digits=[Interval(Integral, 1, None, closed="left")],
)
def retrieval_report(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_y: Any,
    database_y: Any,
    *,
    k: int | None = None,
    at: Sequence[int] = (10, 100),
    radius: int = 2,
    ties: Literal["expected", "index"] = "expected",
    normalize: Literal["hits", "relevant", "min"] = "hits",
    empty: Literal["zero", "skip", "raise"] = "zero",
    protocol: str | None = None,
    sample_weight: ArrayLike | None = None,
    confidence_level: float | None = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
    n_bits: int | None = None,
    output_dict: bool = False,
    digits: int = 3,
) -> str | dict[str, Any]:
    """Report on a Hamming ranking: all scores, their intervals, and the protocol.

    Everything comes from one count. The scores are the mAP with the bounds that other
    orders of tied items could give, precision, recall and NDCG at some ranks, precision
    within a radius with the share of queries that find nothing there, mean reciprocal
    rank and R-precision; with label indicators also the average cumulative gain and the
    weighted mAP.

    Parameters
    ----------
    <codes and labels>

    k : int, default=None
        How many items of the ranking count for the mAP and the weighted mAP; None for
        all, or for what `protocol` says.

    at : sequence of int, default=(10, 100)
        Ranks of precision, recall, NDCG and average cumulative gain. Those beyond what
        a query can retrieve are left out.

    radius : int, default=2
        Largest distance of the precision within a radius, in bits. A query that finds
        nothing there counts 0.

    <ties>

    normalize : {"hits", "relevant", "min"}, default="hits"
        What the mAP divides by, see :func:`mean_average_precision_score`.

    empty : {"zero", "skip", "raise"}, default="zero"
        What a query does that a score is not defined for: count 0, be left out of the
        mean, or raise an error.

    protocol : str, default=None
        Official evaluation code to follow in the mAP, see
        :func:`mean_average_precision_score`. Its order of ties and its rule for empty
        queries hold for the other scores too.

    <sample_weight>

    confidence_level : float or None, default=0.95
        Level of the intervals, between 0 and 1, which come from a bootstrap over
        queries; None for none.

    n_resamples : int, default=1000
        Number of bootstrap samples.

    random_state : int, RandomState instance or None, default=None
        Source of the bootstrap samples.

    <exclude_self>

    <packed>

    <n_bits>

    output_dict : bool, default=False
        Whether to return a dict.

    digits : int, default=3
        Decimals in the text.

    Returns
    -------
    report : str or dict
        The text, or a dict with "scores", a dict of dicts with "score" and, with a
        `confidence_level`, "low" and "high", and with "protocol", a dict of the options
        and sizes. The intervals are of the mean over queries like those given, for the
        database as it is.

    Raises
    ------
    <raises>
        Or if `protocol` is given along with an option that it sets otherwise.

    See Also
    --------
    compare_retrieval : Tests the difference between two sets of codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> from sklhash.metrics import retrieval_report
    >>> X, y = load_digits(return_X_y=True)
    >>> codes = LSH(16, random_state=0).fit_transform(X)
    >>> print(retrieval_report(
    ...     codes[:500], codes[500:], y[:500], y[500:], at=[10], random_state=0))
                                           score   95 % interval
    <BLANKLINE>
    mAP@all                                0.358  0.342 to 0.375
      best order of ties                   0.440  0.423 to 0.459
      worst order of ties                  0.298  0.284 to 0.314
    precision@10                           0.568  0.540 to 0.596
    recall@10                              0.044  0.042 to 0.046
    NDCG@10                                0.580  0.552 to 0.609
    precision within radius 2              0.565  0.535 to 0.595
      share of queries with nothing there  0.020  0.008 to 0.034
    mean reciprocal rank                   0.723  0.695 to 0.753
    R-precision                            0.357  0.343 to 0.372
    <BLANKLINE>
    mAP over all items, divided by the relevant items found; ties in all orders
    (expected); queries that a score is not defined for count 0; precision within a
    radius where there is nothing counts 0.
    500 queries, 1297 database items, 16 bits, classes.
    Intervals: bootstrap over queries, 1000 samples.
    """
    relevance = count_relevance(
        query_codes,
        database_codes,
        query_y,
        database_y,
        exclude_self=exclude_self,
        packed=packed,
    )
    n_bits = width_of(query_codes, packed=packed, n_bits=n_bits, name="query_codes")
    options = ap_options(
        protocol, relevance.n_items, k=k, ties=ties, normalize=normalize, empty=empty
    )
    rows = rows_of(relevance, options, _check_at(at, relevance.n_items), radius)
    table = _evaluated(relevance, rows)
    weights = check_weights(sample_weight, table)
    means = mean_of_defined(table, weights)
    scores = {
        row.name: {"score": float(mean)} for row, mean in zip(rows, means, strict=True)
    }
    if confidence_level is not None:
        intervals = confidence_intervals(
            table,
            weights,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            generator=as_generator(random_state),
        )
        for entry, (low, high) in zip(scores.values(), intervals.T, strict=True):
            entry.update(low=float(low), high=float(high))
    settled = {
        "protocol": protocol,
        "k": options.k,
        "ties": options.ties,
        "normalize": options.normalize,
        "empty": options.empty,
        "radius": radius,
        "n_queries": relevance.n_queries,
        "n_database": relevance.n_database,
        "n_bits": n_bits,
        "multilabel": relevance.multilabel,
        "exclude_self": relevance.own_rows is not None,
        "weighted": sample_weight is not None,
        "confidence_level": confidence_level,
        "n_resamples": None if confidence_level is None else n_resamples,
    }
    if output_dict:
        return {"scores": scores, "protocol": settled}
    labels = [row.label for row in rows]
    return as_text(labels, list(scores.values()), settled, relevance.n_items, digits)


def _check_at(at: Sequence[int], n_items: int) -> list[int]:
    ranks = as_array(at, "at")
    is_whole = ranks.size == 0 or ranks.dtype.kind in "iu"
    if ranks.ndim != 1 or not is_whole or (ranks < 1).any():
        raise ValueError(f"at must be a sequence of ranks, ints from 1 on, got {at!r}.")
    return [int(k) for k in np.unique(ranks) if k <= n_items]


def _evaluated(relevance: Relevance, rows: list[Row]) -> NDArray[np.float64]:
    """Return the scores of the queries, (n_queries, n_rows), empty ones settled."""
    wanted = [(row.ties, row.formula) for row in rows]
    table = np.stack(evaluate(relevance, *wanted), axis=1)
    for row, column in zip(rows, table.T, strict=True):
        column[:] = fill_empty(column, row.empty, row.lacking)
    return table
