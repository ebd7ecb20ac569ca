"""CodeEmbeddingDisplay: a map of codes, on which near ones are near."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from sklhash._validation import Interval, check_same_length
from sklhash.codes import check_codes
from sklhash.metrics.options import checked_options
from sklhash.metrics.plots.checks import check_curve, check_shape
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.nearest import nearest_codes
from sklhash.metrics.plots.style import figure_and_axes, import_pyplot, series_style
from sklhash.metrics.retrieval import codes_of
from sklhash.targets import encode_targets

__all__ = ["CodeEmbeddingDisplay"]

_MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", "p", ">")
_LEGEND_ROWS = 18
_PERPLEXITY = [Interval(Real, 0, None, closed="neither")]


class CodeEmbeddingDisplay:
    """A map of codes by t-SNE, coloured by class.

    Codes are laid out in the plane so that those with few differing bits come to lie
    together [1]_. Only who is near whom can be read off: distances between far groups,
    their sizes and the axes mean nothing.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Where each code lies.

    y : array-like of shape (n_samples,), default=None
        Classes; None draws all codes alike.

    name : str, default=None
        Name of the codes, for the title.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or None
        The classes that were drawn.

    ax_ : matplotlib axes
        The axes.

    figure_ : matplotlib figure
        The figure they are in.

    points_ : list of matplotlib Line2D
        The codes, one artist a class, in the order of `classes_`.

    texts_ : list of matplotlib Text
        The name of each class, in the midst of its codes.

    Raises
    ------
    ValueError
        If a parameter is of another type, or `y` is no vector of classes, one for each
        code.

    Notes
    -----
    Exact neighbours are found in blocks within scikit-learn's `working_memory`, by
    comparing all codes with each other; t-SNE is given no more than the
    ``3 * perplexity + 1`` nearest of each code with their numbers of differing bits. A
    few thousand codes take seconds, more take a sample.

    References
    ----------
    .. [1] L. van der Maaten and G. Hinton. Visualizing data using t-SNE. JMLR 9, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklhash import ITQ
    >>> from sklhash.metrics.plots import CodeEmbeddingDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> hasher = ITQ(4, random_state=0).fit(X)
    >>> display = CodeEmbeddingDisplay.from_estimator(hasher, X, y, random_state=0)
    >>> display.embedding.shape
    (150, 2)
    """

    @checked_options(embedding=[np.ndarray])
    def __init__(
        self, embedding: NDArray[Any], y: Any = None, *, name: str | None = None
    ) -> None:
        check_shape(embedding, "embedding", (len(embedding), 2))
        check_curve(embedding=embedding[:, 0])
        if y is not None:
            check_same_length(embedding=embedding, y=y)
            _classes(y)
        self.embedding = embedding
        self.y = y
        self.name = name

    @classmethod
    @checked_options(perplexity=_PERPLEXITY)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        perplexity: float = 30.0,
        random_state: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a map of the codes that an estimator gives to rows.

        Parameters
        ----------
        estimator : estimator
            A fitted hasher, a search among codes, or a pipeline that ends in one.

        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        y : array-like of shape (n_samples,), default=None
            Their classes; None draws all codes alike.

        perplexity : float, default=30.0
            About how many neighbours of each code are to stay near, as in
            :class:`~sklearn.manifold.TSNE`; positive, and less than `n_samples`.

        random_state : int, RandomState instance or None, default=None
            Seed of the first layout.

        name : str, default=None
            Name of the codes; None is the class of the hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's `plot` of each class.

        Returns
        -------
        display : CodeEmbeddingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `perplexity` is not less than the number of rows, or `y` is no vector of
            classes.

        TypeError
            If the estimator is neither a hasher nor a search among codes.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        packed, _ = codes_of(estimator, X)
        return cls.from_predictions(
            packed,
            y,
            perplexity=perplexity,
            random_state=random_state,
            packed=True,
            name=name_of(estimator) if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    @checked_options(perplexity=_PERPLEXITY)
    def from_predictions(
        cls,
        codes: ArrayLike,
        y: Any = None,
        *,
        perplexity: float = 30.0,
        random_state: Any = None,
        packed: bool = False,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a map of codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if \
                packed
            Codes.

        y : array-like of shape (n_samples,), default=None
            Their classes; None draws all codes alike.

        perplexity : float, default=30.0
            About how many neighbours of each code are to stay near; positive, and less
            than `n_samples`.

        random_state : int, RandomState instance or None, default=None
            Seed of the first layout.

        packed : bool, default=False
            Whether `codes` are packed.

        name : str, default=None
            Name of the codes, for the title.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's `plot` of each class.

        Returns
        -------
        display : CodeEmbeddingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `codes` is not a matrix of codes, `perplexity` is not less than their
            number, or `y` is no vector of classes.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        from sklearn.manifold import TSNE  # slow to import, and not for all to pay for

        packed_codes = check_codes(codes, packed=packed)
        if y is not None:
            check_same_length(codes=packed_codes, y=y)
            _classes(y)
        if perplexity >= len(packed_codes):
            raise ValueError(
                "perplexity must be less than the number of codes, "
                f"{len(packed_codes)}, got {perplexity}."
            )
        n_neighbors = min(len(packed_codes) - 1, int(3 * perplexity + 1))
        tsne = TSNE(
            metric="precomputed",
            init="random",
            perplexity=perplexity,
            random_state=random_state,
        )
        embedding = tsne.fit_transform(_graph(packed_codes, n_neighbors))
        return cls(embedding, y, name=name).plot(ax, **kwargs)

    @checked_options()
    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        name : str, default=None
            Name of the codes, for the title; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's `plot` of each class.

        Returns
        -------
        display : CodeEmbeddingDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `y` is no vector of classes.
        """
        import_pyplot(f"{type(self).__name__}.plot")
        groups = [self.embedding]
        labels: Any = ["_codes"]
        self.classes_ = None
        if self.y is not None:
            ids, labels = _classes(self.y)
            groups = [self.embedding[ids == i] for i in range(len(labels))]
            self.classes_ = labels
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.points_ = [
            self._plot_class(points, i, label, kwargs)
            for i, (points, label) in enumerate(zip(groups, labels, strict=True))
        ]
        self.ax_.set(
            xticks=[],
            yticks=[],
            xlabel="t-SNE of Hamming distances, axis 1 (no unit)",
            ylabel="axis 2 (no unit)",
        )
        name = self.name if name is None else name
        if name:
            self.ax_.set_title(name)
        self.texts_ = []
        if self.classes_ is not None:
            self.texts_ = [
                self._write_class(points, label)
                for points, label in zip(groups, labels, strict=True)
            ]
            self.ax_.legend(
                title="Class",
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
                ncols=-(-len(labels) // _LEGEND_ROWS),
            )
        return self

    def _plot_class(
        self, points: NDArray[Any], i: int, label: Any, kwargs: dict[str, Any]
    ) -> Any:
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        color = series_style(self.ax_)["color"]
        is_new = all(line.get_color() != color for line in self.ax_.lines)
        style = {
            "color": color,
            "linestyle": "none",
            "marker": _MARKERS[i % len(_MARKERS)],
            "markersize": 5,
            "markerfacecolor": color if is_new else "white",
            "markeredgecolor": "white" if is_new else color,
            "markeredgewidth": 0.4 if is_new else 1.0,
            "label": str(label),
            **normalize_kwargs(kwargs, Line2D),
        }
        (line,) = self.ax_.plot(*points.T, **style)
        return line

    def _write_class(self, points: NDArray[Any], label: Any) -> Any:
        """Write a class beside the code that is in the midst of most."""
        from matplotlib.patheffects import withStroke

        midst = np.abs(points - np.median(points, axis=0)).sum(axis=1).argmin()
        return self.ax_.text(
            *points[midst],
            str(label),
            ha="center",
            va="center",
            weight="bold",
            size="large",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def _classes(y: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the number of each row's class, and the classes."""
    targets = encode_targets(y)
    if targets.ids is None:
        raise ValueError(
            "y must be a vector with one class a row, to be told by its colour, got a "
            f"label indicator of {targets.n_classes} columns."
        )
    return targets.ids, targets.classes


def _graph(packed: NDArray[np.uint8], n_neighbors: int) -> sparse.csr_matrix:
    """Return the distances of each code to its neighbours and, 0, to itself."""
    n_samples = len(packed)
    own = np.arange(n_samples)
    distances, indices = nearest_codes(packed, packed, n_neighbors, own)
    distances = np.column_stack((np.zeros(n_samples), distances))
    indices = np.column_stack((own, indices))
    starts = np.arange(0, distances.size + 1, n_neighbors + 1)
    return sparse.csr_matrix(
        (distances.ravel(), indices.ravel(), starts), shape=(n_samples, n_samples)
    )
