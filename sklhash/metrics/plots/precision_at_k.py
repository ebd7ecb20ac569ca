"""PrecisionAtKDisplay: precision against the number of items retrieved."""

from __future__ import annotations

from typing import Any, Literal, Self

from numpy.typing import ArrayLike

from sklhash.metrics.curves import precision_recall_curve
from sklhash.metrics.options import LABELS, checked_options
from sklhash.metrics.plots.checks import check_curve
from sklhash.metrics.plots.lines import draw_line
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import figure_and_axes, import_pyplot
from sklhash.metrics.retrieval import retrieval_of

__all__ = ["PrecisionAtKDisplay"]


class PrecisionAtKDisplay:
    """Precision among the first k items, against k, averaged over queries.

    Several estimators go on the same axes by ``ax=display.ax_``.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    k : array-like of shape (n_points,), dtype=int64
        Numbers of items retrieved.

    precision : array-like of shape (n_points,)
        Precision among so many items, averaged over queries.

    name : str, default=None
        Name of the codes, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.

    ax_ : matplotlib axes
        The axes it is on.

    figure_ : matplotlib figure
        The figure it is in.

    Raises
    ------
    ValueError
        If a parameter is of another type, or `k` and `precision` are not of one length.

    See Also
    --------
    sklhash.metrics.precision_at_k_score : One point of the curve.
    HammingPrecisionRecallDisplay : Precision against recall.

    Examples
    --------
    >>> from sklhash.metrics.plots import PrecisionAtKDisplay
    >>> query, query_y = [[0, 0, 0]], ["cat"]
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> display = PrecisionAtKDisplay.from_predictions(
    ...     query, database, query_y, database_y)
    >>> display.k
    array([1, 2, 3, 4])
    >>> display.precision.round(2)
    array([1.  , 0.75, 0.67, 0.5 ])
    """

    @checked_options(k=["array-like"])
    def __init__(
        self, k: ArrayLike, precision: ArrayLike, *, name: str | None = None
    ) -> None:
        check_curve(k=k, precision=precision)
        self.k = k
        self.precision = precision
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
        k: int | None = None,
        ties: Literal["expected", "index"] = "expected",
        sample_weight: ArrayLike | None = None,
        log: bool = True,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of what an estimator retrieves.

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

        k : int, default=None
            The largest number of items retrieved; None is all of the database.

        ties : {"expected", "index"}, default="expected"
            Whether items at equal distance count by the expectation over all their
            orders, or in database order.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the average.

        log : bool, default=True
            Whether the axis of k is logarithmic, or linear.

        name : str, default=None
            Name for the legend; None is the class of the hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        display : PrecisionAtKDisplay
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
            k=k,
            ties=ties,
            sample_weight=sample_weight,
            exclude_self=retrieval.exclude_self,
            packed=True,
            log=log,
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
        k: int | None = None,
        ties: Literal["expected", "index"] = "expected",
        sample_weight: ArrayLike | None = None,
        exclude_self: bool | ArrayLike = False,
        packed: bool = False,
        log: bool = True,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of codes.

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

        k : int, default=None
            The largest number of items retrieved; None is all of the database.

        ties : {"expected", "index"}, default="expected"
            Whether items at equal distance count by the expectation over all their
            orders, or in database order.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the average.

        exclude_self : bool or array-like of shape (n_queries,), default=False
            Whether query ``i`` is database item ``i`` and is left out of its own
            ranking; or which database item each query is.

        packed : bool, default=False
            Whether the codes are packed.

        log : bool, default=True
            Whether the axis of k is logarithmic, or linear.

        name : str, default=None
            Name for the legend.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        display : PrecisionAtKDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If codes or labels are malformed, differ in width, kind or number, or `k` is
            larger than what a query can retrieve.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        precision, _, ranks = precision_recall_curve(
            query_codes,
            database_codes,
            query_y,
            database_y,
            by="rank",
            k=k,
            ties=ties,
            sample_weight=sample_weight,
            exclude_self=exclude_self,
            packed=packed,
        )
        return cls(ranks, precision, name=name).plot(ax, log=log, **kwargs)

    @checked_options()
    def plot(
        self,
        ax: Any = None,
        *,
        log: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        log : bool, default=True
            Whether the axis of k is logarithmic, or linear.

        name : str, default=None
            Name for the legend; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's ``plot``, over the display's own style.

        Returns
        -------
        display : PrecisionAtKDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self._scale_k(log)
        label = self.name if name is None else name
        self.line_ = draw_line(
            self.ax_, self.k, self.precision, label, kwargs, markevery=0.1
        )
        self.ax_.set(xlabel="Items retrieved (k)", ylabel="Precision at k")
        return self

    def _scale_k(self, log: bool) -> None:
        axis = self.ax_.xaxis
        self.ax_.set_xscale("log" if log else "linear")
        axis.set_major_formatter("{x:,.0f}")
        if not log:
            axis.get_major_locator().set_params(integer=True)
