"""Every concrete hasher of the library; a new one joins by being exported."""

import inspect

from sklearn.utils import get_tags

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
SUPERVISED = [cls for cls in HASHERS if get_tags(cls()).target_tags.required]
STREAMING = [cls for cls in HASHERS if hasattr(cls(), "partial_fit")]
DEEP_STREAMING = [cls for cls in DEEP_HASHERS if cls in STREAMING]
SEEDED = [cls for cls in HASHERS if "random_state" in cls().get_params()]


QUICK = {
    "hidden_layer_sizes": (64,),
    "max_epochs": 3,
    "batch_size": 128,
    "device": "cpu",
    "n_anchors": 100,
    "random_state": 0,
}


def make(cls, n_bits=16, **parameters):
    """Make a hasher that fits in a moment and always the same."""
    quick = {name: QUICK[name] for name in QUICK if hasattr(cls, name)}
    return cls(n_bits, **{**quick, **parameters})
