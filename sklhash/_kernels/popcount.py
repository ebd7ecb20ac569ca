"""The one operation under every loop: count the bits in which codes differ."""

from __future__ import annotations

from numba import njit
from numba.extending import intrinsic

__all__ = ["distances_to", "inlined", "kernel", "popcount"]

_OPTIONS = {"nogil": True, "boundscheck": False}


def kernel(function):
    """Compile a loop when first called, and keep it on disk where that can be done."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package nor the home can be written
        return njit(**_OPTIONS)(function)


def inlined(function):
    """Compile a part of a kernel in its place, where a call would cost more."""
    return njit(forceinline=True, **_OPTIONS)(function)


@intrinsic
def popcount(typing_context, word):
    """Number of set bits of an unsigned integer, in one machine instruction."""

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        return builder.ctpop(value)

    return word(word), generate


@kernel
def distances_to(query, database, distances):
    """Write the distance from one code to every database code.

    query : uint64 (n_words,)
    database : uint64 (n_database, n_words)
    distances : int32 (n_database,), written
    """
    n_database, n_words = database.shape
    if n_words == 1:
        code = query[0]
        words = database[:, 0]
        for i in range(n_database):
            distances[i] = popcount(words[i] ^ code)
        return
    for i in range(n_database):
        differing = popcount(database[i, 0] ^ query[0])
        for w in range(1, n_words):
            differing += popcount(database[i, w] ^ query[w])
        distances[i] = differing
