"""Which rows there is something to learn from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.targets import Targets

__all__ = ["labelled_rows", "refuse_missing_y"]


def refuse_missing_y(hasher: Any, y: Any, instead: str = "") -> None:
    """Raise a ValueError if `y` is None."""
    if y is None:
        raise ValueError(
            f"This {type(hasher).__name__} estimator requires y to be passed, but "
            f"the target y is None.{instead}"
        )


def labelled_rows(
    hasher: Any, targets: Targets, *, stacklevel: int
) -> NDArray[np.intp]:
    """Return the numbers of the rows with a label, with a warning if there are others.

    Raises
    ------
    ValueError
        If fewer than two rows have a label, or there are fewer than two classes.
    """
    name = type(hasher).__name__
    rows = np.flatnonzero(targets.labelled)
    if len(rows) == 0:
        raise ValueError("No row of y has a label: there is nothing to learn.")
    if len(rows) == 1:
        raise ValueError(f"{name} needs at least 2 labelled rows, got n_samples=1.")
    if targets.n_classes < 2:
        raise ValueError(
            f"{name} needs at least 2 classes to tell apart, got "
            f"{targets.n_classes} class."
        )
    if len(rows) < len(targets):
        warnings.warn(
            f"{len(targets) - len(rows)} of {len(targets)} rows have no label and "
            "are left out of the training.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return rows
