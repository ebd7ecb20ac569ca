"""Going over codes in steps, most of which hold nothing that is looked for."""

from __future__ import annotations

from sklhash._kernels.hits import PLACE_BITS
from sklhash._kernels.popcount import inlined
from sklhash._kernels.vectors import any_closer

__all__ = ["LONGEST_STEP", "steps_with_closer"]

LONGEST_STEP = 512


@inlined
def steps_with_closer(
    codes, queries, together, first, limits, start, stop, step, found
):
    """Find the steps that have a code closer than the limit to one of some queries.

    codes : Codes
    queries : uint64 (n, n_words), of which ``len(together)`` from `first` on are taken
    limits : int64 (n,)
    start, stop, step : int, multiples of 64
    found : int64, written: the number of the query, from 0, and where the step starts

    Returns how many were found.
    """
    query = queries.ctypes.data + first * queries.strides[0]
    limit = limits.ctypes.data + first * limits.strides[0]
    n_found = 0
    for i in range(start, stop, step):
        mask = any_closer(
            codes.address, codes.plane, i, step, query, limit, codes.words, together
        )
        for q in range(len(together)):
            found[n_found] = q << PLACE_BITS | i
            n_found += mask >> q & 1
    return n_found
