"""Codes whose inner products match the similarity of rows, without the n x n matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklhash.pairs import Pairs

__all__ = ["LabelSets", "PairEntries", "Similarity", "factorize"]


class Similarity(ABC):
    """A symmetric matrix of -1 and +1, some of whose entries may be unknown.

    Attributes
    ----------
    n_rows : int
        Number of rows.

    n_entries : int
        Number of entries that are known.
    """

    n_rows: int
    n_entries: int

    @abstractmethod
    def error(self, codes: NDArray[np.float64]) -> float:
        """Return the sum of ``(n_bits * S - codes @ codes.T)^2`` over known entries."""

    @abstractmethod
    def sweep(self, codes: NDArray[np.float64], order: NDArray[np.int64]) -> float:
        """Lower the error entry by entry, row after row, and return its change."""


class LabelSets(Similarity):
    """Rows are similar if they share a label.

    Rows with the same labels have the same row in the matrix. It is never formed: the
    sum over the rows that are similar to one follows from the sums over rows with the
    same labels, and from lists of the label sets that have a label. Memory grows with
    the number of labels given, an entry's step takes time in proportion to the number
    of bits and of different label sets that share a label with the row's.

    Parameters
    ----------
    labels : csr_array of shape (n_rows, n_labels)
        Label indicator, at least one label a row.
    """

    def __init__(self, labels: sparse.csr_array) -> None:
        self.n_rows = labels.shape[0]
        self.n_entries = self.n_rows**2
        self.set_of_row, first = _distinct_rows(labels)
        sets = labels[first]
        self._lists = (
            *(_int32(part) for part in (sets.indptr, sets.indices)),
            *(_int32(part) for part in (sets.tocsc().indptr, sets.tocsc().indices)),
        )
        ones = np.ones(self.n_rows)
        self._members = sparse.csr_array(
            (ones, (self.set_of_row, np.arange(self.n_rows))),
            shape=(len(first), self.n_rows),
        )

    def error(self, codes: NDArray[np.float64]) -> float:
        """Return the sum of ``(n_bits * S - codes @ codes.T)^2`` over all entries."""
        n_bits = codes.shape[1]
        sums = self._members @ codes
        cross = np.vdot(sums, self._similar_sums(sums))
        gram = codes.T @ codes
        return float(
            n_bits**2 * self.n_entries - 2 * n_bits * cross + np.vdot(gram, gram)
        )

    def sweep(self, codes: NDArray[np.float64], order: NDArray[np.int64]) -> float:
        """Lower the error entry by entry, row after row, and return its change."""
        from sklhash._kernels.factorization import sweep_label_sets

        sums, gram = self._members @ codes, codes.T @ codes
        return sweep_label_sets(codes, order, self.set_of_row, *self._lists, sums, gram)

    def _similar_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        from sklhash._kernels.factorization import similar_sums

        pulls = np.empty_like(sums)
        similar_sums(*self._lists, sums, pulls)
        return pulls


class PairEntries(Similarity):
    """The entries of given pairs are known, in both orders, and the diagonal is +1.

    A pair that comes several times, in whatever order, counts once, with the mean of
    what is said of it.

    Parameters
    ----------
    pairs : Pairs
        Pairs of different rows and their similarity, 0 or 1.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.n_rows = pairs.n_rows
        diagonal = np.arange(pairs.n_rows)
        places = (
            np.concatenate([pairs.first, pairs.second, diagonal]),
            np.concatenate([pairs.second, pairs.first, diagonal]),
        )
        signs = 2 * pairs.similarity.astype(np.float64) - 1
        values = np.concatenate([signs, signs, np.ones(pairs.n_rows)])
        shape = (pairs.n_rows, pairs.n_rows)
        known = sparse.csr_array((values, places), shape=shape)
        times = sparse.csr_array((np.ones_like(values), places), shape=shape)
        self.n_entries = known.nnz
        self._entries = (
            _int32(known.indptr),
            _int32(known.indices),
            known.data / times.data,
        )

    def error(self, codes: NDArray[np.float64]) -> float:
        """Return the sum of ``(n_bits * S - codes @ codes.T)^2`` over known entries."""
        from sklhash._kernels.factorization import error_of_pairs

        return error_of_pairs(codes, *self._entries)

    def sweep(self, codes: NDArray[np.float64], order: NDArray[np.int64]) -> float:
        """Lower the error entry by entry, row after row, and return its change."""
        from sklhash._kernels.factorization import sweep_pairs

        return sweep_pairs(codes, order, *self._entries)


def factorize(
    similarity: Similarity, n_bits: int, n_sweeps: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find codes in [-1, 1] whose inner products match a similarity.

    Minimises ``|S - codes @ codes.T / n_bits|^2`` over the known entries of `S` by
    Newton steps on one entry of the codes after the other, rows in random order.

    Parameters
    ----------
    similarity : Similarity
        The matrix `S`.

    n_bits : int
        Number of columns of the codes.

    n_sweeps : int
        Number of times that every entry is visited.

    rng : numpy.random.Generator
        Source of the initial codes, uniform in [-1, 1], and of the orders.

    Returns
    -------
    codes : ndarray of shape (n_rows, n_bits), dtype=float64

    errors : ndarray of shape (n_sweeps + 1,), dtype=float64
        Mean of the squares over the known entries, before the first sweep and after
        each; it never rises.
    """
    codes = rng.uniform(-1, 1, size=(similarity.n_rows, n_bits))
    changes = [
        similarity.error(codes),
        *(
            similarity.sweep(codes, rng.permutation(similarity.n_rows))
            for _ in range(n_sweeps)
        ),
    ]
    errors = np.cumsum(changes) / (n_bits**2 * similarity.n_entries)
    return codes, np.maximum(errors, 0)


def _distinct_rows(
    labels: sparse.csr_array,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each row among the different ones, and where they begin."""
    labels = labels.sorted_indices()
    numbers: dict[bytes, int] = {}
    of_row = np.empty(labels.shape[0], dtype=np.int64)
    first: list[int] = []
    for row, (start, stop) in enumerate(pairwise(labels.indptr.tolist())):
        number = numbers.setdefault(labels.indices[start:stop].tobytes(), len(numbers))
        if number == len(first):
            first.append(row)
        of_row[row] = number
    return of_row, np.array(first)


def _int32(array: NDArray[np.integer]) -> NDArray[np.int32]:
    return np.ascontiguousarray(array, dtype=np.int32)
