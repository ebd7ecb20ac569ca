"""Vectors that a shortlist is ordered by again, and the distances that order it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

__all__ = ["DISTANCES", "Vectors", "as_rows"]


class Vectors:
    """Feature vectors as they were given, in blocks, so that all are never copied.

    Parameters
    ----------
    blocks : list of {ndarray, csr_array} of shape (n_rows, ...)
        Rows of the same shape.
    """

    def __init__(self, blocks: list[Any]) -> None:
        self.blocks = blocks
        self._starts = np.cumsum([0, *(block.shape[0] for block in blocks)])
        self._n_columns = math.prod(blocks[0].shape[1:])
        self._dtype = np.result_type(np.float32, *(block.dtype for block in blocks))
        self.bytes_a_row = self._n_columns * self._dtype.itemsize

    @property
    def n_rows(self) -> int:
        """Number of vectors."""
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return some rows, dense and flat, as float32 or float64."""
        taken = np.empty((len(rows), self._n_columns), self._dtype)
        block_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(block_of_row):
            here = np.flatnonzero(block_of_row == number)
            part = self.blocks[number][rows[here] - self._starts[number]]
            part = part.toarray() if sparse.issparse(part) else part
            taken[here] = part.reshape(len(here), self._n_columns)
        return taken

    def followed_by(self, block: Any, n_rows: int) -> Vectors:
        """Return the first `n_rows` rows with a block behind them.

        Blocks behind the first are merged with it if they are no longer, so that there
        are few, and no row is copied often.
        """
        kept = [
            earlier if start + earlier.shape[0] <= n_rows else earlier[: n_rows - start]
            for earlier, start in zip(self.blocks, self._starts[:-1], strict=True)
            if start < n_rows
        ]
        stack = sparse.vstack if sparse.issparse(block) else np.concatenate
        while (
            len(kept) > 1
            and type(kept[-1]) is type(block) is not np.memmap
            and kept[-1].shape[0] <= block.shape[0]
        ):
            block = stack((kept.pop(), block))
        return Vectors([*kept, block])


def as_rows(X: Any, *, copy: bool = False) -> Any:
    """Return checked features as an array or CSR matrix, memory-mapped ones as such."""
    if hasattr(X, "detach"):
        X = X.detach().cpu().float()
    if not (isinstance(X, np.ndarray) and X.dtype.kind in "buif"):
        X = check_array(X, accept_sparse="csr", allow_nd=True, ensure_all_finite=False)
    return X.copy() if copy and not isinstance(X, np.memmap) else X


# Matrix products would be faster, but round differently for equal rows.
def _dots(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.einsum("ij,ij->i", a, b)


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    norms = np.sqrt(_dots(a, a)) * np.sqrt(_dots(b, b))
    similarity = np.divide(_dots(a, b), norms, np.zeros_like(norms), where=norms > 0)
    return np.clip(1 - similarity, 0, 2)


def _euclidean(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.sqrt(_dots(a - b, a - b))


def _asymmetric(values: NDArray[Any], bits: NDArray[np.uint8]) -> NDArray[Any]:
    return _dots(np.abs(values), (values > 0) != bits)


DISTANCES: dict[str, Callable[..., NDArray[Any]]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
    "asymmetric": _asymmetric,
}
