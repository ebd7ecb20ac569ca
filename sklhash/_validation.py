"""What parameters and arguments must be, beside scikit-learn's constraints."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _param_validation
from sklearn.utils.validation import _is_arraylike_not_scalar, _num_samples

from sklhash._arrays import refuse_masked

__all__ = [
    "N_JOBS",
    "Interval",
    "check_array_like",
    "check_boolean",
    "check_count",
    "check_path",
    "check_same_length",
    "is_whole_number",
]


class Interval(_param_validation.Interval):
    """Scikit-learn's constraint, which True and False do not satisfy as 1 and 0."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Tell whether a value is a number in the interval."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


N_JOBS = [
    None,
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
]
"""Constraints of joblib's number of workers, where 0 has no meaning."""


def is_whole_number(value: Any) -> bool:
    """Tell whether a value is an integer, Python's or numpy's, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_count(value: Any, name: str) -> None:
    """Raise an error if a value is no integer, or less than 1."""
    if not is_whole_number(value):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}.")


def check_boolean(value: Any, name: str) -> None:
    """Raise a TypeError if a value is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}.")


def check_path(value: Any, name: str = "path") -> None:
    """Raise a TypeError if a value is no path."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a str or path-like, got {value!r}.")


def check_array_like(value: Any, name: str) -> None:
    """Raise an error if a value is no array, frame, sparse matrix or sequence.

    Nor may entries be masked, which scikit-learn would not see.
    """
    if not (_is_arraylike_not_scalar(value) or sparse.issparse(value)):
        raise TypeError(f"{name} must be array-like, got {value!r}.")
    refuse_masked(value, name)


def check_same_length(**arrays: Any) -> None:
    """Raise an error that names them if arrays are none, or differ in length."""
    for name, array in arrays.items():
        check_array_like(array, name)
    lengths = [_num_samples(array) for array in arrays.values()]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{' and '.join(arrays)} must have as many rows, got inconsistent numbers "
            f"of samples: {' and '.join(map(str, lengths))}."
        )
