"""Torch datasets, read as arrays of rows and as labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from sklhash.targets import encode_targets
from sklhash.training.batches import BLOCK_VALUES, SAMPLE_ROWS, Batch, TrainingRows

__all__ = [
    "DatasetArray",
    "StreamArray",
    "StreamedRows",
    "dataset_as_array",
    "refuse_loader",
]


def refuse_loader(X: Any) -> None:
    """Raise a TypeError if batches come that were made already."""
    if isinstance(X, DataLoader):
        raise TypeError(
            "X must be an array or a torch Dataset, got a DataLoader: pass its "
            "dataset; batch_size and order are the hasher's."
        )


def dataset_as_array(dataset: Dataset[Any]) -> DatasetArray | StreamArray:
    """Return a dataset in the form of an array of its items' features."""
    if isinstance(dataset, IterableDataset):
        return StreamArray(dataset)
    return DatasetArray(dataset)


class DatasetArray:
    """The features of a map-style dataset's items, which are read when asked for.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Items are features `x`, of one shape, also as ``(x,)``, or pairs ``(x, y)``.

    Raises
    ------
    ValueError
        Now or later, if there are no items or one has another shape than the first.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        n_items = len(dataset)  # type: ignore[arg-type]
        if n_items == 0:
            raise ValueError(_no_items(dataset))
        first = _features_of(dataset[0])
        self.shape: tuple[int, ...] = (n_items, *first.shape)
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        numbers = np.arange(len(self))[rows]
        return _stack(
            [_features_of(self.dataset[int(i)]) for i in numbers], self.shape[1:]
        )

    def labels(self) -> Any:
        """Return the labels of all items, None if they have none."""
        return _join_labels([_label_of(self.dataset[i]) for i in range(len(self))])


class StreamArray:
    """The features of an iterable dataset's items, which can only be walked over.

    The dataset is walked over once to count its items and to gather their labels.

    Parameters
    ----------
    dataset : torch.utils.data.IterableDataset
        Items are features `x`, of one shape, or pairs ``(x, y)``. It ends, and begins
        anew with each iterator.

    Raises
    ------
    ValueError
        Now or later, if there are no items or one has another shape than the first.
    """

    def __init__(self, dataset: IterableDataset[Any]) -> None:
        self.dataset = dataset
        items = iter(dataset)
        first = next(items, None)
        if first is None:
            raise ValueError(_no_items(dataset))
        features = _features_of(first)
        labels = [_label_of(first), *map(_label_of, items)]
        self.shape: tuple[int, ...] = (len(labels), *features.shape)
        self.dtype = features.dtype
        self._labels = labels

    def __len__(self) -> int:
        return self.shape[0]

    def labels(self) -> Any:
        """Return the labels of all items, None if they have none."""
        return _join_labels(self._labels)

    def groups(self, size: int) -> Iterator[tuple[NDArray[np.float32], list[Any]]]:
        """Walk over features and labels of some items at a time.

        Raises
        ------
        ValueError
            If values are not finite, or there are not as many items as at first.
        """
        items, count = iter(self.dataset), 0
        while group := list(islice(items, size)):
            count += len(group)
            if count > len(self):
                break
            features = _stack([_features_of(item) for item in group], self.shape[1:])
            block = np.require(features, np.float32, ["C", "W"])
            assert_all_finite(block, input_name="X")
            yield block, [_label_of(item) for item in group]
        if count != len(self):
            later = "more" if count > len(self) else count
            raise ValueError(
                f"{type(self.dataset).__name__} yielded {len(self)} items at first and "
                f"{later} later: each iterator over it must begin anew."
            )

    def float32_blocks(
        self, block_rows: int
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Walk over the features in blocks of rows."""
        start = 0
        for block, _ in self.groups(block_rows):
            yield slice(start, start + len(block)), block
            start += len(block)


class StreamedRows(TrainingRows):
    """The items of an iterable dataset to train on, in the order in which they come.

    Parameters
    ----------
    X : StreamArray
        Features and labels.

    targets : Targets
        Labels of the items that are trained on.

    rows : ndarray of shape (n_rows,)
        Which items those are: those that have a label.
    """

    def parts(self) -> tuple[Any, ...]:
        """Return what the rows are made of, for a fingerprint."""
        return self._X.dataset, self._X.shape, *super().parts()[1:]

    def blocks(self, most: int | None = None) -> Iterator[Tensor]:
        """Walk over the features of all items, or of the first so many, in blocks."""
        height = max(2, BLOCK_VALUES // int(np.prod(self._X.shape[1:])))
        left = self.n_rows if most is None else most
        for x, _ in self._epoch(height):
            yield x[:left]
            left -= len(x)
            if left <= 0:
                return

    def sample(self, most: int = SAMPLE_ROWS) -> Tensor:
        """Return the features of the first items."""
        return next(self.blocks())[:most]

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Walk over the items once, in their own order."""
        count = 0
        for x, y in self._epoch(batch_size):
            yield x, (y, torch.arange(count, count + len(x)))
            count += len(x)

    def _epoch(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        last: tuple[Tensor, Tensor] | None = None
        for x, y in self._labelled(batch_size):
            if last is None:
                last = x, y
            elif len(x) < 2 or len(last[0]) < 2:
                last = torch.cat([last[0], x]), torch.cat([last[1], y])
            else:
                yield last
                last = x, y
        if last is not None:
            yield last

    def _labelled(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk over features and label indicator of the items with a label."""
        classes = self.targets.classes
        for features, labels in self._X.groups(size):
            if len(classes) == 0:
                no_labels = torch.zeros((len(features), 0))
                yield torch.from_numpy(features), no_labels
                continue
            targets = encode_targets(_join_labels(labels), classes=classes)
            rows = np.flatnonzero(targets.labelled)
            indicator = targets.take(rows).indicator()
            yield torch.from_numpy(features[rows]), torch.from_numpy(indicator)


def _features_of(item: Any) -> NDArray[Any]:
    features = item[0] if isinstance(item, (tuple, list)) else item
    if isinstance(features, Tensor):
        features = features.detach().cpu()
        if features.dtype == torch.bfloat16:
            features = features.float()
    row = np.asarray(features)
    if row.ndim == 0:
        raise ValueError(
            "Items of a dataset must be x or (x, y), where x is an array or tensor of "
            f"features, got a {type(features).__name__}."
        )
    return row


def _label_of(item: Any) -> Any:
    if not isinstance(item, (tuple, list)) or len(item) == 1:
        return None
    if len(item) != 2:
        raise ValueError(
            f"Items of a dataset must be x or (x, y), got {len(item)} of them in one."
        )
    return item[1].detach().cpu().numpy() if isinstance(item[1], Tensor) else item[1]


def _join_labels(labels: list[Any]) -> Any:
    n_missing = sum(label is None for label in labels)
    if n_missing == len(labels):
        return None
    if n_missing:
        raise ValueError(
            f"{n_missing} of {len(labels)} items of the dataset have no label."
        )
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, dtype=object)
    arrays = [np.asarray(label) for label in labels]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(
            "The labels of a dataset's items must have one shape, be a class or a row "
            f"of a label indicator, got {shapes[0]} beside {shapes[1]}."
        )
    return np.stack(arrays)


def _stack(features: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    features = list(features)
    for row in features:
        if row.shape != shape:
            raise ValueError(
                "The features of a dataset's items must have one shape, got "
                f"{row.shape} beside {shape}."
            )
    return np.stack(features) if features else np.empty((0, *shape))


def _no_items(dataset: Dataset[Any]) -> str:
    return f"{type(dataset).__name__} has no items: there is nothing to learn from."
