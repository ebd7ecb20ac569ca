"""The measurements as tables in Markdown."""

from datetime import date

from retrieval.table import in_words, table_line
from retrieval.trials import surroundings

from .encoding import EncodingRow, Memory
from .fits import BARE, FUSED, OURS, SKORCH, FitRow

INTRODUCTION = """\
# Training and encoding

Written by `benchmarks/training.py`, {date}: {features}, {n_bits} bits. One process,
all in turns; medians over {n_turns} turns of {clock}. {surroundings}
"""

FITS = """\
## Arrays in memory

Seconds of a whole fit of {rows} features, from arrays to a fitted head. **bare** is a
PyTorch loop with the same head, loss and `torch.optim.Adam`, over the rows as one
tensor and batches out of it in a random order; **skorch** its `NeuralNet` with the
default loader. In brackets: times of the bare loop. After an epoch our loss is that of
the bare loop, but for {difference:.0e} of it at most.
"""

ENCODING = """\
## Rows to codes

Seconds for all rows. **bare** is the matrix product, with scale and bias taken into the
weights, and the packing, in numpy or torch, the fastest of several block heights. In
brackets: times of it. At least {agreement:.5f} of the bits are the same.
"""

CUDA = """\
## On CUDA

Seconds of a whole fit of {rows} features, {n_epochs} epochs in batches of {batch_size},
from arrays on the CPU to a fitted head, on the wall, the GPU waited for. After an epoch
our loss is that of the bare loop, but for {difference:.0e} of it.
"""


def make_page(
    features: str,
    n_bits: int,
    n_turns: int,
    n_threads: int,
    sections: list[str],
) -> str:
    introduction = INTRODUCTION.format(
        date=date.today(),
        features=features,
        n_bits=n_bits,
        n_turns=n_turns,
        clock="CPU time" if n_threads == 1 else "time on the wall",
        surroundings=in_words([surroundings()]),
    )
    return "\n".join([introduction, *sections])


def fit_section(rows: list[FitRow], shape: str) -> str:
    head = ["method", "head", "epochs", "batch", BARE, FUSED, OURS, SKORCH]
    lines = [
        [
            row.method,
            row.head,
            str(row.n_epochs),
            f"{row.batch_size:,}",
            f"{row.seconds[BARE]:.2f}",
            *(ratio(row.seconds, name) for name in (FUSED, OURS, SKORCH)),
        ]
        for row in rows
    ]
    text = FITS.format(rows=shape, difference=max(row.difference for row in rows))
    return f"{text}\n{table(head, lines)}"


def encoding_section(rows: list[EncodingRow], memory: Memory) -> str:
    head = ["hasher", "rows", BARE, "bare is", "packed", "bits", "one row, µs"]
    lines = []
    for row in rows:
        fastest = min(row.bare, key=lambda name: row.bare[name])
        bare = row.bare[fastest]
        ours = [f"{x:.2f} ({x / bare:.2f})" for x in (row.packed, row.bits)]
        one = f"{1e6 * row.one_row:,.0f}"
        lines.append([row.method, row.rows, f"{bare:.2f}", fastest, *ours, one])
    text = ENCODING.format(agreement=min(row.agreement for row in rows))
    return (
        f"{text}\n{table(head, lines)}\n"
        f"A file of {memory.file:,.0f} MB was encoded by a process that could not have "
        f"taken more\nthan {memory.allowed:,.0f} MB for it, codes included; it took "
        f"{memory.taken:,.1f} MB.\n"
    )


def cuda_section(row: FitRow, shape: str) -> str:
    lines = [
        [name, f"{seconds:.2f}", f"{seconds / row.seconds[BARE]:.2f}"]
        for name, seconds in row.seconds.items()
    ]
    text = CUDA.format(
        rows=shape,
        n_epochs=row.n_epochs,
        batch_size=row.batch_size,
        difference=row.difference,
    )
    return f"{text}\n{table(['', 'seconds', 'times bare'], lines)}"


def ratio(seconds: dict[str, float], name: str) -> str:
    return f"{seconds[name]:.2f} ({seconds[name] / seconds[BARE]:.2f})"


def table(head: list[str], lines: list[list[str]]) -> str:
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join(map(table_line, ruled)) + "\n"
