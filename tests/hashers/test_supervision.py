import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from sklhash import DPSH, DSDH, KSH, NINH, SDH, HashNet, OrthoHash
from sklhash.hashers.supervision import refuse_what_tells_nothing_apart
from sklhash.targets import encode_targets
from tests.hashers.methods import make

SAME, ALL_SIMILAR = "All rows have the same labels", "shares a label with every other"


@pytest.mark.parametrize("convert", [np.array, sparse.csr_array])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1, 0, 1], [1, 0, 1]], SAME),
        ([[0, 1, 0], [0, 1, 0], [0, 1, 0]], SAME),
        ([[1, 0, 1], [1, 1, 0], [1, 0, 0]], ALL_SIMILAR),
        ([[1, 1, 0], [0, 1, 1], [1, 0, 1]], ALL_SIMILAR),
        ([[1, 1, 0], [0, 1, 1], [1, 0, 0]], None),
        (np.eye(5), None),
    ],
)
def test_labels_that_tell_nothing_apart(y, message, convert):
    targets = encode_targets(convert(y))
    if message is None:
        refuse_what_tells_nothing_apart(targets, by_similarity=True)
    else:
        with pytest.raises(ValueError, match=message):
            refuse_what_tells_nothing_apart(targets, by_similarity=True)
    if message == SAME:
        with pytest.raises(ValueError, match=message):
            refuse_what_tells_nothing_apart(targets, by_similarity=False)
    else:
        refuse_what_tells_nothing_apart(targets, by_similarity=False)


@pytest.mark.parametrize("cls", [HashNet, DPSH, KSH, NINH, OrthoHash, DSDH, SDH])
def test_hashers_refuse_them(cls):
    X, y = load_digits(return_X_y=True)
    X, labels = X[:100], np.eye(10)[y[:100]]
    with pytest.raises(ValueError, match=SAME):
        make(cls).fit(X, np.eye(3)[np.zeros(100, dtype=int)])
    labels[:, 0] = 1
    if cls in (OrthoHash, DSDH, SDH):  # learn each label
        make(cls).fit(X, labels)
    else:
        with pytest.raises(ValueError, match=ALL_SIMILAR):
            make(cls).fit(X, labels)


def test_a_sample_of_one_class_is_refused():
    X, y = load_digits(return_X_y=True)
    labels = np.arange(len(y)) == 0
    hasher = make(SDH, max_samples=2)
    for seed in range(20):
        try:
            codes = hasher.set_params(random_state=seed).fit(X, labels).transform(X)
        except ValueError as error:
            assert "All rows have the same labels" in str(error)  # noqa: PT017
        else:
            assert len(np.unique(codes, axis=0)) > 1


def test_a_first_chunk_may_tell_nothing_apart():
    X, y = load_digits(return_X_y=True)
    chunk = np.flatnonzero(y == 3)[:50]
    hasher = make(NINH).partial_fit(X[chunk], np.eye(10)[y[chunk]])
    hasher.partial_fit(X[:300], np.eye(10)[y[:300]])
    assert np.isfinite(hasher.decision_function(X)).all()
