"""mAP against known values, to the last digit, and what it refuses."""

import math
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from sklhash._kernels.ranking import _tied_precisions
from sklhash.metrics import mean_average_precision_score
from tests.metrics.naive import random_retrieval

# Distances [0, 1, 1, 1, 2, 2] and relevance [0, 1, 1, 0, 1, 0] from one query.
CARD_QUERY, CARD_QUERY_Y = np.zeros((1, 4)), [1]
CARD_DATABASE = np.array(
    [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0]]
)
CARD_DATABASE_Y = [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("k", "normalize", "expected"),
    [
        (None, "hits", 0.5166667),
        (2, "hits", 0.3333333),
        (2, "min", 0.1666667),
        (2, "relevant", 0.1111111),
        (3, "hits", 0.4722222),
        (3, "min", 0.2222222),
        (3, "relevant", 0.2222222),
        (5, "hits", 0.5166667),
        (5, "min", 0.4333333),
        (5, "relevant", 0.4333333),
    ],
)
def test_values_worked_out_by_hand(k, normalize, expected):
    score = mean_average_precision_score(
        CARD_QUERY,
        CARD_DATABASE,
        CARD_QUERY_Y,
        CARD_DATABASE_Y,
        k=k,
        normalize=normalize,
    )
    assert score == pytest.approx(expected, abs=5e-8)


@pytest.mark.parametrize(
    ("normalize", "expected"), [("hits", 0.75), ("min", 0.30), ("relevant", 0.15)]
)
def test_the_three_divisors(normalize, expected):
    """Top five [1, 0, 0, 1, 0], ten relevant items in all."""
    database = np.tril(np.ones((13, 13), dtype=int), -1)
    database_y = [1, 0, 0, 1, 0] + [1] * 8
    score = mean_average_precision_score(
        np.zeros((1, 13)), database, [1], database_y, k=5, normalize=normalize
    )
    assert score == pytest.approx(expected)


@pytest.mark.parametrize("k", [None, 37])
def test_expected_ties_do_not_depend_on_the_order_of_the_database(k):
    query, database, query_y, database_y = random_retrieval()
    order = np.random.default_rng(1).permutation(len(database))
    scores = [
        mean_average_precision_score(
            query, database[rows], query_y, database_y[rows], k=k
        )
        for rows in (slice(None), order)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_without_ties_it_is_average_precision(ties):
    rng = np.random.default_rng(0)
    database = np.tril(np.ones((40, 40), dtype=int), -1)
    database_y = rng.integers(3, size=40)
    expected = average_precision_score(database_y == 1, -database.sum(axis=1))
    score = mean_average_precision_score(
        np.zeros((1, 40)), database, [1], database_y, ties=ties
    )
    assert score == pytest.approx(expected, abs=1e-12)


def test_no_digits_are_lost_behind_many_items():
    """One relevant item, alone at its distance, behind 200,000 others."""
    database = np.zeros((200_001, 2), dtype=np.uint8)
    database[-1] = 1
    y = np.arange(200_001) == 200_000
    score = mean_average_precision_score([[0, 0]], database, [True], y)
    assert score == pytest.approx(1 / 200_001, rel=1e-14)


@pytest.mark.parametrize(
    ("items", "hits", "n", "r"),
    [(0, 0, 17, 5), (90, 3, 40, 40), (10**5, 0, 50, 50), (10**6, 7, 300, 1)]
    + [(10**6, 0, 5000, 2500), (3, 3, 10**5, 9)],
)
def test_tied_precisions_are_exact(items, hits, n, r):
    slope = Fraction(r - 1, n - 1)
    terms = ((hits + 1 + t * slope) / (items + 1 + t) for t in range(n))
    exact = float(Fraction(r, n)) * math.fsum(float(term) for term in terms)
    assert _tied_precisions(n, n, r, items, hits) == pytest.approx(exact, rel=1e-9)
    assert _tied_precisions(n, n, r, items, hits) == pytest.approx(exact, abs=1e-12 * r)


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_a_perfect_ranking_is_exactly_one(ties):
    codes = np.tril(np.ones((50, 50), dtype=int), -1)
    assert (
        mean_average_precision_score(codes, codes, [0] * 50, [0] * 50, ties=ties) == 1
    )


@pytest.mark.parametrize("ties", ["expected", "index"])
def test_a_query_without_a_hit_is_empty_if_hits_are_the_divisor(ties):
    """Query 0 has a hit at rank 1, query 1 one at rank 3, of three."""
    query, database = [[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1], [0, 1, 1]]

    def score(k, normalize, empty="skip"):
        return mean_average_precision_score(
            query,
            database,
            ["a", "b"],
            ["a", "a", "b"],
            k=k,
            ties=ties,
            normalize=normalize,
            empty=empty,
        )

    assert score(2, "hits") == 1
    assert score(2, "relevant") == score(2, "min") == 0.5
    assert score(3, "hits") == pytest.approx((1 + 1 / 3) / 2)
    with pytest.raises(ValueError, match="1 of 2 .* among the first 2, .* query 1"):
        score(2, "hits", empty="raise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "'k' parameter"),
        ({"k": 401}, "k must be at most the 400 item"),
        ({"ties": "random"}, "'ties' parameter"),
        ({"normalize": "all"}, "'normalize' parameter"),
        ({"empty": "drop"}, "'empty' parameter"),
        ({"exclude_self": True}, "as many queries as database rows, got 30 and 400"),
        ({"query_codes": np.zeros((30, 13))}, "same width, got 13 and 12 bits"),
        (
            {"query_codes": np.full((30, 12), 0.5)},
            "query_codes must hold zeros and ones",
        ),
        ({"query_y": np.zeros(29)}, "inconsistent numbers of samples"),
        ({"database_y": np.zeros(399)}, "inconsistent numbers of samples"),
        ({"query_codes": np.zeros((0, 12)), "query_y": []}, "at least one row"),
        ({"database_codes": np.zeros((0, 12)), "database_y": []}, "at least one row"),
    ],
)
def test_bad_input_is_refused(changes, message):
    names = ("query_codes", "database_codes", "query_y", "database_y")
    arguments = dict(zip(names, random_retrieval(), strict=True)) | changes
    with pytest.raises(ValueError, match=message):
        mean_average_precision_score(**arguments)


def test_a_database_of_one_has_nothing_but_itself():
    with pytest.raises(ValueError, match="nothing to rank"):
        mean_average_precision_score([[1]], [[1]], [0], [0], exclude_self=True)
