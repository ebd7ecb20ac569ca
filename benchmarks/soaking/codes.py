"""HammingNeighbors in service, with a naive index beside it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

import sklhash
from sklhash import HammingNeighbors

from .copies import copied, damaged
from .naive import NaiveIndex
from .subject import Subject

MOST_CODES = 2500  # that ever came, before the index is fitted anew
N_QUERIES = 6
N_CLASSES = 5


class CodesInService(Subject):
    """Codes near a few codewords, so that ties are many and a radius finds some."""

    name: ClassVar[str] = "HammingNeighbors"
    weights: ClassVar[dict[str, int]] = {
        "begin": 1,
        "append": 5,
        "remove": 5,
        "kneighbors": 6,
        "kneighbors_of_themselves": 2,
        "radius_neighbors": 5,
        "count_within": 3,
        "graphs": 1,
        "score": 2,
        "attributes": 2,
        "copy": 4,
        "search_from_threads": 1,
        "refusals": 1,
        "damaged_file": 1,
    }

    def begin(self) -> None:
        self.n_bits = int(self.one_of(3, 16, 32, 64, 70, 128, 256))
        self.form = self.one_of("bits", "packed", "real values")
        self.kind = self.one_of(None, "numbers", "strings", "matrix", "sparse matrix")
        self.codewords = self.rng.integers(2, size=(N_CLASSES, self.n_bits))
        self.search = HammingNeighbors(
            packed=self.form == "packed",
            threshold=0.0 if self.form == "real values" else None,
            algorithm=self.one_of("auto", "brute", "multi_index"),
            n_jobs=self.one_of(None, 2, 3),
        )
        bits, labels = self.draw_codes(1, 600)
        self.search.fit(self.as_given(bits), self.labels_as_given(labels))
        self.naive = NaiveIndex.of(bits, labels)

    def append(self) -> None:
        if len(self.naive.bits) > MOST_CODES:
            self.begin()
        self.grow()

    def grow(self) -> None:
        bits, labels = self.draw_codes(1, 300)
        self.search.partial_fit(self.as_given(bits), self.labels_as_given(labels))
        self.naive = self.naive.appended(bits, labels)

    def remove(self) -> None:
        rows = np.flatnonzero(self.naive.live)
        n_removed = int(len(rows) * self.one_of(0.01, 0.1, 0.5))
        rows = self.rng.permutation(rows)[:n_removed]
        self.search.remove(rows)
        self.naive = self.naive.without(rows)

    def kneighbors(self) -> None:
        queries, _ = self.draw_codes(1, N_QUERIES)
        where, allowed = self.draw_where(len(self.naive.bits), self.naive.live)
        k = self.draw_k(np.count_nonzero(self.naive.live & allowed))
        if k == 0:
            return
        found = self.search.kneighbors(self.as_given(queries), k, where=where)
        self.judge.found("kneighbors", found, self.naive.nearest(queries, k, allowed))

    def kneighbors_of_themselves(self) -> None:
        rows = np.flatnonzero(self.naive.live)
        k = self.draw_k(len(rows) - 1)
        if k == 0:
            return
        found = self.search.kneighbors(n_neighbors=k)
        self.judge.equal("kneighbors(), number", len(found[0]), len(rows))
        some = np.sort(self.rng.permutation(len(rows))[:20])
        self.judge.found(
            "kneighbors()",
            [part[some] for part in found],
            self.naive.nearest_others(rows[some], k),
        )

    def radius_neighbors(self) -> None:
        queries, _ = self.draw_codes(1, N_QUERIES)
        where, allowed = self.draw_where(len(self.naive.bits), self.naive.live)
        radius, by_distance = self.draw_radius(), bool(self.rng.integers(2))
        found = self.search.radius_neighbors(
            self.as_given(queries), radius, sort_results=by_distance, where=where
        )
        distances, indices = self.naive.within(queries, radius, allowed)
        if not by_distance:
            orders = [np.argsort(rows) for rows in indices]
            distances = [d[o] for d, o in zip(distances, orders, strict=True)]
            indices = [rows[o] for rows, o in zip(indices, orders, strict=True)]
        self.judge.found("radius_neighbors", found, (distances, indices))

    def count_within(self) -> None:
        queries, _ = self.draw_codes(1, N_QUERIES)
        where, allowed = self.draw_where(len(self.naive.bits), self.naive.live)
        radius = self.draw_radius()
        counts = self.search.count_within(self.as_given(queries), radius, where=where)
        _, indices = self.naive.within(queries, radius, allowed)
        for count, rows in zip(counts, indices, strict=True):
            self.judge.equal("count_within", count, len(rows))

    def graphs(self) -> None:
        queries, _ = self.draw_codes(1, N_QUERIES)
        everything = np.ones(len(self.naive.bits), dtype=bool)
        k = self.draw_k(np.count_nonzero(self.naive.live))
        if k == 0:
            return
        given = self.as_given(queries)
        for what, graph, expected in (
            (
                "kneighbors_graph",
                self.search.kneighbors_graph(given, k, mode="distance"),
                self.naive.nearest(queries, k, everything),
            ),
            (
                "radius_neighbors_graph",
                self.search.radius_neighbors_graph(given, 3, mode="distance"),
                self.naive.within(queries, 3, everything),
            ),
        ):
            starts = graph.indptr[1:-1]
            edges = np.split(graph.data, starts), np.split(graph.indices, starts)
            self.judge.equal(what, graph.shape, (len(queries), len(everything)))
            self.judge.found(what, edges, expected)

    def score(self) -> None:
        if self.kind is None or not self.naive.live.any():
            return
        queries, labels = self.draw_codes(1, N_QUERIES)
        score = self.search.score(self.as_given(queries), self.labels_as_given(labels))
        expected = self.naive.mean_average_precision(queries, labels)
        self.judge.near("score", score, expected)

    def attributes(self) -> None:
        self.check_attributes(self.search)

    def check_attributes(self, search: HammingNeighbors) -> None:
        naive = self.naive
        self.judge.equal("n_samples_fit_", search.n_samples_fit_, len(naive.live))
        self.judge.equal("n_live_", search.n_live_, np.count_nonzero(naive.live))
        self.judge.equal("live_", search.live_, naive.live)
        self.judge.equal("codes_", search.codes_, naive.packed)
        labels = search.y_.toarray() if sparse.issparse(search.y_) else search.y_
        self.judge.equal("y_", labels, naive.labels)

    def copy(self) -> None:
        self.search = copied(self.search, self.folder, self.rng)
        self.attributes()

    def search_from_threads(self) -> None:
        """Search while codes come and go: an answer belongs to a moment in between."""
        queries, _ = self.draw_codes(1, N_QUERIES)
        given, radius = self.as_given(queries), self.draw_radius()
        moments = [self.naive]
        with ThreadPoolExecutor(3) as threads:
            searches = [
                threads.submit(self.search.radius_neighbors, given, radius)
                for _ in range(12)
            ]
            for change in (self.grow, self.remove, self.grow, self.remove):
                change()
                moments.append(self.naive)
        everything = [np.ones(len(naive.bits), dtype=bool) for naive in moments]
        expected = [
            naive.within(queries, radius, allowed)
            for naive, allowed in zip(moments, everything, strict=True)
        ]
        for search in searches:
            self.judge.found_at_a_moment(
                "radius_neighbors in a thread", search.result(), expected
            )

    def refusals(self) -> None:
        """Hand in what is wrong, and find everything as it was."""
        n, given = len(self.naive.bits), self.as_given(self.codewords)
        long_mask = np.ones(n + 1, dtype=bool)
        for what, call in (
            ("an index beyond the last", lambda: self.search.remove([n])),
            ("an index twice", lambda: self.search.remove([0, 0])),
            ("wider codes", lambda: self.search.partial_fit(np.tile(given, 2))),
            ("a NaN", lambda: self.search.kneighbors(np.full(given.shape, np.nan))),
            ("too many", lambda: self.search.kneighbors(given, n + 1)),
            ("a long mask", lambda: self.search.kneighbors(given, where=long_mask)),
        ):
            self.judge.refused(what, call)
        self.attributes()

    def damaged_file(self) -> None:
        """Load a file that is refused, unless the damage is where nothing is."""
        path = self.folder / "whole.sklhash"
        sklhash.save(self.search, path)
        try:
            loaded = sklhash.load(damaged(path, self.rng))
        except ValueError:
            return
        self.check_attributes(loaded)

    def draw_codes(self, low: int, high: int) -> tuple[np.ndarray, Any]:
        """Draw bits, with the labels of their codewords."""
        n = self.rng.integers(low, high, endpoint=True)
        classes = self.rng.integers(N_CLASSES, size=n)
        flips = self.rng.random((n, self.n_bits)) < self.one_of(0, 0.02, 0.2)
        bits = (self.codewords[classes] ^ flips).astype(np.uint8)
        match self.kind:
            case None:
                return bits, None
            case "numbers":
                return bits, classes
            case "strings":
                return bits, np.array([f"class {number}" for number in classes])
        labels = np.eye(N_CLASSES, dtype=int)[classes]
        return bits, labels | (self.rng.random(labels.shape) < 0.1)

    def as_given(self, bits: np.ndarray) -> np.ndarray:
        """Return bits in the form that the search takes."""
        if self.form == "bits":
            return bits
        if self.form == "packed":
            return np.packbits(bits.astype(bool), axis=1, bitorder="little")
        return self.rng.uniform(0.1, 9, size=bits.shape) * np.where(bits, 1, -1)

    def labels_as_given(self, labels: Any) -> Any:
        return sparse.csr_array(labels) if self.kind == "sparse matrix" else labels

    def draw_k(self, n_found: int) -> int:
        return (
            int(self.rng.integers(1, min(40, n_found), endpoint=True)) if n_found else 0
        )

    def draw_radius(self) -> int:
        """Draw a number of bits, mostly a small one."""
        return int(self.one_of(0, 1, 2, 3, self.n_bits // 4, self.n_bits))
