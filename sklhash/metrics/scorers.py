"""Scorers: retrieval scores of estimators, for model selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sklhash.metrics.ranking import mean_average_precision_score

__all__ = ["make_retrieval_scorer", "map_scorer"]


def make_retrieval_scorer(
    score: Callable[..., float],
    *,
    database: tuple[Any, Any] | None = None,
    **kwargs: Any,
) -> Callable[[Any, Any, Any], float]:
    """Make a scorer ``(estimator, X, y)`` from a retrieval score.

    What is searched depends on the estimator. If it is, or is a pipeline that ends in,
    a search such as :class:`~sklhash.HammingNeighbors`, `X` queries the fitted
    database. If it is, or is a pipeline that ends in, a hasher, `X` queries `database`
    or, without one, itself, each query left out.

    Parameters
    ----------
    score : callable
        A score of the form ``score(query_codes, database_codes, query_y, database_y,
        *, exclude_self, packed, **kwargs)``, larger is better, such as
        :func:`~sklhash.metrics.mean_average_precision_score`.

    database : tuple (X, y), default=None
        Samples and labels that a hasher's queries search.

    **kwargs : dict
        Passed on to `score`, for example ``k=100``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)`` returns a float. It can be pickled and goes into
        the `scoring` parameter of scikit-learn's tools.

    Raises
    ------
    ValueError
        If `database` is not a pair; at scoring, if it is given though the estimator
        searches its own, or the search was fitted without labels.

    TypeError
        At scoring, if the estimator is neither a hasher nor a search among codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> from sklhash.metrics import make_retrieval_scorer, mean_average_precision_score
    >>> X, y = load_digits(return_X_y=True)
    >>> map_at_10 = make_retrieval_scorer(mean_average_precision_score, k=10)
    >>> lsh = LSH(n_bits=32, random_state=0).fit(X)
    >>> bool(0.8 < map_at_10(lsh, X, y) < 1)
    True
    """
    if database is not None and (
        not isinstance(database, (tuple, list)) or len(database) != 2
    ):
        raise ValueError(
            f"database must be a pair (X, y), got {type(database).__name__}"
            f"{f' of {len(database)}' if hasattr(database, '__len__') else ''}."
        )
    settled = {"exclude_self", "packed"} & set(kwargs)
    if settled:
        raise ValueError(
            f"{sorted(settled)} follow from the estimator and cannot be given here."
        )
    return _RetrievalScorer(score, database, kwargs)


class _RetrievalScorer:
    """A scorer ``(estimator, X, y)``, as :func:`make_retrieval_scorer` describes it."""

    def __init__(
        self,
        score: Callable[..., float],
        database: tuple[Any, Any] | None,
        kwargs: dict[str, Any],
    ) -> None:
        self._score = score
        self._database = database
        self._kwargs = kwargs

    def __repr__(self) -> str:
        name = getattr(self._score, "__name__", repr(self._score))
        arguments = [name, *(f"{key}={value!r}" for key, value in self._kwargs.items())]
        if self._database is not None:
            arguments.insert(1, "database=(X, y)")
        return f"make_retrieval_scorer({', '.join(arguments)})"

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        steps, last = _take_apart(estimator)
        searches = hasattr(last, "kneighbors")
        if not hasattr(last, "pack" if searches else "transform"):
            raise TypeError(
                "A retrieval scorer scores hashers and searches among codes such as "
                f"HammingNeighbors, got {type(last).__name__}."
            )
        if searches:
            return self._score_search(steps, last, X, y)
        return self._score_hasher(estimator, last, X, y)

    def _score_search(self, steps: list[Any], search: Any, X: Any, y: Any) -> float:
        if self._database is not None:
            raise ValueError(
                f"{type(search).__name__} searches the database it was fitted on; a "
                "scorer made with database=(X, y) scores hashers."
            )
        for step in steps:
            X = step.transform(X)
        codes = search.pack(X)
        database_codes, database_y = search.live_items()
        if database_y is None:
            raise ValueError(
                f"This {type(search).__name__} was fitted without y, so there are no "
                "labels to score against: fit(X, y)."
            )
        return self._score(
            codes, database_codes, y, database_y, packed=True, **self._kwargs
        )

    def _score_hasher(self, estimator: Any, hasher: Any, X: Any, y: Any) -> float:
        packed = bool(getattr(hasher, "packed", False))
        codes = np.asarray(estimator.transform(X))
        if self._database is None:
            return self._score(
                codes, codes, y, y, exclude_self=True, packed=packed, **self._kwargs
            )
        X_database, y_database = self._database
        database_codes = np.asarray(estimator.transform(X_database))
        return self._score(
            codes, database_codes, y, y_database, packed=packed, **self._kwargs
        )


def _take_apart(estimator: Any) -> tuple[list[Any], Any]:
    """Return the steps before the last one, in inner pipelines too, and the last."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not hasattr(estimator, "steps"):
        return [], estimator
    *before, last = [
        step for _, step in estimator.steps if step not in (None, "passthrough")
    ]
    inner, last = _take_apart(last)
    return [*before, *inner], last


map_scorer = make_retrieval_scorer(mean_average_precision_score)
"""mAP over the whole ranking, ties expected: the default score of this library."""
