"""Exact k nearest codes, in the order (distance, index).

The codes are read once, block by block, and each block is compared with all queries of
a group while it lies in the processor's nearest memory. What is asked of most codes is
only whether any of a run is closer to one of four queries than that query's limit: the
distance of its k-th nearest so far. The few runs that have one are looked at code by
code. Since codes come in the order of their index and only closer ones are taken, those
of equal distance that remain are the first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklhash._kernels.hits import PLACE, PLACE_BITS
from sklhash._kernels.popcount import inlined, kernel, popcount
from sklhash._kernels.steps import LONGEST_STEP, steps_with_closer
from sklhash._kernels.vectors import (
    allowed_bits,
    closer,
    distance_at,
    trailing_zeros,
)

__all__ = ["Plan", "nearest"]


class Plan(NamedTuple):
    """How a search goes over the codes."""

    block: int
    """Codes that stay in the nearest memory, a power of two, at least 512."""

    n_sampled_runs: int
    """Runs of 64 codes in a sample that gives the first limits; 0 takes none."""

    enough: int
    """Codes of the sample within a limit that makes it likely to hold."""

    rarity: int
    """Codes behind a step for each code in it, for hits in it to be rare."""

    head_start: int
    """Codes whose nearest would give a limit as good as the sample's."""


class _Found(NamedTuple):
    """What a search has kept so far, a row a query."""

    limits: np.ndarray  # only closer codes are taken
    n_kept: np.ndarray
    n_within: np.ndarray  # those kept whose distance is at most the limit
    kept: np.ndarray  # distance and index in one number, in index order
    tally: np.ndarray  # kept codes at each distance


@kernel
def nearest(codes, queries, together, own, k, plan, kept, tally, distances, indices):
    """Find the k nearest codes of a group of queries.

    codes : Codes
    queries : uint64 (n, n_words), n a multiple of len(together)
    together : tuple, of as many entries as queries share a pass over the codes
    own : int64 (n,), the code to leave out for each query, or -1
    plan : Plan
    kept : int64 (n, at least k + 1), working memory
    tally : int64 (n, 64 * n_words + 2), working memory
    distances, indices : int32 and int64 (n_queries, k), written; the first distance of
        a query is -1 where the sample misled: search again without one
    """
    n_queries = len(distances)
    farthest = 64 * len(codes.words)
    found = _Found(
        np.zeros(len(queries), np.int64),
        np.zeros(len(queries), np.int64),
        np.zeros(len(queries), np.int64),
        kept,
        tally,
    )
    limit = farthest + 1
    for q in range(n_queries):
        tally[q, :] = 0
        if plan.n_sampled_runs > 0:
            limit = _likely_limit(codes, queries[q].ctypes.data, plan, limit)
        found.limits[q] = limit
    steps = np.empty(len(together) * (plan.block // 64 + 1), np.int64)
    start = 0
    step = 64
    while start < codes.n:
        stop = min(start + min(max(start, LONGEST_STEP), plan.block), codes.n)
        while step < LONGEST_STEP and step * plan.rarity <= start + plan.head_start:
            step *= 2
        for first in range(0, len(queries), len(together)):
            n_steps = steps_with_closer(
                codes, queries, together, first, found.limits, start, stop, step, steps
            )
            if n_steps > 0:
                _keep(codes, queries, own, k, steps[:n_steps], first, step, found)
        start = stop
    for q in range(n_queries):
        if found.n_within[q] < k:
            distances[q, 0] = -1
        else:
            _write_in_order(q, found, distances, indices)


@inlined
def _keep(codes, queries, own, k, steps, first, step, found):
    """Take the codes closer than the limit from the steps that have some."""
    for one in steps:
        q = first + (one >> PLACE_BITS)
        start = one & PLACE
        query = queries.ctypes.data + q * queries.strides[0]
        limit, n_kept, n_within = found.limits[q], found.n_kept[q], found.n_within[q]
        for run in range(start, start + step, 64):
            mask = closer(codes.address, codes.plane, run, query, limit, codes.words)
            if mask == 0:
                continue
            mask &= allowed_bits(codes.allowed, run)
            while mask != 0:
                i = run + trailing_zeros(mask)
                mask &= mask - np.uint64(1)
                distance = distance_at(
                    codes.address, codes.plane, i, query, codes.words
                )
                if distance >= limit or i == own[q]:
                    continue
                found.kept[q, n_kept] = distance << PLACE_BITS | i
                n_kept += 1
                n_within += 1
                found.tally[q, distance] += 1
                while n_within - found.tally[q, limit] >= k:
                    n_within -= found.tally[q, limit]
                    limit -= 1
                if n_kept == found.kept.shape[1]:
                    n_nearer = n_within - found.tally[q, limit]
                    n_kept = n_within = _forget(q, limit, k - n_nearer, found.kept)
                    found.tally[q, limit] = n_kept - n_nearer
        found.limits[q], found.n_kept[q], found.n_within[q] = limit, n_kept, n_within


@kernel
def _forget(q, limit, n_at_limit, kept):
    """Drop what is no longer among the k nearest, and return how many remain."""
    n_kept = 0
    for c in range(kept.shape[1]):
        distance = kept[q, c] >> PLACE_BITS
        if distance < limit or (distance == limit and n_at_limit > 0):
            n_at_limit -= distance == limit
            kept[q, n_kept] = kept[q, c]
            n_kept += 1
    return n_kept


@kernel
def _write_in_order(q, found, distances, indices):
    """Write the k nearest by a counting sort, which keeps the order of equal ones."""
    limit = found.limits[q]
    k = distances.shape[1]
    place = found.tally[q]
    n_nearer = 0
    for distance in range(limit + 1):
        n_at_distance = place[distance]
        place[distance] = n_nearer
        n_nearer += n_at_distance
    for c in range(found.n_kept[q]):
        distance = found.kept[q, c] >> PLACE_BITS
        if distance <= limit and place[distance] < k:
            distances[q, place[distance]] = distance
            indices[q, place[distance]] = found.kept[q, c] & PLACE
            place[distance] += 1


@kernel
def _likely_limit(codes, query, plan, guess):
    """Smallest limit that enough codes of a sample are closer than.

    The sample is spread over all codes. `guess` is another query's limit, and often
    right.
    """
    stride = (codes.n >> 6) // plan.n_sampled_runs << 6
    low, high, limit = 0, 64 * len(codes.words) + 1, guess
    while high - low > 1:
        n_closer = 0
        for run in range(0, plan.n_sampled_runs * stride, stride):
            mask = closer(codes.address, codes.plane, run, query, limit, codes.words)
            n_closer += popcount(mask & allowed_bits(codes.allowed, run))
        if n_closer < plan.enough:
            low = limit
        else:
            high = limit
        if low == guess:
            limit = low + 1
        elif high == guess:
            limit = high - 1
        else:
            limit = (low + high) >> 1
    return high
