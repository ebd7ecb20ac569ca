"""A network in front of the head: deep hashers on images."""

import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

from sklhash import (
    DPSH,
    DeepHasher,
    HammingNeighbors,
    HashedNeighbors,
    HashLoss,
    OrthoHash,
)
from sklhash.training.augment import GaussianNoise
from sklhash.training.backbones import BackboneHead
from sklhash.training.generators import global_generators_seeded
from tests.hashers.methods import DEEP_HASHERS, make

deep_hashers = pytest.mark.parametrize(
    "cls", DEEP_HASHERS, ids=lambda cls: cls.__name__
)


@pytest.fixture(scope="module")
def digits():
    """Images of shape (1, 8, 8), with whole numbers from 0 to 16."""
    X, y = load_digits(return_X_y=True)
    return X[:300].reshape(-1, 1, 8, 8).astype(np.float32), y[:300]


def convolutions(n_channels=6):
    return nn.Sequential(
        nn.Conv2d(1, n_channels, 3),
        nn.BatchNorm2d(n_channels),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


def seeded(make_module, seed=0):
    with global_generators_seeded(seed, "cpu"):
        return make_module()


class Counting(nn.Module):
    """A linear network that knows how many rows have been through it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
        self.rows = []

    def forward(self, x):
        self.rows.append(len(x))
        return self.layers(x)


def rows_through(hasher):
    return hasher.net_.module_.backbone.rows


QUICK = {"max_epochs": 2, "batch_size": 64, "hidden_layer_sizes": ()}


@deep_hashers
@pytest.mark.parametrize("backbone", [convolutions, seeded(convolutions)])
def test_every_method_learns_from_images(cls, backbone, digits):
    X, y = digits
    hasher = make(cls, backbone=backbone, backbone_lr_scale=1, **QUICK).fit(X, y)
    values = hasher.decision_function(X)
    assert hasher.net_.module_.head.standardize.mean.shape == (6 * 3 * 3,)
    for rows in ([0], [299], range(40, 300)):
        part = hasher.decision_function(X[list(rows)])
        np.testing.assert_array_equal(part, values[list(rows)])
    np.testing.assert_array_equal(hasher.transform(X), values > 0)
    for stored in (pickle.loads(pickle.dumps(hasher)), clone(hasher).fit(X, y)):
        np.testing.assert_array_equal(stored.decision_function(X), values)


@pytest.mark.parametrize("scale", [0, 1])
def test_a_module_is_copied_and_stays_as_it_was(scale, digits):
    backbone = seeded(convolutions)
    backbone[0].bias.requires_grad_(False)
    backbone[1].eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    modes = [part.training for part in backbone.modules()]
    hasher = make(OrthoHash, backbone=backbone, backbone_lr_scale=scale).fit(*digits)
    trained = hasher.net_.module_.backbone
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, before[name])
    assert [part.training for part in backbone.modules()] == modes
    asks = [parameter.requires_grad for parameter in backbone.parameters()]
    assert asks == [True, False, True, True]
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert hasher.backbone is backbone
    assert torch.equal(trained[0].bias, backbone[0].bias)
    assert torch.equal(trained[0].weight, backbone[0].weight) == (scale == 0)


@pytest.mark.parametrize("made_by", ["function", "class", "partial"])
def test_what_makes_a_backbone_is_seeded(made_by, digits):
    backbone = {
        "function": convolutions,
        "class": Counting,
        "partial": partial(convolutions, 3),
    }[made_by]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    hashers = [
        make(OrthoHash, backbone=backbone, random_state=seed) for seed in (0, 0, 1)
    ]
    first, again, other = (hasher.fit_transform(*digits) for hasher in hashers)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_that_a_function_hands_out_stays_as_it_was(digits):
    kept = seeded(Counting)
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    hasher = make(OrthoHash, backbone=lambda: kept)
    codes = hasher.fit_transform(*digits)
    for name, value in kept.state_dict().items():
        assert torch.equal(value, before[name])
    np.testing.assert_array_equal(codes, hasher.fit_transform(*digits))


def test_a_given_module_begins_with_its_own_weights(digits):
    backbone = seeded(Counting)
    hasher = make(OrthoHash, backbone=backbone, backbone_lr_scale=0).fit(*digits)
    kept = hasher.net_.module_.backbone.state_dict()
    for name, value in backbone.state_dict().items():
        assert torch.equal(kept[name], value)


class Sum(HashLoss):
    """The mean of the sum of a row's code, weighted by bit."""

    def forward(self, output, y, index):
        return (output * torch.arange(1.0, output.shape[1] + 1)).sum(dim=1).mean()


class SumHash(DeepHasher):
    device = "cpu"
    max_epochs = 1

    def _make_loss(self, targets):
        return Sum()


@pytest.mark.parametrize("scale", [0, 0.1, 1, 3])
def test_a_step_of_the_backbone_is_scaled(scale, digits):
    X, y = digits
    backbone = seeded(Counting)
    settings = {"backbone": backbone, "optimizer": torch.optim.SGD, "random_state": 0}
    start = SumHash(4, **settings, backbone_lr_scale=0, lr=1e-30).fit(X, y)
    hasher = SumHash(4, **settings, backbone_lr_scale=scale, lr=0.05, batch_size=300)
    stepped = hasher.fit(X, y).net_.module_

    head, module = start.net_.module_.head, pickle.loads(pickle.dumps(backbone))
    weight = head.hash.weight.detach().clone().requires_grad_()
    bias = head.hash.bias.detach().clone().requires_grad_()
    features = module(torch.from_numpy(X))
    mean = features.detach().mean(dim=0)
    spread = features.detach().var(dim=0, correction=0).mean().sqrt()
    output = (features - mean) / spread @ weight.T + bias
    (output @ torch.arange(1.0, 5)).mean().backward()
    wanted = [
        (stepped.head.hash.weight, weight, 0.05),
        (stepped.head.hash.bias, bias, 0.05),
        (stepped.backbone.layers[1].weight, module.layers[1].weight, 0.05 * scale),
        (stepped.backbone.layers[1].bias, module.layers[1].bias, 0.05 * scale),
    ]
    for got, begin, lr in wanted:
        torch.testing.assert_close(
            got.detach(), (begin - lr * begin.grad).detach(), rtol=1e-5, atol=1e-6
        )


def test_the_schedule_moves_both_learning_rates(digits):
    rates = []

    class Remember(Callback):
        def on_epoch_end(self, net, **kwargs):
            groups = net.optimizer_.param_groups
            rates.append(sorted((len(g["params"]), g["lr"]) for g in groups))

    make(
        OrthoHash,
        backbone=Counting,
        backbone_lr_scale=0.1,
        lr=0.4,
        lr_schedule=lambda epoch, _: 0.5**epoch,
        callbacks=[Remember()],
    ).fit(*digits)
    # The backbone has a weight and a bias, the head of OrthoHash five parameters.
    wanted = [[(2, 0.04 * f), (5, 0.4 * f)] for f in (1.0, 0.5, 0.25)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-6)


def test_a_frozen_backbone_sees_each_row_once(digits):
    X, y = digits
    hasher = make(OrthoHash, backbone=Counting, backbone_lr_scale=0).fit(X, y)
    two_to_see_its_width = 2
    assert sum(rows_through(hasher)) == two_to_see_its_width + len(X)
    assert max(rows_through(hasher)) <= hasher.batch_size
    rows_through(hasher).clear()
    hasher.set_params(warm_start=True).fit(X, y)
    assert sum(rows_through(hasher)) == len(X)
    assert isinstance(hasher.net_.module_, BackboneHead)


def test_rows_kept_out_are_seen_once_too(digits):
    X, y = digits
    frozen = {"backbone": Counting, "backbone_lr_scale": 0}
    hasher = make(OrthoHash, **frozen, validation_fraction=0.2).fit(X, y)
    assert sum(rows_through(hasher)) == 2 + len(X)
    with config_context(working_memory=0):
        again = clone(hasher).fit(X, y)
    scores = [
        [epoch["validation_map"] for epoch in fitted.history_]
        for fitted in (hasher, again)
    ]
    np.testing.assert_allclose(*scores, atol=1e-3)


@pytest.mark.parametrize("reason", ["no room", "a function augments the images"])
def test_features_that_are_not_kept_give_the_same_codes(reason, digits):
    X, y = digits
    hasher = make(OrthoHash, backbone=Counting, backbone_lr_scale=0, augment=None)
    kept = hasher.fit(X, y).decision_function(X)
    n_bytes = 4 * len(X) * 12
    with config_context(working_memory=(n_bytes + 1) / 2**20):
        again = clone(hasher).fit(X, y)
    assert sum(rows_through(again)) == 2 + len(X)
    if reason == "no room":
        with config_context(working_memory=(n_bytes - 1) / 2**20):
            hasher = clone(hasher).fit(X, y)
    else:
        # What it returns is the batch, but that cannot be known.
        hasher = clone(hasher).set_params(augment=torch.clone).fit(X, y)
    assert sum(rows_through(hasher)) == 2 + 5 * len(X)  # scale, epochs, check of bits
    if reason == "no room":
        np.testing.assert_allclose(hasher.decision_function(X), kept, atol=1e-4)


@pytest.mark.parametrize("augment", [None, torch.clone])
def test_nothing_of_a_frozen_backbone_changes(augment, digits):
    X, y = digits
    backbone = seeded(convolutions)
    hasher = make(OrthoHash, backbone=backbone, backbone_lr_scale=0, augment=augment)
    hasher.fit(X, y)
    hasher.partial_fit(X, y)
    hasher.set_params(warm_start=True).fit(X, y)
    trained = hasher.net_.module_.backbone
    assert not any(part.training for part in trained.modules())
    for name, value in backbone.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value)


