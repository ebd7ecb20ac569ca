"""Which rows there is something to learn from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash._fitting import stacklevel_of_user
from sklhash.targets import Targets

__all__ = ["labelled_rows", "refuse_missing_y", "refuse_what_tells_nothing_apart"]


def refuse_missing_y(hasher: Any, y: Any, instead: str = "") -> None:
    """Raise a ValueError if `y` is None."""
    if y is None:
        raise ValueError(
            f"This {type(hasher).__name__} estimator requires y to be passed, but "
            f"the target y is None.{instead}"
        )


def labelled_rows(hasher: Any, targets: Targets) -> NDArray[np.intp]:
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
            stacklevel=stacklevel_of_user(),
        )
    return rows


def refuse_what_tells_nothing_apart(targets: Targets, *, by_similarity: bool) -> None:
    """Raise a ValueError if the labels of all rows are the same.

    Parameters
    ----------
    targets : Targets
        Labels of the rows that are learnt from.

    by_similarity : bool
        Whether it is an error, too, that each row shares a label with each other one.
    """
    sizes = targets.labels.sum(axis=1)
    if (sizes == sizes[0]).all() and not _has_dissimilar_rows(targets, [0], sizes[0]):
        raise ValueError("All rows have the same labels: there is nothing to learn.")
    # The rows with the fewest labels are the likeliest to share none with another.
    if by_similarity and not _has_dissimilar_rows(targets, np.argsort(sizes), 1):
        raise ValueError(
            "Every row shares a label with every other one: no row is to be told apart "
            "from another, and there is nothing to learn."
        )


def _has_dissimilar_rows(targets: Targets, rows: Iterable[int], n_shared: int) -> bool:
    """Tell whether one of some rows shares too few labels with any other."""
    labels = targets.labels
    return any((labels @ labels[[row]].T).min() < n_shared for row in rows)
