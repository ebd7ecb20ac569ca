"""Torch datasets in the place of X."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from sklhash import DPSH, NSH, HashNet, OrthoHash
from sklhash.targets import encode_targets
from sklhash.training.datasets import DatasetArray, StreamArray, StreamedRows
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, HASHERS, make

SHALLOW = [cls for cls in HASHERS if cls not in DEEP_HASHERS]
PER_ROW = [cls for cls in DEEP_HASHERS if cls not in DEEP_STREAMING]


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:200].astype(np.float32), y[:200]


class Items(Dataset):
    """Items out of a list."""

    def __init__(self, items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Stream(IterableDataset):
    """Items, one after the other."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def pairs_of(X, y):
    return list(zip(X, y, strict=True))


@each_of(DEEP_HASHERS)
def test_a_dataset_gives_the_codes_of_its_arrays(cls, digits):
    X, y = digits
    expected = make(cls).fit(X, y)
    hasher = make(cls).fit(Items(pairs_of(X, y)))
    values = hasher.decision_function(Items(X))
    np.testing.assert_array_equal(values, expected.decision_function(X))
    np.testing.assert_array_equal(hasher.transform(Items(pairs_of(X, y))), values > 0)
    assert hasher.loss_curve_ == expected.loss_curve_
    if hasattr(expected, "classes_"):
        np.testing.assert_array_equal(hasher.classes_, expected.classes_)


def as_tensors(X, y):
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))


def as_subset(X, y):
    others = np.zeros_like(X), y
    everything = (np.concatenate(parts) for parts in ((others[0], X), (y, y)))
    return Subset(Items(pairs_of(*everything)), range(len(X), 2 * len(X)))


@pytest.mark.parametrize(
    "convert",
    [
        as_tensors,
        as_subset,
        lambda X, y: Items(
            [[x.astype(np.float64), label] for x, label in pairs_of(X, y)]
        ),
        lambda X, y: Items(pairs_of(X.astype(np.uint8), y.tolist())),
        lambda X, y: Items(pairs_of(X.tolist(), y)),
        lambda X, y: Items(pairs_of(torch.from_numpy(X).bfloat16(), y)),
        lambda X, y: Items(pairs_of(torch.from_numpy(X).requires_grad_(), y)),
        lambda X, y: Items(pairs_of(X, torch.from_numpy(y))),
    ],
    ids=["tensors", "subset", "lists", "ints", "floats", "bf16", "grad", "0-d tensors"],
)
def test_datasets_of_every_make_teach_the_same(convert, digits):
    X, y = digits
    dataset = convert(X, y)
    hasher = make(OrthoHash).fit(dataset)
    expected = make(OrthoHash).fit(X, y)
    np.testing.assert_array_equal(hasher.transform(dataset), expected.transform(X))
    np.testing.assert_array_equal(hasher.classes_, np.arange(10))


@pytest.mark.parametrize("kind", [Items, Stream])
def test_labels_may_be_strings(kind, digits):
    X, y = digits
    names = [f"digit {label}" for label in y]
    hasher = make(OrthoHash).fit(kind(pairs_of(X, names)))
    expected = make(OrthoHash).fit(X, y)
    assert hasher.classes_.tolist() == sorted(set(names))
    if kind is Items:
        np.testing.assert_array_equal(hasher.transform(X), expected.transform(X))


@pytest.mark.parametrize("kind", [Items, Stream])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_labels_may_be_several(kind, as_tensor, digits):
    X, y = digits
    labels = np.stack([y % 2 == 0, y % 3 == 0, y > 4, y < 7], axis=1).astype(int)
    items = torch.from_numpy(labels) if as_tensor else labels
    hasher = make(OrthoHash).fit(kind(pairs_of(X, items)))
    expected = make(OrthoHash).fit(X, labels)
    np.testing.assert_array_equal(hasher.classes_, expected.classes_)
    if kind is Items:
        np.testing.assert_array_equal(hasher.transform(X), expected.transform(X))


def test_labels_may_come_beside_a_dataset(digits):
    X, y = digits
    hasher = make(OrthoHash).fit(Items(X), y)
    np.testing.assert_array_equal(hasher.classes_, np.arange(10))
    expected = make(OrthoHash).fit(X, y).transform(X)
    np.testing.assert_array_equal(hasher.transform(X), expected)


def test_a_stream_which_may_shuffle_brings_its_own_labels(digits):
    with pytest.raises(ValueError, match="y must be None where X is an iterable"):
        make(OrthoHash).fit(Stream(digits[0]), digits[1])


@pytest.mark.parametrize("cls", [OrthoHash, HashNet, NSH])
def test_a_loader_is_refused_with_what_to_pass(cls, digits):
    X, y = digits
    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)))
    hasher = make(cls)
    with pytest.raises(TypeError, match="got a DataLoader: pass its dataset"):
        hasher.fit(loader)
    hasher.fit(X, y)
    with pytest.raises(TypeError, match="got a DataLoader"):
        hasher.transform(loader)


