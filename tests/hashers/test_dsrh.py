import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sklhash.hashers.dsrh import DSRH, DSRHLoss, ranking_weights
from sklhash.targets import encode_targets
from tests.hashers.methods import make

# Relevance of a list, and the weight of each pair in the wrong order, from the card.
WEIGHTS = {
    (2, 1, 0): {(0, 1): 0.3818015, (0, 2): 0.5727022, (1, 2): 0.1909007},
    (1, 0): {(0, 1): 0.6931472},
    (1, -1, 0): {(0, 2): 0.6931472},
    (1, 1, 0): {(0, 2): 0.4250012, (1, 2): 0.4250012},
    (3, -1, 0): {(0, 2): 0.6931472},
    (0, -1, 0): {},
    (-1, -1, -1): {},
    (4, -1, -1): {},
}

# Rows that see others of relevance (2, 1, 0), (2, 1, 0), (1, 1, 0); one without others.
LABELS = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])


def begun(**parameters):
    loss = DSRHLoss(**parameters)
    loss.on_fit_begin(encode_targets(np.arange(4)), 8, torch.Generator().manual_seed(0))
    return loss


def loss_of(output, y, **parameters):
    output = torch.as_tensor(output, dtype=torch.float64)
    y = torch.as_tensor(y, dtype=torch.float64)
    return begun(**parameters)(output, y, torch.arange(len(y))).item()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    output = torch.tensor(rng.standard_normal((12, 8)))
    return output, torch.tensor((rng.random((12, 5)) < 0.4) * 1.0), torch.arange(12)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


@pytest.mark.parametrize(("relevance", "expected"), WEIGHTS.items(), ids=str)
def test_weights_of_a_list(relevance, expected):
    weights = ranking_weights(torch.tensor(relevance, dtype=torch.float64))
    for pair in np.ndindex(weights.shape):
        assert weights[pair].item() == pytest.approx(expected.get(pair, 0), abs=5e-8)


def test_weights_are_differences_of_gains_over_the_ideal_gain():
    relevance = np.array([5, 3, 3, 2, 0, 0])
    ideal = sum((2**r - 1) / np.log(2 + place) for place, r in enumerate(relevance))
    gains = 2.0**relevance
    expected = np.maximum(0, gains[:, None] - gains) / ideal
    weights = ranking_weights(torch.tensor(relevance).double()[None, None])
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-12)


def test_weights_of_many_shared_labels_are_finite():
    weights = ranking_weights(torch.tensor([2000.0, 1999.0, 0.0]))
    halves = 1 / np.log(2) + 0.5 / np.log(3)
    np.testing.assert_allclose(weights[0], [0, 0.5 / halves, 1 / halves], rtol=1e-6)


@pytest.mark.parametrize("margin", [5.0, 2.0])
def test_equal_codes_cost_the_margin_for_every_pair(margin):
    lists = [1.1454044, 1.1454044, 0.6931472, 0.6931472]
    loss = loss_of(np.zeros((4, 8)), LABELS, margin=margin)
    assert loss == pytest.approx(margin * np.mean(lists), abs=5e-7)


def test_codes_apart_by_the_margin_cost_nothing():
    bits = np.zeros((4, 16))
    bits[2, :5] = bits[3, 5:] = 1
    output = np.where(bits, 100, -100)
    loss = loss_of(output, LABELS, balance_weight=0.0)
    assert loss == pytest.approx(0, abs=1e-12)


def test_balance():
    output = 100 * np.array([[1, 1, -1], [1, -1, 1], [1, 1, -1], [-1, 1, -1.0]])
    weighted, plain = (loss_of(output, LABELS, balance_weight=w) for w in (3.0, 0.0))
    expected = 3 / 2 * (0.5**2 + 0.5**2 + 0.5**2)
    assert weighted - plain == pytest.approx(expected)


