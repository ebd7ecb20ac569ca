"""Codes that come and go: whatever happened before, the search finds what is there."""

import pickle
import sys
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from scipy import sparse
from sklearn import config_context

from sklhash import HammingNeighbors, hamming_distances, pack_codes
from sklhash.neighbors.on_device import DeviceCodes


@pytest.fixture(autouse=True)
def no_gpu_is_needed(monkeypatch):
    """What a GPU would do is done by torch on the CPU."""
    for module in ("stored", "on_device"):
        monkeypatch.setattr(f"sklhash.neighbors.{module}.check_device", lambda _: None)
    monkeypatch.setattr(
        "sklhash.neighbors.on_device.DeviceCodes",
        lambda words, device: DeviceCodes(words, "cpu"),
    )


class Searches(RuleBasedStateMachine):
    """A search beside a list of all codes that ever came and a set of those removed."""

    @initialize(
        n_bits=st.sampled_from([3, 8, 70]),
        packed=st.booleans(),
        algorithm=st.sampled_from(["auto", "brute", "multi_index"]),
        device=st.sampled_from(["cpu", "cpu", "cuda"]),
        n_jobs=st.sampled_from([None, 2]),
        seed=st.integers(0, 2**32 - 1),
        n=st.integers(1, 40),
    )
    def fit(self, n_bits, packed, algorithm, device, n_jobs, seed, n):
        self.rng = np.random.default_rng(seed)
        self.n_bits, self.packed = n_bits, packed
        self.needs_memory = algorithm == "multi_index"
        self.search = HammingNeighbors(
            packed=packed, algorithm=algorithm, device=device, n_jobs=n_jobs
        )
        self.codes = np.empty((0, n_bits), dtype=np.uint8)
        self.live = np.empty(0, dtype=bool)
        self.append(n)

    def new_codes(self, n):
        """Few distinct ones, so that nearly everything is tied."""
        codes = np.zeros((n, self.n_bits), dtype=np.uint8)
        codes[:, :: max(1, self.n_bits // 3)] = self.rng.integers(2, size=(n, 1))
        codes[:, 0] = self.rng.integers(2, size=n)
        return codes

    def as_given(self, codes):
        return pack_codes(codes) if self.packed else codes

    @rule(n=st.integers(1, 700))
    def append(self, n):
        codes = self.new_codes(n)
        self.search.partial_fit(self.as_given(codes), np.arange(n))
        self.codes = np.concatenate([self.codes, codes])
        self.live = np.append(self.live, np.ones(n, dtype=bool))

    @precondition(lambda self: self.live.any())
    @rule(share=st.floats(0, 1))
    def remove(self, share):
        rows = np.flatnonzero(self.live)
        rows = self.rng.permutation(rows)[: int(np.ceil(share * len(rows)))]
        assert self.search.remove(rows) is self.search
        self.live[rows] = False

    @rule()
    def copy(self):
        self.search = pickle.loads(pickle.dumps(self.search))

    @precondition(lambda self: self.live.any())
    @rule(
        k=st.integers(1, 60),
        share=st.sampled_from([None, 0.05, 0.5, 1.0]),
        as_mask=st.booleans(),
        memory=st.sampled_from([0.01, 1024]),
    )
    def search_queries(self, k, share, as_mask, memory):
        found, where = self.live, None
        if share is not None:
            mask = self.rng.random(len(self.live)) < share
            found = mask & self.live
            where = mask if as_mask else self.rng.permutation(np.flatnonzero(found))
        queries = self.new_codes(9)
        given = self.as_given(queries)
        radius = int(self.rng.integers(self.n_bits + 1))
        exact = hamming_distances(queries, self.codes)
        with config_context(working_memory=1024 if self.needs_memory else memory):
            rows = self.search.radius_neighbors(given, radius, where=where)
            by_index = self.search.radius_neighbors(
                given, radius, sort_results=False, where=where
            )
            counts = self.search.count_within(given, radius, where=where)
            if k <= found.sum():
                nearest = self.search.kneighbors(given, k, where=where)
        for q in range(len(queries)):
            order = np.argsort(exact[q], kind="stable")
            order = order[found[order]]
            within = order[exact[q, order] <= radius]
            np.testing.assert_array_equal(rows[1][q], within)
            np.testing.assert_array_equal(rows[0][q], exact[q, within])
            np.testing.assert_array_equal(by_index[1][q], np.sort(within))
            np.testing.assert_array_equal(by_index[0][q], exact[q, np.sort(within)])
            assert counts[q] == len(within)
            if k <= len(order):
                np.testing.assert_array_equal(nearest[1][q], order[:k])
                np.testing.assert_array_equal(nearest[0][q], exact[q, order[:k]])

    @precondition(lambda self: self.live.sum() > 1)
    @rule(k=st.integers(1, 20))
    def search_the_codes_themselves(self, k):
        rows = np.flatnonzero(self.live)[:50]
        k = min(k, self.live.sum() - 1)
        found = self.search.kneighbors(n_neighbors=k, return_distance=False)
        assert len(found) == self.live.sum()
        exact = hamming_distances(self.codes[rows], self.codes)
        for i, row in enumerate(rows):
            order = np.argsort(exact[i], kind="stable")
            order = order[self.live[order] & (order != row)]
            np.testing.assert_array_equal(found[i], order[:k])

    @invariant()
    def attributes_are_those_of_all_codes(self):
        if not hasattr(self, "search"):
            return
        live, packed = self.live, pack_codes(self.codes)
        assert self.search.n_samples_fit_ == len(live)
        assert self.search.n_live_ == live.sum()
        np.testing.assert_array_equal(self.search.live_, live)
        np.testing.assert_array_equal(self.search.codes_[live], packed[live])
        assert not self.search.codes_[~live].any()
        assert len(self.search.y_) == len(live)


TestSearches = Searches.TestCase
TestSearches.settings = settings(deadline=None, max_examples=60, stateful_step_count=12)


def random_codes(n, n_bits=16, seed=0):
    return np.random.default_rng(seed).integers(2, size=(n, n_bits), dtype=np.uint8)


def test_labels_are_kept_by_index():
    codes, y = random_codes(100), np.arange(100) % 5
    search = HammingNeighbors()
    for rows in (slice(60), slice(60, 61), slice(61, 100)):
        search.partial_fit(codes[rows], y[rows])
    search.remove([3, 60])
    np.testing.assert_array_equal(search.y_, y)
    live = np.setdiff1d(np.arange(100), [3, 60])
    fresh = HammingNeighbors().fit(codes[live], y[live])
    assert search.score(codes, y) == fresh.score(codes, y)


def test_many_small_appends_give_what_one_fit_gives():
    codes, y = random_codes(300), np.array(list("abc") * 100)
    one = HammingNeighbors().fit(codes, y)
    many = HammingNeighbors()
    for row in range(300):
        many.partial_fit(codes[row : row + 1], y[row : row + 1])
    np.testing.assert_array_equal(many.codes_, one.codes_)
    np.testing.assert_array_equal(many.y_, y)
    np.testing.assert_array_equal(many.kneighbors(), one.kneighbors())


def test_indicators_are_appended_sparse_or_dense():
    codes, Y = random_codes(9), random_codes(9, 3, seed=1)
    search = HammingNeighbors().fit(codes[:5], sparse.csr_matrix(Y[:5]))
    search.partial_fit(codes[5:], Y[5:])
    np.testing.assert_array_equal(search.y_.toarray(), Y)
    search = HammingNeighbors().fit(codes[:5], Y[:5]).partial_fit(codes[5:], Y[5:])
    np.testing.assert_array_equal(search.y_, Y)


@pytest.mark.parametrize(
    ("y", "more", "message"),
    [
        (None, [0, 1], "the search has no labels, and these codes come with some"),
        ([0, 1], None, "the search has labels, and these codes come with none"),
        ([0, 1], ["a", "b"], "a vector of numbers; got a vector of strings"),
        ([0, 1], [[0, 1], [1, 0]], "got a matrix of numbers with 2 columns"),
        ([[0], [1]], [[0, 1], [1, 0]], "with 1 columns; got .* with 2 columns"),
        ([0, 1], [0, 1, 2], "inconsistent numbers of samples"),
    ],
)
def test_labels_unlike_the_earlier_ones_are_refused(y, more, message):
    codes = random_codes(2)
    search = HammingNeighbors(1).fit(codes, y)
    with pytest.raises(ValueError, match=message):
        search.partial_fit(codes, more)
    assert search.n_samples_fit_ == 2
    np.testing.assert_array_equal(search.kneighbors()[1].ravel(), [1, 0])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([9], "must lie between 0 and 8, got 9"),
        ([-1], "must lie between 0 and 8, got -1"),
        ([2, 1, 2], "must be unique, got 2 more than once"),
        ([4], "has 4, which was removed"),
        ([0.0], "a vector of whole numbers, got .* dtype float64"),
        ([[0]], r"a vector of whole numbers, got .* shape \(1, 1\)"),
    ],
)
def test_indices_that_are_not_there_are_refused(indices, message):
    codes = random_codes(9)
    search = HammingNeighbors(2).fit(codes).remove([4])
    with pytest.raises(ValueError, match=f"indices .*{message}"):
        search.remove(indices)
    assert search.n_live_ == 8
    with pytest.raises(ValueError, match=f"where.*{message}"):
        search.kneighbors(codes, where=indices)


