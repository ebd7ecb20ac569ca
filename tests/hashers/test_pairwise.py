"""What every hasher that learns from pairs promises."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors
from sklhash.hashers.pairwise import PairwiseHasher, pairs_of_batch
from tests.hashers.methods import HASHERS, STREAMING, make

pairwise_hashers = pytest.mark.parametrize(
    "cls",
    [cls for cls in HASHERS if issubclass(cls, PairwiseHasher)],
    ids=lambda cls: cls.__name__,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:800], y[:800]


@pytest.fixture(scope="module")
def clicks(digits):
    """Pairs of the first 500 rows, half of them similar."""
    y = digits[1][:500]
    rng = np.random.default_rng(0)
    first, second = rng.integers(500, size=(2, 40_000))
    similar = (y[first] == y[second]) & (first != second)
    chosen = np.r_[np.flatnonzero(similar)[:2000], np.flatnonzero(~similar)[:2000]]
    chosen = chosen[first[chosen] != second[chosen]]
    return first[chosen], second[chosen], similar[chosen].astype(int)


@pairwise_hashers
def test_it_learns_from_pairs(cls, digits, clicks):
    X, y = digits
    hasher = make(cls, 32, max_epochs=30, batch_size=32).fit(X, pairs=clicks)
    baseline = LSH(32, random_state=0).fit(X[:500])
    assert hasher.score(X[500:], y[500:]) > baseline.score(X[500:], y[500:]) + 0.15
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]
    assert not hasattr(hasher, "classes_")


@pairwise_hashers
def test_pairs_of_any_kind_teach_the_same(cls, digits, clicks):
    X, _ = digits
    expected = make(cls).fit(X, pairs=clicks).transform(X)
    for pairs in (
        [part.tolist() for part in clicks],
        tuple(pd.Series(part) for part in clicks),
        (clicks[0].astype(np.uint16), clicks[1].astype(np.int32), clicks[2] > 0),
        tuple(torch.from_numpy(part) for part in clicks),
    ):
        np.testing.assert_array_equal(
            make(cls).fit(X, pairs=pairs).transform(X), expected
        )
    np.testing.assert_array_equal(
        make(cls).fit(sparse.csr_array(X), pairs=clicks).transform(X), expected
    )


@pairwise_hashers
def test_rows_in_no_pair_are_not_used(cls, digits, clicks):
    X, _ = digits
    spoilt = X.copy()
    spoilt[500:] = 1e9
    hasher = make(cls).fit(spoilt, pairs=clicks)
    np.testing.assert_array_equal(
        hasher.transform(X), make(cls).fit(X, pairs=clicks).transform(X)
    )


@pairwise_hashers
def test_few_pairs_train(cls, digits):
    X, _ = digits
    hasher = make(cls).fit(X, pairs=([3, 3], [5, 700], [1, 0]))
    assert np.isfinite(hasher.loss_curve_).all()
    assert np.isfinite(hasher.decision_function(X)).all()


@pairwise_hashers
@pytest.mark.parametrize("batch_size", [2, 7])
def test_batches_may_hold_one_kind_of_pair(cls, batch_size, digits, clicks):
    hasher = make(cls, batch_size=batch_size, max_epochs=1)
    pairs = tuple(part[1950:2051] for part in clicks)
    hasher.fit(digits[0], pairs=pairs)
    assert np.isfinite(hasher.loss_curve_).all()


@pairwise_hashers
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (([0, 1], [1, 800], [0, 1]), "j of pairs .* from 0 to 799, got 800"),
        (([0, 1], [1, 2], [1, 1]), "similar ones only"),
        (([0, 1], [1, 2], [1, 3]), "got 3 in pair 1"),
        ([1, 2], r"tuple \(i, j, s\)"),
    ],
)
def test_bad_pairs_change_nothing(cls, pairs, message, digits):
    X, y = digits
    hasher = make(cls)
    with pytest.raises(ValueError, match=message):
        hasher.fit(X, pairs=pairs)
    assert not hasattr(hasher, "n_features_in_")
    with pytest.raises(ValueError, match="y or pairs, not both"):
        hasher.fit(X, y, pairs=([0, 1], [1, 2], [0, 1]))
    with pytest.raises(ValueError, match="the target y is None. It learns from pairs"):
        hasher.fit(X)


@pairwise_hashers
def test_labels_after_pairs_and_pairs_after_labels(cls, digits, clicks):
    X, y = digits
    hasher = make(cls).fit(X, y)
    assert hasher.fit(X, pairs=clicks) is hasher
    assert not hasattr(hasher, "classes_")
    if cls in STREAMING:
        with pytest.raises(ValueError, match="fitted on pairs, which have no classes"):
            hasher.partial_fit(X, y)
    np.testing.assert_array_equal(
        hasher.fit(X, y).transform(X), make(cls).fit(X, y).transform(X)
    )
    assert hasher.classes_.tolist() == list(range(10))


@pairwise_hashers
def test_pairs_go_through_a_pipeline(cls, digits, clicks):
    X, _ = digits
    search = make_pipeline(make(cls), HammingNeighbors())
    search.fit(X, **{f"{cls.__name__.lower()}__pairs": clicks})
    assert search[-1].kneighbors(search[:-1].transform(X[:3]))[1].shape == (3, 5)


def test_pairs_of_a_batch_with_labels():
    rng = np.random.default_rng(0)
    y = torch.from_numpy((rng.random((6, 4)) < 0.5).astype(np.float32))
    y[:, 0] = 1 - y[:, 1:].amax(dim=1)  # every row has a label
    first, second, similar = pairs_of_batch(y)
    graded = pairs_of_batch(y, graded=True)[2]
    expected = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    for (i, j), s, g in zip(expected, similar, graded, strict=True):
        both, either = (y[i] * y[j]).sum(), ((y[i] + y[j]) > 0).sum()
        assert s == (both > 0)
        assert g == pytest.approx(float(both / either))