def test_features_alone_may_come_as_tuples_of_one(digits):
    X, y = digits
    dataset = TensorDataset(torch.from_numpy(X))
    hasher = make(OrthoHash, validation_fraction=0.2)
    codes = hasher.fit(dataset, y).transform(dataset)
    np.testing.assert_array_equal(codes, clone(hasher).fit(X, y).transform(X))


@pytest.mark.parametrize("kind", [Items, Stream])
def test_methods_without_labels_take_features_alone(kind, digits):
    X, y = digits
    hasher = make(NSH, batch_size=32)
    codes = hasher.fit(kind(X)).transform(X)
    again = clone(hasher).fit(kind(pairs_of(X, y))).transform(X)
    np.testing.assert_array_equal(codes, again)
    if kind is Items:
        np.testing.assert_array_equal(codes, clone(hasher).fit(X).transform(X))


def test_pairs_of_items_may_be_known(digits):
    X, y = digits
    first, second = np.triu_indices(50, 1)
    pairs = first, second, (y[first] == y[second]).astype(int)
    codes = make(DPSH).fit(Items(X), pairs=pairs).transform(X)
    np.testing.assert_array_equal(codes, make(DPSH).fit(X, pairs=pairs).transform(X))
    with pytest.raises(ValueError, match="items of an iterable dataset have none"):
        make(DPSH).fit(Stream(X), pairs=pairs)


@each_of(DEEP_STREAMING)
def test_an_iterable_dataset_is_trained_on_in_its_order(cls, digits):
    X, y = digits
    stream = Stream(pairs_of(X, y))
    hasher = make(cls, batch_size=64).fit(stream)
    values = hasher.decision_function(stream)
    np.testing.assert_array_equal(values, hasher.decision_function(X))
    np.testing.assert_array_equal(hasher.transform(stream), values > 0)
    np.testing.assert_array_equal(
        clone(hasher).fit(stream).decision_function(X), values
    )
    assert hasher.partial_fit(stream, n_epochs=1).n_iter_ == 4


@pytest.mark.parametrize(
    ("n_items", "unlabelled", "sizes"),
    [
        (10, [], [4, 4, 2]),
        (9, [], [4, 5]),
        (9, [1, 2, 3, 6], [5]),
        (8, [0, 1, 2, 3], [4]),
        (12, [0, 1, 2, 4, 5, 6, 7], [5]),
    ],
)
def test_batches_of_a_stream_are_its_labelled_items_in_order(
    n_items, unlabelled, sizes
):
    y = np.zeros((n_items, 2), dtype=int)
    y[np.arange(n_items), np.arange(n_items) % 2] = 1
    y[unlabelled] = 0
    X = np.arange(3.0 * n_items).reshape(n_items, 3)
    array = StreamArray(Stream(pairs_of(X, y)))
    targets = encode_targets(array.labels())
    rows = np.flatnonzero(targets.labelled)
    streamed = StreamedRows(array, targets.take(rows), rows)
    batches = list(streamed.epoch(4, torch.Generator()))
    got = np.concatenate([x for x, _ in batches])
    np.testing.assert_array_equal(got, X[rows])
    labels = np.concatenate([labels for _, (labels, _) in batches])
    np.testing.assert_array_equal(labels, y[rows])
    index = np.concatenate([index for _, (_, index) in batches])
    np.testing.assert_array_equal(index, np.arange(len(rows)))
    assert [len(x) for x, _ in batches] == sizes


def test_items_without_a_label_are_left_out(digits):
    X, y = digits
    labels = np.eye(10, dtype=int)[y]
    labels[::5] = 0
    for kind in (Items, Stream):
        with pytest.warns(UserWarning, match="40 of 200 rows have no label"):
            make(OrthoHash).fit(kind(pairs_of(X, labels)))


@pytest.mark.parametrize("kind", [Items, Stream])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda items: [], "has no items"),
        (lambda items: [*items, (np.zeros(63), 0)], r"one shape, got \(63,\) beside"),
        (lambda items: [(*item, 0) for item in items], r"x or \(x, y\), got 3 of them"),
        (lambda items: [x for x, _ in items], "requires y"),
        (lambda items: [(x, 0) for x, _ in items], "at least 2 classes"),
        (lambda items: [(x * np.nan, y) for x, y in items], "contains NaN"),
        (lambda items: [(x.reshape(8, 8), y) for x, y in items], "a backbone takes"),
        (lambda items: [*items, items[0][0]], "1 of 201 items of the dataset have no"),
        (lambda items: [(x, None) for x, _ in items], "requires y"),
        (
            lambda items: [(x, [0] * y) for x, y in items],
            "labels .* must have one shape",
        ),
        (lambda items: [{"x": x, "y": y} for x, y in items], "got a dict"),
        (lambda items: [(x[0], y) for x, y in items], "got a float32"),
    ],
    ids=[
        "empty",
        "ragged",
        "three",
        "no labels",
        "one class",
        "NaN",
        "images",
        "some labels",
        "labels of None",
        "ragged labels",
        "dicts",
        "numbers",
    ],
)
def test_datasets_that_will_not_do_are_refused(kind, spoil, message, digits):
    dataset = kind(spoil(pairs_of(*digits)))
    hasher = make(OrthoHash)
    with pytest.raises(ValueError, match=message):
        hasher.fit(dataset)
    assert not hasattr(hasher, "n_features_in_")


