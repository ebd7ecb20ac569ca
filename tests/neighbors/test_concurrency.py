"""Threads that search while others add and remove: each answer is of one moment.

The changes are made in a known order, so that the states which there were between the
beginning and the end of a call are known too, and one of them has to give the answer
that a naive search gives.
"""

import io
import itertools
import pickle
import sys
import threading
import time
import zipfile
from copy import copy
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import sklhash
from sklhash import LSH, HammingNeighbors, HashedNeighbors, hamming_distances
from sklhash.neighbors.contents import InMemory
from sklhash.neighbors.multi_index import MultiIndex
from sklhash.persistence.arrays import pieces_of
from tests.hashers.methods import HASHERS, make

N_BITS = 16
N_FIRST = 120  # codes that are there at first; the first ten are never removed
STAY = np.arange(10)


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class State(NamedTuple):
    """What is there at a moment."""

    n: int
    live: np.ndarray


class Changes:
    """Codes that are appended and removed, and the states that there are."""

    def __init__(self, n_changes, *, seed=0):
        rng = np.random.default_rng(seed)
        live = np.ones(N_FIRST, dtype=bool)
        self.states, self.steps = [State(N_FIRST, live)], []
        for number in range(n_changes):
            removable = np.flatnonzero(live)[len(STAY) :]
            if number % 3 == 2 and len(removable) > 60:
                share = 3 if number % 9 == 8 else 1  # so that the table is compacted
                rows = rng.choice(removable, 20 * share, replace=False)
                live = live.copy()
                live[rows] = False
                self.steps.append(("remove", rows))
            else:
                added = int(rng.integers(1, 40))
                self.steps.append(("append", slice(len(live), len(live) + added)))
                live = np.append(live, np.ones(added, dtype=bool))
            self.states.append(State(len(live), live))
        # Few distinct codes, so that nearly everything is tied.
        self.codes = np.zeros((len(live), N_BITS), dtype=np.uint8)
        self.codes[:, ::3] = rng.integers(2, size=(len(live), 6))
        self.codes[len(STAY) :, 1] = rng.integers(2, size=len(live) - len(STAY))
        self.y = rng.integers(5, size=len(live))
        self.queries = self.codes[rng.permutation(len(live))[:6]].copy()
        self.exact = hamming_distances(self.queries, self.codes)


