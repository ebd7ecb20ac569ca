"""Indexes that hold equally many bytes an item: codes and quantised vectors.

Both prepare queries, find the nearest rows of the database for prepared queries, and
score their whole rankings by the labels.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize

from sklhash import (
    ITQ,
    LSH,
    CIBHash,
    HammingNeighbors,
    OrthoHash,
    mean_average_precision_score,
)

from .sets import RealSet
from .vectors import label_map

UNSUPERVISED = (LSH, ITQ)
WHERE_LABELS = (CIBHash, OrthoHash)
LEARNS_LABELS = "OrthoHash"
OF_LEARNED = "PQ 4 bits of OrthoHash"
INT8, PQ, OPQ, OPQ_HALVES = "int8 of PCA", "PQ", "OPQ", "OPQ 4 bits"
QUANTIZED = (INT8, PQ, OPQ, OPQ_HALVES, OF_LEARNED)
FROM_LABELS = (LEARNS_LABELS, OF_LEARNED)

Embed = Callable[[np.ndarray], np.ndarray]


def fit_hashers(data: RealSet, n_bits: int) -> dict[str, Pipeline]:
    """Fit hashers to the training rows; those that learn a network need labels."""
    hashers = UNSUPERVISED + WHERE_LABELS * data.has_labels
    return {
        hasher.__name__: make_pipeline(
            data.scaler, hasher(n_bits, packed=True, random_state=0)
        ).fit(*data.train)
        for hasher in hashers
    }


class CodeIndex:
    """Codes of a fitted hasher, searched by Hamming distance."""

    def __init__(self, hasher: Pipeline, data: RealSet) -> None:
        self._hasher = hasher
        self._search = HammingNeighbors(packed=True)
        self._search.fit(hasher.transform(data.database.X))

    def prepare(self, X: np.ndarray) -> np.ndarray:
        return self._hasher.transform(X)

    def nearest(self, prepared: np.ndarray, k: int) -> np.ndarray:
        return self._search.kneighbors(prepared, k, return_distance=False)

    def label_map(self, data: RealSet) -> float:
        return mean_average_precision_score(
            self.prepare(data.query.X),
            self._search.codes_,
            data.query.y,
            data.database.y,
            ties="index",
            packed=True,
        )


class Quantizer(NamedTuple):
    """A FAISS index, and the FAISS transform in front of it, if any."""

    transform: Any
    index: Any


class VectorIndex:
    """Vectors that FAISS holds, exactly or quantised; queries are not quantised."""

    def __init__(self, quantizer: Quantizer, embed: Embed, data: RealSet) -> None:
        transform, self._index = quantizer
        rows = embed(data.train.X)
        if transform is not None:
            transform.train(rows)
            rows = transform.apply(rows)
        self._index.train(rows)
        self._embed, self._transform = embed, transform
        self._index.add(self.prepare(data.database.X))

    def prepare(self, X: np.ndarray) -> np.ndarray:
        rows = self._embed(X)
        return rows if self._transform is None else self._transform.apply(rows)

    def nearest(self, prepared: np.ndarray, k: int) -> np.ndarray:
        return self._index.search(prepared, k)[1]

    def label_map(self, data: RealSet) -> float:
        held = self._index.reconstruct_n(0, self._index.ntotal)
        return label_map(
            self.prepare(data.query.X), held, data.query.y, data.database.y
        )


Index = CodeIndex | VectorIndex


def exact_index(data: RealSet) -> VectorIndex:
    faiss = faiss_with_limits()
    flat = faiss.IndexFlatL2(data.database.X.shape[1])
    return VectorIndex(Quantizer(None, flat), data.scaler.transform, data)


def code_indexes(
    data: RealSet, hashers: dict[str, Pipeline]
) -> Iterator[tuple[str, Index]]:
    for name, hasher in hashers.items():
        yield name, CodeIndex(hasher, data)


def quantized_indexes(
    data: RealSet, n_bytes: int, hashers: dict[str, Pipeline]
) -> Iterator[tuple[str, Index]]:
    """Quantise the vectors, and the real-valued codes of the supervised hasher."""
    faiss = faiss_with_limits()
    for name, quantizer in quantizers(data.train.X.shape[1], n_bytes).items():
        yield name, VectorIndex(quantizer, data.scaler.transform, data)
    if LEARNS_LABELS in hashers:
        values = hashers[LEARNS_LABELS].decision_function
        halves = faiss.IndexPQFastScan(8 * n_bytes, 2 * n_bytes, 4)
        yield (
            OF_LEARNED,
            VectorIndex(Quantizer(None, halves), lambda X: normalize(values(X)), data),
        )


def faiss_with_limits() -> Any:
    """Import FAISS, and let it multiply matrices from 20 queries on, as it used to.

    What FAISS 1.15 does by itself takes up to twelve times as long, to learn parts of
    four dimensions, and several times as long for batches in exact search. Encoding
    fewer rows at a time saves it gigabytes.
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = 20
    faiss.cvar.product_quantizer_compute_codes_bs = 4096
    return faiss


def quantizers(n_dims: int, n_bytes: int) -> dict[str, Quantizer]:
    """Return those that can make so many bytes of so many dimensions."""
    import faiss

    found = {}
    if n_bytes <= n_dims:
        found[INT8] = Quantizer(
            faiss.PCAMatrix(n_dims, n_bytes),
            faiss.IndexScalarQuantizer(n_bytes, faiss.ScalarQuantizer.QT_8bit),
        )
        found[OPQ] = rotated(n_dims, n_bytes, 8, faiss.IndexPQ)
    if n_dims % n_bytes == 0:
        found[PQ] = Quantizer(None, quiet(faiss.IndexPQ(n_dims, n_bytes, 8)))
    if 2 * n_bytes <= n_dims:
        found[OPQ_HALVES] = rotated(n_dims, 2 * n_bytes, 4, faiss.IndexPQFastScan)
    return found


def rotated(n_dims: int, n_parts: int, n_bits: int, make_index: Any) -> Quantizer:
    """Return a learned rotation to a few dimensions a part, and their quantiser."""
    import faiss

    width = n_parts * min(n_bits, n_dims // n_parts)
    rotation = faiss.OPQMatrix(n_dims, n_parts, width)
    rotation.pq = faiss.ProductQuantizer(width, n_parts, n_bits)
    rotation.pq.cp.min_points_per_centroid = 1
    return Quantizer(rotation, quiet(make_index(width, n_parts, n_bits)))


def quiet(index: Any) -> Any:
    """Let an index learn from few rows without a warning for each part."""
    index.pq.cp.min_points_per_centroid = 1
    return index