def test_a_mask_of_another_length_is_refused():
    search = HammingNeighbors(2).fit(random_codes(9)).remove([0])
    with pytest.raises(ValueError, match=r"mask of shape \(9,\).* got .* \(8,\)"):
        search.radius_neighbors(random_codes(2), where=np.ones(8, dtype=bool))


def test_more_neighbors_than_are_left_are_refused():
    codes = random_codes(9)
    search = HammingNeighbors(5).fit(codes).remove([0, 1])
    with pytest.raises(ValueError, match="<= 7, the number of codes to find"):
        search.kneighbors(codes, 8)
    with pytest.raises(ValueError, match="<= 6, .* other than the query itself"):
        search.kneighbors(n_neighbors=7)
    with pytest.raises(ValueError, match="<= 3, the number of codes to find"):
        search.kneighbors(codes, 4, where=[2, 5, 8])
    search.remove(np.arange(2, 9))
    with pytest.raises(ValueError, match="<= 0"):
        search.kneighbors(codes, 1)
    assert search.count_within(codes, 16).tolist() == [0] * 9


def test_a_removed_row_in_a_mask_is_not_found():
    codes = random_codes(9)
    search = HammingNeighbors().fit(codes).remove([4])
    found = search.radius_neighbors(codes, 16, False, where=np.arange(9) > 2)
    assert sorted(found[0]) == [3, 5, 6, 7, 8]


