"""What displays check of what they are made of."""

from __future__ import annotations

from typing import Any

from sklhash._arrays import as_array

__all__ = ["check_axes", "check_curve", "check_shape"]


def check_curve(**coordinates: Any) -> None:
    """Raise a ValueError unless all are vectors of as many numbers."""
    arrays = {name: as_array(values, name) for name, values in coordinates.items()}
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{name} must be a vector of numbers, got an array of shape "
                f"{array.shape} and dtype {array.dtype}."
            )
    lengths = [len(array) for array in arrays.values()]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"{', '.join(arrays)} must be of one length, got "
            f"{', '.join(map(str, lengths))}."
        )


def check_shape(values: Any, name: str, *shapes: tuple[int, ...]) -> None:
    """Raise a ValueError unless an array has one of some shapes."""
    if values.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must be of shape {wanted}, got {values.shape}.")


def check_axes(axes: Any, n_axes: int, what: str) -> None:
    """Raise an error unless a vector holds so many matplotlib axes."""
    if len(axes) != n_axes:
        raise ValueError(f"ax must be {n_axes} axes, {what}, got {len(axes)}.")
    others = [ax for ax in axes if not hasattr(ax, "get_figure")]
    if others:
        raise TypeError(f"ax must be matplotlib axes, got {others[0]!r} among them.")
