"""Recall of nearest vectors against loops, enumeration, shuffles, FAISS and scipy."""

import tracemalloc

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn import config_context

from sklhash import LSH, hamming_distances, pack_codes
from sklhash.metrics import make_retrieval_scorer, neighbor_recall_score
from tests.metrics.naive import all_orders, shuffled_orders


def random_vectors(n_queries=20, n_database=200, n_bits=12, n_features=5, seed=0):
    """Vectors, and codes that are the signs of random projections of them."""
    rng = np.random.default_rng(seed)
    projection = rng.standard_normal((n_features, n_bits))
    vectors = [rng.standard_normal((n, n_features)) for n in (n_queries, n_database)]
    return *((X @ projection > 0).astype(np.uint8) for X in vectors), *vectors


def expected_recall(distances, neighbors, k):
    """Mean over the neighbours of how likely each one is among the first k."""
    shares = []
    for neighbor in neighbors:
        nearer = sum(distances < distances[neighbor])
        tied = sum(distances == distances[neighbor])
        shares.append(min(1, max(0, (k - nearer) / tied)))
    return sum(shares) / len(shares)


def by_loops(data, k, n_neighbors, metric="euclidean", own=None):
    query_codes, database_codes, query_X, database_X = data
    scores = []
    for i, x in enumerate(query_X):
        near = cdist([x], database_X, metric)[0]
        distances = np.count_nonzero(database_codes != query_codes[i], axis=1)
        if own is not None:
            near, distances = np.delete(near, own[i]), np.delete(distances, own[i])
        neighbors = np.argsort(near)[:n_neighbors]
        scores.append(expected_recall(distances, neighbors, k))
    return scores


@settings(max_examples=200, deadline=None)
@given(distances=st.lists(st.integers(0, 2), min_size=1, max_size=6), data=st.data())
def test_it_is_the_mean_over_all_orders_of_tied_items(distances, data):
    n = len(distances)
    order = np.array(data.draw(st.permutations(range(n))))
    k, n_neighbors = (data.draw(st.integers(1, n)) for _ in range(2))
    codes = [[d > 0, d > 1] for d in distances]
    score = neighbor_recall_score(
        [[0, 0]], codes, [[-1]], order[:, None], k=k, n_neighbors=n_neighbors
    )
    is_neighbor = order < n_neighbors
    found = is_neighbor[all_orders(np.array(distances))][:, :k].sum(axis=1)
    assert score == pytest.approx(found.mean() / n_neighbors)


@pytest.mark.parametrize(("k", "n_neighbors"), [(10, 10), (37, 10), (5, 20), (200, 1)])
@pytest.mark.parametrize("n_bits", [3, 12, 70])
def test_it_is_what_loops_over_the_neighbors_give(k, n_neighbors, n_bits):
    data = random_vectors(n_bits=n_bits)
    options = {"k": k, "n_neighbors": n_neighbors}
    scores = neighbor_recall_score(*data, average=None, **options)
    np.testing.assert_allclose(scores, by_loops(data, **options), rtol=1e-12)
    assert neighbor_recall_score(*data, **options) == pytest.approx(scores.mean())


def test_it_is_the_mean_over_shuffles_of_the_database():
    query_codes, database_codes, query_X, database_X = random_vectors(n_bits=6)
    score = neighbor_recall_score(
        query_codes, database_codes, query_X, database_X, k=15
    )
    rng = np.random.default_rng(0)
    shuffled = []
    for near, distances in zip(
        cdist(query_X, database_X),
        hamming_distances(query_codes, database_codes),
        strict=True,
    ):
        is_neighbor = np.argsort(np.argsort(near)) < 10
        first = shuffled_orders(distances, 1000, rng)[:, :15]
        shuffled.append(is_neighbor[first].sum(axis=1) / 10)
    shuffled = np.mean(shuffled, axis=0)
    assert shuffled.std() > 0.005
    assert score == pytest.approx(shuffled.mean(), abs=4 * shuffled.std() / 1000**0.5)


