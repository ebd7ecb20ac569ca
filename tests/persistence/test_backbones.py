"""Networks of others in front of the head come back, with the trust they need."""

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from sklhash import DPSH, DeepHasher, HashedNeighbors, HashLoss, OrthoHash
from sklhash.training.generators import global_generators_seeded
from sklhash.training.heads import HashHead
from tests.hashers.methods import DEEP_HASHERS
from tests.persistence.same import assert_same, saved
from tests.persistence.small import X as ROWS
from tests.persistence.small import small
from tests.persistence.small import y as LABELS_OF_ROWS

X, y = load_digits(return_X_y=True)
X, y = X[:60].reshape(-1, 1, 8, 8).astype(np.float32), y[:60] % 3


def seeded(make_module):
    with global_generators_seeded(0, "cpu"):
        return make_module()


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


class Attributes(nn.Module):
    """A network that keeps what networks keep."""

    def __init__(self, width=5):
        super().__init__()
        self.width = width
        self.name = "attributes"
        self.scales = [1.0, float("inf")]
        self.places = {"first": (1, 2), 3: None}
        self.kept = np.arange(4)
        self.size = torch.Size([2, 3])
        self.where = torch.device("cpu")
        self.dtype = torch.bfloat16
        self.activation = F.relu
        self.plain = torch.arange(3.0)
        self.register_buffer("sixteen", torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
        self.register_buffer("passing", torch.arange(4), persistent=False)
        self.register_buffer("missing", None)
        self.register_parameter("nothing", None)
        self.offset = nn.Parameter(torch.ones(width), requires_grad=False)
        self.linear = nn.Linear(64, width)
        self.spare = None

    def forward(self, x):
        gain = self.sixteen.float().sum()
        return gain * self.activation(self.linear(x.flatten(1)) + self.offset)


class Shared(nn.Module):
    """A network with a part and a weight that are in two places."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(64, 6, bias=False)
        self.decode = nn.Linear(6, 64, bias=False)
        self.decode.weight = nn.Parameter(self.encode.weight.detach().T.clone())
        self.again = nn.Linear(64, 6, bias=False)
        self.again.weight = self.encode.weight
        block = nn.Linear(6, 6)
        self.blocks = nn.ModuleList([block, nn.ReLU(), block])
        self.by_name = nn.ModuleDict({"one": block})
        self.weights = nn.ParameterList([torch.ones(2), block.weight])
        self.named = nn.ParameterDict({"gain": torch.ones(())})

    def forward(self, x):
        x = self.encode(x.flatten(1)) + self.again(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        return self.named["gain"] * x


class Nested(nn.Module):
    """A network of networks of networks."""

    def __init__(self):
        super().__init__()
        inner = nn.ModuleList([nn.Linear(4, 4), nn.ModuleList([nn.Tanh()])])
        self.layers = nn.ModuleList([nn.Linear(64, 4), inner, Attributes()])

    def forward(self, x):
        first, (second, (last,)), other = self.layers
        return last(second(first(x.flatten(1)))) + other(x).sum(dim=1, keepdim=True)


class OwnState(nn.Module):
    """A network that says itself what its state is, as torch lets it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.steps = [1, 2]
        self.counter = iter(range(5))

    def forward(self, x):
        return self.linear(x.flatten(1)) * sum(self.steps)

    def get_extra_state(self):
        return {"next": 7}

    def set_extra_state(self, state):
        self.counter = iter(range(state["next"]))


class Sequence(nn.Module):
    """A network that reads an image row by row."""

    def __init__(self, recurrent):
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x):
        return self.recurrent(x[:, 0])[0][:, -1]


def attention():
    return nn.Sequential(
        nn.Flatten(1, 2),
        nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, dropout=0.0),
        nn.Flatten(),
    )


