"""A search over shards answers as one over the same codes in memory, bit for bit."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sklhash import HammingNeighbors, pack_codes
from tests.neighbors.answers import answers, assert_all_alike, contents
from tests.persistence.same import assert_same
from tests.shards import (
    as_array,
    as_array_of_unknown_chunks,
    as_frame,
    random_codes,
    random_sizes,
)

N, N_BITS = 300, 21
CODES, QUERIES = random_codes(N, N_BITS, 120), random_codes(40, N_BITS, seed=1)
SIZES = [0, 120, 1, 0, 129, 50, 0]
Y, QUERY_Y = (np.random.default_rng(2).integers(5, size=n) for n in (N, 40))

KINDS = {
    "array": as_array,
    "array of unknown chunks": as_array_of_unknown_chunks,
    "frame": as_frame,
}


def pair(kind, X=CODES, y=Y, sizes=SIZES, **parameters):
    """A search over shards, and one over the same in memory."""
    cut_y = None if y is None else as_array(y, sizes)
    sharded = HammingNeighbors(**parameters).fit(KINDS[kind](X, sizes), cut_y)
    if kind == "frame":
        X = KINDS[kind](X, sizes).compute()
    return sharded, HammingNeighbors(**parameters).fit(X, y)


def as_queries(kind, queries):
    return as_frame(queries, [len(queries)]).compute() if kind == "frame" else queries


def assert_answers_as_in_memory(kind, form):
    parameters, X, queries = {
        "bits": ({}, CODES, QUERIES),
        "packed": ({"packed": True}, pack_codes(CODES), pack_codes(QUERIES)),
        "real values": ({"threshold": 0.0}, CODES - 0.5, QUERIES - 0.5),
    }[form]
    sharded, plain = pair(kind, X, **parameters)
    assert_all_alike(sharded, plain, as_queries(kind, queries), QUERY_Y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["bits", "packed", "real values"])
def test_all_methods_answer_as_in_memory(kind, form):
    assert_answers_as_in_memory(kind, form)


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("array", "bits"),
        ("array of unknown chunks", "packed"),
        ("frame", "real values"),
    ],
)
def test_all_methods_answer_on_workers_as_in_memory(client, kind, form):
    assert_answers_as_in_memory(kind, form)


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 60),
    n_bits=st.integers(1, 200),
    n_distinct=st.sampled_from([1, 3, 1000]),
    n_shards=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_any_sharding_answers_alike(n, n_bits, n_distinct, n_shards, seed, data):
    codes = random_codes(n, n_bits, n_distinct, seed)
    queries = np.concatenate([codes[:4], random_codes(3, n_bits, seed=seed + 1)])
    kind = data.draw(st.sampled_from(list(KINDS)))
    sizes = random_sizes(n, n_shards, seed)
    sharded, plain = pair(kind, codes, None, sizes)
    k = data.draw(st.integers(1, n))
    radius = data.draw(st.integers(0, n_bits))
    queries = as_queries(kind, queries)
    assert_same(
        answers(sharded, queries, k, radius), answers(plain, queries, k, radius)
    )
    if k < n:
        assert_same(answers(sharded, None, k, radius), answers(plain, None, k, radius))


@pytest.mark.parametrize("seed", range(3))
def test_any_sharding_on_workers_answers_alike(client, seed):
    rng = np.random.default_rng(seed)
    n, n_bits = rng.integers(1, 200), rng.integers(1, 200)
    codes, queries = random_codes(n, n_bits, 20, seed), random_codes(9, n_bits)
    sharded, plain = pair("array", codes, None, random_sizes(n, 6, seed))
    for k in (1, n // 2 + 1, n):
        assert_same(answers(sharded, queries, k), answers(plain, queries, k))


def test_the_workers_of_a_cluster_keep_the_shards(client):
    sharded, _ = pair("array")
    assert all(client.has_what().values())
    del sharded


def test_codes_come_and_go(anywhere):
    more, more_y = random_codes(70, N_BITS, 30, seed=4), np.arange(70) % 5
    sharded, plain = pair("array")
    for search in (sharded, plain):
        assert search.remove(np.r_[0:60, 119:122, 280]) is search
    assert_same(answers(sharded, QUERIES), answers(plain, QUERIES))
    for search in (sharded, plain):
        search.partial_fit(more[:40], more_y[:40])
        search.remove([N + 3, N - 1])
    sharded.partial_fit(*(as_array(of[40:], [20, 0, 10]) for of in (more, more_y)))
    plain.partial_fit(more[40:], more_y[40:])
    sharded.remove([N + 69])
    plain.remove([N + 69])
    assert_all_alike(sharded, plain, QUERIES, QUERY_Y)


def test_all_codes_of_a_shard_may_go(anywhere):
    sharded, plain = pair("array", sizes=[100, 100, 100])
    for search in (sharded, plain):
        search.remove(np.arange(100, 200))
    assert_same(answers(sharded, QUERIES, 200), answers(plain, QUERIES, 200))
    for search in (sharded, plain):
        search.remove(np.r_[0:100, 200:300])
    assert sharded.count_within(QUERIES, N_BITS).tolist() == [0] * 40
    with pytest.raises(ValueError, match="<= 0"):
        sharded.kneighbors(QUERIES, 1)
    for search in (sharded, plain):
        search.partial_fit(CODES[:3], Y[:3])
    assert_same(answers(sharded, QUERIES, 3), answers(plain, QUERIES, 3))


INDICATORS = np.random.default_rng(5).integers(2, size=(N, 3))
LABELS = {
    "numbers": Y,
    "whole numbers without a sign": Y.astype(np.uint64),
    "numbers as objects": Y.astype(object),
    "strings": np.array(list("abcde"))[Y],
    "strings as objects": np.array(list("abcde"), dtype=object)[Y],
    "indicators": INDICATORS,
    "sparse indicators": sparse.csr_array(INDICATORS),
}


FORMS = {
    "in memory": lambda y: y,
    "array": lambda y: as_array(y, SIZES),
    "frame": lambda y: as_frame(y, SIZES),
}


@pytest.mark.parametrize(
    ("of", "form"),
    [*product(LABELS, FORMS)][:-2],  # there are no sparse ones in Dask
)
def test_labels_come_in_all_forms(of, form):
    assert_labels_are_kept(of, form)


@pytest.mark.parametrize("form", FORMS)
def test_labels_come_to_workers_in_all_forms(client, form):
    assert_labels_are_kept("strings", form)


def assert_labels_are_kept(of, form):
    y, given = LABELS[of], FORMS[form](LABELS[of])
    sharded = HammingNeighbors().fit(as_array(CODES, SIZES), given)
    in_memory = y if form == "in memory" else given.compute()
    plain = HammingNeighbors().fit(CODES, in_memory)
    query_y = in_memory[:40]
    assert sharded.score(QUERIES, query_y) == plain.score(QUERIES, query_y)
    assert_same(contents(sharded), contents(plain))


def test_without_labels_there_is_no_score(anywhere):
    search = HammingNeighbors().fit(as_array(CODES, SIZES))
    assert search.y_ is None
    with pytest.raises(ValueError, match="labels"):
        search.score(QUERIES, QUERY_Y)