def test_a_shuffle_of_the_database_changes_nothing():
    query_codes, database_codes, query_X, database_X = random_vectors()
    order = np.random.default_rng(1).permutation(len(database_X))
    shuffled = query_codes, database_codes[order], query_X, database_X[order]
    options = {"k": 30, "average": None}
    np.testing.assert_allclose(
        neighbor_recall_score(*shuffled, **options),
        neighbor_recall_score(
            query_codes, database_codes, query_X, database_X, **options
        ),
    )


@pytest.mark.parametrize("k", [1, 10, 40])
def test_where_no_tie_is_cut_it_is_the_recall_that_faiss_computes(k):
    query_codes, database_codes, query_X, database_X = random_vectors(2000, n_bits=40)
    ranked = np.sort(hamming_distances(query_codes, database_codes), axis=1)
    is_clear = ranked[:, k - 1] < ranked[:, k]
    query_codes, query_X = query_codes[is_clear], query_X[is_clear]
    n_queries = len(query_X)
    assert n_queries > 100

    exact = faiss.IndexFlatL2(database_X.shape[1])
    exact.add(database_X.astype(np.float32))
    _, neighbors = exact.search(query_X.astype(np.float32), k)
    binary = faiss.IndexBinaryFlat(40)
    binary.add(pack_codes(database_codes))
    distances, found = binary.search(pack_codes(query_codes), k)
    found_distances = distances.astype(np.float32)

    data = query_codes, database_codes, query_X, database_X
    for criterion, n_neighbors in (
        (faiss.OneRecallAtRCriterion(n_queries, k), 1),
        (faiss.IntersectionCriterion(n_queries, k), k),
    ):
        criterion.set_groundtruth(None, neighbors)
        score = neighbor_recall_score(*data, k=k, n_neighbors=n_neighbors)
        recall = criterion.evaluate(
            faiss.swig_ptr(found_distances), faiss.swig_ptr(found)
        )
        assert score == pytest.approx(recall)


@pytest.mark.parametrize("metric", ["cosine", "manhattan", "chebyshev", "correlation"])
def test_neighbors_are_those_of_the_metric(metric):
    data = random_vectors()
    scores = neighbor_recall_score(*data, k=20, metric=metric, average=None)
    scipy_name = {"manhattan": "cityblock"}.get(metric, metric)
    np.testing.assert_allclose(scores, by_loops(data, 20, 10, scipy_name))
    assert (scores != neighbor_recall_score(*data, k=20, average=None)).any()


def test_the_metric_may_be_a_function():
    def along_the_first_axis(a, b):
        return abs(a[0] - b[0])

    data = random_vectors()
    scores = neighbor_recall_score(
        *data, k=20, metric=along_the_first_axis, average=None
    )
    np.testing.assert_allclose(scores, by_loops(data, 20, 10, along_the_first_axis))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_sample_is_left_out_of_its_own_ranking_by_index(metric):
    """Three copies of each vector, one of which is the query."""
    codes, _, X, _ = random_vectors(n_queries=60)
    X = np.tile(X[:20], (3, 1))
    scores = neighbor_recall_score(
        codes,
        codes,
        X,
        X,
        k=6,
        n_neighbors=2,
        metric=metric,
        exclude_self=True,
        average=None,
    )
    expected = []
    for i, code in enumerate(codes):
        distances = np.delete(np.count_nonzero(codes != code, axis=1), i)
        copies = np.flatnonzero(np.delete(np.arange(60) % 20 == i % 20, i))
        assert len(copies) == 2
        expected.append(expected_recall(distances, copies, 6))
    np.testing.assert_allclose(scores, expected)


