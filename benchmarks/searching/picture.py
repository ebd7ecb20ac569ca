"""Size against time a query on logarithmic axes: a panel a task, a line a contender."""

from pathlib import Path
from typing import Any, NamedTuple

from .contenders import OURS, PEERS, RADIUS_FORMS
from .measurements import RADIUS_BITS, KnnRow, RadiusRow

LIMIT = "limit of the machine"
# Okabe and Ito's colours, which the colour-blind tell apart, and grey.
OUR_COLOUR, FAISS_COLOUR = "#D55E00", "#0072B2"
STYLES: dict[str, dict[str, Any]] = {
    OURS: {"color": OUR_COLOUR, "marker": "o", "linewidth": 2.4},
    "faiss": {"color": FAISS_COLOUR, "marker": "s"},
    "usearch": {"color": "#009E73", "marker": "^"},
    "sklearn": {"color": "#CC79A7", "marker": "D"},
    "pynear": {"color": "#E69F00", "marker": "v"},
    LIMIT: {"color": "#767676", "linestyle": "--"},
    RADIUS_FORMS[0]: {"color": OUR_COLOUR, "marker": "o", "linewidth": 2.4},
    RADIUS_FORMS[1]: {"color": OUR_COLOUR, "marker": "P", "linestyle": "--"},
    RADIUS_FORMS[2]: {"color": OUR_COLOUR, "marker": "X", "linestyle": ":"},
    "faiss MultiHash": {"color": FAISS_COLOUR, "marker": "^", "linestyle": "--"},
    "faiss Flat": {"color": FAISS_COLOUR, "marker": "s"},
}
PANEL = (4.0, 3.5)
MOST_COLUMNS = 3
FONT = 9


class Panel(NamedTuple):
    """Points (codes, microseconds a query) by contender."""

    title: str
    subtitle: str
    lines: dict[str, list[tuple[int, float]]]


def draw(knn: list[KnnRow], radius: list[RadiusRow], path: Path) -> None:
    """Write the picture, whole or not at all."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = [*in_rows(knn_panels(knn)), *in_rows(radius_panels(radius))]
    n_columns = max(map(len, rows), default=1)
    figure = Figure(
        figsize=(PANEL[0] * n_columns, PANEL[1] * len(rows) + 0.7),
        facecolor="white",
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            place = i * n_columns + j + 1
            draw_panel(figure.add_subplot(len(rows), n_columns, place), panel)
    shown = {name for row in rows for panel in row for name in panel.lines}
    names = [name for name in STYLES if name in shown]
    figure.legend(
        [Line2D([], [], **STYLES[name]) for name in names],
        [legend_text(name) for name in names],
        loc="outside upper left",
        ncols=2 * n_columns,
        frameon=False,
        fontsize=FONT,
        handlelength=3,
    )
    unfinished = path.with_name(f"{path.stem}.unfinished.png")
    figure.savefig(unfinished, dpi=130)
    unfinished.replace(path)


def knn_panels(rows: list[KnnRow]) -> list[Panel]:
    """Return a panel a size of batch, for the first kind, width and k alone."""
    panels = []
    for batch in dict.fromkeys(row.batch for row in rows):
        chosen = [
            row
            for row in rows
            if (row.kind, row.n_bits, row.k, row.batch)
            == (rows[0].kind, rows[0].n_bits, rows[0].k, batch)
        ]
        lines = {
            name: [
                (row.n_codes, 1e6 * seconds / batch)
                for row in chosen
                if (seconds := row.best_of(name)) is not None
            ]
            for name in (OURS, *PEERS)
        }
        lines[LIMIT] = [
            (row.n_codes, 1e6 * row.seconds[row.limit] / batch) for row in chosen
        ]
        panels.append(
            Panel(
                f"{rows[0].k} nearest, {in_words(batch)}",
                f"{rows[0].n_bits} bits, {rows[0].kind} codes",
                without_empty(lines),
            )
        )
    return panels


def radius_panels(rows: list[RadiusRow]) -> list[Panel]:
    panels = []
    for radius in dict.fromkeys(row.radius for row in rows):
        chosen = [row for row in rows if row.radius == radius]
        lines = {
            name: [
                (row.n_codes, 1e6 * row.seconds[name] / row.batch)
                for row in chosen
                if name in row.seconds
            ]
            for name in STYLES
        }
        panels.append(
            Panel(
                f"within {radius} bits, {in_words(rows[0].batch)}",
                f"{RADIUS_BITS} bits, uniform codes, planted neighbours",
                without_empty(lines),
            )
        )
    return panels


def in_rows(panels: list[Panel]) -> list[list[Panel]]:
    starts = range(0, len(panels), MOST_COLUMNS)
    return [panels[i : i + MOST_COLUMNS] for i in starts]


def without_empty(lines: dict[str, list]) -> dict[str, list]:
    return {name: points for name, points in lines.items() if points}


def in_words(batch: int) -> str:
    return "one query a call" if batch == 1 else f"{batch:,} queries a call"


def legend_text(name: str) -> str:
    return f"{OURS} {name}" if name in RADIUS_FORMS else name


def in_digits(number: float, _: int) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def draw_panel(axes: Any, panel: Panel) -> None:
    for name, points in panel.lines.items():
        axes.plot(*zip(*points, strict=True), markersize=5, **STYLES[name])
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(in_digits)
    axes.set_title(panel.title, loc="left", fontsize=FONT + 2, weight="bold", pad=18)
    axes.text(
        0,
        1.03,
        panel.subtitle,
        transform=axes.transAxes,
        fontsize=FONT,
        color="#444444",
    )
    axes.set_xlabel("codes in the database", fontsize=FONT)
    axes.set_ylabel("CPU time a query, µs", fontsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT)
