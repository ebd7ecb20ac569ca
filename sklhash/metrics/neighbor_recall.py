"""Recall of the nearest feature vectors, where there are no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, gen_batches

from sklhash._memory import working_bytes
from sklhash._validation import Interval, check_array_like
from sklhash.codes import as_words, check_code_pair
from sklhash.metrics import formulas
from sklhash.metrics.counts import Counts
from sklhash.metrics.options import (
    check_k,
    check_weights,
    mean_over_queries,
    retrieval_score,
)
from sklhash.metrics.rankings import ExpectedRanking
from sklhash.metrics.relevance import Relevance, count_relevance

__all__ = ["neighbor_recall_score"]

_POSITIVE = Interval(Integral, 1, None, closed="left")


@retrieval_score(
    k=[_POSITIVE],
    n_neighbors=[_POSITIVE],
    metric=[str, callable],
)
def neighbor_recall_score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_X: Any,
    database_X: Any,
    *,
    k: int = 100,
    n_neighbors: int = 10,
    metric: str | Callable[[Any, Any], float] = "euclidean",
    average: Literal["macro"] | None = "macro",
    sample_weight: ArrayLike | None = None,
    exclude_self: bool | ArrayLike = False,
    packed: bool = False,
) -> Any:
    r"""Share of the nearest feature vectors among the first k of a Hamming ranking.

    The `n_neighbors` vectors of `database_X` that are nearest to a query's are found
    exactly; the score is the share of them that a search among the codes returns with
    its first `k` items. It needs no labels: it says how well codes keep neighbours.

    Parameters
    ----------
    query_codes : array-like of shape (n_queries, n_bits)
        Codes of the queries; if packed, of shape (n_queries, n_bytes).

    database_codes : array-like of shape (n_database, n_bits)
        Codes of the database; if packed, of shape (n_database, n_bytes).

    query_X : {array-like, sparse matrix} of shape (n_queries, n_features)
        Feature vectors of the queries.

    database_X : {array-like, sparse matrix} of shape (n_database, n_features)
        Feature vectors of the database.

    k : int, default=100
        How many items of the Hamming ranking count. If it is less than `n_neighbors`,
        the score is at most ``k / n_neighbors``.

    n_neighbors : int, default=10
        How many nearest vectors are to be found.

    metric : str or callable, default="euclidean"
        Distance of feature vectors, such as "euclidean", "cosine" or "manhattan": one
        that :class:`~sklearn.neighbors.NearestNeighbors` has for
        ``algorithm="brute"`` and that needs no parameters, or a function of two
        vectors.

    <average>

    <sample_weight>

    <exclude_self>

    <packed>

    Returns
    -------
    score : float or ndarray of shape (n_queries,), dtype=float64
        The mean, or the scores if ``average=None``; 0 to 1, larger is better.

    Raises
    ------
    ValueError
        If codes or vectors are malformed or differ in width or number, or `k` or
        `n_neighbors` is larger than what a query can retrieve.

    See Also
    --------
    recall_at_k_score : The same of the items that share a label with the query.

    Notes
    -----
    Items at equal Hamming distance are expected in all orders alike. Where
    :math:`N_i` codes are nearer to the query than that of the item :math:`i`, and
    :math:`n_i` are as near, itself among them, the score of a query with the nearest
    vectors :math:`T` is

    .. math::
        \frac{1}{|T|} \sum_{i \in T}
        \min\left(1, \max\left(0, \frac{k - N_i}{n_i}\right)\right).

    With ``n_neighbors=1`` this is the recall@R of Jégou et al. [1]_ for R = `k`, the
    share of queries whose nearest vector is found, which FAISS prints as "R@k" and
    calls 1-recall@R. With ``n_neighbors=k`` it is the "intersection" of FAISS, or
    k-recall@k. ``10-recall@100`` is the default. The expectation over ties is that of
    McSherry and Najork [2]_.

    Where vectors are equally near, it is up to scikit-learn which of them count as the
    nearest. They are compared as float32 if both `query_X` and `database_X` are, else
    as float64. Queries go in blocks: besides copies of codes and vectors the memory is
    about scikit-learn's `working_memory`, never a number for each query and item.

    References
    ----------
    .. [1] H. Jégou, M. Douze and C. Schmid. Product quantization for nearest neighbor
       search. IEEE TPAMI 33(1), 2011.

    .. [2] F. McSherry and M. Najork. Computing information retrieval performance
       measures efficiently in the presence of tied scores. ECIR 2008.

    Examples
    --------
    The two vectors nearest to 0 are 1 and 2. The code of 1 comes first; that of 2 is
    one of two that share the second and the third place.

    >>> from sklhash.metrics import neighbor_recall_score
    >>> codes, X = [[0, 0], [0, 1], [1, 0], [1, 1]], [[1], [2], [3], [4]]
    >>> neighbor_recall_score([[0, 0]], codes, [[0]], X, k=2, n_neighbors=2)
    0.75
    """
    query_codes, database_codes = check_code_pair(
        query_codes,
        database_codes,
        packed=packed,
        names=("query_codes", "database_codes"),
    )
    items = _count_items(query_codes, database_codes, exclude_self)
    query_X = _check_vectors(query_X, items.n_queries, "query_X")
    database_X = _check_vectors(database_X, items.n_database, "database_X")
    if query_X.shape[1] != database_X.shape[1]:
        raise ValueError(
            "query_X and database_X must have as many features, got "
            f"{query_X.shape[1]} and {database_X.shape[1]}."
        )
    if n_neighbors > items.n_items:
        raise ValueError(
            f"n_neighbors must be at most the {items.n_items} item(s) that a query can "
            f"retrieve, got n_neighbors={n_neighbors}."
        )
    k, n_neighbors = check_k(k, items.n_items), int(n_neighbors)
    weights = check_weights(sample_weight, query_codes)
    search = _fit_search(database_X, n_neighbors + (items.own_rows is not None), metric)
    queries, database = as_words(query_codes), as_words(database_codes)
    scores = np.empty(items.n_queries)
    for block in _blocks(items, n_neighbors * queries.shape[1]):
        own = None if items.own_rows is None else items.own_rows[block.rows]
        nearest = _nearest(search, query_X[block.rows], own)
        differing = queries[block.rows, None] ^ database[nearest]
        distances = np.bitwise_count(differing).sum(axis=2, dtype=np.int64)
        scores[block.rows] = _recall(block.totals, distances, k)
    return mean_over_queries(scores, average=average, sample_weight=weights)


def _count_items(
    query_codes: NDArray[np.uint8], database_codes: NDArray[np.uint8], exclude_self: Any
) -> Relevance:
    """Prepare to count items by distance, with one label for all."""
    labels = (np.zeros(len(codes), int) for codes in (query_codes, database_codes))
    return count_relevance(
        query_codes, database_codes, *labels, exclude_self=exclude_self, packed=True
    )


def _check_vectors(X: Any, n_codes: int, name: str) -> Any:
    check_array_like(X, name)
    X = check_array(
        X, accept_sparse="csr", dtype=[np.float64, np.float32], input_name=name
    )
    if X.shape[0] != n_codes:
        raise ValueError(
            f"{name} must have a row for each of the {n_codes} code(s), got "
            f"{X.shape[0]}."
        )
    return X


def _fit_search(X: Any, n_neighbors: int, metric: Any) -> Any:
    from sklearn.neighbors import VALID_METRICS, NearestNeighbors

    known = set(VALID_METRICS["brute"]) - {"precomputed", "mahalanobis", "seuclidean"}
    if isinstance(metric, str) and metric not in known:
        raise ValueError(
            f"metric must be a function or one of {sorted(known)}, got {metric!r}."
        )
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute", metric=metric)
    return search.fit(X)


def _blocks(items: Relevance, n_words: int) -> Iterator[Counts]:
    """Yield counts of as many queries as may gather so many words each."""
    bytes_a_query = 8 * (6 * n_words + 4 * items.n_distances)
    n_bytes = working_bytes() // 2
    for counts in items.blocks():
        for rows in gen_batches(len(counts), max(1, n_bytes // bytes_a_query)):
            yield counts.take(rows)


def _nearest(search: Any, X: Any, own: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Find the nearest vectors, each query's own left out."""
    found = search.kneighbors(X, return_distance=False)
    if own is None:
        return found
    is_left_out = found == own[:, None]
    is_left_out[~is_left_out.any(axis=1), -1] = True
    return found[~is_left_out].reshape(len(found), -1)


def _recall(
    totals: NDArray[np.int64], distances: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Recall at k of a few items at known distances, one row a query."""
    n_queries, n_distances = totals.shape
    places = distances + n_distances * np.arange(n_queries)[:, None]
    relevant = np.bincount(places.ravel(), minlength=totals.size).reshape(totals.shape)
    by_level = np.stack([totals - relevant, relevant], axis=1)
    counts = Counts(slice(0, n_queries), by_level)
    return formulas.recall(k)(ExpectedRanking(counts))
