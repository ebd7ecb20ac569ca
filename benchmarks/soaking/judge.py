"""The comparison of every answer with the naive one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .naive import Found


class WrongAnswerError(Exception):
    """An answer is not that of the naive model."""


class Judge:
    """Compares answers, and counts how many it has compared.

    An answer is what is found for one query, or one array, number or refusal.
    """

    def __init__(self) -> None:
        self.n_compared = 0

    def equal(self, what: str, found: Any, expected: Any) -> None:
        self._settle(np.array_equal(found, expected), what, found, expected)

    def near(self, what: str, found: Any, expected: Any) -> None:
        """Compare what is computed with rounding errors."""
        same = np.shape(found) == np.shape(expected) and np.allclose(
            found, expected, rtol=1e-5, atol=1e-5
        )
        self._settle(same, what, found, expected)

    def found(self, what: str, found: Any, expected: Found) -> None:
        """Compare distances and indices, query after query."""
        ours, naive = answers(found), answers(expected)
        self.equal(f"{what}, number of answers", len(ours), len(naive))
        for number, (our, right) in enumerate(zip(ours, naive, strict=True)):
            self._settle(alike(our, right), f"{what}, query {number}", our, right)

    def found_at_a_moment(self, what: str, found: Any, moments: list[Found]) -> None:
        """Expect what was right at one moment or another, for all queries."""
        ours, naive = answers(found), [answers(moment) for moment in moments]
        same = any(
            len(ours) == len(moment) and all(map(alike, ours, moment))
            for moment in naive
        )
        self._settle(same, what, ours, naive)

    def refused(self, what: str, call: Callable[[], Any]) -> None:
        """Expect a ValueError."""
        try:
            call()
        except ValueError:
            refused = True
        else:
            refused = False
        self._settle(refused, what, "an answer", "a ValueError")

    def _settle(self, same: bool, what: str, found: Any, expected: Any) -> None:
        self.n_compared += 1
        if not same:
            raise WrongAnswerError(f"{what}: found {found!r}, expected {expected!r}")


def answers(found: Any) -> list[tuple[Any, Any]]:
    """Return distances and indices query by query."""
    return list(zip(*found, strict=True))


def alike(found: tuple[Any, Any], expected: tuple[Any, Any]) -> bool:
    return all(map(np.array_equal, found, expected))
