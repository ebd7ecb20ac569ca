"""Rows, hashers fitted on them, and what is in a store of their codes."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import sklhash
from sklhash import pack_codes
from tests.hashers.methods import make

rng = np.random.default_rng(0)
X = rng.standard_normal((50, 6)).astype(np.float32)
Y = np.arange(50) % 3
CUT = [0, 20, 40, 50]

formats = pytest.mark.parametrize("format", ["npy", "parquet"])


@cache
def fitted(cls=sklhash.LSH, n_bits=12):
    quick = {"max_epochs": 1, "hidden_layer_sizes": (), "n_anchors": 10}
    parameters = {name: quick[name] for name in quick if hasattr(cls, name)}
    return make(cls, n_bits, **parameters).fit(X, Y)


@cache
def packed():
    return pack_codes(fitted().transform(X))


def files_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def stamps_in(folder):
    """Return what tells a file that was written anew."""
    stats = {path.name: path.stat() for path in Path(folder).iterdir()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def parts():
    return [X[start:stop] for start, stop in itertools.pairwise(CUT)]


class Watched(sklhash.LSH):
    """Counts how often it is sent."""

    loaded = 0

    def __setstate__(self, state):
        Watched.loaded += 1
        super().__setstate__(state)
