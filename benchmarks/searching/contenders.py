"""Who searches: sklhash by its public methods, and other libraries by theirs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from math import inf
from typing import Any, NamedTuple

import numpy as np

from sklhash import HammingNeighbors

OURS = "sklhash"
RADIUS_FORMS = ("radius_neighbors", "radius_neighbors_graph", "count_within")

Search = Callable[[np.ndarray, int], Any]


class Contender(NamedTuple):
    """A search that is timed.

    `search` gets packed queries and k or a radius. `distances` makes of what that
    returns an array (n_queries, k), each row in rising order, or of a search in a
    radius a :class:`Within`. A slow search is given no more than `most_pairs` of a
    query and a code in one call, which then takes a second at most.
    """

    name: str
    search: Search
    distances: Callable[[Any], Any]
    most_pairs: float = inf


class Within(NamedTuple):
    """How many codes each query found, and all distances, None where unknown."""

    counts: np.ndarray
    distances: np.ndarray | None


@dataclass(frozen=True)
class Peer:
    """Another library; one that is slow to build is given `most_codes` at most."""

    module: str
    knn: Callable[[np.ndarray], Iterator[Contender]]
    most_codes: float = inf


def sklhash_knn(database: np.ndarray) -> Contender:
    search = HammingNeighbors(packed=True).fit(database)
    return Contender(OURS, search.kneighbors, lambda found: found[0])


def faiss_knn(database: np.ndarray) -> Iterator[Contender]:
    """Return both ways that FAISS has of keeping the nearest."""
    for name, use_heap in (("heap", True), ("counting", False)):
        index = faiss_index(database)
        index.use_heap = use_heap
        yield Contender(
            f"faiss, {name}",
            index.search,
            lambda found: found[0],
            most_pairs=2e9,
        )


def usearch_knn(database: np.ndarray) -> Iterator[Contender]:
    from usearch.index import MetricKind, search

    def nearest(queries: np.ndarray, k: int) -> Any:
        return search(database, queries, k, MetricKind.Hamming, exact=True, threads=1)

    yield Contender(
        "usearch",
        nearest,
        lambda found: np.atleast_2d(whole_numbers(found.distances)),
        most_pairs=2e7,
    )


def sklearn_knn(database: np.ndarray) -> Iterator[Contender]:
    from sklearn.neighbors import NearestNeighbors

    n_bits = 8 * database.shape[1]
    index = NearestNeighbors(algorithm="brute", metric="hamming")
    index.fit(as_bits(database))

    def nearest(queries: np.ndarray, k: int) -> np.ndarray:
        return index.kneighbors(as_bits(queries), k)[0]

    yield Contender(
        "sklearn",
        nearest,
        lambda found: whole_numbers(found * n_bits),
        most_pairs=4e6,
    )


def pynear_knn(database: np.ndarray) -> Iterator[Contender]:
    from pynear import VPTreeBinaryIndex

    index = VPTreeBinaryIndex()
    index.set(database)
    yield Contender(
        "pynear",
        index.searchKNN,
        lambda found: np.sort(found[1], axis=1),
        most_pairs=4e6,
    )


PEERS = {
    "faiss": Peer("faiss", faiss_knn),
    "usearch": Peer("usearch.index", usearch_knn),
    "sklearn": Peer("sklearn.neighbors", sklearn_knn, most_codes=100_000),
    "pynear": Peer("pynear", pynear_knn, most_codes=100_000),
}


def missing_peers(names: list[str]) -> dict[str, str]:
    """Return those that cannot be imported, and why not."""
    reasons = {}
    for name in names:
        try:
            import_module(PEERS[name].module)
        except ImportError as error:
            reasons[name] = str(error)
    return reasons


def knn_contenders(peers: list[str], database: np.ndarray) -> list[Contender]:
    """Build the index of each library that can search so many codes."""
    able = [x for x in peers if len(database) <= PEERS[x].most_codes]
    return [
        sklhash_knn(database),
        *(contender for name in able for contender in PEERS[name].knn(database)),
    ]


def radius_contenders(
    peers: list[str], ours: HammingNeighbors, database: np.ndarray
) -> list[Contender]:
    """Return the three forms of a fitted search, and FAISS, the one peer here."""
    contenders = [
        Contender("radius_neighbors", ours.radius_neighbors, of_arrays),
        Contender(
            "radius_neighbors_graph",
            lambda queries, r: ours.radius_neighbors_graph(queries, r, "distance"),
            lambda graph: Within(np.diff(graph.indptr), graph.data),
        ),
        Contender(
            "count_within", ours.count_within, lambda counts: Within(counts, None)
        ),
    ]
    return contenders + (list(faiss_radius(database)) if "faiss" in peers else [])


def faiss_radius(database: np.ndarray) -> Iterator[Contender]:
    """Return FAISS's hash of three parts, and its scan; its radius is exclusive.

    The hash finds all codes if it looks up keys that differ in up to a third of the
    radius: of three parts of a code within it, one does not differ more.
    """
    import faiss

    n_bits = 8 * database.shape[1]
    multi_hash = faiss.IndexBinaryMultiHash(n_bits, 3, n_bits // 3)
    multi_hash.add(database)
    flat = faiss_index(database)

    def by_hash(queries: np.ndarray, radius: int) -> Any:
        multi_hash.nflip = radius // 3
        return multi_hash.range_search(queries, radius + 1)

    def by_scan(queries: np.ndarray, radius: int) -> Any:
        return flat.range_search(queries, radius + 1)

    yield Contender("faiss MultiHash", by_hash, of_limits)
    yield Contender("faiss Flat", by_scan, of_limits, most_pairs=2e9)


def faiss_index(database: np.ndarray) -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(8 * database.shape[1])
    index.add(database)
    return index


def of_arrays(found: tuple[np.ndarray, np.ndarray]) -> Within:
    distances = found[0]
    return Within(np.array([len(x) for x in distances]), np.concatenate(distances))


def of_limits(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Within:
    return Within(np.diff(found[0].astype(np.int64)), found[1])


def whole_numbers(distances: np.ndarray) -> np.ndarray:
    return np.rint(distances).astype(np.int32)


def as_bits(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(packed, axis=1).astype(bool)
