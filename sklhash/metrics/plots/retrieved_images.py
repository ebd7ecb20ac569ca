"""RetrievedImagesDisplay: queries and the images found for them."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from sklhash._arrays import as_array
from sklhash._validation import Interval, check_array_like, check_same_length
from sklhash.codes import check_code_pair
from sklhash.metrics.options import LABELS, checked_options
from sklhash.metrics.plots.checks import check_shape
from sklhash.metrics.plots.image_grid import LINE, ImageGrid, frame_style, sign_of
from sklhash.metrics.plots.images import check_one_each, take_images
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.nearest import nearest_codes
from sklhash.metrics.plots.style import figure_and_axes, import_pyplot
from sklhash.metrics.relevance import own_rows_of
from sklhash.metrics.retrieval import retrieval_of, take_apart
from sklhash.targets import relevance_labels

__all__ = ["RetrievedImagesDisplay"]

_OPTIONS: dict[str, list[Any]] = {
    "k": [Interval(Integral, 1, None, closed="left")],
    "image_shape": [tuple, list, None],
}


class RetrievedImagesDisplay:
    """Queries and their hits in a grid: a row a query, the nearest first.

    Each hit has its distance below it, and a frame and a sign that tell whether it is
    relevant. A line under several hits says that they are at the same distance, so that
    their order means nothing; if it ends in an arrow, there are more such items than
    are shown.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    query_images : ndarray of shape (n_queries, height, width) or (n_queries, height, \
            width, 3)
        Grey or colour images.

    hit_images : ndarray of shape (n_queries, k, height, width) or (n_queries, k, \
            height, width, 3)
        Images of the same size and kind.

    distances : ndarray of shape (n_queries, k)
        Ascending distances of the hits; whole numbers are written as such.

    relevant : ndarray of shape (n_queries, k), dtype=bool, default=None
        Whether each hit is relevant; None marks nothing.

    tied_beyond : ndarray of shape (n_queries,), dtype=bool, default=None
        Whether items at the last hit's distance were not shown; None is False.

    query_labels : array-like of shape (n_queries,), default=None
        What is written below the queries.

    metric : str, default="hamming"
        Name of the distance.

    name : str, default=None
        Name of the search, for the title.

    Attributes
    ----------
    ax_ : matplotlib axes
        The axes.

    figure_ : matplotlib figure
        The figure they are in.

    images_ : list of list of matplotlib AxesImage
        For each query its own image and those of its hits.

    frames_ : list of list of matplotlib Rectangle
        The frames of each query's hits; empty without `relevant`.

    signs_ : list of list of matplotlib Text
        The signs of each query's hits; empty without `relevant`.

    distances_ : list of list of matplotlib Text
        The distances below each query's hits.

    ties_ : list of list of matplotlib Line2D
        The lines below each query's groups of tied hits.

    legend_ : matplotlib Legend
        What the marks mean.

    Raises
    ------
    ValueError
        If a parameter is of another type, or the shapes do not go together.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklhash import HammingNeighbors, LSH
    >>> from sklhash.metrics.plots import RetrievedImagesDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> search = make_pipeline(LSH(16, random_state=0), HammingNeighbors())
    >>> display = RetrievedImagesDisplay.from_estimator(
    ...     search.fit(X[100:], y[100:]), X[:4], y[:4],
    ...     database_images=X[100:], image_shape=(8, 8), k=6)
    >>> display.relevant.shape
    (4, 6)
    """

    @checked_options(
        query_images=[np.ndarray],
        hit_images=[np.ndarray],
        distances=[np.ndarray],
        relevant=[np.ndarray, None],
        tied_beyond=[np.ndarray, None],
        query_labels=["array-like", None],
        metric=[str],
    )
    def __init__(
        self,
        query_images: NDArray[Any],
        hit_images: NDArray[Any],
        distances: NDArray[Any],
        *,
        relevant: NDArray[np.bool_] | None = None,
        tied_beyond: NDArray[np.bool_] | None = None,
        query_labels: Any = None,
        metric: str = "hamming",
        name: str | None = None,
    ) -> None:
        n_queries, *image = query_images.shape or [0]
        hits = n_queries, distances.size // max(1, n_queries)
        check_shape(distances, "distances", hits)
        check_shape(query_images, "query_images", (n_queries, *image[:2], *image[2:3]))
        check_shape(hit_images, "hit_images", (*hits, *image))
        if relevant is not None:
            check_shape(relevant, "relevant", hits)
        if tied_beyond is not None:
            check_shape(tied_beyond, "tied_beyond", hits[:1])
        if query_labels is not None:
            check_same_length(query_images=query_images, query_labels=query_labels)
        self.query_images = query_images
        self.hit_images = hit_images
        self.distances = distances
        self.relevant = relevant
        self.tied_beyond = tied_beyond
        self.query_labels = query_labels
        self.metric = metric
        self.name = name

    @classmethod
    @checked_options(y=[*LABELS, None], **_OPTIONS)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        database: tuple[Any, Any] | None = None,
        images: Any = None,
        database_images: Any = None,
        image_shape: tuple[int, ...] | None = None,
        queries: Any = None,
        k: int = 10,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what an estimator finds.

        Parameters
        ----------
        estimator : estimator
            A fitted search such as ``make_pipeline(hasher, HammingNeighbors())`` or
            :class:`~sklhash.HashedNeighbors`, whose own order is shown; or a hasher.

        X : array-like of shape (n_samples, n_features)
            Queries.

        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Their labels; None marks no hit as relevant or not.

        database : tuple (X, y), default=None
            What a hasher's queries search, features (n_database, n_features) and labels
            (n_database,) or (n_database, n_labels); None is the queries themselves,
            each left out for itself. A search has a database of its own.

        images : array-like of shape (n_samples, ...), default=None
            Images of the queries; None takes `X`.

        database_images : array-like of shape (n_database, ...), default=None
            Images of the database: for a search one for each row it was ever given, in
            that order, since it keeps codes alone. For a hasher, None takes the `X` of
            the database.

        image_shape : tuple of int, default=None
            Shape (height, width) or (height, width, 3) of images that come as flat
            rows.

        queries : array-like of shape (n_shown,), dtype=int, default=None
            Which of the queries to show, a row each; None shows all.

        k : int, default=10
            Number of hits to show.

        name : str, default=None
            Name of the search; None is the class of its hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to ``imshow``, for example ``cmap="gray_r"``.

        Returns
        -------
        display : RetrievedImagesDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `k` is out of range, images are malformed or of another number than what
            they show, or a search has no labels though `y` is given.

        TypeError
            If the estimator is neither a hasher nor a search among codes.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_array_like(X, "X")
        images = X if images is None else images
        check_one_each(images, _num_samples(X), "images")
        name = name_of(estimator) if name is None else name
        steps, last = take_apart(estimator)
        if hasattr(last, "kneighbors") and hasattr(last, "pack"):
            _check_search(last, y, database, database_images, k)
            if y is not None:
                check_same_length(X=X, y=y)
            shown = _shown_queries(X, y, images, queries, image_shape)
            rows = shown.X
            for step in steps:
                rows = step.transform(rows)
            metric = getattr(last, "metric_", "hamming")
            # one more tells of ties, but would lengthen a shortlist that is re-ranked
            n_neighbors = min(k + 1, last.n_live_) if metric == "hamming" else k
            found = last.kneighbors(rows, n_neighbors)
            return cls._of_hits(
                shown,
                found,
                k,
                database_y=last.y_,
                database_images=database_images,
                image_shape=image_shape,
                metric=metric,
                name=name,
            ).plot(ax, **kwargs)
        retrieval = retrieval_of(estimator, X, y, database)
        if database_images is None:
            database_images = images if database is None else database[0]
        return cls.from_predictions(
            *retrieval[:4],
            images=images,
            database_images=database_images,
            image_shape=image_shape,
            queries=queries,
            k=k,
            exclude_self=retrieval.exclude_self,
            packed=True,
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    @checked_options(**_OPTIONS)
    def from_predictions(
        cls,
        query_codes: ArrayLike,
        database_codes: ArrayLike,
        query_y: Any = None,
        database_y: Any = None,
        *,
        images: Any,
        database_images: Any,
        image_shape: tuple[int, ...] | None = None,
        queries: Any = None,
        k: int = 10,
        exclude_self: bool | ArrayLike = False,
        packed: bool = False,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the nearest codes.

        Parameters
        ----------
        query_codes : array-like of shape (n_queries, n_bits) or (n_queries, n_bytes) \
                if packed
            Codes of the queries.

        database_codes : array-like of shape (n_database, n_bits) or (n_database, \
                n_bytes) if packed
            Codes of the database.

        query_y : array-like of shape (n_queries,) or (n_queries, n_labels), \
                default=None
            Labels of the queries; None marks no hit as relevant or not.

        database_y : array-like of shape (n_database,) or (n_database, n_labels), \
                default=None
            Labels of the database, of the same kind.

        images : array-like of shape (n_queries, ...)
            Images of the queries, (n_queries, height, width) in grey or (n_queries,
            height, width, 3) in colour: uint8, or floats, in colour from 0 to 1.

        database_images : array-like of shape (n_database, ...)
            Images of the database.

        image_shape : tuple of int, default=None
            Shape (height, width) or (height, width, 3) of images that come as flat
            rows.

        queries : array-like of shape (n_shown,), dtype=int, default=None
            Which of the queries to show, a row each; None shows all.

        k : int, default=10
            Number of hits to show.

        exclude_self : bool or array-like of shape (n_queries,), default=False
            Whether query ``i`` is database item ``i`` and is left out for itself;
            or which database item each query is.

        packed : bool, default=False
            Whether codes are packed.

        name : str, default=None
            Name of the codes, for the title.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to ``imshow``, for example ``cmap="gray_r"``.

        Returns
        -------
        display : RetrievedImagesDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `k` is out of range, codes, labels or images are malformed, or images are
            of another number than what they show.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        query_codes, database_codes = check_code_pair(
            query_codes,
            database_codes,
            packed=packed,
            names=("query_codes", "database_codes"),
        )
        own = own_rows_of(exclude_self, len(query_codes), len(database_codes))
        n_found = len(database_codes) - (own is not None)
        _check_k(k, n_found)
        if (query_y is None) != (database_y is None):
            raise ValueError(
                "query_y and database_y must be given both or not at all, got one."
            )
        check_one_each(database_images, len(database_codes), "database_images")
        if query_y is not None:
            check_same_length(query_codes=query_codes, query_y=query_y)
            check_same_length(database_codes=database_codes, database_y=database_y)
        shown = _shown_queries(query_codes, query_y, images, queries, image_shape)
        own = None if own is None else own[shown.rows]
        found = nearest_codes(shown.X, database_codes, min(k + 1, n_found), own)
        return cls._of_hits(
            shown,
            found,
            k,
            database_y=database_y,
            database_images=database_images,
            image_shape=image_shape,
            name=name,
        ).plot(ax, **kwargs)

    @checked_options()
    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw, with about 0.8 inches for each column; None makes a new
            figure that fits.

        name : str, default=None
            Name of the search, for the title; None is the display's.

        **kwargs : dict
            Passed on to ``imshow``, for example ``cmap="gray_r"``.

        Returns
        -------
        display : RetrievedImagesDisplay
            The display itself.
        """
        import_pyplot(f"{type(self).__name__}.plot")
        own_figure = ax is None
        self.figure_, self.ax_ = figure_and_axes(ax)
        n_queries, k = self.distances.shape
        grid = ImageGrid(self.ax_, n_queries, k + 1, self.query_images.shape[1:])
        if own_figure:
            self.figure_.set_size_inches(grid.size)
        style = {"cmap": "gray", **self._grey_range(kwargs), **kwargs}
        self.images_ = [self._draw_images(grid, i, style) for i in range(n_queries)]
        self.distances_ = [self._write_distances(grid, i) for i in range(n_queries)]
        self.ties_ = [self._underline_ties(grid, i) for i in range(n_queries)]
        marks = [self._mark_hits(grid, i) for i in range(n_queries)]
        self.frames_ = [[frame for frame, _ in row] for row in marks]
        self.signs_ = [[sign for _, sign in row] for row in marks]
        for i, label in enumerate(
            () if self.query_labels is None else self.query_labels
        ):
            grid.write(i, 0, str(label))
        columns = ["query", *map(str, range(1, k + 1))]
        self.legend_ = grid.finish(columns, self._explanation(), self._handles())
        self.ax_.set_title((self.name if name is None else name) or "")
        return self

    @classmethod
    def _of_hits(
        cls,
        shown: _Queries,
        found: tuple[NDArray[Any], NDArray[np.int64]],
        k: int,
        *,
        database_y: Any,
        database_images: Any,
        image_shape: tuple[int, ...] | None,
        metric: str = "hamming",
        name: str | None,
    ) -> Self:
        """Make the display of the first k of what was found."""
        distances, indices = found
        tied_beyond = np.zeros(len(distances), dtype=bool)
        if distances.shape[1] > k:
            tied_beyond = distances[:, k] == distances[:, k - 1]
        hits = indices[:, :k]
        hit_images = take_images(
            database_images, hits.ravel(), image_shape, "database_images"
        )
        if hit_images.shape[1:] != shown.images.shape[1:]:
            raise ValueError(
                "images and database_images must be of one shape, got "
                f"{shown.images.shape[1:]} and {hit_images.shape[1:]}."
            )
        return cls(
            shown.images,
            hit_images.reshape(*hits.shape, *hit_images.shape[1:]),
            distances[:, :k],
            relevant=_relevance(shown.y, database_y, hits),
            tied_beyond=tied_beyond,
            query_labels=shown.y if np.ndim(shown.y) == 1 else None,
            metric=metric,
            name=name,
        )

    def _grey_range(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return one range for all images, so that equal greys are equal values."""
        if self.query_images.ndim == 4 or "norm" in kwargs:
            return {}
        both = (self.query_images, self.hit_images)
        return {
            "vmin": min(images.min() for images in both),
            "vmax": max(images.max() for images in both),
        }

    def _draw_images(self, grid: ImageGrid, i: int, style: dict[str, Any]) -> list[Any]:
        images = [self.query_images[i], *self.hit_images[i]]
        return [grid.draw(i, j, image, **style) for j, image in enumerate(images)]

    def _write_distances(self, grid: ImageGrid, i: int) -> list[Any]:
        form = "d" if self.distances.dtype.kind in "iu" else ".3g"
        return [
            grid.write(i, rank, f"{distance:{form}}")
            for rank, distance in enumerate(self.distances[i], start=1)
        ]

    def _underline_ties(self, grid: ImageGrid, i: int) -> list[Any]:
        distances = self.distances[i]
        k = len(distances)
        changes = np.flatnonzero(distances[1:] != distances[:-1]) + 1
        goes_on = self.tied_beyond is not None and bool(self.tied_beyond[i])
        return [
            grid.underline(i, start + 1, stop, goes_on and stop == k)
            for start, stop in pairwise([0, *changes, k])
            if stop - start > 1 or (goes_on and stop == k)
        ]

    def _mark_hits(self, grid: ImageGrid, i: int) -> list[Any]:
        relevant = () if self.relevant is None else self.relevant[i]
        return [grid.mark(i, rank, hit) for rank, hit in enumerate(relevant, start=1)]

    def _explanation(self) -> str:
        unit = ", in bits" if self.metric == "hamming" else ""
        of_query = "" if self.query_labels is None else "; below a query: its label"
        distance = f"{self.metric.capitalize()} distance"
        return f"Below each hit: its {distance}{unit}{of_query}"

    def _handles(self) -> list[Any]:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Any] = []
        if self.relevant is not None:
            for relevant, text in ((True, "relevant"), (False, "not relevant")):
                label = f"{sign_of(relevant)} {text}"
                handles.append(Patch(label=label, **frame_style(relevant)))
        if any(self.ties_):
            tie = Line2D([], [], marker="|", **LINE)
            tie.set_label("tied, so in index order (arrow: with more than shown)")
            handles.append(tie)
        return handles


class _Queries(NamedTuple):
    """The queries that are shown."""

    rows: NDArray[np.int64]
    X: Any
    y: Any
    images: NDArray[Any]


def _shown_queries(
    X: Any, y: Any, images: Any, rows: Any, image_shape: tuple[int, ...] | None
) -> _Queries:
    n_queries = _num_samples(X)
    check_one_each(images, n_queries, "images")
    rows = np.arange(n_queries) if rows is None else as_array(rows, "queries")
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) == 0:
        raise ValueError(
            "queries must be a vector of indices, at least one, got an array of shape "
            f"{rows.shape} and dtype {rows.dtype}."
        )
    outside = (rows < 0) | (rows >= n_queries)
    if outside.any():
        raise ValueError(
            f"queries must lie between 0 and {n_queries - 1}, got {rows[outside][0]}."
        )
    return _Queries(
        rows,
        _safe_indexing(X, rows),
        None if y is None else _safe_indexing(y, rows),
        take_images(images, rows, image_shape, "images"),
    )


def _check_search(
    search: Any, y: Any, database: Any, database_images: Any, k: int
) -> None:
    kind = type(search).__name__
    if database is not None:
        raise ValueError(
            f"{kind} searches the database it was fitted on; database=(X, y) is for "
            "hashers."
        )
    if y is not None and search.y_ is None:
        raise ValueError(
            f"This {kind} was fitted without y, so there are no labels to tell what is "
            "relevant: fit(X, y), or draw without y."
        )
    if database_images is None:
        raise ValueError(
            f"{kind} keeps codes, not images: pass database_images=..., one for each "
            "row it was given."
        )
    check_one_each(database_images, search.n_samples_fit_, "database_images")
    _check_k(k, search.n_live_)


def _check_k(k: int, n_found: int) -> None:
    if not 1 <= k <= n_found:
        raise ValueError(
            f"k must be an integer from 1 to {n_found}, the number of codes to find, "
            f"got {k}."
        )


def _relevance(
    query_y: Any, database_y: Any, hits: NDArray[np.int64]
) -> NDArray[np.bool_] | None:
    """Tell which hits share a label with their query, (n_queries, k)."""
    if query_y is None:
        return None
    hit_y = _safe_indexing(database_y, hits.ravel())
    wanted, found, multilabel = relevance_labels(query_y, hit_y)
    wanted, found = wanted[:, None], found.reshape(*hits.shape, -1)
    shared = (wanted & found) > 0 if multilabel else wanted == found
    return np.any(shared, axis=2)
