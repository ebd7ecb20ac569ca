"""The one operation under every loop: count the bits in which codes differ."""

from __future__ import annotations

from numba import njit
from numba.extending import intrinsic

__all__ = ["inlined", "kernel", "popcount"]

_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy"}


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