def test_graphs_keep_their_width_and_the_fitted_one_is_refused():
    codes = random_codes(9)
    search = HammingNeighbors(3).fit(codes).remove([4])
    assert search.kneighbors_graph(codes).shape == (9, 9)
    assert search.radius_neighbors_graph(codes, 16).nnz == 9 * 8
    for graph in (search.kneighbors_graph, search.radius_neighbors_graph):
        with pytest.raises(ValueError, match=r"removed \(1 of 9\): pass X"):
            graph()


def test_other_threads_see_one_state_after_another():
    """What is found belongs to some moment, and no label is lost."""
    codes = np.arange(2**12, dtype=np.uint16)[:, None].view(np.uint8)
    y = np.arange(2**12) % 7
    search = HammingNeighbors(1, packed=True).fit(codes[:100], y[:100])
    problems, done = [], threading.Event()

    def read():
        while not done.is_set():
            packed, labels = search.live_items()
            number = packed.view(np.uint16)[:, 0].astype(int)
            if (labels != number % 7).any():
                problems.append("labels of other codes")
            distances, indices = search.kneighbors(codes[50:60])
            if (distances != 0).any() or (indices[:, 0] != np.arange(50, 60)).any():
                problems.append("a code that is there was not found")
            len(search.y_)

    readers = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for reader in readers:
            reader.start()
        for start in range(100, 2**12 - 20, 20):
            search.partial_fit(codes[start : start + 20], y[start : start + 20])
            search.remove([start, start + 5])
            with pytest.raises(ValueError, match="codes come with none"):
                search.partial_fit(codes[:3])
    finally:
        done.set()
        sys.setswitchinterval(interval)
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(search.y_) == search.n_samples_fit_
    np.testing.assert_array_equal(search.y_, y[: len(search.y_)])


def test_nothing_is_found_where_nothing_is_left():
    search = HammingNeighbors(1).fit([[0, 1], [1, 1]]).remove([0, 1])
    assert search.count_within().tolist() == []
    assert [len(found) for found in search.radius_neighbors()] == [0, 0]
    assert search.partial_fit([[1, 0]]).kneighbors([[0, 0]])[1] == [[2]]


def test_a_shallow_copy_goes_its_own_way():
    from copy import copy

    codes = random_codes(40)
    search = HammingNeighbors().fit(codes[:20])
    search.partial_fit(codes[20:22])
    other = copy(search)
    search.partial_fit(codes[22:30])
    other.partial_fit(codes[30:38])
    other.remove([0])
    np.testing.assert_array_equal(search.codes_, pack_codes(codes[:30]))
    np.testing.assert_array_equal(
        other.codes_[1:], pack_codes(codes[np.r_[1:22, 30:38]])
    )


def test_an_interrupted_append_changes_nothing(monkeypatch):
    codes = random_codes(9)
    search = HammingNeighbors(2).fit(codes[:6], np.arange(6))
    before = search.kneighbors()

    def interrupt(self, packed):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklhash.neighbors.table.CodeTable._write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search.partial_fit(codes[6:], np.arange(3))
    monkeypatch.undo()
    assert (search.n_samples_fit_, len(search.y_)) == (6, 6)
    np.testing.assert_array_equal(search.kneighbors(), before)
