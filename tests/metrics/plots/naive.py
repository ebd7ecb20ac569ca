"""Codes with labels, and what is relevant at which distance, pair by pair."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

N_BITS = 12  # two bytes with padding


def codes_and_labels(n_bits=N_BITS, multilabel=False):
    """Codes of 9 queries and 50 items that lie nearer to the items they share with."""
    rng = np.random.default_rng(n_bits)
    y = rng.integers(2, size=(59, 3)) if multilabel else rng.integers(3, size=59)
    prototypes = rng.integers(2, size=(3, n_bits))
    classes = y.argmax(axis=1) if multilabel else y
    codes = prototypes[classes] ^ (rng.random((59, n_bits)) < 0.1)
    return codes[:9], codes[9:], y[:9], y[9:]


def judged(query_codes, database_codes, query_y, database_y, exclude_self=False):
    """Return the distances of the items to each query, and whether each is relevant."""
    found = []
    for i, (query, label) in enumerate(zip(query_codes, query_y, strict=True)):
        pairs = [
            (np.count_nonzero(query != code), bool(np.any(shares(label, other))))
            for j, (code, other) in enumerate(
                zip(database_codes, database_y, strict=True)
            )
            if not (exclude_self and i == j)
        ]
        found.append(tuple(np.array(column) for column in zip(*pairs, strict=True)))
    return found


def shares(label, other):
    return np.logical_and(label, other) if np.ndim(label) else label == other


def expected_hits(distances, relevant, k):
    """Sum, over the relevant items, of the chance to be among the first k."""
    hits = 0.0
    for distance in distances[relevant]:
        n_nearer = np.count_nonzero(distances < distance)
        n_tied = np.count_nonzero(distances == distance)
        hits += np.clip((k - n_nearer) / n_tied, 0, 1)
    return hits


def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X[:500], y[:500], test_size=60, random_state=0)
