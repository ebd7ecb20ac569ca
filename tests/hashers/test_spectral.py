import numpy as np
import pytest
from scipy import sparse

from sklhash.hashers.spectral import SpectralHashing, smoothest_waves


@pytest.fixture(scope="module")
def box():
    return np.random.default_rng(0).random((4000, 3)) * [4.0, 2.9, 1.1] + 5


def test_the_smallest_eigenvalues_are_chosen():
    lengths = np.array([4.0, 2.9, 1.1], dtype=np.float32)
    directions, modes = smoothest_waves(lengths, 12)
    chosen = list(zip(directions.tolist(), modes.tolist(), strict=True))
    eigenvalues = {
        (i, k): 1 - np.exp(-0.5 * (k * np.pi / lengths[i]) ** 2 * 0.01)
        for i in range(3)
        for k in range(1, 100)
    }
    assert chosen == sorted(eigenvalues, key=eigenvalues.get)[:12]
    assert chosen[:4] == [(0, 1), (1, 1), (0, 2), (1, 2)]


def test_bits_are_those_of_a_plain_loop(box):
    """The waves of the paper, sin(pi / 2 + k pi / (b - a) (x - a)), one at a time."""
    hasher = SpectralHashing(10).fit(box)
    W = np.linalg.svd(box - box.mean(axis=0), full_matrices=False)[2]
    W *= np.sign((W * hasher.components_).sum(axis=1))[:, None]
    V = (box - box.mean(axis=0)) @ W.T
    a, b = V.min(axis=0), V.max(axis=0)
    waves = sorted(
        (k * np.pi / (b[i] - a[i]), i) for i in range(3) for k in range(1, 9)
    )
    expected = [np.sin(np.pi / 2 + omega * (V[:, i] - a[i])) for omega, i in waves[:10]]
    values = hasher.decision_function(box)
    np.testing.assert_allclose(values, np.transpose(expected), atol=2e-5)
    np.testing.assert_allclose(hasher.data_min_, a, atol=1e-5)
    np.testing.assert_allclose(hasher.data_range_, b - a, atol=1e-5)


def test_on_a_box_bits_are_balanced_and_uncorrelated(box):
    values = SpectralHashing(6).fit(box).decision_function(box)
    assert np.abs((values > 0).mean(axis=0) - 0.5).max() < 0.04
    correlation = np.corrcoef(values.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.06


def test_a_line_is_cut_in_halves_then_in_quarters():
    X = np.linspace(0, 1, 1001)[:, None]
    codes = SpectralHashing(3).fit_transform(X)
    for k in (1, 2, 3):
        flips = np.flatnonzero(np.diff(codes[:, k - 1].astype(int))) / 1000
        expected = (np.arange(k) + 0.5) / k
        np.testing.assert_allclose(flips, expected, atol=2e-3)


def test_bits_may_be_more_than_features(box):
    hasher = SpectralHashing(64).fit(box)
    codes = hasher.transform(box)
    assert codes.shape == (4000, 64)
    assert hasher.components_.shape == (3, 3)
    assert hasher.modes_.max() > 10
    assert len(np.unique(codes, axis=1).T) == 64


def test_rows_beyond_the_range_go_on_with_the_wave(box):
    hasher = SpectralHashing(8).fit(box)
    values = hasher.decision_function(100 * box)
    assert np.abs(values).max() <= 1


@pytest.mark.parametrize("factor", [1e-6, 100, 1e6])
def test_the_scale_of_the_features_does_not_matter(factor, box):
    codes = SpectralHashing(16).fit_transform(box)
    scaled = SpectralHashing(16).fit_transform(factor * box)
    assert (codes == scaled).mean() > 0.999


def test_sparse_rows_give_the_same_bits(box):
    X = np.where(box > box.mean(axis=0), box, 0)
    np.testing.assert_array_equal(
        SpectralHashing(8).fit_transform(X),
        SpectralHashing(8).fit_transform(sparse.csr_array(X)),
    )


@pytest.mark.parametrize("value", [0, 0.1, -1e6])
def test_constant_rows_have_finite_values(value):
    hasher = SpectralHashing(16).fit(np.full((9, 4), value))
    assert (hasher.data_range_ > 0).all()
    assert np.isfinite(hasher.decision_function(np.eye(4))).all()
