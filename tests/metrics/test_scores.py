"""Every retrieval score against its definition, over all orders of the tied items."""

from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import ndcg_score

from sklhash import pack_codes
from sklhash.metrics import (
    average_cumulative_gain_score,
    mean_average_precision_score,
    mean_reciprocal_rank_score,
    ndcg_at_k_score,
    precision_at_k_score,
    precision_within_radius_score,
    r_precision_score,
    recall_at_k_score,
    weighted_mean_average_precision_score,
)
from tests.metrics import naive
from tests.metrics.naive import judged, random_retrieval


class Score(NamedTuple):
    ours: Any
    """(query_codes, database_codes, query_y, database_y, *, k, ...)"""

    of_ranking: Any
    """(ranking, k), one score for each ranking"""

    expected: Any
    """(distances, shared, k), one score"""


def r_precision_whatever_k(*data, k=None, **options):
    return r_precision_score(*data, **options)


NORMALIZERS = ["hits", "relevant", "min"]
SCORES = {
    "precision": Score(precision_at_k_score, naive.precision, naive.expected_precision),
    "recall": Score(recall_at_k_score, naive.recall, naive.expected_recall),
    "r-precision": Score(
        r_precision_whatever_k,
        lambda ranking, k: naive.r_precision(ranking),
        lambda distances, shared, k: naive.expected_r_precision(distances, shared),
    ),
    "cumulative gain": Score(
        average_cumulative_gain_score,
        naive.cumulative_gain,
        naive.expected_cumulative_gain,
    ),
    "NDCG": Score(ndcg_at_k_score, naive.ndcg, naive.expected_ndcg),
    "reciprocal rank": Score(
        mean_reciprocal_rank_score,
        naive.reciprocal_rank,
        naive.expected_reciprocal_rank,
    ),
}
for normalize in NORMALIZERS:
    SCORES[f"mAP by {normalize}"] = Score(
        partial(mean_average_precision_score, normalize=normalize),
        partial(naive.average_precision, normalize=normalize),
        partial(naive.expected_average_precision, normalize=normalize),
    )
    SCORES[f"weighted mAP by {normalize}"] = Score(
        partial(weighted_mean_average_precision_score, normalize=normalize),
        partial(naive.average_precision, normalize=normalize, weighted=True),
        partial(naive.expected_average_precision, normalize=normalize, weighted=True),
    )
WITH_EMPTY_QUERIES = [
    name for name in SCORES if name not in ("precision", "cumulative gain")
]

every_score = pytest.mark.parametrize("name", SCORES)
both_ties = pytest.mark.parametrize("ties", ["expected", "index"])
both_kinds = pytest.mark.parametrize("n_labels", [0, 81], ids=["classes", "labels"])
queries_may_be_empty = pytest.mark.filterwarnings(
    "ignore:Every query has:sklearn.exceptions.UndefinedMetricWarning"
)


def scores_of_queries(name, data, **options):
    """Our scores, NaN for a query without a relevant item."""
    if name in WITH_EMPTY_QUERIES:
        options["empty"] = "skip"
    return SCORES[name].ours(*data, average=None, **options)


def by_definition(name, ties, distances, shared, k):
    """One query's score, NaN where it divides by zero."""
    if ties == "index":
        return SCORES[name].of_ranking(shared[naive.stable_order(distances)], k)
    return SCORES[name].expected(distances, shared, k)


def assert_as_defined(data, *, ks, ties, pairs=None, **options):
    """Compare all scores; `pairs` are judged from the data if they are not given."""
    pairs = judged(*data) if pairs is None else pairs
    for name, k in product(SCORES, ks):
        scores = scores_of_queries(name, data, k=k, ties=ties, **options)
        expected = [by_definition(name, ties, *pair, k) for pair in pairs]
        np.testing.assert_allclose(
            scores, expected, 1e-11, 1e-13, err_msg=f"{name} at {k}"
        )


