"""Searches of arbitrary codes find what a loop finds, or are refused."""

import numpy as np
from hypothesis import strategies as st

from sklhash import LSH, HammingNeighbors, HashedNeighbors
from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, attempt, check
from tests.fuzz.strategies import (
    bit_matrices,
    choices,
    codes,
    features,
    flags,
    formed,
    indicators,
    label_sets,
    no_labels,
    seeds,
    whole_numbers,
)
from tests.metrics.naive import expected_average_precision


class Loop:
    """A search by a plain loop over the codes that are there."""

    def __init__(self, bits):
        self.bits = bits
        self.live = np.ones(len(bits), dtype=bool)

    def append(self, bits):
        self.bits = np.concatenate([self.bits, bits])
        self.live = np.append(self.live, np.ones(len(bits), dtype=bool))

    def found(self, queries, where):
        """Return the distances and indices of all that a query may find, in order."""
        own = queries is None
        queries = self.bits[self.live] if own else queries
        numbers = np.flatnonzero(self.live)
        among = self.live if where is None else self.live & where
        for number, query in enumerate(queries):
            allowed = among.copy()
            if own:
                allowed[numbers[number]] = False
            rows = np.flatnonzero(allowed)
            distances = np.count_nonzero(self.bits[rows] != query, axis=1)
            order = np.argsort(distances, kind="stable")
            yield distances[order], rows[order]


def plain(draw, bits, packed):
    given = codes(draw, bits, packed, right=True)
    array = np.packbits(bits, axis=1, bitorder="little") if packed else bits
    return array if given.doubtful else given.value


def searches(draw):
    """A fitted search, some codes appended and removed, and the loop beside it."""
    packed = draw(st.booleans())
    bits = bit_matrices(draw, min_rows=1, max_rows=20)
    algorithm = draw(st.sampled_from(["auto", "brute", "multi_index"]))
    search = HammingNeighbors(algorithm=algorithm, packed=packed)
    search.fit(plain(draw, bits, packed))
    loop = Loop(bits)
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            more = bit_matrices(draw, bits.shape[1], min_rows=1, max_rows=5)
            search.partial_fit(plain(draw, more, packed))
            loop.append(more)
        else:
            rng = np.random.default_rng(draw(seeds))
            gone = np.flatnonzero(loop.live & (rng.random(len(loop.live)) < 0.3))
            search.remove(gone)
            loop.live[gone] = False
    return search, loop


def queries(draw, search, loop):
    if draw(st.integers(0, 4)) == 0:
        return Given(None, NONE)
    same = draw(st.integers(0, 9)) > 0
    width = loop.bits.shape[1] if same else None
    bits = bit_matrices(draw, width, max_rows=6)
    given = codes(draw, bits, search.packed)
    return Given(None, NONE) if given.value is None else given


def places(draw, loop, masks=True):
    """What `where` may be: a mask or indices, of codes that are there or not."""
    kind = draw(st.integers(0, 9))
    n = len(loop.live)
    if kind < 4:
        return Given(None, NONE)
    rng = np.random.default_rng(draw(seeds))
    mask = rng.random(n) < draw(st.sampled_from([0, 0.2, 0.7, 1]))
    if kind < 6 and masks:
        return formed(draw, mask)
    if kind < 9:
        rows = rng.permutation(np.flatnonzero(mask & loop.live))
        given = formed(draw, rows.astype(draw(st.sampled_from(["i8", "u8", "i2"]))))
        return given._replace(says=mask & loop.live)
    wrong = [
        [n],
        [-1],
        [0, 0],
        [0.0],
        ["0"],
        [[0]],
        [True] * (n + 1),
        [[True] * n],
        np.array([2**63], dtype="u8"),
        10**30,
        [10**30],
        "abc",
        {},
        {0},
        0,
        [[0], [0, 1]],
    ]
    return Given(draw(st.sampled_from(wrong)))


