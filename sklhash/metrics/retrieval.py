"""What a fitted estimator retrieves: codes of queries and of the database they search.

Scorers and plots reach every estimator through this one file, by its public contract:
a search has `kneighbors`, `pack` and `live_items`, a hasher has `transform`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklhash._validation import check_same_length
from sklhash.codes import check_codes
from sklhash.targets import check_labels

__all__ = [
    "Retrieval",
    "check_database",
    "codes_of",
    "neighbors_of",
    "parts_of",
    "retrieval_of",
    "take_apart",
]


Encode = Callable[[Any, Any], tuple[NDArray[np.uint8], int]]


class Retrieval(NamedTuple):
    """Queries, a database, and the labels of both."""

    query_codes: NDArray[np.uint8]
    """Packed codes of shape (n_queries, n_bytes)."""

    database_codes: NDArray[np.uint8]
    """Packed codes of shape (n_database, n_bytes)."""

    query_y: Any
    """Labels, or the feature vectors where those say what is relevant."""

    database_y: Any
    """The same of the database."""

    exclude_self: bool
    """Whether query ``i`` is database item ``i`` and is to be left out for itself."""

    n_bits: int
    """Bits of a code; eight a byte if nothing tells more."""


def retrieval_of(
    estimator: Any,
    X: Any,
    y: Any,
    database: tuple[Any, Any] | None = None,
    encode: Encode | None = None,
) -> Retrieval:
    """Encode what an estimator retrieves for queries.

    Parameters
    ----------
    estimator : estimator
        A fitted hasher, a search among codes, or a pipeline that ends in one.

    X : array-like of shape (n_queries, n_features)
        Queries.

    y : array-like of shape (n_queries,) or (n_queries, n_labels)
        Their labels.

    database : tuple (X, y), default=None
        What a hasher's queries search; None is the queries themselves, each left out
        for itself. A search has a database of its own.

    encode : callable, default=None
        What encodes rows, ``encode(estimator, X)``; None is :func:`codes_of`.

    Returns
    -------
    retrieval : Retrieval

    Raises
    ------
    ValueError
        If `database` is no pair or is given for a search, the search was fitted without
        labels, or `y` is malformed.

    TypeError
        If the estimator is neither a hasher nor a search among codes.
    """
    _, last = take_apart(estimator)
    check_database(database)
    if y is not None:
        check_labels(y)
    if not hasattr(last, "kneighbors"):
        retrieval = _among(estimator, X, y, database, encode or codes_of)
        _check_lengths(retrieval.query_codes, y)
        return retrieval
    query_codes, n_bits = (encode or codes_of)(estimator, X)
    _check_lengths(query_codes, y)
    if database is not None:
        raise ValueError(
            f"{type(last).__name__} searches the database it was fitted on; "
            "database=(X, y) is for hashers."
        )
    database_codes, database_y = last.live_items()
    if database_y is None:
        raise ValueError(
            f"This {type(last).__name__} was fitted without y, so there are no labels "
            "to score against: fit(X, y)."
        )
    return Retrieval(query_codes, database_codes, y, database_y, False, n_bits)


def neighbors_of(
    estimator: Any,
    X: Any,
    database: tuple[Any, Any] | None = None,
    encode: Encode | None = None,
) -> Retrieval:
    """Encode what an estimator retrieves where feature vectors say what is near.

    As :func:`retrieval_of`, with features in place of labels. A search keeps codes, not
    features, so that it needs a `database` too, which is encoded anew.
    """
    _, last = take_apart(estimator)
    if database is None and hasattr(last, "kneighbors"):
        raise ValueError(
            f"{type(last).__name__} keeps codes, and the nearest of their feature "
            "vectors are asked for: give database=(X, y)."
        )
    if database is not None:
        database = database[0], database[0]
    return _among(estimator, X, X, database, encode or codes_of)


def check_database(database: Any) -> None:
    """Raise a ValueError if a database is neither None nor a pair."""
    if database is not None and (
        not isinstance(database, (tuple, list)) or len(database) != 2
    ):
        raise ValueError(
            f"database must be a pair (X, y), got {type(database).__name__}"
            f"{f' of {len(database)}' if hasattr(database, '__len__') else ''}."
        )


def codes_of(estimator: Any, X: Any) -> tuple[NDArray[np.uint8], int]:
    """Encode rows by a fitted hasher, a search, or a pipeline that ends in one.

    Returns
    -------
    packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
        Packed codes.

    n_bits : int
        Number of bits of a code; eight a byte if nothing tells more.

    Raises
    ------
    TypeError
        If the estimator is neither a hasher nor a search among codes.
    """
    steps, last = take_apart(estimator)
    searches = hasattr(last, "kneighbors")
    if isinstance(last, type) or not hasattr(last, "pack" if searches else "transform"):
        kind = last if isinstance(last, type) else type(last).__name__
        raise TypeError(
            "estimator must be a hasher or a search such as HammingNeighbors, which "
            f"have codes, got {kind}."
        )
    for step in steps:
        X = step.transform(X)
    n_bits: Any
    if searches:
        packed, is_packed = last.pack(X), getattr(last, "packed", True)
        n_bits = getattr(last, "n_features_in_", None)
    else:
        codes = np.asarray(last.transform(X))
        is_packed = bool(getattr(last, "packed", False))
        packed, n_bits = check_codes(codes, packed=is_packed), codes.shape[1]
    if not is_packed:
        return packed, n_bits
    hashers = [part for part in parts_of(estimator) if hasattr(part, "n_bits_")]
    return packed, hashers[-1].n_bits_ if hashers else 8 * packed.shape[1]


def parts_of(estimator: Any) -> list[Any]:
    """Return the steps of an estimator, and those of the hasher within a search."""
    steps, last = take_apart(estimator)
    inner = parts_of(last.hasher_) if hasattr(last, "hasher_") else []
    return [*steps, last, *inner]


def take_apart(estimator: Any) -> tuple[list[Any], Any]:
    """Return the steps before the last one, in inner pipelines too, and the last."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not hasattr(estimator, "steps"):
        return [], estimator
    *before, last = [
        step for _, step in estimator.steps if step not in (None, "passthrough")
    ]
    inner, last = take_apart(last)
    return [*before, *inner], last


def _check_lengths(query_codes: NDArray[np.uint8], y: Any) -> None:
    if y is not None:
        check_same_length(X=query_codes, y=y)


def _among(
    estimator: Any,
    X: Any,
    y: Any,
    database: tuple[Any, Any] | None,
    encode: Encode,
) -> Retrieval:
    """Let queries search a database, or without one themselves."""
    query_codes, n_bits = encode(estimator, X)
    if database is None:
        return Retrieval(query_codes, query_codes, y, y, True, n_bits)
    X_database, y_database = database
    database_codes, _ = encode(estimator, X_database)
    return Retrieval(query_codes, database_codes, y, y_database, False, n_bits)
