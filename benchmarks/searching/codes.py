"""Databases and queries: codes drawn at random, and codes awkward to search."""

from typing import NamedTuple

import numpy as np

N_CLASSES = 100
MOST_FLIPS = 8


class Codes(NamedTuple):
    """Packed codes, uint8 (n, n_bytes)."""

    database: np.ndarray
    queries: np.ndarray


def uniform(
    rng: np.random.Generator, n_codes: int, n_bits: int, n_queries: int
) -> Codes:
    return Codes(draw(rng, n_codes, n_bits), draw(rng, n_queries, n_bits))


def clustered(
    rng: np.random.Generator, n_codes: int, n_bits: int, n_queries: int
) -> Codes:
    """Return codes as training makes them: most equal the code of their class."""
    of_class = draw(rng, N_CLASSES, n_bits)
    database, queries = (
        nearly(rng, of_class[rng.integers(N_CLASSES, size=n)])
        for n in (n_codes, n_queries)
    )
    return Codes(database, queries)


def sorted_by_class(
    rng: np.random.Generator, n_codes: int, n_bits: int, n_queries: int
) -> Codes:
    of_class = draw(rng, N_CLASSES, n_bits)
    database = nearly(rng, of_class[np.sort(rng.integers(N_CLASSES, size=n_codes))])
    queries = nearly(rng, of_class[rng.integers(N_CLASSES, size=n_queries)])
    return Codes(database, queries)


def farthest_first(
    rng: np.random.Generator, n_codes: int, n_bits: int, n_queries: int
) -> Codes:
    """Return uniform codes in an order in which hardly a code is of any use.

    All queries are near one code, and the database comes nearer and nearer to it.
    """
    database, target = draw(rng, n_codes, n_bits), draw(rng, 1, n_bits)
    distances = np.bitwise_count(database ^ target).sum(axis=1, dtype=np.int32)
    order = np.argsort(-distances, kind="stable")
    return Codes(database[order], nearly(rng, np.repeat(target, n_queries, axis=0)))


MAKERS = {
    "uniform": uniform,
    "clustered": clustered,
    "sorted": sorted_by_class,
    "adversarial": farthest_first,
}


def make_codes(kind: str, n_codes: int, n_bits: int, n_queries: int) -> Codes:
    """Return codes of a kind, each time the same."""
    return MAKERS[kind](np.random.default_rng(0), n_codes, n_bits, n_queries)


def make_codes_with_neighbours(n_codes: int, n_bits: int, n_queries: int) -> Codes:
    """Return uniform codes, a few of them made neighbours of the queries.

    Each query has one neighbour at each distance from 0 to 8, as long as the database
    has rows for them.
    """
    rng = np.random.default_rng(0)
    database, queries = uniform(rng, n_codes, n_bits, n_queries)
    n_planted = min(n_codes, n_queries * (MOST_FLIPS + 1))
    for i, row in enumerate(rng.choice(n_codes, n_planted, replace=False)):
        query, n_flips = divmod(i, MOST_FLIPS + 1)
        bits = np.unpackbits(queries[query])
        bits[rng.choice(n_bits, n_flips, replace=False)] ^= 1
        database[row] = np.packbits(bits)
    return Codes(database, queries)


def draw(rng: np.random.Generator, n_codes: int, n_bits: int) -> np.ndarray:
    return rng.integers(256, size=(n_codes, n_bits // 8), dtype=np.uint8)


def nearly(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Flip one bit in 128: seven random bits in a row are ones as often as that."""
    flips = np.full_like(codes, 255)
    for _ in range(7):
        flips &= rng.integers(256, size=codes.shape, dtype=np.uint8)
    return codes ^ flips
