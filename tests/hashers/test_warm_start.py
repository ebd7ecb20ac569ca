import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sklhash import HashNet, OrthoHash
from sklhash.hashers.contrastive import ContrastiveHasher
from sklhash.hashers.pairwise import PairwiseHasher
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, make


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


deep_hashers = each_of(DEEP_HASHERS)
PER_ROW = [cls for cls in DEEP_HASHERS if cls not in DEEP_STREAMING]
CLASSIFYING = [cls for cls in DEEP_HASHERS if not issubclass(cls, ContrastiveHasher)]
PAIRWISE = [cls for cls in DEEP_HASHERS if issubclass(cls, PairwiseHasher)]
CONSTANT = {"lr_schedule": None, "batch_size": 30, "warm_start": True}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:120].astype(np.float32), y[:120] % 4


def assert_same_model(hasher, other, X):
    np.testing.assert_array_equal(
        hasher.decision_function(X), other.decision_function(X)
    )
    for part in ("module_", "criterion_"):
        state = getattr(hasher.net_, part).state_dict()
        for name, value in getattr(other.net_, part).state_dict().items():
            assert torch.equal(state[name], value), name


@deep_hashers
def test_two_fits_are_one_of_as_many_epochs(cls, digits):
    """Weights, moments of the optimizer, memories and randomness go on."""
    X, y = digits
    whole = make(cls, max_epochs=5, **CONSTANT).fit(X, y)
    hasher = make(cls, max_epochs=2, **CONSTANT).fit(X, y)
    hasher.set_params(max_epochs=3).fit(X, y)
    assert_same_model(hasher, whole, X)
    assert hasher.n_iter_ == 5
    assert [epoch["epoch"] for epoch in hasher.history_] == [1, 2, 3, 4, 5]
    assert hasher.loss_curve_ == whole.loss_curve_


@deep_hashers
def test_without_warm_start_a_fit_begins_anew(cls, digits):
    X, y = digits
    once = make(cls).fit(X, y)
    twice = make(cls).fit(X[::-1], y).fit(X, y)
    assert_same_model(twice, once, X)
    assert twice.n_iter_ == 3


@deep_hashers
def test_the_first_warm_fit_is_a_fit(cls, digits):
    X, y = digits
    assert_same_model(make(cls, warm_start=True).fit(X, y), make(cls).fit(X, y), X)


@deep_hashers
def test_with_a_tiny_step_it_stays_where_it_was(cls, digits):
    X, y = digits
    hasher = make(cls, max_epochs=4, weight_decay=0, warm_start=True).fit(X, y)
    values = hasher.net_.module_.hash.weight.clone()
    hasher.set_params(lr=1e-12).fit(X, y)
    torch.testing.assert_close(
        hasher.net_.module_.hash.weight, values, rtol=0, atol=1e-9
    )
    hasher.set_params(lr=1e-2).fit(X, y)
    assert (hasher.net_.module_.hash.weight - values).abs().max() > 1e-3


@deep_hashers
def test_other_rows_with_the_same_number_may_come(cls, digits):
    X, y = digits
    hasher = make(cls, warm_start=True).fit(X, y)
    mean = hasher.net_.module_.standardize.mean.clone()
    before = hasher.decision_function(X)
    hasher.fit(X[::-1] + 1, y[::-1])
    assert torch.equal(hasher.net_.module_.standardize.mean, mean)
    assert (hasher.decision_function(X) != before).any()
    assert hasher.n_iter_ == 6


@deep_hashers
def test_settings_of_the_training_are_those_of_the_new_fit(cls, digits):
    X, y = digits
    parameters = {"lr": 0.01, "lr_schedule": "step", "warm_start": True}
    hasher = make(cls, max_epochs=5, **parameters).fit(X, y)
    seen = []

    def look(x):
        seen.append(len(x))
        return x

    hasher.set_params(
        lr=0.02, lr_schedule="cosine", max_epochs=2, batch_size=40, augment=look
    ).fit(X, y)
    rates = [epoch["lr"] for epoch in hasher.history_]
    assert rates == pytest.approx([0.01] * 4 + [0.001] + [0.02, 0.01])
    assert set(seen) == {40}
    assert "validation_map" not in hasher.history_[-1]
    if cls not in PER_ROW:
        hasher.set_params(validation_fraction=0.3).fit(X, y)
        assert "validation_map" in hasher.history_[-1]


@pytest.fixture
def refused(digits):
    """Check that a fit is refused and changes nothing."""

    def check(hasher, X, y, message):
        before, codes = vars(hasher).copy(), hasher.transform(digits[0])
        with pytest.raises(ValueError, match=message):
            hasher.fit(X, y)
        assert vars(hasher) == before
        np.testing.assert_array_equal(hasher.transform(digits[0]), codes)

    return check


@deep_hashers
def test_another_number_of_bits_is_refused(cls, digits, refused):
    hasher = make(cls, warm_start=True).fit(*digits).set_params(n_bits=20)
    refused(hasher, *digits, "warm_start goes on with n_bits=16, got 20")
    hasher.set_params(warm_start=False).fit(*digits)
    assert hasher.n_bits_ == 20


@each_of(PER_ROW)
def test_methods_that_keep_rows_go_on_with_as_many(cls, digits, refused):
    X, y = digits
    hasher = make(cls, warm_start=True).fit(X, y)
    for rows in (slice(0, 119), np.r_[0:120, 0]):
        refused(
            hasher,
            X[rows],
            y[rows],
            rf"{cls.__name__} keeps something for each row.* the 120 rows that the fit",
        )


