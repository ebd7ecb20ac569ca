import os
import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from joblib import Parallel, delayed
from numba.core.caching import CacheImpl
from sklearn import config_context

from sklhash import HammingNeighbors
from sklhash._kernels.knn import nearest
from sklhash._kernels.popcount import kernel, popcount


def test_popcount_counts_bits():
    @kernel
    def count(words):
        counts = np.empty(len(words), dtype=np.int64)
        for i in range(len(words)):
            counts[i] = popcount(words[i])
        return counts

    words = np.random.default_rng(0).integers(2**64, size=99, dtype=np.uint64)
    words[:2] = 0, 2**64 - 1
    np.testing.assert_array_equal(count(words), np.bitwise_count(words))


def test_kernels_compile_where_nothing_can_be_written(monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @kernel
    def double(x):
        return 2 * x

    assert double(4) == 8


SEARCH = """
import numpy as np
from sklhash import HammingNeighbors, hamming_distances
rng = np.random.default_rng(0)
for n_bits in (64, 200):
    codes = rng.integers(2, size=(3000, n_bits), dtype=np.uint8)
    search = HammingNeighbors().fit(codes)
    distances, indices = search.kneighbors(codes[:6], 400)
    exact = hamming_distances(codes[:6], codes)
    order = np.argsort(exact, axis=1, kind="stable")[:, :400]
    assert (indices == order).all()
    assert (distances == np.take_along_axis(exact, order, axis=1)).all()
    radius = int(np.median(exact))
    counts = search.count_within(codes[:6], radius)
    assert (counts == (exact <= radius).sum(axis=1)).all()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of x86")
@pytest.mark.parametrize("processor", ["haswell", "nehalem"])
def test_processors_with_shorter_vectors_find_the_same(processor, tmp_path):
    target = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    environment = {**os.environ, **target, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SEARCH], env=environment, check=True)


def test_kernels_are_compiled_once_for_all_processes(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    caches = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", SEARCH], env=environment, check=True)
        files = sorted(tmp_path.rglob("*.nb?"))
        caches.append([(path, path.stat().st_mtime_ns) for path in files])
    assert caches[0] == caches[1] != []


def kneighbors_in_a_worker(search, queries):
    return search.kneighbors(queries), compiled_here()


def compiled_here():
    return sum(nearest.stats.cache_misses.values())


def test_worker_processes_load_what_was_compiled():
    codes = np.random.default_rng(0).integers(2, size=(500, 64), dtype=np.uint8)
    search = HammingNeighbors().fit(codes)
    expected = search.kneighbors(codes[:40])
    found = Parallel(n_jobs=2, backend="loky")(
        delayed(kneighbors_in_a_worker)(search, codes[rows : rows + 20])
        for rows in (0, 20)
    )
    for part, (result, n_compiled) in enumerate(found):
        rows = slice(20 * part, 20 * part + 20)
        np.testing.assert_array_equal(result[0], expected[0][rows])
        np.testing.assert_array_equal(result[1], expected[1][rows])
        assert n_compiled == 0


def test_a_search_takes_little_memory_beside_its_results():
    rng = np.random.default_rng(0)
    codes = rng.integers(256, size=(20_000, 8), dtype=np.uint8)
    search = HammingNeighbors(packed=True).fit(codes)
    queries = codes[:2000]
    searches = [
        lambda: search.kneighbors(queries, 500),
        lambda: search.radius_neighbors(queries, 26),
        lambda: search.count_within(queries, 26),
    ]
    for find in searches:
        find()
        with config_context(working_memory=4):
            tracemalloc.start()
            result = find()
            held, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert held > 0
        assert peak - held < 8 * 2**20, (held, peak)
        del result