def test_loss_and_gradient_are_those_of_the_drawn_lists(batch):
    output, y, index = batch
    items, relevance = (drawn.numpy() for drawn in begun().draw(y))
    x = 1 / (1 + np.exp(-output.numpy()))
    a = 2 * x - 1
    total, gradient, n_lists = 0.0, np.zeros_like(x), 0
    for q in range(12):
        for rows, shared in zip(items[q], relevance[q], strict=True):
            there = shared >= 0
            rows, shared = rows[there], shared[there]
            places = np.arange(len(rows))
            ideal = ((2**shared - 1) / np.log(2 + places)).sum()
            n_lists += (shared > 0).any() and len(shared) > 1
            for i in places:
                for j in places[shared < shared[i]]:
                    near, far = rows[i], rows[j]
                    weight = (2 ** shared[i] - 2 ** shared[j]) / ideal
                    hinge = 5 + (a[q] @ a[far] - a[q] @ a[near]) / 2
                    if hinge > 0:
                        total += weight * hinge
                        gradient[q] += 2 * weight * (x[far] - x[near])
                        gradient[near] -= weight * a[q]
                        gradient[far] += weight * a[q]
    mean = a.mean(axis=0)
    output.requires_grad_()
    value = begun()(output, y, index)
    value.backward()
    assert value.item() == pytest.approx(total / n_lists + mean @ mean / 2)
    expected = (gradient / n_lists + 2 * mean / 12) * x * (1 - x)
    np.testing.assert_allclose(output.grad, expected, atol=1e-12)


def test_gradients_are_finite_differences(batch):
    output, y, index = batch
    output.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: begun()(v, y, index), (output,))


def test_the_loss_does_not_change_with_the_order_or_sense_of_the_bits(batch):
    output, y, index = batch
    value = begun()(output, y, index)
    order = np.random.default_rng(1).permutation(8)
    torch.testing.assert_close(begun()(output[:, order], y, index), value)
    sense = torch.tensor([1, -1, 1, 1, -1, -1, 1, -1])
    torch.testing.assert_close(begun()(output * sense, y, index), value)
    torch.testing.assert_close(begun()(output, y[:, [2, 0, 4, 1, 3]], index), value)


def test_single_labels_make_lists_of_two(batch):
    output = batch[0]
    y = torch.tensor(np.eye(3)[np.arange(12) % 3])
    items, relevance = begun().draw(y)
    assert (relevance[..., 0] == 1).all()
    assert (relevance[..., 1] == -1).all()
    assert (relevance[..., 2] == 0).all()
    a = np.tanh(output.numpy() / 2)
    inner = a @ a.T
    hinges = [
        max(0, 5 + (inner[q, far] - inner[q, near]) / 2)
        for q in range(12)
        for near, _, far in items[q].tolist()
    ]
    expected = np.log(2) * np.mean(hinges)
    assert loss_of(output, y, balance_weight=0.0) == pytest.approx(expected)


def test_the_auto_margin_grows_with_the_bits(digits):
    X, y = digits
    auto, given = (make(DSRH, 32, margin=m).fit(X, y) for m in ("auto", 2.0))
    np.testing.assert_array_equal(auto.decision_function(X), given.decision_function(X))
    assert auto.net_.criterion_.margin == 2


def test_classes_may_be_imbalanced_and_small(digits):
    X, y = digits
    y = np.where(np.arange(len(y)) % 10 == 0, y, 99)
    y[0] = 100
    hasher = make(DSRH, max_epochs=8).fit(X, y)
    assert np.isfinite(hasher.loss_curve_).all()
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


@pytest.mark.parametrize("parameters", [{"balance_weight": 0.0}, {"n_lists": 3}])
def test_its_parameters_have_an_effect(parameters, digits):
    X, y = digits
    hasher = make(DSRH, **parameters).fit(X, y)
    plain = make(DSRH).fit(X, y)
    assert (hasher.decision_function(X) != plain.decision_function(X)).any()
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


@pytest.mark.parametrize(
    "parameters",
    [{"margin": 0}, {"margin": "wide"}, {"balance_weight": -1}, {"n_lists": 0}],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, digits):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        DSRH(**parameters).fit(*digits)


def test_labels_that_all_rows_share_are_refused(digits):
    X, y = digits
    labels = np.c_[np.ones(len(y)), np.eye(10)[y]]
    hasher = DSRH()
    with pytest.raises(ValueError, match="there is nothing to learn"):
        hasher.fit(X, labels)
    assert not hasattr(hasher, "n_features_in_")
