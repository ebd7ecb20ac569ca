import numpy as np
import pytest
from scipy import linalg, sparse
from scipy.optimize import check_grad
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import rbf_kernel

from sklhash import LSH
from sklhash.hashers import ksh as module
from sklhash.hashers.ksh import KSH, Residue, refine, signs, whitening_of
from sklhash.targets import encode_targets


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


def small(n_bits=8, **parameters):
    return KSH(n_bits, **{"n_anchors": 50, "random_state": 0, **parameters})


def pair_labels(y):
    """S, formed in full."""
    Y = y if np.ndim(y) == 2 else np.eye(10)[y]
    return np.where(Y @ Y.T > 0, 1.0, -1.0)


def kernels_of(hasher, X):
    kernels = rbf_kernel(X, hasher.anchors_, gamma=hasher.gamma_)
    return kernels - hasher.kernel_mean_


def test_kernels_are_scikit_learns(digits):
    X, y = digits
    hasher = small().fit(X, y)
    kernels = rbf_kernel(X, hasher.anchors_, gamma=hasher.gamma_)
    np.testing.assert_allclose(hasher.kernel_mean_, kernels.mean(axis=0), atol=1e-6)
    values = (kernels - hasher.kernel_mean_) @ hasher.projection_
    np.testing.assert_allclose(
        hasher.decision_function(X), values, rtol=1e-4, atol=1e-3
    )


def test_anchors_are_training_rows_and_the_width_is_their_spread(digits):
    X, y = digits
    hasher = small(n_anchors=1000).fit(X, y)
    np.testing.assert_allclose(hasher.anchors_, X, atol=1e-4)
    np.testing.assert_allclose(hasher.center_, X.mean(axis=0), rtol=1e-6)
    assert hasher.gamma_ == pytest.approx(1 / X.var(axis=0).sum(), rel=1e-6)
    hasher = small(gamma=0.25).fit(X, y)
    assert hasher.gamma_ == 0.25
    assert hasher.anchors_.shape == (50, 64)
    distances = np.abs(hasher.anchors_[:, None] - X).max(axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-4)


def test_the_first_bit_is_the_largest_generalised_eigenvector(digits):
    X, y = digits
    hasher = small(1, max_iter=0).fit(X, y)
    K = kernels_of(hasher, X)
    ridge = hasher.penalty * len(X) * np.eye(50)
    _, vectors = linalg.eigh(K.T @ pair_labels(y) @ K, K.T @ K + ridge)
    a, expected = hasher.projection_[:, 0], vectors[:, -1]
    cosine = a @ expected / np.linalg.norm(a) / np.linalg.norm(expected)
    assert abs(cosine) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["classes", "labels"])
@pytest.mark.parametrize("max_iter", [0, 20])
def test_the_loss_is_that_of_the_definition(kind, max_iter, digits):
    X, y = digits
    if kind == "labels":
        y = np.c_[np.eye(10)[y], y % 2 == 0, y > 6].astype(int)
    hasher = small(max_iter=max_iter).fit(X, y)
    H = np.where(hasher.decision_function(X) > 0, 1, -1)
    expected = [
        np.square(pair_labels(y) - H[:, :t] @ H[:, :t].T / 8).mean()
        for t in range(1, 9)
    ]
    np.testing.assert_allclose(hasher.loss_curve_, expected, atol=1e-3)


def test_with_refinement_the_loss_falls_with_each_bit(digits):
    refined = small(24).fit(*digits)
    assert refined.loss_curve_[0] < 1
    assert 1 <= refined.n_iter_ <= 20
    assert (np.diff(refined.loss_curve_) < 0).all()
    assert refined.loss_curve_[-1] < small(24, max_iter=0).fit(*digits).loss_curve_[-1]


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_the_residue_is_never_formed_but_right(kind, digits):
    rng = np.random.default_rng(0)
    y = digits[1]
    if kind == "labels":
        y = sparse.csr_array(rng.random((300, 6)) < 0.3)
    residue = Residue(encode_targets(y), 5)
    full = 5 * pair_labels(y.toarray().astype(int) if kind == "labels" else y)
    assert residue.mean_square == 1
    for _ in range(3):
        code = signs(rng.standard_normal(300))
        assert residue.fit_of(code) == pytest.approx(code @ full @ code)
        residue.take_off(code)
        full -= np.outer(code, code)
        assert residue.mean_square == pytest.approx(np.square(full).mean() / 25)
        values = rng.standard_normal((300, 4))
        np.testing.assert_allclose(residue.times(values), full @ values, atol=1e-8)


