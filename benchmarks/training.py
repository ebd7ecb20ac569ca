"""Time fits and encoding beside the bare arithmetic: one process, in turns.

    python benchmarks/training.py [--rows 50000] [--features 512] [--bits 64]
        [--batch 64 256 1024] [--epochs 10] [--encode 1000000] [--memory 16]
        [--cuda-features 1280] [--cuda-epochs 100] [--turns 5] [--threads 1]
        [--parts fits encoding cuda] [--data DIR] [--output benchmarks/results]

Fits are set against a PyTorch loop written by hand, with the same head, loss and
optimiser, and against skorch as it comes; transform against the matrix product and the
packing, for rows in memory and for a memory-mapped file in float16, which is also
encoded by a process that may take --memory megabytes, and no more. A contender that
learns or encodes something else ends the run. Where there is a GPU, a long fit on it
is timed too.

Features are random; with --data, the folder of the project's real data sets, those of
CIFAR-10, except on the GPU. The time is that of the processor with one thread, and that
on the wall with more.

The tables are printed and written to training.md in the output folder.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from fitting.encoding import (
    EncodingRow,
    fitted_encoders,
    measure_encoding,
    measure_memory,
)
from fitting.fits import heads_to_fit, measure_fits, measure_fits_on_cuda
from fitting.page import cuda_section, encoding_section, fit_section, make_page
from fitting.rows import random_rows, real_rows, shape_of, tiled, write_float16
from fitting.timing import clock_for
from threadpoolctl import threadpool_limits

PARTS = ("fits", "encoding", "cuda")


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        page = measure(arguments)
    print(page)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "training.md").write_text(page, encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", type=positive, default=50_000, help="to learn from")
    add("--features", type=positive, default=512)
    add("--bits", type=positive, default=64)
    add("--batch", type=positive, nargs="+", default=[64, 256, 1024])
    add("--epochs", type=positive, default=10, help="a fifth with a layer")
    add("--encode", type=positive, default=1_000_000, help="rows, a fifth with a layer")
    add("--memory", type=positive, default=16, help="megabytes, to encode a file")
    add("--cuda-features", type=positive, default=1280)
    add("--cuda-epochs", type=positive, default=100)
    add("--turns", type=positive, default=5)
    add("--threads", type=positive, default=1)
    add("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    add("--data", type=Path, metavar="DIR", help="real data sets")
    add("--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def measure(arguments: argparse.Namespace) -> str:
    if arguments.data is None:
        rows = random_rows(arguments.rows, arguments.features)
        features = "random features"
    else:
        rows = real_rows(arguments.data, arguments.rows)
        features = "features of CIFAR-10"
    sections = []
    if "fits" in arguments.parts:
        sections.append(fits(arguments, rows))
    if "encoding" in arguments.parts:
        sections.append(encoding(arguments, rows))
    if "cuda" in arguments.parts and torch.cuda.is_available():
        sections.append(on_cuda(arguments))
    return make_page(
        features, arguments.bits, arguments.turns, arguments.threads, sections
    )


def fits(arguments: argparse.Namespace, rows: tuple[np.ndarray, np.ndarray]) -> str:
    measured = []
    for row in measure_fits(
        heads_to_fit(arguments.bits, arguments.epochs),
        arguments.batch,
        rows,
        arguments.turns,
        clock_for(arguments.threads),
    ):
        times = ", ".join(f"{name} {x:.2f}" for name, x in row.seconds.items())
        say(f"{row.method}, {row.head}, batch {row.batch_size}: {times}")
        measured.append(row)
    return fit_section(measured, shape_of(rows[0]))


def encoding(arguments: argparse.Namespace, rows: tuple[np.ndarray, np.ndarray]) -> str:
    hashers = fitted_encoders(rows, arguments.bits)
    X = tiled(rows[0], arguments.encode)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "X.npy"
        write_float16(X, file)
        (name, hasher), *others, (deepest, deep) = hashers.items()
        mapped = np.load(file, mmap_mode="r")
        measured = [encode(arguments, name, hasher, rows) for rows in (X, mapped)]
        measured += [encode(arguments, *other, X) for other in others]
        measured.append(encode(arguments, deepest, deep, X[: -(-len(X) // 5)]))
        memory = measure_memory(hasher, file, arguments.memory, Path(folder))
    return encoding_section(measured, memory)


def encode(
    arguments: argparse.Namespace, name: str, hasher: object, X: np.ndarray
) -> EncodingRow:
    say(f"encoding: {name}, {X.dtype}")
    clock = clock_for(arguments.threads)
    return measure_encoding(name, hasher, X, arguments.turns, clock)


def on_cuda(arguments: argparse.Namespace) -> str:
    say(f"on CUDA, {arguments.cuda_epochs} epochs")
    rows = random_rows(arguments.rows, arguments.cuda_features)
    row = measure_fits_on_cuda(
        arguments.bits, arguments.cuda_epochs, rows, arguments.turns
    )
    return cuda_section(row, shape_of(rows[0]))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
