"""ImageGrid: rows of images on one axes, the first of each row set apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.metrics.plots.style import OTHER, RELEVANT

__all__ = ["LINE", "ImageGrid", "frame_style", "sign_of"]

FONT = "DejaVu Sans"  # comes with matplotlib, and has the signs
LINE: dict[str, Any] = {"color": "black", "linewidth": 1.2, "clip_on": False}

_SIDE = 0.86  # width of an image, where a column is 1
_GAP = 0.25  # behind the first column
_BELOW = 0.5  # height of what stands below an image
_INCHES = 0.8  # width of a column in a figure of its own
_AROUND = 1.3  # inches for titles and the legend above and below
_WIDEST = 6.8  # inches for the legend


def sign_of(relevant: Any) -> str:
    """Return the sign that tells without colour whether a hit is relevant."""
    return "\N{CHECK MARK}" if relevant else "\N{BALLOT X}"


def frame_style(relevant: Any) -> dict[str, Any]:
    """Return the properties of the frame of a hit."""
    color = RELEVANT if relevant else OTHER
    return {"fill": False, "edgecolor": color, "linewidth": 2.5}


class ImageGrid:
    """Places for images, and marks on them, on one matplotlib axes.

    Parameters
    ----------
    ax : matplotlib axes
        Where to draw.

    n_rows, n_columns : int
        Number of rows, and of images in each.

    image_shape : tuple of int
        Height and width of an image, and what else.
    """

    def __init__(
        self, ax: Any, n_rows: int, n_columns: int, image_shape: tuple[int, ...]
    ) -> None:
        self.ax = ax
        self._centres = np.array([0, *(_GAP + np.arange(1, n_columns))])
        self._height = _SIDE * image_shape[0] / image_shape[1]
        self._pitch = self._height + _BELOW
        self._bottom = n_rows * self._pitch

    @property
    def size(self) -> NDArray[np.float64]:
        """Width and height of a figure for the grid alone, in inches."""
        width, height = _INCHES * (self._centres[-1] + 1), _INCHES * self._bottom
        return np.array([max(width, _WIDEST), height + _AROUND])

    def draw(self, row: int, column: int, image: NDArray[Any], **kwargs: Any) -> Any:
        """Draw an image."""
        left, top = self._corner(row, column)
        extent = (left, left + _SIDE, top + self._height, top)
        return self.ax.imshow(image, extent=extent, **kwargs)

    def mark(self, row: int, column: int, relevant: Any) -> tuple[Any, Any]:
        """Draw a frame around an image and a sign on its corner, and return both."""
        from matplotlib.patches import Rectangle

        left, top = self._corner(row, column)
        style = frame_style(relevant)
        frame = Rectangle((left, top), _SIDE, self._height, **style)
        sign = self.ax.text(
            left + _SIDE - 0.04,
            top + 0.04,
            sign_of(relevant),
            ha="center",
            va="center",
            size=8,
            family=FONT,
            color="white" if relevant else "black",
            bbox={
                "boxstyle": "circle,pad=0.15",
                "facecolor": style["edgecolor"],
                "edgecolor": "white",
            },
        )
        return self.ax.add_patch(frame), sign

    def write(self, row: int, column: int, text: str) -> Any:
        """Write below an image."""
        x, y = self._centres[column], row * self._pitch + self._height + 0.04
        return self.ax.text(x, y, text, ha="center", va="top", size=9)

    def underline(self, row: int, first: int, last: int, goes_on: Any) -> Any:
        """Draw a line below what is written; an arrow ends it if it goes on."""
        left = self._corner(row, first)[0]
        right = self._corner(row, last)[0] + _SIDE
        y = row * self._pitch + self._height + 0.28
        ends = [0] if goes_on else [0, 1]
        x = [left, right]
        (line,) = self.ax.plot(x, [y, y], marker="|", markevery=ends, **LINE)
        if goes_on:
            self.ax.plot(right, y, marker=">", markersize=5, **LINE)
        return line

    def finish(self, columns: list[str], below: str, handles: list[Any]) -> Any:
        """Write what stands around the grid, and return the legend."""
        self.ax.set(
            aspect="equal",
            xlim=(-0.5, self._centres[-1] + 0.55),
            ylim=(self._bottom, -0.12),
            xticks=self._centres,
            xticklabels=columns,
            yticks=[],
            xlabel=below,
        )
        self.ax.tick_params(length=0, labelbottom=False, labeltop=True)
        self.ax.spines[:].set_visible(False)
        return self.ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.3 / (self._bottom + 0.12)),
            ncols=3,
            frameon=False,
            prop={"family": FONT, "size": 9},
        )

    def _corner(self, row: int, column: int) -> tuple[float, float]:
        """Return the left and the top of an image."""
        return self._centres[column] - _SIDE / 2, row * self._pitch
