import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import config_context

from sklhash.neighbors import on_device
from sklhash.neighbors.on_device import DeviceCodes, check_device

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
devices = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=needs_a_gpu)]
)


def random_words(n_codes, n_words, n_distinct=10**9, seed=0):
    rng = np.random.default_rng(seed)
    shape = (min(n_distinct, n_codes), n_words)
    distinct = rng.integers(2**64, size=shape, dtype=np.uint64)
    return distinct[rng.integers(len(distinct), size=n_codes)]


def one_bit_away(words):
    away = words.copy()
    away[:, 0] ^= np.uint64(1)
    return away


def no_own(queries):
    return np.full(len(queries), -1)


def naive_rankings(queries, database, own, allowed=None):
    """Distances and positions of all that a query may find, in order."""
    distances = np.bitwise_count(queries[:, None] ^ database).sum(axis=2, dtype=int)
    rows = np.arange(len(database))
    rankings = []
    for row, left_out in zip(distances, own, strict=True):
        found = rows[(rows != left_out) & (True if allowed is None else allowed)]
        found = found[np.argsort(row[found], kind="stable")]
        rankings.append((row[found], found))
    return rankings


def assert_finds_what_a_naive_loop_finds(codes, queries, database, own, k, allowed):
    distances, positions = codes.nearest(queries, own, k, allowed)
    assert distances.dtype == np.int32
    assert positions.dtype == np.int64
    assert distances.shape == positions.shape == (len(queries), k)
    rankings = naive_rankings(queries, database, own, allowed)
    for q, (expected, rows) in enumerate(rankings):
        np.testing.assert_array_equal(distances[q], expected[:k])
        np.testing.assert_array_equal(positions[q], rows[:k])


def assert_finds_all_within(codes, queries, database, own, radius, allowed):
    starts, distances, positions = codes.within(queries, own, radius, allowed)
    assert starts.dtype == positions.dtype == np.int64
    assert distances.dtype == np.int32
    counts = codes.count(queries, own, radius, allowed)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(np.diff(starts, prepend=0)[1:], counts)
    rankings = naive_rankings(queries, database, own, allowed)
    assert starts[-1] == len(distances) == len(positions)
    for (expected, rows), start, stop in zip(
        rankings, starts[:-1], starts[1:], strict=True
    ):
        n = np.searchsorted(expected, radius, side="right")
        np.testing.assert_array_equal(distances[start:stop], expected[:n])
        np.testing.assert_array_equal(positions[start:stop], rows[:n])


@st.composite
def tied_searches(draw):
    """Few bits and many rows, so that nearly everything is tied."""
    few = st.integers(0, 7).map(np.uint64)
    shape = (draw(st.integers(2, 25)), draw(st.integers(1, 3)))
    database = draw(hnp.arrays(np.uint64, shape, elements=few))
    own_rows = st.integers(-1, len(database) - 1)
    own = draw(hnp.arrays(np.int64, st.integers(1, 6), elements=own_rows))
    strangers = draw(hnp.arrays(np.uint64, (len(own), shape[1]), elements=few))
    queries = np.where((own < 0)[:, None], strangers, database[own])
    allowed = draw(st.none() | hnp.arrays(np.bool_, len(database)))
    return queries, database, own, allowed


working_memory = st.sampled_from([0, 0.002, 0.01, 1024])


@settings(deadline=None)
@given(search=tied_searches(), memory=working_memory, data=st.data())
def test_the_nearest_are_in_order_of_distance_and_position(search, memory, data):
    queries, database, own, allowed = search
    n_found = min(len(rows) for _, rows in naive_rankings(*search))
    k = data.draw(st.integers(0, n_found))
    codes = DeviceCodes(database, "cpu")
    with config_context(working_memory=memory):
        assert_finds_what_a_naive_loop_finds(codes, queries, database, own, k, allowed)


@settings(deadline=None)
@given(search=tied_searches(), memory=working_memory, radius=st.integers(0, 300))
def test_all_within_a_radius_are_found_and_counted(search, memory, radius):
    queries, database, own, allowed = search
    codes = DeviceCodes(database, "cpu")
    with config_context(working_memory=memory):
        assert_finds_all_within(codes, queries, database, own, radius, allowed)


@devices
@pytest.mark.parametrize("n_words", [1, 2, 3, 4, 5, 32, 33, 65])
def test_codes_of_any_width_are_searched_exactly(n_words, device):
    database = random_words(300, n_words, n_distinct=150)
    database[7], database[8] = 0, ~database[9]
    queries = np.concatenate(
        [
            database[:10],
            ~database[:5],
            one_bit_away(database[:5]),
            random_words(10, n_words, seed=1),
        ]
    )
    own = np.concatenate([np.arange(10), np.full(20, -1)])
    allowed = np.random.default_rng(2).random(300) < 0.4
    codes = DeviceCodes(database, device)
    for memory in (0.05 * n_words, 1024):
        for where in (None, allowed):
            with config_context(working_memory=memory):
                for k in (1, 10, 299 if where is None else allowed.sum() - 1):
                    assert_finds_what_a_naive_loop_finds(
                        codes, queries, database, own, k, where
                    )
                for radius in (0, 30 * n_words, 64 * n_words):
                    assert_finds_all_within(
                        codes, queries, database, own, radius, where
                    )


