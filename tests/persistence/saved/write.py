"""Wrote the files of format 1, which every later version has to read.

Not to be run again for format 1: what it wrote is kept as it is. A new format gets a
folder of its own, and both are read from then on.

    python -m tests.persistence.saved.write 1
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from torch import nn

import sklhash
from sklhash import ITQ, LSH, HammingNeighbors, HashedNeighbors, OrthoHash
from tests.hashers.methods import HASHERS
from tests.persistence.saved.answers import answers
from tests.persistence.small import small

TINY = {"hidden_layer_sizes": (), "n_anchors": 10, "latent_size": 4}


def data():
    """Rows of three classes, (60, 6), with few digits, and their classes."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = 2 * rng.standard_normal((3, 6))[y] + rng.standard_normal((60, 6))
    return X.round(2).astype(np.float32), y


def tiny(cls, **parameters):
    names = cls().get_params().keys()
    return small(cls, **{**{k: TINY[k] for k in TINY if k in names}, **parameters})


def estimators(X, y):
    animals = np.array(["cat", "dög", "eel"], dtype=object)[y]
    indicator = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0]])[y]
    backbone = nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Tanh()
    )
    for cls in HASHERS:
        yield cls.__name__, tiny(cls).fit(X, y)
    yield "deep-multi-label", tiny(OrthoHash, hidden_layer_sizes=(4,)).fit(X, indicator)
    yield "deep-backbone", tiny(OrthoHash, backbone=backbone).fit(X, animals)
    codes = tiny(LSH).fit(X).transform(X)
    search = HammingNeighbors(3).fit(codes[:50], animals[:50])
    yield "search", search.partial_fit(codes[50:], animals[50:]).remove(range(5, 45))
    index = HashedNeighbors(tiny(ITQ), HammingNeighbors(3), "cosine", n_candidates=60)
    yield "index", index.fit(X[:50], animals[:50]).add(X[50:], animals[50:]).remove([3])
    yield (
        "pipeline-to-search",
        make_pipeline(
            StandardScaler(), PCA(5), Normalizer(), tiny(ITQ), HammingNeighbors(3)
        ).fit(X, y),
    )
    yield "pipeline-to-codes", make_pipeline(MinMaxScaler(), tiny(LSH)).fit(X, y)


def main(number):
    folder = Path(__file__).parent / f"format-{number}"
    folder.mkdir()  # once
    X, y = data()
    expected = {}
    warnings.simplefilter("ignore", UserWarning)  # of bits that are alike
    for name, estimator in estimators(X, y):
        sklhash.save(estimator, folder / f"{name}.sklhash")
        expected[name] = answers(estimator, X[:15])
    given = {"X": X.astype(float).round(2).tolist(), "y": y.tolist()}
    text = json.dumps({**given, "expected": expected}, separators=(",", ":"))
    (folder / "expected.json").write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
