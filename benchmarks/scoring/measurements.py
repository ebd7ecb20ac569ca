"""Scores timed beside peers, beside each other, and at sizes that peers cannot do."""

import resource
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from searching.timing import cpu_seconds, time_in_turns

from sklhash import mean_average_precision_score
from sklhash.metrics import retrieval_report

from .peers import make_peers
from .retrievals import Retrieval, multilabel, uniform

TIES = ("expected", "index")


class Row(NamedTuple):
    """CPU seconds of a mAP@k for all queries."""

    codes: str
    k: int
    ours: dict[str, float]
    peers: dict[str, float]


class Costs(NamedTuple):
    """CPU seconds of what is more than one mAP over classes."""

    codes: str
    seconds: dict[str, float]


class LargeRun(NamedTuple):
    """One run at a large size."""

    what: str
    n_pairs: int
    seconds: float
    megabytes: float


def measure_map(
    name: str, retrieval: Retrieval, k: int, n_peer_queries: int, n_turns: int
) -> Row:
    """Time mAP@k; peers score a part of the queries, and their time is scaled."""
    part = retrieval.head(n_peer_queries)
    peers = make_peers(part, k)
    check_agreement(part, peers["stable argsort"](k), k)
    calls = {ties: partial(our_map, retrieval, k, ties) for ties in TIES}
    calls |= {peer: partial(call, k) for peer, call in peers.items()}
    seconds = time_in_turns(calls, n_turns)
    scale = len(retrieval.query_codes) / len(part.query_codes)
    return Row(
        name,
        k,
        {ties: seconds[ties] for ties in TIES},
        {peer: scale * seconds[peer] for peer in peers},
    )


def our_map(retrieval: Retrieval, k: int, ties: str) -> float:
    return mean_average_precision_score(*retrieval, k=k, ties=ties, packed=True)


def check_agreement(part: Retrieval, reference: np.ndarray, k: int) -> None:
    """End the run if index order is not what a stable argsort gives."""
    ours = mean_average_precision_score(
        *part, k=k, ties="index", average=None, packed=True
    )
    if not np.allclose(ours, reference, rtol=0, atol=1e-12):
        raise SystemExit(f"mAP@{k} in index order is not that of a stable argsort")


def measure_costs(name: str, retrieval: Retrieval, n_turns: int) -> Costs:
    """Time the report, and 81 labels, beside the plain mAP."""
    k = len(retrieval.database_codes)
    labelled = multilabel(retrieval)
    calls = {}
    for ties in TIES:
        calls[f"mAP, {ties}"] = partial(our_map, retrieval, k, ties)
        calls[f"81 labels, {ties}"] = partial(our_map, labelled, k, ties)
    for ties in TIES:
        calls[f"report, {ties}"] = partial(
            retrieval_report, *retrieval, ties=ties, packed=True
        )
    return Costs(name, time_in_turns(calls, n_turns))


def measure_large(
    sizes: list[tuple[int, int]], n_bits: int, n_classes: int
) -> Iterator[LargeRun]:
    """Run mAP once at each size, queries and database."""
    for n_queries, n_database in sizes:
        retrieval = uniform(n_queries, n_database, n_bits, n_classes)
        yield large_run(
            f"{n_queries:,} queries, {n_database:,} items",
            n_queries * n_database,
            partial(mean_average_precision_score, *retrieval, packed=True),
        )


def measure_self_retrieval(
    n_queries: int, n_database: int, n_bits: int, n_classes: int
) -> LargeRun:
    """Let the first rows of a database query it, each without itself."""
    _, codes, _, y = uniform(1, n_database, n_bits, n_classes)
    return large_run(
        f"{n_queries:,} of {n_database:,} items, each without itself",
        n_queries * n_database,
        partial(
            mean_average_precision_score,
            codes[:n_queries],
            codes,
            y[:n_queries],
            y,
            exclude_self=np.arange(n_queries),
            packed=True,
        ),
    )


def large_run(what: str, n_pairs: int, call: Callable[[], float]) -> LargeRun:
    call_on_few()  # compiles
    before = peak_megabytes()
    seconds = cpu_seconds(call, 1)
    return LargeRun(what, n_pairs, seconds, peak_megabytes() - before)


def call_on_few() -> None:
    our_map(uniform(10, 1000, 64, 10), 1000, "expected")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
