from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge

from sklhash.hashers.discrete import (
    classification_error,
    discrete_codes,
    ridge_classifier,
)


def draw(seed, n, n_bits, n_classes):
    """Codes, labels and projections of `n` rows."""
    rng = np.random.default_rng(seed)
    codes = rng.choice([-1.0, 1.0], size=(n, n_bits)).astype(np.float32)
    labels = (rng.random((n, n_classes)) < 0.4).astype(np.float32)
    values = rng.standard_normal((n, n_bits)).astype(np.float32)
    coef = rng.standard_normal((n_bits, n_classes)).astype(np.float32)
    return codes, labels, values, coef


def objective(codes, labels, values, coef, weight):
    return (
        np.square(labels - codes @ coef, dtype=np.float64).sum()
        + weight * np.square(codes - values, dtype=np.float64).sum()
    )


sizes = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(1, 12),
    "n_bits": st.integers(1, 8),
    "n_classes": st.integers(1, 5),
}


def test_the_classifier_of_the_method_card():
    codes = np.array([[1, 1], [-1, -1]], dtype=np.float32)
    coef = ridge_classifier(codes, np.eye(2, dtype=np.float32), 0.1)
    g = 1 / 4.1
    np.testing.assert_allclose(coef, [[g, -g], [g, -g]], atol=1e-6)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_the_classifier_is_scikit_learns_ridge(convert):
    codes, labels, _, _ = draw(0, 60, 7, 4)
    coef = ridge_classifier(codes, convert(labels), 0.7)
    ridge = Ridge(alpha=0.7, fit_intercept=False).fit(codes, labels)
    assert coef.dtype == np.float32
    np.testing.assert_allclose(coef, ridge.coef_.T, atol=1e-5)
    error = classification_error(codes, convert(labels), coef)
    assert error == pytest.approx(np.square(labels - ridge.predict(codes)).sum())


@given(**sizes, weight=st.sampled_from([0.0, 0.1, 1.0]))
def test_each_sweep_is_that_of_a_plain_loop_which_never_rises(
    seed, n, n_bits, n_classes, weight
):
    codes, labels, values, coef = draw(seed, n, n_bits, n_classes)
    expected = codes.copy()
    for i in range(n):
        for k in range(n_bits):
            losses = {}
            for bit in (-1, 1):
                tried = expected[i].copy()
                tried[k] = bit
                losses[bit] = objective(tried, labels[i], values[i], coef, weight)
            if abs(losses[1] - losses[-1]) > 1e-5:
                before = losses[int(expected[i, k])]
                expected[i, k] = min(losses, key=losses.get)
                assert losses[int(expected[i, k])] <= before
            else:
                expected[i, k] = -1
    pull = labels @ coef.T + np.float32(weight) * values
    swept = discrete_codes(codes, pull, coef, max_sweeps=1)
    loss = objective(swept, labels, values, coef, weight)
    assert loss == pytest.approx(
        objective(expected, labels, values, coef, weight), rel=1e-4, abs=1e-4
    )
    assert loss <= objective(codes, labels, values, coef, weight) + 1e-3


@given(**sizes)
def test_at_the_end_no_single_bit_can_be_bettered(seed, n, n_bits, n_classes):
    codes, labels, values, coef = draw(seed, n, n_bits, n_classes)
    pull = labels @ coef.T + np.float32(0.5) * values
    settled = discrete_codes(codes, pull, coef, max_sweeps=1000)
    loss = objective(settled, labels, values, coef, 0.5)
    assert loss <= objective(codes, labels, values, coef, 0.5) + 1e-3
    for i, k in product(range(n), range(n_bits)):
        tried = settled.copy()
        tried[i, k] *= -1
        assert objective(tried, labels, values, coef, 0.5) >= loss - 1e-3
    np.testing.assert_array_equal(discrete_codes(settled, pull, coef), settled)


@given(seed=st.integers(0, 10**6), n_bits=st.integers(1, 6))
def test_the_best_of_all_codes_is_a_lower_bound_attained_by_one_bit(seed, n_bits):
    codes, labels, values, coef = draw(seed, 1, n_bits, 3)
    pull = labels @ coef.T + values
    loss = objective(discrete_codes(codes, pull, coef), labels, values, coef, 1.0)
    least = min(
        objective(np.array([bits], np.float32), labels, values, coef, 1.0)
        for bits in product([-1, 1], repeat=n_bits)
    )
    assert loss >= least - 1e-4
    if n_bits == 1:
        assert loss == pytest.approx(least, abs=1e-4)


def test_a_heavy_weight_returns_the_signs():
    codes, labels, values, coef = draw(0, 50, 8, 4)
    pull = labels @ coef.T + np.float32(1e6) * values
    np.testing.assert_array_equal(discrete_codes(codes, pull, coef), np.sign(values))


def test_ties_leave_no_zeros():
    codes = np.ones((3, 4), dtype=np.float32)
    nothing = np.zeros((3, 4), dtype=np.float32)
    settled = discrete_codes(codes, nothing, np.zeros((4, 2), dtype=np.float32))
    assert set(np.unique(settled)) <= {-1, 1}
    assert settled.dtype == np.float32


def test_what_comes_in_is_not_changed():
    codes, labels, values, coef = draw(0, 50, 8, 4)
    pull = labels @ coef.T + values
    before = codes.copy(), pull.copy(), coef.copy()
    discrete_codes(codes, pull, coef)
    for array, copy in zip((codes, pull, coef), before, strict=True):
        np.testing.assert_array_equal(array, copy)
