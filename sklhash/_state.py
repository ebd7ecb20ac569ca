"""Estimators that files can hold: what of them, and how it is checked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

__all__ = [
    "FEATURES",
    "Check",
    "Checks",
    "Sizes",
    "Storable",
    "absent_or",
    "array_of",
    "check_shape",
    "check_state",
    "fields",
    "fitted_attributes",
    "flag",
    "instance_of",
    "list_of",
    "none_or",
    "not_empty",
    "number",
    "number_or_array_of",
    "one_of",
    "owned",
    "positive",
    "size",
    "strings",
    "whole",
    "word",
]

Sizes = dict[str, int]
Check = Callable[[Any, Sizes], None]
Checks = Mapping[str, Check]


def check_state(
    state: dict[str, Any],
    checks: Checks,
    *,
    of: str,
    sizes: Sizes | None = None,
    others: bool = False,
) -> Sizes:
    """Refuse fitted attributes that a class does not have or that do not fit together.

    Parameters
    ----------
    state : dict
        The attributes.

    checks : mapping of str to callable
        What each must be, those first that others have the size of.

    of : str
        Name of the class, for the error.

    sizes : dict of str to int, default=None
        Sizes that are known.

    others : bool, default=False
        Whether there may be other attributes.

    Returns
    -------
    sizes : dict of str to int
        All sizes, by their names in the checks.

    Raises
    ------
    ValueError
        If an attribute is missing, unknown, or not what it must be.
    """
    sizes = {} if sizes is None else sizes
    unknown = [] if others else [name for name in state if name not in checks]
    if unknown:
        raise ValueError(f"{of} has no fitted attributes {unknown}.")
    for name, check in checks.items():
        if name in state:
            try:
                check(state[name], sizes)
            except ValueError as bad:
                raise ValueError(f"{name} of {of} must be {bad}.") from None
        elif not getattr(check, "may_be_absent", False):
            raise ValueError(f"{of} has to have the fitted attribute {name}.")
    return sizes


def whole(at_least: int = 0) -> Check:
    """Return the check for a whole number."""

    def check(value: Any, sizes: Sizes) -> None:
        if not _is_whole(value) or value < at_least:
            raise ValueError(f"a whole number from {at_least} on, got {value!r}")

    return check


def size(name: str) -> Check:
    """Return the check for a whole number that others have as a size."""

    def check(value: Any, sizes: Sizes) -> None:
        whole(1)(value, sizes)
        if sizes.setdefault(name, int(value)) != value:
            raise ValueError(f"{sizes[name]}, got {value}")

    return check


def number(value: Any, sizes: Sizes) -> None:
    """Check a number."""
    if not _is_whole(value) and not isinstance(value, (float, np.floating)):
        raise ValueError(f"a number, got {value!r}")


def positive(value: Any, sizes: Sizes) -> None:
    """Check a number above 0."""
    number(value, sizes)
    if not value > 0:
        raise ValueError(f"a number above 0, got {value!r}")


def flag(value: Any, sizes: Sizes) -> None:
    """Check a bool."""
    if not isinstance(value, bool):
        raise ValueError(f"a bool, got {value!r}")


def list_of(item: Check) -> Check:
    """Return the check for a list or a tuple."""

    def check(value: Any, sizes: Sizes) -> None:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"a list, got {value!r}")
        for part in value:
            item(part, sizes)

    return check


def word(value: Any, sizes: Sizes) -> None:
    """Check a string."""
    if not isinstance(value, str):
        raise ValueError(f"a string, got {value!r}")


def instance_of(kind: type) -> Check:
    """Return the check for an instance of a class."""

    def check(value: Any, sizes: Sizes) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"a {kind.__name__}, got {type(value).__name__}")

    return check


def one_of(*words: str) -> Check:
    """Return the check for one of some strings."""

    def check(value: Any, sizes: Sizes) -> None:
        if value not in words:
            raise ValueError(f"one of {words}, got {value!r}")

    return check


def array_of(dtype: str, *shape: str | int, below: str | None = None) -> Check:
    """Return the check for an array.

    Parameters
    ----------
    dtype : str
        Letters of the kinds of dtype that it may have; with digits, one dtype.

    *shape : str or int
        Its shape. The first array with a size that has no number yet gives it one.

    below : str, default=None
        Name of the size that its entries, which are indices, are below.
    """

    def check(value: Any, sizes: Sizes) -> None:
        if not isinstance(value, np.ndarray):
            raise ValueError(f"an array, got {type(value).__name__}")
        fits = value.dtype.kind in dtype if dtype.isalpha() else value.dtype == dtype
        if not fits:
            raise ValueError(f"an array of dtype {dtype}, got {value.dtype}")
        check_shape(value.shape, shape, sizes)
        if below is not None and not ((value >= 0) & (value < sizes[below])).all():
            raise ValueError(f"an array of indices below {sizes[below]}, got others")

    return check


def check_shape(
    found: tuple[int, ...], wanted: tuple[str | int, ...], sizes: Sizes
) -> None:
    """Refuse another shape; a size that has no number yet is given one."""
    numbers = tuple(sizes.get(str(n), n) for n in wanted)
    if len(found) != len(wanted) or any(
        isinstance(n, int) and n != m for n, m in zip(numbers, found, strict=True)
    ):
        raise ValueError(f"an array of shape {numbers}, got {found}")
    for name, n in zip(wanted, found, strict=True):
        if isinstance(name, str):
            sizes[name] = n


def number_or_array_of(dtype: str, *shape: str) -> Check:
    """Return the check for a number, or for an array."""

    def check(value: Any, sizes: Sizes) -> None:
        if isinstance(value, np.ndarray):
            array_of(dtype, *shape)(value, sizes)
        else:
            number(value, sizes)

    return check


def strings(*shape: str) -> Check:
    """Return the check for an object array of strings."""

    def check(value: Any, sizes: Sizes) -> None:
        array_of("O", *shape)(value, sizes)
        if not all(isinstance(item, str) for item in value.flat):
            raise ValueError("an array of strings")

    return check


def fields(**checks: Check) -> Check:
    """Return the check for a dict of some names."""

    def check(value: Any, sizes: Sizes) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"of the parts {list(checks)}, got {value!r}")
        check_state(value, checks, of="it", sizes=sizes)

    return check


def none_or(check: Check) -> Check:
    """Return the check for None, or what another one allows."""

    def check_unless_none(value: Any, sizes: Sizes) -> None:
        if value is not None:
            check(value, sizes)

    return check_unless_none


def not_empty(check: Check) -> Check:
    """Return the check for an array of at least one row."""

    def check_rows(value: Any, sizes: Sizes) -> None:
        check(value, sizes)
        if len(value) == 0:
            raise ValueError("an array of at least one row")

    return check_rows


def absent_or(check: Check) -> Check:
    """Return the check for an attribute that need not be there."""

    def check_if_there(value: Any, sizes: Sizes) -> None:
        check(value, sizes)

    check_if_there.may_be_absent = True  # type: ignore[attr-defined]
    return check_if_there


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


FEATURES: Checks = {
    "n_features_in_": size("n_features"),
    "feature_names_in_": absent_or(strings("n_features")),
}

# What an estimator has besides its parameters and what it has learnt.
_PASSING = (
    *("_callback_fit_ctx", "_parent_callback_ctx", "_propagated_callbacks"),
    *("_skl_callbacks", "_skl_callbacks_to_teardown"),
    *("_metadata_request", "_sklearn_output_config"),
)


class Storable:
    """An estimator that :func:`sklhash.save` writes and :func:`sklhash.load` reads."""

    _not_stored: ClassVar[tuple[str, ...]] = ()  # parameters that are None in a file

    def _fitted_state(self) -> dict[str, Any]:
        """Return what a file has to hold beside the parameters."""
        return fitted_attributes(self)

    @abstractmethod
    def _take_fitted_state(
        self, state: dict[str, Any], *, device: str, others: bool
    ) -> None:
        """Become the estimator whose state this is.

        Parameters
        ----------
        state : dict
            Of `_fitted_state`; its arrays may be read-only.

        device : str
            Where to compute.

        others : bool
            Whether attributes may come that are not known, those of a class that is not
            sklhash's.

        Raises
        ------
        ValueError
            If it does not fit together.
        """

    def _module_types(self) -> set[type]:
        """Return the classes of torch modules that a file may name for its state."""
        return set()


def owned(value: Any) -> Any:
    """Return a value out of a file, arrays as copies that can be changed."""
    return np.array(value) if isinstance(value, np.ndarray) else value


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return what an estimator has learnt, by name."""
    others = {*estimator.get_params(deep=False), *_PASSING}
    return {name: v for name, v in vars(estimator).items() if name not in others}
