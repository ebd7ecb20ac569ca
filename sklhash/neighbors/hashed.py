"""HashedNeighbors: a hasher and a search behind one fit and one kneighbors."""

from __future__ import annotations

import warnings
from contextlib import suppress
from copy import copy
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import (
    _safe_indexing,
    gen_batches,
    get_tags,
)
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklhash._arrays import as_array
from sklhash._dask import in_memory
from sklhash._fitting import unchanged_on_failure
from sklhash._memory import working_bytes
from sklhash._state import (
    Checks,
    Storable,
    array_of,
    check_state,
    fitted_attributes,
    instance_of,
    list_of,
    none_or,
    one_of,
)
from sklhash._validation import (
    Interval,
    check_array_like,
    check_boolean,
    check_same_length,
    is_whole_number,
)
from sklhash.codes import pack_codes, unpack_codes
from sklhash.metrics.scorers import map_scorer
from sklhash.neighbors.hamming import HammingNeighbors
from sklhash.neighbors.reranking import DISTANCES, Vectors, as_rows
from sklhash.neighbors.stored import CHANGES
from sklhash.targets import check_labels, relevance_labels

__all__ = ["HashedNeighbors"]

_N_PROBES = 4  # one row might be encoded alike by two hashers, such as zeros
_SMALL = 2**22  # bytes: what is quickly copied, and stays in a cache


_FITTED: Checks = {
    "hasher_": instance_of(BaseEstimator),
    "neighbors_": instance_of(HammingNeighbors),
    "metric_": one_of("hamming", *DISTANCES),
    "_probe": instance_of(object),
    "_probe_values": array_of("f4", "n_probes", "n_bits"),
    "vectors": none_or(list_of(instance_of(object))),
}


def _of_the(part: str, name: str, doc: str) -> property:
    """Make a property of what a fitted part of the index has."""

    def get(self: HashedNeighbors) -> Any:
        check_is_fitted(self)
        return getattr(getattr(self, part), name)

    return property(get, doc=doc)


