"""A database of codes in shards, as scores see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash._dask import is_dask
from sklhash.codes import check_codes
from sklhash.sharding.places import Merge
from sklhash.sharding.shards import Shard, Shards, joined_labels
from sklhash.sharding.sources import sources_of
from sklhash.stores import CodeStore

__all__ = ["ShardedCodes", "ShardedLabels", "is_sharded", "sharded_codes"]


class ShardedCodes:
    """Packed codes in shards, of which some may have been removed.

    numpy makes an array of them, which brings all codes here.

    Parameters
    ----------
    shards : Shards
        The codes and their labels.

    n_bytes : int
        Bytes of a packed code.

    live : ndarray of shape (n_rows,), dtype=bool, or None
        The rows that are there; None if all are.
    """

    dtype = np.dtype(np.uint8)
    ndim = 2

    def __init__(
        self, shards: Shards, n_bytes: int, live: NDArray[np.bool_] | None = None
    ) -> None:
        self._shards = shards
        self.n_bytes = n_bytes
        self._live = shards.cut(live)
        self.lengths: list[int] = [
            length if rows is None else int(rows.sum())
            for rows, length in zip(self._live, shards.lengths, strict=True)
        ]

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_bytes)."""
        return len(self), self.n_bytes

    @property
    def starts(self) -> list[int]:
        """Number of codes before each shard."""
        return [0, *accumulate(self.lengths)][:-1]

    @property
    def labels(self) -> ShardedLabels | None:
        """The labels, which lie with the codes; None if there are none."""
        return None if self._shards.sources[0].y is None else ShardedLabels(self)

    def map(
        self,
        function: Callable[..., Any],
        *each: list[Any],
        shared: tuple[Any, ...] = (),
    ) -> list[Any]:
        """Call ``function(codes, y, *of_each, *shared)`` for each shard."""
        on_items = partial(_on_items, function)
        return self._shards.map(on_items, self._live, *each, shared=shared)

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Merge,
        *each: list[Any],
        shared: tuple[Any, ...] = (),
    ) -> Any:
        """Merge what :meth:`map` returns, as :meth:`Shards.reduce` does."""
        on_items = partial(_on_items, function)
        return self._shards.reduce(on_items, merge, self._live, *each, shared=shared)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.concatenate(self.map(_codes_of)).astype(dtype or self.dtype)


class ShardedLabels:
    """The labels of codes in shards.

    Parameters
    ----------
    codes : ShardedCodes
        The codes.
    """

    def __init__(self, codes: ShardedCodes) -> None:
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def joined(self) -> Any:
        """Return all labels, as an array or a csr_array."""
        return joined_labels(self.codes.map(_labels_of))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        labels = self.joined()
        return np.asarray(labels.toarray() if hasattr(labels, "indptr") else labels)


def is_sharded(X: Any) -> bool:
    """Tell whether `X` is a Dask collection, a store, or codes in shards."""
    return is_dask(X) or isinstance(X, (CodeStore, ShardedCodes))


def sharded_codes(X: Any, y: Any, *, packed: bool, name: str) -> ShardedCodes:
    """Return codes in shards with their labels.

    Parameters
    ----------
    X : Dask array or data frame, or CodeStore
        Codes.

    y : ndarray, csr_array or Dask collection
        Their labels.

    packed : bool
        Whether codes of a Dask collection are packed; those of a store are.

    name : str
        What errors call the codes.

    Returns
    -------
    codes : ShardedCodes

    Raises
    ------
    ValueError
        If `X` does not hold codes, or not as many as `y` has labels.
    """
    read = partial(check_codes, packed=packed, name=name)
    shards = Shards(sources_of(X, y), read)
    if isinstance(X, CodeStore):
        return ShardedCodes(shards, X.n_bytes)
    n_columns = len(X.columns) if hasattr(X, "columns") else X.shape[1]
    return ShardedCodes(shards, n_columns if packed else -(-n_columns // 8))


def _on_items(
    function: Callable[..., Any], shard: Shard, live: Any, *arguments: Any
) -> Any:
    return function(*shard.items(live), *arguments)


def _codes_of(codes: NDArray[np.uint8], y: Any) -> NDArray[np.uint8]:
    return codes


def _labels_of(codes: NDArray[np.uint8], y: Any) -> Any:
    return y
