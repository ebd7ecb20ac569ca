"""All contenders are exact, so all have to find the same distances."""

import numpy as np

from .contenders import Contender, Within


class WrongDistancesError(Exception):
    """Two searches for the same have found different distances."""


def check_knn(contenders: list[Contender], queries: np.ndarray, k: int) -> None:
    """Compare what all find with what the first does."""
    first, *others = contenders
    expected = first.distances(first.search(queries, k))
    for other in others:
        found = other.distances(other.search(queries, k))
        if not np.array_equal(found, expected):
            raise WrongDistancesError(
                f"{first.name} and {other.name} disagree about the distances of the "
                f"{k} nearest codes of {len(queries)} queries"
            )


def check_radius(contenders: list[Contender], queries: np.ndarray, radius: int) -> int:
    """Compare what all find with what the first does; return how many codes it is."""
    first, *others = contenders
    expected = first.distances(first.search(queries, radius))
    for other in others:
        found = other.distances(other.search(queries, radius))
        if not are_equal(found, expected):
            raise WrongDistancesError(
                f"{first.name} and {other.name} disagree about the distances of the "
                f"codes within {radius} bits of {len(queries)} queries"
            )
    return int(expected.counts.sum())


def are_equal(found: Within, expected: Within) -> bool:
    return np.array_equal(found.counts, expected.counts) and (
        found.distances is None or np.array_equal(in_order(found), in_order(expected))
    )


def in_order(within: Within) -> np.ndarray:
    """Return the distances, those of each query in rising order."""
    counts, distances = within
    query = np.repeat(np.arange(len(counts)), counts)
    return distances[np.lexsort((distances, query))]
