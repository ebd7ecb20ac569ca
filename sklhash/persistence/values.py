"""Values as JSON and arrays: what an encoder writes, and a decoder reads back.

A value that JSON has no word for becomes an object with one name, its kind. Which kinds
there are is a list: those of plain values are in `plain`, of torch in `modules`, of
estimators in `estimators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklhash.persistence.classes import Classes

__all__ = ["Decoder", "Encoder", "Kind", "is_native", "shortened"]

MOST_NESTED = 8  # a pipeline of pipelines of frozen hashers has four

_AS_THEY_ARE = (type(None), bool, int, str)


class Kind(NamedTuple):
    """Values that are written in one way.

    Parameters
    ----------
    tag : str
        The name of the JSON object.

    is_one : callable
        ``is_one(value)`` tells whether a value is of this kind.

    encode : callable
        ``encode(value, encoder, name)`` returns what JSON can hold.

    decode : callable
        ``decode(parts, decoder)`` returns the value.
    """

    tag: str
    is_one: Callable[[Any], bool]
    encode: Callable[[Any, Encoder, str], Any]
    decode: Callable[[Any, Decoder], Any]


class _Nest:
    """Counts estimators that are in each other."""

    _depth = 0

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Refuse what takes scikit-learn four times as long for each one around it."""
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise ValueError(
                f"{name} is the innermost of more than {MOST_NESTED} estimators in "
                "each other, which files cannot hold."
            )
        try:
            yield
        finally:
            self._depth -= 1


class Encoder(_Nest):
    """Turns values into what JSON can hold, and takes their arrays out.

    Parameters
    ----------
    kinds : sequence of Kind
        The first that a value is of is taken.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays so far. None is a copy.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds
        self.arrays: dict[str, NDArray[Any]] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return what JSON can hold.

        Parameters
        ----------
        value : object
            The value.

        name : str
            What it is, for its arrays and for errors.

        Raises
        ------
        TypeError
            If it cannot be saved.
        """
        if type(value) in _AS_THEY_ARE or (type(value) is float and isfinite(value)):
            return value
        if type(value) is list:
            return [self.encode(item, f"{name}.{i}") for i, item in enumerate(value)]
        for kind in self._kinds:
            if kind.is_one(value):
                return {kind.tag: kind.encode(value, self, name)}
        raise TypeError(
            f"{name} must be made of numbers, strings, arrays, lists, dicts or torch "
            f"modules to be saved, got {shortened(value)}."
        )

    def put(self, array: NDArray[Any], name: str) -> str:
        """Take an array out, and return its name, which is not another one's."""
        while name in self.arrays:
            name += "'"
        self.arrays[name] = array
        return name


class Decoder(_Nest):
    """Turns JSON and arrays back into values.

    Parameters
    ----------
    kinds : sequence of Kind
        As for :class:`Encoder`.

    arrays : dict of str to ndarray
        The arrays, which may be read-only.

    classes : Classes
        Those that may be made.

    device : str
        Where networks are to compute.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        arrays: dict[str, NDArray[Any]],
        classes: Classes,
        device: str,
    ) -> None:
        self._kinds = {kind.tag: kind for kind in kinds}
        self._arrays = arrays
        self._used: set[str] = set()
        self.classes = classes
        self.device = device

    def decode(self, parts: Any) -> Any:
        """Return the value.

        Raises
        ------
        ValueError
            If that is not what an encoder has written.
        """
        if type(parts) in _AS_THEY_ARE or type(parts) is float:
            return parts
        if type(parts) is list:
            return [self.decode(item) for item in parts]
        (tag,) = parts
        if tag not in self._kinds:
            raise ValueError(f"it has a value of an unknown kind, {tag!r}.")
        return self._kinds[tag].decode(parts[tag], self)

    @contextmanager
    def knowing(self, types: Iterable[type]) -> Iterator[None]:
        """Let classes be named that an estimator is made of."""
        before, self.classes = self.classes, self.classes.also(types)
        try:
            yield
        finally:
            self.classes = before

    def take(self, name: str) -> NDArray[Any]:
        """Return an array, once, so that a short file cannot become large in memory."""
        if name not in self._arrays:
            raise ValueError(f"it has no array {name!r}, which its description names.")
        if name in self._used:
            raise ValueError(f"it names its array {name!r} twice.")
        self._used.add(name)
        return self._arrays[name]

    def finish(self) -> None:
        """Refuse arrays that nothing has named."""
        unused = [name for name in self._arrays if name not in self._used]
        if unused:
            raise ValueError(f"it has arrays that nothing names, {unused}.")


def shortened(value: Any) -> str:
    """Return what an error shows of a value."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… of {type(value).__name__}"


def is_native(dtype: np.dtype[Any]) -> bool:
    """Tell whether an array of this dtype can be stored as it is."""
    return dtype.kind in "buif" and dtype.itemsize <= 8
