"""Precision-recall curves against loops over radii, ranks and queries."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context

from sklhash import pack_codes
from sklhash.metrics import (
    precision_at_k_score,
    precision_recall_curve,
    precision_within_radius_score,
    recall_at_k_score,
)
from tests.metrics import naive
from tests.metrics.naive import judged, random_retrieval

AVERAGES = ["macro", "micro", None]
both_ties = pytest.mark.parametrize("ties", ["expected", "index"])
both_ways = pytest.mark.parametrize("by", ["radius", "rank"])
every_average = pytest.mark.parametrize("average", AVERAGES)
both_empties = pytest.mark.parametrize("empty", ["zero", "skip"])
both_kinds = pytest.mark.parametrize("n_labels", [0, 9], ids=["classes", "labels"])


def retrieval_with_empty_queries(n_bits=12, n_labels=0):
    """Query 0 has no relevant item, query 1 none nearby."""
    query, database, query_y, database_y = random_retrieval(
        8, 150, n_bits, n_labels=n_labels
    )
    query_y[0] = 0 if n_labels else 99
    query[1] = 1 - np.round(database.mean(axis=0))
    return query, database, query_y, database_y


def cut_by_radius(pairs, n_bits):
    """Items and relevant items within each radius, relevant items in all."""
    for distances, shared in pairs:
        relevant = shared > 0
        within = [distances <= radius for radius in range(n_bits + 1)]
        items = [np.count_nonzero(near) for near in within]
        hits = [np.count_nonzero(near & relevant) for near in within]
        yield items, hits, np.count_nonzero(relevant)


def cut_by_rank(pairs, ties, k):
    """The same among the first items, up to each rank."""
    for distances, shared in pairs:
        relevant = shared > 0
        if ties == "index":
            by_rank = relevant[naive.stable_order(distances)]
        else:
            by_rank = naive.mean_of_tie(relevant, distances)
        hits = [sum(by_rank[:rank]) for rank in range(1, k + 1)]
        yield range(1, k + 1), hits, np.count_nonzero(relevant)


def naive_curve(cuts, empty, average, weights):
    """Precision and recall, each a list of points or of the queries' points."""
    nothing = 0.0 if empty == "zero" else np.nan

    def divided(part, whole):
        return part / whole if whole else nothing

    def mean(values):
        pairs = [
            (value, weight)
            for value, weight in zip(values, weights, strict=True)
            if not np.isnan(value)
        ]
        total = sum(weight for _, weight in pairs)
        return sum(v * w for v, w in pairs) / total if total else np.nan

    cuts = list(cuts)
    if average == "micro":
        n_points = len(cuts[0][0])
        relevant = sum(w * cut[2] for w, cut in zip(weights, cuts, strict=True))
        pooled = [
            [
                sum(w * cut[of][point] for w, cut in zip(weights, cuts, strict=True))
                for point in range(n_points)
            ]
            for of in (0, 1)
        ]
        precision = [divided(h, n) for n, h in zip(*pooled, strict=True)]
        return precision, [divided(h, relevant) for h in pooled[1]]
    precision = [
        [divided(h, n) for n, h in zip(items, hits, strict=True)]
        for items, hits, _ in cuts
    ]
    recall = [[divided(h, relevant) for h in hits] for _, hits, relevant in cuts]
    if average is None:
        return precision, recall
    return tuple(
        [mean(values) for values in zip(*curves, strict=True)]
        for curves in (precision, recall)
    )


def assert_curve_is_naive(
    data,
    *,
    n_bits=12,
    by="radius",
    k=None,
    ties="expected",
    empty="zero",
    average="macro",
    weights=None,
    exclude_self=False,
):
    pairs = judged(*data)
    if exclude_self:
        pairs = [
            (np.delete(distances, row), np.delete(shared, row))
            for row, (distances, shared) in enumerate(pairs)
        ]
    if by == "radius":
        cuts, ends = cut_by_radius(pairs, n_bits), (0, n_bits)
    else:
        ends = 1, k or len(pairs[0][0])
        cuts = cut_by_rank(pairs, ties, ends[1])
    *curve, points = precision_recall_curve(
        *data,
        by=by,
        k=k,
        ties=ties,
        empty=empty,
        average=average,
        sample_weight=weights,
        exclude_self=exclude_self,
    )
    expected = naive_curve(
        cuts, empty, average, np.ones(len(data[0])) if weights is None else weights
    )
    for ours, theirs in zip(curve, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)
        assert ours.dtype == np.float64
    np.testing.assert_array_equal(points, np.arange(ends[0], ends[1] + 1))
    assert points.dtype == np.int64


WEIGHTS = {
    "unweighted": None,
    "whole": np.array([3, 1, 0, 2, 1, 1, 5, 1]),
    "small": np.array([0.01, 0.02, 0.005, 0, 0.01, 0.03, 0.01, 0.02]),
    "large": 1e6 * np.arange(1, 9),
}


@pytest.mark.parametrize("weights", WEIGHTS)
@every_average
@both_empties
@both_kinds
def test_the_curve_by_radius_is_a_loop_over_radii(n_labels, empty, average, weights):
    data = retrieval_with_empty_queries(n_labels=n_labels)
    assert_curve_is_naive(data, empty=empty, average=average, weights=WEIGHTS[weights])


