"""What the machine can do at best, measured beside the searches.

No search by comparison can be faster than the processor takes for the comparisons, or
the memory for handing over the codes once.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from sklhash._kernels.vectors import any_closer
from sklhash.codes import as_words

N_QUERIES = 4
BLOCK_BYTES = 16 * 1024
N_ROUNDS = 64
WORDS_A_CALL = 2**20


@njit
def compare_often(codes, plane, n_codes, queries, limits, words, together, n_rounds):
    """Compare a block of codes with some queries, and again; none is close enough."""
    found = 0
    for _ in range(n_rounds):
        found += any_closer(
            codes.ctypes.data,
            plane,
            0,
            n_codes,
            queries.ctypes.data,
            limits.ctypes.data,
            words,
            together,
        )
    return found


@njit
def read_often(values, n_rounds):
    """Combine all values, and again, so that each has to be read."""
    combined = np.uint64(0)
    for _ in range(n_rounds):
        for i in range(len(values)):
            combined ^= values[i]
    return combined


def comparison(n_bits: int) -> tuple[Callable[[], int], int]:
    """Return a call that compares as fast as can be, and how many pairs it compares.

    The codes lie in the first cache. Comparing is exclusive or, counting the bits, and
    the minimum, in the instructions that the library's own search consists of.
    """
    n_words = -(-n_bits // 64)
    n_codes = BLOCK_BYTES // (8 * n_words)
    rng = np.random.default_rng(0)
    codes = rng.integers(2**64, size=(n_words, n_codes), dtype=np.uint64)
    queries = rng.integers(2**64, size=(N_QUERIES, n_words), dtype=np.uint64)
    limits = np.zeros(N_QUERIES, dtype=np.int64)
    words, together = (0,) * n_words, (0,) * N_QUERIES

    def compare() -> int:
        return compare_often(
            codes, 8 * n_codes, n_codes, queries, limits, words, together, N_ROUNDS
        )

    return compare, N_ROUNDS * N_QUERIES * n_codes


def reading(database: np.ndarray) -> tuple[Callable[[], int], int]:
    """Return a call that reads a database of packed codes, and how many times."""
    words = as_words(database).ravel()
    n_rounds = max(1, WORDS_A_CALL // len(words))
    return lambda: read_often(words, n_rounds), n_rounds
