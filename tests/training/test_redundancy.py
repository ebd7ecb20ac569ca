import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline

from sklhash import DeepHasher, HashLoss, OrthoHash, code_statistics
from sklhash.training.heads import HashHead

N_FEATURES = 6
ZERO, ONE = -1, -2  # bits that are always that


class RiggedHead(HashHead):
    """A head whose bits are signs of features, opposites of those, or constant."""

    def __init__(self, bits):
        super().__init__(N_FEATURES, len(bits))
        self.bits = bits

    def forward(self, x):
        constants = {ZERO: -torch.ones(len(x)), ONE: torch.ones(len(x))}
        columns = [
            constants[feature] if feature in constants else sign * x[:, feature]
            for feature, sign in self.bits
        ]
        return torch.stack(columns, dim=1) + 0 * super().forward(x)


class MeanLoss(HashLoss):
    def forward(self, output, y, index):
        return output.mean()


class RiggedHash(DeepHasher):
    bits: tuple = ()
    max_epochs = 1
    device = "cpu"

    _parameter_constraints: dict = {  # noqa: RUF012
        **DeepHasher._parameter_constraints,
        "bits": [tuple],
    }

    def _make_head(self, n_features):
        return RiggedHead(self.bits)

    def _make_loss(self, targets):
        return MeanLoss()


def rigged(bits):
    return RiggedHash(len(bits), bits=tuple(bits), random_state=0)


def rows(n_rows, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, N_FEATURES))


def fit(hasher, X):
    """Fit on halves, and return the messages of the warnings."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        hasher.fit(X, np.arange(len(X)) % 2)
    return [str(warning.message) for warning in record]


def plain(*features):
    return [(feature, 1) for feature in features]


@settings(max_examples=40, deadline=None)
@given(
    bits=st.lists(
        st.tuples(st.integers(-2, N_FEATURES - 1), st.sampled_from([-1, 1])),
        min_size=1,
        max_size=20,
    )
)
def test_the_numbers_are_those_of_a_count(bits):
    messages = fit(rigged(bits), rows(200))
    features = [feature for feature, _ in bits if feature >= 0]
    n_dead = len(bits) - len(features)
    n_duplicate = len(features) - len(set(features))
    if n_dead == n_duplicate == 0:
        assert messages == []
        return
    (message,) = messages
    assert message.startswith(
        f"{n_dead} of {len(bits)} bits are the same for all 200 rows trained on, and "
        f"{n_duplicate} are equal to another bit or to its opposite."
    )


@pytest.mark.parametrize("n_rows", [4096, 5000, 9001])
def test_bits_that_differ_in_a_single_row_are_told_apart(n_rows):
    X = np.abs(rows(n_rows))
    X[:, :2] *= np.where(np.arange(n_rows) % 2, 1, -1)[:, None]
    hasher = rigged(plain(0, 1, 2))
    (message,) = fit(hasher, X)
    assert message.startswith(f"1 of 3 bits are the same for all {n_rows} rows")
    assert ", and 1 are equal" in message
    for place in (0, 1, n_rows // 3, n_rows - 1):
        other = X.copy()
        other[place, 1:] *= -1
        assert fit(hasher, other) == []


def test_codes_of_no_more_rows_than_bits_are_not_looked_at():
    bits = plain(0, 0, ONE)
    assert fit(rigged(bits), rows(3)) == []
    assert len(fit(rigged(bits), rows(4))) == 1


def test_rows_held_out_are_not_looked_at():
    hasher = rigged(plain(0, ONE)).set_params(validation_fraction=0.25)
    (message,) = fit(hasher, rows(100))
    assert "all 75 rows trained on" in message


def test_the_numbers_are_those_of_code_statistics():
    hasher = OrthoHash(64, max_epochs=1, hidden_layer_sizes=(), random_state=0)
    X = rows(100)
    X[:, 1:] = 0
    messages = fit(hasher, X)
    statistics = code_statistics(hasher.transform(X))
    n_duplicate = sum(len(group) - 1 for group in statistics.duplicate_bits)
    (message,) = messages
    assert message.startswith(f"{len(statistics.dead_bits)} of 64 bits")
    assert f"and {n_duplicate} are equal" in message


def test_the_warning_points_at_the_line_of_the_user():
    X, y = rows(50), np.arange(50) % 2
    hasher = rigged(plain(0, 0))
    for estimator in (hasher, make_pipeline(hasher)):
        for method in ("fit", "fit_transform"):
            with pytest.warns(UserWarning, match="0 of 2 bits .* and 1 are") as record:
                getattr(estimator, method)(X, y)
            assert [warning.filename for warning in record] == [__file__]


def test_code_that_is_of_no_module_is_warned_too():
    names = {"hasher": rigged(plain(0, 0)), "X": rows(50), "y": np.arange(50) % 2}
    with pytest.warns(UserWarning, match="1 are equal to another bit"):
        exec("hasher.fit(X, y)", names)


def test_a_chunk_of_a_stream_is_not_looked_at():
    X, y = rows(50), np.arange(50) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rigged(plain(0, 0)).partial_fit(X, y)


def test_a_warning_that_is_made_an_error_changes_nothing():
    hasher = rigged(plain(0, 0))
    before = vars(hasher).copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="0 of 2 bits"):
            hasher.fit(rows(50), np.arange(50) % 2)
    assert vars(hasher) == before


def test_after_a_look_at_the_codes_the_network_trains_as_before():
    X, y = rows(50), np.arange(50) % 2
    hasher = OrthoHash(8, max_epochs=2, hidden_layer_sizes=(), random_state=0).fit(X, y)
    running_mean = hasher.net_.module_.norm.running_mean.clone()
    hasher.partial_fit(X, y, n_epochs=1)
    assert not torch.equal(hasher.net_.module_.norm.running_mean, running_mean)
