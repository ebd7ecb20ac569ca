"""Time retrieval scores beside research code: one process, one thread, in turns.

    python benchmarks/metrics.py [--queries 10000] [--database 50000] [--bits 64]
        [--classes 10] [--k 1000 5000] [--codes uniform trained] [--peer-queries 100]
        [--turns 5] [--large] [--output benchmarks/results]

mAP over all items and at each k, with expected ties and in index order; the whole
report and 81 labels beside the plain mAP. With --large, also 1,000 queries on
10,000,000 items and 100,000 rows of 1,000,000 that query each other, once each, with
the memory that it takes.

The tables are printed and written to metrics.md in the output folder.
"""

import argparse
import sys
from pathlib import Path

import searching  # noqa: F401, one thread for all that is imported below
from scoring.measurements import (
    measure_costs,
    measure_large,
    measure_map,
    measure_self_retrieval,
)
from scoring.retrievals import MAKERS
from scoring.table import make_page

LARGE = [(1_000, 10_000_000)]
SELF = (100_000, 1_000_000)


def main() -> int:
    arguments = parse_arguments()
    sizes = arguments.queries, arguments.database, arguments.bits, arguments.classes
    rows, costs = [], []
    for name in arguments.codes:
        retrieval = MAKERS[name](*sizes)
        for k in (arguments.database, *arguments.k):
            say(f"{name} codes, mAP@{k:,}")
            rows.append(
                measure_map(name, retrieval, k, arguments.peer_queries, arguments.turns)
            )
        say(f"{name} codes, report and labels")
        costs.append(measure_costs(name, retrieval, arguments.turns))
    large = []
    if arguments.large:
        say("large runs")
        tail = arguments.bits, arguments.classes
        large = [*measure_large(LARGE, *tail), measure_self_retrieval(*SELF, *tail)]
    settings = {
        "n_queries": arguments.queries,
        "n_database": arguments.database,
        "n_bits": arguments.bits,
        "n_classes": arguments.classes,
        "n_peer_queries": arguments.peer_queries,
        "n_turns": arguments.turns,
    }
    page = make_page(rows, costs, large, settings)
    print(page)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "metrics.md").write_text(page, encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--queries", type=positive, default=10_000)
    add("--database", type=positive, default=50_000)
    add("--bits", type=positive, default=64, help="a multiple of 8")
    add("--classes", type=positive, default=10)
    add("--k", type=positive, nargs="*", default=[1000, 5000])
    add("--codes", choices=MAKERS, nargs="+", default=list(MAKERS))
    add("--peer-queries", type=positive, default=100)
    add("--turns", type=positive, default=5)
    add("--large", action="store_true", help="some 25 s of CPU more")
    add("--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
