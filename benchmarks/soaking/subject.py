"""What is soaked: something of the library with a naive model beside it."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from .judge import Judge


class Subject:
    """Operations that are drawn by their weights, each of which checks what it does.

    Operations are methods without arguments; a subclass names them in `weights`, and
    `begin` comes before all others.
    """

    name: ClassVar[str]
    weights: ClassVar[dict[str, int]]

    def __init__(self, rng: np.random.Generator, folder: Path, judge: Judge) -> None:
        self.rng = rng
        self.folder = folder
        self.judge = judge
        self.has_begun = False

    def draw_operation(self) -> str:
        if not self.has_begun:
            self.has_begun = True
            return "begin"
        weights = np.array(list(self.weights.values()))
        return str(self.rng.choice(list(self.weights), p=weights / weights.sum()))

    def one_of(self, *choices):
        """Draw one of some values, as it is."""
        return choices[self.rng.integers(len(choices))]

    def draw_where(self, n: int, live: np.ndarray):
        """Draw the `where` of a search, with a mask of the rows that it allows."""
        mask = self.rng.random(n) < self.one_of(0.05, 0.5, 1.0)
        everything = np.ones(n, dtype=bool)
        as_indices = self.rng.permutation(np.flatnonzero(mask & live))
        return self.one_of((None, everything), (mask, mask), (as_indices, mask))