@pytest.mark.parametrize("n_words", [1, 32])
def test_half_precision_is_exact_where_it_is_chosen(n_words):
    database = random_words(200, n_words)
    queries = np.concatenate([database[:5], ~database[:5], one_bit_away(database[:5])])
    codes = DeviceCodes(database, "cpu")
    codes.dtype = torch.float16
    assert_finds_what_a_naive_loop_finds(
        codes, queries, database, no_own(queries), 200, None
    )


@needs_a_gpu
def test_a_gpu_multiplies_in_half_precision_up_to_the_width_where_it_is_exact():
    assert DeviceCodes(random_words(2, 32), "cuda").dtype == torch.float16
    assert DeviceCodes(random_words(2, 33), "cuda").dtype == torch.float32


@devices
def test_the_working_memory_bounds_the_blocks_and_changes_no_result(
    device, monkeypatch
):
    database, queries = random_words(3000, 2), random_words(50, 2, seed=1)
    codes = DeviceCodes(database, device)
    whole = codes.nearest(queries, no_own(queries), 9, None)
    shapes = []
    smallest = on_device._smallest

    def spy(keys, k):
        shapes.append(keys.shape)
        return smallest(keys, k)

    monkeypatch.setattr(on_device, "_smallest", spy)
    with config_context(working_memory=0.25):
        blocks = codes.nearest(queries, no_own(queries), 9, None)
    np.testing.assert_array_equal(blocks, whole)
    assert len(shapes) > 4
    assert max(n_queries * n_rows for n_queries, n_rows in shapes) < 2**18 / 16


def test_a_search_of_nothing_finds_nothing():
    database = random_words(5, 1)
    codes = DeviceCodes(database, "cpu")
    nothing = np.zeros(5, dtype=bool)
    assert codes.count(database, np.arange(5), 64, nothing).tolist() == [0] * 5
    starts, distances, positions = codes.within(database, np.arange(5), 64, nothing)
    assert starts.tolist() == [0] * 6
    assert len(distances) == len(positions) == 0
    distances, positions = codes.nearest(database[:0], no_own(database[:0]), 3, None)
    assert distances.shape == positions.shape == (0, 3)


@devices
def test_the_device_holds_the_packed_codes_and_never_sees_a_later_change(device):
    database = random_words(100, 3)
    database.flags.writeable = False
    codes = DeviceCodes(database, device)
    held = [value for value in vars(codes).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in held) == database.nbytes
    database.flags.writeable = True
    found = codes.nearest(database[:4].copy(), np.full(4, -1), 1, None)
    database[:] = 0
    again = codes.nearest(random_words(100, 3)[:4], np.full(4, -1), 1, None)
    np.testing.assert_array_equal(again, found)


@devices
def test_autocast_and_inference_mode_around_a_search_change_nothing(device):
    database = random_words(200, 9)
    queries = one_bit_away(database[:6])
    expected = DeviceCodes(database, device).nearest(
        queries, no_own(queries), 200, None
    )
    with torch.autocast(device, dtype=torch.bfloat16), torch.inference_mode():
        codes = DeviceCodes(database, device)
        found = codes.nearest(queries, no_own(queries), 200, None)
    np.testing.assert_array_equal(found, expected)
    found = codes.nearest(queries, no_own(queries), 200, None)
    np.testing.assert_array_equal(found, expected)


def test_torch_is_left_as_it_was():
    def settings_of_torch():
        return (
            torch.get_rng_state().tolist(),
            torch.get_default_dtype(),
            torch.get_float32_matmul_precision(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        )

    before = settings_of_torch()
    database = random_words(50, 2)
    codes = DeviceCodes(database, "cpu")
    codes.nearest(database, np.arange(50), 3, None)
    codes.within(database, np.arange(50), 60, None)
    assert settings_of_torch() == before


def test_devices_other_than_the_cpu_and_cuda_are_refused():
    check_device("cpu")
    for device in ("gpu", "mps", "cuda:", "cuda:-1", "cpu:0", "", None, 0):
        with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or"):
            check_device(device)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cuda", "cuda:0", "cuda:1"):
        check_device(device)
    with pytest.raises(ValueError, match="'cuda:2' is not available .* finds 2 CUDA"):
        check_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda' is not available .* finds 0 CUDA"):
        check_device("cuda")
