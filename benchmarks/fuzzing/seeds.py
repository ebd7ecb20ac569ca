"""Small files of every kind, to begin with."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from torch import nn

import sklhash

__all__ = ["N_FEATURES", "X", "write_seeds"]

N_FEATURES = 6
X = np.random.default_rng(0).standard_normal((40, N_FEATURES)).astype(np.float32)
Y = np.array(["cat", "dog", "eel", "fox"])[np.arange(40) % 4]


def write_seeds(folder: Path) -> list[bytes]:
    """Write a file of each estimator into a folder, and return what is in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimators = _estimators()
    for i, estimator in enumerate(estimators):
        sklhash.save(estimator, folder / f"{i:02}-{type(estimator).__name__}")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def _estimators() -> list[object]:
    deep = {"max_epochs": 1, "device": "cpu", "random_state": 0}
    codes = np.random.default_rng(1).integers(2, size=(900, 70), dtype=np.uint8)
    some = np.arange(100, 700)
    convolutions = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3))
    convolutions.extend([nn.BatchNorm1d(2), nn.MaxPool1d(2), nn.Flatten()])
    return [
        sklhash.LSH(9, random_state=0).fit(X),
        sklhash.PCAH(4, random_state=np.random.RandomState(0)).fit(X),
        sklhash.ITQ(4, random_state=0).fit(X),
        sklhash.SpectralHashing(9).fit(X),
        sklhash.SDH(5, n_anchors=7, max_iter=2, random_state=0).fit(X, Y),
        sklhash.OrthoHash(12, hidden_layer_sizes=(8,), **deep).fit(X, Y),
        sklhash.NINH(4, hidden_layer_sizes=(), **deep).fit(X, Y),
        sklhash.DSDH(4, hidden_layer_sizes=(), **deep).fit(X, Y),
        sklhash.CIBHash(4, backbone=convolutions, **deep).fit(X),
        sklhash.HammingNeighbors(3).fit(X > 0, Y),
        sklhash.HammingNeighbors(algorithm="multi_index").fit(codes),
        sklhash.HammingNeighbors(3).fit(codes, np.eye(4)[np.arange(900) % 4]),
        sklhash.HammingNeighbors(3).fit(codes, np.arange(900)).remove(some),
        sklhash.HashedNeighbors(sklhash.LSH(16, random_state=0)).fit(X, Y),
        sklhash.HashedNeighbors(sklhash.LSH(16), rerank="cosine").fit(X),
        make_pipeline(
            StandardScaler(), MinMaxScaler(), Normalizer(), sklhash.LSH(8)
        ).fit(X),
    ]
