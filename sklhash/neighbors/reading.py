"""What comes to a search becomes packed codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from sklhash._arrays import refuse_what_is_no_number
from sklhash.codes import MAX_BITS, check_codes
from sklhash.stores import CodeStore

__all__ = ["as_packed", "check_n_bits", "columns_of", "packed_block"]


def as_packed(
    X: NDArray[Any], packed: bool, threshold: float | None
) -> NDArray[np.uint8]:
    """Return codes packed, or real values cut at the threshold and packed."""
    if threshold is not None:
        refuse_what_is_no_number(X)
        with np.errstate(over="ignore"):  # a threshold beyond a small dtype
            X = X > threshold
    return check_codes(X, packed=packed, name="X")


def packed_block(X: Any, *, packed: bool, threshold: float | None) -> NDArray[np.uint8]:
    """Read a block of codes, or of none."""
    real_valued = threshold is not None
    X = check_array(
        X,
        dtype="numeric" if real_valued else None,
        ensure_all_finite=real_valued,
        ensure_min_samples=0,
        input_name="X",
    )
    return as_packed(X, packed, threshold)


def columns_of(X: Any, packed: bool) -> Any:
    """Return no rows of codes in shards, but their columns."""
    if isinstance(X, CodeStore):
        return np.empty((0, X.n_bytes if packed else X.n_bits))
    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: X={X!r}.")
    if hasattr(X, "columns"):
        return X._meta
    if np.isnan(X.shape[1]):
        raise ValueError(
            f"X must have a known number of columns, got shape {X.shape}: "
            "X.compute_chunk_sizes() finds it out."
        )
    return np.empty((0, X.shape[1]))


def check_n_bits(n_bits: int) -> None:
    """Raise a ValueError if codes have more bits than codes may have."""
    if n_bits > MAX_BITS:
        raise ValueError(f"X must have codes of at most {MAX_BITS} bits, got {n_bits}.")
