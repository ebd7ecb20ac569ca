"""Codes as rows of bits, searched by counting: what every answer is held against."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

Found = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class NaiveIndex:
    """Bits (n, n_bits), labels (n,), (n, n_labels) or None, and which rows are live.

    A change makes another index, so that those of earlier moments stay at hand.
    """

    bits: np.ndarray
    labels: np.ndarray | None
    live: np.ndarray

    @classmethod
    def of(cls, bits: np.ndarray, labels: np.ndarray | None) -> Self:
        return cls(bits, labels, np.ones(len(bits), dtype=bool))

    def appended(self, bits: np.ndarray, labels: np.ndarray | None) -> Self:
        if self.labels is not None:
            labels = np.concatenate([self.labels, labels])
        live = np.append(self.live, np.ones(len(bits), dtype=bool))
        return replace(
            self, bits=np.concatenate([self.bits, bits]), labels=labels, live=live
        )

    def without(self, rows: np.ndarray) -> Self:
        live = self.live.copy()
        live[rows] = False
        return replace(self, live=live)

    @property
    def packed(self) -> np.ndarray:
        """Packed codes, zeros where removed."""
        return np.packbits(self.bits * self.live[:, None], axis=1, bitorder="little")

    def distances(self, query: np.ndarray) -> np.ndarray:
        return np.sum(self.bits ^ query, axis=1)

    def ranking(self, query: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """Return the allowed rows that are live, by distance and index."""
        rows = np.flatnonzero(self.live & allowed)
        return rows[np.argsort(self.distances(query)[rows], kind="stable")]

    def nearest(self, queries: np.ndarray, k: int, allowed: np.ndarray) -> Found:
        return self._found(queries, [self.ranking(q, allowed)[:k] for q in queries])

    def within(self, queries: np.ndarray, radius: int, allowed: np.ndarray) -> Found:
        rankings = [self.ranking(query, allowed) for query in queries]
        return self._found(
            queries,
            [
                rows[self.distances(query)[rows] <= radius]
                for query, rows in zip(queries, rankings, strict=True)
            ],
        )

    def nearest_others(self, rows: np.ndarray, k: int) -> Found:
        """Find the nearest of some rows, each without itself."""
        numbers = np.arange(len(self.bits))
        rankings = [self.ranking(self.bits[row], numbers != row)[:k] for row in rows]
        return self._found(self.bits[rows], rankings)

    def mean_average_precision(self, queries: np.ndarray, labels: np.ndarray) -> float:
        everything = np.ones(len(self.bits), dtype=bool)
        precisions = []
        for query, label in zip(queries, labels, strict=True):
            rows = self.ranking(query, everything)
            relevant = shared(self.labels[rows], label)
            precisions.append(expected_precision(self.distances(query)[rows], relevant))
        return float(np.mean(precisions))

    def _found(self, queries: np.ndarray, rankings: list[np.ndarray]) -> Found:
        pairs = zip(queries, rankings, strict=True)
        return [self.distances(query)[rows] for query, rows in pairs], rankings


def shared(labels: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Tell which items share a label with a query."""
    return labels == label if labels.ndim == 1 else (labels & label).any(axis=1)


def average_precision(relevant: np.ndarray) -> float:
    """Average precision of one ranking, 0 if nothing is relevant."""
    precisions = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
    return float(precisions[relevant].mean()) if relevant.any() else 0.0


def expected_precision(distances: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision expected where items at one distance stand in random order.

    Given a hit at one place of a tie, each other place has a hit with the chance that
    the other hits of the tie leave to it.
    """
    n_before = hits_before = total = 0.0
    for distance in np.unique(distances):
        tie = relevant[distances == distance]
        n, hits = len(tie), np.count_nonzero(tie)
        earlier = np.arange(n)
        hits_so_far = hits_before + 1 + earlier * (hits - 1) / max(1, n - 1)
        total += np.sum(hits / n * hits_so_far / (n_before + earlier + 1))
        n_before, hits_before = n_before + n, hits_before + hits
    return float(total / hits_before) if hits_before else 0.0