@st.composite
def small_retrievals(draw):
    """Up to six items, of codes and labels so short that ties are many."""
    n_queries, n_database = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    n_bits, n_labels = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))

    def rows(n, width, dtype):
        bit = st.integers(0, 1)
        row = st.lists(bit, min_size=width, max_size=width)
        return np.array(draw(st.lists(row, min_size=n, max_size=n)), dtype=dtype)

    codes = [rows(n, n_bits, np.uint8) for n in (n_queries, n_database)]
    labels = [rows(n, n_labels, int) for n in (n_queries, n_database)]
    return *codes, *(y[:, 0] if n_labels == 1 else y for y in labels)


@queries_may_be_empty
@every_score
@settings(max_examples=50, deadline=None)
@given(data=small_retrievals())
def test_expected_ties_are_the_mean_over_all_orders(name, data):
    rankings = [
        shared[naive.all_orders(distances)] for distances, shared in judged(*data)
    ]
    for k in range(1, len(data[1]) + 1):
        scores = [SCORES[name].of_ranking(ranking, k) for ranking in rankings]
        expected = [naive.over_orders(of_query, np.mean) for of_query in scores]
        scores = scores_of_queries(name, data, k=k)
        np.testing.assert_allclose(scores, expected, 1e-12, 1e-14)


@queries_may_be_empty
@settings(max_examples=50, deadline=None)
@given(data=small_retrievals())
def test_index_ties_are_a_stable_sort(data):
    assert_as_defined(data, ks=range(1, len(data[1]) + 1), ties="index")


@queries_may_be_empty
@pytest.mark.parametrize(("ties", "bound"), [("optimistic", max), ("pessimistic", min)])
@pytest.mark.parametrize("normalize", NORMALIZERS)
@settings(max_examples=50, deadline=None)
@given(data=small_retrievals())
def test_the_bounds_are_those_over_all_orders(normalize, ties, bound, data):
    pairs = judged(*data)
    rankings = [shared[naive.all_orders(distances)] for distances, shared in pairs]
    for k in range(1, len(data[1]) + 1):
        scores = [naive.average_precision(r, k, normalize) for r in rankings]
        expected = [naive.over_orders(of_query, bound) for of_query in scores]
        for empty, nothing in (("zero", 0.0), ("skip", np.nan)):
            bounds = mean_average_precision_score(
                *data, k=k, normalize=normalize, ties=ties, empty=empty, average=None
            )
            filled = np.nan_to_num(expected, nan=nothing)
            np.testing.assert_allclose(bounds, filled, 1e-12, 1e-14)


@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
@pytest.mark.parametrize("normalize", NORMALIZERS)
@pytest.mark.parametrize("k", [7, 137, 400])
def test_the_bounds_put_relevant_items_first_or_last_in_their_tie(k, normalize, ties):
    """With as many hits above the cut as is best, or worst, if they are the divisor."""
    data = random_retrieval(n_bits=6)
    expected = []
    for distances, shared in judged(*data):
        first = -shared if ties == "optimistic" else shared
        ranking = shared[np.lexsort((first, distances))]
        nearer = distances < np.sort(distances)[k - 1]
        n_nearer, n_hits = np.count_nonzero(nearer), shared[nearer].sum()
        n_left = k - n_nearer
        tie = np.sort(shared[distances == np.sort(distances)[k - 1]])
        scores = []
        for hits in range(n_left + 1):
            if hits <= tie.sum() and n_left - hits <= len(tie) - tie.sum():
                cut = np.repeat([1, 0], [hits, n_left - hits])
                cut = cut if ties == "optimistic" else cut[::-1]
                rest = np.ones(shared.sum() - n_hits - hits)
                scores.append(
                    naive.average_precision(
                        np.concatenate([ranking[:n_nearer], cut, rest]), k, normalize
                    )
                )
        bound = max if ties == "optimistic" else min
        expected.append(naive.over_orders(np.array(scores), bound))
    scores = mean_average_precision_score(
        *data, k=k, normalize=normalize, ties=ties, average=None
    )
    np.testing.assert_allclose(scores, np.nan_to_num(expected), rtol=1e-12)


