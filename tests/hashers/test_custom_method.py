"""A method written as a user would, in thirty lines, needs no change elsewhere."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from sklhash import LSH, DeepHasher, HashLoss


class PairLoss(HashLoss):
    def __init__(self, sharpness):
        super().__init__()
        self.sharpness = sharpness

    def on_fit_begin(self, targets, n_bits, generator):
        self.alpha = self.sharpness / n_bits
        noise = torch.randn(len(targets), n_bits, generator=generator)
        self.register_buffer("memory", noise)

    def on_epoch_begin(self, epoch, max_epochs):
        self.beta = 1 + epoch / max_epochs

    def forward(self, output, y, index):
        codes = torch.tanh(self.beta * output)
        self.memory[index] = codes.detach()
        similar = (y @ y.T > 0).float()
        logits = self.alpha * codes @ codes.T
        return F.binary_cross_entropy_with_logits(logits, similar)

    def log(self):
        return {"beta": self.beta, "size": self.memory.abs().mean().item()}


class PairHash(DeepHasher):
    sharpness: float = 5.0
    max_epochs = 20

    _supports_partial_fit = False
    _parameter_constraints: dict = {  # noqa: RUF012
        **DeepHasher._parameter_constraints,
        "sharpness": [float],
    }

    def _make_loss(self, targets):
        return PairLoss(self.sharpness)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:800], y[:800]


def test_it_learns(digits):
    X, y = digits
    hasher = PairHash(16, random_state=0).fit(X[:500], y[:500])
    baseline = LSH(16, random_state=0).fit(X[:500])
    assert hasher.score(X[500:], y[500:]) > baseline.score(X[500:], y[500:]) + 0.15
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


def test_its_own_quantities_are_in_the_history(digits):
    hasher = PairHash(8, max_epochs=4).fit(*digits)
    assert [epoch["beta"] for epoch in hasher.history_] == [1, 1.25, 1.5, 1.75]
    assert all(0 < epoch["size"] < 1 for epoch in hasher.history_)


def test_state_for_each_row_does_not_stream():
    assert not hasattr(PairHash(), "partial_fit")


def test_other_makes_of_head_and_loss_are_refused(digits):
    class LinearHead(PairHash):
        def _make_head(self, n_features):
            return torch.nn.Linear(n_features, self.n_bits)

    class PlainLoss(PairHash):
        def _make_loss(self, targets):
            return torch.nn.MSELoss()

    with pytest.raises(TypeError, match="LinearHead must make a HashHead, got Linear"):
        LinearHead().fit(*digits)
    with pytest.raises(TypeError, match="PlainLoss must make a HashLoss, got MSELoss"):
        PlainLoss().fit(*digits)


def test_its_constructor_is_that_of_the_house():
    parameters = inspect.signature(PairHash).parameters
    assert list(parameters)[:2] == ["n_bits", "sharpness"]
    assert parameters["sharpness"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["max_epochs"].default == 20
    assert PairHash(8, sharpness=2.0).get_params()["sharpness"] == 2.0


def test_every_row_comes_once_an_epoch_with_its_own_number(digits):
    X, y = digits
    seen = []

    class Recorder(HashLoss):
        def forward(self, output, y, index):
            seen.append((index.clone(), y.argmax(dim=1)))
            return output.square().mean()

    class RecorderHash(DeepHasher):
        def _make_loss(self, targets):
            return Recorder()

    RecorderHash(8, max_epochs=1, batch_size=100).fit(X[:301], y[:301])
    assert [len(index) for index, _ in seen] == [100, 100, 101]
    index = torch.cat([index for index, _ in seen]).numpy()
    assert sorted(index) == list(range(301))
    assert not np.array_equal(index, np.arange(301))
    labels = torch.cat([labels for _, labels in seen]).numpy()
    np.testing.assert_array_equal(labels, y[:301][index])
