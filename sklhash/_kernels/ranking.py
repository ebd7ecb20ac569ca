"""Scores of Hamming rankings, from counts by distance or from rankings in index order.

A tie is what lies at one distance: `n` items, `r` of them relevant, behind `items`
nearer items with `hits` relevant ones. A gain is what a relevant item is worth; with
binary relevance it is 1, and a sum of gains a number of hits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sklhash._kernels.counting import RUN, shorts
from sklhash._kernels.popcount import inlined, kernel
from sklhash._kernels.vectors import (
    nonzero_shorts,
    trailing_zeros,
    write_distances,
    write_shared,
)

__all__ = [
    "HITS",
    "MINIMUM",
    "RELEVANT",
    "Hits",
    "average_precision_bound",
    "average_precision_of_hits",
    "expected_average_precision",
    "expected_reciprocal_rank",
    "rank_by_class",
    "rank_by_shared_labels",
    "sum_over_hits",
]

HITS, RELEVANT, MINIMUM = 0, 1, 2
_STRETCH = 32 * RUN  # items whose distances are held at once
_NOTHING = 1e-20  # a probability, relative to the likeliest, that does not count


@kernel
def expected_average_precision(totals, relevant, gains, k, normalize, scores):
    """Average precision at k, expected over all orders of tied items.

    totals, relevant : int64 (n_queries, n_distances)
    gains : int64 (n_queries, n_distances), summed over the relevant items
    k : int, at most the number of items of a query
    normalize : HITS, RELEVANT or MINIMUM
    scores : float64 (n_queries,), written
    """
    n_queries, n_distances = totals.shape
    for q in range(n_queries):
        items = hits = gain = 0
        precision_sum = 0.0
        cut = -1
        for d in range(n_distances):
            n, r = totals[q, d], relevant[q, d]
            if items + n > k:
                cut = d
                break
            precision_sum += _tied_gains(n, n, r, gains[q, d], items, gain)
            items += n
            hits += r
            gain += gains[q, d]
        all_relevant = relevant[q].sum()
        if cut < 0 or items == k:
            scores[q] = _divided(precision_sum, hits, all_relevant, k, normalize)
            continue
        n, r, tied_gain = totals[q, cut], relevant[q, cut], gains[q, cut]
        if normalize == HITS:
            scores[q] = _expected_over_hits(
                n, r, tied_gain, items, hits, gain, precision_sum, k
            )
        else:
            precision_sum += _tied_gains(n, k - items, r, tied_gain, items, gain)
            scores[q] = _divided(precision_sum, hits, all_relevant, k, normalize)


@kernel
def average_precision_bound(totals, relevant, k, normalize, highest, scores):
    """Highest or lowest average precision at k over all orders of tied items.

    The arguments are those of `expected_average_precision`. Where k cuts a tie, any
    number of hits that its order can bring above the cut is tried, since one more hit
    at a low precision can lower the score.
    """
    n_queries, n_distances = totals.shape
    for q in range(n_queries):
        items = hits = 0
        precision_sum = 0.0
        all_relevant = relevant[q].sum()
        for d in range(n_distances):
            n, r = totals[q, d], relevant[q, d]
            taken = min(n, k - items)
            if taken < n:
                break
            precision_sum += _extreme_precisions(n, r, items, hits, highest)
            items += n
            hits += r
        if items == k:
            scores[q] = _divided(precision_sum, hits, all_relevant, k, normalize)
            continue
        first, last = max(0, taken - (n - r)), min(taken, r)
        for h in range(first, last + 1):
            total = precision_sum + _extreme_precisions(taken, h, items, hits, highest)
            score = _divided(total, hits + h, all_relevant, k, normalize)
            if h == first or (score > scores[q]) == highest:
                scores[q] = score


@kernel
def expected_reciprocal_rank(totals, relevant, k, scores):
    """Reciprocal rank of the first relevant item among k, ties expected; else 0.

    The first relevant item stands at place t of its tie with a probability that begins
    as r / n and falls by (n - t - r + 1) / (n - t) from t to t + 1.
    """
    n_queries, n_distances = totals.shape
    scores[:] = 0
    for q in range(n_queries):
        items = 0
        for d in range(n_distances):
            n, r = totals[q, d], relevant[q, d]
            if r > 0:
                probability = r / n
                for t in range(1, min(n - r + 1, k - items) + 1):
                    scores[q] += probability / (items + t)
                    probability *= (n - t - r + 1) / (n - t) if t < n else 0.0
                break
            items += n


class Hits(NamedTuple):
    """Where the relevant items of some queries rank, with ties in index order.

    Query q has the entries from ``starts[q]`` to ``starts[q + 1]``, in order of rank.
    """

    starts: np.ndarray
    """int64 (n_queries + 1,)"""

    ranks: np.ndarray
    """uint32 (n_hits,), from 0"""

    levels: np.ndarray
    """uint16 (n_hits,), labels shared"""


@kernel
def rank_by_class(codes, ids, queries, classes, own, places, found, hits):
    """Rank items, and write down those of the query's class.

    codes : Planes of as many items as there are ids
    ids : uint16 or uint32 (n,), the items' classes
    queries : uint64 (n_queries, n_words)
    classes : as ids (n_queries,)
    own : int64 (n_queries,), the item to leave out for each query, or negative
    places : int64 (n_queries, n_distances + 1), the next rank at each distance, moved
        on; the last column is for items left out
    found : int64 (n_queries, n_distances), the next entry of hits at each distance,
        moved on
    hits : Hits, written
    """
    distances = shorts(_STRETCH)
    levels = shorts(_STRETCH)
    levels[:] = 0
    ranks = np.empty(_STRETCH, np.uint32)
    for q in range(len(queries)):
        query = queries[q].ctypes.data
        for start in range(0, len(ids), _STRETCH):
            stop = min(start + _STRETCH, len(ids))
            _write_levels(ids[start:stop], classes[q], levels)
            _write_distances(codes, start, stop, query, distances)
            _leave_out(own[q] - start, stop - start, distances, levels, places[q])
            _rank(distances, stop - start, places[q], ranks)
            _write_hits(distances, levels, ranks, stop - start, found[q], hits)


@kernel
def rank_by_shared_labels(
    codes, labels, n, queries, query_labels, own, places, found, hits
):
    """Rank items, and write down those that share labels; else as `rank_by_class`.

    labels : Planes of `n` items, as `codes`
    query_labels : uint64 (n_queries, n_label_words)
    """
    distances = shorts(_STRETCH)
    levels = shorts(_STRETCH)
    ranks = np.empty(_STRETCH, np.uint32)
    for q in range(len(queries)):
        query, own_labels = queries[q].ctypes.data, query_labels[q].ctypes.data
        for start in range(0, n, _STRETCH):
            stop = min(start + _STRETCH, n)
            for i in range(0, stop - start, RUN):
                write_shared(
                    labels.address,
                    labels.plane,
                    start + i,
                    own_labels,
                    levels.ctypes.data + 2 * i,
                    labels.words,
                )
            _write_distances(codes, start, stop, query, distances)
            _leave_out(own[q] - start, stop - start, distances, levels, places[q])
            _rank(distances, stop - start, places[q], ranks)
            _write_hits(distances, levels, ranks, stop - start, found[q], hits)


@inlined
def _write_levels(ids, wanted, levels):
    for i in range(len(ids)):
        levels[i] = np.uint16(ids[i] == wanted)


@inlined
def _write_distances(codes, start, stop, query, distances):
    for i in range(0, stop - start, RUN):
        write_distances(
            codes.address,
            codes.plane,
            start + i,
            query,
            distances.ctypes.data + 2 * i,
            codes.words,
        )


@inlined
def _leave_out(own, n, distances, levels, places):
    if 0 <= own < n:
        distances[own] = len(places) - 1
        levels[own] = 0


@inlined
def _rank(distances, n, places, ranks):
    for i in range(n):
        distance = np.uint64(distances[i])
        rank = places[distance]
        places[distance] = rank + 1
        ranks[i] = rank


@inlined
def _write_hits(distances, levels, ranks, n, found, hits):
    for start in range(0, n, RUN):
        mask = nonzero_shorts(levels.ctypes.data + 2 * start)
        if start + RUN > n:
            mask &= (np.uint64(1) << np.uint64(n - start)) - np.uint64(1)
        while mask != 0:
            i = start + trailing_zeros(mask)
            mask &= mask - np.uint64(1)
            entry = found[np.uint64(distances[i])]
            found[np.uint64(distances[i])] = entry + 1
            hits.ranks[entry] = ranks[i]
            hits.levels[entry] = levels[i]


@kernel
def sum_over_hits(hits, k, worth, discounts, sums):
    """Sum what the hits among the first k are worth, discounted by their rank.

    k : int64 (n_queries,)
    worth : float64 (n_levels,)
    discounts : float64 (at least the largest k,), or empty for none
    sums : float64 (n_queries,), written
    """
    for q in range(len(sums)):
        sums[q] = 0
        for entry in range(hits.starts[q], hits.starts[q + 1]):
            rank = hits.ranks[entry]
            if rank >= k[q]:
                break
            discount = discounts[rank] if len(discounts) > 0 else 1.0
            sums[q] += worth[hits.levels[entry]] * discount


@kernel
def average_precision_of_hits(hits, all_relevant, k, normalize, weighted, scores):
    """Average precision at k where tied items stand in index order.

    all_relevant : int64 (n_queries,)
    k, normalize : as in `expected_average_precision`
    weighted : bool, whether a hit counts the labels it shares, or 1
    scores : float64 (n_queries,), written
    """
    for q in range(len(scores)):
        found = gain = 0
        total = 0.0
        for entry in range(hits.starts[q], hits.starts[q + 1]):
            rank = hits.ranks[entry]
            if rank >= k:
                break
            found += 1
            gain += hits.levels[entry] if weighted else 1
            total += gain / (rank + 1)
        scores[q] = _divided(total, found, all_relevant[q], k, normalize)


@kernel
def _divided(precision_sum, hits, all_relevant, k, normalize):
    if normalize == HITS:
        divisor = hits
    elif normalize == RELEVANT:
        divisor = all_relevant
    else:
        divisor = min(k, all_relevant)
    return precision_sum / divisor if divisor > 0 else 0.0


@kernel
def _tied_gains(n, taken, r, tied_gain, items, gain):
    """Expected sum, over the relevant items among the first `taken` of a tie, of the
    mean gain up to there.

    Given that they are relevant, items have the mean gain of those in the tie. In units
    of it the sum is a sum of precisions.
    """
    if r == 0:
        return 0.0
    mean = tied_gain / r
    return mean * _tied_precisions(n, taken, r, items, gain / mean)


@kernel
def _extreme_precisions(n, r, items, hits, highest):
    """Sum of precisions where the relevant items come first, or last, in a tie."""
    if highest:
        return r + (hits - items) * _harmonic_difference(items, items + r)
    behind = hits - items - n + r
    return r + behind * _harmonic_difference(items + n - r, items + n)


@kernel
def _tied_precisions(n, taken, r, items, hits):
    """Expected sum of precisions at the relevant items among the first `taken` of a
    tie of `n` items, `r` of them relevant, behind `items` items with `hits` relevant.

    An item at place t of the tie is relevant with probability r / n, and then
    (t - 1) (r - 1) / (n - 1) of those before it in the tie are, on average.
    """
    if r == 0 or taken == 0:
        return 0.0
    inverses, places = _sums_over_places(taken, items)
    slope = (r - 1) / (n - 1) if n > 1 else 0.0
    return r / n * ((hits + 1) * inverses + slope * places)


@kernel
def _sums_over_places(taken, items):
    """Sum 1 / rank and (t - 1) / rank over the first places t of a tie."""
    if taken <= 16:
        inverses = places = 0.0
        for t in range(taken):
            inverses += 1 / (items + 1 + t)
            places += t / (items + 1 + t)
        return inverses, places
    inverses = _harmonic_difference(items, items + taken)
    return inverses, taken - (items + 1) * inverses


@kernel
def _harmonic_difference(low, high):
    """1 / (low + 1) + ... + 1 / high, to the last digit however large `low` is."""
    total = 0.0
    while low < 100 and low < high:
        low += 1
        total += 1.0 / low
    if low == high:
        return total
    a, b = 1.0 / low, 1.0 / high
    gap = (high - low) * a * b  # a - b, which would lose digits
    series = -gap / 2 + gap * (a + b) / 12
    series -= gap * (a + b) * (a * a + b * b) / 120
    series += gap * (a + b) * (a**4 + a * a * b * b + b**4) / 252
    return total + np.log1p((high - low) * a) + series


@kernel
def _expected_over_hits(n, r, tied_gain, items, hits, gain, precision_sum, k):
    """Expected AP, divided by the hits in the top k, where k cuts a tie.

    Of the `taken` items that come from the tie a hypergeometric number h is relevant;
    given h, they are a tie of their own. The probabilities are built up from the
    likeliest h by ratios of neighbours, which loses no digits, until they are nothing.
    """
    taken = k - items
    mean = tied_gain / r if r > 0 else 1.0
    inverses, places = _sums_over_places(taken, items)
    low, high = max(0, taken - (n - r)), min(taken, r)
    likeliest = min(max((taken + 1) * (r + 1) // (n + 2), low), high)
    expected = weights = 0.0
    weight, h = 1.0, likeliest
    while h <= high and weight > _NOTHING:
        expected += weight * _ap_given_hits(
            h, taken, mean, inverses, places, hits, gain, precision_sum
        )
        weights += weight
        weight *= _next_over_this(h, n, r, taken)
        h += 1
    weight, h = 1.0, likeliest
    while h > low and weight > _NOTHING:
        h -= 1
        weight /= _next_over_this(h, n, r, taken)
        expected += weight * _ap_given_hits(
            h, taken, mean, inverses, places, hits, gain, precision_sum
        )
        weights += weight
    return expected / weights


@inlined
def _ap_given_hits(h, taken, mean, inverses, places, hits, gain, precision_sum):
    if hits + h == 0:
        return 0.0
    slope = mean * (h - 1) / (taken - 1) if h > 1 else 0.0
    total = h / taken * ((gain + mean) * inverses + slope * places)
    return (precision_sum + total) / (hits + h)


@kernel
def _next_over_this(h, n, r, taken):
    """Probability of h + 1 relevant items among those taken, over that of h."""
    return (r - h) * (taken - h) / ((h + 1) * (n - r - taken + h + 1))