@pytest.mark.parametrize("weights", WEIGHTS)
@every_average
@both_empties
@both_kinds
@both_ties
@pytest.mark.parametrize("k", [None, 1, 37])
def test_the_curve_by_rank_is_a_loop_over_ranks(
    k, ties, n_labels, empty, average, weights
):
    assert_curve_is_naive(
        retrieval_with_empty_queries(n_labels=n_labels),
        by="rank",
        k=k,
        ties=ties,
        empty=empty,
        average=average,
        weights=WEIGHTS[weights],
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data(), by=st.sampled_from(["radius", "rank"]))
def test_small_curves_are_those_of_loops(data, by):
    """Also where no query has a relevant item."""

    def draw(n, width):
        bits = st.lists(st.integers(0, 1), min_size=width, max_size=width)
        rows = data.draw(st.lists(bits, min_size=n, max_size=n))
        return np.array(rows, dtype=np.uint8)

    n_queries, n_database = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    y = draw(n_queries, 2), draw(n_database, 2)
    weights = st.lists(st.sampled_from([0, 0.1, 1, 7]), min_size=n_queries)
    weights = weights.map(lambda drawn: drawn[:n_queries]).filter(any)
    assert_curve_is_naive(
        (draw(n_queries, 2), draw(n_database, 2), *y),
        n_bits=2,
        by=by,
        ties=data.draw(st.sampled_from(["expected", "index"])),
        empty=data.draw(st.sampled_from(["zero", "skip"])),
        average=data.draw(st.sampled_from(AVERAGES)),
        weights=data.draw(st.none() | weights),
    )


@both_kinds
@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_a_point_by_radius_is_the_precision_within_it(empty, n_labels):
    data = retrieval_with_empty_queries(n_labels=n_labels)
    precision, _, radii = precision_recall_curve(*data, empty=empty)
    for radius, value in zip(radii, precision, strict=True):
        score = precision_within_radius_score(*data, radius=radius, empty=empty)
        assert value == pytest.approx(score, rel=1e-12)


@both_ties
@both_kinds
@both_empties
def test_a_point_by_rank_is_the_precision_and_recall_at_it(empty, n_labels, ties):
    data = retrieval_with_empty_queries(n_labels=n_labels)
    curve = precision_recall_curve(*data, by="rank", ties=ties, k=50, empty=empty)
    for precision, recall, rank in zip(*curve, strict=True):
        score = precision_at_k_score(*data, k=rank, ties=ties)
        assert precision == pytest.approx(score, rel=1e-12)
        score = recall_at_k_score(*data, k=rank, ties=ties, empty=empty)
        assert recall == pytest.approx(score, rel=1e-12)


@both_ways
@both_ties
@every_average
@both_kinds
def test_exclude_self_is_a_database_without_the_row(by, ties, average, n_labels):
    codes, _, y, _ = random_retrieval(30, 1, n_labels=n_labels)
    assert_curve_is_naive(
        (codes, codes, y, y), by=by, ties=ties, average=average, exclude_self=True
    )


@both_ways
@every_average
def test_packed_codes_give_the_same_curve(by, average):
    query, database, *y = random_retrieval(8, 150, n_bits=12)
    curve = partial(precision_recall_curve, by=by, average=average)
    bits = curve(query, database, *y)
    packed = curve(pack_codes(query), pack_codes(database), *y, packed=True)
    for ours, theirs in zip(packed, bits, strict=True):
        n_points = theirs.shape[-1]
        np.testing.assert_array_equal(ours[..., :n_points], theirs)
    if by == "radius":
        assert packed[2][-1] == 16
        np.testing.assert_array_equal(packed[1][..., 12:], bits[1][..., [12] * 5])


@both_ways
def test_sparse_labels_give_the_same_curve(by):
    *codes, query_y, database_y = random_retrieval(8, 150, n_labels=9)
    dense = precision_recall_curve(*codes, query_y, database_y, by=by)
    stored = sparse.csr_array(query_y), sparse.csc_array(database_y)
    for ours, theirs in zip(
        precision_recall_curve(*codes, *stored, by=by), dense, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@both_ways
@both_ties
@every_average
@pytest.mark.parametrize("n_bits", [12, 1100])
def test_working_memory_changes_nothing(by, ties, average, n_bits):
    data = random_retrieval(9, 4500, n_bits)
    options = {"by": by, "ties": ties, "average": average}
    options["k"] = 300 if by == "rank" else None
    whole = precision_recall_curve(*data, **options)
    with config_context(working_memory=1e-9):
        blocks = precision_recall_curve(*data, **options)
    for ours, theirs in zip(blocks, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": "bits"}, "'by' parameter"),
        ({"by": "radius", "k": 3}, 'k is for by="rank", got k=3'),
        ({"by": "rank", "k": 41}, "k must be at most the 40 item"),
        ({"by": "rank", "k": 0}, "'k' parameter"),
        ({"by": "rank", "ties": "optimistic"}, "'ties' parameter"),
        ({"empty": "raise"}, "'empty' parameter"),
        ({"average": "weighted"}, "'average' parameter"),
        ({"sample_weight": [1, 1]}, "sample_weight"),
        ({"sample_weight": [0] * 5}, "at least one non-zero"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        precision_recall_curve(*random_retrieval(5, 40), **changes)
