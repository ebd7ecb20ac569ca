"""All codes within a radius."""

from __future__ import annotations

import numpy as np

from sklhash._kernels.hits import DISTANCE_BITS, PLACE, PLACE_BITS
from sklhash._kernels.popcount import inlined, kernel, popcount
from sklhash._kernels.steps import LONGEST_STEP, steps_with_closer
from sklhash._kernels.vectors import (
    allowed_bits,
    closer,
    distance_at,
    trailing_zeros,
)

__all__ = ["within"]


@kernel
def within(codes, queries, together, own, limits, block, hits, counts):
    """Find the codes closer to each query than its limit.

    codes : Codes
    queries : uint64 (n, n_words), n a multiple of len(together)
    together : tuple, of as many entries as queries share a pass over the codes
    own : int64 (n,), the code to leave out for each query, or -1
    limits : int64 (n,), 0 for queries that only fill up
    block : int, codes that stay in the nearest memory, a multiple of 512
    hits : uint64, written as far as it reaches: query, distance and index in one
        number, in index order for each query
    counts : int64 (n,), written, the number of codes found for each query

    Returns the number of hits, which may be more than fit into `hits`.
    """
    n_hits = 0
    counts[:] = 0
    steps = np.empty(len(together) * (block // 64 + 1), np.int64)
    for start in range(0, codes.n, block):
        stop = min(start + block, codes.n)
        hits_are_rare = n_hits * LONGEST_STEP <= start * len(queries)
        step = LONGEST_STEP if hits_are_rare else 64
        for first in range(0, len(queries), len(together)):
            n_steps = steps_with_closer(
                codes, queries, together, first, limits, start, stop, step, steps
            )
            if n_steps > 0:
                n_hits = _take(
                    codes,
                    queries,
                    own,
                    limits,
                    steps[:n_steps],
                    first,
                    step,
                    hits,
                    n_hits,
                    counts,
                )
    return n_hits


@inlined
def _take(codes, queries, own, limits, steps, first, step, hits, n_hits, counts):
    """Write the hits of the steps that have some, and return their number so far."""
    for one in steps:
        q = first + (one >> PLACE_BITS)
        start = one & PLACE
        query = queries.ctypes.data + q * queries.strides[0]
        for run in range(start, start + step, 64):
            mask = closer(
                codes.address, codes.plane, run, query, limits[q], codes.words
            )
            mask &= allowed_bits(codes.allowed, run)
            if own[q] >> 6 == run >> 6:
                mask &= ~(np.uint64(1) << np.uint64(own[q] & 63))
            counts[q] += popcount(mask)
            if n_hits >= len(hits):
                n_hits += popcount(mask)
                continue
            while mask != 0:
                i = run + trailing_zeros(mask)
                mask &= mask - np.uint64(1)
                if n_hits < len(hits):
                    distance = distance_at(
                        codes.address, codes.plane, i, query, codes.words
                    )
                    hit = (q << DISTANCE_BITS | distance) << PLACE_BITS | i
                    hits[n_hits] = hit
                n_hits += 1
    return n_hits
