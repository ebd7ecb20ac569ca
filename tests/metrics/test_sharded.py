"""Scores over a sharded database are those over the same database in memory."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.metrics import (
    DistanceHistogramDisplay,
    HammingPrecisionRecallDisplay,
    PrecisionAtKDisplay,
    average_cumulative_gain_score,
    compare_retrieval,
    make_retrieval_scorer,
    map_at_1000_scorer,
    map_scorer,
    mean_average_precision_score,
    mean_reciprocal_rank_score,
    ndcg_at_k_score,
    precision_at_100_scorer,
    precision_at_k_score,
    precision_recall_curve,
    precision_within_radius_2_scorer,
    precision_within_radius_score,
    r_precision_score,
    recall_at_k_score,
    retrieval_report,
    shared_counts,
    weighted_mean_average_precision_score,
)
from tests.metrics.naive import random_retrieval
from tests.persistence.same import assert_same
from tests.shards import as_array, as_frame, as_store, of_blocks, random_sizes

SIZES = [0, 150, 1, 0, 199, 50]
CLASSES = random_retrieval()
LABELS = random_retrieval(n_labels=4)
NAMES = np.array(["cat", "a long name", "dog", "b", "emu"])
RETRIEVALS = {
    "classes": CLASSES,
    "names": (*CLASSES[:2], NAMES[CLASSES[2]], NAMES[CLASSES[3]]),
    "labels": LABELS,
    "sorted classes": (
        CLASSES[0],
        CLASSES[1][np.argsort(CLASSES[3], kind="stable")],
        CLASSES[2],
        np.sort(CLASSES[3]),
    ),
}

every_retrieval = pytest.mark.parametrize("name", RETRIEVALS)
queries_may_be_empty = pytest.mark.filterwarnings(
    "ignore:Every query has:sklearn.exceptions.UndefinedMetricWarning"
)

curve_by_rank = partial(precision_recall_curve, by="rank")
AT_K = [
    curve_by_rank,
    average_cumulative_gain_score,
    mean_average_precision_score,
    mean_reciprocal_rank_score,
    ndcg_at_k_score,
    precision_at_k_score,
    recall_at_k_score,
    weighted_mean_average_precision_score,
]
SCORES = [
    *(partial(of, k=k) for of in AT_K for k in (None, 20)),
    *(partial(of, k=20, ties="index") for of in AT_K),
    *(partial(of, average=None) for of in AT_K),
    *(
        partial(mean_average_precision_score, ties=ties)
        for ties in ("optimistic", "pessimistic")
    ),
    *(
        partial(mean_average_precision_score, normalize=by)
        for by in ("relevant", "min")
    ),
    partial(mean_average_precision_score, protocol="hashnet"),
    precision_recall_curve,
    *(
        partial(precision_within_radius_score, radius=radius, return_empty_share=True)
        for radius in (0, 4)
    ),
    *(partial(r_precision_score, ties=ties) for ties in ("expected", "index")),
    *(
        partial(
            retrieval_report, ties=ties, random_state=0, n_resamples=9, output_dict=True
        )
        for ties in ("expected", "index")
    ),
    partial(retrieval_report, k=50, at=[7], radius=4, confidence_level=None),
]


def scores(query_codes, database_codes, query_y, database_y, **options):
    with shared_counts():
        return [
            score(query_codes, database_codes, query_y, database_y, **options)
            for score in SCORES
        ]


def in_shards(data, sizes=SIZES):
    """The same retrieval, with the database in shards."""
    return data[0], as_array(data[1], sizes), data[2], as_array(data[3], sizes)


@every_retrieval
def test_all_scores_are_those_in_memory(name, anywhere):
    data = RETRIEVALS[name]
    assert_same(scores(*in_shards(data)), scores(*data))


@pytest.mark.parametrize("form", ["in memory", "sparse", "series"])
def test_labels_of_a_sharded_database_come_in_all_forms(form, anywhere):
    data = LABELS if form == "sparse" else CLASSES
    given = {
        "in memory": lambda y: y,
        "sparse": sparse.csr_array,
        "series": partial(as_frame, sizes=SIZES),
    }[form]
    sharded = data[0], as_array(data[1], SIZES), data[2], given(data[3])
    assert_same(scores(*sharded), scores(*data))


@queries_may_be_empty
@settings(max_examples=25, deadline=None)
@given(
    n_database=st.integers(1, 40),
    n_labels=st.sampled_from([0, 3]),
    n_shards=st.integers(1, 6),
    exclude_self=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_sharding_has_the_same_scores(
    n_database, n_labels, n_shards, exclude_self, seed
):
    n_queries, n_database = min(n_database, 10), n_database + 1
    data = random_retrieval(n_queries, n_database, 5, n_labels=n_labels, seed=seed)
    sharded = in_shards(data, random_sizes(n_database, n_shards, seed))
    own = np.random.default_rng(seed).integers(n_database, size=n_queries)
    options = {"exclude_self": own if exclude_self else False}
    for score in (
        mean_average_precision_score,
        partial(mean_average_precision_score, ties="index"),
        partial(ndcg_at_k_score, k=min(5, n_database - 1)),
        curve_by_rank,
    ):
        assert_same(score(*sharded, **options), score(*data, **options))


@pytest.mark.parametrize("data", [CLASSES, LABELS])
def test_queries_of_the_database_are_left_out_for_themselves(data, anywhere):
    _, codes, _, y = data
    sharded = as_array(codes, SIZES), as_array(y, SIZES)
    given = scores(codes, sharded[0], y, sharded[1], exclude_self=True)
    assert_same(given, scores(codes, codes, y, y, exclude_self=True))
    own = np.random.default_rng(1).permutation(len(codes))[:30]
    given = scores(codes[own], sharded[0], y[own], sharded[1], exclude_self=own)
    assert_same(given, scores(codes[own], codes, y[own], y, exclude_self=own))


def test_weights_and_packed_codes_are_taken_too(anywhere):
    packed = pack_codes(CLASSES[0]), pack_codes(CLASSES[1]), *CLASSES[2:]
    weights = np.random.default_rng(0).random(len(CLASSES[0]))
    for score in (mean_average_precision_score, retrieval_report):
        options = {"sample_weight": weights, "packed": True}
        if score is retrieval_report:
            options |= {"random_state": 0, "n_bits": 12}
        assert_same(
            score(*in_shards(packed), **options),
            score(*packed, **options),
        )


@pytest.mark.parametrize("packed", [False, True])
def test_a_store_and_a_data_frame_are_scored_as_the_codes_in_them(
    packed, anywhere, tmp_path
):
    query_codes, codes, query_y, y = CLASSES
    store = as_store(codes, SIZES, tmp_path / "store")
    if packed:
        query_codes, codes = pack_codes(query_codes), pack_codes(codes)
    expected = scores(query_codes, codes, query_y, y, packed=packed)
    for database in (store, as_frame(codes, SIZES)):
        sharded = query_codes, database, query_y, as_array(y, SIZES)
        assert_same(scores(*sharded, packed=packed), expected)


def test_two_methods_are_compared_over_shards(anywhere):
    a, b = CLASSES, (1 - CLASSES[0][:, :6], CLASSES[1][:, :6])
    found, expected = (
        compare_retrieval(
            (a[0], cut(a[1])), (b[0], cut(b[1])), *a[2:], n_resamples=9, random_state=0
        )
        for cut in (lambda codes: as_array(codes, SIZES), np.asarray)
    )
    assert_same(found, expected)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400], X[400:450], y[:400], y[400:450]


def test_scorers_ask_a_sharded_search(digits, anywhere):
    X, X_query, y, y_query = digits
    hasher = LSH(16, random_state=0, packed=True).fit(X)
    plain = make_pipeline(
        hasher, HammingNeighbors(packed=True).fit(hasher.transform(X), y)
    )
    codes = as_array(hasher.transform(X), [100, 0, 300])
    search = HammingNeighbors(packed=True).fit(codes, as_array(y, [100, 0, 300]))
    sharded = make_pipeline(hasher, search)
    several = make_retrieval_scorer(
        {"map": mean_average_precision_score, "ndcg": ndcg_at_k_score}
    )
    for scorer in (
        map_scorer,
        map_at_1000_scorer,
        precision_at_100_scorer,
        precision_within_radius_2_scorer,
        several,
    ):
        found = scorer(sharded, X_query, y_query)
        assert_same(found, scorer(plain, X_query, y_query))
    assert sharded.score(X_query, y_query) == plain.score(X_query, y_query)


DISPLAYS = [
    DistanceHistogramDisplay,
    HammingPrecisionRecallDisplay,
    PrecisionAtKDisplay,
]


@pytest.mark.parametrize("display", DISPLAYS)
def test_displays_show_a_sharded_database(display, anywhere):
    import matplotlib.pyplot as plt

    search = HammingNeighbors().fit(*in_shards(CLASSES)[1::2])
    plain = HammingNeighbors().fit(*CLASSES[1::2])
    shown = [
        display.from_predictions(*CLASSES),
        display.from_predictions(*in_shards(CLASSES)),
        display.from_estimator(plain, *CLASSES[::2]),
        display.from_estimator(search, *CLASSES[::2]),
    ]
    lines = [[line.get_xydata() for line in of.ax_.lines] for of in shown]
    for found in lines[1:]:
        assert_same(found, lines[0])
    plt.close("all")


QUERY_CODES, CODES, QUERY_Y, Y = CLASSES
WRONG = {
    "codes of another width": (as_array(CODES[:, :9], SIZES), Y, "got 12 and 9 bits"),
    "codes of one more byte": (
        as_array(np.tile(CODES, 2), SIZES),
        Y,
        "got 12 and 24 bits",
    ),
    "a block of another width": (
        of_blocks(CODES[:100], CODES[100:, :9]),
        as_array(Y, [100, 300]),
        r"columns of X, \(12,\), got \(9,\)",
    ),
    "a value that is no bit": (as_array(CODES + 1, SIZES), Y, "ones only, got 2"),
    "no codes": (as_array(CODES[:0], [0, 0]), Y[:0], "at least one row|0 sample|least"),
    "a vector": (as_array(Y, SIZES), Y, "database_codes must be a matrix"),
    "too few labels": (as_array(CODES, SIZES), Y[1:], "inconsistent numbers|as many"),
    "labels of other blocks": (
        as_array(CODES, SIZES),
        as_array(Y, [200, 200]),
        "y must have the blocks of X",
    ),
    "labels of another kind": (as_array(CODES, SIZES), LABELS[3], "labels|matrix|kind"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_ranked_is_refused(what):
    codes, y, message = WRONG[what]
    for score in (mean_average_precision_score, retrieval_report):
        with pytest.raises(ValueError, match=message):
            score(QUERY_CODES, codes, QUERY_Y, y)


def test_labels_of_another_search_are_refused():
    one, other = (HammingNeighbors().fit(*in_shards(CLASSES)[1::2]) for _ in range(2))
    codes, y = one.live_items()[0], other.live_items()[1]
    with pytest.raises(ValueError, match="the labels that live_items gave"):
        mean_average_precision_score(
            pack_codes(QUERY_CODES), codes, QUERY_Y, y, packed=True
        )
