"""What valid calls are made of: data, fitted estimators, and values that are wrong.

A call has the function to make what is called, and the arguments it needs. What is
wrong beside an object of another type, and beside what the declared constraints rule
out, is in `wrong`. `ignored` has parameters that take any object at all, with the
reason.
"""

import copy
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

import sklhash
from sklhash import HammingNeighbors, HashedNeighbors, TorchFeatureExtractor
from tests.hashers.methods import make

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 6)).astype(np.float32)
Y = np.arange(24) % 2
CODES = rng.integers(2, size=(24, 8), dtype=np.uint8)
IMAGES = rng.random((24, 3, 4))
NAN, INFINITY = float("nan"), float("inf")
A_LABEL_TOO_FEW = Y[:-1]
NOT_CODES = CODES + 2
NOT_FINITE = np.full_like(X, np.nan)
FOLDER = tempfile.TemporaryDirectory()  # until the process ends
FILE = Path(FOLDER.name, "search")
STORE = Path(FOLDER.name, "store")
IMAGE = Path(FOLDER.name, "image.png")
Image.new("RGB", (4, 3)).save(IMAGE)


@dataclass
class Call:
    make: object
    arguments: dict = field(default_factory=dict)
    wrong: dict = field(default_factory=dict)
    ignored: dict = field(default_factory=dict)


@cache
def fitted(name):
    """Return a fitted estimator, the same each time."""
    if name == "HammingNeighbors":
        return HammingNeighbors(n_neighbors=2).fit(CODES, Y)
    if name == "HashedNeighbors":
        return HashedNeighbors(make(sklhash.LSH, 8), rerank="cosine").fit(X, Y)
    if name == "TorchFeatureExtractor":
        return TorchFeatureExtractor(nn.Linear(6, 2), device="cpu").fit(X)
    return unfitted(name).fit(X, Y)


def unfitted(name):
    cls = getattr(sklhash, name)
    quick = {"max_epochs": 1, "hidden_layer_sizes": (), "n_anchors": 8}
    parameters = {key: quick[key] for key in quick if hasattr(cls, key)}
    return make(cls, 4, **parameters)


def method(of, name):
    return lambda: getattr(copy.deepcopy(fitted(of)), name)


def fit(of, name="fit"):
    return lambda: getattr(unfitted(of), name)


def saved(cls):
    fitted(cls.__name__).save(FILE)
    return cls


@cache
def stored():
    """Return a store, the same each time."""
    return fitted("LSH").encode_to(STORE, X)


NEW_X = {"X": [NOT_FINITE, X[:, 1:]]}
NEW_CODES = {"X": [NOT_CODES, CODES[:, 1:]]}
LABELS = {"y": [A_LABEL_TOO_FEW, Y + 0.5]}
IGNORED_Y = {"y": "is not learnt from"}
COUNTS = [0, -1, 2.0, True, "2", [2]]
FLAGS = [0, 1, "yes", None]
NAMES = [1, b"name"]
AXES = [1, "axes"]

RETRIEVAL = {
    "query_codes": CODES[:5],
    "database_codes": CODES[5:],
    "query_y": Y[:5],
    "database_y": Y[5:],
}
WRONG_RETRIEVAL = {
    "query_codes": [NOT_CODES[:5], CODES[0], "codes"],
    "database_codes": [NOT_CODES[5:], CODES[0], "codes"],
    "query_y": [Y, None, "labels"],
    "database_y": [Y, None, "labels"],
    "exclude_self": [[0, 1], [99] * 5, [0.5] * 5],
    "sample_weight": [[1, 2], [-1] * 5, [NAN] * 5],
    "packed": FLAGS,
}
ESTIMATOR = {"estimator": [sklhash.LSH, 3, None], "database": [(X,), (X, Y, Y), "XY"]}
