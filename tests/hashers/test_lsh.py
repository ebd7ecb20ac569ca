import numpy as np
import pytest
from scipy import sparse

from sklhash import LSH, hamming_distances


def test_distances_estimate_angles():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 20))
    codes = LSH(20_000, center="origin", random_state=0).fit_transform(X)
    unit = X / np.linalg.norm(X, axis=1)[:, None]
    angles = np.arccos(np.clip(unit @ unit.T, -1, 1)) / np.pi
    np.testing.assert_allclose(
        hamming_distances(codes, codes) / 20_000, angles, atol=0.02
    )


def test_values_are_projections():
    X = np.random.default_rng(0).standard_normal((50, 7)) + 3
    for center, origin in [("mean", X.mean(axis=0)), ("origin", 0)]:
        lsh = LSH(12, center=center, random_state=0).fit(X)
        expected = (X - origin) @ lsh.components_.T
        np.testing.assert_allclose(lsh.decision_function(X), expected, atol=1e-4)
        np.testing.assert_allclose(lsh.center_, np.full(7, 0.0) + origin, atol=1e-6)


def test_through_the_mean_bits_are_balanced_whatever_the_offset():
    X = np.random.default_rng(0).standard_normal((2000, 10)) + 50
    balance = LSH(64, random_state=0).fit_transform(X).mean(axis=0)
    assert np.abs(balance - 0.5).max() < 0.05
    through_origin = LSH(64, center="origin", random_state=0).fit_transform(X)
    assert np.abs(through_origin.mean(axis=0) - 0.5).mean() > 0.4


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_partial_fit_in_chunks_is_fit(convert):
    X = np.random.default_rng(0).random((100, 6))
    whole = LSH(16, random_state=0).fit(convert(X))
    streamed = LSH(16, random_state=0)
    for rows in (slice(0, 10), slice(10, 75), slice(75, 100)):
        streamed.partial_fit(convert(X[rows]))
    assert streamed.n_samples_seen_ == 100
    np.testing.assert_array_equal(streamed.components_, whole.components_)
    np.testing.assert_allclose(streamed.center_, whole.center_, rtol=1e-6)


def test_labels_are_not_looked_at():
    X = np.random.default_rng(0).random((9, 6))
    assert (
        LSH(8, random_state=0).fit(X, ["what", None] * 4 + [1.5]).transform(X)
        == (LSH(8, random_state=0).fit_transform(X))
    ).all()


@pytest.mark.parametrize(
    "parameters", [{"center": "median"}, {"n_bits": 0}, {"n_bits": 2.5}]
)
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        LSH(**parameters).fit(np.eye(3))