def test_any_number_of_copies_may_be_nearer_than_the_sample_itself():
    X, codes = np.zeros((30, 2)), np.zeros((30, 4))
    scores = neighbor_recall_score(
        codes, codes, X, X, k=10, n_neighbors=3, exclude_self=True, average=None
    )
    np.testing.assert_allclose(scores, 10 / 29)


def test_queries_may_be_any_rows_of_the_database():
    _, codes, _, X = random_vectors()
    own = np.array([7, 3, 3, 150])
    scores = neighbor_recall_score(
        codes[own], codes, X[own], X, k=20, exclude_self=own, average=None
    )
    expected = by_loops((codes[own], codes, X[own], X), 20, 10, own=own)
    np.testing.assert_allclose(scores, expected)
    with_self = neighbor_recall_score(codes[own], codes, X[own], X, k=20, average=None)
    assert (scores != with_self).all()


def test_codes_that_say_nothing_find_their_share():
    _, _, query_X, database_X = random_vectors()
    codes = np.ones((20, 8)), np.ones((200, 8))
    score = neighbor_recall_score(*codes, query_X, database_X, k=50, n_neighbors=7)
    assert score == pytest.approx(50 / 200)


def test_codes_that_keep_the_order_find_all():
    positions = np.arange(40)
    codes = positions[:, None] > positions
    score = neighbor_recall_score(
        codes, codes, positions[:, None], positions[:, None], k=3, n_neighbors=1
    )
    assert score == 1
    score = neighbor_recall_score(
        codes[:1], codes, [[0]], positions[:, None], k=10, n_neighbors=10
    )
    assert score == 1


def test_the_whole_database_holds_every_neighbor():
    data = random_vectors()
    assert neighbor_recall_score(*data, k=200, n_neighbors=200) == 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_form_of_the_vectors_does_not_matter(metric):
    query_codes, database_codes, query_X, database_X = random_vectors()
    query_X, database_X = (
        np.round(100 * X) * (np.abs(X) > 0.5) for X in (query_X, database_X)
    )

    def score(query_X, database_X):
        return neighbor_recall_score(
            query_codes, database_codes, query_X, database_X, k=30, metric=metric
        )

    expected = score(query_X, database_X)
    assert 0 < expected < 1
    forms = [
        sparse.csr_array,
        sparse.csc_matrix,
        np.ndarray.tolist,
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.int16),
    ]
    for form in forms:
        assert score(form(query_X), form(database_X)) == pytest.approx(expected)
        assert score(form(query_X), database_X) == pytest.approx(expected)


@pytest.mark.parametrize("n_bits", [8, 13])
def test_packed_codes_give_the_same(n_bits):
    query_codes, database_codes, *X = random_vectors(n_bits=n_bits)
    packed = pack_codes(query_codes), pack_codes(database_codes)
    options = {"k": 30, "average": None}
    np.testing.assert_array_equal(
        neighbor_recall_score(*packed, *X, packed=True, **options),
        neighbor_recall_score(query_codes, database_codes, *X, **options),
    )


@pytest.mark.parametrize("exclude_self", [False, True])
def test_blocks_of_queries_change_nothing(exclude_self):
    data = random_vectors(n_queries=200)
    if exclude_self:
        data = data[0], data[0], data[2], data[2]
    options = {"k": 30, "average": None, "exclude_self": exclude_self}
    scores = neighbor_recall_score(*data, **options)
    with config_context(working_memory=0.05):
        np.testing.assert_allclose(neighbor_recall_score(*data, **options), scores)


@pytest.mark.parametrize(
    ("n_queries", "n_neighbors", "metric"),
    [(2000, 10, "euclidean"), (2000, 10, "cosine"), (500, 1000, "euclidean")],
)
def test_memory_is_that_of_a_block(n_queries, n_neighbors, metric):
    data = random_vectors(n_queries, n_database=20_000, n_features=3)
    options = {"k": 30, "n_neighbors": n_neighbors, "metric": metric}
    with config_context(working_memory=1):
        neighbor_recall_score(*data, **options)
        tracemalloc.start()
        neighbor_recall_score(*data, **options)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5 * 2**20


