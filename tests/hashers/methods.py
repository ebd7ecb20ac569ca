"""Every concrete hasher of the library; a new one joins by being exported."""

import inspect

import sklhash
from sklhash import BaseHasher, DeepHasher

HASHERS = [
    cls
    for name in sorted(sklhash.__all__)
    if inspect.isclass(cls := getattr(sklhash, name))
    and issubclass(cls, BaseHasher)
    and not inspect.isabstract(cls)
]
DEEP_HASHERS = [cls for cls in HASHERS if issubclass(cls, DeepHasher)]


def make(cls, n_bits=16, **parameters):
    """Make a hasher that fits in a moment and always the same."""
    quick = {"max_epochs": 3, "device": "cpu"} if issubclass(cls, DeepHasher) else {}
    return cls(n_bits, **{"random_state": 0, **quick, **parameters})
