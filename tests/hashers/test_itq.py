import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.datasets import load_digits

from sklhash.hashers import itq as module
from sklhash.hashers.itq import ITQ, closest_rotation, quantisation
from sklhash.hashers.pcah import PCAH


@pytest.fixture(scope="module")
def X():
    return load_digits().data


@pytest.mark.parametrize("n_bits", [1, 16, 48, 80])
def test_the_rotation_is_orthogonal_and_the_loss_never_rises(n_bits, X):
    itq = ITQ(n_bits, random_state=0).fit(X)
    R = itq.rotation_
    assert R.shape == (n_bits, n_bits)
    np.testing.assert_allclose(R.T @ R, np.eye(n_bits), atol=1e-10)
    assert len(itq.loss_curve_) == itq.n_iter_ <= 50
    assert (np.diff(itq.loss_curve_) < 0).all()


@pytest.mark.parametrize("n_bits", [16, 80])
def test_loss_and_values_are_those_of_the_definition(n_bits, X):
    itq = ITQ(n_bits, max_iter=5, random_state=0).fit(X)
    V = np.zeros((len(X), n_bits))
    V[:, : len(itq.components_)] = (X - X.mean(axis=0)) @ itq.components_.T
    values = V @ itq.rotation_
    np.testing.assert_allclose(itq.decision_function(X), values, atol=1e-4)
    B = np.where(values > 0, 1, -1)
    assert itq.loss_curve_[-1] == pytest.approx(np.linalg.norm(B - values) ** 2)


def test_each_step_is_scipys_procrustes(X):
    """Walk the whole way with scipy's solver in the place of ours."""
    itq = ITQ(16, max_iter=4, random_state=0)
    start = ITQ(16, max_iter=1, random_state=0).fit(X)
    V = ((X - X.mean(axis=0)) @ start.components_.T).astype(np.float32)
    R = start.rotation_
    for _ in range(3):
        R, _ = orthogonal_procrustes(V, np.where(V @ R > 0, 1, -1))
    np.testing.assert_allclose(itq.fit(X).rotation_, R, atol=1e-4)


def test_no_other_rotation_meets_the_signs_better():
    rng = np.random.default_rng(0)
    V, B = rng.standard_normal((50, 6)), np.sign(rng.standard_normal((50, 6)))
    best = np.linalg.norm(B - V @ closest_rotation(V.T @ B))
    for _ in range(200):
        R = np.linalg.qr(rng.standard_normal((6, 6)))[0]
        assert np.linalg.norm(B - V @ R) > best


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    V = rng.standard_normal((100, 4)).astype(np.float32)
    R = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    loss, hits = quantisation(V, R)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    loss_by_sevens, hits_by_sevens = quantisation(V, R)
    assert loss_by_sevens == pytest.approx(loss)
    np.testing.assert_allclose(hits_by_sevens, hits)


def test_signs_lose_less_than_those_of_bare_components(X):
    pcah, itq = PCAH(32).fit(X), ITQ(32, random_state=0).fit(X)
    V = pcah.decision_function(X)
    loss = np.square(np.where(V > 0, 1, -1) - V, dtype=np.float64).sum()
    assert itq.loss_curve_[-1] < loss
    np.testing.assert_array_equal(itq.components_, pcah.components_)


@pytest.mark.parametrize("seed", range(5))
def test_a_square_is_turned_back(seed):
    corners = np.tile([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], (5, 1))
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((2, 2)))[0]
    itq = ITQ(2, random_state=seed).fit(corners @ turn + 7)
    assert itq.loss_curve_[-1] < 1e-8
    assert itq.n_iter_ < 50
    assert len(np.unique(itq.transform(corners @ turn + 7), axis=0)) == 4


@pytest.mark.parametrize("value", [0, 0.1, -1e6])
def test_constant_rows_have_finite_values(value):
    X = np.full((9, 4), value)
    itq = ITQ(16, random_state=0).fit(X)
    assert np.isfinite(itq.loss_curve_).all()
    assert np.isfinite(itq.decision_function(np.eye(4))).all()
    np.testing.assert_allclose(itq.rotation_.T @ itq.rotation_, np.eye(16), atol=1e-10)


@pytest.mark.parametrize("max_iter", [0, 2.5])
def test_bad_parameters_are_refused(max_iter):
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        ITQ(max_iter=max_iter).fit(np.eye(3))
