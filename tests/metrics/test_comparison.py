import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from sklhash import LSH, pack_codes
from sklhash.metrics import (
    compare_retrieval,
    mean_average_precision_score,
    precision_at_k_score,
)

X, Y = load_digits(return_X_y=True)
X, Y = X[:500], Y[:500]
LABELS = Y[:80], Y[80:]


def codes(n_bits, seed=0):
    both = LSH(n_bits, random_state=seed).fit_transform(X)
    return both[:80], both[80:]


def test_a_comparison_is_that_of_the_scores_of_the_queries():
    a, b = codes(8), codes(24)
    each = [mean_average_precision_score(*of, *LABELS, average=None) for of in (a, b)]
    found = compare_retrieval(a, b, *LABELS, random_state=0)
    assert found.score_a == pytest.approx(each[0].mean())
    assert found.score_b == pytest.approx(each[1].mean())
    assert found.difference == pytest.approx(found.score_b - found.score_a)
    assert found.n_queries == 80
    interval = stats.bootstrap(
        (each[1] - each[0],), np.mean, method="percentile", rng=0
    ).confidence_interval
    assert found.low == pytest.approx(interval.low, abs=0.005)
    assert found.high == pytest.approx(interval.high, abs=0.005)
    paired = stats.ttest_rel(*each).pvalue
    assert paired < 1e-3
    assert found.p_value < 1e-3


def test_the_p_value_is_that_of_all_changes_of_sign_where_they_are_few():
    query_y = LABELS[0][:6]
    a, b = ((of[0][:6], of[1]) for of in (codes(8, 0), codes(8, 1)))
    each = [
        mean_average_precision_score(*of, query_y, LABELS[1], average=None)
        for of in (a, b)
    ]
    differences = each[1] - each[0]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    sums = np.abs(differences @ signs)
    expected = np.mean(sums >= np.abs(differences.sum()) - 1e-12)
    found = compare_retrieval(a, b, query_y, LABELS[1], random_state=0)
    assert found.p_value == pytest.approx(expected)


def test_equal_codes_do_not_differ():
    found = compare_retrieval(codes(8), codes(8), *LABELS, random_state=0)
    assert found.difference == found.low == found.high == 0
    assert found.p_value == 1


def test_p_values_of_chance_are_uniform():
    rng = np.random.default_rng(0)
    query_y, database_y = rng.integers(2, size=40), rng.integers(2, size=60)
    p_values = [
        compare_retrieval(
            *(
                (rng.integers(2, size=(40, 6)), rng.integers(2, size=(60, 6)))
                for _ in range(2)
            ),
            query_y,
            database_y,
            n_resamples=199,
            random_state=seed,
        ).p_value
        for seed in range(60)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_another_score_and_its_options():
    a, b = (tuple(map(pack_codes, of)) for of in (codes(8), codes(16)))
    found = compare_retrieval(
        a, b, *LABELS, score=precision_at_k_score, k=7, packed=True, random_state=0
    )
    assert found.score_b == precision_at_k_score(*b, *LABELS, k=7, packed=True)


def test_queries_that_either_leaves_out_are_left_out():
    query_y = LABELS[0].copy()
    query_y[:30] = 99
    found = compare_retrieval(
        codes(8), codes(16), query_y, LABELS[1], empty="skip", random_state=0
    )
    assert found.n_queries == 50
    expected = mean_average_precision_score(
        codes(8)[0][30:], codes(8)[1], query_y[30:], LABELS[1]
    )
    assert found.score_a == pytest.approx(expected)


def test_codes_that_are_no_pair_are_refused():
    with pytest.raises(ValueError, match=r"codes_b must be a pair .* got ndarray"):
        compare_retrieval(codes(8), codes(8)[0], *LABELS)
    with (
        pytest.raises(ValueError, match="at least two queries .* got 0"),
        pytest.warns(UserWarning, match="Every query has no relevant"),
    ):
        compare_retrieval(codes(8), codes(8), LABELS[0] + 50, LABELS[1], empty="skip")


def test_options_of_a_mean_are_refused():
    with pytest.raises(ValueError, match=r"\['sample_weight'\] cannot be given"):
        compare_retrieval(codes(8), codes(8), *LABELS, sample_weight=np.ones(80))


@pytest.mark.parametrize("option", [{"ties": "random"}, {"k": 0}, {"empty": None}])
def test_options_of_the_score_are_checked_by_it(option):
    with pytest.raises(ValueError, match=f"'{next(iter(option))}' parameter"):
        compare_retrieval(codes(8), codes(8), *LABELS, **option)