@both_kinds
def test_expected_ties_are_the_mean_over_shuffles(n_labels):
    n_shuffles = 1000
    data = random_retrieval(10, 200, n_labels=n_labels)
    rng = np.random.default_rng(0)
    rankings = [
        shared[naive.shuffled_orders(distances, n_shuffles, rng)]
        for distances, shared in judged(*data)
    ]
    for name, k in product(SCORES, [37, 200]):
        scores = SCORES[name].ours(*data, k=k, average=None)
        samples = [np.nan_to_num(SCORES[name].of_ranking(r, k)) for r in rankings]
        error = np.std(samples, axis=1) / n_shuffles**0.5
        off = np.abs(scores - np.mean(samples, axis=1))
        assert (off <= 6 * error + 1e-12).all(), f"{name} at {k}"


@queries_may_be_empty
@both_ties
@both_kinds
@pytest.mark.parametrize("n_bits", [8, 12, 64, 100, 128, 200, 256, 1100])
def test_codes_of_any_width(ties, n_labels, n_bits):
    data = random_retrieval(3, 300, n_bits, n_labels=n_labels)
    assert_as_defined(data, ks=[1, 37, 300], ties=ties)


@both_ties
@both_kinds
@pytest.mark.parametrize(("n_database", "n_bits"), [(70_000, 8), (5_000, 1100)])
def test_databases_of_several_chunks(ties, n_labels, n_database, n_bits):
    data = random_retrieval(2, n_database, n_bits, n_labels=n_labels)
    assert_as_defined(data, ks=[300], ties=ties)


@both_ties
def test_more_classes_than_two_bytes_hold(ties):
    """Some classes differ by 65,536."""
    n = 70_000
    rng = np.random.default_rng(0)
    database = rng.integers(2, size=(n, 8), dtype=np.uint8)
    database_y = rng.permutation(np.arange(n) % (n - 100))
    query_y = np.array([5, 5 + 65_536, n - 101, n])
    query = database[[np.argmax(database_y == y) for y in query_y]]
    data = query, database, query_y, database_y
    assert_as_defined(data, ks=[2000], ties=ties)


@both_ties
def test_more_shared_labels_than_a_byte_holds(ties):
    rng = np.random.default_rng(0)
    query, database, *_ = random_retrieval(4, 200)
    query_y = (rng.random((4, 300)) < 0.95).astype(int)
    database_y = (rng.random((200, 300)) < rng.random((200, 1))).astype(int)
    query_y[0] = database_y[:7] = 1
    assert (query_y @ database_y.T).max() == 300
    data = query, database, query_y, database_y
    assert_as_defined(data, ks=[1, 50, 200], ties=ties)


@queries_may_be_empty
@both_ties
@both_kinds
def test_all_rows_of_the_same_code(ties, n_labels):
    query, database, query_y, database_y = random_retrieval(5, 100, n_labels=n_labels)
    data = np.zeros_like(query), np.zeros_like(database), query_y, database_y
    assert_as_defined(data, ks=[1, 30, 100], ties=ties)


@every_score
@both_ties
@pytest.mark.parametrize("labels", [([7], [7]), ([[1, 0]], [[1, 0]])])
def test_one_query_and_one_relevant_item_score_one(name, ties, labels):
    score = SCORES[name].ours([[0, 1]], [[1, 1]], *labels, k=1, ties=ties)
    assert isinstance(score, float)
    assert score == 1


