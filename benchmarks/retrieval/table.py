"""The results as tables in Markdown."""

from itertools import chain

from .datasets import PROTOCOLS
from .methods import COSINE
from .scores import NDCG_K
from .summary import Cell, Summary

INTRODUCTION = """\
# Accuracy

Every method with its default parameters on features as they are, deep ones also with
the head that is not their default. Written by `benchmarks/accuracy.py`, {dates}.

- **mAP**: mean average precision of the queries against the database, items at equal
  Hamming distance in expectation over their orders, divided by the relevant items
  found. Relevant: of the same class, or sharing at least one label.
- **cosine**: exact search by the cosine of the raw features, which has no bits.
- Mean ± sample standard deviation over the seeds; without ±, a single run (a method
  without randomness is run once). The best of a column is bold.
- **fit**: seconds of the fit at the largest number of bits, without loading the data
  and encoding it.
- **memory**: the most resident memory of the process during that fit, less what it
  held before (the data and the imported libraries), in MB.
- {surroundings}
"""

NDCG = f"""\
NDCG@{NDCG_K}: gain 2^r - 1 with r the number of shared labels, discount
1 / log2(1 + rank), ideal ranking of the whole database, ties in expectation.
"""


def make_tables(summaries: list[Summary]) -> str:
    """Return the page: what was measured and where, then each data set."""
    runs = list(chain.from_iterable(summary.runs for summary in summaries))
    days = sorted({run["date"][:10] for run in runs}) or ["nothing run"]
    introduction = INTRODUCTION.format(
        dates=" to ".join(dict.fromkeys([days[0], days[-1]])),
        surroundings=in_words([run["surroundings"] for run in runs]),
    )
    sections = chain.from_iterable(section(summary) for summary in summaries)
    return "\n".join([introduction, *sections])


def in_words(surroundings: list[dict[str, str]]) -> str:
    """Return processor, threads and versions, all of them where runs differ."""
    found = {
        name: " / ".join(sorted({one[name] for one in surroundings}))
        for name in (surroundings[0] if surroundings else ())
    }
    processor = f"Processor: {found.pop('processor', '?')}"
    threads = f"{found.pop('threads', '?')} torch thread(s)"
    versions = ", ".join(f"{name} {value}" for name, value in found.items())
    return f"{processor}; {threads}; {versions}."


def section(summary: Summary) -> list[str]:
    parts = [f"## {summary.dataset}\n", describe(summary), score_table(summary, "map")]
    if any("ndcg" in run for run in summary.runs):
        parts += [NDCG, score_table(summary, "ndcg")]
    return parts


def describe(summary: Summary) -> str:
    """Return the protocol in a sentence."""
    if not summary.runs:
        return ""
    sizes = summary.runs[0]["sizes"]
    k = PROTOCOLS[summary.dataset].k
    ranking = "the whole ranking" if k is None else f"the first {k:,}"
    seeds = sorted({run["seed"] for run in summary.runs} - {None})
    return (
        f"{sizes['query']:,} queries, {sizes['train']:,} training rows, database of "
        f"{sizes['database']:,}; {sizes['features']} features, "
        f"{sizes['labels']} labels; mAP over {ranking}; "
        f"seeds {', '.join(map(str, seeds)) or 'none'}.\n"
    )


def score_table(summary: Summary, score: str) -> str:
    """Return rows of methods and columns of widths, with the cost of a fit for mAP."""
    with_cost = score == "map"
    title = "mAP" if with_cost else f"NDCG@{NDCG_K}"
    head = [title, *(f"{width} bits" for width in summary.widths)]
    head += ["fit, s", "memory, MB"] if with_cost else []
    lines = [table_line(head), table_line(["---"] + ["---:"] * (len(head) - 1))]
    best = {width: best_mean(summary, score, width) for width in summary.widths}
    for method, row in summary.cells.items():
        cells = [row.get(width, Cell()) for width in summary.widths]
        texts = [
            score_text(
                cell, score, is_best=cell.runs and best[width] == mean(cell, score)
            )
            for width, cell in zip(summary.widths, cells, strict=True)
        ]
        lines.append(
            table_line([method.name, *texts, *(cost(cells) if with_cost else [])])
        )
    return "\n".join(lines) + "\n"


def table_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def best_mean(summary: Summary, score: str, width: int) -> float | None:
    """Return the best mean among the hashers, as it is written."""
    means = [
        mean(row[width], score)
        for method, row in summary.cells.items()
        if method.name != COSINE and width in row and row[width].values(score)
    ]
    return max(means, default=None)


def mean(cell: Cell, score: str) -> float | None:
    return round(cell.mean(score), 3) if cell.values(score) else None


def score_text(cell: Cell, score: str, *, is_best: bool) -> str:
    if not cell.values(score):
        return "failed" if cell.has_failed else ""
    text = f"{cell.mean(score):.3f}"
    text = f"**{text}**" if is_best else text
    deviation = cell.deviation(score)
    if deviation is not None:
        text += f" ± {deviation:.3f}".replace("± 0.", "± .")
    return text + (" (failed once or more)" if cell.has_failed else "")


def cost(cells: list[Cell]) -> list[str]:
    """Return seconds and memory of a fit at the largest width that was run."""
    fitted = [cell for cell in cells if cell.values("fit_seconds")]
    if not fitted:
        return ["", ""]
    seconds = fitted[-1].mean("fit_seconds")
    digits = 0 if seconds >= 100 else 1 if seconds >= 1 else 2
    return [f"{seconds:.{digits}f}", f"{fitted[-1].mean('fit_megabytes'):.0f}"]
