"""Small estimators of every kind that a file can hold, for others to attack."""

from functools import cache

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from torch import nn

from sklhash import (
    ITQ,
    LSH,
    NINH,
    PCAH,
    SDH,
    CIBHash,
    HammingNeighbors,
    HashedNeighbors,
    OrthoHash,
    SpectralHashing,
)

N_FEATURES = 6
X = np.random.default_rng(0).standard_normal((40, N_FEATURES)).astype(np.float32)
Y = np.array(["cat", "dog", "eel", "fox"], dtype=object)[np.arange(40) % 4]


class Doubled(nn.Module):
    """A layer of somebody's own."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(N_FEATURES, 5)

    def forward(self, x):
        """Apply the layer."""
        return 2 * self.linear(x)


def _deep(cls=OrthoHash, **parameters):
    parameters = {"hidden_layer_sizes": (8,), **parameters}
    return cls(12, max_epochs=2, device="cpu", random_state=0, **parameters).fit(X, Y)


def _compacted():
    codes = np.random.default_rng(1).integers(2, size=(900, 70), dtype=np.uint8)
    y = sparse.csr_array(np.eye(4)[np.arange(900) % 4])
    return HammingNeighbors(3).fit(codes, y).remove(np.arange(100, 700))


MAKERS = {
    "LSH": lambda: LSH(9, random_state=0).fit(X[:, :4]),
    "PCAH": lambda: PCAH(4, random_state=np.random.RandomState(0)).fit(X),
    "ITQ": lambda: ITQ(4, random_state=0).fit(X),
    "SpectralHashing": lambda: SpectralHashing(9).fit(X),
    "SDH": lambda: SDH(5, n_anchors=7, max_iter=2, random_state=0).fit(X, Y),
    "OrthoHash": _deep,
    "NINH": lambda: _deep(NINH, hidden_layer_sizes=()),
    "CIBHash": lambda: _deep(CIBHash, hidden_layer_sizes=()),
    "backbone": lambda: _deep(
        backbone=nn.Sequential(nn.Linear(N_FEATURES, 5), nn.BatchNorm1d(5), nn.ReLU())
    ),
    "attention": lambda: _deep(
        backbone=nn.Sequential(
            nn.Unflatten(1, (1, N_FEATURES)),
            nn.TransformerEncoderLayer(N_FEATURES, 2, 7, batch_first=True),
            nn.Flatten(),
        )
    ),
    "custom backbone": lambda: _deep(backbone=Doubled()),
    "HammingNeighbors": lambda: HammingNeighbors(3).fit(X > 0, Y),
    "compacted": _compacted,
    "HashedNeighbors": lambda: HashedNeighbors(LSH(16, random_state=0)).fit(X, Y),
    "reranked": lambda: HashedNeighbors(LSH(16, random_state=0), rerank="cosine").fit(
        X
    ),
    "Pipeline": lambda: make_pipeline(
        StandardScaler(),
        MinMaxScaler(),
        Normalizer(),
        PCA(3, random_state=0),
        LSH(8, random_state=0),
    ).fit(X),
}
TRUSTED = [Doubled]


@cache
def victim(kind):
    """Return a fitted estimator, one for all tests."""
    return MAKERS[kind]()


def use(estimator):
    """Do with an estimator what it is for, with rows that fit it."""
    n_features = int(estimator.n_features_in_)
    if n_features > 1000:
        raise ValueError("too many features to make rows of.")
    rows = X[:5] if n_features == N_FEATURES else np.resize(X, (5, n_features))
    if isinstance(estimator, HammingNeighbors):
        codes = (rows > 0).astype(np.uint8)
        estimator.kneighbors(codes, 2)
        estimator.radius_neighbors(codes)
        estimator.kneighbors(codes[:1])
    elif isinstance(estimator, HashedNeighbors):
        estimator.kneighbors(rows, 2)
    else:
        estimator.transform(rows)
