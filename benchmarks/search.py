"""Time exact Hamming search beside other libraries: one process, one thread, in turns.

    python benchmarks/search.py [--sizes 10000 100000 1000000] [--bits 64 128 256]
        [--k 10 100 1000] [--batch 1 32 1024] [--radius 2 8]
        [--peers faiss usearch sklearn pynear]
        [--codes uniform clustered sorted adversarial] [--turns 5]
        [--data DIR] [--output benchmarks/results]

Every contender must return the same distances: one that does not ends the run. A peer
that is not installed, or too slow for so many codes and queries, is left out. Codes
other than uniform are set against uniform ones: "clustered" have few distinct values,
"sorted" are such codes in the order of their classes, "adversarial" lie farthest first.
Radius search is measured on 64-bit codes with planted neighbours, in the largest batch.

NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= in front of the command, the latter empty,
shows what sklhash does without AVX-512.

With --data, the folder of the project's real data sets, codes are also set beside what
FAISS makes of as many bytes, by recall@10 of the exact neighbours, mAP of the labels
and time, in all widths of --bits; and the ways of re-ranking that HashedNeighbors has
beside each other, in the first of them. That takes some minutes, and is also shown by
search_quality.png.

The tables are printed and written to search.md in the output folder, and search.png
shows them. The table of first calls is about processes of their own, with an empty
cache of compiled kernels and with a warm one.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

from searching.codes import MAKERS
from searching.contenders import OURS, PEERS, missing_peers
from searching.first_call import measure_first_calls
from searching.measurements import KnnRow, RadiusRow, measure_knn, measure_radius
from searching.on_sets import SetResults, measure_set
from searching.picture import draw
from searching.quality_page import make_quality_page
from searching.quality_picture import draw_quality
from searching.sets import DISTANCES, load_set, missing_sets
from searching.table import make_page


def main() -> int:
    arguments = parse_arguments()
    missing = missing_peers(arguments.peers)
    for name, why in missing.items():
        say(f"{name} is not measured: {why}")
    peers = [name for name in arguments.peers if name not in missing]
    knn = run_knn(arguments, peers)
    radius = run_radius(arguments, peers)
    quality = run_quality(arguments, peers)
    say("first calls, in processes of their own")
    page = make_page(knn, radius, list(measure_first_calls()), missing, arguments.turns)
    if quality:
        page = f"{page}\n{make_quality_page(quality)}"
    print(page)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "search.md").write_text(page, encoding="utf-8")
    try:
        draw(knn, radius, arguments.output / "search.png")
        if quality:
            draw_quality(quality, arguments.output / "search_quality.png")
    except ModuleNotFoundError as error:
        say(f"no picture: {error} (pip install sklhash[plot])")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [10_000, 100_000, 1_000_000]
    add = parser.add_argument
    add("--sizes", type=positive, nargs="+", default=sizes, help="of the database")
    add("--bits", type=whole_bytes, nargs="+", default=[64, 128, 256])
    add("--k", type=positive, nargs="+", default=[10, 100, 1000])
    add("--batch", type=positive, nargs="+", default=[1, 32, 1024], help="queries")
    add("--radius", type=int, nargs="*", default=[2, 8])
    add("--peers", choices=PEERS, nargs="*", default=list(PEERS))
    add("--codes", choices=MAKERS, nargs="+", default=["uniform"])
    add("--turns", type=positive, default=5)
    add("--data", type=data_folder, metavar="DIR", help="real data sets")
    add("--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def whole_bytes(text: str) -> int:
    if (n_bits := positive(text)) % 8:
        raise argparse.ArgumentTypeError(f"must be a multiple of 8, got {n_bits}")
    return n_bits


def data_folder(text: str) -> Path:
    folder = Path(text)
    if len(missing_sets(folder)) == len(DISTANCES):
        raise argparse.ArgumentTypeError(f"has none of the data sets, got {folder}")
    return folder


def run_knn(arguments: argparse.Namespace, peers: list[str]) -> list[KnnRow]:
    rows = []
    for kind, n_bits, n_codes in product(
        arguments.codes, arguments.bits, arguments.sizes
    ):
        for row in measure_knn(
            kind, n_codes, n_bits, arguments.batch, arguments.k, peers, arguments.turns
        ):
            say(
                f"{n_codes:>11,} {kind} codes, {n_bits:>3} bits, {row.batch:>5,} "
                f"queries, {row.k:>5,} nearest: {in_words(row, row.best_peer, OURS)}"
            )
            rows.append(row)
    return rows


def run_radius(arguments: argparse.Namespace, peers: list[str]) -> list[RadiusRow]:
    batch, turns = max(arguments.batch), arguments.turns
    rows = []
    for n_codes in arguments.sizes if arguments.radius else []:
        for row in measure_radius(n_codes, arguments.radius, batch, peers, turns):
            say(
                f"{n_codes:>11,} codes, radius {row.radius:>2}: "
                f"{in_words(row, row.best_peer, 'radius_neighbors')}"
            )
            rows.append(row)
    return rows


def run_quality(arguments: argparse.Namespace, peers: list[str]) -> list[SetResults]:
    if arguments.data is None:
        return []
    missing = missing_sets(arguments.data)
    for name in missing:
        say(f"{name} is not measured: it is not in {arguments.data}")
    results = []
    for name in (name for name in DISTANCES if name not in missing):
        say(f"{name}: equal bytes, re-ranking")
        data = load_set(name, arguments.data)
        results.append(
            measure_set(
                data, arguments.bits, arguments.turns, with_faiss="faiss" in peers
            )
        )
    return results


def in_words(row: KnnRow | RadiusRow, peer: float | None, ours: str) -> str:
    seconds = row.seconds[ours]
    ratio = "" if peer is None else f", best peer {peer / seconds:.1f} times that"
    return f"{1e6 * seconds / row.batch:,.2f} µs a query{ratio}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
