"""Batches of float32 rows out of arrays, memory-mapped files and sparse matrices."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite, gen_batches
from torch import Tensor

from sklhash.pairs import Pairs
from sklhash.targets import Targets

__all__ = [
    "ShuffledBatches",
    "TrainingPairs",
    "TrainingRows",
    "float32_blocks",
    "float32_rows",
]

Batch = tuple[Tensor, tuple[Any, Tensor]]


def float32_rows(X: Any, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
    """Return some rows of an array or CSR matrix, dense and in writeable float32.

    Raises
    ------
    ValueError
        If a value is NaN, infinite, or too large for float32.
    """
    block = X[rows]
    with np.errstate(over="ignore"):
        if sparse.issparse(block):
            block = block.astype(np.float32).toarray()
        block = np.require(block, np.float32, ["C", "W"])
    assert_all_finite(block, input_name="X")
    return block


def float32_blocks(
    X: Any, block_rows: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Walk over `X` in blocks of rows, so that only one is in memory as float32."""
    for rows in gen_batches(X.shape[0], block_rows):
        yield rows, float32_rows(X, rows)


class TrainingRows(torch.utils.data.Dataset):
    """The rows that are trained on, with their targets, read a batch at a time.

    In-memory arrays become one float32 tensor; memory-mapped and sparse ones are read
    and converted a batch at a time.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Features, their shape checked, their values not.

    targets : Targets
        Labels of the rows that are trained on.

    rows : ndarray of shape (n_rows,)
        Which rows of `X` those are, ascending.

    Raises
    ------
    ValueError
        Now or when they are read, if values are not finite.
    """

    def __init__(
        self, X: Any, targets: Targets | Pairs, rows: NDArray[np.intp]
    ) -> None:
        self.targets: Any = targets
        self._X = X
        self._rows = rows
        self._tensor = None
        if not (sparse.issparse(X) or _is_memory_mapped(X)):
            every = slice(None) if len(rows) == len(X) else rows
            self._tensor = torch.from_numpy(float32_rows(X, every))

    def __len__(self) -> int:
        return len(self.targets)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Walk over the features of all rows, some at a time."""
        height = max(1, 2**20 // self._X.shape[1])
        every = torch.arange(len(self._rows))
        for rows in gen_batches(len(every), height):
            yield self._features(every[rows]).numpy()

    def batch(self, index: Tensor) -> Batch:
        """Return features, label indicator and `index` of some of the rows."""
        indicator = torch.from_numpy(self.targets.indicator(index.numpy()))
        return self._features(index), (indicator, index)

    def _features(self, index: Tensor) -> Tensor:
        if self._tensor is not None:
            return self._tensor[index]
        return torch.from_numpy(float32_rows(self._X, self._rows[index.numpy()]))


class TrainingPairs(TrainingRows):
    """The pairs of rows that are trained on, in place of labels.

    Its items are pairs. A batch of them has the features of the rows that they are of,
    each once, and as `y` the places of each pair's rows in the batch and their
    similarity.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Features, their shape checked, their values not.

    targets : Pairs
        Pairs in numbers of `rows`.

    rows : ndarray of shape (targets.n_rows,)
        The rows of `X` that are in a pair, ascending.
    """

    def batch(self, index: Tensor) -> Batch:
        """Return features, pairs, and row numbers of some of the pairs."""
        pairs = self.targets
        numbers = np.stack([pairs.first[index], pairs.second[index]])
        rows, places = torch.unique(torch.from_numpy(numbers), return_inverse=True)
        similarity = torch.from_numpy(pairs.similarity[index])
        return self._features(rows), ((*places, similarity), rows)


class ShuffledBatches:
    """The batches of one epoch, in an order drawn anew each time.

    Each row comes once. A single row left over joins the last batch, since batch
    normalisation and losses over pairs have no use for a batch of one.

    Parameters
    ----------
    dataset : TrainingRows
        What to draw batches from.

    batch_size : int
        Rows in a batch, at least 2; the last batch may be shorter, or one row longer.

    generator : torch.Generator
        Source of the order.
    """

    def __init__(
        self, dataset: TrainingRows, batch_size: int, generator: torch.Generator
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __iter__(self) -> Iterator[Batch]:
        n_rows = len(self.dataset)
        order = torch.randperm(n_rows, generator=self.generator)
        starts = list(range(0, n_rows, self.batch_size))
        if n_rows - starts[-1] == 1 and len(starts) > 1:
            del starts[-1]
        for start, stop in zip(starts, [*starts[1:], n_rows], strict=True):
            yield self.dataset.batch(order[start:stop])


def _is_memory_mapped(X: Any) -> bool:
    while X is not None:
        if isinstance(X, (np.memmap, mmap.mmap)):
            return True
        X = getattr(X, "base", None)
    return False
