import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sklhash import DeepHasher, HashLoss
from sklhash.training.augment import (
    AUGMENTATIONS,
    CustomAugmentation,
    FeatureAugmentation,
    FeatureDropout,
    FeatureMixup,
    GaussianNoise,
    make_augmentation,
)
from sklhash.training.heads import Standardize
from tests.ids import plain

EVERY = [
    *AUGMENTATIONS.values(),
    CustomAugmentation(lambda x: x + torch.randn_like(x)),
    CustomAugmentation(torch.nn.Dropout(0.5)),
]

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def rows():
    """Rows with features of standard deviations 1, 2, 3 and 4 about 10."""
    generator = torch.Generator().manual_seed(1)
    return 10 + torch.randn(20_000, 4, generator=generator) * torch.arange(1.0, 5)


@pytest.fixture
def standardize(rows):
    standardize = Standardize(4)
    standardize.learn([rows.numpy()])
    return standardize


def view_of(augmentation, rows, standardize, seed=0):
    generator = torch.Generator(rows.device).manual_seed(seed)
    return augmentation(rows, standardize, generator)


def test_gaussian_noise_is_as_large_in_every_feature(rows, standardize):
    noise = view_of(GaussianNoise(0.5), rows, standardize) - rows
    spread = 0.5 * np.sqrt((1 + 4 + 9 + 16) / 4)
    np.testing.assert_allclose(noise.std(dim=0), spread, rtol=0.03)
    np.testing.assert_allclose(noise.mean(dim=0), 0, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(noise.T), np.eye(4), atol=0.03)
    assert abs(np.corrcoef(noise[:, 3], rows[:, 3])[0, 1]) < 0.03


def test_dropout_replaces_a_share_of_the_features_by_their_mean(rows, standardize):
    view = view_of(FeatureDropout(0.3), rows, standardize)
    replaced = view != rows
    np.testing.assert_allclose(replaced.float().mean(dim=0), 0.3, atol=0.015)
    means = standardize.mean.expand_as(view)
    assert torch.equal(view[replaced], means[replaced])
    np.testing.assert_allclose(np.corrcoef(replaced.T), np.eye(4), atol=0.03)
    assert torch.equal(view_of(FeatureDropout(1), rows, standardize), means)


def test_mixup_goes_part_of_the_way_to_another_row(rows, standardize):
    view = view_of(FeatureMixup(0.4), rows, standardize)
    generator = torch.Generator().manual_seed(0)
    steps = view - rows
    ways = rows[torch.randperm(len(rows), generator=generator)] - rows
    shares = (steps * ways).sum(dim=1) / (ways * ways).sum(dim=1).clamp(min=1e-9)
    torch.testing.assert_close(steps, shares[:, None] * ways, atol=1e-4, rtol=1e-4)
    assert 0 <= shares.min() < 0.001
    assert 0.399 < shares.max() < 0.4001
    assert shares.mean().item() == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(
    "augmentation", [GaussianNoise(0), FeatureDropout(0), FeatureMixup(0)], ids=plain
)
def test_strength_zero_changes_nothing(augmentation, rows, standardize):
    assert torch.equal(view_of(augmentation, rows, standardize), rows)


