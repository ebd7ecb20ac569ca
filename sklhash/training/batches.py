"""Batches of rows out of arrays, memory-mapped files, sparse matrices and datasets."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, gen_batches
from torch import Tensor

from sklhash.pairs import Pairs
from sklhash.targets import Targets
from sklhash.training.blocks import float32_rows
from sklhash.training.labels import LabelTable

__all__ = ["ShuffledBatches", "TrainingPairs", "TrainingRows"]

Batch = tuple[Tensor, tuple[Any, Tensor]]

BLOCK_VALUES = 2**20  # that are read at once
SAMPLE_ROWS, SAMPLE_VALUES = 4096, 2**22  # at most


class TrainingRows(torch.utils.data.Dataset):
    """The rows that are trained on, with their targets, read a batch at a time.

    In-memory arrays become one tensor, in float32 or what takes less; others are read
    and converted a batch at a time.

    Parameters
    ----------
    X : {ndarray, csr_array, DatasetArray} of shape (n_samples, ...)
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
        self.device = torch.device("cpu")
        self._X = X
        self._rows = rows
        self._tensor: Tensor | None = None
        self._labels: Any = None
        if isinstance(X, np.ndarray) and not _is_memory_mapped(X):
            self._tensor = _as_tensor(X if len(rows) == len(X) else X[rows])

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def n_rows(self) -> int:
        """How many rows there are to read."""
        return len(self._rows)

    @property
    def in_memory(self) -> bool:
        """Whether the features are one tensor."""
        return self._tensor is not None

    def parts(self) -> tuple[Any, ...]:
        """Return what the rows are made of, for a fingerprint."""
        labels = vars(self.targets).values()
        return self._X, self._rows, type(self).__name__, *labels

    def take(self, places: NDArray[np.intp]) -> TrainingRows:
        """Return some of the rows, chosen by place among them, ascending."""
        return type(self)(self._X, self.targets.take(places), self._rows[places])

    def with_features(self, features: Tensor) -> TrainingRows:
        """Return the same rows with other features, (n_rows, n_features)."""
        every = np.arange(len(features))
        return type(self)(features.numpy(), self.targets, every)

    def to(self, device: str | torch.device) -> None:
        """Move features and labels to a device, if the features are in memory."""
        if self._tensor is not None:
            self.device = torch.device(device)
            self._tensor = self._tensor.to(device)
            self._labels = None

    def blocks(self, most: int | None = None) -> Iterator[Tensor]:
        """Walk over the features of all rows, or so many spread evenly, in blocks."""
        height = max(1, BLOCK_VALUES // int(np.prod(self._X.shape[1:])))
        places = self._spread(self.n_rows if most is None else most)
        for rows in gen_batches(len(places), height):
            yield self._features(places[rows])

    def sample(self, most: int = SAMPLE_ROWS) -> Tensor:
        """Return the features of some rows, spread evenly, fewer if they are wide."""
        room = max(2, SAMPLE_VALUES // int(np.prod(self._X.shape[1:])))
        return self._features(self._spread(min(most, room)))

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Walk over all items once, in batches of an order drawn anew each time.

        A single item left over joins the last batch, since batch normalisation and
        losses over pairs have no use for a batch of one.
        """
        n_items = len(self)
        order = torch.randperm(n_items, generator=generator).to(self.device)
        for start, stop in batch_bounds(n_items, batch_size):
            yield self.batch(order[start:stop])

    def batch(self, index: Tensor) -> Batch:
        """Return features, label indicator and `index` of some of the rows."""
        if self._labels is None:
            self._labels = LabelTable(self.targets, self.device)
        return self._features(index), (self._labels[index], index)

    def _spread(self, most: int) -> Tensor:
        """Return the places of some rows, spread evenly, or of all."""
        n_rows = min(self.n_rows, most)
        places = torch.linspace(0, self.n_rows - 1, n_rows, dtype=torch.float64)
        return places.round().long().to(self.device)

    def _features(self, index: Tensor) -> Tensor:
        if self._tensor is not None:
            return self._tensor.index_select(0, index).float()
        return torch.from_numpy(float32_rows(self._X, self._rows[index.numpy()]))


class TrainingPairs(TrainingRows):
    """The pairs of rows that are trained on, in place of labels.

    Its items are pairs. A batch of them has the features of the rows that they are of,
    each once, and as `y` the places of each pair's rows in the batch and their
    similarity.

    Parameters
    ----------
    X : {ndarray, csr_array, DatasetArray} of shape (n_samples, ...)
        Features, their shape checked, their values not.

    targets : Pairs
        Pairs in numbers of `rows`.

    rows : ndarray of shape (targets.n_rows,)
        The rows of `X` that are in a pair, ascending.
    """

    def batch(self, index: Tensor) -> Batch:
        """Return features, pairs, and row numbers of some of the pairs."""
        if self._labels is None:
            pairs = self.targets
            numbers = torch.from_numpy(np.stack([pairs.first, pairs.second]))
            similarity = torch.from_numpy(pairs.similarity)
            self._labels = numbers.to(self.device), similarity.to(self.device)
        numbers, similarity = self._labels
        rows, places = torch.unique(numbers[:, index], return_inverse=True)
        return self._features(rows), ((*places, similarity[index]), rows)


class ShuffledBatches:
    """The batches of one epoch, in an order drawn anew each time: skorch's iterator.

    Parameters
    ----------
    dataset : TrainingRows
        What to draw batches from.

    batch_size : int
        Rows in a batch, at least 2; the last batch may be shorter, or one row longer.

    generator : torch.Generator
        Source of the order, on the CPU.
    """

    def __init__(
        self, dataset: TrainingRows, batch_size: int, generator: torch.Generator
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator

    def __iter__(self) -> Iterator[Batch]:
        return self.dataset.epoch(self.batch_size, self.generator)

    def __len__(self) -> int:
        return len(batch_bounds(len(self.dataset), self.batch_size))


def batch_bounds(n_items: int, batch_size: int) -> list[tuple[int, int]]:
    """Return where batches begin and end; a single item left over joins the last."""
    starts = list(range(0, n_items, batch_size))
    if n_items - starts[-1] == 1 and len(starts) > 1:
        del starts[-1]
    return list(zip(starts, [*starts[1:], n_items], strict=True))


def _as_tensor(X: NDArray[Any]) -> Tensor:
    """Return finite rows as a tensor, in float32 unless their dtype takes less."""
    if X.dtype.kind in "iu" and X.dtype.itemsize == 1:
        return torch.from_numpy(np.require(X, requirements=["C", "W"]))
    if X.dtype == np.float16:
        assert_all_finite(X, input_name="X")
        return torch.from_numpy(np.require(X, requirements=["C", "W"]))
    return torch.from_numpy(float32_rows(X, slice(None)))


def _is_memory_mapped(X: Any) -> bool:
    while X is not None:
        if isinstance(X, (np.memmap, mmap.mmap)):
            return True
        X = getattr(X, "base", None)
    return False
