import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

from sklhash import LSH
from sklhash.hashers import sdh as module
from sklhash.hashers.discrete import discrete_codes
from sklhash.hashers.sdh import SDH, first_codes, ridge_embedding
from sklhash.targets import encode_targets


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


def small(n_bits=12, **parameters):
    return SDH(n_bits, **{"n_anchors": 50, "random_state": 0, **parameters})


@pytest.fixture
def codes_of_rounds(monkeypatch):
    """The codes before and after each discrete step of the fits to come."""
    rounds = []

    def spy(codes, pull, coef):
        rounds.append((codes, discrete_codes(codes, pull, coef)))
        return rounds[-1][1]

    monkeypatch.setattr(module, "discrete_codes", spy)
    return rounds


@pytest.fixture
def at_random(monkeypatch):
    """Let codes begin at random, which leaves the steps more to do."""
    monkeypatch.setattr(module, "most_codewords", lambda n_bits: 0)


def labels_of(kind, y):
    labels = np.eye(10)[y]
    return labels if kind == "classes" else np.c_[labels, y % 2 == 0, y > 6]


def objective(hasher, B, X, Y, W, P):
    K = rbf_kernel(X, hasher.anchors_, gamma=hasher.gamma_) - hasher.kernel_mean_
    alpha = hasher.embedding_penalty
    distance = np.square(B - K @ P).sum() + alpha * np.square(P).sum()
    error = np.square(Y - B @ W).sum() + hasher.penalty * np.square(W).sum()
    return error + hasher.embedding_weight * distance


@pytest.mark.usefixtures("at_random")
@pytest.mark.parametrize("kind", ["classes", "labels"])
@pytest.mark.parametrize("embedding_weight", [0.0, 1e-5, 1e-2, 1.0])
def test_the_objective_is_that_of_the_paper_and_never_rises(
    kind, embedding_weight, digits, codes_of_rounds
):
    X, Y = digits[0], labels_of(kind, digits[1])
    hasher = small(embedding_weight=embedding_weight, max_iter=30).fit(X, Y)
    assert len(hasher.loss_curve_) == hasher.n_iter_ == len(codes_of_rounds)
    assert np.diff(hasher.loss_curve_).max(initial=0) <= 1e-6 * hasher.loss_curve_[0]
    B = codes_of_rounds[-1][1]
    W, P = hasher.coef_, hasher.projection_
    expected = objective(hasher, B, X, Y, W, P)
    assert hasher.loss_curve_[-1] == pytest.approx(expected, rel=1e-4)
    before, after = codes_of_rounds[-1]
    assert hasher.n_iter_ == 30 or np.array_equal(before, after)


@pytest.mark.usefixtures("at_random")
@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_classifier_and_projection_are_scikit_learns_ridges(
    kind, digits, codes_of_rounds
):
    X, Y = digits[0], labels_of(kind, digits[1])
    hasher = small(penalty=2.5, embedding_penalty=0.5).fit(X, Y)
    B = codes_of_rounds[-1][1]
    ridge = Ridge(alpha=2.5, fit_intercept=False).fit(B, Y)
    np.testing.assert_allclose(hasher.coef_, ridge.coef_.T, atol=1e-5)
    K = rbf_kernel(X, hasher.anchors_, gamma=hasher.gamma_) - hasher.kernel_mean_
    ridge = Ridge(alpha=0.5, fit_intercept=False).fit(K, B)
    np.testing.assert_allclose(hasher.projection_, ridge.coef_.T, atol=1e-3)
    np.testing.assert_allclose(
        hasher.decision_function(X), K @ ridge.coef_.T, atol=1e-3
    )


def test_the_ridge_holds_where_kernels_repeat():
    kernels = np.ones((9, 4), dtype=np.float32)
    projection, values = ridge_embedding(kernels, 1e-9)(np.ones((9, 2), np.float32))
    np.testing.assert_allclose(projection, 0.25, rtol=1e-3)
    np.testing.assert_allclose(values, 1, rtol=1e-3)


