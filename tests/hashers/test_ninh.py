import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sklhash.hashers.ninh import NINH, DivideAndEncodeHead, NINHLoss
from sklhash.targets import encode_targets
from tests.hashers.methods import make


def begun(**parameters):
    loss = NINHLoss(**parameters)
    loss.on_fit_begin(encode_targets(np.arange(4)), 8, torch.Generator().manual_seed(0))
    return loss


def loss_of_bits(bits, y, **parameters):
    """Loss of a batch whose outputs are so large that the codes are bits."""
    output = torch.where(torch.tensor(bits) > 0, 50.0, -50.0).double()
    y = torch.tensor(np.eye(4)[y])
    return begun(**parameters)(output, y, torch.arange(len(bits))).item()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    output = torch.tensor(rng.standard_normal((12, 8)))
    return output, torch.tensor((rng.random((12, 5)) < 0.3) * 1.0), torch.arange(12)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


@pytest.mark.parametrize("margin", [1.0, 2.0, 4.0])
def test_equal_codes_cost_the_margin(margin):
    assert loss_of_bits([[1, 0, 1]] * 4, [0, 1, 0, 1], margin=margin) == margin


@pytest.mark.parametrize("margin", [1.0, 3.0])
@pytest.mark.parametrize("n_differing", [0, 1, 2, 5])
def test_a_dissimilar_row_is_to_differ_by_the_margin(margin, n_differing):
    bits = np.zeros((3, 8), dtype=int)
    bits[2, :n_differing] = 1
    expected = max(0, margin - n_differing)
    assert loss_of_bits(bits, [0, 0, 1], margin=margin) == pytest.approx(expected)


def test_a_similar_row_is_to_be_near():
    bits = [[0, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]]
    # (0, 1, 2): 1 + 3 - 1, (1, 0, 2): 1 + 3 - 4, (2, 2, *): 1 - 1 or 1 - 4
    assert loss_of_bits(bits, [0, 0, 1]) == pytest.approx((3 + 0 + 0) / 3)


@pytest.mark.parametrize("margin", [1.0, 2.5])
def test_loss_and_gradient_are_those_of_the_drawn_triplets(batch, margin):
    output, y, index = batch
    positive, negative, drawn = begun(margin=margin).draw(y)
    codes = 1 / (1 + np.exp(-output.numpy()))
    total, gradient = 0.0, np.zeros_like(codes)
    for q in np.flatnonzero(drawn):
        for p, n in zip(positive[q], negative[q], strict=True):
            near, far = codes[q] - codes[p], codes[q] - codes[n]
            loss = margin + near @ near - far @ far
            if loss > 0:
                total += loss
                gradient[q] += 2 * (codes[n] - codes[p])
                gradient[p] += 2 * (codes[p] - codes[q])
                gradient[n] += 2 * (codes[q] - codes[n])
    n_triplets = positive.shape[1] * int(drawn.sum())
    output.requires_grad_()
    value = begun(margin=margin)(output, y, index)
    value.backward()
    assert value.item() == pytest.approx(total / n_triplets)
    expected = gradient * codes * (1 - codes) / n_triplets
    np.testing.assert_allclose(output.grad, expected, atol=1e-12)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("epsilon", [None, 0.2, 0.5])
def test_gradients_are_finite_differences(batch, epsilon):
    output, y, index = batch
    output.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: begun(epsilon=epsilon)(v, y, index), (output,)
    )


def test_the_threshold():
    s = torch.tensor([0, 0.2, 0.39, 0.41, 0.5, 0.59, 0.61, 1], dtype=torch.float64)
    s.requires_grad_()
    loss = begun(epsilon=0.1)
    cut = loss.threshold(s)
    assert cut.tolist() == [0, 0, 0, 0.41, 0.5, 0.59, 1, 1]
    cut.sum().backward()
    assert s.grad.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    bits = torch.tensor([0.0, 1.0])
    assert torch.equal(loss.threshold(bits), bits)
    assert torch.equal(begun().threshold(s), s)


def test_the_loss_does_not_change_with_the_order_or_sense_of_the_bits(batch):
    output, y, index = batch
    value = begun()(output, y, index)
    order = np.random.default_rng(1).permutation(8)
    torch.testing.assert_close(begun()(output[:, order], y, index), value)
    sense = torch.tensor([1, -1, 1, 1, -1, -1, 1, -1])
    torch.testing.assert_close(begun()(output * sense, y, index), value)
    torch.testing.assert_close(begun()(output, y[:, [2, 0, 4, 1, 3]], index), value)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (20,)])
def test_a_bit_depends_on_its_slice_only(hidden_layer_sizes):
    head = DivideAndEncodeHead(6, 5, hidden_layer_sizes, slice_width=7)
    head.reset_parameters(torch.Generator().manual_seed(0))
    x = torch.rand(3, 6)
    divided = head.hidden(head.standardize(x)).detach()
    assert divided.shape == (3, 5 * 7)
    assert (divided >= 0).all()
    jacobian = torch.autograd.functional.jacobian(
        lambda row: head.hash(row[None])[0], divided[0]
    ).view(5, 5, 7)
    for bit in range(5):
        assert torch.equal(jacobian[bit, bit], head.hash.weight[bit])
        assert (jacobian[bit, torch.arange(5) != bit] == 0).all()
    expected = [
        divided[:, 7 * bit : 7 * bit + 7] @ head.hash.weight[bit] + head.hash.bias[bit]
        for bit in range(5)
    ]
    torch.testing.assert_close(head(x), torch.stack(expected, dim=1))


def test_the_weights_are_those_of_the_generator():
    heads = [DivideAndEncodeHead(6, 5, (4,), slice_width=3) for _ in range(3)]
    for head, seed in zip(heads, (0, 0, 1), strict=True):
        head.reset_parameters(torch.Generator().manual_seed(seed))
    first, again, other = (head.state_dict() for head in heads)
    for name in ("hidden.0.weight", "hidden.2.weight", "hash.weight", "hash.bias"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_the_auto_margin_grows_with_the_bits(digits):
    X, y = digits
    auto, given = (make(NINH, 32, margin=m).fit(X, y) for m in ("auto", 2.0))
    np.testing.assert_array_equal(auto.decision_function(X), given.decision_function(X))
    assert auto.net_.criterion_.margin == 2


def test_classes_may_be_imbalanced_and_small(digits):
    X, y = digits
    y = np.where(np.arange(len(y)) % 10 == 0, y, 99)
    y[0] = 100
    hasher = make(NINH, max_epochs=8).fit(X, y)
    assert np.isfinite(hasher.loss_curve_).all()
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


@pytest.mark.parametrize(
    "parameters", [{"epsilon": 0.3}, {"slice_width": 5}, {"n_triplets": 3}]
)
def test_its_parameters_have_an_effect(parameters, digits):
    X, y = digits
    hasher = make(NINH, **parameters).fit(X, y)
    plain = make(NINH).fit(X, y)
    assert (hasher.decision_function(X) != plain.decision_function(X)).any()
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"margin": 0},
        {"margin": "wide"},
        {"epsilon": 0.0},
        {"epsilon": 0.6},
        {"slice_width": 0},
        {"n_triplets": 0},
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, digits):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        NINH(**parameters).fit(*digits)


def test_labels_that_all_rows_share_are_refused(digits):
    X, y = digits
    labels = np.c_[np.ones(len(y)), np.eye(10)[y]]
    hasher = NINH()
    with pytest.raises(ValueError, match="there is nothing to learn"):
        hasher.fit(X, labels)
    assert not hasattr(hasher, "n_features_in_")
