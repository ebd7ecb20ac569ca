"""The measurements as tables in Markdown."""

from datetime import date
from importlib.metadata import version

from retrieval.table import table_line
from retrieval.trials import processor

from .measurements import TIES, Costs, LargeRun, Row

INTRODUCTION = """\
# Scores of a Hamming ranking

Written by `benchmarks/metrics.py`, {date}: {n_queries:,} queries, {n_database:,} items,
{n_bits} bits, {n_classes} classes. One process, one thread, all in turns of 20 ms or
more; **times are CPU time of the process**, medians over {n_turns} turns, in seconds
for all queries. Peers score {n_peer_queries:,} queries, and their time is scaled. In
brackets: the time of the fastest peer over ours.

- **argsort**, **stable argsort**, **torch.topk**: a sort of the database for every
  query, as research code does it. **scikit-learn**: `average_precision_score`, which
  orders ties in another way and has no k. All others are exact; index order has been
  found equal to the stable argsort, query by query.
- "trained" codes differ from that of their class in 30 % of the bits.
- {processor}; sklhash {sklhash}, numpy {numpy}, torch {torch}, scikit-learn {sklearn}.
"""


def make_page(
    rows: list[Row], costs: list[Costs], large: list[LargeRun], settings: dict
) -> str:
    versions = {
        name: version(package)
        for name, package in (
            ("sklhash", "sklhash"),
            ("numpy", "numpy"),
            ("torch", "torch"),
            ("sklearn", "scikit-learn"),
        )
    }
    sections = [
        INTRODUCTION.format(
            date=date.today(), processor=processor(), **settings, **versions
        ),
        "## mAP@k\n",
        *map_lines(rows, settings["n_database"]),
        "\n## What costs more than one mAP\n",
        *cost_lines(costs),
    ]
    if large:
        sections += ["\n## Large\n", *large_lines(large)]
    return "\n".join(sections) + "\n"


def map_lines(rows: list[Row], n_database: int) -> list[str]:
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    head = ["codes", "k", *(f"ours, {ties}" for ties in TIES), *peers]
    lines = [table_line(head), table_line(["---"] * len(head))]
    for row in rows:
        fastest = min(row.peers.values())
        ours = [
            f"**{row.ours[ties]:.3f}** ({fastest / row.ours[ties]:.0f})"
            for ties in TIES
        ]
        k = "all" if row.k == n_database else f"{row.k:,}"
        theirs = [
            f"{row.peers[peer]:.2f}" if peer in row.peers else "" for peer in peers
        ]
        lines.append(table_line([row.codes, k, *ours, *theirs]))
    return lines


def cost_lines(costs: list[Costs]) -> list[str]:
    head = [
        "codes",
        *costs[0].seconds,
        "report over both mAPs",
        "81 labels over classes",
    ]
    lines = [table_line(head), table_line(["---"] * len(head))]
    for cost in costs:
        seconds = cost.seconds
        both = sum(seconds[f"mAP, {ties}"] for ties in TIES)
        of_both = " / ".join(f"{seconds[f'report, {t}'] / both:.2f}" for t in TIES)
        more = " / ".join(
            f"{seconds[f'81 labels, {t}'] / seconds[f'mAP, {t}']:.1f}" for t in TIES
        )
        cells = (f"{value:.3f}" for value in seconds.values())
        lines.append(table_line([cost.codes, *cells, of_both, more]))
    return lines


def large_lines(runs: list[LargeRun]) -> list[str]:
    head = ["mAP@all, expected", "CPU seconds", "ns a pair", "more memory, MB"]
    lines = [table_line(head), table_line(["---"] * len(head))]
    lines += [
        table_line(
            [
                run.what,
                f"{run.seconds:.1f}",
                f"{1e9 * run.seconds / run.n_pairs:.2f}",
                f"{run.megabytes:,.0f}",
            ]
        )
        for run in runs
    ]
    return lines
