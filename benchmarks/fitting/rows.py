"""The rows that are trained on, and those that are encoded."""

from pathlib import Path

import numpy as np
from retrieval.datasets import load

N_CLASSES = 10
BLOCK_ROWS = 10_000


def random_rows(n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows around the centres of their classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(N_CLASSES, size=n_rows)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    X += rng.standard_normal((N_CLASSES, n_features), dtype=np.float32)[y]
    return X, y


def real_rows(folder: Path, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first training rows of CIFAR-10."""
    X, y = load("cifar10-II", folder).train
    return X[:n_rows], y[:n_rows]


def tiled(X: np.ndarray, n_rows: int) -> np.ndarray:
    """Repeat rows until there are so many."""
    return np.resize(X, (n_rows, X.shape[1]))


def write_float16(X: np.ndarray, file: Path) -> None:
    mapped = np.lib.format.open_memmap(file, "w+", np.float16, X.shape)
    for start in range(0, len(X), BLOCK_ROWS):
        mapped[start : start + BLOCK_ROWS] = X[start : start + BLOCK_ROWS]
    mapped.flush()


def shape_of(X: np.ndarray) -> str:
    return f"{len(X):,} x {X.shape[1]} {X.dtype}"
