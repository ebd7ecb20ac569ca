import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.linear_model import Ridge

from sklhash import DPSH, DSDH, LSH
from sklhash.hashers.dsdh import DSDHLoss
from tests.hashers.losses import begin, indicator, value
from tests.hashers.methods import make

OUTPUT = np.array([[1, 0.5], [0.5, 1], [-1, -0.5]])
LABELS = [0, 0, 1]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


@pytest.fixture
def outputs():
    """Outputs of 60 rows for 8 bits, and labels with several a row."""
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 5)) < 0.3).astype(float)
    labels[np.arange(60), rng.integers(5, size=60)] = 1
    return rng.standard_normal((60, 8)), labels


def objective(loss, mu, nu, eta):
    """The part of the objective that the discrete step lowers, worked out afresh."""
    codes, memory, labels, coef = (
        part.numpy().astype(float)
        for part in (loss.codes, loss.memory, loss.labels, loss.coef)
    )
    return (
        mu * np.square(labels - codes @ coef).sum()
        + nu * np.square(coef).sum()
        + eta * np.square(codes - memory).sum()
    )


def test_loss_of_the_cards_three_items():
    loss = begin(DSDHLoss(eta=0.1), LABELS, 2)
    loss.codes = torch.tensor(np.sign(OUTPUT))
    assert 9 * value(loss, OUTPUT, LABELS) == pytest.approx(4.1148113, abs=5e-8)
    pairwise = begin(DSDHLoss(eta=0.0), LABELS, 2)
    assert 9 * value(pairwise, OUTPUT, LABELS) == pytest.approx(4.0398113, abs=5e-8)


def test_outputs_are_drawn_to_the_codes_of_their_rows(outputs):
    values, labels = outputs
    loss = begin(DSDHLoss(use_pairwise=False, eta=3.0), labels, 8)
    batch = np.array([5, 40, 9])
    codes = loss.codes.numpy()
    expected = 3 * np.square(values[batch] - codes[batch]).sum() / (3 * 60)
    result = value(loss, values[batch], labels[batch], batch)
    assert result == pytest.approx(expected)


def test_without_classifier_and_eta_it_is_dpsh(digits):
    X, y = digits
    dpsh = make(DPSH, eta=0.0).fit(X, y)
    shared = {
        name: value
        for name, value in dpsh.get_params().items()
        if name in DSDH().get_params()
    }
    dsdh = DSDH(**{**shared, "eta": 0.0, "use_classification": False}).fit(X, y)
    codes, loss = dsdh.net_.criterion_.codes, dsdh.net_.criterion_
    np.testing.assert_allclose(
        dsdh.decision_function(X), dpsh.decision_function(X), atol=1e-4
    )
    assert torch.equal(codes > 0, loss.memory > 0)


@pytest.mark.parametrize("mu", [0.5, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.02, 5.0])
def test_the_discrete_step_never_raises_the_objective(outputs, mu, eta):
    values, labels = outputs
    weights = {"mu": mu, "nu": 0.1, "eta": eta}
    loss = begin(DSDHLoss(**weights), labels, 8).float()
    loss.memory.copy_(torch.from_numpy(values))
    before = objective(loss, **weights)
    for _ in range(5):
        loss.on_epoch_end()
        after = objective(loss, **weights)
        assert after <= before * (1 + 1e-6)
        assert loss.log()["discrete_objective"] == pytest.approx(after / 60, rel=1e-5)
        assert set(loss.codes.unique().tolist()) <= {-1.0, 1.0}
        before = after


def test_the_classifier_is_ridge_regression(outputs):
    values, labels = outputs
    loss = begin(DSDHLoss(mu=2.0, nu=0.6, eta=0.5), labels, 8).float()
    loss.memory.copy_(torch.from_numpy(values))
    loss.on_epoch_end()
    ridge = Ridge(alpha=0.3, fit_intercept=False).fit(loss.codes.numpy(), labels)
    np.testing.assert_allclose(loss.coef.numpy(), ridge.coef_.T, atol=1e-5)


def test_a_large_eta_gives_the_signs_of_the_outputs(outputs):
    values, labels = outputs
    values[0] = 0
    loss = begin(DSDHLoss(eta=1e6), labels, 8).float()
    loss.memory.copy_(torch.from_numpy(values))
    loss.on_epoch_end()
    expected = np.where(values[1:] > 0, 1, -1)
    np.testing.assert_array_equal(loss.codes[1:].numpy(), expected)
    assert (loss.codes[0].abs() == 1).all()


