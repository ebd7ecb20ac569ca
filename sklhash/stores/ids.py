"""Ids of codes: whole numbers, or strings of a fixed width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash._arrays import as_array

__all__ = ["as_ids"]


def as_ids(ids: Any, n_samples: int) -> NDArray[Any]:
    """Return ids as int64, or as fixed-width strings or bytes.

    Parameters
    ----------
    ids : array-like of shape (n_samples,)
        Whole numbers, strings or bytes; an index of pandas too.

    n_samples : int
        How many there have to be.

    Returns
    -------
    ids : ndarray of shape (n_samples,)
        Of dtype int64, ``<U`` or ``S``.

    Raises
    ------
    ValueError
        If they are others, or not as many.
    """
    ids = as_array(ids, "ids")
    if ids.shape != (n_samples,):
        raise ValueError(
            f"ids must be one a row, of shape ({n_samples},), got {ids.shape}."
        )
    if ids.dtype.kind in ("O", "T"):
        ids = _typed(ids.tolist(), ids.dtype)
    kind = ids.dtype.kind
    if kind in "US":
        wide = ids if ids.dtype.itemsize else ids.astype(f"{kind}1")
        return wide.astype(wide.dtype.newbyteorder("<"), copy=False)
    if kind not in "iu" or (n_samples and ids.max() > np.iinfo(np.int64).max):
        raise ValueError(
            "ids must be whole numbers of at most 64 bits, strings or bytes, got "
            f"dtype {ids.dtype}."
        )
    return ids.astype("<i8", copy=False)


def _typed(items: list[Any], dtype: Any) -> NDArray[Any]:
    """Return objects as an array of what all of them are."""
    for kind in (str, bytes, int):
        if all(isinstance(item, kind) for item in items):
            break
    else:
        raise ValueError(
            "ids must be whole numbers, strings or bytes, all of one kind, got an "
            f"array of dtype {dtype} with others."
        )
    ids = np.array(items, dtype=None if kind is int else kind)
    if kind is not int and ids.tolist() != items:
        raise ValueError("ids must not end in a null character, which is lost.")
    return ids
