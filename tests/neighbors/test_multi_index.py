import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklhash.codes import as_words
from sklhash.neighbors.multi_index import MultiIndex, plan_index


def words_of(bits):
    return as_words(np.packbits(bits, axis=1, bitorder="little"))


def all_pairs(queries, codes, radius):
    """Every query with every code, as the numbers that stand for hits."""
    differing = np.bitwise_count(queries[:, None] ^ codes)
    distances = differing.sum(axis=-1, dtype=np.uint64)
    query, row = np.nonzero(distances <= radius)
    found = distances[query, row]
    query, row = query.astype(np.uint64), row.astype(np.uint64)
    return query << np.uint64(48) | found << np.uint64(32) | row


@st.composite
def codes_and_queries(draw):
    """Codes of all kinds, and queries at all distances from some of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bits = draw(st.one_of(st.integers(1, 300), st.sampled_from([8, 64, 128, 256])))
    n_codes = draw(st.sampled_from([1, 2, 30, 2000]))
    bits = rng.integers(2, size=(n_codes, n_bits), dtype=np.uint8)
    kind = draw(st.sampled_from(["distinct", "few distinct", "half are one", "narrow"]))
    if kind == "few distinct":
        bits = bits[rng.integers(1 + n_codes // 20, size=n_codes)]
    elif kind == "half are one":
        bits[::2] = bits[0]
    elif kind == "narrow":
        bits[:, 4:] = 0
    queries = bits[rng.integers(n_codes, size=8)]
    for query in queries:
        query[rng.permutation(n_bits)[: draw(st.integers(0, n_bits))]] ^= 1
    return words_of(bits), words_of(queries), n_bits


@settings(deadline=None, max_examples=150)
@given(data=codes_and_queries(), built=st.integers(0, 300), share=st.floats(0, 1.2))
def test_all_pairs_within_any_radius_are_found(data, built, share):
    codes, queries, n_bits = data
    index = MultiIndex(codes, n_bits, min(built, n_bits))
    for radius in (0, 2, built, int(share * n_bits)):
        expected = all_pairs(queries, codes, radius)
        hits = index.hits(queries, radius)
        np.testing.assert_array_equal(np.sort(hits), np.sort(expected))
        assert index.cost(radius) > 0


def test_more_hits_than_asked_for_are_none():
    codes = words_of(np.zeros((50, 64), dtype=np.uint8))
    index = MultiIndex(codes, 64, 2)
    assert len(index.hits(codes, 2, most=2500)) == 2500
    assert index.hits(codes, 2, most=2499) is None


def test_neighbors_at_exactly_the_radius_are_found():
    rng = np.random.default_rng(0)
    for n_bits in (64, 100, 128, 256):
        codes = rng.integers(2, size=(3000, n_bits), dtype=np.uint8)
        for radius in (1, 3, 7):
            queries = codes[:200].copy()
            for query in queries:
                query[rng.permutation(n_bits)[:radius]] ^= 1
            index = MultiIndex(words_of(codes), n_bits, radius)
            hits = index.hits(words_of(queries), radius)
            rows = (hits & np.uint64(0xFFFFFFFF)).astype(int)
            found = set(zip((hits >> np.uint64(48)).tolist(), rows, strict=True))
            assert {(i, i) for i in range(200)} <= found


def test_radii_grow_with_the_cost():
    rng = np.random.default_rng(0)
    index = MultiIndex(rng.integers(2**63, size=(5000, 1), dtype=np.uint64), 64, 4)
    radii = list(index.radii(20_000))
    assert radii == sorted(set(radii))
    assert len(radii) > 1
    costs = [index.cost(radius) for radius in radii]
    assert all(a < b for a, b in itertools.pairwise(costs))
    assert costs[-1] <= 20_000
    assert list(index.radii(0)) == []


@pytest.mark.parametrize("n_bits", [1, 7, 64, 200])
@pytest.mark.parametrize("radius", [0, 3, 300])
def test_plans_cut_codes_into_parts(n_bits, radius):
    small, large = (plan_index(n, n_bits, radius) for n in (1000, 1_000_000))
    for plan in (small, large):
        assert sum(plan.widths) <= n_bits
        assert plan.cost > 0
    assert small.n_bytes < large.n_bytes
    assert small.cost <= large.cost
