"""The measurements as tables in Markdown."""

import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from math import floor, log10

from llvmlite.binding import get_host_cpu_name
from numba import config
from retrieval.table import table_line
from retrieval.trials import processor

from .contenders import OURS, PEERS, RADIUS_FORMS
from .first_call import FirstCall
from .measurements import (
    FEW_CODES,
    MOST_OF_FEW,
    N_FEW,
    RADIUS_BITS,
    UNIFORM_CODES,
    KnnRow,
    RadiusRow,
)

NOISE = 1.2
PACKAGES = (
    "sklhash",
    "numba",
    "numpy",
    "faiss-cpu",
    "usearch",
    "scikit-learn",
    "pynear",
)
INTRODUCTION = """\
# Exact Hamming search

Written by `benchmarks/search.py`, {date}. One process, one thread, all contenders in
turns of 20 ms or more; **times are CPU time of the process**, not wall-clock time, and
medians over {n_turns} turns, in microseconds a query. All contenders are exact, and all
have been found to return the same distances. In brackets: that time over ours.

- **sklhash**: `HammingNeighbors(packed=True)` by its public methods, validation
  included. **faiss**: `IndexBinaryFlat`, the faster of heap and counting. **usearch**:
  exact `search`. **sklearn**: `NearestNeighbors`, brute force. **pynear**:
  `VPTreeBinaryIndex`. An empty cell: too slow for that many codes and queries.
- **best peer / ours**: how many times faster we are than the fastest of the others.
- **of the limit**: the time in which the machine can compare all pairs in its first
  cache (exclusive or, bit count, minimum) or read the database once, whichever is
  longer, over our time. Both are measured in the same turns.
- {surroundings}
"""

ONE_QUERY = """\
A call of `kneighbors` with one query on {n_few} codes, k = {most_k} at most, is what
Python costs: validation, arrays for the results, calling the kernel. The kernel alone
is the whole call less that, where that is not lost in the noise.
"""

RADIUS = """\
{n_bits}-bit uniform codes, {batch:,} queries with planted neighbours at each distance
from 0 to 8. `radius_neighbors` returns an array a query, which alone costs some 0.1 µs
each; the graph and the counts are flat, as FAISS's results are. MultiHash: 3 tables of
{part} bits, exact by flipping up to r / 3 bits. In brackets: that time over
`radius_neighbors`.
"""

FIRST_CALL = """\
CPU seconds in a fresh process, 100,000 codes of 64 bits, 32 queries. With an empty
cache numba compiles all kernels of the call; a warm cache is what every later process
finds.
"""


def make_page(
    knn: list[KnnRow],
    radius: list[RadiusRow],
    first_calls: list[FirstCall],
    missing: dict[str, str],
    n_turns: int,
) -> str:
    parts = [
        INTRODUCTION.format(
            date=date.today().isoformat(),
            n_turns=n_turns,
            surroundings=surroundings(),
        ),
        *(f"{name} is not measured: {why}\n" for name, why in missing.items()),
    ]
    for kind, rows in groupby(knn, lambda row: row.kind):
        parts += [f"## k nearest, {kind} codes\n", knn_table(list(rows))]
    if single := [row for row in knn if row.batch == 1 and row.kind == knn[0].kind]:
        parts += [
            f"## One query, {knn[0].kind} codes\n",
            ONE_QUERY.format(n_few=N_FEW, most_k=MOST_OF_FEW),
            one_query_table(single),
        ]
    if radius:
        described = RADIUS.format(
            n_bits=RADIUS_BITS, batch=radius[0].batch, part=RADIUS_BITS // 3
        )
        parts += ["## Within a radius\n", described, radius_table(radius)]
    parts += ["## First call\n", FIRST_CALL, first_call_table(first_calls)]
    return "\n".join(parts)


