"""The results as a picture: a panel a data set, mAP against the number of bits.

Sizes are in inches, since labels are kept apart by the height of their letters.
"""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.isotonic import isotonic_regression

from .datasets import PROTOCOLS
from .methods import COSINE, KINDS, Method
from .summary import Summary

# Okabe and Ito's colours, which the colour-blind tell apart, and grey.
COLOURS = dict(
    zip(KINDS, ["#000000", "#767676", "#009E73", "#D55E00", "#0072B2"], strict=True)
)
FONT = 8
LINE_HEIGHT = 1.25 * FONT / 72
PLOT, LABELS = (3.4, 4.0), 1.85
LEFT, ABOVE, BELOW = 0.65, 0.62, 0.6
CELL = (LEFT + PLOT[0] + LABELS, ABOVE + PLOT[1] + BELOW)
LEGEND_LINE = 0.24


def draw(summaries: list[Summary], path: Path) -> None:
    """Write the picture, whole or not at all."""
    from matplotlib.figure import Figure

    summaries = [summary for summary in summaries if summary.runs]
    n_columns = min(3, max(1, len(summaries)))
    n_rows = ceil(len(summaries) / n_columns)
    examples = legend_examples(summaries)
    n_legend_columns = 2 * n_columns
    legend = 0.1 + LEGEND_LINE * ceil(len(examples) / n_legend_columns)
    width, height = CELL[0] * n_columns, CELL[1] * n_rows + legend
    figure = Figure(figsize=(width, height), facecolor="white")
    for i, summary in enumerate(summaries):
        left = CELL[0] * (i % n_columns) + LEFT
        bottom = CELL[1] * (n_rows - 1 - i // n_columns) + BELOW
        draw_panel(
            figure.add_axes(
                (left / width, bottom / height, PLOT[0] / width, PLOT[1] / height)
            ),
            summary,
        )
    draw_legend(figure, examples, n_legend_columns)
    unfinished = path.with_name(f"{path.stem}.unfinished.png")
    figure.savefig(unfinished, dpi=130)
    unfinished.replace(path)


def draw_panel(axes: Any, summary: Summary) -> None:
    sizes, k = summary.runs[0]["sizes"], PROTOCOLS[summary.dataset].k
    axes.set_title(summary.dataset, loc="left", fontsize=12, weight="bold", pad=18)
    axes.text(
        0,
        1.02,
        f"{sizes['query']:,} queries, {sizes['train']:,} rows to train on, "
        f"database of {sizes['database']:,}",
        transform=axes.transAxes,
        fontsize=FONT,
        color="#444444",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT, length=0)
    score = "mAP" if k is None else f"mAP@{k:,}"
    if len(summary.widths) > 1:
        draw_lines(axes, summary)
        axes.set_ylabel(f"{score}, mean over seeds", fontsize=FONT + 1)
        axes.set_xlabel("bits", fontsize=FONT + 1)
    else:
        draw_dots(axes, summary)
        axes.set_xlabel(f"{score} at {summary.widths[0]} bits", fontsize=FONT + 1)


def draw_lines(axes: Any, summary: Summary) -> None:
    """Draw one line a method against the width, its name at the end."""
    ends = {}
    for method, scores in mean_scores(summary).items():
        if method.name == COSINE:
            axes.axhline(scores[0], **style(method))
        else:
            axes.plot(scores, **style(method))
        last = np.flatnonzero(~np.isnan(scores))[-1]
        ends[method] = (last, scores[last])
    n_widths = len(summary.widths)
    axes.set_xticks(range(n_widths), summary.widths)
    axes.set_xlim(-0.12, n_widths - 1 + 0.04)
    axes.margins(y=0.04)
    low, high = axes.get_ylim()
    places = keep_apart([score for _, score in ends.values()], low, high)
    for (method, end), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            method.name,
            xy=end,
            xytext=(1.09, place),
            annotation_clip=False,
            textcoords=("axes fraction", "data"),
            fontsize=FONT,
            color=COLOURS[method.kind],
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS[method.kind],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def keep_apart(places: list[float], low: float, high: float) -> np.ndarray:
    """Move labels as little as it takes for none to lie on another.

    In order and a line's height apart means that what is left of each place, after
    taking off the heights of the labels below, does not fall.
    """
    gap = (high - low) * LINE_HEIGHT / PLOT[1]
    order = np.argsort(places, kind="stable")
    heights = gap * np.arange(len(places))
    moved = np.empty(len(places))
    moved[order] = heights + isotonic_regression(
        np.asarray(places)[order] - heights,
        y_min=low,
        y_max=max(low, high - heights[-1]),
    )
    return moved


def draw_dots(axes: Any, summary: Summary) -> None:
    """Draw one dot a method in the order of their scores, its name beside it."""
    scores = {method: value[0] for method, value in mean_scores(summary).items()}
    ranked = sorted(scores, key=scores.get)
    for place, method in enumerate(ranked):
        if method.name == COSINE:
            axes.axvline(scores[method], **style(method))
        else:
            axes.plot(scores[method], place, **style(method))
        axes.text(
            1.03,
            place,
            method.name,
            transform=axes.get_yaxis_transform(),
            fontsize=FONT,
            color=COLOURS[method.kind],
            va="center",
        )
    axes.set_yticks(range(len(ranked)), [])
    axes.set_ylim(-0.7, len(ranked) - 0.3)
    axes.margins(x=0.05)


def mean_scores(summary: Summary) -> dict[Method, np.ndarray]:
    """Return the mean mAP of each method at each width, NaN where there is none."""
    scores = {
        method: np.array([row[w].mean("map") if w in row else np.nan for w in widths])
        for widths in [summary.widths]
        for method, row in summary.cells.items()
    }
    return {
        method: values for method, values in scores.items() if np.isfinite(values).any()
    }


def style(method: Method) -> dict[str, Any]:
    """Return how a method is drawn: colour for its kind, hollow with the other head."""
    colour = COLOURS[method.kind]
    if method.name == COSINE:
        return {"color": colour, "linestyle": "--", "linewidth": 1.3}
    return {
        "color": colour,
        "linewidth": 1.0 if method.changed else 1.6,
        "linestyle": ":" if method.changed else "-",
        "marker": "o",
        "markersize": 4.5,
        "markerfacecolor": "white" if method.changed else colour,
    }


def legend_examples(summaries: list[Summary]) -> dict[str, dict[str, Any]]:
    """Return what the legend says, and the style that it says it of."""
    methods = {method.name: method for x in summaries for method in x.cells}.values()
    examples, other_head = {}, {}
    for method in sorted(methods, key=lambda method: KINDS.index(method.kind)):
        if method.changed:
            hollow = {**style(method), "color": "#444444"}
            other_head["not its default head"] = hollow
        elif method.name == COSINE:
            examples["cosine of the raw features"] = style(method)
        else:
            examples.setdefault(method.kind, style(method))
    return {**examples, **other_head}


def draw_legend(
    figure: Any, examples: dict[str, dict[str, Any]], n_columns: int
) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    figure.legend(
        [Line2D([], [], **look) for look in examples.values()],
        examples.keys(),
        loc="upper left",
        bbox_to_anchor=(LEFT / width, 1 - 0.1 / height),
        borderaxespad=0,
        borderpad=0,
        ncols=n_columns,
        frameon=False,
        fontsize=FONT + 1.5,
        handlelength=2.6,
    )
