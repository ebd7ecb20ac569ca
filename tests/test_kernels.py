import numpy as np
from numba.core.caching import CacheImpl

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
