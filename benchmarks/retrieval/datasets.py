"""Data sets and protocols: which rows train, which are searched, which are queries."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Protocol:
    """Where a data set lies, and how it is used.

    `prefix` is that of the index arrays in the file, `k` how many items of a ranking
    count for mAP (None: all). `bits` and `n_seeds` are those of a run that does not say
    otherwise.
    """

    file: str
    prefix: str = ""
    features: str = "X"
    labels: str = "y"
    k: int | None = None
    bits: tuple[int, ...] = (16, 32, 64)
    n_seeds: int = 3
    by_default: bool = True


class Rows(NamedTuple):
    X: np.ndarray
    y: np.ndarray


class Split(NamedTuple):
    train: Rows
    database: Rows
    query: Rows


CIFAR10 = "cifar10_efficientnet_lite2/cifar10_efficientnet_lite2_pca512.npz"
FASHION_MNIST = "fashion_mnist/fashion_mnist.npz"
NEWSGROUPS = "newsgroups20_minilm/newsgroups20_minilm.npz"
ONCE = {"bits": (32,), "n_seeds": 1}

PROTOCOLS = {
    "scene": Protocol("scene/scene.npz", labels="Y"),
    "corel5k": Protocol(
        "corel5k_efficientnet_lite2/corel5k_efficientnet_lite2.npz", labels="Y"
    ),
    "tmc2007": Protocol("tmc2007_500/tmc2007_500.npz", labels="Y"),
    "newsgroups-I": Protocol(NEWSGROUPS, "I_"),
    "cifar10-I": Protocol(CIFAR10, "I_"),
    "fashion-mnist-I": Protocol(FASHION_MNIST, "I_", features="images"),
    "newsgroups-II": Protocol(NEWSGROUPS, "II_", **ONCE),
    "cifar10-II": Protocol(CIFAR10, "II_", **ONCE),
    "fashion-mnist-II": Protocol(FASHION_MNIST, "II_", features="images", **ONCE),
    "cifar10-U": Protocol(CIFAR10, "U_", k=1000, by_default=False),
}


def load(name: str, folder: Path) -> Split:
    """Return features (float32) and labels of the training, database and query rows."""
    protocol = PROTOCOLS[name]
    with np.load(folder / protocol.file) as file:
        X, y = file[protocol.features], file[protocol.labels]
        parts = [file[protocol.prefix + part] for part in Split._fields]
    return Split(*(Rows(as_features(X[rows]), y[rows]) for rows in parts))


def as_features(X: np.ndarray) -> np.ndarray:
    """Return `X` as float32 rows, images as their pixels between 0 and 1."""
    if X.ndim == 2:
        return X.astype(np.float32)
    return X.reshape(len(X), -1).astype(np.float32) / 255
