"""What loading may answer: a ValueError that names the file, or an estimator."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

import sklhash
from fuzzing.seeds import N_FEATURES, X

__all__ = ["answer_to"]

REFUSED, UNUSABLE, USED = "refused", "loaded, and refused to work", "loaded and used"


def answer_to(data: bytes, path: str) -> str:
    """Write a file, load it, and use what comes.

    Parameters
    ----------
    data : bytes
        The file.

    path : str
        Where it is written, again and again.

    Returns
    -------
    answer : str
        One of three kinds.

    Raises
    ------
    BaseException
        Whatever is no right answer.
    """
    with open(path, "wb") as file:
        file.write(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            estimator = sklhash.load(path)
        except ValueError as refused:
            if os.fspath(path) not in str(refused) or len(str(refused)) > 2000:
                raise AssertionError("the message is too long, or names no file") from (
                    refused
                )
            return REFUSED
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            _use(estimator)
        except ValueError:
            return UNUSABLE
    return USED


def _use(estimator: Any) -> None:
    width = estimator.n_features_in_
    if width > 10_000:
        raise ValueError("too wide to make rows of")
    rows = X[:5] if width == N_FEATURES else np.resize(X, (5, width))
    if isinstance(estimator, sklhash.HammingNeighbors):
        codes = (rows > 0).astype(np.uint8)
        estimator.kneighbors(codes, 2)
        estimator.radius_neighbors(codes[:1])
        estimator.count_within(codes, 3)
    elif isinstance(estimator, sklhash.HashedNeighbors):
        estimator.kneighbors(rows, 2)
    else:
        estimator.transform(rows)
