import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklhash import LSH, HammingNeighbors, HashedNeighbors, pack_codes
from sklhash.metrics.plots.naming import name_of
from sklhash.metrics.retrieval import codes_of

X, Y = load_iris(return_X_y=True)
LSH_12 = LSH(12, random_state=0)
PACKED_12 = LSH(12, random_state=0, packed=True)


@pytest.mark.parametrize(
    "estimator",
    [
        LSH_12,
        PACKED_12,
        make_pipeline("passthrough", LSH_12),
        make_pipeline(LSH_12, HammingNeighbors()),
        make_pipeline(PACKED_12, HammingNeighbors(packed=True)),
        HashedNeighbors(PACKED_12),
        HashedNeighbors(make_pipeline("passthrough", LSH_12)),
        make_pipeline("passthrough", HashedNeighbors(LSH_12)),
        GridSearchCV(make_pipeline(LSH_12, HammingNeighbors()), {"lsh__n_bits": [12]}),
    ],
)
def test_an_estimator_has_the_codes_of_its_hasher(estimator):
    packed, n_bits = codes_of(estimator.fit(X, Y), X)
    np.testing.assert_array_equal(packed, pack_codes(LSH_12.fit_transform(X)))
    assert n_bits == 12
    assert name_of(estimator) == "LSH"


def test_a_search_without_a_hasher_has_as_many_bits_as_it_was_given():
    search = make_pipeline(StandardScaler(), PCA(3), HammingNeighbors(threshold=0.0))
    packed, n_bits = codes_of(search.fit(X), X)
    expected = PCA(3).fit_transform(StandardScaler().fit_transform(X)) > 0
    np.testing.assert_array_equal(packed, pack_codes(expected))
    assert n_bits == 3
    assert name_of(search) == "HammingNeighbors"
    codes = np.arange(256, dtype=np.uint8)[:, None]
    assert codes_of(HammingNeighbors(packed=True).fit(codes), codes)[1] == 8


@pytest.mark.parametrize("stranger", [LogisticRegression(), NearestNeighbors()])
def test_what_makes_no_codes_is_refused(stranger):
    with pytest.raises(TypeError, match=f"have codes, got {type(stranger).__name__}"):
        codes_of(stranger.fit(X[40:60], Y[40:60]), X)
