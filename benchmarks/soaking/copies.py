"""Copies of estimators, by way of a file or of bytes."""

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

import sklhash


def copied(estimator: Any, folder: Path, rng: np.random.Generator) -> Any:
    """Return a copy that went through a file, mapped or read, or through a pickle.

    There are few files, so that those that are still mapped are replaced.
    """
    path = folder / f"{rng.integers(3)}.sklhash"
    match rng.integers(6):
        case 0:
            return pickle.loads(pickle.dumps(estimator))
        case 1:
            return deepcopy(estimator)
        case 2 | 3:
            sklhash.save(estimator, path)
            return sklhash.load(path)
        case _:
            sklhash.save(estimator, path)
            return sklhash.load(path, mmap_mode="r")


def damaged(path: Path, rng: np.random.Generator) -> Path:
    """Return a copy of a file that was cut short or has one byte changed."""
    content = bytearray(path.read_bytes())
    place = rng.integers(len(content))
    if rng.integers(2):
        content = content[:place]
    else:
        content[place] ^= 1 << rng.integers(8)
    bad = path.with_suffix(".damaged")
    bad.write_bytes(content)
    return bad
