"""HammingPrecisionRecallDisplay: precision against recall of a Hamming ranking."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, Self

from numpy.typing import ArrayLike
from sklearn.utils._param_validation import StrOptions

from sklhash._validation import Interval
from sklhash.metrics.curves import precision_recall_curve
from sklhash.metrics.options import LABELS, checked_options
from sklhash.metrics.plots.checks import check_curve
from sklhash.metrics.plots.lines import draw_line
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import figure_and_axes, import_pyplot
from sklhash.metrics.ranking import mean_average_precision_score
from sklhash.metrics.relevance import shared_counts
from sklhash.metrics.retrieval import retrieval_of

__all__ = ["HammingPrecisionRecallDisplay"]

_RECALL = {
    "radius": "Recall within Hamming radius 0, 1, 2, … (bits)",
    "rank": "Recall among the first 1, 2, 3, … items",
}
_BY = [StrOptions({"radius", "rank"})]
_EMPTY = [StrOptions({"zero", "skip"})]
_SCORE = [Interval(Real, 0, 1, closed="both"), "nan", None]
_MARKS: dict[str, dict[str, Any]] = {
    "radius": {"markersize": 4},
    "rank": {"markevery": 0.1},  # there are as many ranks as database items
}


class HammingPrecisionRecallDisplay:
    """Precision against recall of a Hamming ranking, averaged over queries.

    One point is drawn for each Hamming radius, which does not depend on the order of
    tied items, or for each rank. Several estimators go on the same axes by
    ``ax=display.ax_``.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    precision : array-like of shape (n_points,)
        Precision at each point, averaged over queries.

    recall : array-like of shape (n_points,)
        Recall at each point, averaged over queries.

    points : array-like of shape (n_points,), dtype=int64
        The radii in bits, or the ranks.

    by : {"radius", "rank"}, default="radius"
        What the points are.

    k : int, default=None
        How many items of the ranking count; None is all.

    mean_average_precision : float, default=None
        The mAP of the same ranking (mAP@k if `k` is a number), from 0 to 1, for the
        legend; None leaves it out.

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
        If a parameter is of another type, or the three arrays are not of one length.

    See Also
    --------
    sklhash.metrics.precision_recall_curve : The numbers that are drawn.
    PrecisionAtKDisplay : Precision against the number of items retrieved.

    Examples
    --------
    >>> from sklhash.metrics.plots import HammingPrecisionRecallDisplay
    >>> query, query_y = [[0, 0, 0]], ["cat"]
    >>> database = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    >>> database_y = ["cat", "dog", "cat", "dog"]
    >>> display = HammingPrecisionRecallDisplay.from_predictions(
    ...     query, database, query_y, database_y, name="three bits")
    >>> display.recall
    array([0.5, 1. , 1. , 1. ])
    >>> display.line_.get_label()
    'three bits (mAP = 0.92)'
    """

    @checked_options(by=_BY, mean_average_precision=_SCORE)
    def __init__(
        self,
        precision: ArrayLike,
        recall: ArrayLike,
        points: ArrayLike,
        *,
        by: Literal["radius", "rank"] = "radius",
        k: int | None = None,
        mean_average_precision: float | None = None,
        name: str | None = None,
    ) -> None:
        check_curve(precision=precision, recall=recall, points=points)
        self.precision = precision
        self.recall = recall
        self.points = points
        self.by = by
        self.k = k
        self.mean_average_precision = mean_average_precision
        self.name = name

    @classmethod
    @checked_options(y=LABELS, by=_BY, empty=_EMPTY)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        database: tuple[Any, Any] | None = None,
        by: Literal["radius", "rank"] = "radius",
        k: int | None = None,
        ties: Literal["expected", "index"] = "expected",
        empty: Literal["zero", "skip"] = "zero",
        sample_weight: ArrayLike | None = None,
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

        by : {"radius", "rank"}, default="radius"
            Whether a point is all items within a radius, or the first items up to a
            rank.

        k : int, default=None
            The last rank, only for ``by="rank"``; None is all. The legend tells mAP@k.

        ties : {"expected", "index"}, default="expected"
            What is done about items at equal distance, as for :meth:`from_predictions`.

        empty : {"zero", "skip"}, default="zero"
            What is done where a mean is over nothing, as for :meth:`from_predictions`.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the average.

        name : str, default=None
            Name for the legend; None is the class of the hasher.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        display : HammingPrecisionRecallDisplay
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
            by=by,
            k=k,
            ties=ties,
            empty=empty,
            sample_weight=sample_weight,
            exclude_self=retrieval.exclude_self,
            packed=True,
            n_bits=retrieval.n_bits,
            name=name_of(estimator) if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    @checked_options(by=_BY, empty=_EMPTY)
    def from_predictions(
        cls,
        query_codes: ArrayLike,
        database_codes: ArrayLike,
        query_y: Any,
        database_y: Any,
        *,
        by: Literal["radius", "rank"] = "radius",
        k: int | None = None,
        ties: Literal["expected", "index"] = "expected",
        empty: Literal["zero", "skip"] = "zero",
        sample_weight: ArrayLike | None = None,
        exclude_self: bool | ArrayLike = False,
        packed: bool = False,
        n_bits: int | None = None,
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

        by : {"radius", "rank"}, default="radius"
            Whether a point is all items within a radius, or the first items up to a
            rank.

        k : int, default=None
            The last rank, only for ``by="rank"``; None is all. The legend tells mAP@k.

        ties : {"expected", "index"}, default="expected"
            Whether items at equal distance count by the expectation over all their
            orders, or in database order: in mAP, and in a curve by rank.

        empty : {"zero", "skip"}, default="zero"
            Whether a query counts 0 or is left out, in the mean precision within a
            radius where nothing is, and in the mean recall and mAP if nothing in the
            database is relevant.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries in the average.

        exclude_self : bool or array-like of shape (n_queries,), default=False
            Whether query ``i`` is database item ``i`` and is left out of its own
            ranking; or which database item each query is.

        packed : bool, default=False
            Whether the codes are packed.

        n_bits : int, default=None
            Number of bits of packed codes; None is eight a byte.

        name : str, default=None
            Name for the legend.

        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        **kwargs : dict
            Passed on to matplotlib's ``plot``.

        Returns
        -------
        display : HammingPrecisionRecallDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If codes or labels are malformed, differ in width, kind or number, or `k` is
            larger than what a query can retrieve or given with ``by="radius"``.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        retrieval = (query_codes, database_codes, query_y, database_y)
        protocol: dict[str, Any] = {
            "k": k,
            "ties": ties,
            "empty": empty,
            "sample_weight": sample_weight,
            "exclude_self": exclude_self,
            "packed": packed,
        }
        with shared_counts():
            precision, recall, points = precision_recall_curve(
                *retrieval, by=by, n_bits=n_bits, **protocol
            )
            score = mean_average_precision_score(*retrieval, **protocol)
        display = cls(
            precision,
            recall,
            points,
            by=by,
            k=k,
            mean_average_precision=score,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @checked_options()
    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a new figure.

        name : str, default=None
            Name for the legend; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's ``plot``, over the display's own style.

        Returns
        -------
        display : HammingPrecisionRecallDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        label = self._label(self.name if name is None else name)
        self.line_ = draw_line(
            self.ax_, self.recall, self.precision, label, kwargs, **_MARKS[self.by]
        )
        self.ax_.set(xlabel=_RECALL[self.by], ylabel="Precision", xlim=(-0.02, 1.02))
        return self

    def _label(self, name: str | None) -> str | None:
        if self.mean_average_precision is None:
            return name
        at_k = "" if self.k is None else f"@{self.k}"
        score = f"mAP{at_k} = {self.mean_average_precision:.2f}"
        return score if name is None else f"{name} ({score})"
