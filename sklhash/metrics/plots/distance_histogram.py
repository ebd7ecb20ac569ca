"""DistanceHistogramDisplay: distances of relevant pairs and of others."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklhash.metrics.options import LABELS, checked_options
from sklhash.metrics.plots.checks import check_curve
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import (
    OTHER,
    RELEVANT,
    figure_and_axes,
    import_pyplot,
)
from sklhash.metrics.relevance import count_relevance
from sklhash.metrics.retrieval import retrieval_of
from sklhash.metrics.widths import width_of

__all__ = ["DistanceHistogramDisplay"]


class DistanceHistogramDisplay:
    """Hamming distances of relevant pairs and of others, and how far they overlap.

    A pair is a query and a database item. Two histograms are drawn over the distance,
    each of the shares of its own kind of pair, and the overlap is told: the sum over
    the distances of the smaller of the two shares. It is 0 if no distance has pairs of
    both kinds, and 1 if the distance tells nothing.

    For several estimators draw one on each of several axes.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    relevant : array-like of shape (n_bits + 1,), dtype=int64
        Number of relevant pairs at each distance, at least one in all.

    other : array-like of shape (n_bits + 1,), dtype=int64
        Number of the other pairs at each distance, at least one in all.

    name : str, default=None
        Name of the codes, for the title.

    Attributes
    ----------
    overlap : float
        The overlap, 0 to 1.

    relevant_ : matplotlib StepPatch
        The histogram of the relevant pairs.

    other_ : matplotlib StepPatch
        The histogram of the other pairs.

    ax_ : matplotlib axes
        The axes they are on.

    figure_ : matplotlib figure
        The figure they are in.

    Raises
    ------
    ValueError
        If a parameter is of another type, or the histograms are not of one length.

    See Also
    --------
    PrecisionAtRadiusDisplay : What a lookup within a radius finds.

    Examples
    --------
    >>> from sklhash.metrics.plots import DistanceHistogramDisplay
    >>> query, query_y = [[0, 0, 0]], ["cat"]
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> display = DistanceHistogramDisplay.from_predictions(
    ...     query, database, query_y, database_y)
    >>> display.relevant
    array([1, 1, 0, 0])
    >>> display.other
    array([0, 1, 0, 1])
    >>> display.overlap
    0.5
    """

    @checked_options()
    def __init__(
        self, relevant: ArrayLike, other: ArrayLike, *, name: str | None = None
    ) -> None:
        check_curve(relevant=relevant, other=other)
        self.relevant = relevant
        self.other = other
        self.name = name

    @property
    def overlap(self) -> float:
        """The sum over the distances of the smaller of the two shares."""
        return float(np.minimum(_shares(self.relevant), _shares(self.other)).sum())

    @classmethod
    @checked_options(y=LABELS)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        database: tuple[Any, Any] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the distances between what an estimator encodes and retrieves.

        Parameters
        ----------
        estimator : estimator
            A fitted hasher, a search among codes, or a pipeline that ends in one.

        X : array-like of shape (n_queries, n_features)
            Queries.

        y : array-like of shape (n_queries,) or (n_queries, n_labels)
            Their labels.

        database : tuple (X, y), default=None
            What a hasher's queries search, features (n_database, n_features) and labels
            (n_database,) or (n_database, n_labels); None is the queries themselves,
            each left out for itself. A search has a database of its own.

        name : str, default=None
            Name for the title; None is the class of the hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``stairs`` for both histograms.

        Returns
        -------
        display : DistanceHistogramDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is neither a hasher nor a search among codes.

        ValueError
            If the search was fitted without labels, or as for :meth:`from_predictions`.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        retrieval = retrieval_of(estimator, X, y, database)
        return cls.from_predictions(
            *retrieval[:4],
            exclude_self=retrieval.exclude_self,
            packed=True,
            n_bits=retrieval.n_bits,
            name=name_of(estimator) if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    @checked_options()
    def from_predictions(
        cls,
        query_codes: ArrayLike,
        database_codes: ArrayLike,
        query_y: Any,
        database_y: Any,
        *,
        exclude_self: bool | ArrayLike = False,
        packed: bool = False,
        n_bits: int | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the distances between codes.

        Parameters
        ----------
        query_codes : array-like of shape (n_queries, n_bits)
            Codes of the queries; if packed, of shape (n_queries, n_bytes).

        database_codes : array-like of shape (n_database, n_bits)
            Codes of the database; if packed, of shape (n_database, n_bytes).

        query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
            Class labels, or a label indicator of zeros and ones.

        database_y : array-like of shape (n_database,) or (n_database, n_labels)
            Labels of the same kind.

        exclude_self : bool or array-like of shape (n_queries,), default=False
            Whether query ``i`` is database item ``i`` and makes no pair with itself;
            or which database item each query is.

        packed : bool, default=False
            Whether the codes are packed.

        n_bits : int, default=None
            Number of bits of a packed code; None is eight a byte.

        name : str, default=None
            Name for the title.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``stairs`` for both histograms.

        Returns
        -------
        display : DistanceHistogramDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If codes or labels are malformed, differ in width, kind or number, or no
            pair or every pair is relevant.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        width = width_of(query_codes, packed=packed, n_bits=n_bits, name="query_codes")
        counts = count_relevance(
            query_codes,
            database_codes,
            query_y,
            database_y,
            exclude_self=exclude_self,
            packed=packed,
        )
        totals, relevant = np.zeros((2, width + 1), dtype=np.int64)
        for block in counts.blocks():
            totals += block.totals.sum(axis=0)[: width + 1]
            relevant += block.relevant.sum(axis=0)[: width + 1]
        _check_kinds(relevant.sum(), totals.sum())
        return cls(relevant, totals - relevant, name=name).plot(ax, **kwargs)

    @checked_options()
    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        name : str, default=None
            Name for the title; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's ``stairs`` for both histograms.

        Returns
        -------
        display : DistanceHistogramDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        edges = np.arange(np.size(self.relevant) + 1) - 0.5
        style = {"fill": True, "alpha": 0.65, **kwargs}
        self.other_ = self.ax_.stairs(
            _shares(self.other),
            edges,
            **{"color": OTHER, "label": "other pairs", **style},
        )
        self.relevant_ = self.ax_.stairs(
            _shares(self.relevant),
            edges,
            **{"color": RELEVANT, "label": "relevant pairs", **style},
        )
        self.ax_.set(
            xlabel="Hamming distance (bits)",
            ylabel="Share of the pairs of each kind",
            xlim=(edges[0], edges[-1]),
        )
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.legend(reverse=True)
        name = self.name if name is None else name
        overlap = f"overlap {self.overlap:.2f}"
        self.ax_.set_title(f"{name}: {overlap}" if name else overlap)
        return self


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(counts) / np.sum(counts)


def _check_kinds(n_relevant: int, n_pairs: int) -> None:
    if n_relevant in (0, n_pairs):
        raise ValueError(
            "There must be relevant pairs of query and database item, and others, got "
            f"{n_relevant} relevant pairs of {n_pairs}."
        )
