"""A search over a store answers as one over the same codes in memory, bit for bit."""

import tempfile

import dask
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklhash import CodeStore, HammingNeighbors, pack_codes
from tests.neighbors.answers import answers, assert_all_alike
from tests.persistence.same import assert_same
from tests.shards import (
    as_array,
    as_array_of_unknown_chunks,
    as_store,
    random_codes,
    random_sizes,
)

# A compiled loop reads runs of 512, and two workers have fewer tasks than this.
SIZES = [0, 700, 1, 0, 512, 64, 0, 100, 0, 0, 136, 0]
N = sum(SIZES)
Y, QUERY_Y = (np.random.default_rng(2).integers(5, size=n) for n in (N, 40))


def codes_and_queries(n_bits):
    return random_codes(N, n_bits, 300), random_codes(40, n_bits, 300, seed=1)


def pair(store, codes, y=Y, **parameters):
    """A search over a store, and one over the same in memory."""
    plain = pack_codes(codes) if parameters.get("packed") else codes
    return (
        HammingNeighbors(**parameters).fit(store, y),
        HammingNeighbors(**parameters).fit(plain, y),
    )


def assert_answers_as_in_memory(folder, n_bits, packed):
    codes, queries = codes_and_queries(n_bits)
    sharded, plain = pair(as_store(codes, SIZES, folder), codes, packed=packed)
    queries = pack_codes(queries) if packed else queries
    assert_all_alike(sharded, plain, queries, QUERY_Y)
    for search in (sharded, plain):
        search.remove(np.r_[3, 600:705, N - 1])
        search.partial_fit(queries, QUERY_Y)
    assert_all_alike(sharded, plain, queries, QUERY_Y)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_bits", [21, 64, 130])
def test_all_methods_answer_as_in_memory(n_bits, packed, tmp_path):
    assert_answers_as_in_memory(tmp_path / "store", n_bits, packed)


def test_all_methods_answer_on_workers_as_in_memory(client, tmp_path):
    assert_answers_as_in_memory(tmp_path / "store", 64, False)


@pytest.mark.parametrize("algorithm", ["brute", "multi_index"])
@pytest.mark.parametrize("mmap_mode", [None, "r"])
@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_all_formats_answer_alike(format, mmap_mode, algorithm, tmp_path):
    codes, queries = codes_and_queries(64)
    as_store(codes, SIZES, tmp_path / "store", format=format)
    store = CodeStore(tmp_path / "store", mmap_mode=mmap_mode)
    sharded, plain = pair(store, codes, algorithm=algorithm)
    assert_all_alike(sharded, plain, queries, QUERY_Y)


@pytest.mark.parametrize("n_bits", [64, 130])
def test_mapped_codes_are_laid_out_a_part_at_a_time(n_bits, monkeypatch, tmp_path):
    monkeypatch.setattr("sklhash.neighbors.search_shard._LAID_OUT_BYTES", 1)
    codes, queries = codes_and_queries(n_bits)
    store = as_store(codes, [N], tmp_path / "store")
    assert_all_alike(*pair(store, codes), queries, QUERY_Y)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 60),
    n_bits=st.integers(1, 200),
    n_distinct=st.sampled_from([1, 3, 1000]),
    n_shards=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_any_store_answers_alike(n, n_bits, n_distinct, n_shards, seed, data):
    codes = random_codes(n, n_bits, n_distinct, seed)
    queries = np.concatenate([codes[:4], random_codes(3, n_bits, seed=seed + 1)])
    k = data.draw(st.integers(1, n))
    radius = data.draw(st.integers(0, n_bits))
    with tempfile.TemporaryDirectory() as folder:
        store = as_store(codes, random_sizes(n, n_shards, seed), folder)
        sharded, plain = pair(store, codes, None)
        for of in (queries, None)[: 1 + (k < n)]:
            assert_same(answers(sharded, of, k, radius), answers(plain, of, k, radius))


def test_codes_stay_in_their_files(anywhere, tmp_path):
    """What searches find afterwards is what the files hold."""
    codes, queries = codes_and_queries(64)
    store = as_store(codes, [N], tmp_path / "store")
    sharded, _ = pair(store, codes)
    (file,) = (path for path in (tmp_path / "store").iterdir() if "codes" in path.name)
    changed = np.lib.format.open_memmap(file, mode="r+")
    changed[:] = changed[::-1].copy()
    changed.flush()
    assert_same(
        sharded.kneighbors(queries, 3),
        HammingNeighbors().fit(codes[::-1]).kneighbors(queries, 3),
    )


def test_labels_of_a_store_come_in_its_shards_too(anywhere, tmp_path):
    codes, queries = codes_and_queries(21)
    store = as_store(codes, SIZES, tmp_path / "store")
    sharded, plain = pair(store, codes)
    cut = HammingNeighbors().fit(store, as_array(Y, SIZES))
    for search in (sharded, cut):
        assert search.score(queries, QUERY_Y) == plain.score(queries, QUERY_Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        HammingNeighbors().fit(store, Y[1:])


@pytest.mark.parametrize("packed", [False, True])
def test_a_store_and_blocks_join_codes_in_memory(packed, tmp_path):
    codes, queries = codes_and_queries(64)
    store = as_store(codes, SIZES, tmp_path / "store")
    plain, queries = (pack_codes(of) if packed else of for of in (codes, queries))
    blocks = as_array_of_unknown_chunks(plain, SIZES)
    grown = HammingNeighbors(packed=packed).fit(plain, Y)
    grown.partial_fit(store, as_array(Y, SIZES)).partial_fit(blocks, Y)
    expected = HammingNeighbors(packed=packed).fit(
        np.tile(plain, (3, 1)), np.tile(Y, 3)
    )
    assert_all_alike(grown, expected, queries, QUERY_Y)


def test_large_labels_and_masks_are_no_oversight(client, tmp_path):
    codes = random_codes(100_000, 8)
    store = as_store(codes, [len(codes)], tmp_path / "store")
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "50 kB"}):
        sharded, plain = pair(store, codes, np.arange(len(codes)) % 3)
        where = codes[:, 0] == 1
        for search in (sharded, plain):
            search.remove([5])
        assert_same(
            sharded.kneighbors(codes[:2], 3, where=where),
            plain.kneighbors(codes[:2], 3, where=where),
        )


def test_queries_of_a_store_may_be_real_values(tmp_path):
    codes, queries = codes_and_queries(21)
    store = as_store(codes, SIZES, tmp_path / "store")
    sharded = HammingNeighbors(threshold=0.0, n_jobs=2).fit(store, Y)
    plain = HammingNeighbors(threshold=0.0).fit(codes - 0.5, Y)
    assert_all_alike(sharded, plain, queries - 0.5, QUERY_Y)


def test_shards_that_are_gone_are_named(tmp_path):
    store = as_store(random_codes(5, 16), [3, 2], tmp_path / "store")
    for path in (tmp_path / "store").iterdir():
        path.unlink()
    search = HammingNeighbors()
    with pytest.raises((ValueError, OSError), match=str(tmp_path / "store")):
        search.fit(store).kneighbors(random_codes(1, 16), 1)
