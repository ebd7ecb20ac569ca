"""Time a search over shards beside the plain one: in this process, on 1 and 2 workers.

    python benchmarks/scaling.py [--sizes 1000000 10000000 100000000]
        [--batch 1 100 1000] [--k 10] [--shard-size 1048576] [--turns 5]
        [--folder DIR]

64-bit codes of random features are encoded into a store by two workers of a Dask
cluster on this machine, of one thread each. Four searches then answer the same queries,
in turns, and must answer alike: HammingNeighbors fitted on the codes in memory, on the
store in this process, where its shards are mapped into memory, and on the store on the
workers of clusters of one and of two processes. Times are wall clock, since processes
share the work; medians of the turns are printed, with their ratios to the plain search.

The store of a size takes 16 bytes a code in the folder, and is written anew only where
it is not there.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from sklhash import LSH, CodeStore, HammingNeighbors

N_FEATURES = 16


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        one, two = (stack.enter_context(workers(n)) for n in (1, 2))
        folder = arguments.folder or stack.enter_context(tempfile.TemporaryDirectory())
        for n_codes in arguments.sizes:
            store = make_store(Path(folder), n_codes, arguments.shard_size, two)
            searches = {
                "plain": HammingNeighbors(packed=True).fit(np.asarray(store)),
                "store, here": HammingNeighbors(packed=True).fit(store),
                "store, 1 worker": fit_on(one, store),
                "store, 2 workers": fit_on(two, store),
            }
            for n_queries in arguments.batch:
                measure(searches, n_queries, arguments)
            print(f"\n{memory_of(one, two)}\n", flush=True)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [1_000_000, 10_000_000, 100_000_000]
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=sizes, help="of the database")
    add("--batch", type=int, nargs="+", default=[1, 100, 1000], help="queries")
    add("--k", type=int, default=10)
    add("--shard-size", type=int, default=2**20, help="codes")
    add("--turns", type=int, default=5)
    add("--folder", type=Path, help="where the stores are, or are to be kept")
    return parser.parse_args()


@contextmanager
def workers(n_workers: int) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def make_store(
    folder: Path, n_codes: int, shard_size: int, client: Client
) -> CodeStore:
    hasher = LSH(64, random_state=0).fit(rows_of(0, 1000).compute())
    path = folder / f"{n_codes}-in-{shard_size}"
    with client.as_current(), dask.config.set(scheduler=client):
        start = perf_counter()
        X = rows_of(1, n_codes, shard_size)
        store = hasher.encode_to(path, X, verify=False)
    print(f"{n_codes:,} codes encoded into {path.name}: {perf_counter() - start:.1f} s")
    return store


def rows_of(seed: int, n_rows: int, height: int = 2**20) -> da.Array:
    generator = da.random.default_rng(seed)
    return generator.standard_normal(
        size=(n_rows, N_FEATURES), dtype=np.float32, chunks=(height, N_FEATURES)
    )


def fit_on(client: Client, store: CodeStore) -> HammingNeighbors:
    with client.as_current():
        return HammingNeighbors(packed=True).fit(store)


def measure(
    searches: dict[str, HammingNeighbors],
    n_queries: int,
    arguments: argparse.Namespace,
) -> None:
    """Let the searches answer in turns, the first of which only warms them up."""
    n_codes = searches["plain"].n_samples_fit_
    rows = np.random.default_rng(0).integers(n_codes, size=n_queries)
    queries = searches["plain"]._stored.table.packed_at(rows)
    times: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(1 + arguments.turns):
        answers = []
        for name, search in searches.items():
            start = perf_counter()
            answers.append(search.kneighbors(queries, arguments.k))
            times[name].append(perf_counter() - start)
        assert all(np.array_equal(answers[0], answer) for answer in answers)
    plain = median(times["plain"][1:])
    for name in searches:
        seconds = median(times[name][1:])
        pairs = n_codes * n_queries
        print(
            f"{n_codes:>12,} {n_queries:>6} {name:<18}{1e3 * seconds:>10.1f} ms "
            f"{seconds / plain:>6.2f} x plain {1e9 * seconds / pairs:>8.4f} ns a pair",
            flush=True,
        )


def memory_of(*clients: Client) -> str:
    """Say what this process and the workers hold, and have mapped of files."""
    found = [("this process", resident())]
    for client in clients:
        of_workers = client.run(resident).values()
        found += [(f"each of {len(of_workers)} workers", of) for of in of_workers]
    return "\n".join(
        f"{name}: {own:.2f} GB of its own, {mapped:.2f} GB of files"
        for name, (own, mapped) in found
    )


def resident() -> tuple[float, float]:
    """Return the gigabytes in memory, of the process and of files, on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if name in ("RssAnon", "RssFile")
    }
    return kilobytes["RssAnon"] / 1e6, kilobytes["RssFile"] / 1e6


if __name__ == "__main__":
    sys.exit(main())