def fits(X, search, loop):
    """Whether queries are as wide as the codes, for as far as a search can tell."""
    if X is None:
        return True
    widths = X.shape[1], loop.bits.shape[1]
    if search.packed:
        n_bytes = {-(-width // 8) for width in widths}
        return len(X) > 0 and len(n_bytes) == 1
    return len(X) > 0 and widths[0] == widths[1]


def of_width(X, loop):
    """Return bits and codes with zeros behind up to one width."""
    if X is None:
        return None, loop
    width = max(X.shape[1], loop.bits.shape[1])
    same = Loop(np.pad(loop.bits, ((0, 0), (0, width - loop.bits.shape[1]))))
    same.live = loop.live
    return np.pad(X, ((0, 0), (0, width - X.shape[1]))), same


@fuzz(2, data=st.data())
def test_the_nearest_codes_are_those_of_a_loop(data):
    search, loop = searches(data.draw)
    n = int(loop.live.sum())

    def oracle(X, n_neighbors, where):
        if not fits(X, search, loop):
            return REFUSED
        X, padded = of_width(X, loop)
        k = 5 if n_neighbors is None else n_neighbors
        found = list(padded.found(X, where))
        n_found = min((len(rows) for _, rows in found), default=n)
        if k > n_found or n == 0:
            return REFUSED
        found = [(d[:k], rows[:k]) for d, rows in found]
        return [np.array(part) for part in zip(*found, strict=True)]

    def compare(answer, expected):
        for part, wanted in zip(answer, expected, strict=True):
            np.testing.assert_array_equal(part, wanted)
        assert [part.dtype for part in answer] == [np.int32, np.int64]

    check(
        search.kneighbors,
        oracle,
        compare,
        X=queries(data.draw, search, loop),
        n_neighbors=whole_numbers(
            data.draw, 1, st.integers(1, max(1, min(n, 6))), optional=True
        ),
        where=places(data.draw, loop),
    )


@fuzz(2, data=st.data())
def test_the_codes_within_a_radius_are_those_of_a_loop(data):
    search, loop = searches(data.draw)
    by_distance = data.draw(st.booleans())
    count = data.draw(st.booleans())

    def oracle(X, radius, where):
        if not fits(X, search, loop):
            return REFUSED
        X, padded = of_width(X, loop)
        radius = 2 if radius is None else radius
        found = [
            (d[d <= radius], rows[d <= radius]) for d, rows in padded.found(X, where)
        ]
        if not by_distance:
            found = [(d[np.argsort(rows)], np.sort(rows)) for d, rows in found]
        return found

    def compare(answer, expected):
        if count:
            np.testing.assert_array_equal(answer, [len(rows) for _, rows in expected])
            return
        assert len(answer[0]) == len(answer[1]) == len(expected)
        for distances, rows, wanted in zip(*answer, expected, strict=True):
            np.testing.assert_array_equal(distances, wanted[0])
            np.testing.assert_array_equal(rows, wanted[1])

    def within(X, radius, where):
        if count:
            return search.count_within(X, radius, where=where)
        return search.radius_neighbors(X, radius, True, by_distance, where=where)

    check(
        within,
        oracle,
        compare,
        X=queries(data.draw, search, loop),
        radius=whole_numbers(data.draw, 0, st.integers(0, 70), optional=True),
        where=places(data.draw, loop),
    )


@fuzz(0.5, data=st.data())
def test_a_graph_has_the_edges_of_a_loop(data):
    search, loop = searches(data.draw)
    n = int(loop.live.sum())

    def oracle(X, n_neighbors, mode):
        removed = X is None and not loop.live.all()
        if removed or not fits(X, search, loop):
            return REFUSED
        X, padded = of_width(X, loop)
        k = 5 if n_neighbors is None else n_neighbors
        found = list(padded.found(X, None))
        if k > n - (X is None):
            return REFUSED
        graph = np.full((len(found), len(loop.live)), -1.0)
        for edges, (distances, rows) in zip(graph, found, strict=True):
            edges[rows[:k]] = distances[:k] if mode == "distance" else 1
        return graph

    def compare(graph, expected):
        stored = np.full(graph.shape, -1.0)
        graph = graph.tocoo()
        stored[graph.row, graph.col] = graph.data
        np.testing.assert_array_equal(stored, expected)

    check(
        search.kneighbors_graph,
        oracle,
        compare,
        X=queries(data.draw, search, loop),
        n_neighbors=whole_numbers(
            data.draw, 1, st.integers(1, max(1, n)), optional=True
        ),
        mode=choices(data.draw, "connectivity", "distance"),
    )


@fuzz(1.5, data=st.data())
def test_codes_are_stored_and_removed_or_everything_stays(data):
    search, loop = searches(data.draw)
    before, width = search.codes_, loop.bits.shape[1]
    if data.draw(st.booleans()):
        bits = bit_matrices(data.draw, data.draw(st.sampled_from([width, width, None])))
        given = codes(data.draw, bits, search.packed)
        answer = attempt(search.partial_fit, X=given.value)
        good = given.says is not None and fits(bits, search, loop)
        if good:
            bits, loop = of_width(bits, loop)
            loop.append(bits)
    else:
        given = places(data.draw, loop, masks=False)
        answer = attempt(search.remove, indices=given.value)
        good = not (given.says is None or given.says is NONE)
        if good:
            loop.live = loop.live & ~given.says
    assert (answer is not REFUSED) == good or given.doubtful
    if answer is REFUSED:
        np.testing.assert_array_equal(search.codes_, before)
    else:
        packed = np.packbits(loop.bits, axis=1, bitorder="little")
        packed[~loop.live] = 0
        np.testing.assert_array_equal(search.codes_, packed)
        assert search.n_live_ == loop.live.sum()


@fuzz(1, data=st.data())
def test_labels_are_kept_or_refused(data):
    bits = bit_matrices(data.draw, 8, min_rows=1)
    n = len(bits)
    ids = np.random.default_rng(data.draw(seeds)).integers(0, 2, n)
    kind = data.draw(st.integers(0, 2))
    if kind == 0:
        y = formed(data.draw, ids)
    elif kind == 1:
        y = indicators(data.draw, label_sets(data.draw, 3, n, n), right=True)
    else:
        y = no_labels(data.draw, n)
    search = HammingNeighbors()
    if attempt(search.fit, X=bits, y=y.value) is REFUSED:
        assert not hasattr(search, "n_samples_fit_")
        assert y.says is None or y.doubtful
        return
    again = attempt(search.score, X=bits, y=y.value)
    if y.says is not None and again is not REFUSED:
        assert search.y_.shape[0] == n
        distances = (bits[:, None] != bits).sum(axis=2)
        says = y.says if kind else ids
        shared = says @ says.T if kind else says[:, None] == says
        scores = [
            expected_average_precision(d, s, n)
            for d, s in zip(distances, shared.astype(int), strict=True)
        ]
        np.testing.assert_allclose(again, np.mean(np.nan_to_num(scores)))


@fuzz(1, data=st.data())
def test_real_values_are_cut_at_the_threshold(data):
    X = features(data.draw, largest=1e308)
    threshold = data.draw(
        st.sampled_from([0.0, -1, 1.5, 1e300, np.float32(0.5), np.nan, "0", np.inf])
    )
    search = HammingNeighbors(threshold=threshold)
    answer = attempt(search.fit, X=X.value)
    is_sparse = "sparse" in type(X.value).__module__
    if X.says is None or is_sparse or threshold in ("0", np.inf):
        assert answer is REFUSED
    elif answer is REFUSED:
        assert X.doubtful or threshold != threshold
    else:
        packed = np.packbits(
            X.says.astype(float) > threshold, axis=1, bitorder="little"
        )
        np.testing.assert_array_equal(search.codes_, packed)


@fuzz(0.2, data=st.data())
def test_hashed_neighbors_find_rows_by_their_codes(data):
    packed = flags(data.draw)
    X = features(data.draw)
    rerank = data.draw(st.sampled_from([None, "cosine", "euclidean", "asymmetric"]))
    search = HashedNeighbors(
        LSH(8, random_state=0), HammingNeighbors(packed=packed.value), rerank
    )
    if attempt(search.fit, X=X.value) is REFUSED:
        assert X.says is None or X.doubtful
        assert not hasattr(search, "hasher_")
        return
    assert X.says is not None
    n = len(X.says)
    query = features(data.draw, None, X.says.shape[1])
    k = whole_numbers(data.draw, 1, st.integers(1, n))
    answer = attempt(search.kneighbors, X=query.value, n_neighbors=k.value)
    right = query.says is not None and k.says is not None and k.says <= n
    if answer is REFUSED:
        assert not right or query.doubtful or k.doubtful
        return
    assert right
    distances, indices = answer
    assert distances.shape == indices.shape == (len(query.says), k.says)
    assert np.isfinite(distances).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == k.says for row in indices.tolist())
    if rerank is None:
        bits, database = (search.hasher_.transform(A) for A in (query.says, X.says))
        loop = Loop(database)
        expected = [rows[: k.says] for _, rows in loop.found(bits, None)]
        np.testing.assert_array_equal(indices, expected)
