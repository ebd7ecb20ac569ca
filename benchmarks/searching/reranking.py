"""What a finer distance on a shortlist of codes adds, and what it costs."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from retrieval.scores import average_precision
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklhash import HashedNeighbors

from .indexes import LEARNS_LABELS
from .quality import TIMED_QUERIES, K
from .sets import RealSet
from .timing import time_in_turns
from .vectors import recall

RANKED = 100
SINGLE_QUERIES = 20
CANDIDATES = (100, 1000)
RERANKS = ("asymmetric", "cosine", "euclidean")
RERANKED_HASHERS = ("LSH", "ITQ", LEARNS_LABELS)

Way = tuple[str | None, int | None]


@dataclass(frozen=True)
class RerankRow:
    """A way of ordering: CPU seconds of a query, in a batch and alone.

    `rerank` and `n_candidates` are None for the order of the codes.
    """

    hasher: str
    rerank: str | None
    n_candidates: int | None
    n_bytes: int
    recall: float
    label_map: float | None
    batch_seconds: float
    single_seconds: float


def measure_reranking(
    data: RealSet, exact: np.ndarray, hashers: dict[str, Pipeline], n_turns: int
) -> Iterator[RerankRow]:
    """Score and time each way on the codes of some fitted hashers."""
    for name in (name for name in RERANKED_HASHERS if name in hashers):
        searches = make_searches(hashers[name], data)
        seconds = query_seconds(searches, data, n_turns)
        for way, search in searches.items():
            found = search.kneighbors(data.query.X, RANKED, return_distance=False)
            yield RerankRow(
                name,
                *way,
                bytes_an_item(search, data),
                recall(found[:, :K], exact),
                label_map_of(found, data) if data.has_labels else None,
                *seconds[way],
            )


def make_searches(hasher: Pipeline, data: RealSet) -> dict[Way, HashedNeighbors]:
    """Index the database once a distance; the length of the shortlist is free."""
    frozen = FrozenEstimator(hasher)
    searches = {(None, None): HashedNeighbors(frozen).fit(data.database.X)}
    for rerank in RERANKS:
        search = HashedNeighbors(frozen, rerank=rerank).fit(data.database.X)
        for n in CANDIDATES:
            searches[rerank, n] = copy(search).set_params(n_candidates=n)
    return searches


def query_seconds(
    searches: dict[Way, HashedNeighbors], data: RealSet, n_turns: int
) -> dict[Way, tuple[float, float]]:
    """Return the seconds of a query in a batch, and of one alone."""
    batch, few = data.query.X[:TIMED_QUERIES], data.query.X[:SINGLE_QUERIES]
    at_once = {way: partial(x.kneighbors, batch, K) for way, x in searches.items()}
    singly = {way: one_by_one(x, few) for way, x in searches.items()}
    at_once, singly = time_in_turns(at_once, n_turns), time_in_turns(singly, n_turns)
    return {
        way: (at_once[way] / len(batch), singly[way] / len(few)) for way in searches
    }


def one_by_one(search: HashedNeighbors, queries: np.ndarray) -> Callable[[], Any]:
    def call() -> None:
        for i in range(len(queries)):
            search.kneighbors(queries[i : i + 1], K)

    return call


def bytes_an_item(search: HashedNeighbors, data: RealSet) -> int:
    """Count the code, and the vector where it is kept."""
    X = data.database.X
    keeps_vectors = search.metric_ in ("cosine", "euclidean")
    return search.codes_.shape[1] + keeps_vectors * X.itemsize * X.shape[1]


def label_map_of(found: np.ndarray, data: RealSet) -> float:
    relevant = data.database.y[found] == data.query.y[:, None]
    return float(average_precision(relevant, None).mean())
