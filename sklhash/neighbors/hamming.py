"""HammingNeighbors: exact search among codes, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from sklhash._arrays import as_array
from sklhash._validation import N_JOBS, Interval, check_boolean, is_whole_number
from sklhash.codes import as_words
from sklhash.metrics.scorers import map_scorer
from sklhash.neighbors.engine import Algorithm, Engine, choose_engine
from sklhash.neighbors.search import Queries
from sklhash.neighbors.sharded import OnShards, ShardedTable, ShardSelection
from sklhash.neighbors.stored import StoredCodes, check_indices
from sklhash.neighbors.table import CodeTable, Selection

__all__ = ["HammingNeighbors"]

GraphMode = Literal["connectivity", "distance"]


class HammingNeighbors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StoredCodes):
    """Exact nearest neighbours of codes by Hamming distance.

    The methods are those of :class:`sklearn.neighbors.NearestNeighbors` and
    :class:`sklearn.neighbors.KNeighborsTransformer`, with three promises more:
    distances are whole numbers of differing bits, neighbours at equal distance come in
    index order, and a code's index, its place in the order of arrival, is its own for
    ever, whatever is added or removed. As the last step of a pipeline behind a hasher
    it is a search engine whose `score` is a mean average precision; in the middle it is
    the neighbour graph for what follows.

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

    algorithm : {"auto", "brute", "multi_index"}, default="auto"
        How to search on a CPU; what is found is the same. "brute" compares each query
        with each code. "multi_index" looks up codes that agree with the query in a part
        of the bits [1]_, in tables that the first search builds; nearest codes are
        found within a radius that grows. "auto" takes the tables for
        :meth:`radius_neighbors` and :meth:`count_within` where, by the number of codes,
        the number of bits and the radius, they are quicker and fit into scikit-learn's
        `working_memory`.

    packed : bool, default=False
        Whether codes come packed, eight bits a byte.

    threshold : float, default=None
        None accepts codes only. A number accepts any real values and makes bits of
        them: ones where ``X > threshold``. ``threshold=0.0`` turns plain embeddings
        into sign codes.

    device : str, default="cpu"
        Where to search: "cpu", or "cuda" or "cuda:N" for a GPU, which compares each
        query with each code.

    n_jobs : int, default=None
        Number of threads that search on a CPU, in joblib's meaning: None is 1, -1 is
        all. The results do not depend on it.

    Attributes
    ----------
    codes_ : ndarray of shape (n_samples_fit_, n_bytes), dtype=uint8
        The codes, packed, in order of arrival, with zeros where one was removed. A copy
        that is made when asked for.

    y_ : ndarray or csr_array of shape (n_samples_fit_,) or (n_samples_fit_, \
            n_labels), or None
        Labels of all codes that ever came.

    live_ : ndarray of shape (n_samples_fit_,), dtype=bool
        Whether each code is there, and was not removed.

    n_samples_fit_ : int
        Number of codes that ever came.

    n_live_ : int
        Number of codes that are there.

    algorithm_ : {"brute", "multi_index"}
        What the last search went by.

    n_features_in_ : int
        Number of columns of the fitted codes: bits, or bytes if packed.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns. Defined only when the codes have names that are all
        strings.

    See Also
    --------
    HashedNeighbors : A hasher and a search behind one `fit`.
    sklhash.hamming_distances : The whole matrix of distances.
    sklearn.neighbors.KNeighborsTransformer : The same for other metrics.

    Notes
    -----
    The first search in a process loads compiled code, and the first ever on a machine
    compiles it, a few seconds for each width of codes. Besides the codes and the
    results a search takes no more memory than scikit-learn's `working_memory`.

    Threads may search, save and copy while others call :meth:`partial_fit` and
    :meth:`remove`, which take turns: each call sees one state, and no change is lost.
    What is read by several calls or attributes may be of several states;
    :func:`copy.copy` holds one, for next to nothing. A mask in `where` of another
    state's length, or an index of a code that is gone, is refused. :meth:`fit`, which
    the first :meth:`partial_fit` is, and `set_params` are for one thread, with no other
    at work.

    Beside the promises above, this is unlike scikit-learn's search: `radius_neighbors`
    sorts by default, a radius is a whole number, and codes are dense.

    References
    ----------
    .. [1] M. Norouzi, A. Punjani and D. J. Fleet. Fast search in Hamming space with
       multi-index hashing. CVPR 2012.

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
        "algorithm": [StrOptions({"auto", "brute", "multi_index"})],
        "packed": ["boolean"],
        "threshold": [None, Interval(Real, None, None, closed="neither")],
        "device": [str],
        "n_jobs": N_JOBS,
    }

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        radius: int = 2,
        mode: GraphMode = "distance",
        algorithm: Algorithm = "auto",
        packed: bool = False,
        threshold: float | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.mode = mode
        self.algorithm = algorithm
        self.packed = packed
        self.threshold = threshold
        self.device = device
        self.n_jobs = n_jobs

    def kneighbors(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        where: Any = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]] | NDArray[np.int64]:
        """Find the nearest codes.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the codes that are there, each without itself.

        n_neighbors : int, default=None
            Number of neighbours; None takes the constructor's.

        return_distance : bool, default=True
            Whether to return the distances too.

        where : array-like of bool or int, default=None
            Search only among these codes: a mask of shape (n_samples_fit_,), or unique
            indices.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), dtype=int32
            Numbers of differing bits, only if `return_distance`.

        indices : ndarray of shape (n_queries, n_neighbors), dtype=int64
            Indices of the codes found, ordered by distance and, where it is equal, by
            index.

        Raises
        ------
        ValueError
            If there are fewer than `n_neighbors` codes to find, or `where` is no mask
            of that length and has indices that are out of range, removed or repeated.

        TypeError
            If `n_neighbors` is no integer, or `return_distance` no bool.
        """
        check_boolean(return_distance, "return_distance")
        engine, queries = self._engine(X, where)
        distances, indices = self._nearest(engine, queries, n_neighbors)
        return (distances, indices) if return_distance else indices

    def radius_neighbors(
        self,
        X: Any = None,
        radius: int | None = None,
        return_distance: bool = True,
        sort_results: bool = True,
        *,
        where: Any = None,
    ) -> tuple[NDArray[np.object_], NDArray[np.object_]] | NDArray[np.object_]:
        """Find all codes within a radius.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the codes that are there, each without itself.

        radius : int, default=None
            Number of differing bits, inclusive; None takes the constructor's.

        return_distance : bool, default=True
            Whether to return the distances too.

        sort_results : bool, default=True
            Whether to order neighbours by distance and, where it is equal, by index;
            if False they come in index order.

        where : array-like of bool or int, default=None
            Search only among these codes: a mask of shape (n_samples_fit_,), or unique
            indices.

        Returns
        -------
        distances : ndarray of shape (n_queries,) of int32 arrays
            Numbers of differing bits, only if `return_distance`.

        indices : ndarray of shape (n_queries,) of int64 arrays
            Indices of the codes found.

        Raises
        ------
        ValueError
            If `radius` is no whole number of at least 0, or `where` is as it may not be
            for :meth:`kneighbors`.

        TypeError
            If `return_distance` or `sort_results` is no bool.
        """
        check_boolean(return_distance, "return_distance")
        check_boolean(sort_results, "sort_results")
        radius = self._check_radius(radius)
        engine, queries = self._engine(X, where, radius)
        groups = engine.within(queries, radius, sort_results)
        indices = _one_array_a_query(
            (engine.selection.rows_of(hits.places), hits.counts) for hits in groups
        )
        if not return_distance:
            return indices
        distances = _one_array_a_query((hits.distances, hits.counts) for hits in groups)
        return distances, indices

    def count_within(
        self, X: Any = None, radius: int | None = None, *, where: Any = None
    ) -> NDArray[np.int64]:
        """Count the codes within a radius.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features_in_), default=None
            Queries. None queries the codes that are there, each without itself.

        radius : int, default=None
            Number of differing bits, inclusive; None takes the constructor's.

        where : array-like of bool or int, default=None
            Count only these codes: a mask of shape (n_samples_fit_,), or unique
            indices.

        Returns
        -------
        counts : ndarray of shape (n_queries,), dtype=int64
            Number of codes that :meth:`radius_neighbors` finds.

        Raises
        ------
        ValueError
            As for :meth:`radius_neighbors`.
        """
        radius = self._check_radius(radius)
        engine, queries = self._engine(X, where, radius)
        return engine.count(queries, radius)

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
            ``graph[i, j]`` is the edge from query ``i`` to code ``j``; the edges of a
            row are ordered as by :meth:`kneighbors`.

        Raises
        ------
        ValueError
            As for :meth:`kneighbors`, or if `X` is None and codes were removed.
        """
        engine, queries = self._engine_of_graph(X, mode)
        distances, indices = self._nearest(engine, queries, n_neighbors)
        counts = np.full(len(indices), indices.shape[1])
        n_rows = engine.selection.n_rows
        return _graph(counts, distances.ravel(), indices.ravel(), n_rows, mode)

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
            ``graph[i, j]`` is the edge from query ``i`` to code ``j``.

        Raises
        ------
        ValueError
            If `X` is None and codes were removed.
        """
        check_boolean(sort_results, "sort_results")
        radius = self._check_radius(radius)
        engine, queries = self._engine_of_graph(X, mode, radius)
        groups = engine.within(queries, radius, sort_results)
        counts, distances, places = (
            np.concatenate(parts) for parts in zip(*groups, strict=True)
        )
        indices = engine.selection.rows_of(places)
        return _graph(counts, distances, indices, engine.selection.n_rows, mode)

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _engine(
        self, X: Any, where: Any, radius: int | None = None
    ) -> tuple[Engine | OnShards, Queries]:
        """Return what searches, and the queries, with their own places if fitted."""
        check_is_fitted(self)
        table = self._stored.table
        if X is None:
            places = np.flatnonzero(table.live_places)
            all_live = table.n_live == table.n_stored
            queries = Queries(table.words(slice(None) if all_live else places), places)
        else:
            words = as_words(self._packed(X))
            queries = Queries(words, np.full(len(words), -1))
        mask = None if where is None else _as_mask(where, table)
        how = self.algorithm, self.device, self.n_jobs
        engine: Engine | OnShards
        if isinstance(table, ShardedTable):
            engine = OnShards.by(table.select(mask), *how)
        else:
            in_place = self.device != "cpu" or self.algorithm == "multi_index"
            selection = table.select(mask, in_place=in_place)
            engine = choose_engine(table, selection, radius, *how)
        queries = queries._replace(own=engine.selection.places_of(queries.own))
        self.algorithm_ = engine.algorithm
        return engine, queries

    def _engine_of_graph(
        self, X: Any, mode: str, radius: int | None = None
    ) -> tuple[Engine | OnShards, Queries]:
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance', got {mode!r}."
            )
        engine, queries = self._engine(X, None, radius)
        n_live, n_rows = engine.selection.n_allowed, engine.selection.n_rows
        if X is None and n_live < n_rows:
            raise ValueError(
                "The graph of the fitted codes among each other has no rows for those "
                f"that were removed ({n_rows - n_live} of {n_rows}): pass X."
            )
        return engine, queries

    def _nearest(
        self, engine: Engine | OnShards, queries: Queries, n_neighbors: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        k = self._check_n_neighbors(n_neighbors, engine.selection, queries)
        distances, places = engine.nearest(queries, k)
        return distances, engine.selection.rows_of(places)

    def _check_n_neighbors(
        self,
        n_neighbors: int | None,
        selection: Selection | ShardSelection,
        queries: Queries,
    ) -> int:
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if not is_whole_number(k):
            raise TypeError(f"n_neighbors must be an integer, got {k!r}.")
        own = queries.own[queries.own >= 0]
        leave_out = len(own) > 0 and bool(selection.allows(own).any())
        n_found = selection.n_allowed - leave_out
        if not 1 <= k <= n_found:
            raise ValueError(
                f"Expected 1 <= n_neighbors <= {n_found}, the number of codes "
                f"{'other than the query itself ' if leave_out else ''}to find, got "
                f"n_neighbors = {k}, n_samples_fit = {selection.n_rows}."
            )
        return int(k)

    def _check_radius(self, radius: int | None) -> int:
        check_is_fitted(self)
        radius = self.radius if radius is None else radius
        if not is_whole_number(radius) or radius < 0:
            raise ValueError(
                f"radius must be a whole number of bits, at least 0, got {radius!r}."
            )
        return min(int(radius), self._stored.table.n_bits)


def _graph(
    counts: NDArray[np.int64],
    distances: NDArray[np.int32],
    indices: NDArray[np.int64],
    n_columns: int,
    mode: GraphMode,
) -> sparse.csr_matrix:
    edges = np.ones(len(indices)) if mode == "connectivity" else distances
    return sparse.csr_matrix(
        (edges.astype(np.float64), indices, _starts(counts)),
        shape=(len(counts), n_columns),
    )


def _as_mask(where: Any, table: CodeTable | ShardedTable) -> NDArray[np.bool_]:
    """Return a mask of codes, given as one or as indices."""
    where = as_array(where, "where")
    if where.dtype != bool:
        mask = np.zeros(table.n_arrived, dtype=bool)
        mask[check_indices(table, where, "where, if it is no mask,")] = True
        return mask
    if where.shape != (table.n_arrived,):
        raise ValueError(
            f"where must be a mask of shape ({table.n_arrived},), an entry for each "
            f"code that ever came, or indices; got a mask of shape {where.shape}."
        )
    return where


def _one_array_a_query(
    groups: Iterable[tuple[NDArray[Any], NDArray[np.int64]]],
) -> NDArray[np.object_]:
    """Cut values, given with how many belong to each query, without copying them."""
    arrays: list[NDArray[Any]] = []
    for values, counts in groups:
        starts = _starts(counts).tolist()
        arrays.extend(map(values.__getitem__, map(slice, starts, starts[1:])))
    return np.fromiter(arrays, dtype=object, count=len(arrays))


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts)))
