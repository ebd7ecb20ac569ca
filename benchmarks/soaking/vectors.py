"""HashedNeighbors in service, with a naive index of its codes and vectors beside it."""

import inspect
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

import sklhash
from sklhash import BaseHasher, DeepHasher, HammingNeighbors, HashedNeighbors

from .copies import copied
from .naive import NaiveIndex, average_precision, shared
from .subject import Subject

MOST_ROWS = 1200  # that ever came, before the index is fitted anew
N_FEATURES = 40
N_CLASSES = 5
N_QUERIES = 4
HASHERS = [
    cls
    for name in sorted(sklhash.__all__)
    if inspect.isclass(cls := getattr(sklhash, name))
    and issubclass(cls, BaseHasher)
    and not inspect.isabstract(cls)
]


class VectorsInService(Subject):
    """Rows of random clusters, encoded by one hasher of the library after another."""

    name: ClassVar[str] = "HashedNeighbors"
    weights: ClassVar[dict[str, int]] = {
        "begin": 3,
        "add": 4,
        "remove": 4,
        "kneighbors": 6,
        "radius_neighbors": 3,
        "score": 2,
        "encode": 3,
        "copy": 3,
        "fit_again": 1,
        "stream": 1,
        "pipeline": 1,
    }

    def begin(self) -> None:
        self.centres = 3 * self.rng.standard_normal((N_CLASSES, N_FEATURES))
        self.form = self.one_of(
            np.ascontiguousarray, np.asfortranarray, np.float32, sparse.csr_array
        )
        hasher = self.draw_hasher()
        if self.rng.integers(2):
            hasher = make_pipeline(Normalizer(), hasher)
        search = HammingNeighbors(
            algorithm=self.one_of("auto", "brute", "multi_index"),
            n_jobs=self.one_of(None, 2),
        )
        self.index = HashedNeighbors(
            hasher,
            search,
            rerank=self.one_of(None, "cosine", "euclidean", "asymmetric"),
            n_candidates=int(self.one_of(10, 100)),
        )
        X, y = self.draw_rows(40, 300)
        self.index.fit(self.form(X), y)
        self.vectors = X
        self.naive = NaiveIndex.of(self.encoded(self.index.hasher_, X), y)

    def add(self) -> None:
        if len(self.vectors) > MOST_ROWS:
            self.begin()
        X, y = self.draw_rows(1, 200)
        self.index.add(self.form(X), y)
        self.vectors = np.concatenate([self.vectors, X])
        bits = self.encoded(self.index.hasher_, X)
        self.naive = self.naive.appended(bits, y)

    def remove(self) -> None:
        rows = self.rng.permutation(np.flatnonzero(self.naive.live))
        rows = rows[: int(len(rows) * self.one_of(0.01, 0.1, 0.5))]
        self.index.remove(rows)
        self.naive = self.naive.without(rows)

    def kneighbors(self) -> None:
        X, _ = self.draw_rows(1, N_QUERIES)
        where, allowed = self.draw_where(len(self.vectors), self.naive.live)
        n_found = np.count_nonzero(self.naive.live & allowed)
        if n_found == 0:
            return
        k = int(self.rng.integers(1, min(30, n_found), endpoint=True))
        found = self.index.kneighbors(self.form(X), k, where=where)
        queries = self.encoded(self.index.hasher_, X)
        if self.index.metric_ == "hamming":
            naive = self.naive.nearest(queries, k, allowed)
            self.judge.found("kneighbors", found, naive)
            return
        length = max(k, self.index.n_candidates)
        shortlists = self.naive.nearest(queries, length, allowed)[1]
        for x, shortlist, distances, rows in zip(X, shortlists, *found, strict=True):
            self.check_order("kneighbors", distances, rows)
            self.judge.equal("kneighbors, one row twice", len(set(rows)), k)
            known = np.isin(rows, shortlist).all()
            self.judge.equal("kneighbors within the shortlist", known, True)
            best = np.sort(self.distances(x, shortlist))[:k]
            self.judge.near("the distances of kneighbors", distances, best)
            self.judge.near("rows of kneighbors", self.distances(x, rows), distances)

    def radius_neighbors(self) -> None:
        X, _ = self.draw_rows(1, N_QUERIES)
        where, allowed = self.draw_where(len(self.vectors), self.naive.live)
        radius = int(self.one_of(0, 1, 2, 4, 8))
        found = self.index.radius_neighbors(self.form(X), radius, where=where)
        queries = self.encoded(self.index.hasher_, X)
        naive = self.naive.within(queries, radius, allowed)
        if self.index.metric_ == "hamming":
            self.judge.found("radius_neighbors", found, naive)
            return
        for x, distances, rows, expected in zip(X, *found, naive[1], strict=True):
            self.check_order("radius_neighbors", distances, rows)
            self.judge.equal("radius_neighbors", np.sort(rows), np.sort(expected))
            self.judge.near("radius_neighbors", distances, self.distances(x, rows))

    def score(self) -> None:
        if not self.naive.live.any():
            return
        X, y = self.draw_rows(1, N_QUERIES)
        score = self.index.score(self.form(X), y)
        queries = self.encoded(self.index.hasher_, X)
        if self.index.metric_ == "hamming":
            expected = self.naive.mean_average_precision(queries, y)
        else:
            n_found = np.count_nonzero(self.naive.live)
            length = min(self.index.n_candidates, n_found)
            shortlists = self.index.kneighbors(self.form(X), length, False)
            everything = np.ones(len(self.vectors), dtype=bool)
            rankings = (
                np.append(rows, self.naive.ranking(query, everything)[length:])
                for query, rows in zip(queries, shortlists, strict=True)
            )
            expected = np.mean(
                [
                    average_precision(shared(self.naive.labels[ranking], label))
                    for ranking, label in zip(rankings, y, strict=True)
                ]
            )
        self.judge.near("score", score, expected)

    def encode(self) -> None:
        """Encode rows that have their codes: they get the same ones, also alone."""
        rows = self.rng.permutation(len(self.vectors))[:20]
        hasher = self.index.hasher_
        bits = self.naive.bits[rows]
        self.judge.equal("codes", self.encoded(hasher, self.vectors[rows]), bits)
        for row, code in zip(rows[:3], bits, strict=False):
            alone = self.encoded(hasher, self.vectors[[row]])
            self.judge.equal("the code of a row alone", alone[0], code)
        packed = self.index.pack(self.form(self.vectors[rows]))
        naive = np.packbits(bits, axis=1, bitorder="little")
        self.judge.equal("pack", packed, naive)

    def copy(self) -> None:
        self.index = copied(self.index, self.folder, self.rng)
        self.judge.equal("codes_", self.index.codes_, self.naive.packed)
        self.judge.equal("y_", self.index.y_, self.naive.labels)
        self.judge.equal("live_", self.index.live_, self.naive.live)
        self.encode()

    def fit_again(self) -> None:
        """Fit a hasher twice, and a copy of it: all have the same codes."""
        X, y = self.draw_rows(40, 200)
        first = self.draw_hasher().fit(self.form(X), y)
        bits = self.encoded(first, X)
        second = clone(first).fit(self.form(X), y)
        self.judge.equal("codes of a second fit", self.encoded(second, X), bits)
        copy = copied(first, self.folder, self.rng)
        self.judge.equal("codes of a copy", self.encoded(copy, X), bits)

    def stream(self) -> None:
        """Stream rows into a hasher, and into another that is copied in between."""
        (X, y), (X_more, y_more) = self.draw_rows(40, 200), self.draw_rows(40, 200)
        streaming = [cls for cls in HASHERS if hasattr(cls(), "partial_fit")]
        hasher = self.draw_hasher(streaming).partial_fit(self.form(X), y)
        copy = copied(hasher, self.folder, self.rng)
        for one in (hasher, copy):
            one.partial_fit(self.form(X_more), y_more)
        codes = self.encoded(hasher, X)
        self.judge.equal("codes of a copied stream", self.encoded(copy, X), codes)

    def pipeline(self) -> None:
        X, y = self.draw_rows(60, 300)
        first = self.one_of(StandardScaler(), MinMaxScaler(), PCA(0.9), Normalizer())
        first = first.set_params(**{"n_components": 20} if "PCA" in str(first) else {})
        pipe = make_pipeline(first, self.draw_hasher(), HammingNeighbors()).fit(X, y)
        naive = NaiveIndex.of(self.encoded(pipe[:-1], X), y)
        queries, labels = self.draw_rows(1, N_QUERIES)
        everything = np.ones(len(X), dtype=bool)
        for one in (pipe, copied(pipe, self.folder, self.rng)):
            bits = self.encoded(pipe[:-1], queries)
            found = one[-1].kneighbors(one[:-1].transform(queries), 9)
            naive_found = naive.nearest(bits, 9, everything)
            self.judge.found("kneighbors of a pipeline", found, naive_found)
            score = one.score(queries, labels)
            expected = naive.mean_average_precision(bits, labels)
            self.judge.near("score of a pipeline", score, expected)

    def draw_rows(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows near the centres of their classes, the first one of each class."""
        n = self.rng.integers(low, high, endpoint=True)
        y = np.append(np.arange(N_CLASSES), self.rng.integers(N_CLASSES, size=n))[:n]
        noise = self.rng.standard_normal((n, N_FEATURES))
        return (self.centres[y] + noise).astype(np.float32).astype(np.float64), y

    def draw_hasher(self, classes: list[type] = HASHERS) -> BaseHasher:
        cls = self.one_of(*classes)
        n_bits = int(self.one_of(8, 13, 20))
        parameters = {"random_state": int(self.rng.integers(1000))}
        if issubclass(cls, DeepHasher):
            n_epochs = int(self.one_of(1, 2))
            parameters |= {"max_epochs": n_epochs, "device": "cpu"}
            parameters["hidden_layer_sizes"] = self.one_of((), (16,))
        taken = cls().get_params()
        return cls(n_bits, **{p: v for p, v in parameters.items() if p in taken})

    def encoded(self, hasher: Any, X: np.ndarray) -> np.ndarray:
        return (hasher.decision_function(X) > 0).astype(np.uint8)

    def distances(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Distances of a query to rows, by the measure of the index, in float64."""
        vectors = self.vectors[rows]
        match self.index.metric_:
            case "cosine":
                norms = np.linalg.norm(x) * np.linalg.norm(vectors, axis=1)
                return 1 - vectors @ x / norms
            case "euclidean":
                return np.linalg.norm(vectors - x, axis=1)
        values = self.index.hasher_.decision_function(x[None])[0].astype(np.float64)
        return np.abs(values) @ (self.naive.bits[rows] != (values > 0)).T

    def check_order(self, what: str, distances: np.ndarray, rows: np.ndarray) -> None:
        """Expect rows by distance and, where it is equal, by index."""
        order = np.lexsort((rows, distances))
        self.judge.equal(f"order of {what}", order, np.arange(len(rows)))
