"""BitStatisticsDisplay: how well the bits of codes are used."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods

from sklhash.codes import code_statistics
from sklhash.metrics.options import checked_options
from sklhash.metrics.plots.checks import check_axes
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.plots.style import OTHER, RELEVANT, import_pyplot
from sklhash.metrics.retrieval import codes_of

__all__ = ["BitStatisticsDisplay"]

_UNDEFINED = "0.6"  # grey
_STATISTICS = ["balance", "correlation", "dead_bits", "duplicate_bits", "unique_share"]
_N_NAMED = 8  # dead bits, or groups of duplicates, that there is room to name


class BitStatisticsDisplay:
    """Balance and correlation of bits, with dead and duplicate bits named.

    On the left the share of ones in each bit, where one half is best and a dead bit, a
    constant, is crossed. On the right the correlation of each pair of bits, where zero
    is best and a pair of bits that say the same is ringed.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    statistics : :class:`~sklearn.utils.Bunch`
        What :func:`~sklhash.code_statistics` returns.

    name : str, default=None
        Name of the codes, for the title.

    Attributes
    ----------
    axes_ : ndarray of shape (2,) of matplotlib axes
        Those of the balance and of the correlation.

    figure_ : matplotlib figure
        The figure they are in.

    bars_ : matplotlib BarContainer
        The balance, a bar a bit.

    dead_ : matplotlib Line2D
        The crosses on the dead bits.

    image_ : matplotlib AxesImage
        The correlation.

    duplicates_ : matplotlib Line2D
        The rings around pairs of duplicate bits.

    Raises
    ------
    ValueError
        If a parameter is of another type, or `statistics` lacks something that is
        drawn.

    See Also
    --------
    sklhash.code_statistics : The numbers that are drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> from sklhash.metrics.plots import BitStatisticsDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> lsh = LSH(n_bits=16, random_state=0).fit(X)
    >>> display = BitStatisticsDisplay.from_estimator(lsh, X)
    >>> len(display.bars_)
    16
    """

    @checked_options()
    def __init__(self, statistics: Bunch, *, name: str | None = None) -> None:
        missing = [name for name in _STATISTICS if not hasattr(statistics, name)]
        if missing:
            raise ValueError(
                "statistics must be what code_statistics returns, got one without "
                f"{missing}."
            )
        self.statistics = statistics
        self.name = name

    @classmethod
    @checked_options()
    def from_estimator(
        cls, estimator: Any, X: Any, *, name: str | None = None, **kwargs: Any
    ) -> Self:
        """Draw the statistics of the codes that an estimator gives to rows.

        Parameters
        ----------
        estimator : estimator
            A fitted hasher, a search among codes, or a pipeline that ends in one.

        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        name : str, default=None
            Name of the codes; None is the class of the hasher.

        **kwargs : dict
            As for :meth:`plot`.

        Returns
        -------
        display : BitStatisticsDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is neither a hasher nor a search among codes.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        packed, n_bits = codes_of(estimator, X)
        name = name_of(estimator) if name is None else name
        return cls.from_predictions(
            packed, packed=True, n_bits=n_bits, name=name, **kwargs
        )

    @classmethod
    @checked_options()
    def from_predictions(
        cls,
        codes: ArrayLike,
        *,
        packed: bool = False,
        n_bits: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the statistics of codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if \
                packed
            Codes, at least one.

        packed : bool, default=False
            Whether `codes` are packed.

        n_bits : int, default=None
            Number of bits of a packed code; None is eight a byte.

        name : str, default=None
            Name of the codes, for the title.

        **kwargs : dict
            As for :meth:`plot`.

        Returns
        -------
        display : BitStatisticsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `codes` is not a matrix of codes with at least one row.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        statistics = code_statistics(codes, packed, n_bits=n_bits)
        return cls(statistics, name=name).plot(**kwargs)

    @checked_options(
        ax=["array-like", HasMethods("get_figure"), None], im_kw=[dict, None]
    )
    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        im_kw: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : array-like of shape (2,) of matplotlib axes, default=None
            Where to draw the balance and the correlation; None makes a new figure.

        name : str, default=None
            Name of the codes, for the title; None is the display's.

        im_kw : dict, default=None
            Passed on to ``imshow`` for the correlation.

        **kwargs : dict
            Passed on to ``bar`` for the balance.

        Returns
        -------
        display : BitStatisticsDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `ax` is not two axes.
        """
        self.axes_ = _two_axes(ax)
        self.figure_ = self.axes_[0].figure
        self._plot_balance(self.axes_[0], **kwargs)
        self._plot_correlation(self.axes_[1], **(im_kw or {}))
        name = self.name if name is None else name
        unique = f"{self.statistics.unique_share:.1%} of the codes are unique"
        self.axes_[0].set_title(f"{name}: {unique}" if name else unique, loc="left")
        return self

    def _plot_balance(self, ax: Any, **kwargs: Any) -> None:
        balance, dead = self.statistics.balance, self.statistics.dead_bits
        style = {"color": RELEVANT, "width": 0.8, "label": "_balance", **kwargs}
        self.bars_ = ax.bar(np.arange(len(balance)), balance, **style)
        ax.axhline(0.5, color="black", linewidth=1, linestyle="--", label="best: 0.5")
        (self.dead_,) = ax.plot(
            dead,
            np.full(len(dead), 0.5),
            linestyle="none",
            marker="X",
            markersize=10,
            color=OTHER,
            markeredgecolor="black",
            label=f"dead bits: {_listed([str(bit) for bit in dead])}",
        )
        ax.set(
            xlabel="Bit",
            ylabel="Balance (share of ones)",
            xlim=(-0.6, len(balance) - 0.4),
            ylim=(0, 1),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)

    def _plot_correlation(self, ax: Any, **kwargs: Any) -> None:
        from matplotlib.patches import Patch

        groups = self.statistics.duplicate_bits
        pairs = np.array(
            [(i, j) for group in groups for i in group for j in group if i != j],
            dtype=np.int64,
        ).reshape(-1, 2)
        style = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, **kwargs}
        self.image_ = ax.imshow(self.statistics.correlation, **style)
        ax.set_facecolor(_UNDEFINED)  # shows through where there is a NaN
        (self.duplicates_,) = ax.plot(
            *pairs.T,
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor="black",
            markeredgewidth=1.5,
            label=f"duplicate bits: {_listed([self._named(g) for g in groups])}",
        )
        ax.set(xlabel="Bit", ylabel="Bit")
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_major_locator().set_params(integer=True)
        self.figure_.colorbar(self.image_, ax=ax, label="Correlation")
        handles: list[Any] = [self.duplicates_]
        if len(self.statistics.dead_bits) > 0:
            label = "no correlation with a dead bit"
            handles.append(Patch(color=_UNDEFINED, label=label))
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            frameon=False,
        )

    def _named(self, group: Any) -> str:
        """Write a group of duplicates such as ``1 = 4 = not 7``."""
        first, *others = group
        correlation = self.statistics.correlation[first]
        signs = ("" if correlation[bit] > 0 else "not " for bit in others)
        named = (f"{sign}{bit}" for sign, bit in zip(signs, others, strict=True))
        return " = ".join([str(first), *named])


def _two_axes(ax: Any) -> Any:
    if ax is None:
        pyplot = import_pyplot("BitStatisticsDisplay")
        return pyplot.subplots(1, 2, figsize=(10, 4.6), layout="constrained")[1]
    axes = np.ravel(ax)
    check_axes(axes, 2, "of the balance and the correlation")
    return axes


def _listed(names: list[str]) -> str:
    """Name the first of many, and say how many there are more."""
    if not names:
        return "none"
    more = len(names) - _N_NAMED
    return ", ".join(names[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")