@both_ties
@pytest.mark.parametrize("k", [37, 400])
def test_with_classes_gains_count_hits(ties, k):
    data = random_retrieval()
    options = {"k": k, "ties": ties, "average": None}
    np.testing.assert_allclose(
        average_cumulative_gain_score(*data, **options),
        precision_at_k_score(*data, **options),
        rtol=1e-12,
    )
    for normalize in NORMALIZERS:
        np.testing.assert_allclose(
            weighted_mean_average_precision_score(
                *data, **options, normalize=normalize
            ),
            mean_average_precision_score(*data, **options, normalize=normalize),
            rtol=1e-12,
        )


@both_kinds
@pytest.mark.parametrize("n_bits", [8, 2000], ids=["ties", "no ties"])
@pytest.mark.parametrize("k", [1, 37, 90])
def test_ndcg_is_that_of_scikit_learn(n_labels, n_bits, k):
    """Which expects ties as we do, and takes the gains as they are given."""
    if n_bits == 8:
        data = random_retrieval(6, 90, n_labels=n_labels)
    else:
        _, _, query_y, database_y = random_retrieval(6, 90, n_labels=n_labels)
        steps = np.random.default_rng(0).permutation(np.arange(90))
        database = np.arange(n_bits) < 20 * steps[:, None]
        data = np.zeros((6, n_bits)), database, query_y, database_y
        assert all(len(np.unique(distances)) == 90 for distances, _ in judged(*data))
    distances, shared = (np.stack(part) for part in zip(*judged(*data), strict=True))
    ndcg = ndcg_score(2.0**shared - 1, -distances, k=k)
    assert ndcg_at_k_score(*data, k=k) == pytest.approx(ndcg, rel=1e-12)


@every_score
@both_ties
def test_the_score_is_the_mean_of_the_queries_scores(name, ties):
    data = random_retrieval(n_queries=20, n_labels=9)
    weights = np.random.default_rng(0).random(20)
    score = partial(SCORES[name].ours, *data, k=37, ties=ties)
    each = score(average=None)
    assert each.shape == (20,)
    assert each.dtype == np.float64
    assert score() == pytest.approx(each.mean(), rel=1e-12)
    weighted = np.average(each, weights=weights)
    assert score(sample_weight=weights) == pytest.approx(weighted, rel=1e-12)
    np.testing.assert_array_equal(score(average=None, sample_weight=weights), each)


@every_score
@both_ties
def test_a_weight_is_a_number_of_repetitions(name, ties):
    query, database, query_y, database_y = random_retrieval(n_queries=20)
    query_y[:3] = 99
    weights = np.arange(20) % 4
    options = {"k": 37, "ties": ties}
    if name in WITH_EMPTY_QUERIES:
        options["empty"] = "skip"
    weighted = SCORES[name].ours(
        query, database, query_y, database_y, sample_weight=weights, **options
    )
    repeated = SCORES[name].ours(
        query.repeat(weights, axis=0),
        database,
        query_y.repeat(weights),
        database_y,
        **options,
    )
    assert weighted == pytest.approx(repeated, rel=1e-12)


@every_score
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], "sample_weight"),
        ([1, -1, 1], "[Nn]egative"),
        ([0, 0, 0], "at least one non-zero"),
        ([1, np.nan, 1], "NaN"),
    ],
)
def test_bad_weights_are_refused(name, weights, message):
    with pytest.raises(ValueError, match=message):
        SCORES[name].ours(*random_retrieval(3, 9), k=4, sample_weight=weights)


@pytest.mark.parametrize("name", WITH_EMPTY_QUERIES)
@both_ties
def test_what_a_query_without_a_relevant_item_counts(name, ties):
    query, database = [[0, 0], [0, 0], [0, 0]], [[0, 0], [1, 1]]
    score = partial(
        SCORES[name].ours, query, database, list("abn"), list("ab"), k=2, ties=ties
    )
    a, b, n = score(average=None)
    assert a == 1
    assert 0 <= b <= 1
    assert n == 0
    np.testing.assert_array_equal(score(average=None, empty="zero"), [a, b, n])
    np.testing.assert_array_equal(score(average=None, empty="skip"), [a, b, np.nan])
    assert score(empty="zero") == pytest.approx((a + b) / 3)
    assert score(empty="skip") == pytest.approx((a + b) / 2)
    weights = [1, 3, 4]
    zero = score(empty="zero", sample_weight=weights)
    assert zero == pytest.approx((a + 3 * b) / 8)
    skipped = score(empty="skip", sample_weight=weights)
    assert skipped == pytest.approx((a + 3 * b) / 4)
    for average in ("macro", None):
        with pytest.raises(ValueError, match="1 of 3 queries have .* query 2"):
            score(empty="raise", average=average)


