"""The rows of the tables: contenders checked against each other, and timed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from sklhash import HammingNeighbors

from .checks import check_knn, check_radius
from .codes import make_codes, make_codes_with_neighbours
from .contenders import (
    PEERS,
    RADIUS_FORMS,
    knn_contenders,
    radius_contenders,
    sklhash_knn,
)
from .limits import comparison, reading
from .timing import time_in_turns

RADIUS_BITS = 64
COMPARING, READING = "comparing", "reading"
FEW_CODES, UNIFORM_CODES = "few codes", "uniform codes"
N_FEW, MOST_OF_FEW = 64, 10


@dataclass(frozen=True)
class KnnRow:
    """The k nearest of a batch of queries.

    `seconds` are those of one call, by contender. Among them stand what the machine
    needs for `COMPARING` each query with each code and for `READING` the codes once,
    and what sklhash needs on `FEW_CODES`, for a single query, or on as many
    `UNIFORM_CODES`, for codes of another kind.
    """

    kind: str
    n_codes: int
    n_bits: int
    batch: int
    k: int
    seconds: dict[str, float]

    @property
    def limit(self) -> str:
        """Return which of the two takes the machine longer."""
        return max((COMPARING, READING), key=self.seconds.__getitem__)

    def best_of(self, *libraries: str) -> float | None:
        """Return the seconds of the fastest contender of some libraries, if any."""
        times = [x for name, x in self.seconds.items() if name.startswith(libraries)]
        return min(times, default=None)

    @property
    def best_peer(self) -> float | None:
        return self.best_of(*PEERS)


@dataclass(frozen=True)
class RadiusRow:
    """All codes within a radius of a batch of queries, `n_found` in all.

    `algorithm` is what sklhash searched by, `seconds` are those of one call.
    """

    n_codes: int
    radius: int
    batch: int
    n_found: int
    algorithm: str
    seconds: dict[str, float]

    @property
    def best_peer(self) -> float | None:
        times = [x for name, x in self.seconds.items() if name not in RADIUS_FORMS]
        return min(times, default=None)


def measure_knn(
    kind: str,
    n_codes: int,
    n_bits: int,
    batches: list[int],
    ks: list[int],
    peers: list[str],
    n_turns: int,
) -> Iterator[KnnRow]:
    """Time all contenders on one database, for each size of batch and each k."""
    codes = make_codes(kind, n_codes, n_bits, max(batches))
    contenders = knn_contenders(peers, codes.database)
    few = sklhash_knn(codes.database[:N_FEW])
    if kind != "uniform":
        uniform = make_codes("uniform", n_codes, n_bits, max(batches))
        ours_on_uniform = sklhash_knn(uniform.database)
    compare, n_compared = comparison(n_bits)
    read, n_read = reading(codes.database)
    for batch, k in product(batches, [k for k in ks if k <= n_codes]):
        queries, n_pairs = codes.queries[:batch], batch * n_codes
        able = [x for x in contenders if n_pairs <= x.most_pairs]
        check_knn(able, queries, k)
        calls = {x.name: partial(x.search, queries, k) for x in able}
        calls |= {COMPARING: compare, READING: read}
        if batch == 1:
            calls[FEW_CODES] = partial(few.search, queries, min(k, MOST_OF_FEW))
        if kind != "uniform":
            other_queries = uniform.queries[:batch]
            calls[UNIFORM_CODES] = partial(ours_on_uniform.search, other_queries, k)
        seconds = time_in_turns(calls, n_turns)
        seconds[COMPARING] *= n_pairs / n_compared
        seconds[READING] /= n_read
        yield KnnRow(kind, n_codes, n_bits, batch, k, seconds)


def measure_radius(
    n_codes: int, radii: list[int], batch: int, peers: list[str], n_turns: int
) -> Iterator[RadiusRow]:
    """Time all contenders on one database of uniform codes, for each radius."""
    database, queries = make_codes_with_neighbours(n_codes, RADIUS_BITS, batch)
    ours = HammingNeighbors(packed=True).fit(database)
    contenders = [
        x
        for x in radius_contenders(peers, ours, database)
        if batch * n_codes <= x.most_pairs
    ]
    for radius in radii:
        n_found = check_radius(contenders, queries, radius)
        calls = {x.name: partial(x.search, queries, radius) for x in contenders}
        seconds = time_in_turns(calls, n_turns)
        yield RadiusRow(n_codes, radius, batch, n_found, ours.algorithm_, seconds)
