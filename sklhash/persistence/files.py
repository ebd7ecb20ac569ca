"""save and load: a model as one file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import StrOptions, validate_params
from sklearn.utils.validation import check_is_fitted

from sklhash._files import PathLike
from sklhash.persistence.archive import (
    MmapMode,
    naming_file,
    read_archive,
    write_archive,
)
from sklhash.persistence.classes import Classes
from sklhash.persistence.estimators import ESTIMATOR_KIND
from sklhash.persistence.modules import TORCH_KINDS
from sklhash.persistence.plain import PLAIN_KINDS
from sklhash.persistence.values import Decoder, Encoder
from sklhash.training.recipes import resolve_device

__all__ = ["load", "save"]

_KINDS = [ESTIMATOR_KIND, *TORCH_KINDS, *PLAIN_KINDS]
_PACKAGES = ("numpy", "scikit-learn", "scipy", "sklhash", "skorch", "torch")


@validate_params(
    {"estimator": [BaseEstimator], "path": [str, os.PathLike]},
    prefer_skip_nested_validation=True,
)
def save(estimator: Any, path: PathLike) -> None:
    """Write a fitted estimator into one file, which holds no code.

    The file is a zip, uncompressed: "model.json", which says what the estimator is and
    with which versions it was made, and "arrays.safetensors", its arrays and weights,
    which the safetensors package reads as well. An earlier file stays as it is until
    the new one is complete.

    Parameters
    ----------
    estimator : estimator
        A fitted hasher, :class:`~sklhash.HammingNeighbors` or
        :class:`~sklhash.HashedNeighbors`, or a :class:`~sklearn.pipeline.Pipeline` of
        them and scikit-learn's :class:`~sklearn.preprocessing.StandardScaler`,
        :class:`~sklearn.preprocessing.MinMaxScaler`,
        :class:`~sklearn.preprocessing.Normalizer` and
        :class:`~sklearn.decomposition.PCA`.

    path : str or path-like
        The file.

    Raises
    ------
    TypeError
        If the estimator is another one, or something in it is neither a number, a
        string, an array, a torch module nor a function or class with a name, such as
        skorch's callbacks: ``hasher.set_params(callbacks=None)`` lets go of them.
    ValueError
        If more than eight estimators are in each other.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    See Also
    --------
    load : Opens the file.

    Notes
    -----
    A deep hasher is kept with the state of its optimizer, so that
    :meth:`~sklhash.DeepHasher.partial_fit` and `warm_start` go on as if it had never
    been away. Callbacks of :meth:`set_callbacks`, an `accelerator`, the `memory` of a
    pipeline and requests of metadata are not kept.

    Examples
    --------
    >>> import sklhash, tempfile, os
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = sklhash.LSH(32, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "digits.sklhash")
    ...     sklhash.save(hasher, path)
    ...     loaded = sklhash.load(path)
    >>> bool((loaded.transform(X) == hasher.transform(X)).all())
    True
    """
    check_is_fitted(estimator)
    encoder = Encoder(_KINDS)
    model = encoder.encode(estimator, type(estimator).__name__)
    versions = {package: version(package) for package in _PACKAGES}
    description = {"versions": {"python": platform.python_version(), **versions}}
    write_archive(path, {**description, "model": model}, encoder.arrays)


@validate_params(
    {
        "path": [str, os.PathLike],
        "device": [str, torch.device],
        "mmap_mode": [StrOptions({"r", "c"}), None],
        "verify": ["boolean"],
        "trusted": [list, tuple, set],
    },
    prefer_skip_nested_validation=True,
)
def load(
    path: PathLike,
    device: str | torch.device = "cpu",
    *,
    mmap_mode: MmapMode = None,
    verify: bool = True,
    trusted: Iterable[Any] = (),
) -> Any:
    """Open a file of :func:`save`, without running anything that is in it.

    Nothing is unpickled, imported or called because a file names it. The names in it,
    the sizes and shapes of its arrays and its checksum are checked before an estimator
    is returned; what cannot be right is refused.

    Parameters
    ----------
    path : str or path-like
        The file.

    device : str or torch.device, default="cpu"
        Where networks compute from now on, and searches of codes: "cpu", "cuda",
        "cuda:1" or "mps"; "auto" is CUDA, else MPS, else CPU.

    mmap_mode : {"r", "c"} or None, default=None
        None reads the file. "r" maps its arrays into memory instead, read-only: those
        of a search are not copied, processes share them, and what is not used is not
        read. "c" is the same, but arrays can be changed in memory. The file is never
        changed.

    verify : bool, default=True
        Whether the file is read once to compare its checksum. Without that a changed
        byte in an array goes unnoticed, and a mapped search opens in milliseconds
        whatever its size.

    trusted : list of classes and functions, default=()
        What else the file may name, by its name: classes of a `backbone`, a subclass of
        a hasher, functions that are parameters. Their code is run.

    Returns
    -------
    estimator : estimator
        What was saved. Its `device` parameter, if it is a search, is `device`.

    Raises
    ------
    ValueError
        If the file is not one of :func:`save`, is truncated or damaged, is of another
        format, or names a class that is not known; or if `device` is not there.

    See Also
    --------
    save : Writes the file.

    Notes
    -----
    A checksum tells accidents, not who a file is from, and no check can tell that a
    model is a good one. Loading takes about the memory that the file has bytes, with
    `mmap_mode` less.

    Examples
    --------
    >>> import sklhash, tempfile, os
    >>> codes = [[0, 0, 1, 1], [0, 1, 1, 1]]
    >>> search = sklhash.HammingNeighbors(n_neighbors=1).fit(codes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "search.sklhash")
    ...     sklhash.save(search, path)
    ...     loaded = sklhash.load(path)
    >>> loaded.kneighbors([[0, 0, 0, 1]], return_distance=False)
    array([[0]])
    """
    classes, device = Classes(trusted), resolve_device(device)
    with naming_file(path):
        description, arrays = read_archive(path, mmap_mode, verify=verify)
        decoder = Decoder(_KINDS, arrays, classes, device)
        estimator = decoder.decode(description["model"])
        decoder.finish()
        check_is_fitted(estimator)
    return estimator
