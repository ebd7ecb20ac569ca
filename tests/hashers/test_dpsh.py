import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from sklearn.datasets import load_digits

from sklhash import DPSH
from sklhash.hashers.dpsh import DPSHLoss
from tests.hashers.losses import begin, indicator, value
from tests.hashers.methods import make

# The three items of the method card.
OUTPUT = np.array([[1, 0.5], [0.5, 1], [-1, -0.5]])
LABELS = [0, 0, 1]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


def gradient(loss, output, labels):
    output = torch.tensor(output, dtype=torch.float64, requires_grad=True)
    loss(output, indicator(labels), torch.arange(len(output))).backward()
    return output.grad.numpy()


@pytest.mark.parametrize(("eta", "expected"), [(0.0, 4.0398113), (0.1, 4.1148113)])
def test_loss_of_the_cards_three_items(eta, expected):
    loss = begin(DPSHLoss(eta=eta), LABELS, 2)
    n_pairs = 9
    assert n_pairs * value(loss, OUTPUT, LABELS) == pytest.approx(expected, abs=5e-8)


def test_gradient_of_the_cards_three_items():
    pairwise = 9 * gradient(begin(DPSHLoss(eta=0.0), LABELS, 2), OUTPUT, LABELS)
    both = 9 * gradient(begin(DPSHLoss(eta=0.1), LABELS, 2), OUTPUT, LABELS)
    expected = [[-0.8860606, -0.8261858], [-1.0294039, -0.7261858]]
    # The memory is constant, so each pair is seen from one side only.
    in_full = 2 * pairwise + (both - pairwise)
    np.testing.assert_allclose(in_full[:2], expected, atol=5e-8)
    np.testing.assert_allclose(in_full[2], [0.8860606, 0.8261858], atol=5e-8)


def test_loss_of_a_batch_against_the_memory():
    rng = np.random.default_rng(0)
    labels = (rng.random((10, 4)) < 0.4).astype(float)
    labels[np.arange(10), rng.integers(4, size=10)] = 1
    outputs = rng.standard_normal((2, 10, 5))
    loss = begin(DPSHLoss(eta=3.0), labels, 5)
    value(loss, outputs[0], labels)  # fills the memory
    batch = np.array([7, 2, 4])
    memory = outputs[0].copy()
    memory[batch] = outputs[1][batch]
    total = 0
    for i in batch:
        for j in range(10):
            theta = 0.5 * memory[i] @ memory[j]
            total += np.logaddexp(0, theta) - (labels[i] @ labels[j] > 0) * theta
        total += 3 * np.square(np.sign(memory[i]) - memory[i]).sum()
    result = value(loss, outputs[1][batch], labels[batch], batch)
    assert result == pytest.approx(total / 30)
    np.testing.assert_allclose(loss.memory.numpy(), memory)


def test_pairs_are_compared_with_each_other():
    outputs = torch.tensor(OUTPUT, requires_grad=True)
    first, second = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    similarity = torch.tensor([1.0, 0.0, 0.0]).double()

    def loss(output):
        pairwise = DPSHLoss(eta=0.0)
        pairwise._rows_per_pair = 3 / 6
        return pairwise(output, (first, second, similarity), torch.arange(3))

    # Without the three pairs of a row with itself.
    itself = sum(np.logaddexp(0, 0.5 * u @ u) - 0.5 * u @ u for u in OUTPUT)
    assert 6 * loss(outputs).item() == pytest.approx(4.0398113 - itself, abs=5e-8)
    assert torch.autograd.gradcheck(loss, (outputs,))


def test_rows_not_seen_yet_do_not_pull():
    loss = begin(DPSHLoss(eta=0.0), [0, 0, 1, 1], 2)
    output = torch.tensor([[1.0, 2.0]], requires_grad=True, dtype=torch.float64)
    loss(output, indicator([0, 1])[:1], torch.tensor([0])).backward()
    itself = (1 / (1 + np.exp(-2.5)) - 1) * output.detach() / 2 / 4
    torch.testing.assert_close(output.grad, itself)


@pytest.mark.parametrize("eta", [0.0, 10.0])
def test_gradients_are_finite_differences(eta):
    rng = np.random.default_rng(0)
    labels = [0, 1, 0, 2, 1]
    loss = begin(DPSHLoss(eta=eta), labels, 4)
    output = torch.tensor(rng.standard_normal((5, 4)), requires_grad=True)
    step = 1e-6
    found = gradient(loss, output.detach().numpy(), labels)
    memory = output.detach().clone()

    def with_that_memory(values):
        y = indicator(labels)
        return loss._pairwise(values, y) + loss._quantization(
            values, torch.sign(values.detach())
        )

    loss.memory = memory
    for i in range(5):
        for k in range(4):
            shift = torch.zeros_like(memory)
            shift[i, k] = step
            change = with_that_memory(memory + shift) - with_that_memory(memory - shift)
            assert found[i, k] == pytest.approx(change.item() / (2 * step), abs=1e-7)


def test_rotations_matter_to_the_quantization_only():
    rng = np.random.default_rng(0)
    outputs, labels = rng.standard_normal((8, 4)), rng.integers(2, size=8)
    turned = outputs @ ortho_group.rvs(4, random_state=0)
    for eta, equal in [(0.0, True), (10.0, False)]:
        losses = [
            value(begin(DPSHLoss(eta=eta), labels, 4), values, labels)
            for values in (outputs, turned)
        ]
        assert (losses[0] == pytest.approx(losses[1])) == equal


def test_a_large_eta_drives_outputs_to_signs(digits):
    X, y = digits
    small, large = (
        np.abs(make(DPSH, eta=eta, max_epochs=20).fit(X, y).decision_function(X))
        for eta in (0.0, 1e5)
    )
    assert np.abs(large - 1).mean() < 0.25
    assert np.abs(small - 1).mean() > 0.5


def test_huge_outputs_are_finite():
    loss = begin(DPSHLoss(), LABELS, 2)
    output = torch.tensor(1e4 * OUTPUT, requires_grad=True)
    result = loss(output, indicator(LABELS), torch.arange(3))
    result.backward()
    assert torch.isfinite(result)
    assert torch.isfinite(output.grad).all()


def test_there_is_no_partial_fit_and_eta_is_checked(digits):
    assert not hasattr(DPSH(), "partial_fit")
    with pytest.raises(ValueError, match="'eta' parameter"):
        DPSH(eta=-1).fit(*digits)