def test_rows_of_a_class_begin_with_much_the_same_code():
    labels = np.arange(400) % 7
    loss = begin(DSDHLoss(), labels, 16)
    unanimity = [
        loss.codes[labels == label].mean(dim=0).abs().mean() for label in range(7)
    ]
    assert np.mean(unanimity) > 0.9


def test_the_batch_is_a_scope_of_its_own(outputs):
    values, labels = outputs
    loss = begin(DSDHLoss(eta=2.0, discrete_scope="batch"), labels, 8)
    batch = np.arange(20)
    result = value(loss, values[batch], labels[batch], batch)
    start = np.where(values[batch] > 0, 1.0, -1.0)
    coef = Ridge(alpha=0.1, fit_intercept=False).fit(start, labels[batch]).coef_.T
    codes = np.zeros((20, 8))
    for _ in range(10):
        for k in range(8):
            others = np.delete(np.arange(8), k)
            pull = (labels[batch] @ coef.T + 2 * values[batch])[:, k]
            pull = pull - codes[:, others] @ coef[others] @ coef[k]
            codes[:, k] = np.where(pull > 0, 1, -1)
    pairwise = begin(DSDHLoss(eta=0.0), labels, 8)
    expected = value(pairwise, values[batch], labels[batch], batch)
    expected += 2 * np.square(codes - values[batch]).sum() / (20 * 60)
    assert result == pytest.approx(expected, rel=1e-5)


def test_gradients_are_finite_differences(outputs):
    values, labels = outputs
    loss = begin(
        DSDHLoss(use_pairwise=False, discrete=False, mu=0.7, eta=0.0), labels, 8
    )
    output = torch.tensor(values[:6], requires_grad=True)
    y, index = indicator(labels)[:6], torch.arange(6)
    assert torch.autograd.gradcheck(lambda u: loss(u, y, index), (output,))
    error = labels[:6] - values[:6] @ loss.coef.numpy()
    assert loss(output, y, index).item() == pytest.approx(
        0.7 * np.square(error).sum() / (6 * 60)
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"use_pairwise": False, "eta": 0.01, "weight_decay": 0},
        {"use_classification": False},
        {"discrete": False},
        {"discrete_scope": "batch"},
        {"mu": 30.0},
        {"nu": 1000.0, "eta": 0.01},
        {"eta": 5.0},
    ],
    ids=str,
)
def test_the_switches_change_what_is_learnt(parameters, digits):
    X, y = digits
    longer = {"max_epochs": 20, "batch_size": 32, "hidden_layer_sizes": (256,)}
    plain = make(DSDH, **longer).fit(X[:800], y[:800])
    hasher = make(DSDH, **longer, **parameters).fit(X[:800], y[:800])
    assert (hasher.decision_function(X) != plain.decision_function(X)).any()
    baseline = LSH(16, random_state=0).fit(X[:800])
    assert hasher.score(X[800:], y[800:]) > baseline.score(X[800:], y[800:])


def test_outputs_with_nothing_to_learn_are_refused(digits):
    hasher = DSDH(use_pairwise=False, eta=0.0)
    with pytest.raises(ValueError, match="outputs have nothing to learn"):
        hasher.fit(*digits)
    assert not hasattr(hasher, "n_features_in_")


def test_predict_reads_the_code(digits):
    X, y = digits
    names = np.array([f"digit {c}" for c in y])
    hasher = DSDH(32, random_state=0).fit(X[:800], names[:800])
    assert hasher.coef_.shape == (32, 10)
    codes = np.where(hasher.transform(X[800:]) > 0, 1, -1)
    expected = hasher.classes_[(codes @ hasher.coef_).argmax(axis=1)]
    predicted = hasher.predict(X[800:])
    np.testing.assert_array_equal(predicted, expected)
    assert (predicted == names[800:]).mean() > 0.9


def test_several_labels_a_row():
    X, Y = make_multilabel_classification(
        600, 30, n_classes=6, allow_unlabeled=False, random_state=0
    )
    hasher = DSDH(32, random_state=0).fit(X[:400], Y[:400])
    baseline = LSH(32, random_state=0).fit(X[:400])
    assert hasher.score(X[400:], Y[400:]) > baseline.score(X[400:], Y[400:]) + 0.03
    assert Y[400:][np.arange(200), hasher.predict(X[400:])].mean() > 0.6


@pytest.mark.parametrize(
    "parameters",
    [{"mu": 0}, {"nu": 0}, {"eta": -1}, {"discrete_scope": "row"}, {"discrete": 2}],
)
def test_bad_parameters_are_refused(parameters, digits):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        DSDH(**parameters).fit(*digits)
