import numpy as np
import pytest
import torch
from torch import nn

from sklhash.training.heads import HashHead, Standardize, rowwise_linear


def test_standardize_centres_and_scales_by_one_number():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 5)) * [1, 2, 3, 4, 5] + 1000
    standardize = Standardize(5)
    standardize.learn(iter([X[:10], X[10:1500], X[1500:]]))
    np.testing.assert_allclose(standardize.mean, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(standardize.scale, np.sqrt(X.var(axis=0).mean()))
    Z = standardize(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(
        Z.std(axis=0), X.std(axis=0) / standardize.scale.item(), rtol=1e-3
    )


def test_constant_features_are_not_divided():
    standardize = Standardize(2)
    standardize.learn([np.full((10, 2), 0.1)])
    assert standardize.scale == 1


def test_weights_come_from_the_generator_alone():
    def weights(seed):
        head = HashHead(50, 400, (300,))
        head.reset_parameters(torch.Generator().manual_seed(seed))
        return head.state_dict()

    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], value) for name, value in weights(0).items())
    assert not torch.equal(first["hash.weight"], weights(1)["hash.weight"])
    for layer, n_inputs in [("hidden.0", 50), ("hash", 300)]:
        weight, bound = first[f"{layer}.weight"], n_inputs**-0.5
        assert weight.abs().max() <= bound
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.02)
        assert first[f"{layer}.bias"].abs().max() <= bound
        assert first[f"{layer}.bias"].std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_the_head_is_its_parts():
    head = HashHead(6, 4, (5,), batch_norm=True)
    head.reset_parameters(torch.Generator().manual_seed(0))
    head.standardize.learn([np.random.default_rng(0).random((30, 6))])
    x = torch.rand(16, 6)
    z = (x - head.standardize.mean) / head.standardize.scale
    z = torch.relu(z @ head.hidden[0].weight.T + head.hidden[0].bias)
    z = z @ head.hash.weight.T
    head.eval()
    torch.testing.assert_close(head.project(x), z)
    torch.testing.assert_close(head(x), z / (1 + 1e-5) ** 0.5)
    assert head.hash.bias is None
    assert isinstance(HashHead(6, 4).norm, nn.Identity)
    assert HashHead(6, 4).hash.bias.shape == (4,)


@pytest.mark.parametrize("width", [1, 4, 15, 16, 40])
@pytest.mark.parametrize("bias", [False, True])
def test_rowwise_linear_is_linear(width, bias):
    x, weight = torch.rand(9, 7), torch.rand(width, 7)
    shift = torch.rand(width) if bias else None
    expected = x @ weight.T + (shift if bias else 0)
    torch.testing.assert_close(rowwise_linear(x, weight, shift), expected)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_head_without_hidden_layers_is_a_linear_map(batch_norm):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn((200, 6), generator=generator) * 3 + 5
    head = HashHead(6, 20, batch_norm=batch_norm)
    head.reset_parameters(generator)
    head.standardize.learn([rows.numpy()])
    head(rows)
    with torch.no_grad():
        for parameter in head.norm.parameters():
            parameter.uniform_(-1, 1, generator=generator)
        mean, weight, bias = head.eval().as_linear_map()
        np.testing.assert_allclose(
            (rows - mean) @ weight.T + bias, head(rows), atol=1e-5
        )


def test_other_heads_are_no_linear_map():
    class Squared(HashHead):
        def forward(self, x):
            return super().forward(x) ** 2

    assert HashHead(6, 20, (5,)).as_linear_map() is None
    assert Squared(6, 20).as_linear_map() is None