def same_answers(loaded, hasher):
    assert_same(loaded, hasher)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))
    if hasattr(hasher, "partial_fit"):
        loaded.partial_fit(X, y)
        hasher.partial_fit(X, y)
    else:
        loaded.set_params(warm_start=True).fit(X, y)
        hasher.set_params(warm_start=True).fit(X, y)
    assert_same(loaded.decision_function(X), hasher.decision_function(X))


@pytest.mark.parametrize("cls", DEEP_HASHERS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("scale", [0, 0.5])
def test_layers_of_torch_need_no_trust(cls, scale, tmp_path):
    settings = {"backbone": seeded(convolutions), "backbone_lr_scale": scale}
    hasher = small(cls, **settings).fit(X, y)
    loaded = saved(hasher, tmp_path)
    assert loaded.net_.module_.frozen == (scale == 0)
    same_answers(loaded, hasher)


@pytest.mark.parametrize("kind", [Attributes, Shared, Nested, OwnState])
@pytest.mark.parametrize("scale", [0, 0.5])
def test_a_class_of_others_comes_back_with_trust(kind, scale, tmp_path):
    trusted = [kind, Attributes]
    backbone = seeded(kind)
    hasher = small(OrthoHash, backbone=backbone, backbone_lr_scale=scale).fit(X, y)
    loaded = saved(hasher, tmp_path, trusted=trusted)
    if kind is OwnState:
        for model in (loaded, hasher):
            left = [*model.net_.module_.backbone.counter]
            model.backbone.counter = model.net_.module_.backbone.counter = None
            assert left == [*range(7 if model is loaded else 5)]
    same_answers(loaded, hasher)
    with pytest.raises(ValueError, match=f"trusted=\\[{kind.__name__}\\]"):
        saved(hasher, tmp_path, trusted=[Attributes] if kind is Nested else [])


def test_what_is_shared_is_shared_again(tmp_path):
    hasher = small(OrthoHash, backbone=seeded(Shared)).fit(X, y)
    backbone = saved(hasher, tmp_path, trusted=[Shared]).net_.module_.backbone
    assert backbone.again.weight is backbone.encode.weight
    assert backbone.blocks[0] is backbone.blocks[2] is backbone.by_name["one"]
    assert backbone.weights[1] is backbone.blocks[0].weight
    assert backbone.decode.weight is not backbone.encode.weight


@pytest.mark.parametrize(
    "make_module",
    [
        lambda: Sequence(nn.GRU(8, 4, batch_first=True)),
        lambda: Sequence(nn.LSTM(8, 4, 2, batch_first=True)),
        attention,
        lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 2, 5), nn.Flatten()),
    ],
    ids=["GRU", "LSTM", "attention", "convolution"],
)
def test_layers_with_a_life_of_their_own_come_back(make_module, tmp_path):
    hasher = small(OrthoHash, backbone=seeded(make_module), backbone_lr_scale=1)
    hasher.fit(X, y)
    loaded = saved(hasher, tmp_path, trusted=[Sequence])
    before = loaded.decision_function(X)
    same_answers(loaded, hasher)
    assert (loaded.decision_function(X) != before).any()


def channels_last():
    return convolutions().to(memory_format=torch.channels_last)


def transposed():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    layers[1].weight = nn.Parameter(layers[1].weight.detach().T.contiguous().T)
    return layers


@pytest.mark.parametrize("make_module", [channels_last, transposed])
def test_the_order_in_memory_comes_back_for_the_sake_of_the_last_bits(
    make_module, tmp_path
):
    hasher = small(OrthoHash, backbone=seeded(make_module)).fit(X, y)
    loaded = saved(hasher, tmp_path)
    for model in (hasher, loaded):
        strides = [weights.stride() for weights in model.backbone.parameters()]
        assert (
            strides[0] == {channels_last: (9, 1, 3, 1), transposed: (1, 7)}[make_module]
        )
    same_answers(loaded, hasher)


def brighter(x):
    return 2 * x