def test_a_trained_backbone_updates_its_statistics(digits):
    backbone = seeded(convolutions)
    hasher = make(OrthoHash, backbone=backbone, backbone_lr_scale=0.1).fit(*digits)
    norm = hasher.net_.module_.backbone[1]
    assert norm.num_batches_tracked == 3 * 3  # epochs of three batches, and no more
    assert not torch.equal(norm.running_mean, backbone[1].running_mean)


def test_the_scale_of_features_is_that_of_training(digits):
    """A batch normalisation that has seen no data scales in training only."""
    X, y = digits
    backbone = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Flatten())
    hasher = make(OrthoHash, backbone=backbone).fit(1000 * X, y)
    scale = hasher.net_.module_.head.standardize.scale
    assert 0.5 < scale < 1.5


def test_functions_see_images_and_noise_is_for_features(digits):
    X, y = digits
    images, features = [], []

    def look(x):
        images.append((tuple(x.shape), x.min().item(), x.max().item()))
        return x

    class Look(GaussianNoise):
        def __call__(self, x, standardize, generator):
            features.append(tuple(x.shape))
            return super().__call__(x, standardize, generator)

    for scale in (0, 1):
        settings = {"backbone": Counting, "backbone_lr_scale": scale, "max_epochs": 1}
        make(OrthoHash, **settings, augment=look).fit(X, y)
        make(OrthoHash, **settings, augment=Look()).fit(X, y)
    shapes = [(128, 1, 8, 8), (128, 1, 8, 8), (44, 1, 8, 8)]
    assert images == [(shape, 0, 16) for shape in 2 * shapes]
    assert features == 2 * [(128, 12), (128, 12), (44, 12)]


