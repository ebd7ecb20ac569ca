"""Lists and columns of paths, texts and images, and images in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["check_files_exist", "is_path", "listed", "open_image"]


def listed(X: Any) -> list[Any] | None:
    """Return the items of a list, a vector or one column; None if they are numbers.

    Parameters
    ----------
    X : object
        A list, tuple, vector, series, or array or frame of one column.

    Returns
    -------
    items : list or None
        The strings, paths, images, arrays of two dimensions or more, or whatever else
        is no number and no row of numbers.
    """
    if isinstance(X, (list, tuple)):
        items = list(X)
    else:
        shape = getattr(X, "shape", None)
        if isinstance(X, Tensor) or shape is None or np.prod(shape[1:]) != 1:
            return None
        values = np.asarray(X)
        if values.dtype.kind not in "UOT":
            return None
        items = values.ravel().tolist()
    return None if not items or _is_number_or_row(items[0]) else items


def _is_number_or_row(item: Any) -> bool:
    if isinstance(item, str):
        return False
    return isinstance(item, (Number, np.generic, list, tuple)) or (
        isinstance(item, (np.ndarray, Tensor)) and item.ndim < 2
    )


def is_path(item: Any) -> bool:
    """Tell whether an item names a file."""
    return isinstance(item, (str, os.PathLike))


def check_files_exist(items: Sequence[Any]) -> None:
    """Raise FileNotFoundError that names the first path among the items that is not."""
    missing = [
        item for item in items if is_path(item) and not os.path.exists(os.fspath(item))
    ]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(items)} files are not there, the first of them is "
            f"{os.fspath(missing[0])!r}."
        )


def open_image(path: str | os.PathLike[str]) -> Any:
    """Read an image from a file.

    Parameters
    ----------
    path : str or path-like
        A file that Pillow reads.

    Returns
    -------
    image : PIL.Image.Image
        In RGB, turned as its EXIF orientation says.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    ValueError
        If it cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as missing:
        raise ImportError(
            "Images are read with Pillow: pip install 'sklhash[images]'."
        ) from missing
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as an image: {error!r}"
        ) from error
