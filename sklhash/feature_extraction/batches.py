"""Batches of items, and blocks of rows joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate

__all__ = ["batches_of", "first_of", "joined", "stacked"]


def _each(dataset: Any) -> Iterator[Any]:
    return (dataset[i] for i in range(len(dataset)))


def batches_of(X: Any, batch_size: int) -> Iterator[Any]:
    """Cut what came into lists of items, or blocks of an array."""
    if not isinstance(X, Dataset):
        yield from (X[rows] for rows in gen_batches(len(X), batch_size))
        return
    items = iter(X if isinstance(X, IterableDataset) else _each(X))
    while batch := [_without_label(item) for item in islice(items, batch_size)]:
        yield batch


def first_of(X: Any) -> Any:
    """Return the first item as a list or block of one."""
    return next(batches_of(X, 1), [])


def _without_label(item: Any) -> Any:
    return item[0] if isinstance(item, (tuple, list)) else item


def stacked(items: list[Any]) -> Any:
    """Make a batch of items that are numbers of one shape."""
    if not isinstance(items[0], (Tensor, np.ndarray, Number, Mapping)):
        raise TypeError(
            f"items of type {type(items[0]).__name__} need preprocess, which makes of "
            "one the tensor that module takes, or collate, which makes a batch of a "
            "list of them."
        )
    try:
        return default_collate(items)
    except RuntimeError as error:
        shapes = sorted({np.shape(item) for item in items})
        raise ValueError(
            f"The items of a batch must have one shape, got {shapes}: let preprocess "
            "bring them to one size."
        ) from error


def joined(blocks: Iterator[NDArray[Any]], n_rows: int | None) -> NDArray[Any]:
    """Join blocks of rows; if their number is known, without a second copy.

    Parameters
    ----------
    blocks : iterator of ndarray of shape (n_rows_of_block, ...)
        Blocks, all of the shape and dtype of the first but for their heights.

    n_rows : int or None
        How many rows there are in all.

    Returns
    -------
    joined : ndarray of shape (n_rows, ...)
        All rows.

    Raises
    ------
    ValueError
        If there is no block, or one has rows of another shape than the first.
    """
    first = next(blocks, None)
    if first is None:
        raise ValueError("X must hold at least one item, got none.")
    every = _of_one_shape(chain([first], blocks))
    if n_rows is None:
        return np.concatenate([*every])
    rows = np.empty((n_rows, *first.shape[1:]), first.dtype)
    start = 0
    for block in every:
        rows[start : start + len(block)] = block
        start += len(block)
    return rows


def _of_one_shape(blocks: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    shape = None
    for block in blocks:
        shape = shape or block.shape[1:]
        if block.shape[1:] != shape:
            raise ValueError(
                f"All rows must have one shape, got {block.shape[1:]} in one batch and "
                f"{shape} in the first."
            )
        yield block
