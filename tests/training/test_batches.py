import numpy as np
import pytest
import torch
from scipy import sparse

from sklhash.targets import encode_targets
from sklhash.training.batches import ShuffledBatches, TrainingRows
from sklhash.training.blocks import float32_blocks, float32_rows


def rows_of(X, y=None, rows=None):
    y = np.arange(X.shape[0]) if y is None else y
    rows = np.arange(X.shape[0]) if rows is None else rows
    return TrainingRows(X, encode_targets(y).take(rows), rows)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_rows_are_dense_float32_that_can_be_written(convert, dtype):
    X = (10 * np.random.default_rng(0).random((6, 3))).astype(dtype)
    X.setflags(write=False)
    rows = float32_rows(convert(X), np.array([4, 1]))
    assert rows.dtype == np.float32
    assert rows.flags.writeable
    np.testing.assert_array_equal(rows, X[[4, 1]].astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_values_that_are_no_float32_are_refused(bad):
    with pytest.raises(ValueError, match="Input X contains"):
        float32_rows(np.array([[0.0], [bad]]), slice(None))


def test_blocks_cover_all_rows():
    X = np.arange(70.0).reshape(35, 2)
    blocks = list(float32_blocks(X, 10))
    assert [len(block) for _, block in blocks] == [10, 10, 10, 5]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), X)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_batch_has_features_labels_and_row_numbers(mapped, tmp_path):
    X = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    if mapped:
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    kept = np.array([3, 4, 9, 15])
    dataset = rows_of(X, np.arange(20) % 5, kept)
    x, (y, index) = dataset.batch(torch.tensor([2, 0]))
    np.testing.assert_array_equal(x, X[[9, 3]])
    np.testing.assert_array_equal(y.argmax(dim=1), [4, 3])
    assert index.tolist() == [2, 0]
    np.testing.assert_array_equal(np.concatenate(list(dataset.blocks())), X[kept])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_rows_that_are_not_trained_on_are_not_looked_at(convert):
    X = np.ones((6, 2))
    X[3] = np.nan
    dataset = rows_of(convert(X), np.arange(6), np.array([0, 1, 5]))
    assert dataset.batch(torch.arange(3))[0].sum() == 6
    with pytest.raises(ValueError, match="contains NaN"):
        list(rows_of(convert(X), np.arange(6), np.array([0, 3])).blocks())


def test_a_read_only_array_is_read_without_complaint():
    X = np.ones((4, 2), dtype=np.float32)
    X.setflags(write=False)
    x, _ = rows_of(X).batch(torch.arange(4))
    assert x.sum() == 8


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 6]),
        (3, 2, [3]),
        (3, 5, [3]),
        (6, 5, [6]),
    ],
)
def test_a_row_left_over_joins_the_batch_before(n_rows, batch_size, sizes):
    dataset = rows_of(np.zeros((n_rows, 1)))
    batches = list(ShuffledBatches(dataset, batch_size, torch.Generator()))
    assert [len(x) for x, _ in batches] == sizes
    index = torch.cat([index for _, (_, index) in batches])
    assert sorted(index.tolist()) == list(range(n_rows))


def test_each_epoch_has_an_order_of_its_own_from_the_generator():
    dataset = rows_of(np.zeros((50, 1)))

    def orders(seed):
        batches = ShuffledBatches(dataset, 50, torch.Generator().manual_seed(seed))
        return [next(iter(batches))[1][1].tolist() for _ in range(2)]

    assert orders(0) == orders(0)
    assert orders(0)[0] != orders(0)[1]
    assert orders(0) != orders(1)


@pytest.mark.parametrize(
    ("width", "most", "n_rows"), [(1, 4096, 4096), (1, 7, 7), (2**11, 4096, 2048)]
)
def test_a_sample_is_spread_evenly_and_bounded(width, most, n_rows):
    X = np.broadcast_to(np.arange(5000, dtype=np.float32)[:, None], (5000, width))
    sample = rows_of(X).sample(most)
    assert sample.shape == (n_rows, width)
    wanted = np.linspace(0, 4999, n_rows)
    np.testing.assert_allclose(sample[:, 0], wanted, atol=1.01)
