import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklhash.codes import as_words, pack_codes
from sklhash.neighbors import multi_index
from sklhash.neighbors.multi_index import IndexPlan, MultiIndex, plan_index


def words_of(bits):
    return as_words(pack_codes(bits)).copy()


def random_words(n_codes, n_bits, seed=0):
    rng = np.random.default_rng(seed)
    return words_of(rng.integers(2, size=(n_codes, n_bits), dtype=np.uint8))


def flipped(code, bits):
    """The code in which some bits are different."""
    code = code.copy()
    for bit in bits:
        code[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return code


def with_neighbors(n_codes, queries, n_bits, distances, seed=0):
    """Random codes, among them one at each of some distances from each query."""
    rng = np.random.default_rng(seed)
    words = random_words(n_codes, n_bits, seed + 1)
    rows = rng.permutation(n_codes)[: len(queries) * len(distances)]
    for row, place in zip(rows, np.ndindex(len(queries), len(distances)), strict=True):
        bits = rng.permutation(n_bits)[: distances[place[1]]]
        words[row] = flipped(queries[place[0]], bits)
    return words


def naive_hits(queries, words, radius):
    """Query, distance and row of all pairs within the radius, in this order."""
    codes = [int.from_bytes(code.tobytes(), "little") for code in words]
    hits = []
    for q, query in enumerate(queries):
        query = int.from_bytes(query.tobytes(), "little")
        distances = [(query ^ code).bit_count() for code in codes]
        hits += sorted((q, d, row) for row, d in enumerate(distances) if d <= radius)
    return hits


def read(hits):
    """Query, distance and row of each hit, sorted."""
    assert hits.dtype == np.uint64
    numbers = np.sort(hits).tolist()
    return [(hit >> 48, hit >> 32 & 0xFFFF, hit & 0xFFFFFFFF) for hit in numbers]


@pytest.fixture(autouse=True)
def no_cost_is_remembered():
    def forget():
        multi_index.plan_index.cache_clear()
        multi_index._table_cost.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def few_codes_are_looked_up(monkeypatch):
    """Looking up costs nothing, so that a table pays for the fewest codes."""
    monkeypatch.setattr(multi_index, "_LOOKUP", 0.0)
    monkeypatch.setattr(multi_index, "_PASSED", 0.0)


def index_with(monkeypatch, words, n_bits, widths, n_halves):
    plan = IndexPlan(0.0, 0, widths, n_halves)
    with monkeypatch.context() as patch:
        patch.setattr(multi_index, "plan_index", lambda *_: plan)
        return MultiIndex(words, n_bits, 0)


@st.composite
def tied_codes(draw):
    """Few bits and many rows: nearly everything is tied."""
    n_bits = draw(st.integers(1, 6))
    code = st.integers(0, 2**n_bits - 1)
    words = draw(st.lists(code, min_size=1, max_size=40))
    queries = draw(st.lists(code, max_size=5))
    as_array = [np.array(c, dtype=np.uint64).reshape(-1, 1) for c in (queries, words)]
    return *as_array, n_bits


@settings(deadline=None)
@given(codes=tied_codes(), built_for=st.integers(0, 7), radius=st.integers(0, 8))
def test_all_pairs_within_the_radius_are_found_once(codes, built_for, radius):
    queries, words, n_bits = codes
    index = MultiIndex(words, n_bits, built_for)
    assert read(index.hits(queries, radius)) == naive_hits(queries, words, radius)


@pytest.mark.usefixtures("few_codes_are_looked_up")
@pytest.mark.parametrize("n_halves", [1, 2])
def test_any_tables_find_the_same(monkeypatch, n_halves):
    @settings(deadline=None, max_examples=150)
    @given(data=st.data(), seed=st.integers(0, 2**32 - 1))
    def check(data, seed):
        n_bits = data.draw(
            st.one_of(
                st.integers(1, 300), st.sampled_from([31, 32, 33, 63, 64, 65, 128, 256])
            )
        )
        widths = [0]
        for _ in range(data.draw(st.integers(1, 6))):
            widest = min(11, n_bits - sum(widths))
            widths.append(data.draw(st.integers(0, widest)))
        widths = tuple(width for width in widths if width > 0) or (0,)
        radius = data.draw(st.integers(0, min(n_bits, 12)))
        queries = random_words(4, n_bits, seed)
        distances = [min(d, n_bits) for d in (0, 0, 1, radius, radius, radius + 1)]
        words = with_neighbors(60, queries, n_bits, distances, seed)
        index = index_with(monkeypatch, words, n_bits, widths, n_halves)
        assert read(index.hits(queries, radius)) == naive_hits(queries, words, radius)

    check()


@pytest.mark.parametrize("n_bits", [64, 100, 128, 200, 256])
@pytest.mark.parametrize("radius", [0, 1, 2, 3, 8, 13])
def test_the_farthest_within_the_radius_are_found(
    few_codes_are_looked_up, n_bits, radius
):
    queries = random_words(20, n_bits)
    distances = [0, 0, radius, radius, radius + 1]
    words = with_neighbors(300, queries, n_bits, distances)
    index = MultiIndex(words, n_bits, radius)
    assert len(index._widths) > 1 or radius == 0
    assert read(index.hits(queries, radius)) == naive_hits(queries, words, radius)


@pytest.mark.usefixtures("few_codes_are_looked_up")
@pytest.mark.parametrize("n_bits", [64, 130])
@pytest.mark.parametrize("built_for", [0, 2, 9])
def test_an_index_serves_every_radius(n_bits, built_for):
    queries = random_words(6, n_bits)
    words = with_neighbors(200, queries, n_bits, range(12))
    index = MultiIndex(words, n_bits, built_for)
    for radius in [*range(14), n_bits // 2, n_bits, n_bits + 1, 10**6]:
        expected = naive_hits(queries, words, radius)
        assert read(index.hits(queries, radius)) == expected
    assert len(index.hits(queries, n_bits)) == len(queries) * len(words)


def test_a_query_far_from_all_finds_nothing():
    words = np.zeros((1000, 1), dtype=np.uint64)
    words[:, 0] = np.arange(1000)
    far = np.full((3, 1), 2**64 - 1, dtype=np.uint64)
    hits = MultiIndex(words, 64, 8).hits(far, 8)
    assert hits.dtype == np.uint64
    assert len(hits) == 0


@pytest.mark.parametrize("n_bits", [1, 64, 65, 256])
@pytest.mark.parametrize("radius", [0, 2])
def test_one_code_is_enough(n_bits, radius):
    words = random_words(1, n_bits)
    far = flipped(words[0], range(min(3, n_bits)))
    index = MultiIndex(words, n_bits, radius)
    queries = np.stack([words[0], far])
    assert read(index.hits(queries, radius)) == naive_hits(queries, words, radius)
    assert len(index.hits(queries[:0], radius)) == 0


@pytest.mark.usefixtures("few_codes_are_looked_up")
@pytest.mark.parametrize("n_bits", [64, 192])
def test_codes_that_collapsed_are_found_with_all_their_rows(n_bits):
    rng = np.random.default_rng(0)
    distinct = random_words(40, n_bits)
    words = distinct[rng.integers(40, size=3000)]
    words[rng.random(3000) < 0.5] = distinct[0]
    queries = np.stack([flipped(code, [3, n_bits - 1]) for code in distinct[:5]])
    index = MultiIndex(words, n_bits, 2)
    hits = read(index.hits(queries, 2))
    assert hits == naive_hits(queries, words, 2)
    assert len(hits) > 1500


def test_tables_that_are_searched_part_by_part_find_the_same(monkeypatch):
    queries = random_words(300, 64)
    words = with_neighbors(140_000, queries, 64, [0, 1, 3, 5, 6, 7])
    distances = np.bitwise_count(queries ^ words.T)
    expected = [
        (q, distances[q, row], row) for q, row in np.argwhere(distances <= 6).tolist()
    ]
    for n_halves in (1, 2):
        widths = (13, 13, 13, 13, 12)
        index = index_with(monkeypatch, words, 64, widths, n_halves)
        assert read(index.hits(queries, 6)) == sorted(expected)


@pytest.mark.usefixtures("few_codes_are_looked_up")
def test_keys_may_be_more_than_are_looked_up_together(monkeypatch):
    queries = random_words(3, 64)
    words = with_neighbors(500, queries, 64, range(7))
    index = index_with(monkeypatch, words, 64, (14,), 1)
    assert read(index.hits(queries, 6)) == naive_hits(queries, words, 6)


def test_the_last_of_the_most_queries_is_told_apart():
    words = np.arange(16, dtype=np.uint64)[:, None]
    queries = np.resize(words, (65536, 1))
    hits = read(MultiIndex(words, 16, 0).hits(queries, 0))
    assert hits == [(q, 0, q % 16) for q in range(65536)]


def test_too_many_pairs_are_refused():
    words = random_words(500, 12)
    queries = random_words(30, 12, seed=1)
    index = MultiIndex(words, 12, 3)
    n_hits = len(naive_hits(queries, words, 3))
    assert index.hits(queries, 3, n_hits - 1) is None
    assert len(index.hits(queries, 3, n_hits)) == n_hits
    assert index.hits(queries, 12, 64 * 30) is None
    assert len(index.hits(queries, 12)) == 500 * 30


def test_codes_may_be_read_only_and_lie_anyhow(tmp_path):
    words = random_words(400, 128)
    np.save(tmp_path / "words.npy", words.T)
    mapped = np.load(tmp_path / "words.npy", mmap_mode="r").T
    index = MultiIndex(mapped, 128, 4)
    hits = read(index.hits(mapped[::7], 4))
    assert hits == naive_hits(words[::7], words, 4)


def test_an_index_does_not_change_with_the_codes():
    words = random_words(400, 128)
    index = MultiIndex(words, 128, 4)
    queries = words[:9].copy()
    expected = read(index.hits(queries, 4))
    words[:] = 0
    assert read(index.hits(queries, 4)) == expected


def test_an_index_can_be_pickled():
    words = random_words(300, 100)
    index = MultiIndex(words, 100, 6)
    copy = pickle.loads(pickle.dumps(index))
    assert read(copy.hits(words, 6)) == read(index.hits(words, 6))
    assert copy.cost(6) == index.cost(6)


@pytest.mark.parametrize("n_codes", [1, 1000, 10**6, 10**9])
@pytest.mark.parametrize("n_bits", [1, 20, 64, 300])
@pytest.mark.parametrize("radius", [0, 2, 8, 20])
def test_keys_are_disjoint_parts_of_a_code(n_codes, n_bits, radius):
    plan = plan_index(n_codes, n_bits, radius)
    assert sum(plan.widths) <= n_bits
    assert 1 <= len(plan.widths) <= radius + 1
    assert plan.n_halves in (1, 2)
    assert np.isfinite(plan.cost)
    assert plan.cost > 0


def test_a_plan_costs_more_the_larger_the_radius():
    costs = [plan_index(10**6, 64, radius).cost for radius in range(65)]
    assert costs == sorted(costs)
    assert plan_index(10**6, 64, 10**9) == plan_index(10**6, 64, 64)


def test_a_plan_keeps_to_the_memory():
    free = plan_index(10**7, 128, 8)
    bound = plan_index(10**7, 128, 8, 2**30)
    assert bound.n_bytes <= 2**30 < free.n_bytes
    assert free.cost < bound.cost < 2 * free.cost
    assert plan_index(10**7, 128, 8, 1) == free


def test_an_index_takes_no_more_memory_than_planned():
    words = random_words(50_000, 128)
    for most_bytes in (np.inf, 4e6):
        plan = plan_index(len(words), 128, 8, most_bytes)
        index = MultiIndex(words, 128, 8, most_bytes)
        arrays = [part for part in index._index if isinstance(part, np.ndarray)]
        assert sum(array.nbytes for array in arrays) <= plan.n_bytes
    assert plan.n_bytes <= most_bytes


def test_the_cost_tells_what_the_codes_are_like():
    words = random_words(20_000, 64)
    rng = np.random.default_rng(0)
    centers = words[rng.integers(4, size=len(words))]
    noise = np.bitwise_and.reduce(random_words(20_000 * 4, 64, 2).reshape(4, -1, 1))
    spread, crowded = (MultiIndex(w, 64, 6) for w in (words, centers ^ noise))
    plan = plan_index(20_000, 64, 6)
    assert plan.cost / 2 < spread.cost(6) < 3 * plan.cost
    assert crowded.cost(6) > 10 * spread.cost(6)
    assert spread.cost(10**9) == spread.cost(64) >= spread.cost(6)


def test_radii_grow_until_a_scan_costs_less():
    index = MultiIndex(random_words(20_000, 64), 64, 8)
    radii = list(index.radii(scan_cost=2000.0))
    costs = [index.cost(radius) for radius in radii]
    assert radii[0] == 0
    assert 2 <= len(radii) < 20
    assert all(a < b for a, b in pairwise(costs))
    assert costs[-1] <= 2000 < index.cost(radii[-1] + 3)
    assert list(index.radii(scan_cost=0.0)) == []
