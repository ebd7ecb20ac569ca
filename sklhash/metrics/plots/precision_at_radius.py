"""PrecisionAtRadiusDisplay: precision within a radius against the number of bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from sklhash.metrics.options import LABELS, checked_options
from sklhash.metrics.plots.checks import check_curve
from sklhash.metrics.plots.lines import draw_line
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import figure_and_axes, import_pyplot
from sklhash.metrics.ranking import precision_within_radius_score
from sklhash.metrics.retrieval import retrieval_of
from sklhash.metrics.widths import width_of

__all__ = ["PrecisionAtRadiusDisplay"]


class PrecisionAtRadiusDisplay:
    """Precision within a Hamming radius, and empty balls, against the number of bits.

    Looking up all codes within two bits is quick, but the more bits a code has, the
    more queries have nothing there: their ball is empty. So two lines are drawn, the
    precision, and dotted the share of queries with an empty ball. Several methods go on
    the same axes by ``ax=display.ax_``.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    n_bits : array-like of shape (n_points,), dtype=int64
        Numbers of bits.

    precision : array-like of shape (n_points,)
        Precision within the radius, averaged over queries.

    empty_share : array-like of shape (n_points,)
        Share of queries with an empty ball.

    radius : int, default=2
        The radius in bits, inclusive.

    name : str, default=None
        Name of the method, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The precision.

    empty_line_ : matplotlib Line2D
        The share of empty balls.

    ax_ : matplotlib axes
        The axes they are on.

    figure_ : matplotlib figure
        The figure they are in.

    Raises
    ------
    ValueError
        If a parameter is of another type, or the three arrays are not of one length.

    See Also
    --------
    sklhash.metrics.precision_within_radius_score : One point of each line.

    Examples
    --------
    >>> from sklhash.metrics.plots import PrecisionAtRadiusDisplay
    >>> query = [[0, 0, 0, 0], [1, 1, 1, 1]]
    >>> database = [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0]]
    >>> two_bits = [[code[:2] for code in codes] for codes in (query, database)]
    >>> display = PrecisionAtRadiusDisplay.from_predictions(
    ...     [two_bits[0], query],
    ...     [two_bits[1], database],
    ...     ["cat", "dog"],
    ...     ["cat", "cat", "dog"],
    ...     radius=1,
    ... )
    >>> display.n_bits
    array([2, 4])
    >>> display.empty_share
    array([0. , 0.5])
    """

    @checked_options(n_bits=["array-like"])
    def __init__(
        self,
        n_bits: ArrayLike,
        precision: ArrayLike,
        empty_share: ArrayLike,
        *,
        radius: int = 2,
        name: str | None = None,
    ) -> None:
        check_curve(n_bits=n_bits, precision=precision, empty_share=empty_share)
        self.n_bits = n_bits
        self.precision = precision
        self.empty_share = empty_share
        self.radius = radius
        self.name = name

    @classmethod
    @checked_options(y=LABELS)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        database: tuple[Any, Any] | None = None,
        radius: int = 2,
        empty: Literal["zero", "skip", "raise"] = "zero",
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the precision of what estimators of several numbers of bits retrieve.

        Parameters
        ----------
        estimator : estimator, or list of estimators
            Fitted hashers, searches among codes, or pipelines that end in one: usually
            one method, fitted once for each number of bits.

        X : array-like of shape (n_queries, n_features)
            Queries.

        y : array-like of shape (n_queries,) or (n_queries, n_labels)
            Their labels.

        database : tuple (X, y), default=None
            What a hasher's queries search, features (n_database, n_features) and labels
            (n_database,) or (n_database, n_labels); None is the queries themselves,
            each left out for itself. A search has a database of its own.

        radius : int, default=2
            The radius in bits, inclusive.

        empty : {"zero", "skip", "raise"}, default="zero"
            What a query with an empty ball does: count as a precision of 0, be left out
            of the mean, or raise an error.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the averages.

        name : str, default=None
            Name for the legend; None is the class of the first hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot`` for the precision.

        Returns
        -------
        display : PrecisionAtRadiusDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If an estimator is neither a hasher nor a search among codes.

        ValueError
            If there is no estimator, a search was fitted without labels, or as for
            :meth:`from_predictions`.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        estimators = estimator if isinstance(estimator, list | tuple) else [estimator]
        if len(estimators) == 0:
            raise ValueError("estimator must be at least one estimator, got none.")
        retrievals = [retrieval_of(each, X, y, database) for each in estimators]
        scores = [
            precision_within_radius_score(
                *retrieval[:4],
                radius=radius,
                empty=empty,
                sample_weight=sample_weight,
                exclude_self=retrieval.exclude_self,
                packed=True,
                return_empty_share=True,
            )
            for retrieval in retrievals
        ]
        display = cls(
            np.array([retrieval.n_bits for retrieval in retrievals]),
            *np.transpose(scores),
            radius=radius,
            name=name_of(estimators[0]) if name is None else name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    @checked_options(n_bits=[list, tuple, None])
    def from_predictions(
        cls,
        query_codes: Sequence[ArrayLike],
        database_codes: Sequence[ArrayLike],
        query_y: Any,
        database_y: Any,
        *,
        radius: int = 2,
        empty: Literal["zero", "skip", "raise"] = "zero",
        sample_weight: ArrayLike | None = None,
        exclude_self: bool | ArrayLike = False,
        packed: bool = False,
        n_bits: Sequence[int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the precision of codes of several numbers of bits.

        Parameters
        ----------
        query_codes : list of array-like of shape (n_queries, n_bits)
            Codes of the queries, one array for each number of bits; if packed, of shape
            (n_queries, n_bytes).

        database_codes : list of array-like of shape (n_database, n_bits)
            Codes of the database, one array for each array in `query_codes`; if packed,
            of shape (n_database, n_bytes).

        query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
            Class labels, or a label indicator of zeros and ones.

        database_y : array-like of shape (n_database,) or (n_database, n_labels)
            Labels of the same kind.

        radius : int, default=2
            The radius in bits, inclusive.

        empty : {"zero", "skip", "raise"}, default="zero"
            What a query with an empty ball does: count as a precision of 0, be left out
            of the mean, or raise an error.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the averages.

        exclude_self : bool or array-like of shape (n_queries,), default=False
            Whether query ``i`` is database item ``i`` and is left out of its own ball;
            or which database item each query is.

        packed : bool, default=False
            Whether the codes are packed.

        n_bits : list of int, default=None
            Numbers of bits of packed codes; None is eight a byte.

        name : str, default=None
            Name for the legend.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot`` for the precision.

        Returns
        -------
        display : PrecisionAtRadiusDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `query_codes`, `database_codes` and `n_bits` are not lists of the same
            length, codes or labels are malformed, differ in width, kind or number, or a
            ball is empty and ``empty="raise"``.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        lists = {"query_codes": query_codes, "database_codes": database_codes}
        if n_bits is not None:
            lists["n_bits"] = n_bits
        _check_lists(lists)
        widths = [
            width_of(codes, packed=packed, n_bits=width, name=f"query_codes[{i}]")
            for i, (codes, width) in enumerate(
                zip(query_codes, n_bits or repeat(None), strict=False)
            )
        ]
        scores = [
            precision_within_radius_score(
                *codes,
                query_y,
                database_y,
                radius=radius,
                empty=empty,
                sample_weight=sample_weight,
                exclude_self=exclude_self,
                packed=packed,
                return_empty_share=True,
            )
            for codes in zip(query_codes, database_codes, strict=True)
        ]
        display = cls(np.array(widths), *np.transpose(scores), radius=radius, name=name)
        return display.plot(ax, **kwargs)

    @checked_options()
    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the precision, and the share of empty balls in the same colour.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        name : str, default=None
            Name for the legend; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's ``plot`` for the precision, over the display's own
            style.

        Returns
        -------
        display : PrecisionAtRadiusDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        label = self.name if name is None else name
        order = np.argsort(self.n_bits, kind="stable")
        n_bits = np.asarray(self.n_bits)[order]
        precision = np.asarray(self.precision)[order]
        self.line_ = draw_line(
            self.ax_, n_bits, precision, label, kwargs, linestyle="-"
        )
        (self.empty_line_,) = self.ax_.plot(
            n_bits,
            np.asarray(self.empty_share)[order],
            color=self.line_.get_color(),
            marker=self.line_.get_marker(),
            markerfacecolor="white",
            linestyle=":",
        )
        self._dress_axes()
        return self

    def _dress_axes(self) -> None:
        from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

        self.ax_.set_xscale("log", base=2)
        self.ax_.xaxis.set_major_locator(LogLocator(base=2))
        self.ax_.xaxis.set_minor_locator(NullLocator())
        self.ax_.xaxis.set_major_formatter(ScalarFormatter())
        self.ax_.set(
            xlabel="Number of bits",
            ylabel=f"Precision within Hamming radius {self.radius} (bits)\n"
            "dotted: share of queries that find nothing (empty ball)",
        )
        if self.ax_.get_legend() is not None:  # lines lie everywhere
            self.ax_.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False
            )


def _check_lists(lists: dict[str, Any]) -> None:
    """Require one entry for each number of bits, and at least one."""
    for name, entries in lists.items():
        if not isinstance(entries, list | tuple):
            raise ValueError(
                f"{name} must be a list with an entry for each number of bits, got "
                f"{type(entries).__name__}."
            )
    lengths = {name: len(entries) for name, entries in lists.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            f"{', '.join(lengths)} must be lists of the same length, at least 1, got "
            f"{', '.join(map(str, lengths.values()))}."
        )
