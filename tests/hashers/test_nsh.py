import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits

from sklhash import LSH, NSH
from sklhash.hashers import nsh
from sklhash.hashers.nsh import (
    NSHHead,
    NSHLoss,
    cosine_to_sorted,
    soft_sort,
    sorted_nce,
)
from sklhash.training.straight_through import signs
from tests.hashers.methods import make

PAPER = {"sort_temperature": "auto", "quantization_weight": 1.0}


def loss_of(output, **parameters):
    loss = NSHLoss(**{**PAPER, **parameters})
    n, n_bits = output[0][0].shape
    loss.on_fit_begin(None, n_bits, torch.Generator())
    return loss(output, None, torch.arange(n))


def batch(n=9, n_bits=12, latent_size=5, seed=0):
    """Codes and latents of two views."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, n_bits + latent_size, generator=generator).double()
    noise = torch.randn(2, *rows.shape, generator=generator).double()
    views = rows + 0.5 * noise
    return tuple((v[:, :n_bits], v[:, n_bits:]) for v in views)


def loss_by_loops(output, *, m=2, t=0.3, tau=None, weight=1.0):
    """The loss as the equations have it, with every mean latent written out."""
    (u, z), (other_u, other_z) = ((a.numpy(), b.numpy()) for a, b in output)
    n, n_bits = u.shape
    b, other_b = np.where(u > 0, 1, -1), np.where(other_u > 0, 1, -1)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    total = 0.0
    for i in range(n):
        similarity = 1 - (b[i] != other_b).sum(axis=1) / n_bits
        cosine = []
        for value in sorted(similarity, reverse=True):
            if tau is None:
                shares = (np.abs(similarity - value) < 1e-9).astype(float)
                shares /= shares.sum()
            else:
                shares = softmax(-np.abs(value - similarity) / tau)
            mean = shares @ z
            anchor = other_z[i] / np.linalg.norm(other_z[i])
            cosine.append(anchor @ mean / np.linalg.norm(mean))
        logits = np.array(cosine) / t
        for p in range(m):
            total -= log_softmax([logits[p], *logits[m:]])[0] / (n * m)
    gaps = [(s - np.tanh(v)) ** 2 for s, v in ((b, u), (other_b, other_u))]
    return total + weight * (gaps[0].sum() + gaps[1].sum()) / (2 * n)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


def test_soft_sort_of_the_card():
    similarity = torch.tensor([[0.1, 0.9, 0.5]])
    permutation = torch.tensor([[[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]])
    torch.testing.assert_close(soft_sort(similarity, 1e-3), permutation)
    torch.testing.assert_close(soft_sort(similarity, 7.0, hard=True), permutation)
    expected = [
        [0.2120, 0.4718, 0.3162],
        [0.2864, 0.2864, 0.4272],
        [0.4718, 0.2120, 0.3162],
    ]
    np.testing.assert_allclose(soft_sort(similarity, 1.0)[0], expected, atol=5e-5)


@pytest.mark.parametrize(("temperature", "hard"), [(1e-3, False), (5.0, True)])
def test_tied_items_share_their_ranks(temperature, hard):
    order = soft_sort(torch.tensor([[0.5, 0.9, 0.5]]), temperature, hard=hard)
    expected = [[[0, 1, 0], [0.5, 0, 0.5], [0.5, 0, 0.5]]]
    torch.testing.assert_close(order, torch.tensor(expected))


def test_the_shares_of_a_rank_sum_to_one():
    similarity = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    for hard in (False, True):
        sums = soft_sort(similarity.round(decimals=1), 0.2, hard=hard).sum(dim=2)
        torch.testing.assert_close(sums, torch.ones(8, 8))


def test_hard_ranks_have_the_gradient_of_soft_ones():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(5, 5, generator=generator, requires_grad=True)
    weights = torch.rand(5, 5, 5, generator=generator)
    gradients = [
        torch.autograd.grad(
            (soft_sort(similarity, 0.3, hard=hard) * weights).sum(), similarity
        )[0]
        for hard in (False, True)
    ]
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize(("n", "m"), [(50, 2), (50, 5), (6, 1)])
def test_loss_of_equal_cosines(n, m):
    loss = sorted_nce(torch.full((n, n), 0.4), m, 0.3)
    assert loss.item() == pytest.approx(np.log(n - m + 1), abs=1e-6)
    if (n, m) == (50, 2):
        assert loss.item() == pytest.approx(3.8918203, abs=5e-7)


def test_loss_of_a_double_softmax_stays_above_its_bound():
    cosine = -torch.ones(50, 50, dtype=torch.float64)
    cosine[:, :2] = 1
    loss = sorted_nce(cosine, 2, 0.01, double_softmax=True)
    assert loss.item() == pytest.approx(2.9262864, abs=5e-8)
    assert sorted_nce(cosine, 2, 0.01).item() == pytest.approx(0, abs=1e-12)


def test_positives_are_not_each_others_negatives():
    cosine = torch.tensor([[0.9, -0.9, 0.3, 0.1]], dtype=torch.float64)
    expected = -sum(
        log_softmax(np.array([p, 0.3, 0.1]) / 0.5)[0] / 2 for p in (0.9, -0.9)
    )
    assert sorted_nce(cosine, 2, 0.5).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parameters", "by_loops"),
    [
        ({}, {}),
        ({"sort": "soft"}, {"tau": 12.0}),
        ({"sort": "soft", "sort_temperature": 0.1}, {"tau": 0.1}),
        ({"n_positives": 4, "temperature": 0.1}, {"m": 4, "t": 0.1}),
        ({"quantization_weight": 0.2}, {"weight": 0.2}),
    ],
)
def test_the_loss_is_that_of_loops(parameters, by_loops):
    expected = loss_by_loops(batch(), **by_loops)
    assert loss_of(batch(), **parameters).item() == pytest.approx(expected)


def test_the_symmetric_loss_is_the_mean_over_both_orders_of_the_views():
    both = [loss_by_loops(batch()), loss_by_loops(batch()[::-1])]
    loss = loss_of(batch(), symmetric=True).item()
    assert loss == pytest.approx(np.mean(both))
    assert loss == pytest.approx(loss_of(batch()[::-1], symmetric=True).item())


@pytest.mark.parametrize("sort", ["hard", "soft"])
def test_the_loss_does_not_depend_on_the_order_of_rows_or_bits(sort):
    output = batch(n=20, n_bits=6)  # 7 similarities: ties everywhere
    loss = loss_of(output, sort=sort).item()
    rng = np.random.default_rng(0)
    rows, bits = rng.permutation(20), rng.permutation(6)
    flips = torch.tensor([1.0, -1.0] * 3)
    moved = [tuple(part[rows] for part in view) for view in output]
    assert loss_of(moved, sort=sort).item() == pytest.approx(loss)
    turned = [(flips * u[:, bits], 3 * z) for u, z in output]
    assert loss_of(turned, sort=sort).item() == pytest.approx(loss)


def gradients(output, **parameters):
    """Gradients for codes and latents of both views, None where there is none."""
    leaves = [part.clone().requires_grad_() for view in output for part in view]
    u, z, other_u, other_z = leaves
    loss = loss_of(((u, z), (other_u, other_z)), **parameters)
    return torch.autograd.grad(loss, leaves, allow_unused=True)


def test_codes_learn_through_the_sign_alone(monkeypatch):
    u, _, other_u, _ = gradients(batch(), quantization_weight=0.0)
    assert (u.abs().sum(dim=1) > 0).all()
    assert (other_u.abs().sum(dim=1) > 0).all()
    monkeypatch.setattr(nsh, "straight_through_sign", signs)
    u, z, other_u, other_z = gradients(batch(), quantization_weight=0.0)
    assert u is other_u is None
    assert z.abs().sum() > 0
    assert other_z.abs().sum() > 0


def test_the_gradient_for_a_sign_is_handed_to_the_tanh(monkeypatch):
    output = batch()
    u, *_ = gradients(output, quantization_weight=0.0)
    leaves = [signs(v).requires_grad_() for v, _ in output]
    # Codes instead of outputs, and no tanh: what the contrast wants of the signs.
    monkeypatch.setattr(torch, "tanh", lambda x: x)
    views = [(b, z) for b, (_, z) in zip(leaves, output, strict=True)]
    loss_of(views, quantization_weight=0.0).backward()
    slope = output[0][0].cosh() ** -2
    torch.testing.assert_close(u, leaves[0].grad * slope)


def test_latents_may_be_held_constant():
    _, z, _, anchors = gradients(batch(), detach_latents=True)
    assert z is None
    assert anchors.abs().sum() > 0
    assert loss_of(batch(), detach_latents=True) == loss_of(batch())


def test_the_smooth_parts_have_the_gradients_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(5, 5, generator=generator).double().requires_grad_()
    anchors, latents = torch.randn(2, 5, 3, generator=generator).double()
    anchors = torch.nn.functional.normalize(anchors, dim=1).requires_grad_()
    latents = torch.nn.functional.normalize(latents, dim=1).requires_grad_()

    def contrast(similarity, anchors, latents):
        order = soft_sort(similarity, 0.5)
        cosine = cosine_to_sorted(anchors, order, latents)
        return sorted_nce(cosine, 2, 0.3), sorted_nce(
            cosine, 2, 0.3, double_softmax=True
        )

    assert torch.autograd.gradcheck(contrast, (similarity, anchors, latents))


def test_the_quantization_term_has_the_gradient_of_constant_signs():
    output = batch()
    plain = gradients(output, quantization_weight=0.0)
    u = gradients(output, quantization_weight=0.7)[0] - plain[0]
    h = torch.tanh(output[0][0])
    expected = 0.7 * (h - signs(h)) * (1 - h**2) / 9
    torch.testing.assert_close(u, expected)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("sort", ["hard", "soft"])
@pytest.mark.parametrize("double_softmax", [False, True])
def test_a_batch_of_few_rows_has_fewer_positives(n, sort, double_softmax):
    parameters = {"sort": sort, "double_softmax": double_softmax}
    loss = loss_of(batch(n), n_positives=8, **parameters)
    assert torch.isfinite(loss)
    assert loss == loss_of(batch(n), n_positives=n - 1, **parameters)
    assert all(torch.isfinite(g).all() for g in gradients(batch(n), **parameters))


@pytest.mark.parametrize("sort", ["hard", "soft"])
def test_outputs_of_zero_have_finite_gradients(sort):
    output = [(torch.zeros(6, 4), torch.zeros(6, 3)) for _ in range(2)]
    assert torch.isfinite(loss_of(output, sort=sort))
    assert all(torch.isfinite(g).all() for g in gradients(output, sort=sort))


def test_memory_is_the_cube_of_the_batch_whatever_the_latents():
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = [
            tuple(part.requires_grad_() for part in view)
            for view in batch(n=20, latent_size=300)
        ]
        loss_of(output)
    assert max(sizes) == 20**3


def test_latents_are_for_training_only():
    head = NSHHead(6, 4, (5,), latent_size=3)
    head.reset_parameters(torch.Generator().manual_seed(0))
    x = torch.rand(7, 6)
    output, latents = head(x)
    assert output.shape == (7, 4)
    assert latents.shape == (7, 3)
    hidden = torch.relu(x @ head.hidden[0].weight.T + head.hidden[0].bias)
    expected = hidden @ head.latent.weight.T + head.latent.bias
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(head.eval()(x), output)


def test_latent_weights_come_from_the_generator():
    weights = []
    for seed in (0, 0, 1):
        head = NSHHead(6, 4, latent_size=3)
        head.reset_parameters(torch.Generator().manual_seed(seed))
        weights.append(head.latent.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_labels_are_not_used(digits):
    X, y = digits[0][:300], digits[1][:300]
    codes = make(NSH).fit(X).transform(X)
    np.testing.assert_array_equal(make(NSH).fit(X, y).transform(X), codes)
    assert not hasattr(make(NSH).fit(X, y), "classes_")


def test_it_beats_random_projections(digits):
    X, y = digits
    hasher = NSH(32, random_state=0).fit(X[:800])
    baseline = LSH(32, random_state=0).fit(X[:800])
    assert hasher.score(X[800:], y[800:]) > baseline.score(X[800:], y[800:]) + 0.03


@pytest.mark.parametrize(
    "parameters",
    [
        {"sort": "soft"},
        {"sort_temperature": "auto"},
        {"n_positives": 4},
        {"temperature": 0.1},
        {"symmetric": True},
        {"detach_latents": True},
        {"double_softmax": True},
        {"quantization_weight": 1.0},
        {"latent_size": 16},
        {"hidden_layer_sizes": (20,)},
    ],
    ids=str,
)
def test_parameters_have_an_effect(parameters, digits):
    X = digits[0][:300]
    plain = make(NSH, lr=1e-3, max_epochs=1).fit(X).decision_function(X)
    hasher = make(NSH, lr=1e-3, max_epochs=1, **parameters).fit(X)
    assert np.abs(hasher.decision_function(X) - plain).max() > 1e-6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_positives": 0}, "'n_positives' parameter"),
        ({"temperature": 0.0}, "'temperature' parameter"),
        ({"sort": "bubble"}, "'sort' parameter"),
        ({"sort_temperature": 0}, "'sort_temperature' parameter"),
        ({"sort_temperature": "warm"}, "'sort_temperature' parameter"),
        ({"latent_size": 0}, "'latent_size' parameter"),
        ({"quantization_weight": -1}, "'quantization_weight' parameter"),
        ({"augment": None}, "'augment' parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, digits):
    hasher = NSH(**parameters)
    with pytest.raises(ValueError, match=message):
        hasher.fit(digits[0])
    assert not hasattr(hasher, "n_features_in_")
