"""Real data: rows to learn from, rows that are searched, and queries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from retrieval.datasets import PROTOCOLS, Rows, Split, load
from sklearn.preprocessing import FunctionTransformer, Normalizer

SIFT, SIFT_FILE = "sift100k", "sift100k_corel5k/sift100k.npz"
DISTANCES = {"cifar10-I": "cosine", "newsgroups-I": "cosine", SIFT: "Euclidean"}


@dataclass(frozen=True)
class RealSet:
    """Rows as they are stored; `distance` says which neighbours are the exact ones.

    The distance is Euclidean once the rows have gone through the `scaler`. Without
    labels every `y` is None.
    """

    name: str
    distance: str
    train: Rows
    database: Rows
    query: Rows

    @property
    def has_labels(self) -> bool:
        return self.query.y is not None

    @property
    def sizes(self) -> dict[str, int]:
        return {
            "queries": len(self.query.X),
            "training rows": len(self.train.X),
            "rows in the database": len(self.database.X),
            "features": self.database.X.shape[1],
        }

    @property
    def scaler(self) -> Any:
        return Normalizer() if self.distance == "cosine" else FunctionTransformer()


def missing_sets(folder: Path) -> list[str]:
    return [name for name in DISTANCES if not (folder / file_of(name)).exists()]


def load_set(name: str, folder: Path) -> RealSet:
    rows = load_sift(folder) if name == SIFT else load(name, folder)
    return RealSet(name, DISTANCES[name], *rows)


def load_sift(folder: Path) -> Split:
    with np.load(folder / SIFT_FILE) as file:
        parts = [file[part] for part in ("learn", "base", "query")]
    return Split(*(Rows(X.astype(np.float32), None) for X in parts))


def file_of(name: str) -> str:
    return SIFT_FILE if name == SIFT else PROTOCOLS[name].file
