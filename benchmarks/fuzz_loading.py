"""Fuzz the reader of sklhash.load with files whose checksums are right.

    python benchmarks/fuzz_loading.py [--seed 0] [--runs N] [--findings findings]
    python benchmarks/fuzz_loading.py --atheris [--findings findings] [-- ARGUMENTS]

Files of many small estimators are changed in their JSON, in the header of their
arrays, in the arrays and anywhere, get the checksums that they should have, and are
loaded. The answer has to be a ValueError that names the file, or an estimator, which is
used and may refuse with a ValueError; no warning, no other exception, no crash and no
hang. A wrong answer is printed, and its file written to the folder of findings.

Without --atheris the changes are drawn by Python, from --seed, for --runs files. With
it they are guided by the coverage of sklhash, zipfile and json: `pip install atheris`,
which has wheels for Linux. ARGUMENTS are those of libFuzzer, such as
``-max_total_time=900``.
"""

import argparse
import faulthandler
import resource
import sys
import traceback
from collections import Counter
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

MOST_SECONDS = 20  # for one file
MOST_BYTES = 2**30  # beyond what is there at first

try:
    import atheris
except ModuleNotFoundError:
    atheris = None


def main() -> int:
    arguments = parse_arguments()
    if not arguments.atheris:
        return drawn_by_python(arguments)
    if atheris is None:
        print("atheris is not installed: pip install atheris, or leave out --atheris.")
        return 2
    guided_by_coverage(arguments)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("rest", nargs="*", metavar="ARGUMENTS")
    return parser.parse_args()


def drawn_by_python(arguments: argparse.Namespace) -> int:
    from fuzzing.answers import answer_to
    from fuzzing.mutations import changed_at_random, mutated
    from fuzzing.seeds import write_seeds

    answers, findings = Counter(), Counter()
    with TemporaryDirectory() as folder:
        (Path(folder) / "seeds").mkdir()
        seeds = write_seeds(Path(folder) / "seeds")
        path = str(Path(folder) / "file")
        for seed in seeds:
            answers[answer_to(seed, path)] += 1
        limit_memory()
        for run in range(arguments.runs):
            random = Random(f"{arguments.seed} {run}")
            data = mutated(random.choice(seeds), random, changed_at_random(random))
            arguments.findings.mkdir(parents=True, exist_ok=True)
            last = arguments.findings / f"last-{arguments.seed}"
            last.write_bytes(data)  # which is what is left of a crash
            faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
            try:
                answers[answer_to(data, path)] += 1
            except KeyboardInterrupt:
                raise
            except BaseException as wrong:
                answers["wrong"] += 1
                report(wrong, data, findings, arguments.findings)
            faulthandler.cancel_dump_traceback_later()
            if run % 5000 == 4999:
                print(f"{run + 1:,} runs: {dict(answers)}", flush=True)
        last.unlink()
    print(f"{arguments.runs:,} runs from seed {arguments.seed}: {dict(answers)}")
    return int(bool(findings))


def limit_memory() -> None:
    """Let what takes too much memory fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def report(wrong: BaseException, data: bytes, findings: Counter, folder: Path) -> None:
    """Print each kind of wrong answer once, with its file."""
    frames = traceback.extract_tb(wrong.__traceback__)
    kind = f"{type(wrong).__name__} {[(f.name, f.lineno) for f in frames[-3:]]}"
    findings[kind] += 1
    if findings[kind] == 1:
        path = folder / sha256(data).hexdigest()[:12]
        path.write_bytes(data)
        print(f"--- {path}")
        traceback.print_exception(wrong, file=sys.stdout)


def guided_by_coverage(arguments: argparse.Namespace) -> None:
    with atheris.instrument_imports(include=["sklhash.persistence", "zipfile", "json"]):
        import sklhash  # noqa: F401
    from fuzzing.answers import answer_to
    from fuzzing.mutations import mutated
    from fuzzing.seeds import write_seeds

    folder = TemporaryDirectory()
    corpus = Path(folder.name) / "seeds"
    corpus.mkdir()
    write_seeds(corpus)
    arguments.findings.mkdir(parents=True, exist_ok=True)
    path = str(Path(folder.name) / "file")

    def check(data: bytes) -> None:
        answer_to(data, path)

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        changed = mutated(
            data, Random(seed), lambda part: atheris.Mutate(part, len(part) + 64)
        )
        return changed if len(changed) <= max_size else data

    options = [
        *("-max_len=200000", f"-timeout={MOST_SECONDS}", "-rss_limit_mb=4000"),
        f"-artifact_prefix={arguments.findings}/",
    ]
    atheris.Setup(
        [sys.argv[0], *options, *arguments.rest, str(corpus)],
        check,
        custom_mutator=change,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
