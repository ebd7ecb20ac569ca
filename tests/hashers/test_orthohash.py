import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, make_multilabel_classification
from torch.nn import functional as F

from sklhash import LSH, OrthoHash
from sklhash.hashers.orthohash import OrthoHashLoss
from sklhash.targets import encode_targets
from tests.hashers.methods import make

# The codewords and outputs of the method card, K = 4.
CODEWORDS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])


def loss_of(output, y, codebook, **parameters):
    """Loss of a batch whose rows have the labels `y`, with a given codebook."""
    y = np.asarray(y)
    loss = OrthoHashLoss(codebook=codebook, **parameters)
    n_classes, n_bits = np.shape(codebook)
    targets = encode_targets(np.eye(n_classes))
    loss.on_fit_begin(targets, n_bits, torch.Generator())
    output = torch.as_tensor(np.asarray(output), dtype=torch.float64)
    return loss(output, torch.as_tensor(y, dtype=torch.float64), torch.arange(len(y)))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"margin": 0.2}, 0.1839007),
        ({"margin": 0.0}, 0.1269280),
        ({"margin": 0.2, "margin_type": "arc"}, 0.1319865),
    ],
)
def test_loss_of_an_aligned_row(parameters, expected):
    loss = loss_of([[1, 1, 1, 1]], [[1, 0]], CODEWORDS[:2], scale=2.0, **parameters)
    assert loss.item() == pytest.approx(expected, abs=5e-8)


def test_loss_of_a_row_with_two_labels():
    output = CODEWORDS[:1] + CODEWORDS[1:2]
    loss = loss_of(output, [[1, 1, 0]], CODEWORDS, scale=2.0, margin=0.2)
    assert loss.item() == pytest.approx(0.8597998, abs=5e-8)


@pytest.mark.parametrize(("n_classes", "expected"), [(10, 0.0148433), (100, 0.1522868)])
def test_loss_with_orthogonal_codewords(n_classes, expected):
    codebook = OrthoHash(128, codebook="hadamard")._make_loss(None)
    targets = encode_targets(np.eye(n_classes))
    codebook.on_fit_begin(targets, 128, torch.Generator().manual_seed(0))
    codewords = codebook.codebook.numpy()
    loss = loss_of(codewords[:1], np.eye(n_classes)[:1], codewords, scale=8.0)
    assert loss.item() == pytest.approx(expected, abs=5e-8)


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [("cs", 1 - 4 / (10**0.5 * 2)), ("l1", 0.5), ("l2", 0.5)],
)
def test_quantization_terms(quantization, expected):
    output = [[2.0, -2.0, 1.0, -1.0]]
    plain = loss_of(output, [[1, 0]], CODEWORDS[:2])
    loss = loss_of(
        output,
        [[1, 0]],
        CODEWORDS[:2],
        quantization_weight=3.0,
        quantization=quantization,
    )
    expected = {"cs": 1 - 6 / (10**0.5 * 2)}.get(quantization, expected)
    assert (loss - plain).item() == pytest.approx(3 * expected)


def test_auto_scale_is_the_root_of_the_number_of_bits():
    arguments = ([[1.0, 2.0, -1.0, 0.5]], [[1, 0]], CODEWORDS[:2])
    assert loss_of(*arguments) == loss_of(*arguments, scale=2.0)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    output = rng.standard_normal((12, 8))
    labels = (rng.random((12, 5)) < 0.4).astype(float)
    labels[:, 0] = 1
    return output, labels, np.where(rng.random((5, 8)) < 0.5, -1, 1)


@pytest.mark.parametrize("margin_type", ["cos", "arc"])
def test_invariances(batch, margin_type):
    output, labels, codebook = batch
    loss = loss_of(output, labels, codebook, margin_type=margin_type)
    scaled = loss_of(7.5 * output, labels, codebook, margin_type=margin_type)
    assert scaled.item() == pytest.approx(loss.item())
    bits, classes = np.random.default_rng(1).permutation(8), [3, 1, 0, 4, 2]
    permuted = loss_of(
        output[:, bits], labels, codebook[:, bits], margin_type=margin_type
    )
    assert permuted.item() == pytest.approx(loss.item())
    permuted = loss_of(
        output, labels[:, classes], codebook[classes], margin_type=margin_type
    )
    assert permuted.item() == pytest.approx(loss.item())


@pytest.mark.parametrize("margin_type", ["cos", "arc"])
@pytest.mark.parametrize("quantization", ["cs", "l1", "l2"])
def test_gradients_are_finite_differences(batch, margin_type, quantization):
    output, labels, codebook = batch
    output = torch.tensor(output, requires_grad=True)
    parameters = {
        "margin_type": margin_type,
        "quantization": quantization,
        "quantization_weight": 0.5,
    }
    loss = OrthoHashLoss(codebook=codebook, **parameters)
    loss.on_fit_begin(encode_targets(np.eye(5)), 8, torch.Generator())
    y, index = torch.tensor(labels), torch.arange(12)
    assert torch.autograd.gradcheck(lambda v: loss(v, y, index), (output,))


def test_the_gradient_is_orthogonal_to_the_output(batch):
    output, labels, codebook = batch
    output = torch.tensor(output, requires_grad=True)
    loss = OrthoHashLoss(codebook=codebook)
    loss.on_fit_begin(encode_targets(np.eye(5)), 8, torch.Generator())
    loss(output, torch.tensor(labels), torch.arange(12)).backward()
    along = (output.detach() * output.grad).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(12, dtype=torch.float64))


