"""Relevance counted by Hamming distance, and average precision from the counts."""

from __future__ import annotations

import numpy as np

from sklhash._kernels.popcount import distances_to, kernel

__all__ = [
    "HITS",
    "MINIMUM",
    "RELEVANT",
    "average_precision_in_index_order",
    "count_by_distance",
    "expected_average_precision",
]

HITS, RELEVANT, MINIMUM = 0, 1, 2


@kernel
def count_by_distance(
    queries,
    database,
    query_labels,
    database_labels,
    multilabel,
    own_row,
    totals,
    relevant,
):
    """Count, per query and distance, database items and relevant ones.

    queries, database : uint64 (n, n_words)
    query_labels, database_labels : uint64 (n, n_label_words)
    multilabel : bool, whether labels are sets of bits or one class a row
    own_row : int64 (n_queries,), the database row to leave out, or -1
    totals, relevant : int64 (n_queries, n_distances), zeros, written
    """
    row_distances = np.empty(len(database), dtype=np.int32)
    for q in range(len(queries)):
        distances_to(queries[q], database, row_distances)
        for i in range(len(database)):
            if i != own_row[q]:
                totals[q, row_distances[i]] += 1
                relevant[q, row_distances[i]] += _is_relevant(
                    query_labels, q, database_labels, i, multilabel
                )


@kernel
def expected_average_precision(totals, relevant, k, normalize, scores):
    """Average precision at k, expected over all orders of tied items.

    totals, relevant : int64 (n_queries, n_distances)
    k : int, at most the number of items of a query
    normalize : HITS, RELEVANT or MINIMUM
    scores : float64 (n_queries,), written
    """
    n_queries, n_distances = totals.shape
    for q in range(n_queries):
        items = hits = 0
        precision_sum = 0.0
        cut = -1
        for d in range(n_distances):
            n, r = totals[q, d], relevant[q, d]
            if items + n > k:
                cut = d
                break
            precision_sum += _tied_precisions(n, n, r, items, hits)
            items += n
            hits += r
        all_relevant = relevant[q].sum()
        if cut < 0 or items == k:
            scores[q] = _divided(precision_sum, hits, all_relevant, k, normalize)
        elif normalize == HITS:
            scores[q] = _expected_over_hits(
                totals[q, cut],
                relevant[q, cut],
                items,
                hits,
                precision_sum,
                k,
            )
        else:
            precision_sum += _tied_precisions(
                totals[q, cut], k - items, relevant[q, cut], items, hits
            )
            scores[q] = _divided(precision_sum, hits, all_relevant, k, normalize)


@kernel
def average_precision_in_index_order(
    queries,
    database,
    query_labels,
    database_labels,
    multilabel,
    own_row,
    totals,
    relevant,
    k,
    normalize,
    scores,
):
    """Average precision at k where tied items stand in database order.

    The first six arguments are those of `count_by_distance`, `totals` and `relevant`
    what it wrote, the last three those of `expected_average_precision`.
    """
    n_distances = totals.shape[1]
    row_distances = np.empty(len(database), dtype=np.int32)
    rank = np.empty(n_distances, dtype=np.int64)
    found = np.empty(n_distances, dtype=np.int64)
    for q in range(len(queries)):
        distances_to(queries[q], database, row_distances)
        rank[0] = found[0] = 0
        for d in range(1, n_distances):
            rank[d] = rank[d - 1] + totals[q, d - 1]
            found[d] = found[d - 1] + relevant[q, d - 1]
        precision_sum = 0.0
        hits = 0
        for i in range(len(database)):
            d = row_distances[i]
            if rank[d] >= k or i == own_row[q]:
                continue
            rank[d] += 1
            if _is_relevant(query_labels, q, database_labels, i, multilabel):
                found[d] += 1
                hits += 1
                precision_sum += found[d] / rank[d]
        scores[q] = _divided(precision_sum, hits, relevant[q].sum(), k, normalize)


@kernel
def _is_relevant(query_labels, q, database_labels, i, multilabel):
    if not multilabel:
        return query_labels[q, 0] == database_labels[i, 0]
    for w in range(query_labels.shape[1]):
        if query_labels[q, w] & database_labels[i, w]:
            return True
    return False


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
def _tied_precisions(n, taken, r, items, hits):
    """Expected sum of precisions at the relevant items among the first `taken` of a
    tie of `n` items, `r` of them relevant, behind `items` items with `hits` relevant.

    An item at place t of the tie is relevant with probability r / n, and then
    (t - 1) (r - 1) / (n - 1) of those before it in the tie are, on average.
    """
    if r == 0 or taken == 0:
        return 0.0
    slope = (r - 1) / (n - 1) if n > 1 else 0.0
    if taken <= 16:
        total = 0.0
        for t in range(taken):
            total += (hits + 1 + t * slope) / (items + 1 + t)
    else:
        constant = hits + 1 - slope * (items + 1)
        total = slope * taken + constant * _harmonic_difference(items, items + taken)
    return r / n * total


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
def _expected_over_hits(n, r, items, hits, precision_sum, k):
    """Expected AP, divided by the hits in the top k, where k cuts a tie.

    Of the `taken` items that come from the tie a hypergeometric number h is relevant;
    given h, they are a tie of their own. The probabilities are built up from the
    likeliest h by ratios of neighbours, which loses no digits.
    """
    taken = k - items
    low, high = max(0, taken - (n - r)), min(taken, r)
    likeliest = min(max((taken + 1) * (r + 1) // (n + 2), low), high)
    expected = weights = 0.0
    weight = 1.0
    for h in range(likeliest, high + 1):
        expected += weight * _ap_given_hits(taken, h, items, hits, precision_sum)
        weights += weight
        weight *= _next_over_this(h, n, r, taken)
    weight = 1.0
    for h in range(likeliest - 1, low - 1, -1):
        weight /= _next_over_this(h, n, r, taken)
        expected += weight * _ap_given_hits(taken, h, items, hits, precision_sum)
        weights += weight
    return expected / weights


@kernel
def _ap_given_hits(taken, h, items, hits, precision_sum):
    total = precision_sum + _tied_precisions(taken, taken, h, items, hits)
    return total / (hits + h) if hits + h > 0 else 0.0


@kernel
def _next_over_this(h, n, r, taken):
    """Probability of h + 1 relevant items among those taken, over that of h."""
    return (r - h) * (taken - h) / ((h + 1) * (n - r - taken + h + 1))
