"""What the displays of curves share: a line a series, on axes of shares."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from sklhash.metrics.plots.style import series_style

__all__ = ["draw_line"]


def draw_line(
    ax: Any,
    x: ArrayLike,
    y: ArrayLike,
    label: str | None,
    kwargs: dict[str, Any],
    **defaults: Any,
) -> Any:
    """Draw the next series on axes whose y is a share, and tell of it in the legend.

    Parameters
    ----------
    ax : matplotlib axes
        Where to draw.

    x, y : array-like of shape (n_points,)
        The points.

    label : str or None
        What the legend calls the series; None leaves it out.

    kwargs : dict
        Properties of the line that the caller asks for, under any of their names.

    **defaults : dict
        Properties it has otherwise, beside those of `series_style`.

    Returns
    -------
    line : matplotlib Line2D
    """
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    style = {
        **series_style(ax),
        **defaults,
        "label": label,
        **normalize_kwargs(kwargs, Line2D),
    }
    (line,) = ax.plot(x, y, **style)
    ax.set_ylim(-0.02, 1.02)
    ax.grid(color="0.9")
    ax.set_axisbelow(True)
    if not line.get_label().startswith("_"):
        ax.legend()
    return line