def test_the_mean_is_weighted():
    data = random_vectors(n_queries=3)
    scores = neighbor_recall_score(*data, k=20, average=None)
    weighted = neighbor_recall_score(*data, k=20, sample_weight=[3, 0, 1])
    assert weighted == pytest.approx((3 * scores[0] + scores[2]) / 4)


def test_a_scorer_compares_codes_with_the_features_they_are_of():
    *_, X, database_X = random_vectors()
    lsh = LSH(16, random_state=0).fit(X)
    codes, database_codes = lsh.transform(X), lsh.transform(database_X)
    scorer = make_retrieval_scorer(neighbor_recall_score, k=15, n_neighbors=4)
    expected = neighbor_recall_score(
        codes, codes, X, X, k=15, n_neighbors=4, exclude_self=True
    )
    assert scorer(lsh, X) == expected
    scorer = make_retrieval_scorer(
        neighbor_recall_score, database=(database_X, None), k=15
    )
    expected = neighbor_recall_score(codes, database_codes, X, database_X, k=15)
    assert scorer(lsh, X) == expected


CODES, FOUR_CODES = np.eye(3), np.ones((4, 3))
X, FOUR_X = np.eye(3, 2), np.ones((4, 2))
DATA = CODES, FOUR_CODES, X, FOUR_X


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (DATA, {"k": 5}, "k must be at most the 4 item.*got k=5"),
        (DATA, {"n_neighbors": 5}, "n_neighbors must be at most the 4.*n_neighbors=5"),
        (DATA, {"k": 0}, "'k' parameter"),
        (DATA, {"k": None}, "'k' parameter"),
        (DATA, {"n_neighbors": 0}, "'n_neighbors' parameter"),
        (DATA, {"metric": "precomputed"}, "metric must be a function or one of"),
        (DATA, {"metric": "seuclidean"}, "metric must be a function or one of"),
        (DATA, {"exclude_self": True}, "got 3 and 4"),
        (DATA, {"sample_weight": [1, 2]}, "sample_weight"),
        (DATA, {"average": "micro"}, "'average' parameter"),
        ((CODES, FOUR_CODES, FOUR_X, FOUR_X), {}, "query_X must have a row for.* 3"),
        ((CODES, FOUR_CODES, X, X), {}, "database_X must have a row for.* 4 .*got 3"),
        ((CODES, FOUR_CODES, X, FOUR_CODES), {}, "as many features, got 2 and 3"),
        ((CODES, FOUR_CODES, X * np.nan, FOUR_X), {}, "Input query_X contains NaN"),
        ((CODES, FOUR_CODES, X, FOUR_X * np.inf), {}, "Input database_X contains inf"),
        ((CODES - 1, FOUR_CODES, X, FOUR_X), {}, "query_codes must hold zeros and"),
        ((X, FOUR_CODES, X, FOUR_X), {}, "query_codes and database_codes must"),
        ((CODES[:0], FOUR_CODES, X[:0], FOUR_X), {}, "query_codes must have at least"),
    ],
)
def test_what_cannot_be_scored_is_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        neighbor_recall_score(*data, **{"k": 2, "n_neighbors": 2, **options})


def test_numbers_may_be_of_a_small_dtype():
    options = [{"k": of(3), "n_neighbors": of(2)} for of in (int, np.uint8)]
    scores = [neighbor_recall_score(*DATA, **option) for option in options]
    assert scores[0] == scores[1]


def test_a_sample_cannot_be_among_its_own_neighbors():
    options = {"k": 2, "exclude_self": True}
    assert neighbor_recall_score(CODES, CODES, X, X, n_neighbors=2, **options) == 1
    with pytest.raises(ValueError, match="n_neighbors must be at most the 2 item"):
        neighbor_recall_score(CODES, CODES, X, X, n_neighbors=3, **options)
