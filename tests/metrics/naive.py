"""Retrieval scores as they are defined, one query at a time.

`distances` (n,) are those of the items to a query, `shared` (n,) the labels that they
share with it. A ranking is `shared` by rank, of shape (n,) or (n_orders, n); its score
is NaN where it divides by zero.
"""

from itertools import permutations, product

import numpy as np


def random_retrieval(
    n_queries=30, n_database=400, n_bits=12, n_classes=5, n_labels=0, seed=0
):
    """Codes near the codeword of their class, with class ids or with several labels."""
    rng = np.random.default_rng(seed)
    codewords = rng.integers(2, size=(n_classes, n_bits))

    def items(n):
        y = rng.integers(n_classes, size=n)
        codes = codewords[y] ^ (rng.random((n, n_bits)) < 0.3)
        if n_labels:
            centres = np.arange(n_classes)[:, None] == np.arange(n_labels) % n_classes
            y = (rng.random((n, n_labels)) < 0.1 + 0.5 * centres[y]).astype(int)
        return codes.astype(np.uint8), y

    query_codes, query_y = items(n_queries)
    database_codes, database_y = items(n_database)
    return query_codes, database_codes, query_y, database_y


def judged(query_codes, database_codes, query_y, database_y):
    """Return the distances and the labels shared, query after query."""
    database_codes, database_y = np.asarray(database_codes), np.asarray(database_y)
    found = []
    for code, label in zip(np.asarray(query_codes), np.asarray(query_y), strict=True):
        distances = np.count_nonzero(code != database_codes, axis=1)
        shared = database_y @ label if label.ndim else database_y == label
        found.append((distances, shared.astype(int)))
    return found


def precision(ranking, k):
    return np.count_nonzero(ranking[..., :k], axis=-1) / k


def recall(ranking, k):
    relevant = np.count_nonzero(ranking, axis=-1)
    return _divided(np.count_nonzero(ranking[..., :k], axis=-1), relevant)


def r_precision(ranking):
    return recall(ranking, np.count_nonzero(ranking, axis=-1).flat[0])


def cumulative_gain(ranking, k):
    return ranking[..., :k].sum(axis=-1) / k


def reciprocal_rank(ranking, k):
    relevant = ranking > 0
    first = np.where(relevant.any(axis=-1), relevant.argmax(axis=-1) + 1, np.nan)
    return np.where(first > k, 0.0, 1 / first)


def ndcg(ranking, k):
    discounts = 1 / np.log2(np.arange(k) + 2)
    best = np.sort(ranking, axis=-1)[..., ::-1]
    found, most = (
        ((2.0**shared - 1)[..., :k] * discounts).sum(-1) for shared in (ranking, best)
    )
    return _divided(found, most)


def average_precision(ranking, k, normalize="hits", *, weighted=False):
    hits = ranking > 0
    gains = ranking if weighted else hits
    means = np.cumsum(gains, axis=-1) / np.arange(1, ranking.shape[-1] + 1)
    divisor = {
        "hits": hits[..., :k].sum(axis=-1),
        "relevant": hits.sum(axis=-1),
        "min": np.minimum(k, hits.sum(axis=-1)),
    }[normalize]
    return _divided((means * hits)[..., :k].sum(axis=-1), divisor)


def _divided(numerator, divisor):
    return numerator / np.where(divisor > 0, divisor, np.nan)


def stable_order(distances):
    """Order of the ranking whose ties stand in database order."""
    return np.argsort(distances, kind="stable")


def all_orders(distances):
    """All orders by distance, of shape (n_orders, n)."""
    ties = [np.flatnonzero(distances == d) for d in np.unique(distances)]
    orders = product(*(permutations(tie) for tie in ties))
    return np.array([[item for tie in order for item in tie] for order in orders])


def shuffled_orders(distances, n_orders, rng):
    """Stable orders of as many shuffles of the database."""
    shuffles = rng.permuted(np.tile(np.arange(len(distances)), (n_orders, 1)), axis=1)
    order = np.argsort(distances[shuffles], axis=1, kind="stable")
    return np.take_along_axis(shuffles, order, axis=1)


def over_orders(scores, summary):
    """Sum up one query's scores over orders, where one without a hit counts 0."""
    return np.nan if np.isnan(scores).all() else summary(np.nan_to_num(scores))


def mean_of_tie(values, distances):
    """Return values by rank, each the mean of those at its distance."""
    means = {d: values[distances == d].mean() for d in np.unique(distances)}
    return np.array([means[d] for d in np.sort(distances)])


def expected_precision(distances, shared, k):
    return mean_of_tie(shared > 0, distances)[:k].sum() / k


def expected_recall(distances, shared, k):
    hits = mean_of_tie(shared > 0, distances)[:k].sum()
    return _divided(hits, np.count_nonzero(shared))


def expected_r_precision(distances, shared):
    return expected_recall(distances, shared, np.count_nonzero(shared))


def expected_cumulative_gain(distances, shared, k):
    return mean_of_tie(shared, distances)[:k].sum() / k


def expected_ndcg(distances, shared, k):
    discounts = 1 / np.log2(np.arange(k) + 2)
    gains = 2.0**shared - 1
    found = mean_of_tie(gains, distances)[:k] @ discounts
    return _divided(found, np.sort(gains)[::-1][:k] @ discounts)


def expected_average_precision(
    distances, shared, k, normalize="hits", *, weighted=False
):
    """Average precision expected where each tie is drawn at random, item by item.

    For each number of hits so far, there is the probability of it and the expected sum
    of precisions in that case. A hit is worth the mean gain of the hits of its tie.
    """
    n_relevant = np.count_nonzero(shared)
    counts = np.arange(min(k, n_relevant) + 1)
    probability, expected_sum = np.zeros((2, len(counts)))
    probability[0] = 1
    nearer = hits_nearer = gain_nearer = 0
    for distance in np.unique(distances):
        tie = shared[distances == distance]
        n, r = len(tie), np.count_nonzero(tie)
        worth = tie.sum() / r if weighted and r else 1.0
        for t in range(min(n, k - nearer)):
            hit = np.clip((hits_nearer + r - counts) / (n - t), 0, 1)
            gain = gain_nearer + (counts + 1 - hits_nearer) * worth
            with_hit = (expected_sum + probability * gain / (nearer + t + 1)) * hit
            expected_sum *= 1 - hit
            expected_sum[1:] += with_hit[:-1]
            with_hit = probability * hit
            probability *= 1 - hit
            probability[1:] += with_hit[:-1]
        nearer, hits_nearer = nearer + n, hits_nearer + r
        gain_nearer += r * worth
    divisor = {
        "hits": counts,
        "relevant": np.full(len(counts), n_relevant),
        "min": np.full(len(counts), min(k, n_relevant)),
    }[normalize]
    if not probability[divisor > 0].sum():
        return np.nan
    return np.sum(expected_sum / np.maximum(divisor, 1))


def expected_reciprocal_rank(distances, shared, k):
    """Reciprocal rank expected where each tie is drawn at random, item by item."""
    expected, no_hit_yet = 0.0, 1.0
    for rank, distance in enumerate(np.sort(distances)[:k], 1):
        tie = shared[distances == distance]
        n_left = np.count_nonzero(distances <= distance) - rank + 1
        hit = min(1.0, np.count_nonzero(tie) / n_left)
        expected += no_hit_yet * hit / rank
        no_hit_yet *= 1 - hit
    return expected if shared.any() else np.nan