@pytest.mark.parametrize("name", WITH_EMPTY_QUERIES)
@pytest.mark.parametrize(("empty", "expected"), [("zero", 0.0), ("skip", np.nan)])
def test_no_query_with_a_relevant_item_is_warned_of(name, empty, expected):
    score = partial(SCORES[name].ours, [[0]], [[1]], [0], [1], k=1, empty=empty)
    message = "Every query has no relevant item"
    with pytest.warns(UndefinedMetricWarning, match=message) as record:
        np.testing.assert_equal(score(), expected)
    assert record[0].filename == __file__
    with pytest.warns(UndefinedMetricWarning, match=message):
        np.testing.assert_equal(score(average=None), [expected])


def without_own_row(codes, y, row):
    return codes[[row]], np.delete(codes, row, 0), y[[row]], np.delete(y, row, 0)


@queries_may_be_empty
@every_score
@both_ties
@both_kinds
@pytest.mark.parametrize("k", [1, 29])
def test_exclude_self_is_a_database_without_the_row(name, ties, n_labels, k):
    codes, _, y, _ = random_retrieval(30, 1, n_labels=n_labels)
    score = partial(SCORES[name].ours, k=k, ties=ties)
    by_hand = [score(*without_own_row(codes, y, row)) for row in range(30)]
    each = score(codes, codes, y, y, exclude_self=True, average=None)
    np.testing.assert_allclose(each, by_hand, rtol=1e-12)
    rows = np.array([7, 3, 29, 7])
    each = score(codes[rows], codes, y[rows], y, exclude_self=rows, average=None)
    np.testing.assert_allclose(each, np.take(by_hand, rows), rtol=1e-12)


@both_ties
@both_kinds
def test_exclude_self_from_a_database_of_several_chunks(ties, n_labels):
    codes, _, y, _ = random_retrieval(5_000, 1, n_bits=1100, n_labels=n_labels)
    codes[1::2] = codes[0]
    rows = np.array([0, 1, 2049, 4095, 4096, 4999])
    pairs = [judged(*without_own_row(codes, y, row))[0] for row in rows]
    data = codes[rows], codes, y[rows], y
    assert_as_defined(
        data, ks=[63, 127, 300], ties=ties, pairs=pairs, exclude_self=rows
    )


@every_score
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (True, "as many queries as database rows, got 3 and 9"),
        ([0, 1], "one for each query"),
        ([0, 1, 9], "from 0 to 8"),
        ([-1, 0, 1], "from 0 to 8"),
        ([0.0, 1.0, 2.0], "from 0 to 8"),
        ([True, False, True], "from 0 to 8"),
        ([[0], [1, 2], [3]], "exclude_self is no array"),
        ({}, "exclude_self must be a bool or the database row of each query"),
    ],
)
def test_rows_that_are_no_rows_of_the_queries_are_refused(name, rows, message):
    with pytest.raises(ValueError, match=message):
        SCORES[name].ours(*random_retrieval(3, 9), k=4, exclude_self=rows)


@every_score
@both_ties
@both_kinds
def test_packed_codes_score_as_bits_do(name, ties, n_labels):
    query, database, *y = random_retrieval(n_bits=100, n_labels=n_labels)
    score = partial(SCORES[name].ours, k=37, ties=ties, average=None)
    packed = score(pack_codes(query), pack_codes(database), *y, packed=True)
    np.testing.assert_array_equal(packed, score(query, database, *y))


