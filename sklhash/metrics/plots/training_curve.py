"""TrainingCurveDisplay: what a deep hasher recorded in each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklhash.metrics.options import checked_options
from sklhash.metrics.plots.checks import check_axes
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import import_pyplot, series_style
from sklhash.metrics.retrieval import parts_of

__all__ = ["TrainingCurveDisplay"]

_NOT_THE_METHODS = ("epoch", "lr", "seconds")


class TrainingCurveDisplay:
    """Loss, validation mAP and a method's own quantities over the epochs.

    Each quantity has axes of its own, one below the other. Hashers are compared by
    drawing the quantities that they share on the same axes.

    It is recommended to use :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    history : list of dict
        One an epoch, as `history_` of a deep hasher: its number is "epoch", and the
        quantities are numbers. Some may be missing in some epochs.

    name : str, default=None
        Name of the hasher, for the legend.

    Attributes
    ----------
    quantities_ : list of str
        What was drawn.

    axes_ : ndarray of shape (n_quantities,) of matplotlib axes
        The axes, one a quantity.

    figure_ : matplotlib figure
        The figure they are in.

    lines_ : list of matplotlib Line2D
        The curves, one a quantity.

    Raises
    ------
    ValueError
        If a parameter is of another type, or the history is empty, or an epoch of it
        has no number.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import HashNet
    >>> from sklhash.metrics.plots import TrainingCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = HashNet(16, max_epochs=3, random_state=0).fit(X, y)
    >>> display = TrainingCurveDisplay.from_estimator(hasher)
    >>> display.quantities_
    ['loss', 'beta', 'quantization_gap']

    Another one on the same axes:

    >>> constant = HashNet(16, max_epochs=3, continuation="constant", random_state=0)
    >>> _ = TrainingCurveDisplay.from_estimator(
    ...     constant.fit(X, y), ax=display.axes_, name="constant beta")
    """

    @checked_options(history=["array-like"])
    def __init__(
        self, history: Sequence[dict[str, Any]], *, name: str | None = None
    ) -> None:
        _check_history(history)
        self.history = history
        self.name = name

    @classmethod
    @checked_options()
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, **kwargs: Any
    ) -> Self:
        """Draw the training of a fitted hasher.

        Parameters
        ----------
        estimator : estimator
            A fitted deep hasher, or a pipeline or search with one in it.

        name : str, default=None
            Name of the hasher; None is its class.

        **kwargs : dict
            As for :meth:`plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        TypeError
            If there is no hasher with a `history_` in it.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        trained = [part for part in parts_of(estimator) if hasattr(part, "history_")]
        if not trained:
            raise TypeError(
                "estimator must be a deep hasher, such as HashNet, with a history_ of "
                f"its training; there is none in this {type(estimator).__name__}."
            )
        name = name_of(trained[-1]) if name is None else name
        return cls.from_history(trained[-1].history_, name=name, **kwargs)

    @classmethod
    @checked_options(history=[list, tuple])
    def from_history(
        cls,
        history: Sequence[dict[str, Any]],
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a training.

        Parameters
        ----------
        history : list of dict
            One an epoch.

        name : str, default=None
            Name of the hasher, for the legend.

        **kwargs : dict
            As for :meth:`plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the history is empty, or an epoch of it has no number.
        """
        import_pyplot(f"{cls.__name__}.from_history")
        return cls(history, name=name).plot(**kwargs)

    @checked_options(
        ax=["array-like", HasMethods("get_figure"), None],
        quantities=[list, tuple, None],
    )
    def plot(
        self,
        ax: Any = None,
        *,
        quantities: Sequence[str] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib axes or array-like of shape (n_quantities,), default=None
            Where to draw, as many axes as there are quantities; None makes a new
            figure.

        quantities : list of str, default=None
            What to draw, by its names in the history. None is the loss, the validation
            mAP if there is one, and the method's own quantities: all numbers but
            "epoch", "lr" and "seconds".

        name : str, default=None
            Name of the hasher, for the legend; None is the display's.

        **kwargs : dict
            Passed on to matplotlib's `plot` of each curve.

        Returns
        -------
        display : TrainingCurveDisplay
            The display itself.

        Raises
        ------
        ValueError
            If a quantity is not in the history, or `ax` is another number of axes.
        """
        quantities = self._check_quantities(quantities)
        self.axes_ = _axes_for(quantities, ax)
        self.quantities_ = quantities
        self.figure_ = self.axes_[0].figure
        name = self.name if name is None else name
        self.lines_ = [
            self._plot_quantity(quantity, each, {"label": name, **kwargs})
            for quantity, each in zip(self.quantities_, self.axes_, strict=True)
        ]
        self.axes_[-1].set_xlabel("Epoch")
        self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        if self.axes_[0].get_legend_handles_labels()[0]:
            self.axes_[0].legend()
        return self

    def _check_quantities(self, quantities: Sequence[str] | None) -> list[str]:
        recorded = list(
            dict.fromkeys(
                name
                for row in self.history
                for name, value in row.items()
                if _is_number(value)
            )
        )
        if quantities is None:
            own = [name for name in recorded if name not in _NOT_THE_METHODS]
            return sorted(own, key=lambda name: (name != "loss", not _is_map(name)))
        unknown = [name for name in quantities if name not in recorded]
        if unknown or len(quantities) == 0:
            raise ValueError(
                f"quantities must be among those of the history, {recorded}, got "
                f"{unknown or 'none'}."
            )
        return list(quantities)

    def _plot_quantity(self, quantity: str, ax: Any, kwargs: dict[str, Any]) -> Any:
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        rows = [row for row in self.history if _is_number(row.get(quantity))]
        epochs = [row["epoch"] for row in rows]
        style = {
            **series_style(ax),
            "markersize": 4,
            "markevery": max(1, len(rows) // 10),
            **normalize_kwargs(kwargs, Line2D),
        }
        (line,) = ax.plot(epochs, [row[quantity] for row in rows], **style)
        ax.set_ylabel(_label(quantity))
        return line


def _check_history(history: Sequence[dict[str, Any]]) -> None:
    if len(history) == 0:
        raise ValueError("history must have at least one epoch, got none.")
    for place, row in enumerate(history):
        names = sorted(row) if isinstance(row, Mapping) else row
        if not isinstance(row, Mapping) or not _is_number(row.get("epoch")):
            raise ValueError(
                'Each row of history must be a dict with its number as "epoch", got '
                f"{names!r} in row {place}."
            )


def _axes_for(quantities: list[str], ax: Any) -> NDArray[Any]:
    n_axes = len(quantities)
    if ax is None:
        pyplot = import_pyplot("TrainingCurveDisplay.plot")
        _, axes = pyplot.subplots(
            n_axes,
            sharex=True,
            squeeze=False,
            figsize=(6.4, 1.2 + 1.8 * n_axes),
            layout="constrained",
        )
        return axes[:, 0]
    axes = np.ravel(ax)
    chosen = f"one for each of {quantities}, which quantities=... chooses"
    check_axes(axes, n_axes, chosen)
    return axes


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_map(quantity: str) -> bool:
    return quantity.endswith("map")


def _label(quantity: str) -> str:
    """Write a name in the history, such as ``validation_map``, as words."""
    units = {"lr": "Learning rate", "seconds": "Time (seconds)"}
    words = quantity.replace("_", " ").capitalize()
    words = f"{words[:-3]}mAP" if _is_map(quantity) else words
    return units.get(quantity, words)
