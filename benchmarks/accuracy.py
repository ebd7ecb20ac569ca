"""Score every method on real data: mAP and NDCG, seconds and memory, table and picture.

DIR holds the data sets (retrieval/datasets.py says which files). Without further
arguments every method runs on protocol I at 16, 32 and 64 bits with 3 seeds, and on
protocol II at 32 bits with one; --bits and --seeds are for all data sets.

    python benchmarks/accuracy.py --data DIR [--bits 16 32 64] [--seeds 3]
        [--methods cosine LSH OrthoHash ...] [--datasets scene cifar10-I ...]
        [--output benchmarks/results] [--threads 2] [--fresh]

The name of a deep method stands for it with both heads, "OrthoHash, linear head" for
that one. Each run has a process of its own, and its result goes at once to
results.jsonl in the output folder: interrupt with Ctrl-C, and the same line goes on
from there. A result counts as long as all parameters of its method are what they were;
after a change of code, --fresh runs what was asked for anew. accuracy.md and
accuracy.png show all results in the folder that count. Exit status 1 if a run failed.
"""

import argparse
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from retrieval.datasets import PROTOCOLS
from retrieval.methods import Method, find_methods
from retrieval.picture import draw
from retrieval.results import Results
from retrieval.summary import summarize
from retrieval.table import make_tables
from retrieval.trials import ProcessOfItsOwn, Trial


def main() -> int:
    methods = find_methods()
    arguments = parse_arguments(methods)
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = Results(arguments.output / "results.jsonl", methods)
    trials = plan(arguments, methods)
    todo = [x for x in trials if arguments.fresh or not results.is_done(x)]
    n_done = len(trials) - len(todo)
    print(f"{len(trials)} runs, {n_done} of them done before", flush=True)
    # kill does as Ctrl-C, which a process in the background does not get
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_all(todo, results, arguments)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        write_table(results, arguments.output)
        write_picture(results, arguments.output)
    return 0 if all(results.is_done(trial) for trial in trials) else 1


def parse_arguments(methods: dict[str, Method]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--bits", type=positive, nargs="+")
    parser.add_argument("--seeds", type=positive, help="how many, from 0")
    parser.add_argument("--methods", nargs="+", default=list(methods))
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=[name for name, x in PROTOCOLS.items() if x.by_default],
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", metavar="DIR"
    )
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    refuse_unknown(parser, "method", arguments.methods, methods)
    refuse_unknown(parser, "data set", arguments.datasets, PROTOCOLS)
    for name in arguments.datasets:
        if not (file := arguments.data / PROTOCOLS[name].file).exists():
            parser.error(f"data set {name} is not there: no file {file}")
    return arguments


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def refuse_unknown(
    parser: argparse.ArgumentParser, kind: str, names: list[str], known: dict
) -> None:
    if unknown := [name for name in names if name not in known]:
        parser.error(
            f"no {kind} is named {', '.join(unknown)}; known are: {'; '.join(known)}"
        )


def plan(arguments: argparse.Namespace, methods: dict[str, Method]) -> list[Trial]:
    """Return the runs, all with the first seed before any with the second."""
    chosen = [x for x in methods.values() if is_chosen(x, arguments.methods)]
    trials = (
        Trial(
            dataset,
            method.name,
            None if method.hasher is None else n_bits,
            seed if method.is_random else None,
        )
        for seed in range(arguments.seeds or max(x.n_seeds for x in PROTOCOLS.values()))
        for dataset in arguments.datasets
        if seed < (arguments.seeds or PROTOCOLS[dataset].n_seeds)
        for n_bits in arguments.bits or PROTOCOLS[dataset].bits
        for method in chosen
    )
    return list(dict.fromkeys(trials))


def is_chosen(method: Method, names: list[str]) -> bool:
    return method.name in names or (
        method.hasher is not None and method.hasher.__name__ in names
    )


def run_all(todo: list[Trial], results: Results, arguments: argparse.Namespace) -> None:
    """Run what is to do; after each run the result is kept and the table written."""
    processes = ProcessOfItsOwn(arguments.threads)
    n_digits = len(str(len(todo)))
    for number, trial in enumerate(todo, 1):
        start = time.perf_counter()
        result = processes.run(arguments.data, trial)
        result["seconds"] = time.perf_counter() - start
        results.add(trial, result)
        write_table(results, arguments.output)
        count = f"[{number:{n_digits}}/{len(todo)}]"
        left = duration(seconds_left(todo[number:], results))
        print(
            f"{count} {trial}  {in_words(result)}; {left} left",
            file=sys.stderr if "error" in result else sys.stdout,
            flush=True,
        )


def in_words(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"failed: {result['error']}"
    fit = f"fit {result['fit_seconds']:.1f} s, " if "fit_seconds" in result else ""
    return f"mAP {result['map']:.3f}  {fit}{result['seconds']:.1f} s in all"


def seconds_left(todo: list[Trial], results: Results) -> float:
    """Estimate by runs on the same data set, of the same method if there are such."""
    seconds = defaultdict(list)
    for trial, result in results.of_trial.items():
        for known in ((trial.dataset, trial.method), trial.dataset, None):
            seconds[known].append(result["seconds"])
    likeliest = (
        next(
            seconds[known]
            for known in ((trial.dataset, trial.method), trial.dataset, None)
            if known in seconds
        )
        for trial in todo
    )
    return sum(map(fmean, likeliest))


def duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def write_table(results: Results, folder: Path) -> None:
    """Write the table, whole or not at all."""
    unfinished = folder / "accuracy.md.unfinished"
    unfinished.write_text(make_tables(summarize(results)), encoding="utf-8")
    unfinished.replace(folder / "accuracy.md")


def write_picture(results: Results, folder: Path) -> None:
    try:
        draw(summarize(results), folder / "accuracy.png")
    except ModuleNotFoundError as error:
        print(f"no picture: {error} (pip install sklhash[plot])", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
