"""mAP@k as research code computes it: a sort of the database for every query.

Written from the rule that such codes share: relevance is the product of label
indicators, distance half of n_bits less the product of codes of -1 and 1, and AP@k the
mean of the precisions at the hits among the first k.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from .retrievals import Retrieval

Order = Callable[[np.ndarray, int], np.ndarray]


def quick(distances: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(distances)[:k]


def stable(distances: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(distances, kind="stable")[:k]


def topk(distances: np.ndarray, k: int) -> np.ndarray:
    return torch.topk(torch.from_numpy(distances), k, largest=False).indices.numpy()


class Peer:
    """The mAP of a retrieval, ranked by an order."""

    def __init__(self, retrieval: Retrieval, order: Order) -> None:
        self._queries, self._database = (
            np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1
            for codes in (retrieval.query_codes, retrieval.database_codes)
        )
        n_classes = 1 + max(retrieval.query_y.max(), retrieval.database_y.max())
        self._query_labels, self._database_labels = (
            np.eye(n_classes)[y] for y in (retrieval.query_y, retrieval.database_y)
        )
        self._order = order

    def __call__(self, k: int) -> np.ndarray:
        """Return the average precision of each query."""
        return np.array([self._of_query(q, k) for q in range(len(self._queries))])

    def _relevant(self, q: int) -> np.ndarray:
        return self._database_labels @ self._query_labels[q] > 0

    def _of_query(self, q: int, k: int) -> float:
        relevant = self._relevant(q)
        n_bits = self._queries.shape[1]
        distances = 0.5 * (n_bits - self._database @ self._queries[q])
        ranks = np.flatnonzero(relevant[self._order(distances, k)]) + 1
        if len(ranks) == 0:
            return 0.0
        return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


class ScikitLearn(Peer):
    """average_precision_score, which takes all items of a tie at once."""

    def __init__(self, retrieval: Retrieval) -> None:
        super().__init__(retrieval, quick)

    def _of_query(self, q: int, k: int) -> float:
        similarities = self._database @ self._queries[q]
        return average_precision_score(self._relevant(q), similarities)


def make_peers(retrieval: Retrieval, k: int) -> dict[str, Peer]:
    """Return the peers that can compute mAP@k."""
    peers = {
        "argsort": Peer(retrieval, quick),
        "stable argsort": Peer(retrieval, stable),
        "torch.topk": Peer(retrieval, topk),
    }
    if k == len(retrieval.database_codes):
        peers["scikit-learn"] = ScikitLearn(retrieval)
    return peers
