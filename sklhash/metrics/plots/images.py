"""Images as people have them, in the form that can be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklhash._validation import check_array_like, is_whole_number

__all__ = ["check_one_each", "take_images"]


def check_one_each(images: Any, n_rows: int, name: str) -> None:
    """Refuse images of another number than the rows that they show."""
    if sparse.issparse(images):
        raise ValueError(f"{name} must be a dense array, got a sparse one.")
    check_array_like(images, name)
    if len(images) != n_rows:
        raise ValueError(
            f"{name} must be {n_rows}, one for each row, got {len(images)}."
        )


def take_images(
    images: Any, rows: NDArray[np.int64], image_shape: Any, name: str
) -> NDArray[Any]:
    """Return some of the images.

    Parameters
    ----------
    images : array-like of shape (n_images, height, width), (n_images, height, width, \
            3) or, with `image_shape`, of another shape of as many values
        Grey or colour images.

    rows : ndarray of shape (n_rows,), dtype=int64
        Which of them.

    image_shape : tuple of int or None
        Shape of an image, if they come in another one.

    name : str
        What errors call the images.

    Returns
    -------
    chosen : ndarray of shape (n_rows, height, width) or (n_rows, height, width, 3)

    Raises
    ------
    ValueError
        If the images are of another shape, no numbers, or floats in colour outside of
        0 to 1.
    """
    chosen = np.asarray(images)[rows]
    if image_shape is not None:
        chosen = _in_shape(chosen, tuple(image_shape), name)
    if chosen.ndim != 3 and (chosen.ndim != 4 or chosen.shape[3] != 3):
        raise ValueError(
            f"{name} must be of shape (n, height, width) or (n, height, width, 3), or "
            f"flat rows with image_shape=..., got {chosen.shape[1:]} for an image."
        )
    if chosen.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, got dtype {chosen.dtype}.")
    colour_floats = chosen.ndim == 4 and chosen.dtype.kind == "f"
    if colour_floats and not ((chosen >= 0) & (chosen <= 1)).all():
        raise ValueError(
            f"{name} in colour must be uint8 or floats from 0 to 1, got floats from "
            f"{chosen.min()} to {chosen.max()}."
        )
    return chosen


def _in_shape(
    images: NDArray[Any], image_shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    if len(image_shape) not in (2, 3) or not all(
        is_whole_number(size) and size > 0 for size in image_shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, 3), got "
            f"{image_shape}."
        )
    flat = images.reshape(len(images), -1)
    if flat.shape[1] != np.prod(image_shape):
        raise ValueError(
            f"{name} must have {np.prod(image_shape)} values each for image_shape="
            f"{image_shape}, got {flat.shape[1]}."
        )
    return flat.reshape(-1, *image_shape)
