"""Keep the library at work for an hour: no answer may be wrong, no memory may be lost.

    python benchmarks/soak.py [--minutes 60] [--seed 0] [--steps 60]
        [--first-cycle 0] [--cycles N] [--output benchmarks/results]

A cycle is a HammingNeighbors and a HashedNeighbors in service for so many random
operations: fitted, appended to, searched in all ways, by several threads, with rows
removed, saved, loaded, copied and given what they must refuse, and hashers of every
method fitted, streamed and copied beside them. A naive model does the same, and every
answer has to be the naive one: the distances and indices of all searches, the
attributes and the codes exactly, scores and the distances of re-ranking to five digits.
Warnings are errors.

The first wrong answer ends the run with status 1 and the command that repeats it. So
does, after ten minutes or more, memory that is not flat: sampled after each cycle, it
may grow by less than 1 % of what it is after a tenth of the run, by a line of least
squares through the rest; open files and threads may not become more at all. All threads
take memory from one pool, since glibc would keep free memory in many.

The figures are printed and written to soak.md in the output folder. Linux only.
"""

import argparse
import sys
import traceback
import warnings
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from sklearn.exceptions import UndefinedMetricWarning
from soaking.cycles import CycleError, Figures, soak
from soaking.memory import share_one_arena, trend_of
from soaking.page import make_page
from threadpoolctl import threadpool_limits

SECONDS_BETWEEN_REPORTS = 60


def main() -> int:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    share_one_arena()
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", r"\d+ of \d+ bits are the same for all")
            warnings.filterwarnings("ignore", category=UndefinedMetricWarning)
            figures = run(arguments)
    except CycleError as error:
        traceback.print_exception(error)
        say(f"to repeat it: {command(arguments, error.cycle)}")
        return 1
    page = make_page(figures, arguments.seed)
    print(page)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "soak.md").write_text(page, encoding="utf-8")
    trend = trend_of(figures.samples)
    return int(trend.is_judged and not trend.is_flat)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60.0)
    add("--seed", type=int, default=0)
    add("--steps", type=int, default=60, help="of a cycle")
    add("--first-cycle", type=int, default=0, metavar="N")
    add("--cycles", type=int, help="at most so many")
    add("--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> Figures:
    cycles = islice(count(arguments.first_cycle), arguments.cycles)
    next_report = 0.0
    with TemporaryDirectory() as folder:
        for figures in soak(
            cycles, arguments.seed, arguments.steps, arguments.minutes, Path(folder)
        ):
            if figures.samples[-1].hours >= next_report:
                say(in_words(figures))
                next_report = figures.samples[-1].hours + SECONDS_BETWEEN_REPORTS / 3600
    return figures


def in_words(figures: Figures) -> str:
    now = figures.samples[-1]
    return (
        f"{60 * now.hours:5.1f} minutes, {len(figures.samples):,} cycles, "
        f"{figures.judge.n_compared:,} answers, {now.megabytes:,.1f} MB, "
        f"{now.n_files} files, {now.n_threads} threads"
    )


def command(arguments: argparse.Namespace, cycle: int) -> str:
    return (
        f"python benchmarks/soak.py --seed {arguments.seed} --steps {arguments.steps} "
        f"--first-cycle {cycle} --cycles 1"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