@pytest.mark.parametrize(("n_bits", "n_classes"), [(1, 2), (3, 8), (16, 20), (64, 10)])
def test_classes_begin_at_rows_of_a_hadamard_matrix(n_bits, n_classes):
    y = np.arange(3 * n_classes) % n_classes
    B = first_codes(encode_targets(y), n_bits, np.random.default_rng(0))
    assert B.shape == (len(y), n_bits)
    assert set(np.unique(B)) == {-1, 1}
    np.testing.assert_array_equal(B, np.tile(B[:n_classes], (3, 1)))
    assert len(np.unique(B, axis=0)) == n_classes
    if n_bits == 64:
        np.testing.assert_array_equal(B[:10] @ B[:10].T, 64 * np.eye(10))


def test_too_many_classes_begin_at_random():
    y = np.tile(np.arange(33), 30)
    B = first_codes(encode_targets(y), 16, np.random.default_rng(0))
    assert B.dtype == np.float32
    assert set(np.unique(B)) == {-1, 1}
    assert len(np.unique(B, axis=0)) > 900


def test_rows_of_one_set_of_labels_begin_at_one_codeword():
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 0, 1]])
    B = first_codes(encode_targets(labels), 8, np.random.default_rng(0))
    np.testing.assert_array_equal(B[0], B[2])
    assert len(np.unique(B, axis=0)) == 3


def test_predictions_are_those_of_the_classifier_on_codes(digits):
    X, y = digits
    names = np.array([f"digit {c}" for c in range(10)])
    hasher = small(32).fit(X, names[y])
    predicted = hasher.predict(X)
    assert (predicted == names[y]).mean() > 0.95
    signs = 2.0 * hasher.transform(X) - 1
    expected = hasher.classes_[(signs @ hasher.coef_).argmax(axis=1)]
    np.testing.assert_array_equal(predicted, expected)
    hasher.set_params(packed=True)
    np.testing.assert_array_equal(hasher.predict(X), expected)
    labels = np.c_[np.eye(10)[y], np.zeros(300)]
    assert (small(32).fit(X, labels).predict(X) == y).mean() > 0.95


@pytest.mark.parametrize("factor", [1e-6, 100, 1e6])
def test_the_scale_and_offset_of_the_features_do_not_matter(factor, digits):
    X, y = digits
    score = small(16).fit(X, y).score(X, y)
    assert score > LSH(16, random_state=0).fit(X).score(X, y) + 0.2
    for moved in (factor * X, X + 1000):
        assert small(16).fit(moved, y).score(moved, y) == pytest.approx(score, abs=0.02)


def test_rows_without_labels_are_left_out_with_a_warning(digits):
    X, y = digits
    labels = np.eye(10)[y]
    labels[::7] = 0
    labelled = labels.any(axis=1)
    with pytest.warns(UserWarning, match="43 of 300 rows have no label") as record:
        hasher = small().fit(X, sparse.csr_array(labels))
    assert record[0].filename == __file__
    alone = small().fit(X[labelled], labels[labelled])
    np.testing.assert_array_equal(hasher.transform(X), alone.transform(X))
    np.testing.assert_array_equal(hasher.coef_, alone.coef_)


def test_a_sample_is_learnt_from_if_there_are_more_rows(digits):
    hasher = small(max_samples=30).fit(*digits)
    assert hasher.anchors_.shape == (30, 64)
    assert hasher.coef_.shape == (12, 10)


def test_hard_cases_are_finite(digits):
    X, y = digits
    one_row = np.where(np.arange(300) == 0, 99, y)
    empty_column = np.c_[np.eye(10)[y], np.zeros(300)]
    for rows, labels in [
        (X, one_row),
        (np.ones_like(X), one_row),
        (X[:2], y[:2]),
        (X, empty_column),
    ]:
        for n_bits in (1, 70):
            hasher = small(n_bits).fit(rows, labels)
            assert np.isfinite(hasher.loss_curve_).all()
            assert np.isfinite(hasher.decision_function(X)).all()
            assert np.isfinite(hasher.decision_function(1e6 * X)).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"penalty": 0.0},
        {"embedding_weight": -1.0},
        {"embedding_penalty": 0.0},
        {"max_iter": 0},
        {"n_anchors": 0},
        {"gamma": "auto"},
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, digits):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        SDH(**parameters).fit(*digits)
