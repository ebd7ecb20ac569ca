"""Codes with labels: drawn at random, or near a code of their class."""

from typing import NamedTuple

import numpy as np

FLIP_RATE = 0.3
LABEL_RATE = 0.04
N_LABELS = 81


class Retrieval(NamedTuple):
    """Packed codes, uint8 (n, n_bytes), and classes or label indicators."""

    query_codes: np.ndarray
    database_codes: np.ndarray
    query_y: np.ndarray
    database_y: np.ndarray

    def head(self, n_queries: int) -> "Retrieval":
        return self._replace(
            query_codes=self.query_codes[:n_queries], query_y=self.query_y[:n_queries]
        )


def uniform(n_queries: int, n_database: int, n_bits: int, n_classes: int) -> Retrieval:
    rng = np.random.default_rng(0)
    sizes = n_queries, n_database
    codes = [rng.integers(256, size=(n, n_bits // 8), dtype=np.uint8) for n in sizes]
    return Retrieval(*codes, *(rng.integers(n_classes, size=n) for n in sizes))


def trained(n_queries: int, n_database: int, n_bits: int, n_classes: int) -> Retrieval:
    """Return codes that differ from that of their class in 30 % of the bits."""
    rng = np.random.default_rng(0)
    codebook = rng.integers(2, size=(n_classes, n_bits), dtype=np.uint8)
    y = [rng.integers(n_classes, size=n) for n in (n_queries, n_database)]
    codes = [
        np.packbits(codebook[of] ^ (rng.random((len(of), n_bits)) < FLIP_RATE), axis=1)
        for of in y
    ]
    return Retrieval(*codes, *y)


def multilabel(retrieval: Retrieval) -> Retrieval:
    """Give the same codes 81 labels, of which a row has three on average."""
    rng = np.random.default_rng(0)
    y = [
        (rng.random((len(of), N_LABELS)) < LABEL_RATE).astype(np.uint8)
        for of in (retrieval.query_y, retrieval.database_y)
    ]
    return retrieval._replace(query_y=y[0], database_y=y[1])


MAKERS = {"uniform": uniform, "trained": trained}
