"""PathLoader: files as one array."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from sklhash._validation import N_JOBS, Interval
from sklhash.feature_extraction.batches import joined
from sklhash.feature_extraction.items import (
    check_files_exist,
    is_path,
    listed,
    open_image,
)

__all__ = ["PathLoader"]

Size = int | tuple[int, int]


class PathLoader(TransformerMixin, BaseEstimator):
    """Load a column of file paths into one array.

    It stands before a hasher with a `backbone`, which learns from images themselves.
    For features of a frozen network, :class:`TorchFeatureExtractor` takes the paths.

    Nothing is learned, so that :meth:`transform` works without :meth:`fit`.

    Parameters
    ----------
    load : callable, default=None
        ``load(path)`` returns what the file holds as an array, of one shape for all
        files. None loads images with Pillow: RGB, uint8, turned as their EXIF
        orientation says.

    size : int or (int, int), default=None
        Height and width that images are scaled to, one number for both; they keep their
        proportions, and what stands out at the sides is cut off. None leaves images as
        they are, and then all must have one size. Only for images.

    channels : {"first", "last"}, default="first"
        Whether an image is (3, height, width), as torch's networks want it, or
        (height, width, 3). Only for images.

    n_jobs : int, default=None
        Threads that load files. None is one, -1 as many as there are cores.

    See Also
    --------
    TorchFeatureExtractor : Features of the images in files.

    Examples
    --------
    >>> import sklearn.datasets
    >>> from pathlib import Path
    >>> from sklhash import PathLoader
    >>> folder = Path(sklearn.datasets.__file__).parent / "images"
    >>> paths = [folder / "china.jpg", folder / "flower.jpg"]
    >>> PathLoader(size=64).fit_transform(paths).shape
    (2, 3, 64, 64)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "load": [callable, None],
        "size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "channels": [StrOptions({"first", "last"})],
        "n_jobs": N_JOBS,
    }

    def __init__(
        self,
        load: Callable[[Any], Any] | None = None,
        *,
        size: Size | None = None,
        channels: Literal["first", "last"] = "first",
        n_jobs: int | None = None,
    ) -> None:
        self.load = load
        self.size = size
        self.channels = channels
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the paths.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Paths.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The loader.
        """
        self._check_size()
        _check_paths(X)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Load files.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Paths: a list, vector, series, or array or frame of one column.

        Returns
        -------
        loaded : ndarray of shape (n_samples, ...)
            What the files hold; images are uint8.

        Raises
        ------
        FileNotFoundError
            If a file is not there; all are looked up before the work begins.

        TypeError
            If `X` holds something else than paths.

        ValueError
            If a file cannot be loaded, or has another shape or dtype than the first.
        """
        self._validate_params()
        self._check_size()
        paths = _check_paths(X)
        loading = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        loaded = loading(delayed(self._load)(path) for path in paths)
        return joined(_alike(loaded, paths), len(paths))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_size(self) -> None:
        if self.size is None:
            return
        if self.load is not None:
            raise ValueError(f"size={self.size!r} is for images, and load is given.")
        sizes = np.atleast_1d(self.size)
        if sizes.shape not in {(1,), (2,)} or sizes.dtype.kind != "i" or min(sizes) < 1:
            raise ValueError(
                "size must be a positive whole number or a (height, width) of them, "
                f"got {self.size!r}."
            )

    def _load(self, path: Any) -> NDArray[Any]:
        if self.load is None:
            return self._load_image(path)
        try:
            return np.asarray(self.load(path))
        except Exception as error:
            raise ValueError(
                f"{os.fspath(path)!r} cannot be loaded: {error!r}"
            ) from error

    def _load_image(self, path: Any) -> NDArray[np.uint8]:
        image = open_image(path)
        if self.size is not None:
            from PIL import ImageOps

            height, width = np.broadcast_to(self.size, 2).tolist()
            image = ImageOps.fit(image, (width, height))
        pixels = np.asarray(image)
        return np.moveaxis(pixels, 2, 0) if self.channels == "first" else pixels


def _check_paths(X: Any) -> list[Any]:
    paths = listed(X)
    if paths is None:
        if isinstance(X, (list, tuple, np.ndarray)) and len(X) == 0:
            raise ValueError("X must hold at least one path, got none.")
        raise TypeError(f"X must be a list or column of paths, got {type(X).__name__}.")
    others = [path for path in paths if not is_path(path)]
    if others:
        raise TypeError(
            "X must hold paths, str or os.PathLike, got one of type "
            f"{type(others[0]).__name__}."
        )
    check_files_exist(paths)
    return paths


def _alike(loaded: Iterator[NDArray[Any]], paths: list[Any]) -> Iterator[NDArray[Any]]:
    """Give what was loaded as blocks of one row, all of one shape and dtype."""
    first = None
    for array, path in zip(loaded, paths, strict=True):
        kind = array.shape, array.dtype
        first = first or kind
        if kind != first:
            raise ValueError(
                "All files must hold arrays of one shape and dtype: "
                f"{os.fspath(path)!r} has {kind[0]} of {kind[1]}, the first, "
                f"{os.fspath(paths[0])!r}, has {first[0]} of {first[1]}. For images, "
                "size brings them to one."
            )
        yield array[None]