def knn_table(rows: list[KnnRow]) -> str:
    peers = [name for name in PEERS if any(row.best_of(name) for row in rows)]
    is_awkward = UNIFORM_CODES in rows[0].seconds
    head = ["codes", "bits", "batch", "k", OURS, *peers, "best peer / ours"]
    head += ["of the limit", "ns a pair"] + ["/ uniform"] * is_awkward
    lines = []
    for row in rows:
        ours, pairs = row.seconds[OURS], row.batch * row.n_codes
        cells = [f"{x:,}" for x in (row.n_codes, row.n_bits, row.batch, row.k)]
        cells += [microseconds(ours / row.batch)]
        cells += [compared(row.best_of(name), ours, row.batch) for name in peers]
        cells += [bold(times(row.best_peer, ours)), share_of_limit(row, ours)]
        cells += [digits(1e9 * ours / pairs)]
        if is_awkward:
            cells += [times(ours, row.seconds[UNIFORM_CODES])]
        lines.append(cells)
    return table(head, lines)


def one_query_table(rows: list[KnnRow]) -> str:
    head = ["codes", "bits", "k", "kneighbors", "Python", "kernel alone", "best peer"]
    head += ["/ kneighbors", "/ kernel alone", "kernel of the limit"]
    lines = []
    for row in rows:
        ours, python, peer = row.seconds[OURS], row.seconds[FEW_CODES], row.best_peer
        kernel = ours - python if ours > NOISE * python else None
        cells = [f"{x:,}" for x in (row.n_codes, row.n_bits, row.k)]
        cells += [microseconds(x) for x in (ours, python, kernel, peer)]
        cells += [times(peer, x) for x in (ours, kernel)]
        lines.append([*cells, share_of_limit(row, kernel)])
    return table(head, lines)


def radius_table(rows: list[RadiusRow]) -> str:
    peers = list(
        dict.fromkeys(x for row in rows for x in row.seconds if x not in RADIUS_FORMS)
    )
    head = ["codes", "r", "found a query", "by", *RADIUS_FORMS, *peers]
    head += [f"best peer / {form}" for form in RADIUS_FORMS]
    lines = []
    for row in rows:
        ours = row.seconds[RADIUS_FORMS[0]]
        cells = [f"{row.n_codes:,}", str(row.radius)]
        cells += [digits(row.n_found / row.batch), row.algorithm]
        cells += [microseconds(row.seconds[x] / row.batch) for x in RADIUS_FORMS]
        cells += [compared(row.seconds.get(x), ours, row.batch) for x in peers]
        cells += [bold(times(row.best_peer, row.seconds[x])) for x in RADIUS_FORMS]
        lines.append(cells)
    return table(head, lines)


def first_call_table(rows: list[FirstCall]) -> str:
    head = ["method", "cache", "import sklhash", "fit", "first call", "second call"]
    lines = [[row.method, row.cache, *map(digits, row[2:])] for row in rows]
    return table(head, lines)


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---:"] * len(head)
    return "\n".join([table_line(x) for x in (head, rule, *lines)]) + "\n"


def compared(seconds: float | None, ours: float, batch: int) -> str:
    if seconds is None:
        return ""
    return f"{microseconds(seconds / batch)} ({times(seconds, ours)})"


def share_of_limit(row: KnnRow, seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{row.seconds[row.limit] / seconds:.0%} ({row.limit})"


def microseconds(seconds: float | None) -> str:
    return "" if seconds is None else digits(1e6 * seconds)


def times(seconds: float | None, ours: float | None) -> str:
    return "" if None in (seconds, ours) else digits(seconds / ours)


def bold(text: str) -> str:
    return f"**{text}**" if text else ""


def digits(number: float) -> str:
    """Write three digits, or all of a larger number."""
    places = 2 - floor(log10(number)) if number > 0 else 0
    return f"{number:,.{max(0, places)}f}"


def surroundings() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    versions = ", ".join([f"Python {platform.python_version()}", *found])
    target = config.CPU_NAME or get_host_cpu_name()
    return f"Processor: {processor()}, kernels compiled for {target}; {versions}."