NAMES = np.array(["ant", "bee", "cat", "dog", "elephant"])


@every_score
@both_ties
@pytest.mark.parametrize(
    "named",
    [
        NAMES.__getitem__,
        NAMES.astype(object).__getitem__,
        lambda y: NAMES[y].tolist(),
        lambda y: y.tolist(),
        lambda y: y.astype(float),
        lambda y: y - 3,
        lambda y: y * 10**15,
    ],
    ids=["str", "object", "list", "ints", "float", "negative", "huge"],
)
def test_classes_of_any_kind_score_the_same(name, ties, named):
    *codes, query_y, database_y = random_retrieval(5, 60)
    score = partial(SCORES[name].ours, *codes, k=37, ties=ties, average=None)
    expected = score(query_y, database_y)
    np.testing.assert_array_equal(score(named(query_y), named(database_y)), expected)


@every_score
@both_ties
@pytest.mark.parametrize(
    "stored",
    [
        np.ndarray.tolist,
        lambda y: y.astype(bool),
        lambda y: y.astype(float),
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
    ],
    ids=["list", "bool", "float", "csr", "csr_matrix", "csc"],
)
def test_labels_of_any_kind_score_the_same(name, ties, stored):
    *codes, query_y, database_y = random_retrieval(5, 60, n_labels=9)
    score = partial(SCORES[name].ours, *codes, k=37, ties=ties, average=None)
    expected = score(query_y, database_y)
    np.testing.assert_array_equal(score(stored(query_y), stored(database_y)), expected)


def test_two_classes_may_be_bool():
    *codes, query_y, database_y = random_retrieval(5, 60, n_classes=2)
    assert mean_average_precision_score(
        *codes, query_y == 1, database_y == 1
    ) == mean_average_precision_score(*codes, query_y, database_y)


@both_ties
@both_kinds
@pytest.mark.parametrize("n_bits", [12, 1100])
def test_working_memory_changes_nothing(ties, n_labels, n_bits):
    data = random_retrieval(2, 4200, n_bits, n_labels=n_labels)
    for name in SCORES:
        score = partial(SCORES[name].ours, *data, k=300, ties=ties, average=None)
        whole = score()
        with config_context(working_memory=1e-9):
            np.testing.assert_array_equal(score(), whole, err_msg=name)


@pytest.mark.parametrize("name", [name for name in SCORES if name != "r-precision"])
@pytest.mark.parametrize(
    ("k", "message"), [(0, "'k' parameter"), (41, "k must be at most the 40 item")]
)
def test_a_k_that_cannot_be_is_refused(name, k, message):
    with pytest.raises(ValueError, match=message):
        SCORES[name].ours(*random_retrieval(5, 40), k=k)


@every_score
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ties": "random"}, "'ties' parameter"),
        ({"average": "micro"}, "'average' parameter"),
        ({"packed": None}, "'packed' parameter"),
        ({"query_y": np.zeros((5, 2))}, "of one kind"),
    ],
)
def test_bad_options_are_refused(name, changes, message):
    names = ("query_codes", "database_codes", "query_y", "database_y")
    arguments = dict(zip(names, random_retrieval(5, 40), strict=True)) | changes
    with pytest.raises((TypeError, ValueError), match=message):
        SCORES[name].ours(**arguments)


def precision_within(data, radius, nothing):
    scores = []
    for distances, shared in judged(*data):
        n_items = n_relevant = 0
        for distance, n_shared in zip(distances, shared, strict=True):
            n_items += distance <= radius
            n_relevant += distance <= radius and n_shared > 0
        scores.append(n_relevant / n_items if n_items else nothing)
    return np.array(scores)


