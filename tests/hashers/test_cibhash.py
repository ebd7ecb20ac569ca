import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.distributions import Bernoulli, kl_divergence

from sklhash import LSH, CIBHash
from sklhash.hashers.cibhash import CIBHashLoss, bernoulli_kl, nt_xent
from tests.hashers.methods import make


def loss_of(views, **parameters):
    first, second = views
    return CIBHashLoss(**parameters)((first, second), None, torch.arange(len(first)))


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 7, 12, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200]


def contrast_by_loops(first, second, temperature):
    codes = np.concatenate([first, second])
    n = len(first)
    total = 0.0
    for v in range(2 * n):
        cosine = [
            codes[v] @ w / np.linalg.norm(codes[v]) / np.linalg.norm(w) for w in codes
        ]
        terms = np.exp(np.array(cosine) / temperature)
        total -= np.log(terms[(v + n) % (2 * n)] / (terms.sum() - terms[v]))
    return total / (2 * n)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_the_contrast_is_that_of_loops(views, temperature):
    expected = contrast_by_loops(*views.numpy(), temperature)
    assert nt_xent(*views, temperature).item() == pytest.approx(expected)
    signs = np.where(views.numpy() > 0, 1, -1)
    loss = loss_of(views, temperature=temperature, kl_weight=0.0)
    assert loss.item() == pytest.approx(contrast_by_loops(*signs, temperature))


def test_contrasts_worked_out_by_hand():
    equal = torch.ones(2, 5, 8)
    assert loss_of(equal, kl_weight=0.0).item() == pytest.approx(np.log(9))
    rows = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1]])
    loss = loss_of((rows, rows), temperature=0.5, kl_weight=0.0)
    assert loss.item() == pytest.approx(np.log(1 + 2 * np.exp(-2)))
    loss = loss_of((rows, -rows), temperature=0.5, kl_weight=0.0)
    assert loss.item() == pytest.approx(np.log(1 + 2 * np.exp(2)))


def test_the_divergence_is_that_of_torch_distributions(views):
    first, second = 3 * views
    p, q = Bernoulli(logits=first), Bernoulli(logits=second)
    divergence = kl_divergence(p, q).sum(dim=1)
    torch.testing.assert_close(bernoulli_kl(first, second), divergence)
    both = (divergence + kl_divergence(q, p).sum(dim=1)).mean() / 2
    gap = loss_of(3 * views, kl_weight=0.5) - loss_of(3 * views, kl_weight=0.0)
    assert gap.item() == pytest.approx(0.5 * both.item())


def test_certain_bits_diverge_by_a_finite_amount():
    far = torch.full((1, 3), 200.0)
    assert bernoulli_kl(far, -far).tolist() == [600.0]
    assert bernoulli_kl(far, far).tolist() == [0.0]


def test_the_loss_does_not_depend_on_the_order_of_rows_bits_or_views(views):
    loss = loss_of(views, kl_weight=0.5)
    rng = np.random.default_rng(0)
    for changed in (
        views[:, rng.permutation(7)],
        views[:, :, rng.permutation(12)],
        views.flip(0),
        views * torch.tensor([1.0, -1] * 6),
    ):
        assert loss_of(changed, kl_weight=0.5).item() == pytest.approx(loss.item())


def test_the_gradient_for_a_sign_is_handed_to_the_probability(views):
    views = views.clone().requires_grad_()
    loss_of(views, kl_weight=0.0).backward()
    signs = torch.where(views > 0, 1.0, -1.0).double().requires_grad_()
    nt_xent(*signs, 0.3).backward()
    p = torch.sigmoid(views.detach())
    torch.testing.assert_close(views.grad, signs.grad * p * (1 - p))
    assert views.grad.abs().sum() > 0


def test_the_smooth_parts_have_the_gradients_of_finite_differences(views):
    views = views.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: nt_xent(*v, 0.3), (views,))
    assert torch.autograd.gradcheck(lambda v: bernoulli_kl(*v), (views,))


def test_the_other_view_is_held_constant_in_the_divergence(views):
    views = views.clone().requires_grad_()
    loss = loss_of(views, kl_weight=1.0) - loss_of(views, kl_weight=0.0)
    loss.backward()
    u = views.detach()
    p = torch.sigmoid(u)
    # d KL(p || q) / d logit(p) = p (1 - p) (logit(p) - logit(q)), q constant
    expected = p * (1 - p) * (u - u.flip(0)) / (2 * 7)
    torch.testing.assert_close(views.grad, expected)


def test_two_rows_and_outputs_of_zero_have_finite_gradients():
    views = torch.zeros(2, 2, 4, requires_grad=True)
    loss = loss_of(views)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(3))
    assert torch.isfinite(views.grad).all()


def test_labels_are_not_used(digits):
    X, y = digits
    codes = make(CIBHash).fit(X).transform(X)
    np.testing.assert_array_equal(make(CIBHash).fit(X, y).transform(X), codes)
    assert not hasattr(make(CIBHash).fit(X, y), "classes_")


def test_it_beats_random_projections(digits):
    X, y = digits
    hasher = CIBHash(32, random_state=0).fit(X[:800])
    baseline = LSH(32, random_state=0).fit(X[:800])
    assert hasher.score(X[800:], y[800:]) > baseline.score(X[800:], y[800:]) + 0.1


def test_bits_are_balanced(digits):
    X, _ = digits
    shares = CIBHash(32, random_state=0).fit(X).transform(X).mean(axis=0)
    assert 0.2 < shares.min() < shares.max() < 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": 0}, "'temperature' parameter"),
        ({"kl_weight": -1}, "'kl_weight' parameter"),
        ({"augment": None}, "'augment' parameter"),
        ({"augment": "crop"}, "'augment' parameter"),
    ],
)
def test_bad_parameters_are_refused(parameters, message, digits):
    hasher = CIBHash(**parameters)
    with pytest.raises(ValueError, match=message):
        hasher.fit(digits[0])
    assert not hasattr(hasher, "n_features_in_")