def test_whitened_kernels_are_uncorrelated():
    rng = np.random.default_rng(0)
    kernels = rng.standard_normal((100, 7))
    kernels[:, 6] = kernels[:, 5]
    whitening = whitening_of(kernels, 0.1)
    gram = kernels.T @ kernels / 100 + 0.1 * np.eye(7)
    np.testing.assert_allclose(whitening.T @ gram @ whitening, np.eye(7), atol=1e-8)


def test_the_gradient_is_a_finite_difference(digits, monkeypatch):
    rng = np.random.default_rng(0)
    white = rng.standard_normal((300, 6))
    residue = Residue(encode_targets(digits[1]), 5)
    residue.take_off(signs(rng.standard_normal(300)))
    taken = []
    minimize = module.optimize.minimize

    def spy(loss, *arguments, **options):
        taken.append(loss)
        return minimize(loss, *arguments, **options)

    monkeypatch.setattr(module.optimize, "minimize", spy)
    start = rng.standard_normal(6)
    direction, n_iter = refine(start, white, residue, 30)
    assert 1 <= n_iter <= 30
    (loss,) = taken
    error = check_grad(lambda a: loss(a)[0], lambda a: loss(a)[1], start)
    assert error < 1e-5 * np.linalg.norm(loss(start)[1])
    assert loss(direction)[0] < loss(start)[0]


@pytest.mark.parametrize("factor", [1e-6, 100, 1e6])
def test_the_scale_and_offset_of_the_features_do_not_matter(factor, digits):
    X, y = digits
    score = small(16).fit(X, y).score(X, y)
    assert score > LSH(16, random_state=0).fit(X).score(X, y) + 0.2
    for moved in (factor * X, X + 1000):
        assert small(16).fit(moved, y).score(moved, y) == pytest.approx(score, abs=0.05)


def test_of_many_rows_a_sample_is_learnt_from_in_which_rare_classes_remain(digits):
    X, y = digits[0][:, 10:30], np.where(np.arange(300) < 280, 0, 1)
    hasher = small(max_samples=40, n_anchors=1000).fit(X, y)
    assert hasher.anchors_.shape == (40, 20)
    distances = np.abs(hasher.anchors_[:, None] - X).max(axis=2)
    n_rare = (distances.argmin(axis=1) >= 280).sum()
    assert 12 <= n_rare <= 20
    assert small(max_samples=None, n_anchors=1000).fit(X, y).anchors_.shape[0] == 300


def test_a_memory_map_is_read_where_it_is_learnt_from(digits, tmp_path):
    X, y = digits
    X = X.astype(np.float32)
    path = tmp_path / "X.npy"
    np.save(path, np.r_[X, np.full((300, 64), np.nan, dtype=np.float32)])
    labels = np.r_[np.eye(10)[y], np.zeros((300, 10))]
    with pytest.warns(UserWarning, match="300 of 600 rows have no label") as record:
        hasher = small().fit(np.load(path, mmap_mode="r"), labels)
    assert record[0].filename == __file__
    alone = small().fit(X, np.eye(10)[y])
    np.testing.assert_array_equal(hasher.transform(X), alone.transform(X))


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_rows_may_have_several_labels(convert, digits):
    X, y = digits
    labels = np.c_[np.eye(10)[y], y % 2 == 0].astype(int)
    hasher = small(16).fit(X, convert(labels))
    lsh = LSH(16, random_state=0).fit(X)
    assert hasher.score(X, labels) > lsh.score(X, labels) + 0.05
    assert hasher.classes_.tolist() == list(range(11))


def test_hard_cases_are_finite(digits):
    X, y = digits
    one_row = np.where(np.arange(300) == 0, 99, y)
    no_spread, two_rows = np.ones_like(X), slice(0, 2)
    for rows, labels in [
        (X, one_row),
        (no_spread, one_row),
        (X[two_rows], y[two_rows]),
    ]:
        hasher = small(70).fit(rows, labels)
        assert np.isfinite(hasher.loss_curve_).all()
        assert np.isfinite(hasher.decision_function(X)).all()
        assert np.isfinite(hasher.decision_function(1e6 * X)).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_anchors": 0},
        {"gamma": 0.0},
        {"gamma": "auto"},
        {"penalty": 0.0},
        {"max_iter": -1},
        {"max_samples": 1},
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, digits):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        KSH(**parameters).fit(*digits)


def test_rows_far_beyond_those_of_the_fit_are_as_far_from_every_anchor():
    X, y = load_digits(return_X_y=True)
    hasher = KSH(4, n_anchors=20, random_state=0).fit(1e-30 * X[:200], y[:200])
    values = hasher.decision_function(1e10 * X[:3])
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values, values[[0, 0, 0]])