@pytest.mark.parametrize("kind", [Items, Stream])
def test_labels_in_two_places_are_refused(kind, digits):
    dataset = kind(pairs_of(*digits))
    with pytest.raises(ValueError, match="y must be None where X is a dataset"):
        make(OrthoHash).fit(dataset, digits[1])


@each_of(PER_ROW)
def test_methods_that_keep_something_for_each_row_need_numbers(cls, digits):
    message = f"{cls.__name__} keeps something for each row, and the items of an iter"
    with pytest.raises(ValueError, match=message):
        make(cls).fit(Stream(pairs_of(*digits)))


def test_rows_of_a_stream_are_not_kept_out(digits):
    hasher = make(OrthoHash, validation_fraction=0.2)
    with pytest.raises(ValueError, match="validation_fraction=0.2 keeps rows apart"):
        hasher.fit(Stream(pairs_of(*digits)))
    scores = hasher.fit(Items(pairs_of(*digits))).history_
    expected = hasher.fit(*digits).history_
    assert [epoch["validation_map"] for epoch in scores] == [
        epoch["validation_map"] for epoch in expected
    ]


@pytest.mark.parametrize("later", [0, 150, 250])
def test_a_stream_that_does_not_begin_anew_is_refused(later, digits):
    class Once(IterableDataset):
        n_items = iter([200, later])

        def __iter__(self):
            items = 2 * pairs_of(*digits)
            return iter(items[: next(self.n_items)])

    message = f"200 items at first and {'more' if later == 250 else later} later"
    hasher = make(OrthoHash).fit(*digits)
    with pytest.raises(ValueError, match=message):
        hasher.transform(Once())
    Once.n_items = iter([200, later])
    with pytest.raises(ValueError, match=message):
        make(OrthoHash).fit(Once())


@pytest.mark.parametrize("kind", [Items, Stream])
def test_items_to_encode_are_checked(kind, digits):
    X, y = digits
    hasher = make(OrthoHash).fit(X, y)
    with pytest.raises(ValueError, match="63 features, but OrthoHash is expecting 64"):
        hasher.transform(kind(X[:, 1:]))
    with pytest.raises(ValueError, match="contains NaN"):
        hasher.transform(kind(X * np.nan))


def test_images_of_a_dataset_go_through_a_backbone(digits):
    X, y = digits
    images = X.reshape(-1, 1, 8, 8)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    expected = make(OrthoHash, backbone=backbone).fit(images, y)
    hasher = make(OrthoHash, backbone=backbone).fit(Items(pairs_of(images, y)))
    np.testing.assert_array_equal(hasher.transform(images), expected.transform(images))
    streamed = make(OrthoHash, backbone=backbone).fit(Stream(pairs_of(images, y)))
    np.testing.assert_array_equal(
        streamed.transform(Stream(images)), streamed.transform(images)
    )
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\), as in the fit"):
        hasher.transform(Items(images.reshape(-1, 1, 4, 16)))


class Made(Dataset):
    """Items that are made when they are asked for."""

    n_items, n_features = 6000, 3000

    def __len__(self):
        return self.n_items

    def __getitem__(self, index):
        x = np.full(self.n_features, index % 5, dtype=np.float32)
        x[index % 7] = 1
        return x, index % 5


class MadeStream(Made, IterableDataset):
    def __iter__(self):
        return (self[index] for index in range(self.n_items))


@pytest.mark.parametrize("kind", [Made, MadeStream])
def test_items_are_not_all_in_memory_at_once(kind):
    hasher = make(OrthoHash, max_epochs=1, hidden_layer_sizes=(), packed=True)
    dataset = kind()
    hasher.fit(Subset(Made(), range(100)))
    tracemalloc.start()
    hasher.fit(dataset).transform(dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * Made.n_items * Made.n_features / 2


def test_an_array_of_a_dataset_reads_the_rows_that_are_asked_for():
    read = []

    class Read(Made):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    array = DatasetArray(Read())
    assert array.shape == (6000, 3000)
    assert read == [0]
    rows = array[np.array([5, 3])]
    assert read == [0, 5, 3]
    np.testing.assert_array_equal(rows, [Made()[5][0], Made()[3][0]])
    assert array[2:2].shape == (0, 3000)


@each_of(SHALLOW)
def test_a_shallow_hasher_says_that_it_takes_no_dataset(cls, digits):
    X, y = digits
    hasher = make(cls)
    with pytest.raises(TypeError, match=r"TensorDataset.*only deep hashers"):
        hasher.fit(TensorDataset(torch.from_numpy(X)), y)
    assert not hasattr(hasher, "n_bits_")
