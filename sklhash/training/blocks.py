"""Blocks of float32 rows out of arrays, memory-mapped files and sparse matrices."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite, gen_batches

__all__ = ["float32_blocks", "float32_rows"]


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
        if min(block.strides) < 0:  # along a single row: torch refuses it
            block = block.copy()
    values = torch.from_numpy(block).view(-1)
    if not isfinite(torch.dot(values, values)):
        assert_all_finite(block, input_name="X")
    return block


def float32_blocks(
    X: Any, block_rows: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Walk over `X` in blocks of rows, so that only one is in memory as float32."""
    if hasattr(X, "float32_blocks"):  # a stream, whose rows have no numbers
        yield from X.float32_blocks(block_rows)
        return
    for rows in gen_batches(X.shape[0], block_rows):
        yield rows, float32_rows(X, rows)
