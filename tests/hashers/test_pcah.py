import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklhash.hashers import principal
from sklhash.hashers.pcah import PCAH


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.standard_normal((500, 20)) * np.linspace(3, 1, 20) + 10


def principal_components(X, n):
    return np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:n]


def cosines(A, B):
    return np.abs((A * B).sum(axis=1))


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, np.asfortranarray])
def test_components_are_singular_vectors(convert, X):
    pcah = PCAH(12).fit(convert(X))
    np.testing.assert_allclose(
        cosines(pcah.components_, principal_components(X, 12)), 1, atol=1e-5
    )
    np.testing.assert_allclose(pcah.mean_, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        pcah.decision_function(X), (X - X.mean(axis=0)) @ pcah.components_.T, atol=1e-4
    )
    largest = np.abs(pcah.components_).argmax(axis=1)
    assert (pcah.components_[np.arange(12), largest] > 0).all()


def test_bits_are_those_of_scikit_learns_components(X):
    values = PCA(12).fit_transform(X)
    codes = PCAH(12).fit_transform(X)
    agreement = ((values > 0) == codes).mean(axis=0)
    np.testing.assert_array_equal(np.maximum(agreement, 1 - agreement), 1)


@pytest.mark.parametrize("heights", [(500,), (7, 1, 492), (100,) * 5, (1,) * 500])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_partial_fit_in_chunks_is_fit(convert, heights, X):
    whole = PCAH(12).fit(convert(X))
    streamed = PCAH(12, random_state=0)
    stop = 0
    for height in heights:
        stop += height
        streamed.partial_fit(convert(X[stop - height : stop]))
    assert streamed.n_samples_seen_ == 500
    np.testing.assert_allclose(streamed.mean_, whole.mean_, rtol=1e-6)
    np.testing.assert_allclose(streamed.components_, whole.components_, atol=1e-5)


def test_partial_fit_goes_on_after_fit(X):
    streamed = PCAH(12).fit(X[:300]).partial_fit(X[300:])
    np.testing.assert_allclose(
        streamed.components_, PCAH(12).fit(X).components_, atol=1e-5
    )
    streamed.set_params(n_bits=3).partial_fit(X)
    assert streamed.transform(X).shape == (500, 12)


def test_blocks_make_no_difference(X, monkeypatch):
    whole = PCAH(12).fit(X)
    monkeypatch.setattr(principal, "MOST_VALUES", 8 * 20 * 33)
    np.testing.assert_allclose(
        PCAH(12).fit(X).components_, whole.components_, atol=1e-5
    )


def test_very_wide_rows_keep_the_largest_directions(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 200))
    X += 0.01 * rng.standard_normal(X.shape)
    monkeypatch.setattr(principal, "MOST_VALUES", 200 * 30)
    pcah = PCAH(6).fit(X)
    assert len(pcah._moments.root) == 30
    np.testing.assert_allclose(
        cosines(pcah.components_, principal_components(X, 6)), 1, atol=1e-3
    )


@pytest.mark.parametrize("factor", [1e-6, 1, 1e6])
def test_bits_beyond_the_rank_are_random_in_the_span(factor):
    rng = np.random.default_rng(0)
    X = factor * (rng.standard_normal((200, 3)) @ rng.standard_normal((3, 10)) + 5)
    with pytest.warns(UserWarning, match="n_bits=40, but the data has 3 ") as record:
        pcah = PCAH(40, random_state=0).fit(X)
    assert record[0].filename == __file__
    assert pcah.n_components_ == 3
    span = principal_components(X, 3)
    np.testing.assert_allclose(
        pcah.components_ @ span.T @ span, pcah.components_, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(pcah.components_, axis=1), 1, rtol=1e-5)
    balance = pcah.transform(X).mean(axis=0)
    assert np.abs(balance - 0.5).max() < 0.15
    with pytest.warns(UserWarning, match="3 principal"):
        other = PCAH(40, random_state=1).fit(X)
    np.testing.assert_array_equal(other.components_[:3], pcah.components_[:3])
    assert (other.components_[3:] != pcah.components_[3:]).any()


def test_a_stream_is_warned_of_once_if_it_can_never_have_enough_components(X):
    with pytest.warns(UserWarning, match="n_bits=30, but the data has 20 "):
        pcah = PCAH(30).partial_fit(X[:2])
    pcah.partial_fit(X)
    PCAH(12).partial_fit(X[:2])
    assert pcah.n_components_ == 20


def test_constant_features_are_no_components():
    X = load_digits().data
    with pytest.warns(UserWarning, match="61 principal"):
        pcah = PCAH(64).fit(X)
    assert np.isfinite(pcah.decision_function(X)).all()
    with pytest.warns(UserWarning, match="1 principal"):
        pcah = PCAH(64).fit(np.full((9, 4), 0.1))
    assert np.isfinite(pcah.decision_function(X[:, :4])).all()


def test_a_failed_partial_fit_changes_nothing(X):
    pcah = PCAH(12).fit(X[:300])
    before = vars(pcah).copy()
    bad = X.copy()
    bad[-1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pcah.partial_fit(bad)
    assert vars(pcah) == before