def test_a_frozen_backbone_whose_features_were_not_kept_comes_back(tmp_path):
    settings = {"backbone": seeded(convolutions), "backbone_lr_scale": 0}
    hasher = small(OrthoHash, augment=brighter, **settings).fit(X, y)
    same_answers(saved(hasher, tmp_path, trusted=[brighter]), hasher)
    with config_context(working_memory=0):
        hasher = small(OrthoHash, **settings).fit(X, y)
        same_answers(saved(hasher, tmp_path), hasher)
    same_answers(saved(hasher, tmp_path), hasher)


@pytest.mark.parametrize("made_by", [convolutions, Attributes])
def test_what_makes_a_backbone_is_named(made_by, tmp_path):
    hasher = small(OrthoHash, backbone=made_by).fit(X, y)
    loaded = saved(hasher, tmp_path, trusted=[made_by])
    assert loaded.backbone is made_by
    same_answers(loaded, hasher)
    with pytest.raises(ValueError, match=f"trusted=\\[{made_by.__name__}\\]"):
        saved(hasher, tmp_path)


@pytest.mark.parametrize("rerank", [None, "cosine"])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_an_index_of_images_comes_back(rerank, mmap_mode, tmp_path):
    hasher = small(OrthoHash, backbone=seeded(convolutions))
    index = HashedNeighbors(hasher, rerank=rerank).fit(X[:40], y[:40])
    index.add(X[40:], y[40:])
    loaded = saved(index, tmp_path, mmap_mode=mmap_mode)
    assert_same(loaded, index)
    assert_same(loaded.kneighbors(X, 5), index.kneighbors(X, 5))


def test_pairs_and_a_backbone_come_back(tmp_path):
    first, second = np.triu_indices(20, 1)
    pairs = first, second, (y[first] == y[second]).astype(int)
    hasher = small(DPSH, backbone=convolutions).fit(X, pairs=pairs)
    loaded = saved(hasher, tmp_path, trusted=[convolutions])
    assert_same(loaded, hasher)
    assert_same(loaded.transform(X), hasher.transform(X))


class WideHead(HashHead):
    def __init__(self, n_features, n_bits):
        super().__init__(n_features, n_bits)
        self.wide = nn.Sequential(nn.Linear(n_features, n_features), nn.Tanh())

    def project(self, x):
        return self.hash(self.wide(self.standardize(x)))


class MeanLoss(HashLoss):
    def __init__(self, sharpness, measure):
        super().__init__()
        self.sharpness = sharpness
        self.measure = measure

    def on_fit_begin(self, targets, n_bits, generator):
        means = torch.randn(targets.n_classes, n_bits, generator=generator)
        self.register_buffer("means", means)

    def forward(self, output, y, index):
        wanted = y @ self.means
        self.means += 0.01 * y.T @ output.detach()
        return self.measure(output, self.sharpness * wanted)


class MeanHash(DeepHasher):
    sharpness: float = 2.0

    _parameter_constraints: dict = {  # noqa: RUF012
        **DeepHasher._parameter_constraints,
        "sharpness": [float],
    }

    def fit(self, X, y=None):
        super().fit(X, y)
        self.n_rows_ = len(X)
        return self

    def _make_head(self, n_features):
        return WideHead(n_features, self.n_bits)

    def _make_loss(self, targets):
        return MeanLoss(self.sharpness, F.mse_loss)


def test_a_method_of_others_needs_no_more_trust_than_its_class(tmp_path):
    hasher = small(MeanHash, sharpness=3.0).fit(ROWS, LABELS_OF_ROWS)
    loaded = saved(hasher, tmp_path, trusted=[MeanHash])
    assert loaded.n_rows_ == 60
    assert_same(loaded, hasher)
    for model in (loaded, hasher):
        model.partial_fit(ROWS, LABELS_OF_ROWS)
    assert_same(loaded.decision_function(ROWS), hasher.decision_function(ROWS))
    with pytest.raises(ValueError, match=r"MeanHash.*trusted=\[MeanHash\]"):
        saved(hasher, tmp_path, trusted=[MeanLoss, WideHead])
