"""The classes that a file may name: ours, some of others, and trusted ones."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from torch.nn import functional

from sklhash import hashers, neighbors
from sklhash.training.augment import (
    CustomAugmentation,
    FeatureDropout,
    FeatureMixup,
    GaussianNoise,
)
from sklhash.training.backbones import BackboneHead
from sklhash.training.checkpoints import Checkpoint
from sklhash.training.generators import DeviceGenerator
from sklhash.training.heads import HashHead, RowwiseLinear, Standardize

__all__ = ["Classes", "is_known", "name_of"]

_RECORDS = (
    *(Checkpoint, CustomAugmentation, FeatureDropout, FeatureMixup, GaussianNoise),
    *(BackboneHead, DeviceGenerator, HashHead, RowwiseLinear, Standardize),
)
_KNOWN: dict[str, Any] = {
    "sklearn.decomposition.PCA": PCA,
    "sklearn.frozen.FrozenEstimator": FrozenEstimator,
    "sklearn.pipeline.Pipeline": Pipeline,
    "sklearn.preprocessing.MinMaxScaler": MinMaxScaler,
    "sklearn.preprocessing.Normalizer": Normalizer,
    "sklearn.preprocessing.StandardScaler": StandardScaler,
}
_KNOWN |= {f"sklhash.{record.__name__}": record for record in _RECORDS}
_KNOWN |= {
    f"sklhash.{name}": found
    for package in (hashers, neighbors)
    for name in package.__all__
    if inspect.isclass(found := getattr(package, name))
    and issubclass(found, BaseEstimator)
    and not inspect.isabstract(found)
}
_NAMES = {found: name for name, found in _KNOWN.items()}


class Classes:
    """Finds what a file names, without importing anything.

    Parameters
    ----------
    trusted : iterable of type or function
        What else may be named, by its last name.

    Raises
    ------
    TypeError
        If something else is in `trusted`.
    ValueError
        If two of them have the same name.
    """

    def __init__(self, trusted: Iterable[Any] = ()) -> None:
        self._trusted: dict[str, Any] = {}
        if isinstance(trusted, (str, type)) or not isinstance(trusted, Iterable):
            raise TypeError(f"trusted must be a list of classes, got {trusted!r}.")
        for item in trusted:
            if not inspect.isclass(item) and not inspect.isfunction(item):
                raise TypeError(
                    f"trusted must hold classes and functions, got {item!r}."
                )
            if self._trusted.setdefault(item.__name__, item) is not item:
                raise ValueError(
                    f"trusted must have one of each name, got two {item.__name__}."
                )

    def find(self, name: Any, *, wanted: type | None = None) -> Any:
        """Return a class or function.

        Parameters
        ----------
        name : str
            As :func:`name_of` gave it.

        wanted : type, default=None
            What it has to be a subclass of; None is anything.

        Raises
        ------
        ValueError
            If it is none of those that may be named, or another one than is wanted.
        """
        if not isinstance(name, str):
            raise ValueError(f"it has {name!r} in place of the name of a class.")
        found = _KNOWN.get(name)
        found = _of_torch(name) if found is None else found
        found = self._trusted.get(name.rpartition(".")[2]) if found is None else found
        if found is None:
            last = repr(name.rpartition(".")[2])[1:-1]  # what terminals obey is escaped
            raise ValueError(
                f"it names {name!r}, which is none of the classes that sklhash loads. "
                f"If you trust its code, pass it: trusted=[{last}]."
            )
        if wanted is not None and not (
            inspect.isclass(found) and issubclass(found, wanted)
        ):
            raise ValueError(f"it names {name!r} where {wanted.__name__} is wanted.")
        return found

    def also(self, others: Iterable[type]) -> Classes:
        """Return these, and others that come with one that is trusted."""
        classes = Classes()
        classes._trusted = {kind.__name__: kind for kind in others} | self._trusted
        return classes


def is_known(kind: type) -> bool:
    """Tell whether a class is found without being trusted."""
    return kind in _NAMES


def name_of(item: Any, role: str) -> str:
    """Return the name of a class or function, by which it can be found again.

    Parameters
    ----------
    item : type or callable
        The class or function.

    role : str
        What it is, for the error.

    Raises
    ------
    TypeError
        If it has no name, as a lambda.
    """
    if item in _NAMES:
        return _NAMES[item]
    name = item.__name__
    for prefix, namespace in _NAMESPACES.items():
        if getattr(namespace, name, None) is item:
            return f"{prefix}.{name}"
    if not name.isidentifier():
        raise TypeError(
            f"{role} must be a class or a function defined by def to be saved, got "
            f"{item!r}."
        )
    module = str(item.__module__)
    if module.startswith("torch.") and not hasattr(sys.modules[module], name):
        raise TypeError(
            f"{role} must be of a class that can be found again to be saved, got "
            f"{item!r}, which torch has made on the way."
        )
    return f"{module}.{item.__qualname__}"


_NAMESPACES: dict[str, Any] = {
    "torch.nn": torch.nn,
    "torch.optim": torch.optim,
    "torch.nn.functional": functional,
}


_OF_FUNCTIONS = ("torch", "torch._C._nn", "torch.nn.functional")


def _of_torch(name: str) -> Any:
    """Return a layer, optimizer or function of torch, or None."""
    module, _, last = name.rpartition(".")
    if last.startswith("_"):
        return None
    if module == "torch.nn.functional":
        found = vars(functional).get(last)
        is_one = inspect.isroutine(found) and found.__module__ in _OF_FUNCTIONS
        return found if is_one else None
    if module == "torch.optim":
        return _subclass(torch.optim, last, torch.optim.Optimizer)
    if module == "torch.nn":
        return _subclass(torch.nn, last, torch.nn.Module)
    if module.startswith("torch.nn.modules."):
        return _subclass(sys.modules.get(module), last, torch.nn.Module)
    return None


def _subclass(namespace: Any, name: str, wanted: type) -> Any:
    found = None if namespace is None else vars(namespace).get(name)
    return found if inspect.isclass(found) and issubclass(found, wanted) else None