@queries_may_be_empty
@both_kinds
@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12, 99])
def test_precision_within_a_radius_counts_what_is_there(radius, n_labels):
    data = random_retrieval(40, 60, n_labels=n_labels)
    weights = np.random.default_rng(0).integers(3, size=40)
    for empty, nothing in (("zero", 0.0), ("skip", np.nan)):
        expected = precision_within(data, radius, nothing)
        is_empty = np.isnan(precision_within(data, radius, np.nan))
        score = partial(
            precision_within_radius_score,
            *data,
            radius=radius,
            empty=empty,
            return_empty_share=True,
        )
        each, share = score(average=None)
        np.testing.assert_allclose(each, expected, rtol=1e-14)
        assert share == pytest.approx(is_empty.mean())
        counted = ~np.isnan(expected)
        mean, share = score(sample_weight=weights)
        assert mean == pytest.approx(
            np.average(expected[counted], weights=weights[counted]), rel=1e-12
        )
        assert share == pytest.approx(np.average(is_empty, weights=weights))
        mean = precision_within_radius_score(*data, radius=radius, empty=empty)
        assert mean == pytest.approx(expected[counted].mean(), rel=1e-12)


def test_the_radius_is_two_if_none_is_given():
    data = random_retrieval()
    assert precision_within_radius_score(*data) == precision_within_radius_score(
        *data, radius=2
    )


def test_a_radius_may_be_empty():
    """The ball of query 1 is, that of query 2 lacks a relevant item."""
    query, database = [[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]
    score = partial(
        precision_within_radius_score, query, database, [1, 1, 9], [1, 2], radius=0
    )
    np.testing.assert_array_equal(score(average=None), [1, 0, 0])
    np.testing.assert_array_equal(score(average=None, empty="skip"), [1, np.nan, 0])
    assert score(empty="skip") == 0.5
    with pytest.raises(ValueError, match="1 of 3 queries have no item within radius 0"):
        score(empty="raise")
    with pytest.warns(UndefinedMetricWarning, match="no item within radius 0"):
        scored = precision_within_radius_score(
            [[1]], [[0]], [1], [1], radius=0, empty="skip", return_empty_share=True
        )
    np.testing.assert_equal(scored, (np.nan, 1.0))


@both_kinds
def test_precision_within_a_radius_leaves_the_query_out(n_labels):
    codes, _, y, _ = random_retrieval(60, 1, n_bits=6, n_labels=n_labels)
    by_hand = [
        precision_within(without_own_row(codes, y, row), 2, 0.0)[0] for row in range(60)
    ]
    score = partial(precision_within_radius_score, average=None)
    each = score(codes, codes, y, y, exclude_self=True)
    np.testing.assert_allclose(each, by_hand, rtol=1e-14)
    packed = pack_codes(codes)
    each = score(packed, packed, y, y, exclude_self=True, packed=True)
    np.testing.assert_allclose(each, by_hand, rtol=1e-14)


@pytest.mark.parametrize("radius", [-1, 1.5, None])
def test_a_radius_that_cannot_be_is_refused(radius):
    with pytest.raises(ValueError, match="'radius' parameter"):
        precision_within_radius_score(*random_retrieval(5, 40), radius=radius)


def test_a_thousand_shared_labels_overflow_nothing():
    many = np.ones((1, 1100), dtype=int)
    database_y = np.vstack([many, 0 * many])
    score = ndcg_at_k_score([[0]], [[1], [0]], many, database_y, ties="index")
    assert score == pytest.approx(1 / np.log2(3))


@pytest.mark.parametrize(
    ("bits", "labels", "message"),
    [
        (1, 66_000, "Rows may share up to 65535 labels, got rows .* with 66000"),
        (64_000, 2, "Codes may have up to 63936 bits, got query_codes of 64000"),
    ],
)
def test_more_than_compiled_loops_tell_apart_is_refused(bits, labels, message):
    codes, y = np.zeros((1, bits), dtype=np.uint8), np.ones((1, labels), dtype=int)
    with pytest.raises(ValueError, match=message):
        average_cumulative_gain_score(codes, codes, y, y)