def test_what_augments_images_must_keep_their_shape(digits):
    hasher = make(OrthoHash, backbone=Counting, augment=lambda x: x[:, :, 1:])
    with pytest.raises(ValueError, match=r"\(128, 1, 8, 8\) of a batch, got"):
        hasher.fit(*digits)


class Returning(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make_features", "got"),
    [
        (lambda x: x, r"shape \(2, 1, 8, 8\)"),
        (lambda x: x.flatten(), r"shape \(128,\)"),
        (lambda x: x.flatten(1)[:1], r"shape \(1, 64\)"),
        (lambda x: (x.flatten(1), x), "tuple"),
        (lambda x: {"features": x}, "dict"),
    ],
)
def test_a_backbone_that_makes_no_vectors_is_refused(make_features, got, digits):
    hasher = make(OrthoHash, backbone=Returning(make_features))
    message = rf"into features of shape \(2, n_features\), got {got}; flatten or pool"
    with pytest.raises(ValueError, match=message):
        hasher.fit(*digits)
    assert not hasattr(hasher, "n_features_in_")


def test_a_backbone_for_other_rows_is_refused_by_name(digits):
    hasher = make(OrthoHash, backbone=nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"backbone must take rows of shape \(1, 8, 8"):
        hasher.fit(*digits)


def test_what_makes_no_module_is_refused(digits):
    hasher = make(OrthoHash, backbone=lambda: "resnet18")
    with pytest.raises(TypeError, match="a function that makes str"):
        hasher.fit(*digits)
    with pytest.raises(ValueError, match="'backbone' parameter"):
        make(OrthoHash, backbone="resnet18").fit(*digits)


def test_without_a_backbone_images_are_refused(digits):
    with pytest.raises(ValueError, match="dim 4"):
        make(OrthoHash).fit(*digits)


def test_rows_of_another_shape_are_refused(digits):
    X, y = digits
    hasher = make(OrthoHash, backbone=Counting).fit(X, y)
    for other in (X[:, 0], X.reshape(-1, 1, 4, 16), X.reshape(-1, 64)):
        with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\)|features"):
            hasher.transform(other)
        with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\)|features"):
            hasher.partial_fit(other, y)


