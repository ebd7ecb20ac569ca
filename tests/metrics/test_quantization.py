"""The quantisation error against loops, torch and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import cosine_distances
from sklearn.model_selection import GridSearchCV

from sklhash import ITQ, PCAH
from sklhash.metrics import quantization_error_score

METRICS = ["euclidean", "cosine"]

real_codes = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-100, 100).map(lambda v: round(v, 3)),
)


def random_codes(n_samples=50, n_bits=12, seed=0):
    return np.random.default_rng(seed).standard_normal((n_samples, n_bits))


def signs(X):
    return np.where(X > 0, 1.0, -1.0)


@settings(max_examples=200, deadline=None)
@given(X=real_codes)
def test_euclidean_is_the_mean_square_of_value_minus_bit(X):
    errors = quantization_error_score(X, average=None)
    for row, error in zip(X, errors, strict=True):
        squares = [(v - (1 if v > 0 else -1)) ** 2 for v in row]
        assert error == pytest.approx(sum(squares) / len(squares))


@settings(max_examples=200, deadline=None)
@given(X=real_codes)
def test_cosine_is_one_minus_the_cosine_of_values_and_bits(X):
    errors = quantization_error_score(X, metric="cosine", average=None)
    expected = np.diag(cosine_distances(X, signs(X)))
    np.testing.assert_allclose(errors, expected, atol=1e-12)


def test_cosine_is_what_torch_computes():
    X = random_codes()
    X[3] = 0
    similarity = torch.nn.functional.cosine_similarity(
        torch.tensor(X), torch.tensor(signs(X))
    )
    error = quantization_error_score(X, metric="cosine")
    assert error == pytest.approx(1 - similarity.mean().item())


def test_euclidean_times_the_number_of_values_is_the_loss_of_itq():
    X = random_codes()
    loss = np.linalg.norm(signs(X) - X) ** 2
    assert quantization_error_score(X) * X.size == pytest.approx(loss)


@pytest.mark.parametrize("metric", METRICS)
def test_codes_that_are_bits_have_no_error(metric):
    bits = signs(random_codes())
    assert quantization_error_score(bits, metric=metric) == pytest.approx(0, abs=1e-15)
    assert quantization_error_score(bits, metric=metric) >= 0


def test_scale_changes_the_euclidean_error_alone():
    X = random_codes()
    cosine = quantization_error_score(X, metric="cosine", average=None)
    scaled = quantization_error_score(1000 * X, metric="cosine", average=None)
    np.testing.assert_allclose(scaled, cosine)
    assert quantization_error_score(1000 * X) > 1000 * quantization_error_score(X)
    assert quantization_error_score(1000 * signs(X), metric="cosine") < 1e-15


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_of_zeros_has_the_error_one(metric):
    X = [[0.0, 0.0, -0.0], [1.0, -1.0, 1.0]]
    errors = quantization_error_score(X, metric=metric, average=None)
    np.testing.assert_allclose(errors, [1, 0], atol=1e-15)


@pytest.mark.parametrize("metric", METRICS)
def test_the_mean_is_weighted(metric):
    X = random_codes(n_samples=4)
    errors = quantization_error_score(X, metric=metric, average=None)
    assert errors.shape == (4,)
    assert quantization_error_score(X, metric=metric) == pytest.approx(errors.mean())
    weights = [0, 1, 2, 1]
    expected = (errors[1] + 2 * errors[2] + errors[3]) / 4
    weighted = quantization_error_score(X, metric=metric, sample_weight=weights)
    assert weighted == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, list])
def test_any_numbers_are_computed_with_in_float64(metric, dtype):
    X = np.round(4 * random_codes()) if dtype is np.int64 else random_codes()
    X = X.tolist() if dtype is list else X.astype(dtype)
    errors = quantization_error_score(X, metric=metric, average=None)
    assert errors.dtype == np.float64
    exact = np.asarray(X, dtype=np.float64)
    expected = quantization_error_score(exact, metric=metric, average=None)
    np.testing.assert_array_equal(errors, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_of_rows_change_nothing(metric):
    X = random_codes(n_samples=1000)
    errors = quantization_error_score(X, metric=metric, average=None)
    with config_context(working_memory=0.01):
        in_blocks = quantization_error_score(X, metric=metric, average=None)
    np.testing.assert_array_equal(in_blocks, errors)


def test_its_negative_is_a_scorer_for_a_search():
    X, _ = load_digits(return_X_y=True)

    def scorer(hasher, X, y=None):
        values = hasher.decision_function(X)
        return -quantization_error_score(values, metric="cosine")

    itq = ITQ(n_bits=8, random_state=0)
    search = GridSearchCV(itq, {"max_iter": [1, 30]}, scoring=scorer, cv=3).fit(X[:600])
    assert search.best_params_ == {"max_iter": 30}
    pcah = PCAH(n_bits=8).fit(X)
    assert scorer(clone(itq).fit(X), X) > scorer(pcah, X)


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        ([[1.0, np.nan]], {}, "Input X contains NaN"),
        ([1.0, 2.0], {}, "Expected 2D array"),
        (np.empty((0, 3)), {}, "Found array with 0 sample"),
        ([[1.0]], {"metric": "cityblock"}, "'metric' parameter"),
        ([[1.0]], {"average": "micro"}, "'average' parameter"),
        ([[1.0]], {"sample_weight": [1, 2]}, "sample_weight"),
        ([[1.0]], {"sample_weight": [0]}, "zero"),
    ],
)
def test_what_has_no_error_is_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        quantization_error_score(X, **options)


def test_neither_large_nor_small_numbers_overflow():
    X = np.array([[3.0, 4.0], [1.0, 0.0]])
    expected = quantization_error_score(X, metric="cosine", average=None)
    for scale in (1e200, 1e-200):
        scaled = quantization_error_score(scale * X, metric="cosine", average=None)
        np.testing.assert_allclose(scaled, expected)


def test_spans_of_time_are_no_real_values():
    with pytest.raises(ValueError, match="X must hold real numbers, got dtype timedel"):
        quantization_error_score(np.array([[0, 1]], dtype="m8[s]"))
