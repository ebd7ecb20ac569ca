"""What a display reads off an estimator besides what it retrieves: parts, codes, name.

Estimators are reached by their public contract, as in `metrics/retrieval.py`, but no
labels are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.codes import check_codes
from sklhash.metrics.retrieval import take_apart

__all__ = ["codes_of", "name_of", "parts_of"]


def parts_of(estimator: Any) -> list[Any]:
    """Return the steps of an estimator, and those of the hasher within a search."""
    steps, last = take_apart(estimator)
    inner = parts_of(last.hasher_) if hasattr(last, "hasher_") else []
    return [*steps, last, *inner]


def name_of(estimator: Any) -> str:
    """Return the name under which an estimator is drawn: that of its hasher, if any."""
    parts = parts_of(estimator)
    return type((_hashers(parts) or parts)[-1]).__name__


def codes_of(estimator: Any, X: Any) -> tuple[NDArray[np.uint8], int]:
    """Encode rows by a fitted hasher, a search, or a pipeline that ends in one.

    Returns
    -------
    packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
        Packed codes.

    n_bits : int
        Number of bits of a code; eight a byte if nothing tells more.

    Raises
    ------
    TypeError
        If the estimator is neither a hasher nor a search among codes.
    """
    steps, last = take_apart(estimator)
    searches = hasattr(last, "kneighbors")
    if not hasattr(last, "pack" if searches else "transform"):
        raise TypeError(
            "Hashers and searches among codes such as HammingNeighbors have codes, got "
            f"{type(last).__name__}."
        )
    if not searches:
        codes = np.asarray(estimator.transform(X))
        is_packed = bool(getattr(last, "packed", False))
        packed, width = check_codes(codes, packed=is_packed), codes.shape[1]
    else:
        for step in steps:
            X = step.transform(X)
        packed, is_packed = last.pack(X), getattr(last, "packed", True)
        width = getattr(last, "n_features_in_", None)
    if not is_packed:
        return packed, width
    hashers = _hashers(parts_of(estimator))
    return packed, hashers[-1].n_bits_ if hashers else 8 * packed.shape[1]


def _hashers(parts: list[Any]) -> list[Any]:
    return [part for part in parts if hasattr(part, "n_bits_")]