def test_one_label_is_cross_entropy(batch):
    output, _, codebook = batch
    y = np.random.default_rng(2).integers(5, size=12)
    cosine = (
        F.normalize(torch.tensor(output), dim=1) @ torch.tensor(codebook).double().T
    )
    logits = 3 * (cosine / 8**0.5 - 0.2 * F.one_hot(torch.tensor(y), 5))
    expected = F.cross_entropy(logits, torch.tensor(y))
    assert loss_of(output, np.eye(5)[y], codebook, scale=3.0).item() == pytest.approx(
        expected.item()
    )


@pytest.mark.parametrize("margin_type", ["cos", "arc"])
def test_a_row_of_zeros_has_a_finite_gradient(margin_type):
    output = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    loss = OrthoHashLoss(codebook=CODEWORDS, margin_type=margin_type)
    loss.on_fit_begin(encode_targets(np.eye(3)), 4, torch.Generator())
    value = loss(output, torch.tensor([[1.0, 0, 0]]), torch.arange(1))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("codebook", ["bernoulli", "hadamard", "maxhd"])
def test_the_fitted_codebook(codebook, digits):
    hasher = make(OrthoHash, 32, codebook=codebook).fit(*digits)
    assert hasher.codebook_.shape == (10, 32)
    assert set(np.unique(hasher.codebook_)) == {-1, 1}
    again = make(OrthoHash, 32, codebook=codebook).fit(*digits)
    np.testing.assert_array_equal(hasher.codebook_, again.codebook_)


def test_a_codebook_of_ones_own(digits):
    codebook = np.where(np.random.default_rng(0).random((10, 24)) < 0.5, -1, 1)
    hasher = make(OrthoHash, 24, codebook=codebook, max_epochs=15).fit(*digits)
    np.testing.assert_array_equal(hasher.codebook_, codebook)
    X, y = digits
    agreement = hasher.transform(X) == (codebook[y] > 0)
    assert agreement.mean() > 0.85
    with pytest.raises(ValueError, match=r"\(10, 16\), got \(10, 24\)"):
        make(OrthoHash, 16, codebook=codebook).fit(*digits)


def test_predict_is_the_nearest_codeword(digits):
    X, y = digits
    names = np.array([f"digit {c}" for c in y])
    hasher = make(OrthoHash, 32, max_epochs=15).fit(X[:800], names[:800])
    predicted = hasher.predict(X[800:])
    values = hasher.decision_function(X[800:])
    cosine = values @ hasher.codebook_.T / np.linalg.norm(values, axis=1)[:, None]
    np.testing.assert_array_equal(predicted, hasher.classes_[cosine.argmax(axis=1)])
    assert (predicted == names[800:]).mean() > 0.9


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_several_labels_a_row(convert):
    X, Y = make_multilabel_classification(
        600, 30, n_classes=6, allow_unlabeled=False, random_state=0
    )
    hasher = make(OrthoHash, 32, max_epochs=20).fit(X[:400], convert(Y[:400]))
    assert hasher.classes_.tolist() == list(range(6))
    baseline = LSH(32, random_state=0).fit(X[:400])
    assert hasher.score(X[400:], Y[400:]) > baseline.score(X[400:], Y[400:]) + 0.05
    predicted = hasher.predict(X[400:])
    assert Y[400:][np.arange(200), predicted].mean() > 0.7


def test_batch_norm_adapts_to_a_database_that_drifted(digits):
    X, y = digits
    hasher = make(OrthoHash, 32, max_epochs=15).fit(X, y)
    drifted = X + np.linspace(0, 30, 64)
    before = hasher.score(drifted, y)
    variance = hasher.net_.module_.norm.running_var.clone()
    assert hasher.adapt_batch_norm(drifted) is hasher
    assert hasher.score(drifted, y) > before + 0.1
    norm = hasher.net_.module_.norm
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert torch.equal(norm.running_var, variance)
    values = hasher.decision_function(drifted)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)


def test_partial_fit_keeps_the_codebook(digits):
    X, y = digits
    hasher = make(OrthoHash).partial_fit(X[:600], y[:600])
    codebook = hasher.codebook_
    hasher.partial_fit(X[600:], y[600:])
    np.testing.assert_array_equal(hasher.codebook_, codebook)


def test_batch_norm_reads_the_database_in_blocks(digits, tmp_path):
    X, y = digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    adapted = [make(OrthoHash).fit(X, y).adapt_batch_norm(Z) for Z in (X, mapped)]
    np.testing.assert_array_equal(adapted[0].transform(X), adapted[1].transform(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": -0.1}, "'margin' parameter"),
        ({"margin_type": "sin"}, "'margin_type' parameter"),
        ({"scale": 0}, "'scale' parameter"),
        ({"codebook": "random"}, "'codebook' parameter"),
        ({"quantization": "l3"}, "'quantization' parameter"),
        ({"batch_size": 1}, "'batch_size' parameter"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must hold"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must hold"),
        ({"device": "abacus"}, "'auto' or a torch device, got 'abacus'"),
        ({"n_bits": 3}, "n_bits=3 gives 8 different codewords"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, digits):
    hasher = OrthoHash(**parameters)
    with pytest.raises(ValueError, match=message):
        hasher.fit(*digits)
    assert not hasattr(hasher, "n_features_in_")