def run_together(*functions):
    """Run functions in threads that start at once, and raise what one raised."""
    barrier, raised = threading.Barrier(len(functions)), []

    def run(function):
        barrier.wait()
        try:
            function()
        except BaseException as error:
            raised.append(error)

    threads = [
        threading.Thread(target=run, args=(function,), daemon=True)
        for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "a thread hangs"
    if raised:
        raise raised[0]


def answers_during(changes, apply, ask, *, n_readers=3):
    """Make the changes in one thread and ask in others; return what they were told.

    Each answer comes with the number of the last change that was complete before it was
    asked for, and of the last that had begun when it came. A change waits for an answer
    to the changes before it, so that neither side is ahead of the other.
    """
    begun = complete = 0
    answers, n_reading = [], n_readers

    def change():
        nonlocal begun, complete
        for number, (kind, rows) in enumerate(changes.steps, 1):
            while len(answers) < number and n_reading == n_readers:
                time.sleep(0)
            begun = number
            apply(kind, rows)
            complete = number

    def read():
        nonlocal n_reading
        try:
            for number in itertools.count():
                first = complete
                answer = ask(number)
                answers.append((first, begun, answer))
                if first == len(changes.steps):
                    break
        finally:
            n_reading -= 1

    run_together(change, *[read] * n_readers)
    return answers


def check_each_is_of_a_moment(answers, agrees):
    """Check that answers are right, and that changes were made meanwhile."""
    for first, last, answer in answers:
        assert any(agrees(answer, number) for number in range(first, last + 1)), (
            f"no state from {first} to {last} has the answer {answer}"
        )
    assert sum(first < last for first, last, _ in answers) > len(answers) / 20


def same(answer, expected):
    if sparse.issparse(answer):
        return answer.shape == expected.shape and (answer != expected).nnz == 0
    if isinstance(answer, tuple):
        return all(map(same, answer, expected))
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        return all(map(np.array_equal, answer, expected))
    return np.array_equal(answer, expected)


class Naive:
    """What a search has to answer in a state."""

    def __init__(self, changes):
        self.changes = changes

    def order(self, state, q):
        order = np.argsort(self.changes.exact[q, : state.n], kind="stable")
        return order[state.live[order]]

    def kneighbors(self, state, k):
        rows = range(len(self.changes.queries))
        indices = np.stack([self.order(state, q)[:k] for q in rows])
        return np.take_along_axis(self.changes.exact, indices, axis=1), indices

    def radius_neighbors(self, state, radius):
        exact = self.changes.exact
        indices = [
            order[exact[q, order] <= radius]
            for q in range(len(exact))
            for order in [self.order(state, q)]
        ]
        return [exact[q, rows] for q, rows in enumerate(indices)], indices

    def graph(self, state, distances, indices):
        graph = np.full((len(distances), state.n), -1.0)
        for q, rows in enumerate(indices):
            graph[q, rows] = distances[q]
        rows, columns = np.nonzero(graph >= 0)
        values = graph[rows, columns]
        return sparse.csr_matrix((values, (rows, columns)), graph.shape)


def asks_of(search, changes):
    """Return what to ask of a search, each with what it has to answer in a state."""
    naive, queries = Naive(changes), changes.queries
    query_y = changes.y[: len(queries)]

    def score(state):
        fresh = HammingNeighbors().fit(
            changes.codes[: state.n][state.live], changes.y[: state.n][state.live]
        )
        return fresh.score(queries, query_y)

    def stored(search):
        copied = pickle.loads(pickle.dumps(search))
        return copied.live_, copied.y_

    def moment():
        held = copy(search)
        return held.live_, held.y_, held.codes_[held.live_]

    def items(state):
        codes = changes.codes[: state.n][state.live]
        return sklhash.pack_codes(codes), changes.y[: state.n][state.live]

    def marked(state):
        return state.live, changes.y[: state.n]

    return {
        "kneighbors": (
            lambda: search.kneighbors(queries, 9),
            lambda state: naive.kneighbors(state, 9),
        ),
        "where": (
            lambda: search.kneighbors(queries, 4, where=STAY)[1],
            lambda state: naive.kneighbors(
                State(state.n, np.arange(state.n) < len(STAY)), 4
            )[1],
        ),
        "radius": (
            lambda: search.radius_neighbors(queries, 2),
            lambda state: naive.radius_neighbors(state, 2),
        ),
        "count": (
            lambda: search.count_within(queries, 2),
            lambda state: [len(rows) for rows in naive.radius_neighbors(state, 2)[1]],
        ),
        "graph": (
            lambda: search.kneighbors_graph(queries, 7, mode="distance"),
            lambda state: naive.graph(state, *naive.kneighbors(state, 7)),
        ),
        "transform": (
            lambda: search.transform(queries),
            lambda state: naive.graph(state, *naive.kneighbors(state, 6)),
        ),
        "radius graph": (
            lambda: search.radius_neighbors_graph(queries, 3, mode="distance"),
            lambda state: naive.graph(state, *naive.radius_neighbors(state, 3)),
        ),
        "score": (lambda: search.score(queries, query_y), score),
        "live items": (search.live_items, items),
        "pickle": (lambda: stored(search), marked),
        "copy": (moment, lambda state: (*marked(state), items(state)[0])),
        "counts": (lambda: search.n_samples_fit_, lambda state: state.n),
        "among themselves": (
            lambda: search.radius_neighbors(radius=0, return_distance=False)[:3],
            lambda state: [
                np.setdiff1d(
                    np.flatnonzero(
                        (changes.codes[: state.n] == changes.codes[q]).all(axis=1)
                        & state.live
                    ),
                    [q],
                )
                for q in range(3)
            ],
        ),
    }


@pytest.mark.parametrize(
    ("algorithm", "n_jobs"), [("brute", None), ("brute", 2), ("multi_index", None)]
)
def test_each_answer_is_right_for_a_moment_between_two_changes(algorithm, n_jobs):
    changes = Changes(240)
    search = HammingNeighbors(5, algorithm=algorithm, n_jobs=n_jobs)
    search.fit(changes.codes[:N_FIRST], changes.y[:N_FIRST])
    asks = list(asks_of(search, changes).values())
    for ask, _ in asks:  # with nothing left to compile
        ask()

    def apply(kind, rows):
        if kind == "append":
            search.partial_fit(changes.codes[rows], changes.y[rows])
        else:
            search.remove(rows)

    def ask(number):
        which = number % len(asks)
        return which, asks[which][0]()

    answers = answers_during(changes, apply, ask)

    def agrees(answer, number):
        which, value = answer
        return same(value, asks[which][1](changes.states[number]))

    check_each_is_of_a_moment(answers, agrees)
    np.testing.assert_array_equal(search.live_, changes.states[-1].live)
    np.testing.assert_array_equal(search.y_, changes.y)


def test_a_file_that_is_written_meanwhile_holds_a_moment(tmp_path):
    changes = Changes(60, seed=1)
    search = HammingNeighbors().fit(changes.codes[:N_FIRST], changes.y[:N_FIRST])

    def apply(kind, rows):
        if kind == "append":
            search.partial_fit(changes.codes[rows], changes.y[rows])
        else:
            search.remove(rows)

    def ask(number):
        path = tmp_path / f"{threading.get_ident()}-{number}"
        search.save(path)
        assert zipfile.ZipFile(path).testzip() is None
        loaded = HammingNeighbors.load(path)
        return loaded.live_, loaded.y_, loaded.codes_

    def agrees(answer, number):
        state = changes.states[number]
        codes = sklhash.pack_codes(changes.codes[: state.n]) * state.live[:, None]
        return same(answer, (state.live, changes.y[: state.n], codes))

    check_each_is_of_a_moment(answers_during(changes, apply, ask), agrees)


@pytest.mark.parametrize("labels", [np.asarray, sparse.csr_array])
def test_threads_that_append_at_the_same_time_lose_nothing(labels):
    rng = np.random.default_rng(0)
    n_threads, n_batches = 4, 150
    # A label is its code's number, so that what belongs together is known.
    numbers = rng.permutation(2**16)[: n_threads * n_batches * 2].astype(np.uint16)
    batches = numbers.reshape(n_threads, n_batches, 2)

    def columns(batch):
        return np.unpackbits(batch.view(np.uint8)[:, None], axis=1).reshape(-1, 16)

    def codes_and_labels(batch):
        return batch[:, None].view(np.uint8), labels(columns(batch))

    search = HammingNeighbors(packed=True)
    search.fit(*codes_and_labels(np.zeros(3, dtype=np.uint16))).remove([1])

    def append(own):
        for batch in own:
            search.partial_fit(*codes_and_labels(batch))
            if batch[0] % 8 == 0:
                rows = search.kneighbors(codes_and_labels(batch[:1])[0], 1, False)
                search.remove(rows[0])

    def read_labels():
        while search.n_samples_fit_ < 3 + numbers.size:
            codes, y = search.live_items()
            y = y.toarray() if sparse.issparse(y) else y
            np.testing.assert_array_equal(y, columns(codes.view(np.uint16).ravel()))

    run_together(*[lambda own=own: append(own) for own in batches], read_labels)
    codes, _ = search.live_items()
    found = codes.view(np.uint16).ravel()[2:]
    expected = np.concatenate(
        [batches[:, :, 0][batches[:, :, 0] % 8 > 0], batches[:, :, 1].ravel()]
    )
    assert sorted(found) == sorted(expected)
    for own in batches:  # those of one thread in its order
        kept = np.isin(own.ravel(), found)
        np.testing.assert_array_equal(found[np.isin(found, own)], own.ravel()[kept])


@pytest.mark.parametrize("labels", [np.asarray, sparse.csr_array])
def test_threads_that_join_the_labels_lose_none(labels):
    parts = [labels(np.full((1, 3), number)) for number in range(100)]
    for _ in range(10):
        stored, read = InMemory(None, parts.copy()), []
        run_together(*[lambda stored=stored, read=read: read.append(stored.y)] * 6)
        for y in read:
            y = y.toarray() if sparse.issparse(y) else y
            np.testing.assert_array_equal(y[:, 0], np.arange(100))


def test_copies_that_grow_at_the_same_time_share_no_new_codes():
    codes = np.arange(2**12, dtype=np.uint16)[:, None].view(np.uint8)
    search = HammingNeighbors(packed=True).fit(codes[:500])
    search.partial_fit(codes[500:501])  # from now on there is room for more
    copies = [copy(search) for _ in range(3)]

    def grow(which):
        for start in range(501 + which * 1000, 1501 + which * 1000, 10):
            copies[which].partial_fit(codes[start : start + 10])

    run_together(*[lambda which=which: grow(which) for which in range(3)])
    for which, grown in enumerate(copies):
        own = codes[501 + which * 1000 : 1501 + which * 1000]
        np.testing.assert_array_equal(grown.codes_, np.concatenate([codes[:501], own]))


@pytest.fixture
def n_built(monkeypatch):
    """Count the indexes that are built, and take a while for each."""
    numbers = []

    class Slow(MultiIndex):
        def __init__(self, words, *args):
            numbers.append(len(words))
            time.sleep(0.05)
            super().__init__(words, *args)

    monkeypatch.setattr("sklhash.neighbors.multi_index.MultiIndex", Slow)
    return numbers


def naive_counts(queries, codes, radius=2):
    return (hamming_distances(queries, codes) <= radius).sum(axis=1)


def test_threads_build_one_index_together(n_built):
    codes = np.random.default_rng(0).integers(2, size=(900, 16), dtype=np.uint8)
    search = HammingNeighbors(algorithm="multi_index").fit(codes)
    counts = []
    run_together(*[lambda: counts.append(search.count_within(codes[:50]))] * 4)
    assert n_built == [900]
    for found in counts:
        np.testing.assert_array_equal(found, naive_counts(codes[:50], codes))


def test_an_index_serves_the_moments_before_and_after(n_built):
    codes = np.random.default_rng(0).integers(2, size=(900, 16), dtype=np.uint8)
    search = HammingNeighbors(algorithm="multi_index").fit(codes[:500])
    search.partial_fit(codes[500:520])  # from now on there is room for more
    moments = []
    for stop in (521, 560, 600):
        search.partial_fit(codes[search.n_samples_fit_ : stop])
        moments.append(copy(search))
    queries = codes[:80]
    for moment in (moments[1], moments[0], moments[2]):
        there = codes[: moment.n_samples_fit_]
        counts = naive_counts(queries, there)
        np.testing.assert_array_equal(moment.count_within(queries), counts)
        rows = moment.radius_neighbors(queries, 2, False)
        for row, distances in zip(rows, hamming_distances(queries, there), strict=True):
            assert sorted(row) == np.flatnonzero(distances <= 2).tolist()
    assert n_built == [560]
    # Where copies went different ways, nothing behind the parting is shared.
    other = moments[0].partial_fit(1 - codes[521:560])
    there = np.concatenate([codes[:521], 1 - codes[521:560]])
    np.testing.assert_array_equal(
        other.count_within(queries), naive_counts(queries, there)
    )


class Hashed(NamedTuple):
    """Rows that come and go, with a hasher that knows them all."""

    X: np.ndarray
    queries: np.ndarray
    search: HashedNeighbors


def hashed(changes, rerank):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((len(changes.codes), 5))
    search = HashedNeighbors(
        LSH(8, random_state=0), rerank=rerank, n_candidates=10_000
    ).fit(X[:N_FIRST], changes.y[:N_FIRST])
    return Hashed(X, rng.standard_normal((4, 5)), search)


@pytest.mark.parametrize("rerank", ["euclidean", None])
def test_rows_and_vectors_are_of_one_moment(rerank, tmp_path):
    changes = Changes(45, seed=2)
    X, queries, search = hashed(changes, rerank)
    if rerank is None:
        codes = search.pack(X)
        exact = hamming_distances(search.pack(queries), codes, packed=True)
        among = hamming_distances(codes, codes, packed=True)
    else:
        exact = np.sqrt(np.square(queries[:, None] - X).sum(axis=2))
        among = np.sqrt(np.square(X[:, None] - X).sum(axis=2))

    def apply(kind, rows):
        if kind == "append":
            search.add(X[rows], changes.y[rows])
        else:
            search.remove(rows)

    def saved(search, name):
        sklhash.save(search, tmp_path / name)
        return sklhash.load(tmp_path / name).kneighbors(n_neighbors=5)[1]

    def nearest(distances, state):
        distances = np.where(state.live, distances[:, : state.n], np.inf)
        return np.argsort(distances, axis=1, kind="stable")[:, :5]

    def among_themselves(state):
        distances = among[: state.n, : state.n].astype(float)
        np.fill_diagonal(distances, np.inf)
        return nearest(distances, state)[state.live]

    asks = [
        (lambda _: search.kneighbors(queries, 5)[1], lambda s: nearest(exact, s)),
        (lambda _: search.kneighbors(n_neighbors=5)[1], among_themselves),
        (
            lambda _: pickle.loads(pickle.dumps(search)).kneighbors(n_neighbors=5)[1],
            among_themselves,
        ),
        (lambda _: copy(search).kneighbors(n_neighbors=5)[1], among_themselves),
        (lambda name: saved(search, name), among_themselves),
    ]

    def ask(number):
        which = number % len(asks)
        return which, asks[which][0](f"{threading.get_ident()}-{number}")

    answers = answers_during(changes, apply, ask)

    def agrees(answer, number):
        which, value = answer
        return same(value, asks[which][1](changes.states[number]))

    check_each_is_of_a_moment(answers, agrees)


def test_threads_that_add_rows_at_the_same_time_mix_up_no_vectors():
    X = np.random.default_rng(0).standard_normal((500, 5))
    hasher = LSH(8, random_state=0)
    search = HashedNeighbors(hasher, rerank="euclidean", n_candidates=10_000)
    search.fit(X[:40])

    def add(which):
        for row in range(40 + which, 500, 4):
            search.add(X[row : row + 1])

    run_together(*[lambda which=which: add(which) for which in range(4)])
    assert search.n_live_ == 500
    distances, indices = search.kneighbors(X, 1)
    np.testing.assert_array_equal(distances, 0)
    assert sorted(indices.ravel()) == list(range(500))
    np.testing.assert_array_equal(search.pack(X), search.codes_[indices.ravel()])


@pytest.fixture
def rows_are_added_meanwhile():
    """Give a search and a function in which another thread adds rows to it, once."""
    X = np.random.default_rng(0).standard_normal((60, 5))
    search = HashedNeighbors(LSH(8, random_state=0), rerank="euclidean").fit(X[:40])
    threads = [threading.Thread(target=search.add, args=(X[40:],))]

    def add():
        if threads:
            thread = threads.pop()
            thread.start()
            thread.join(timeout=0.2)  # it may have to wait for a lock

    return search, add


def test_vectors_are_there_for_all_rows_that_are_found(
    rows_are_added_meanwhile, monkeypatch
):
    search, add = rows_are_added_meanwhile

    def copy_late(search):
        add()
        return copy(search)

    monkeypatch.setattr("sklhash.neighbors.hashed.copy", copy_late)
    assert len(search.kneighbors(n_neighbors=3)[0]) == 60


def test_a_copy_of_an_index_stays_as_it_is(rows_are_added_meanwhile):
    search, add = rows_are_added_meanwhile
    before, moment = search.kneighbors(n_neighbors=3), copy(search)
    add()
    np.testing.assert_array_equal(moment.kneighbors(n_neighbors=3), before)
    assert (moment.n_live_, search.n_live_) == (40, 60)


def test_vectors_are_there_for_all_rows_of_a_pickle(
    rows_are_added_meanwhile, monkeypatch
):
    search, add = rows_are_added_meanwhile
    get_state = HammingNeighbors.__getstate__

    def get_state_late(self):
        add()
        return get_state(self)

    monkeypatch.setattr(HammingNeighbors, "__getstate__", get_state_late)
    stored = pickle.loads(pickle.dumps(search))
    assert len(stored.kneighbors(n_neighbors=3)[0]) == stored.n_live_


def test_what_is_written_is_a_copy():
    array = np.arange(9, dtype=np.uint64)
    for piece in pieces_of(array):
        assert not np.shares_memory(np.asarray(piece), array)


@pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")
def test_threads_encode_with_one_hasher(cls):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 12)), rng.integers(3, size=300)
    hasher = make(cls, 8, max_epochs=1) if hasattr(cls, "max_epochs") else make(cls, 8)
    hasher.fit(X, y)
    expected = clone(hasher).fit(X, y).decision_function(X)

    def encode():
        for _ in range(5):
            np.testing.assert_array_equal(hasher.decision_function(X), expected)
            np.testing.assert_array_equal(hasher.transform(X), expected > 0)

    run_together(*[encode] * 3)


def test_a_search_has_no_lock_to_be_copied_or_pickled():
    search = HammingNeighbors().fit(np.eye(4, dtype=int)).partial_fit([[1, 1, 1, 1]])
    stream = io.BytesIO()
    pickle.dump(search, stream)
    assert b"lock" not in stream.getvalue().lower()