class HashedNeighbors(Storable, BaseEstimator):
    r"""Nearest neighbours of feature vectors, by the codes of a hasher.

    What a service holds: :meth:`fit` learns the hasher and indexes the codes of the
    same rows, :meth:`add` encodes more rows without learning, :meth:`remove` takes rows
    out, and queries are feature vectors. With `rerank` a shortlist of nearest codes is
    put in the order of a finer distance than the number of differing bits.

    Parameters
    ----------
    hasher : estimator
        A hasher such as :class:`~sklhash.OrthoHash`, or a pipeline that ends in one. A
        fitted one that is to stay as it is comes in a
        :class:`~sklearn.frozen.FrozenEstimator`. Its `packed` does not matter.

    neighbors : HammingNeighbors, default=None
        The search, whose `packed` does not matter. None is ``HammingNeighbors()``.

    rerank : {"cosine", "euclidean", "asymmetric"} or None, default=None
        The distance that orders the shortlist and is returned. None is no shortlist:
        distances are whole numbers of differing bits. "cosine" and "euclidean" are
        distances of the feature vectors themselves, which are kept for it.
        "asymmetric" needs nothing but the codes: with the query's real-valued code
        :math:`u` and the bits :math:`b` of a database item, the distance is the size of
        the real values whose signs differ,

        .. math::
            d(u, b) = \sum_j |u_j| \, [\, [u_j > 0] \neq b_j \,],

        which for one query gives the order of the inner products
        :math:`\langle u, 2b - 1 \rangle`, descending, and of the Euclidean distances
        :math:`|u - (2b - 1)|` [1]_.

    n_candidates : int, default=100
        Length of the shortlist of :meth:`kneighbors`; it is as long as `n_neighbors` if
        that is more, and no longer than what there is to find.

    Attributes
    ----------
    hasher_ : estimator
        The fitted hasher.

    neighbors_ : HammingNeighbors
        The fitted search, of packed codes.

    metric_ : {"hamming", "cosine", "euclidean", "asymmetric"}
        Name of the distances that :meth:`kneighbors` and :meth:`radius_neighbors`
        return.

    codes_ : ndarray of shape (n_samples_fit_, n_bytes), dtype=uint8
        The codes, packed; zeros where removed.

    y_ : array-like of shape (n_samples_fit_,) or (n_samples_fit_, n_labels), or None
        Labels of the rows.

    live_ : ndarray of shape (n_samples_fit_,), dtype=bool
        False where removed.

    n_samples_fit_ : int
        Number of rows that ever came.

    n_live_ : int
        Number of rows that were not removed.

    n_features_in_ : int
        Number of features, if the hasher says it.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features. Defined only when `X` has names that are all strings.

    See Also
    --------
    HammingNeighbors : The search among codes alone.

    Notes
    -----
    An index is of no use with the codes of another hasher. A few rows are kept with
    their real-valued codes and are encoded again with each batch of queries or of new
    rows: if the hasher has changed beyond rounding errors, that is refused with a
    ValueError, also in another process.

    For "cosine" and "euclidean" the `X` of :meth:`fit` is kept itself, not a copy, so
    that a memory-mapped array stays on disk; it must not be changed. :meth:`add` keeps
    a copy of arrays in memory. Vectors of removed rows stay. Distances are float64,
    computed in float32 or, if the features are float64 or wide integers, in that.

    Threads may search, save and copy while others call :meth:`add` and :meth:`remove`,
    as for :class:`HammingNeighbors`: each call sees one state, with the vectors of its
    rows, and no change is lost. :meth:`fit` is for one thread, with no other at work.

    Changes of `rerank` wait for the next fit.

    References
    ----------
    .. [1] A. Gordo, F. Perronnin, Y. Gong and S. Lazebnik. Asymmetric distances for
       binary embeddings. IEEE TPAMI 36(1), 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklhash import ITQ
    >>> from sklhash import HashedNeighbors
    >>> X, X_query, y, y_query = train_test_split(
    ...     *load_digits(return_X_y=True), test_size=300, random_state=0)
    >>> search = HashedNeighbors(ITQ(32, random_state=0), rerank="cosine")
    >>> search.fit(X[:1000], y[:1000]).add(X[1000:], y[1000:]).n_live_
    1497
    >>> distances, indices = search.kneighbors(X_query, n_neighbors=3)
    >>> search.metric_, distances.shape
    ('cosine', (300, 3))
    >>> bool(search.score(X_query, y_query) > 0.6)
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "hasher": [HasMethods(["fit", "transform", "decision_function"])],
        "neighbors": [HammingNeighbors, None],
        "rerank": [StrOptions({"cosine", "euclidean", "asymmetric"}), None],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hasher: Any,
        neighbors: HammingNeighbors | None = None,
        rerank: Literal["cosine", "euclidean", "asymmetric"] | None = None,
        *,
        n_candidates: int = 100,
    ) -> None:
        self.hasher = hasher
        self.neighbors = neighbors
        self.rerank = rerank
        self.n_candidates = n_candidates

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the hasher and index the codes.

        If it fails or is interrupted, the earlier index stays.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, of any form that the hasher accepts.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Labels, for hashers that learn from them and for :meth:`score`.

        Returns
        -------
        self : HashedNeighbors
            The fitted index.

        Raises
        ------
        ValueError
            If a parameter, `X` or `y` is malformed.
        """
        if isinstance(self.hasher, type):
            raise TypeError(
                f"hasher must be an estimator, such as {self.hasher.__name__}(), got "
                "the class."
            )
        search = HammingNeighbors() if self.neighbors is None else self.neighbors
        if search.threshold is not None:
            raise ValueError(
                "neighbors must have threshold=None, since the hasher makes the bits, "
                f"got threshold={search.threshold}."
            )
        if y is not None:
            check_same_length(X=X, y=y)
        X = _with_rows(X)
        with unchanged_on_failure(self):
            self.hasher_ = clone(self.hasher).fit(X, y)
            self._probe = _some_rows(X)
            self._probe_values = self.hasher_.decision_function(self._probe)
            self.neighbors_ = clone(search).set_params(packed=True)
            self.neighbors_.fit(self._encode(X), y)
            self.metric_ = self.rerank or "hamming"
            keeps_vectors = self.rerank in ("cosine", "euclidean")
            self._vectors = Vectors([as_rows(X)]) if keeps_vectors else None
        return self

    def add(self, X: Any, y: Any = None) -> Self:
        """Encode more rows, without learning, and append their codes.

        If it fails or is interrupted, the index stays as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Labels; given if :meth:`fit` had some, and only then.

        Returns
        -------
        self : HashedNeighbors
            The longer index.

        Raises
        ------
        ValueError
            If `X` or `y` is malformed, or the hasher has changed since the fit.
        """
        X = in_memory(X)
        codes = self._encode(X)
        rows = None if self._vectors is None else as_rows(X, copy=True)
        with CHANGES.held, unchanged_on_failure(self):
            if self._vectors is not None:
                # The search has the last word on what is indexed: until then it finds
                # none of these vectors.
                self._vectors = self._vectors.followed_by(rows, self.n_samples_fit_)
            self.neighbors_.partial_fit(codes, y)
        return self

    def remove(self, indices: Any) -> Self:
        """Take rows out; the others keep their indices.

        Parameters
        ----------
        indices : array-like of shape (n_removed,)
            Indices of rows, as for :meth:`HammingNeighbors.remove`.

        Returns
        -------
        self : HashedNeighbors
            The index without them.
        """
        check_is_fitted(self)
        self.neighbors_.remove(indices)
        return self

    def kneighbors(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        where: Any = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]] | NDArray[np.int64]:
        """Find the nearest rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features), default=None
            Features of the queries. None queries the indexed rows, each without itself;
            not with "asymmetric", since their real-valued codes are not kept.

        n_neighbors : int, default=None
            Number of neighbours; None takes that of `neighbors`.

        return_distance : bool, default=True
            Whether to return the distances too.

        where : array-like of bool or int, default=None
            Search only among these rows: a mask of shape (n_samples_fit_,), or unique
            indices.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Distances of the kind `metric_`, only if `return_distance`: numbers of
            differing bits (int32) if that is "hamming", else float64.

        indices : ndarray of shape (n_queries, n_neighbors), dtype=int64
            Rows in the order of arrival, ordered by distance and, where it is equal, by
            index.

        Raises
        ------
        ValueError
            If there are fewer than `n_neighbors` rows to find, `X` is malformed, or the
            hasher has changed since the fit.

        TypeError
            If `n_neighbors` is no integer, or `return_distance` no bool.
        """
        check_boolean(return_distance, "return_distance")
        search = self._search()
        codes, queries = self._queries(X)
        if queries is None:
            return search.kneighbors(codes, n_neighbors, return_distance, where=where)
        k = search.n_neighbors if n_neighbors is None else n_neighbors
        length = self._shortlist_length(search, k, where, leave_out=X is None)
        shortlist = search.kneighbors(codes, length, False, where=where)
        numbers = _numbers(search, X, len(shortlist))
        distances, shortlist = self._reorder(search, queries, numbers, shortlist)
        indices = shortlist[:, :k]
        return (distances[:, :k], indices) if return_distance else indices

    def radius_neighbors(
        self,
        X: Any = None,
        radius: int | None = None,
        return_distance: bool = True,
        sort_results: bool = True,
        *,
        where: Any = None,
    ) -> tuple[NDArray[np.object_], NDArray[np.object_]] | NDArray[np.object_]:
        """Find all rows whose codes are within a radius.

        The radius is a number of differing bits, with `rerank` as well, which changes
        the distances that order the rows and are returned, not which rows are found.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features), default=None
            Features of the queries. None is as for :meth:`kneighbors`.

        radius : int, default=None
            Number of differing bits, inclusive; None takes that of `neighbors`.

        return_distance : bool, default=True
            Whether to return the distances too.

        sort_results : bool, default=True
            Whether to order rows by distance and, where it is equal, by index; if False
            they come in index order.

        where : array-like of bool or int, default=None
            Search only among these rows: a mask of shape (n_samples_fit_,), or unique
            indices.

        Returns
        -------
        distances : ndarray of shape (n_queries,) of arrays
            Distances of the kind `metric_`, only if `return_distance`.

        indices : ndarray of shape (n_queries,) of int64 arrays
            Rows in the order of arrival.

        Raises
        ------
        ValueError
            If `X` or `radius` is malformed, or the hasher has changed since the fit.

        TypeError
            If `return_distance` or `sort_results` is no bool.
        """
        check_boolean(return_distance, "return_distance")
        check_boolean(sort_results, "sort_results")
        search = self._search()
        codes, queries = self._queries(X)
        if queries is None:
            return search.radius_neighbors(
                codes, radius, return_distance, sort_results, where=where
            )
        found = search.radius_neighbors(codes, radius, False, False, where=where)
        sizes = [len(rows) for rows in found]
        of_query = np.repeat(_numbers(search, X, len(found)), sizes)
        indices = np.concatenate([np.empty(0, np.int64), *found])
        distances = self._distances(search, queries, of_query, indices)
        if sort_results:
            order = np.lexsort((indices, distances, of_query))
            distances, indices = distances[order], indices[order]
        found = _in_rows(indices, sizes)
        return (_in_rows(distances, sizes), found) if return_distance else found

    def score(self, X: Any, y: Any) -> float:
        """Mean average precision of queries.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features)
            Features of the queries.

        y : array-like of shape (n_queries,) or {array-like, sparse matrix} of shape \
                (n_queries, n_labels)
            Labels of the queries, of the same kind as those of the index.

        Returns
        -------
        score : float
            The mAP over the whole ranking. Without `rerank` that is the Hamming
            ranking, ties expected, as for :meth:`HammingNeighbors.score`. With `rerank`
            it is the shortlist in its new order, and behind it the Hamming ranking,
            ties by index. The scorers of
            :func:`~sklhash.metrics.make_retrieval_scorer` score the Hamming ranking,
            with `rerank` too.

        Raises
        ------
        ValueError
            If the index was fitted without `y`, `X` or `y` is malformed, or the hasher
            has changed since the fit.
        """
        check_is_fitted(self)
        if self.metric_ == "hamming":
            return map_scorer(self, X, y)
        search = self._search()
        if search.y_ is None:
            raise ValueError(
                "This HashedNeighbors was fitted without y, so there are no labels to "
                "score against: fit(X, y)."
            )
        check_same_length(X=X, y=y)
        check_labels(y)
        query_labels, labels, multilabel = relevance_labels(y, search.y_)
        precisions = np.empty(len(query_labels))
        bytes_a_query = 8 * search.n_live_ * (4 + labels.shape[1])
        height = max(1, working_bytes() // bytes_a_query)
        X = _with_rows(X)
        for rows in gen_batches(len(query_labels), height):
            ranking = self._ranking(search, _safe_indexing(X, rows))
            wanted, found = query_labels[rows][:, None], labels[ranking]
            shared = wanted & found if multilabel else wanted == found
            precisions[rows] = _average_precisions(shared.any(axis=2))
        if not precisions.any():
            warnings.warn(
                "No query has a relevant row.", UndefinedMetricWarning, stacklevel=2
            )
        return float(precisions.mean())

    def pack(self, X: Any) -> NDArray[np.uint8]:
        """Encode features, and return the codes packed.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
            The packed codes.

        Raises
        ------
        ValueError
            If `X` is malformed, or the hasher has changed since the fit.
        """
        return self._encode(in_memory(X))

    codes_ = _of_the("neighbors_", "codes_", "The packed codes.")
    y_ = _of_the("neighbors_", "y_", "Labels of the rows, or None.")
    live_ = _of_the("neighbors_", "live_", "False where removed.")
    n_samples_fit_ = _of_the(
        "neighbors_", "n_samples_fit_", "Number of rows that ever came."
    )
    n_live_ = _of_the("neighbors_", "n_live_", "Number of rows that were not removed.")
    n_features_in_ = _of_the("hasher_", "n_features_in_", "Number of features.")
    feature_names_in_ = _of_the(
        "hasher_", "feature_names_in_", "Names of the features."
    )

    def live_items(self) -> tuple[NDArray[np.uint8], Any]:
        """Return the codes of the rows that are there, packed, and their labels.

        Returns
        -------
        codes : ndarray of shape (n_live_, n_bytes), dtype=uint8
            Packed codes, in order of arrival.

        y : ndarray or csr_array of shape (n_live_,) or (n_live_, n_labels), or None
            Their labels.
        """
        check_is_fitted(self)
        return self.neighbors_.live_items()

    def _fitted_state(self) -> dict[str, Any]:
        state = fitted_attributes(copy(self))  # which rests while others add rows
        vectors = state.pop("_vectors")
        return {**state, "vectors": None if vectors is None else vectors.blocks}

    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        check_state(state, _FITTED, of=type(self).__name__, others=others)
        blocks = state.pop("vectors")
        for name, value in state.items():
            setattr(self, name, value)
        self._vectors = None if blocks is None else Vectors(blocks)
        if self._vectors is not None and self._vectors.n_rows < self.n_samples_fit_:
            raise ValueError(
                f"it has {self._vectors.n_rows} vectors for {self.n_samples_fit_} rows."
            )
        if (self._vectors is None) == (self.metric_ in ("cosine", "euclidean")):
            raise ValueError(f"its vectors do not go with metric_={self.metric_!r}.")
        shape = as_rows(self._probe).shape[1:]
        if any(block.shape[1:] != shape for block in blocks or []):
            raise ValueError("it has vectors that are no rows for its hasher.")
        n_bytes = self._encode(self._probe).shape[1]
        if n_bytes != self.neighbors_.n_features_in_:
            raise ValueError(
                f"its hasher makes codes of {n_bytes} bytes, and there are codes of "
                f"{self.neighbors_.n_features_in_}."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags_of_hasher = get_tags(self.hasher)
        tags.input_tags = tags_of_hasher.input_tags
        tags.target_tags = tags_of_hasher.target_tags
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Hold one moment: the vectors of the rows whose codes are there."""
        with CHANGES.held:
            state = super().__getstate__()
            if "neighbors_" in state:
                state = state | {"neighbors_": copy(self.neighbors_)}
        return state

    def _search(self) -> Any:
        """Return what searches, with `rerank` as it is now, since it is asked twice.

        It comes before the vectors, which are there before their codes are found.
        """
        check_is_fitted(self)
        return self.neighbors_ if self.metric_ == "hamming" else copy(self.neighbors_)

    def _queries(self, X: Any) -> tuple[NDArray[np.uint8] | None, Vectors | None]:
        """Return packed codes, and what else the distances are of."""
        check_is_fitted(self)
        X = in_memory(X)
        if self.metric_ == "asymmetric":
            if X is None:
                raise ValueError(
                    "X=None queries the indexed rows, whose real-valued codes are not "
                    "kept: with rerank='asymmetric' X must be given."
                )
            values = self._values(X)
            return pack_codes(values > 0), Vectors([values])
        codes = None if X is None else self._encode(X)
        if self._vectors is None or X is None:
            return codes, self._vectors
        return codes, Vectors([as_rows(X)])

    def _ranking(self, search: HammingNeighbors, X: Any) -> NDArray[np.int64]:
        """Return all rows that are there, in order for each query."""
        codes, queries = self._queries(X)
        _, ranking = search.kneighbors(codes, search.n_live_)
        numbers = _numbers(search, X, len(ranking))
        shortlist = ranking[:, : self.n_candidates]
        _, ranking[:, : self.n_candidates] = self._reorder(
            search, queries, numbers, shortlist
        )
        return ranking

    def _reorder(
        self,
        search: HammingNeighbors,
        queries: Any,
        numbers: NDArray[np.int64],
        shortlist: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return each query's candidates by distance and index, with the distances."""
        of_query = np.repeat(numbers, shortlist.shape[1])
        distances = self._distances(search, queries, of_query, shortlist.ravel())
        distances = distances.reshape(shortlist.shape)
        order = np.lexsort((shortlist, distances))
        return (
            np.take_along_axis(distances, order, axis=1),
            np.take_along_axis(shortlist, order, axis=1),
        )

    def _encode(self, X: Any) -> NDArray[np.uint8]:
        """Return packed codes, made from real-valued ones a block of rows at a time."""
        check_is_fitted(self)
        check_array_like(X, "X")
        n_rows, n_bits = _num_samples(X), self._probe_values.shape[1]
        height = max(1, working_bytes() // (8 * n_bits))
        if n_rows <= height:
            return pack_codes(self._values(X) > 0)
        X = _with_rows(X)
        return np.concatenate(
            [
                pack_codes(self._values(_safe_indexing(X, rows)) > 0)
                for rows in gen_batches(n_rows, height)
            ]
        )

    def _values(self, X: Any) -> NDArray[Any]:
        """Return real-valued codes, if the hasher is still the one of the index."""
        encode = self.hasher_.decision_function
        probed = values = None
        if self._can_join_probe(X):
            both = encode(np.concatenate((self._probe, X)))
            probed, values = np.split(both, [len(self._probe)])
        else:
            with suppress(ValueError):
                probed = encode(self._probe)
        if probed is None or not _agree(probed, self._probe_values):
            raise ValueError(
                "The hasher has changed since the codes of this index were made: "
                "hasher_ was fitted again, altered or replaced, and its codes do not "
                "agree with those. Fit the index anew."
            )
        return encode(X) if values is None else values

    def _can_join_probe(self, X: Any) -> bool:
        """Tell whether the probe and `X` are quickly made one array, `X` as it is.

        Hashers map rows in blocks of one height, so a few rows more cost nothing.
        """
        probe = self._probe
        return (
            isinstance(X, np.ndarray)
            and isinstance(probe, np.ndarray)
            and 0 < X.nbytes <= _SMALL
            and X.shape[1:] == probe.shape[1:]
            and np.can_cast(probe.dtype, X.dtype)
            and X.shape[1:2] == (getattr(self.hasher_, "n_features_in_", None),)
        )

    def _shortlist_length(
        self, search: HammingNeighbors, k: int, where: Any, *, leave_out: bool
    ) -> int:
        """Return how many candidates to find; the search refuses what is malformed."""
        if not is_whole_number(k) or k < 1:
            return k
        n_found = search.n_live_
        if where is not None:
            where = as_array(where, "where")
            is_mask = where.dtype == bool and where.shape == (search.n_samples_fit_,)
            n_found = np.sum(where & search.live_) if is_mask else where.size
        return max(k, min(self.n_candidates, int(n_found) - leave_out))

    def _distances(
        self,
        search: HammingNeighbors,
        queries: Vectors,
        of_query: NDArray[Any],
        rows: NDArray[Any],
    ) -> NDArray[np.float64]:
        """Return the distance of each pair of a query and a row."""
        distance = DISTANCES[self.metric_]
        distances = np.empty(len(rows))
        budget = min(_SMALL, working_bytes())
        height = max(1, budget // (3 * queries.bytes_a_row))
        for start in range(0, len(rows), height):
            pairs = slice(start, start + height)
            distances[pairs] = distance(
                queries.take(of_query[pairs]), self._items(search, rows[pairs])
            )
        return distances

    def _items(self, search: HammingNeighbors, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return vectors of some rows, or their bits."""
        if self._vectors is not None:
            return self._vectors.take(rows)
        packed = search._stored.table.packed_at(rows)
        return unpack_codes(packed, self._probe_values.shape[1])


def _numbers(search: HammingNeighbors, X: Any, n_queries: int) -> NDArray[np.int64]:
    """Return which of the queries' vectors each query has."""
    return np.flatnonzero(search.live_) if X is None else np.arange(n_queries)


def _average_precisions(relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of each row of a ranking, 0 where nothing is relevant."""
    precisions = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    return (precisions * relevant).sum(axis=1) / relevant.sum(axis=1).clip(1)


def _with_rows(X: Any) -> Any:
    """Return `X` in a form that rows can be taken of."""
    X = in_memory(X)
    if sparse.issparse(X):
        return X.tocsr()
    return X if hasattr(X, "__getitem__") else as_array(X, "X")


def _some_rows(X: Any) -> Any:
    """Return a few rows spread over `X`, in the form that it has."""
    rows = np.unique(np.linspace(0, _num_samples(X) - 1, _N_PROBES).astype(int))
    rows = _safe_indexing(X, rows)
    return np.array(rows) if isinstance(rows, np.ndarray) else rows


def _agree(values: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Tell whether real-valued codes are the same, but for rounding elsewhere."""
    if values.shape != expected.shape:
        return False
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    return bool(np.isclose(values, expected, rtol=0, atol=1e-4 * largest).all())


def _in_rows(values: NDArray[Any], sizes: list[int]) -> NDArray[np.object_]:
    rows = np.empty(len(sizes), dtype=object)
    rows[:] = np.split(values, np.cumsum(sizes[:-1]))
    return rows
