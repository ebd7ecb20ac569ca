"""What a fitted estimator retrieves: codes of queries and of the database they search.

Scorers and plots reach every estimator through this one file, by its public contract:
a search has `kneighbors`, `pack` and `live_items`, a hasher has `transform`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklhash.codes import check_codes

__all__ = ["Retrieval", "neighbors_of", "retrieval_of", "take_apart"]


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


def retrieval_of(
    estimator: Any, X: Any, y: Any, database: tuple[Any, Any] | None = None
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

    Returns
    -------
    retrieval : Retrieval

    Raises
    ------
    ValueError
        If `database` is given for a search, or the search was fitted without labels.

    TypeError
        If the estimator is neither a hasher nor a search among codes.
    """
    _, last = take_apart(estimator)
    _check_retrieves(last)
    if hasattr(last, "kneighbors"):
        return _of_search(estimator, X, y, database)
    query_codes = _encode(estimator, X)
    if database is None:
        return Retrieval(query_codes, query_codes, y, y, True)
    X_database, y_database = database
    return Retrieval(query_codes, _encode(estimator, X_database), y, y_database, False)


def neighbors_of(
    estimator: Any, X: Any, database: tuple[Any, Any] | None = None
) -> Retrieval:
    """Encode what an estimator retrieves where feature vectors say what is near.

    As :func:`retrieval_of`, with features in place of labels. A search keeps codes, not
    features, so that it needs a `database` too, which is encoded anew.
    """
    _, last = take_apart(estimator)
    _check_retrieves(last)
    if database is None:
        if hasattr(last, "kneighbors"):
            raise ValueError(
                f"{type(last).__name__} keeps codes, and the nearest neighbors of "
                "their feature vectors are asked for: give database=(X, y)."
            )
        query_codes = _encode(estimator, X)
        return Retrieval(query_codes, query_codes, X, X, True)
    X_database = database[0]
    codes = _encode(estimator, X), _encode(estimator, X_database)
    return Retrieval(*codes, X, X_database, False)


def _check_retrieves(last: Any) -> None:
    if not hasattr(last, "pack" if hasattr(last, "kneighbors") else "transform"):
        raise TypeError(
            "A retrieval scorer or display is for hashers and searches among codes "
            f"such as HammingNeighbors, got {type(last).__name__}."
        )


def _encode(estimator: Any, X: Any) -> NDArray[np.uint8]:
    steps, last = take_apart(estimator)
    for step in steps:
        X = step.transform(X)
    if hasattr(last, "kneighbors"):
        return last.pack(X)
    packed = bool(getattr(last, "packed", False))
    return check_codes(np.asarray(last.transform(X)), packed=packed)


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


def _of_search(
    estimator: Any, X: Any, y: Any, database: tuple[Any, Any] | None
) -> Retrieval:
    _, search = take_apart(estimator)
    if database is not None:
        raise ValueError(
            f"{type(search).__name__} searches the database it was fitted on; "
            "database=(X, y) is for hashers."
        )
    database_codes, database_y = search.live_items()
    if database_y is None:
        raise ValueError(
            f"This {type(search).__name__} was fitted without y, so there are no "
            "labels to score against: fit(X, y)."
        )
    return Retrieval(_encode(estimator, X), database_codes, y, database_y, False)