@pytest.mark.parametrize("augmentation", EVERY, ids=plain)
def test_views_come_from_the_generator_alone(augmentation, rows, standardize):
    rows = rows[:100]
    before, original = torch.get_rng_state(), rows.clone()
    generator = torch.Generator().manual_seed(0)
    first, second = (augmentation(rows, standardize, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(view_of(augmentation, rows, standardize), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(rows, original)


@needs_a_gpu
@pytest.mark.parametrize("augmentation", EVERY, ids=plain)
def test_views_on_a_gpu_come_from_the_generator_alone(augmentation, rows, standardize):
    rows, standardize = rows[:100].cuda(), standardize.cuda()
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = view_of(augmentation, rows, standardize)
    assert first.device == rows.device
    assert torch.equal(view_of(augmentation, rows, standardize), first)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


@needs_a_gpu
@pytest.mark.parametrize("augmentation", EVERY, ids=plain)
def test_views_on_a_gpu_do_not_wait_for_it(augmentation, rows, standardize):
    rows, standardize = rows[:100].cuda(), standardize.cuda()
    generator = torch.Generator(rows.device).manual_seed(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        first, second = (augmentation(rows, standardize, generator) for _ in range(2))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (first != second).any()


class NoCopies(TorchDispatchMode):
    """Refuses to move tensors between devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values()], ids=plain)
def test_draws_are_made_where_the_batch_is(augmentation, standardize):
    # Tensors on "meta" have no data, and take a generator of the CPU.
    batch, standardize = torch.empty(100, 4, device="meta"), standardize.to("meta")
    with NoCopies():
        view = augmentation(batch, standardize, torch.Generator())
    assert view.device == batch.device
    assert view.shape == batch.shape


def test_global_generators_are_restored_after_an_error(rows, standardize):
    def fail(x):
        torch.rand(3)
        raise RuntimeError("no")

    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no"):
        view_of(CustomAugmentation(fail), rows, standardize)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("augmentation", [*AUGMENTATIONS.values()], ids=plain)
def test_constant_features_and_two_rows_stay_finite(augmentation):
    standardize = Standardize(3)
    standardize.learn([np.full((2, 3), 5.0)])
    view = view_of(augmentation, torch.full((2, 3), 5.0), standardize)
    assert torch.isfinite(view).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(GaussianNoise, -1), "std must be finite, at least 0, got -1"),
        (partial(GaussianNoise, float("nan")), "std must be .* got nan"),
        (partial(FeatureDropout, 1.5), "rate must be from 0 to 1, got 1.5"),
        (partial(FeatureMixup, share=2), "share must be from 0 to 1, got 2"),
    ],
)
def test_strengths_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_stand_for_default_strengths(rows, standardize):
    def view(augment):
        generator = torch.Generator().manual_seed(0)
        return make_augmentation(augment)(rows, standardize, generator)

    for name, augmentation in AUGMENTATIONS.items():
        assert type(augmentation)() == augmentation
        assert torch.equal(view(name), view(augmentation))
    assert torch.equal(view(torch.neg), -rows)
    assert make_augmentation(None) is None


class ViewLoss(HashLoss):
    n_views = 2

    def forward(self, output, y, index):
        first, second = output
        self.views_differ = bool((first != second).any())
        return 1 - F.cosine_similarity(first, second).mean()

    def log(self):
        return {"views_differ": self.views_differ}


class ViewHash(DeepHasher):
    max_epochs = 2
    device = "cpu"

    def _make_loss(self, targets):
        return ViewLoss()


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 6)), rng.integers(3, size=60)


def jitter(x):
    return x + torch.randn_like(x)


def jitter_in_place(x):
    return x.add_(torch.randn_like(x))


@pytest.mark.parametrize("augment", [*AUGMENTATIONS, jitter, GaussianNoise(0.1)])
def test_the_views_of_a_batch_differ(augment, labelled):
    hasher = ViewHash(8, augment=augment, random_state=0).fit(*labelled)
    assert all(epoch["views_differ"] for epoch in hasher.history_)


def test_without_augmentation_views_are_equal(labelled):
    hasher = ViewHash(8, random_state=0).fit(*labelled)
    assert not any(epoch["views_differ"] for epoch in hasher.history_)


@pytest.mark.parametrize("augment", [*AUGMENTATIONS, jitter])
def test_fits_with_augmentation_are_reproducible(augment, labelled):
    torch_before = torch.get_rng_state()
    hasher = ViewHash(8, augment=augment, random_state=0)
    values = hasher.fit(*labelled).decision_function(labelled[0])
    torch.manual_seed(5)
    again = clone(hasher).fit(*labelled).decision_function(labelled[0])
    np.testing.assert_array_equal(values, again)
    stored = pickle.loads(pickle.dumps(hasher))
    np.testing.assert_array_equal(
        stored.partial_fit(*labelled).decision_function(labelled[0]),
        hasher.partial_fit(*labelled).decision_function(labelled[0]),
    )
    torch.manual_seed(5)
    seeded = torch.get_rng_state()
    hasher.fit(*labelled)
    assert torch.equal(torch.get_rng_state(), seeded)
    torch.set_rng_state(torch_before)


def test_a_function_may_change_its_batch(labelled):
    values = [
        ViewHash(8, augment=augment, random_state=0)
        .fit(*labelled)
        .decision_function(labelled[0])
        for augment in (jitter, jitter_in_place)
    ]
    np.testing.assert_array_equal(*values)


def test_codes_are_made_without_augmentation(labelled):
    X, y = labelled
    calls = []

    def count(x):
        calls.append(len(x))
        return x

    hasher = ViewHash(8, augment=count, batch_size=30).fit(X, y)
    assert calls == [30] * 8
    hasher.transform(X)
    assert len(calls) == 8


@pytest.mark.parametrize(
    ("augment", "error", "message"),
    [
        (lambda x: x[:, :3], ValueError, r"shape \(60, 6\) of a batch, got \(60, 3\)"),
        (lambda x: x[0], ValueError, r"shape \(60, 6\) of a batch, got \(6,\)"),
        (lambda x: x.numpy(), TypeError, "must return a tensor, got ndarray"),
        (lambda x: None, TypeError, "must return a tensor, got NoneType"),
    ],
)
def test_views_of_another_make_are_refused(augment, error, message, labelled):
    hasher = ViewHash(8, augment=augment)
    with pytest.raises(error, match=message):
        hasher.fit(*labelled)
    assert not hasattr(hasher, "n_features_in_")


def test_an_augmentation_of_ones_own(labelled):
    class Scale(FeatureAugmentation):
        def __call__(self, x, standardize, generator):
            factors = 1 + torch.rand((len(x), 1), generator=generator, device=x.device)
            return standardize.mean + factors * (x - standardize.mean)

    hasher = ViewHash(8, augment=Scale(), random_state=0).fit(*labelled)
    assert hasher.history_[0]["views_differ"]


def test_unknown_names_are_refused(labelled):
    hasher = ViewHash(8, augment="crop")
    with pytest.raises(ValueError, match="'augment' parameter"):
        hasher.fit(*labelled)
