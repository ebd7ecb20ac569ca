"""Recall and mAP against the bytes an item: a column a set, a line a method."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from retrieval.picture import (
    BELOW,
    CELL,
    FONT,
    LEFT,
    LEGEND_LINE,
    PLOT,
    draw_legend,
    keep_apart,
)

from .indexes import FROM_LABELS, QUANTIZED
from .on_sets import SetResults
from .quality import EXACT, K

CODES_COLOUR, QUANTIZED_COLOUR, EXACT_COLOUR = "#D55E00", "#0072B2", "#767676"
Lines = dict[str, list[float]]


def draw_quality(sets: list[SetResults], path: Path) -> None:
    """Write the picture, whole or not at all."""
    from matplotlib.figure import Figure

    columns = [panels(results) for results in sets]
    n_rows = max(map(len, columns))
    examples = legend_examples(sets)
    legend = 0.1 + LEGEND_LINE * ceil(len(examples) / (2 * len(sets)))
    width, height = CELL[0] * len(sets), CELL[1] * n_rows + legend
    figure = Figure(figsize=(width, height), facecolor="white")
    for i, (results, column) in enumerate(zip(sets, columns, strict=True)):
        for j, (score, lines) in enumerate(column.items()):
            left, bottom = CELL[0] * i + LEFT, CELL[1] * (n_rows - 1 - j) + BELOW
            place = (left / width, bottom / height, PLOT[0] / width, PLOT[1] / height)
            draw_panel(figure.add_axes(place), results, score, lines)
    draw_legend(figure, examples, 2 * len(sets))
    unfinished = path.with_name(f"{path.stem}.unfinished.png")
    figure.savefig(unfinished, dpi=130)
    unfinished.replace(path)


def panels(results: SetResults) -> dict[str, Lines]:
    """Return scores by method and width, NaN where a method has no such index."""
    scores = {f"recall@{K}": "recall", "mAP": "label_map"}
    if results.exact.label_map is None:
        del scores["mAP"]
    cells = {(row.name, row.n_bytes): row for row in results.rows}
    widths, found = widths_of(results), {}
    for score, field in scores.items():
        found[score] = {
            name: [getattr(cells.get((name, x)), field, np.nan) for x in widths]
            for name in dict.fromkeys(row.name for row in results.rows)
        }
        found[score][EXACT] = [getattr(results.exact, field)] * len(widths)
    return found


def widths_of(results: SetResults) -> list[int]:
    return list(dict.fromkeys(row.n_bytes for row in results.rows))


def draw_panel(axes: Any, results: SetResults, score: str, lines: Lines) -> None:
    axes.set_title(f"{results.name}: {score}", loc="left", weight="bold", pad=18)
    what = (
        f"share of the {K} nearest by {results.distance} distance that are found"
        if score.startswith("recall")
        else "labels, over the whole ranking"
    )
    n_rows = results.sizes["rows in the database"]
    axes.text(
        0,
        1.02,
        f"{what}; database of {n_rows:,}",
        transform=axes.transAxes,
        fontsize=FONT,
        color="#444444",
    )
    for name, values in lines.items():
        axes.plot(values, **style(name))
    widths = widths_of(results)
    axes.set_xticks(range(len(widths)), [f"{x} bytes\n({8 * x} bits)" for x in widths])
    axes.set_xlim(-0.12, len(widths) - 1 + 0.04)
    axes.set_xlabel("memory an item", fontsize=FONT + 1)
    axes.set_ylabel(score, fontsize=FONT + 1)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT, length=0)
    write_names(axes, lines)


def write_names(axes: Any, lines: Lines) -> None:
    """Write the name of each line at its end, none over another."""
    ends = {}
    for name, values in lines.items():
        last = np.flatnonzero(~np.isnan(values))[-1]
        ends[name] = (last, values[last])
    places = keep_apart([value for _, value in ends.values()], *axes.get_ylim())
    for (name, end), place in zip(ends.items(), places, strict=True):
        colour = style(name)["color"]
        axes.annotate(
            name,
            xy=end,
            xytext=(1.09, place),
            annotation_clip=False,
            textcoords=("axes fraction", "data"),
            fontsize=FONT,
            color=colour,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def style(name: str) -> dict[str, Any]:
    """Return how a method is drawn: colour for its kind, hollow if from labels."""
    if name == EXACT:
        return {"color": EXACT_COLOUR, "linestyle": "--", "linewidth": 1.3}
    colour = QUANTIZED_COLOUR if name in QUANTIZED else CODES_COLOUR
    hollow = name in FROM_LABELS
    return {
        "color": colour,
        "linewidth": 1.6,
        "linestyle": ":" if hollow else "-",
        "marker": "o",
        "markersize": 4.5,
        "markerfacecolor": "white" if hollow else colour,
    }


def legend_examples(sets: list[SetResults]) -> dict[str, dict[str, Any]]:
    """Return what the legend says, and the style that it says it of."""
    names = [*dict.fromkeys(row.name for x in sets for row in x.rows), EXACT]
    examples = {}
    for name in names:
        if name == EXACT:
            text = "exact search by float32 vectors"
        elif name in QUANTIZED:
            text = "quantised vectors (FAISS)"
        else:
            text = "codes (sklhash)"
        text += ", learned from labels" if name in FROM_LABELS else ""
        examples.setdefault(text, style(name))
    return examples