class HeldOut(Callback):
    """Notes the rows that are held out of a training."""

    def on_train_begin(self, net, **kwargs):
        self.rows = net.plan.held_out.queries._rows.tolist()


@deep_hashers
def test_the_same_rows_stay_held_out(cls, digits):
    X, y = digits
    noted = [HeldOut(), HeldOut()]
    hasher = make(cls, warm_start=True, validation_fraction=0.2)
    for callback in noted:
        hasher.set_params(callbacks=[callback]).fit(X, y)
    assert noted[0].rows == noted[1].rows
    assert hasher.n_iter_ == 6


@each_of(PER_ROW)
def test_rows_held_out_count_where_rows_are_kept(cls, digits, refused):
    X, y = digits
    hasher = make(cls, warm_start=True, validation_fraction=0.2).fit(X, y)
    refused(hasher.set_params(validation_fraction=0.5), X, y, "for each row, .* got 60")
    refused(hasher.set_params(validation_fraction=None), X, y, "for each row, .*120")


@each_of(DEEP_STREAMING)
def test_other_methods_go_on_with_any_rows(cls, digits):
    X, y = digits
    hasher = make(cls, warm_start=True).fit(X, y).fit(X[:50], y[:50])
    assert hasher.n_iter_ == 6


@each_of(CLASSIFYING)
def test_other_classes_are_refused(cls, digits, refused):
    X, y = digits
    hasher = make(cls, warm_start=True).fit(X, y)
    for labels, message in [
        (y + 1, r"labels \[4\] that are not among the classes"),
        (np.eye(4)[y], "of the kind .* fitted with: a vector of classes"),
    ]:
        refused(hasher, X, labels, message)
    np.testing.assert_array_equal(hasher.classes_, range(4))
    labels = np.where(y == 3, 2, y)
    assert hasher.fit(X, labels).classes_.tolist() == [0, 1, 2, 3]


@deep_hashers
def test_other_features_are_refused(cls, digits, refused):
    X, y = digits
    hasher = make(cls, warm_start=True).fit(X, y)
    refused(hasher, X[:, 1:], y, "X has 63 features, but .* 64 features")


@each_of(PAIRWISE)
def test_pairs_go_on(cls, digits):
    X, _ = digits
    rng = np.random.default_rng(0)
    first, second = rng.permutation(120).reshape(2, 60)
    pairs = first, second, np.arange(60) % 2
    whole = make(cls, max_epochs=4, **CONSTANT).fit(X, pairs=pairs)
    hasher = make(cls, max_epochs=2, **CONSTANT).fit(X, pairs=pairs)
    hasher.fit(X, pairs=pairs)
    assert_same_model(hasher, whole, X)


def test_a_copy_without_the_model_begins_anew(digits):
    hasher = make(OrthoHash, warm_start=True).fit(*digits)
    assert clone(hasher).fit(*digits).n_iter_ == 3


def test_the_rate_of_beta_goes_by_all_steps(digits):
    hasher = make(HashNet, **CONSTANT).fit(*digits).fit(*digits)
    betas = [epoch["beta"] for epoch in hasher.history_]
    assert betas == pytest.approx(np.sqrt(1 + 0.005 * 4 * np.arange(6)))


@each_of(DEEP_STREAMING)
def test_passes_over_a_chunk_are_calls_with_one_each(cls, digits):
    """Where the share of the chunk in the rows so far is made up for."""
    X, y = digits
    shared = {"lr_schedule": None, "batch_size": 30}
    whole = make(cls, **shared).partial_fit(X, y, n_epochs=3)
    hasher = make(cls, **shared)
    lr = hasher.lr
    for n_chunks in (1, 2, 3):
        hasher.set_params(lr=lr * n_chunks**1.2).partial_fit(X, y, n_epochs=1)
    np.testing.assert_allclose(
        hasher.decision_function(X), whole.decision_function(X), atol=1e-5
    )
    assert hasher.n_iter_ == whole.n_iter_ == 3
    assert [epoch["lr"] for epoch in hasher.history_] == pytest.approx([lr] * 3)


@each_of(DEEP_STREAMING)
def test_a_stream_is_not_a_new_beginning(cls, digits):
    """A fit after `partial_fit` goes on from it, and the other way round."""
    X, y = digits
    streamed = make(cls, max_epochs=2, **CONSTANT).partial_fit(X, y).fit(X, y)
    fitted = make(cls, max_epochs=2, **CONSTANT).fit(X, y).fit(X, y)
    assert streamed.n_iter_ == 4
    np.testing.assert_allclose(
        streamed.decision_function(X), fitted.decision_function(X), atol=1e-5
    )


@deep_hashers
def test_a_fit_that_fails_leaves_what_was_learnt_before(cls, digits, refused):
    X, y = digits
    hasher = make(cls, batch_size=30, warm_start=True).fit(X, y)
    twin = make(cls, batch_size=30, warm_start=True).fit(X, y)
    lr = hasher.lr
    hasher.set_params(lr=1e30)
    refused(hasher, X, y, r"epoch [456].* than lr=1e\+30")
    assert_same_model(hasher.set_params(lr=lr).fit(X, y), twin.fit(X, y), X)
