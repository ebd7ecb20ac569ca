import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.datasets import load_digits, make_multilabel_classification

from sklhash import HashNet
from sklhash.hashers.hashnet import HashNetLoss
from tests.hashers.losses import begin, indicator, value
from tests.hashers.methods import make

CARD_OUTPUT = np.arctanh([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
CARD_LABELS = [0, 0, 1]
TWO_CLASSES = [[1, 0], [0, 1]]
ONE_CLASS = [[1, 0], [1, 0]]


def hashnet_loss(labels, n_bits, **parameters):
    return begin(HashNetLoss(**parameters), labels, n_bits)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


@pytest.mark.parametrize(
    ("sign", "labels", "expected"),
    [
        (1, ONE_CLASS, 4.5398899e-05),
        (1, TWO_CLASSES, 10.0000454),
        (-1, TWO_CLASSES, 4.5398899e-05),
    ],
)
def test_loss_of_equal_and_opposite_codes(sign, labels, expected):
    code = 30 * np.where(np.arange(16) % 3, 1, -1)  # tanh(30) is 1
    loss = hashnet_loss(np.array(labels), 16)
    assert value(loss, [code, sign * code], np.array(labels)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("labels", [ONE_CLASS, TWO_CLASSES])
def test_loss_of_orthogonal_codes(labels):
    labels = np.array(labels)
    output = [[30, 30, 30, 30], [30, -30, 30, -30]]
    assert value(hashnet_loss(labels, 4), output, labels) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("class_weight", "expected"),
    [("balanced", 2 * np.log(2)), (7.0, np.log(2)), (None, np.log(2))],
)
def test_loss_of_zeros(class_weight, expected):
    loss = hashnet_loss(CARD_LABELS, 2, class_weight=class_weight)
    assert value(loss, np.zeros((3, 2)), CARD_LABELS) == pytest.approx(expected)


def test_loss_of_the_cards_three_items():
    for class_weight, expected in [("balanced", 1.2767593), (None, 0.6201238)]:
        loss = hashnet_loss(CARD_LABELS, 2, alpha=1.0, class_weight=class_weight)
        assert value(loss, CARD_OUTPUT, CARD_LABELS) == pytest.approx(
            expected, abs=5e-8
        )


def naive_loss(output, labels, alpha, class_weight, graded):
    losses, similar = [], []
    for i in range(len(output)):
        for j in range(i):
            common = (labels[i] * labels[j]).sum()
            theta = alpha * np.tanh(output[i]) @ np.tanh(output[j])
            losses.append(np.logaddexp(0, theta) - (common > 0) * theta)
            similar.append(common > 0)
            if graded and common:
                losses[-1] *= common / ((labels[i] + labels[j]) > 0).sum()
    losses, similar = np.array(losses), np.array(similar)
    if class_weight == "balanced":
        return losses[similar].mean() + losses[~similar].mean()
    weights = np.where(similar, class_weight or 1, 1)
    return (losses * weights).sum() / weights.sum()


@pytest.mark.parametrize("class_weight", ["balanced", None, 5.0])
@pytest.mark.parametrize("graded", [False, True])
def test_loss_is_that_of_a_loop_over_pairs(class_weight, graded):
    rng = np.random.default_rng(0)
    labels = (rng.random((9, 4)) < 0.3).astype(float)
    labels[np.arange(9), rng.integers(4, size=9)] = 1
    output = rng.standard_normal((9, 6))
    loss = hashnet_loss(labels, 6, alpha=0.7, class_weight=class_weight, graded=graded)
    assert value(loss, output, labels) == pytest.approx(
        naive_loss(output, labels, 0.7, class_weight, graded)
    )


@pytest.mark.parametrize("class_weight", ["balanced", None, 5.0])
def test_gradients_are_finite_differences(class_weight):
    rng = np.random.default_rng(0)
    labels = np.eye(3)[[0, 0, 1, 2, 1, 0]]
    labels[0, 2] = 1
    loss = hashnet_loss(labels, 5, class_weight=class_weight, graded=True)
    output = torch.tensor(rng.standard_normal((6, 5)), requires_grad=True)
    y, index = indicator(labels), torch.arange(6)
    assert torch.autograd.gradcheck(lambda z: loss(z, y, index), (output,))


def test_the_gradient_is_that_of_the_card():
    output = torch.tensor(CARD_OUTPUT, requires_grad=True)
    loss = hashnet_loss(CARD_LABELS, 2, alpha=1.0, class_weight=None)
    loss(output, indicator(CARD_LABELS), torch.arange(3)).backward()
    codes = np.tanh(CARD_OUTPUT)
    similar = np.equal.outer(CARD_LABELS, CARD_LABELS)
    pull = 1 / (1 + np.exp(-codes @ codes.T)) - similar
    np.fill_diagonal(pull, 0)
    expected = pull @ codes / 3 * (1 - codes**2)  # a third: mean over three pairs
    np.testing.assert_allclose(output.grad, expected, atol=1e-12)


def test_repeating_dissimilar_pairs_does_not_change_the_balanced_loss():
    output = torch.tensor(CARD_OUTPUT)
    first, second = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    similarity = torch.tensor([1.0, 0.0, 0.0]).double()
    loss = hashnet_loss(CARD_LABELS, 2)
    once = loss(output, (first, second, similarity), torch.arange(3))
    repeat = torch.tensor([0, 1, 1, 1, 2, 2, 2])
    pairs = tuple(part[repeat] for part in (first, second, similarity))
    assert loss(output, pairs, torch.arange(3)).item() == pytest.approx(once.item())


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_loss_sees_inner_products_only(seed):
    rng = np.random.default_rng(seed)
    codes = rng.uniform(-0.5, 0.5, (7, 4))
    turned = codes @ ortho_group.rvs(4, random_state=seed)
    labels = rng.integers(2, size=7) + np.arange(7) // 6
    loss = hashnet_loss(labels, 4)
    assert value(loss, np.arctanh(turned), labels) == pytest.approx(
        value(loss, np.arctanh(codes), labels)
    )


@pytest.mark.parametrize("labels", [ONE_CLASS, TWO_CLASSES])
@pytest.mark.parametrize("class_weight", ["balanced", None, 0.01])
def test_one_kind_of_pair_and_huge_products_are_finite(labels, class_weight):
    labels = np.array(labels)
    loss = hashnet_loss(labels, 1, alpha=1000.0, class_weight=class_weight)
    for output in ([[40.0], [40.0]], [[40.0], [-40.0]], [[0.0], [0.0]]):
        output = torch.tensor(output).double().requires_grad_()
        result = loss(output, indicator(labels), torch.arange(2))
        result.backward()
        assert torch.isfinite(result)
        assert torch.isfinite(output.grad).all()


def test_beta_grows_as_in_the_official_code():
    loss = hashnet_loss([0, 1], 4, continuation_unit="step")
    output, y, index = torch.zeros(2, 4).double(), indicator([0, 1]), torch.arange(2)
    betas = {}
    for step in range(2001):
        loss(output, y, index)
        betas[step] = loss.log()["beta"].item()
    for step, expected in [(0, 1), (200, 1.4142), (400, 1.7321), (2000, 3.3166)]:
        assert betas[step] == pytest.approx(expected, abs=5e-5)


def betas(hasher, digits):
    X, y = digits
    history = hasher.fit(X[:160], y[:160]).history_
    return [epoch["beta"] for epoch in history]


def test_beta_in_the_history(digits):
    short = {"max_epochs": 4, "batch_size": 16}
    steps = np.arange(4) * 10
    assert betas(make(HashNet, **short), digits) == pytest.approx(
        np.sqrt(1 + 0.005 * steps)
    )
    each_step = make(HashNet, continuation_unit="step", **short)
    assert betas(each_step, digits) == pytest.approx(np.sqrt(1 + 0.005 * (steps + 9)))
    constant = make(HashNet, continuation="constant", **short)
    assert betas(constant, digits) == [1, 1, 1, 1]
    own = make(HashNet, continuation=lambda epoch, last: 1 + epoch / last, **short)
    assert betas(own, digits) == [1, 1.25, 1.5, 1.75]
    staged = make(HashNet, continuation="staged", max_epochs=20)
    assert betas(staged, digits) == np.repeat(np.arange(1, 11), 2).tolist()


def test_beta_goes_on_where_it_was(digits):
    X, y = digits
    hasher = make(HashNet, max_epochs=2).fit(X, y)
    hasher.partial_fit(X, y, n_epochs=1)
    steps = np.array([0, 10, 20])
    expected = np.sqrt(1 + 0.005 * steps)
    assert [epoch["beta"] for epoch in hasher.history_] == pytest.approx(expected)


@pytest.mark.parametrize("continuation", ["sqrt", "staged"])
def test_the_quantization_gap_shrinks(continuation, digits):
    X, y = digits
    hasher = make(HashNet, 32, max_epochs=20, continuation=continuation).fit(X, y)
    gaps = [epoch["quantization_gap"] for epoch in hasher.history_]
    assert gaps[-1] < 0.7 * gaps[0]
    assert gaps[-1] < gaps[9]
    codes = np.tanh(hasher.history_[-1]["beta"] * hasher.decision_function(X))
    error = np.abs(codes - np.where(codes > 0, 1, -1)).mean()
    assert error == pytest.approx(gaps[-1], abs=0.05)


def test_grading_counts_for_several_labels_only(digits):
    X, y = digits
    plain = make(HashNet).fit(X, y).decision_function(X)
    graded = make(HashNet, graded=True).fit(X, y).decision_function(X)
    np.testing.assert_allclose(graded, plain, atol=1e-4)
    X, Y = make_multilabel_classification(
        300, 30, n_classes=6, allow_unlabeled=False, random_state=0
    )
    plain = make(HashNet).fit(X, Y).decision_function(X)
    graded = make(HashNet, graded=True).fit(X, Y).decision_function(X)
    assert np.abs(graded - plain).max() > 0.01


def test_graded_pairs(digits):
    X, _ = digits
    pairs = (np.arange(0, 200, 2), np.arange(1, 200, 2), np.linspace(0, 1, 100))
    hasher = make(HashNet).fit(X, pairs=pairs)
    binary = make(HashNet).fit(X, pairs=(*pairs[:2], pairs[2] > 0))
    assert (hasher.decision_function(X) != binary.decision_function(X)).any()


@pytest.mark.parametrize("beta", [0.0, -2.0, np.nan, np.inf, None, "big"])
def test_a_continuation_returns_positive_numbers(beta, digits):
    hasher = make(HashNet, continuation=lambda epoch, max_epochs: beta)
    with pytest.raises(ValueError, match="continuation must return a positive finite"):
        hasher.fit(*digits)
    assert not hasattr(hasher, "n_features_in_")


@pytest.mark.parametrize(
    "parameters",
    [
        {"alpha": 0},
        {"class_weight": "even"},
        {"class_weight": 0},
        {"continuation": "linear"},
        {"continuation_unit": "batch"},
        {"graded": "yes"},
        {"augment": "blur"},
    ],
)
def test_bad_parameters_are_refused(parameters, digits):
    hasher = HashNet(**parameters)
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        hasher.fit(*digits)
    assert not hasattr(hasher, "n_features_in_")
