import inspect
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from sklhash.hashers.cnnh import CNNH, CNNHLoss
from sklhash.hashers.factorization import LabelSets, factorize
from sklhash.hashers.lsh import LSH
from sklhash.pairs import Pairs
from sklhash.targets import encode_targets
from tests.hashers.methods import make

OUTPUT_LOSSES = ["bce", "squared"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


def prepared(targets, n_bits, **parameters):
    loss = CNNHLoss(**parameters)
    loss.on_fit_begin(targets, n_bits, torch.Generator().manual_seed(0))
    return loss


def with_targets(bits, output_loss):
    loss = CNNHLoss(output_loss=output_loss)
    loss.target_codes = torch.tensor(bits, dtype=torch.uint8)
    return loss


def test_losses_by_hand():
    output = torch.tensor([[2.0, -1.0], [0.0, 3.0]], dtype=torch.float64)
    index = torch.tensor([2, 0])
    bits = [[1, 0], [0, 0], [1, 1]]  # row 2: 1 1, row 0: 1 0
    signed = np.array([[2.0, -1.0], [0.0, -3.0]])  # outputs times target signs
    bce = with_targets(bits, "bce")(output, None, index)
    assert bce.item() == pytest.approx(np.log1p(np.exp(-signed)).mean())
    squared = with_targets(bits, "squared")(output, None, index)
    assert squared.item() == pytest.approx(((np.tanh(signed) - 1) ** 2).mean())


@pytest.mark.parametrize("output_loss", OUTPUT_LOSSES)
def test_gradients_are_finite_differences(output_loss):
    rng = np.random.default_rng(0)
    loss = with_targets(rng.integers(2, size=(9, 6)), output_loss)
    output = torch.tensor(rng.standard_normal((5, 6)), requires_grad=True)
    index = torch.tensor([3, 8, 0, 1, 5])
    assert torch.autograd.gradcheck(lambda u: loss(u, None, index), (output,))


@pytest.mark.parametrize("output_loss", OUTPUT_LOSSES)
def test_large_outputs_have_finite_losses_and_gradients(output_loss):
    loss = with_targets([[0, 1, 0, 1]], output_loss)
    output = torch.tensor([[1e4, 1e4, -1e4, -1e4]], requires_grad=True)
    value = loss(output, None, torch.arange(1))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("output_loss", OUTPUT_LOSSES)
def test_bits_and_rows_in_any_order_and_flipped_bits_give_the_same_loss(output_loss):
    rng = np.random.default_rng(0)
    bits, output = rng.integers(2, size=(7, 4)), rng.standard_normal((7, 4))

    def value(bits, output, index):
        loss = with_targets(bits, output_loss)
        return loss(torch.tensor(output), None, torch.tensor(index)).item()

    expected = value(bits, output, np.arange(7))
    columns, rows = rng.permutation(4), rng.permutation(7)
    for other in (
        value(bits[:, columns], output[:, columns], np.arange(7)),
        value(bits, output[rows], rows),
        value(bits[rows], output[rows], np.arange(7)),
        value(1 - bits, -output, np.arange(7)),
    ):
        assert other == pytest.approx(expected)


def test_targets_are_the_signs_of_the_factorization():
    labels = np.eye(5)[np.random.default_rng(0).integers(5, size=80)]
    targets = encode_targets(labels)
    loss = prepared(targets, 12, n_sweeps=4)
    seed = torch.randint(2**62, (), generator=torch.Generator().manual_seed(0))
    codes, errors = factorize(
        LabelSets(targets.labels), 12, 4, np.random.default_rng(int(seed))
    )
    np.testing.assert_array_equal(loss.target_codes.numpy(), codes > 0)
    np.testing.assert_allclose(loss.factorization_error.numpy(), errors, rtol=1e-6)


def test_labels_and_all_their_pairs_are_factorized_alike():
    labels = np.eye(4)[np.random.default_rng(0).integers(4, size=50)]
    i, j = np.triu_indices(50, 1)
    similar = (labels @ labels.T > 0)[i, j].astype(np.float32)
    a = prepared(encode_targets(labels), 10)
    b = prepared(Pairs(50, i, j, similar), 10)
    torch.testing.assert_close(a.factorization_error, b.factorization_error)
    assert torch.equal(a.target_codes, b.target_codes)


def test_the_fitted_attributes(digits):
    hasher = make(CNNH, 24, n_sweeps=7).fit(*digits)
    errors = hasher.factorization_error_
    assert errors.shape == (8,)
    assert (np.diff(errors) <= 0).all()
    assert 0.7111 <= errors[-1] < 0.75
    codes = hasher.target_codes_
    assert codes.shape == (1200, 24)
    assert codes.dtype == np.uint8
    y = digits[1]
    inner = (2.0 * codes - 1) @ (2.0 * codes.T - 1) / 24
    similarity = np.where(y[:, None] == y, 1, -1)
    assert np.square(similarity - inner).mean() == pytest.approx(errors[-1], abs=0.01)


@pytest.mark.parametrize("output_loss", OUTPUT_LOSSES)
def test_the_network_learns_the_code_of_its_own_row(output_loss, digits):
    # The ported code that the card tells of had the rows of stage one in another order.
    X, y = digits
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    hasher = CNNH(16, output_loss=output_loss, random_state=0).fit(X, y)
    assert (hasher.transform(X) == hasher.target_codes_).mean() > 0.95
    shifted = hasher.transform(np.roll(X, 1, axis=0)) == hasher.target_codes_
    assert shifted.mean() < 0.7


def test_rows_without_labels_do_not_shift_the_others(digits):
    X, y = digits
    labels = np.eye(10)[y]
    labels[::3] = 0
    labelled = labels.any(axis=1)
    with pytest.warns(UserWarning, match="400 of 1200 rows have no label"):
        hasher = CNNH(16, random_state=0).fit(X, sparse.csr_array(labels))
    assert hasher.target_codes_.shape == (800, 16)
    assert (hasher.transform(X[labelled]) == hasher.target_codes_).mean() > 0.95


def random_pairs(y, n_pairs, seed=0):
    """Pairs of different rows, half of them similar, in any order."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(len(y), size=(2, 40 * n_pairs))
    i, j = i[i != j], j[i != j]
    similar = y[i] == y[j]
    chosen = np.r_[
        np.flatnonzero(similar)[: n_pairs // 2],
        np.flatnonzero(~similar)[: n_pairs // 2],
    ]
    chosen = rng.permutation(chosen)
    return i[chosen], j[chosen], similar[chosen]


def test_pairs_teach_what_labels_teach(digits):
    X, y = digits
    pairs = random_pairs(y[:800], 8000)
    hasher = make(CNNH, 32, max_epochs=5).fit(X, pairs=pairs)
    assert not hasattr(hasher, "classes_")
    rows = np.unique(np.concatenate(pairs[:2]))
    assert hasher.target_codes_.shape == (len(rows), 32)
    assert (hasher.transform(X[rows]) == hasher.target_codes_).mean() > 0.8
    baseline = LSH(32, random_state=0).fit(X)
    queries = X[800:], y[800:]
    assert hasher.score(*queries) > baseline.score(*queries) + 0.2
    assert (np.diff(hasher.factorization_error_) <= 0).all()


def test_pairs_in_either_order_and_given_twice_are_the_same_pairs(digits):
    _, y = digits
    i, j, s = random_pairs(y[:50], 300)
    i, j = np.minimum(i, j), np.maximum(i, j)
    _, once = np.unique(i * 50 + j, return_index=True)
    i, j, s = i[once], j[once], s[once].astype(np.float32)
    plain = prepared(Pairs(50, i, j, s), 8)
    twice = prepared(Pairs(50, np.r_[i, j], np.r_[j, i], np.r_[s, s]), 8)
    assert torch.equal(plain.target_codes, twice.target_codes)


def test_wide_codes_are_not_copies_of_a_few_bits(digits):
    hasher = make(CNNH, 64, max_epochs=1).fit(*digits)
    _, y = digits
    codes = np.array([hasher.target_codes_[y == c][0] for c in range(10)])
    assert len(np.unique(codes ^ codes[0], axis=1).T) > 40
    distances = (codes[:, None] != codes).sum(axis=-1)[np.triu_indices(10, 1)]
    assert distances.min() >= 0.4 * 64


def test_imbalanced_classes_and_a_class_with_one_row(digits):
    X, _ = digits
    y = np.r_[np.zeros(1100), np.ones(99), 2]
    hasher = make(CNNH, max_epochs=10, batch_size=32).fit(X, y)
    assert np.isfinite(hasher.loss_curve_).all()
    codes = hasher.target_codes_
    assert (codes[:1100] == codes[0]).all()
    assert (codes[1100:1199] == codes[1100]).all()
    assert (codes[0] != codes[1100]).mean() > 0.5


def test_labels_that_all_rows_share_are_refused(digits):
    X, y = digits
    labels = np.eye(10)[y]
    labels[:, 0] = 1
    hasher = make(CNNH)
    with pytest.raises(ValueError, match="there is nothing to learn"):
        hasher.fit(X, labels)
    assert not hasattr(hasher, "n_features_in_")


def test_there_is_no_partial_fit(digits):
    assert not hasattr(CNNH(), "partial_fit")


def test_seeds_and_global_generators(digits):
    X, y = digits
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, again = (make(CNNH).fit(X, y) for _ in range(2))
    other = make(CNNH, random_state=1).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])
    np.testing.assert_array_equal(one.target_codes_, again.target_codes_)
    np.testing.assert_array_equal(one.transform(X), again.transform(X))
    assert (one.target_codes_ != other.target_codes_).any()


def test_a_copy_knows_the_targets(digits):
    hasher = make(CNNH).fit(*digits)
    copy = pickle.loads(pickle.dumps(hasher))
    np.testing.assert_array_equal(copy.target_codes_, hasher.target_codes_)
    np.testing.assert_array_equal(
        copy.factorization_error_, hasher.factorization_error_
    )
    assert not hasattr(clone(hasher), "net_")


def test_its_own_parameters_come_first():
    names = list(inspect.signature(CNNH).parameters)
    assert names[:3] == ["n_bits", "n_sweeps", "output_loss"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_sweeps": 0}, "'n_sweeps' parameter"),
        ({"n_sweeps": 2.5}, "'n_sweeps' parameter"),
        ({"output_loss": "hinge"}, "'output_loss' parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, digits):
    hasher = CNNH(**parameters)
    with pytest.raises(ValueError, match=message):
        hasher.fit(*digits)
