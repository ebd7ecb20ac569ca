"""Few rows and hashers that learn them in a moment."""

import inspect

import numpy as np
from sklearn.base import clone

from tests.hashers.methods import make

rng = np.random.default_rng(0)
y = np.arange(60) % 3
X = (2 * rng.standard_normal((3, 12))[y] + rng.standard_normal((60, 12))).astype("f4")

LABELS = {
    "ints": y,
    "strings": np.array(["cat", "dog", "eel"])[y],
    "object strings": np.array(["cat", "dog", "eel"], dtype=object)[y],
    "bools": y > 0,
    "floats": y.astype(float),
    "multi-label": np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0]])[y],
}

first, second = np.triu_indices(20, 1)
PAIRS = first, second, (y[first] == y[second]).astype(int)

SMALL = {
    "max_epochs": 2,
    "batch_size": 32,
    "hidden_layer_sizes": (4,),
    "n_anchors": 20,
    "slice_width": 3,
}


def small(cls, n_bits=8, **parameters):
    names = inspect.signature(cls).parameters.keys()
    chosen = {name: value for name, value in SMALL.items() if name in names}
    return make(cls, n_bits, **{**chosen, **parameters})


def learns_from_pairs(cls):
    return "pairs" in inspect.signature(cls.fit).parameters


def fitted(hasher, labels="ints"):
    """Return a copy that was fitted with labels of a kind."""
    if labels == "pairs":
        return clone(hasher).fit(X, pairs=PAIRS)
    return clone(hasher).fit(X, LABELS[labels])
