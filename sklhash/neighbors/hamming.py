"""HammingNeighbors: exact search among codes, in scikit-learn's manner."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklhash._fitting import unchanged_on_failure
from sklhash.codes import as_words, check_codes, from_words
from sklhash.metrics.scorers import map_scorer
from sklhash.neighbors.search import codes_within, nearest_codes, split_rows

__all__ = ["HammingNeighbors"]

GraphMode = Literal["connectivity", "distance"]


class HammingNeighbors(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Exact nearest neighbours of codes by Hamming distance.

    The methods are those of :class:`sklearn.neighbors.NearestNeighbors` and
    :class:`sklearn.neighbors.KNeighborsTransformer`, with two promises more: distances
    are whole numbers of differing bits, and neighbours at equal distance come in index
    order. As the last step of a pipeline behind a hasher it is a search engine whose
    `score` is a mean average precision; in the middle it is the neighbour graph for
    what follows.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of neighbours that :meth:`kneighbors` finds.

    radius : int, default=2
        Number of differing bits, inclusive, within which :meth:`radius_neighbors`
        searches. Scikit-learn's "hamming" is a fraction; this is a count.

    mode : {"distance", "connectivity"}, default="distance"
        What :meth:`transform` writes into the graph: the distances, or ones. As in
        :class:`~sklearn.neighbors.KNeighborsTransformer`, "distance" finds one
        neighbour more, to make up for a fitted sample that finds itself.

    packed : bool, default=False
        Whether codes come packed, eight bits a byte.

    threshold : float, default=None
        None accepts codes only. A number accepts any real values and makes bits of
        them: ones where ``X > threshold``. ``threshold=0.0`` turns plain embeddings
        into sign codes.

    n_jobs : int, default=None
        Number of threads that search, in joblib's meaning: None is 1, -1 is all. The
        results do not depend on it.

    Attributes
    ----------
    codes_ : ndarray of shape (n_samples_fit_, n_bytes), dtype=uint8
        The fitted codes, packed: a view of the index, not to be changed.

    y_ : array-like of shape (n_samples_fit_,) or (n_samples_fit_, n_labels), or None
        Labels of the fitted codes, as they were given.

    n_samples_fit_ : int
        Number of fitted codes.

    n_features_in_ : int
        Number of columns of the fitted codes: bits, or bytes if packed.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns. Defined only when the codes have names that are all
        strings.

    See Also
    --------
    sklhash.hamming_distances : The whole matrix of distances.
    sklearn.neighbors.KNeighborsTransformer : The same for other metrics.

    Examples
    --------
    >>> from sklhash import HammingNeighbors
    >>> codes = [[0, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]]
    >>> search = HammingNeighbors(n_neighbors=2).fit(codes, y=["a", "b", "a", "b"])
    >>> distances, indices = search.kneighbors([[0, 0, 0]])
    >>> distances
    array([[0, 1]], dtype=int32)
    >>> indices
    array([[0, 2]])
    >>> search.score([[0, 0, 0], [1, 1, 1]], ["a", "b"])
    1.0
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "radius": [Interval(Integral, 0, None, closed="left")],
        "mode": [StrOptions({"distance", "connectivity"})],
        "packed": ["boolean"],
        "threshold": [None, Interval(Real, None, None, closed="neither")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        radius: int = 2,
        mode: GraphMode = "distance",
        packed: bool = False,
        threshold: float | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.mode = mode
        self.packed = packed
        self.threshold = threshold
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Index codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if packed
            Codes, or real values with a `threshold`.

        y : array-like of shape (n_samples,) or {array-like, sparse matrix} of shape \
                (n_samples, n_labels), default=None
            Labels of the codes, kept for :meth:`score`.

        Returns
        -------
        self : HammingNeighbors
            The fitted search.

        Raises
        ------
        ValueError
            If `X` holds no codes, `y` is of another length, or both `packed` and
            `threshold` are set.
        """
        if self.packed and self.threshold is not None:
            raise ValueError(
                "threshold makes bits of real values, packed=True says that bits come "
                f"as bytes; got both packed=True and threshold={self.threshold}."
            )
        with unchanged_on_failure(self):
            if y is not None:
                check_consistent_length(X, y)
            codes = self._pack(X, reset=True)
            self._n_bytes = codes.shape[1]
            self._words = as_words(codes).copy()
            self.y_ = y.copy() if hasattr(y, "copy") else y
            self.n_samples_fit_ = self._n_features_out = len(codes)
        return self

    @property
    def codes_(self) -> NDArray[np.uint8]:
        """The fitted codes, packed, (n_samples_fit_, n_bytes)."""
        check_is_fitted(self)
        return from_words(self._words, self._n_bytes)

    def pack(self, X: Any) -> NDArray[np.uint8]:
        """Read codes as this search does, and return them packed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in_)
            Codes, or real values with a `threshold`.

        Returns
        -------
        packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
            The packed codes.
        """
        check_is_fitted(self)
        codes = self._pack(X, reset=False)
        if codes.shape[1] != self._n_bytes:
            raise ValueError(
                f"X has codes of {codes.shape[1]} bytes, but the search was fitted on "
                f"codes of {self._n_bytes}: `packed` was changed after the fit."
            )
        return codes

    def kneighbors(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]] | NDArray[np.int64]:
        """Find the nearest codes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the fitted codes, each without itself.

        n_neighbors : int, default=None
            Number of neighbours; None takes the constructor's.

        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), dtype=int32
            Numbers of differing bits, only if `return_distance`.

        indices : ndarray of shape (n_queries, n_neighbors), dtype=int64
            Rows of the fitted codes, ordered by distance and, where it is equal, by
            index.

        Raises
        ------
        ValueError
            If there are fewer than `n_neighbors` codes to find.
        """
        queries, own_rows = self._queries(X)
        k = self._check_n_neighbors(n_neighbors, leave_out=X is None)
        distances, indices = nearest_codes(
            queries, self._words, own_rows, k, self.n_jobs
        )
        return (distances, indices) if return_distance else indices

    def radius_neighbors(
        self,
        X: Any = None,
        radius: int | None = None,
        return_distance: bool = True,
        sort_results: bool = True,
    ) -> tuple[NDArray[np.object_], NDArray[np.object_]] | NDArray[np.object_]:
        """Find all codes within a radius.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the fitted codes, each without itself.

        radius : int, default=None
            Number of differing bits, inclusive; None takes the constructor's.

        return_distance : bool, default=True
            Whether to return the distances too.

        sort_results : bool, default=True
            Whether to order neighbours by distance and, where it is equal, by index;
            if False they come in index order.

        Returns
        -------
        distances : ndarray of shape (n_queries,) of int32 arrays
            Numbers of differing bits, only if `return_distance`.

        indices : ndarray of shape (n_queries,) of int64 arrays
            Rows of the fitted codes.
        """
        starts, distances, indices = self._within(X, radius, sort_results)
        found = split_rows(indices, starts)
        return (split_rows(distances, starts), found) if return_distance else found

    def kneighbors_graph(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        mode: GraphMode = "connectivity",
    ) -> sparse.csr_matrix:
        """Find the nearest codes, as a sparse graph.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the fitted codes, each without itself.

        n_neighbors : int, default=None
            Number of neighbours; None takes the constructor's.

        mode : {"connectivity", "distance"}, default="connectivity"
            Whether the edges are ones or distances in bits. A distance of zero is an
            edge too and is stored.

        Returns
        -------
        graph : csr_matrix of shape (n_queries, n_samples_fit_), dtype=float64
            ``graph[i, j]`` is the edge from query ``i`` to fitted code ``j``; the
            edges of a row are ordered as by :meth:`kneighbors`.
        """
        distances, indices = self.kneighbors(X, n_neighbors)
        n_queries, k = indices.shape
        starts = np.arange(0, n_queries * k + 1, k)
        return self._graph(starts, distances.ravel(), indices.ravel(), mode)

    def radius_neighbors_graph(
        self,
        X: Any = None,
        radius: int | None = None,
        mode: GraphMode = "connectivity",
        sort_results: bool = True,
    ) -> sparse.csr_matrix:
        """Find all codes within a radius, as a sparse graph.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the fitted codes, each without itself.

        radius : int, default=None
            Number of differing bits, inclusive; None takes the constructor's.

        mode : {"connectivity", "distance"}, default="connectivity"
            Whether the edges are ones or distances in bits.

        sort_results : bool, default=True
            Whether the edges of a row are ordered by distance and index, or by index.

        Returns
        -------
        graph : csr_matrix of shape (n_queries, n_samples_fit_), dtype=float64
            ``graph[i, j]`` is the edge from query ``i`` to fitted code ``j``.
        """
        return self._graph(*self._within(X, radius, sort_results), mode)

    def transform(self, X: Any) -> sparse.csr_matrix:
        """Return the graph of nearest codes, as scikit-learn's transformers do.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_)
            Queries.

        Returns
        -------
        graph : csr_matrix of shape (n_queries, n_samples_fit_), dtype=float64
            Edges to the `n_neighbors` nearest codes, and one more if ``mode`` is
            "distance".
        """
        n_neighbors = self.n_neighbors + (self.mode == "distance")
        return self.kneighbors_graph(X, n_neighbors, mode=self.mode)

    def score(self, X: Any, y: Any) -> float:
        """Mean average precision of queries against the fitted codes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_)
            Queries.

        y : array-like of shape (n_queries,) or {array-like, sparse matrix} of shape \
                (n_queries, n_labels)
            Labels of the queries, of the same kind as those of the fitted codes.

        Returns
        -------
        score : float
            :func:`~sklhash.metrics.mean_average_precision_score` over the whole
            ranking, ties expected.

        Raises
        ------
        ValueError
            If the search was fitted without `y`.
        """
        return map_scorer(self, X, y)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_words")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _pack(self, X: Any, *, reset: bool) -> NDArray[np.uint8]:
        real_valued = self.threshold is not None
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric" if real_valued else None,
            ensure_all_finite=real_valued,
        )
        if real_valued:
            with np.errstate(over="ignore"):  # a threshold beyond a small dtype
                X = X > self.threshold
        return check_codes(X, packed=self.packed, name="X")

    def _queries(self, X: Any) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the queries' words, and which fitted row each of them is, or -1."""
        check_is_fitted(self)
        if X is None:
            return self._words, np.arange(self.n_samples_fit_)
        queries = as_words(self.pack(X))
        return queries, np.full(len(queries), -1)

    def _check_n_neighbors(self, n_neighbors: int | None, *, leave_out: bool) -> int:
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if not isinstance(k, Integral):
            raise TypeError(f"n_neighbors must be an integer, got {k!r}.")
        n_found = self.n_samples_fit_ - leave_out
        if not 1 <= k <= n_found:
            raise ValueError(
                f"Expected 1 <= n_neighbors <= {n_found}, the number of codes "
                f"{'other than the query itself ' if leave_out else ''}to find, got "
                f"n_neighbors = {k}, n_samples_fit = {self.n_samples_fit_}."
            )
        return int(k)

    def _within(
        self, X: Any, radius: int | None, by_distance: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Return row starts, distances and indices of all codes within the radius."""
        queries, own_rows = self._queries(X)
        radius = self.radius if radius is None else radius
        if not isinstance(radius, Integral) or radius < 0:
            raise ValueError(
                f"radius must be a whole number of bits, at least 0, got {radius!r}."
            )
        return codes_within(
            queries, self._words, own_rows, int(radius), bool(by_distance), self.n_jobs
        )

    def _graph(
        self,
        starts: NDArray[np.int64],
        distances: NDArray[np.int32],
        indices: NDArray[np.int64],
        mode: GraphMode,
    ) -> sparse.csr_matrix:
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance', got {mode!r}."
            )
        edges = np.ones(len(indices)) if mode == "connectivity" else distances
        return sparse.csr_matrix(
            (edges.astype(np.float64), indices, starts),
            shape=(len(starts) - 1, self.n_samples_fit_),
        )