def test_pairs_teach_a_backbone(digits):
    X, y = digits
    first, second = np.triu_indices(60, 1)
    pairs = first, second, (y[first] == y[second]).astype(int)
    hasher = make(DPSH, backbone=Counting, backbone_lr_scale=1)
    before = hasher.fit(X, pairs=pairs).net_.module_.backbone.layers[1].weight
    again = clone(hasher).fit(X, pairs=pairs)
    np.testing.assert_array_equal(again.transform(X), hasher.transform(X))
    hasher.set_params(backbone_lr_scale=0).fit(X, pairs=pairs)
    assert (hasher.net_.module_.backbone.layers[1].weight != before).any()


@pytest.mark.parametrize("kind", ["uint8", "float16", "float64", "tensor", "map"])
def test_images_come_in_any_dtype(kind, digits, tmp_path):
    X, y = digits
    expected = make(OrthoHash, backbone=Counting).fit(X, y).decision_function(X)
    if kind == "map":
        np.save(tmp_path / "X.npy", X.astype(np.uint8))
        images = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        images = torch.from_numpy(X.copy()) if kind == "tensor" else X.astype(kind)
    hasher = make(OrthoHash, backbone=Counting).fit(images, y)
    np.testing.assert_array_equal(hasher.decision_function(images), expected)


def test_rows_may_be_vectors_or_sequences(digits):
    X, y = digits
    for shape in ((64,), (8, 8)):
        rows = X.reshape(-1, *shape)
        codes = make(OrthoHash, 12, backbone=Counting).fit(rows, y).transform(rows)
        assert codes.shape == (300, 12)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_grid_search_on_images(n_jobs, digits):
    X, y = digits
    search = GridSearchCV(
        make(OrthoHash, backbone=Counting, max_epochs=1),
        {"backbone": [Counting, seeded(convolutions)]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    assert search.transform(X).shape == (300, 16)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_in_a_pipeline_stored_and_read(digits, tmp_path):
    X, y = digits
    hasher = make(OrthoHash, backbone=convolutions, packed=True)
    search = make_pipeline(hasher, HammingNeighbors(packed=True)).fit(X, y)
    joblib.dump(search, tmp_path / "search.joblib")
    stored = joblib.load(tmp_path / "search.joblib")
    assert stored.score(X[:50], y[:50]) == search.score(X[:50], y[:50])
    ranked = HashedNeighbors(hasher).fit(X, y).kneighbors(X, return_distance=False)
    found = search[-1].kneighbors(search[0].transform(X), return_distance=False)
    np.testing.assert_array_equal(ranked, found)
    frame = hasher.set_params(packed=False).set_output(transform="pandas").transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns[:2]) == ["orthohash0", "orthohash1"]


def test_streamed_chunks_train_a_backbone(digits):
    X, y = digits
    settings = {"backbone": Counting, "backbone_lr_scale": 1, "augment": None}
    hasher = make(OrthoHash, **settings)
    for rows in (slice(0, 150), slice(150, 300)):
        before = hasher.__sklearn_is_fitted__() and weights_of(hasher)
        hasher.partial_fit(X[rows], y[rows], classes=np.arange(10), n_epochs=2)
        assert (weights_of(hasher) != before).any()
    assert hasher.n_iter_ == 4


def weights_of(hasher):
    return hasher.net_.module_.backbone.layers[1].weight.detach().clone().numpy()


def test_a_warm_start_goes_on_with_the_backbone(digits):
    X, y = digits
    hasher = make(OrthoHash, backbone=Counting, backbone_lr_scale=1, warm_start=True)
    before = weights_of(hasher.fit(X, y))
    loss = hasher.loss_curve_[-1]
    hasher.fit(X, y)
    assert (weights_of(hasher) != before).any()
    assert len(hasher.history_) == 6
    assert hasher.loss_curve_[3] < hasher.loss_curve_[0]
    assert hasher.loss_curve_[-1] < loss


def test_orthohash_predicts_and_adapts_behind_a_backbone(digits):
    X, y = digits
    hasher = make(OrthoHash, backbone=convolutions, backbone_lr_scale=1, max_epochs=10)
    hasher.fit(X, y)
    assert (hasher.predict(X) == y).mean() > 0.9
    drifted = 3 * X + 5
    outputs = hasher.adapt_batch_norm(drifted).decision_function(drifted)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-3)
    norm = hasher.net_.module_.head.norm
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()


def test_learning_the_backbone_helps(digits):
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8)
    settings = {"backbone": partial(convolutions, 4), "max_epochs": 8}
    scores = [
        make(OrthoHash, **settings, hidden_layer_sizes=(), backbone_lr_scale=scale)
        .fit(X[:600], y[:600])
        .score(X[600:], y[600:])
        for scale in (0, 1)
    ]
    assert scores[1] > scores[0] + 0.05
