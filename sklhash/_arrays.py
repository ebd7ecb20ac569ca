"""What users pass becomes an array, or an error that says which argument it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_array", "refuse_masked", "refuse_what_is_no_number"]


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return `values` as an array, without a copy if they are one.

    Raises
    ------
    ValueError
        If numpy makes no array of them, such as of rows of different lengths, or some
        of them are masked.
    """
    refuse_masked(values, name)
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array: {error}") from error


def refuse_masked(values: Any, name: str) -> None:
    """Raise a ValueError if some entries of a masked array are masked."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked entries, which say nothing: leave their rows out."
        )


def refuse_what_is_no_number(X: Any) -> None:
    """Raise a ValueError if a matrix has a dtype other than that of real numbers."""
    if X.dtype.kind not in "buif":
        raise ValueError(f"X must hold real numbers, got dtype {X.dtype}.")
