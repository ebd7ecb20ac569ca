"""The figures of a run as a page in Markdown."""

from datetime import date

from fitting.page import table
from retrieval.table import in_words
from retrieval.trials import surroundings

from .cycles import Figures
from .memory import FLAT, MINUTES_TO_JUDGE, WARM_UP, Trend, peak_megabytes, trend_of

PAGE = """\
# Soak

Written by `benchmarks/soak.py`, {date}: {minutes:.1f} minutes, {n_cycles:,} cycles from
seed {seed}, {n_operations:,} operations. {surroundings}

{n_compared:,} answers were held against the naive model; none was wrong.

## Memory

Sampled after each cycle, when what is free was given back. The line is one of least
squares through the samples behind the first {warm_up:.0%} of the run. {verdict}

{memory}
## Operations

{operations}"""


def make_page(figures: Figures, seed: int) -> str:
    trend = trend_of(figures.samples)
    return PAGE.format(
        date=date.today(),
        minutes=60 * figures.samples[-1].hours,
        n_cycles=len(figures.samples),
        seed=seed,
        n_operations=figures.operations.total(),
        surroundings=in_words([surroundings()]),
        n_compared=figures.judge.n_compared,
        warm_up=WARM_UP,
        verdict=verdict_of(trend),
        memory=memory_table(figures, trend),
        operations=operations_table(figures),
    )


def verdict_of(trend: Trend) -> str:
    if not trend.is_judged:
        return f"Runs of less than {MINUTES_TO_JUDGE} minutes are not judged."
    rule = (
        f"Flat is a line\nthat rises by less than {FLAT:.0%} of the memory, with no "
        "more files and threads at the end\nthan at its beginning"
    )
    return f"{rule}: this is {'flat' if trend.is_flat else 'NOT FLAT'}."


def memory_table(figures: Figures, trend: Trend) -> str:
    start = figures.samples[0]
    moments = {
        "after the first cycle": start,
        f"at {WARM_UP:.0%}": trend.first,
        "at the end": trend.last,
    }
    lines = [
        [name, f"{x.megabytes:,.1f}", str(x.n_files), str(x.n_threads)]
        for name, x in moments.items()
    ]
    return (
        f"{table(['', 'resident, MB', 'open files', 'threads'], lines)}\n"
        f"The line rises by {trend.megabytes_an_hour:.2f} MB an hour, "
        f"{trend.growth:.2f} MB in all; the peak was {peak_megabytes():,.1f} MB.\n"
    )


def operations_table(figures: Figures) -> str:
    lines = [
        [subject, operation.replace("_", " "), f"{number:,}"]
        for (subject, operation), number in sorted(figures.operations.items())
    ]
    return table(["", "operation", "number"], lines)
