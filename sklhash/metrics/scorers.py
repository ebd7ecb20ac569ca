"""Scorers: retrieval scores of estimators, for model selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils.metadata_routing import MetadataRequest

from sklhash._validation import check_boolean
from sklhash.metrics.neighbor_recall import neighbor_recall_score
from sklhash.metrics.ranking import (
    mean_average_precision_score,
    precision_at_k_score,
    precision_within_radius_score,
)
from sklhash.metrics.relevance import shared_counts
from sklhash.metrics.retrieval import (
    Retrieval,
    check_database,
    codes_of,
    neighbors_of,
    retrieval_of,
)
from sklhash.targets import check_labels

__all__ = [
    "make_retrieval_scorer",
    "map_at_1000_scorer",
    "map_scorer",
    "neighbor_recall_scorer",
    "precision_at_100_scorer",
    "precision_within_radius_2_scorer",
]

Score = Callable[..., Any]


def make_retrieval_scorer(
    score: Score | Mapping[str, Score],
    *,
    database: tuple[Any, Any] | None = None,
    clip_k: bool = False,
    **kwargs: Any,
) -> RetrievalScorer:
    """Make a scorer ``(estimator, X, y)`` from one or several retrieval scores.

    What is searched depends on the estimator. If it is, or is a pipeline that ends in,
    a search such as :class:`~sklhash.HammingNeighbors`, `X` queries the fitted
    database. If it is, or is a pipeline that ends in, a hasher, `X` queries `database`
    or, without one, itself, each query left out.

    Parameters
    ----------
    score : callable or mapping of str to callable
        A score of the form ``score(query_codes, database_codes, query_y, database_y,
        *, exclude_self, packed, **kwargs)``, larger is better, such as
        :func:`~sklhash.metrics.mean_average_precision_score`. One that takes
        `query_X` and `database_X` instead of labels, such as
        :func:`~sklhash.metrics.neighbor_recall_score`, is given the features. With
        several, the scorer returns a dict, from one encoding and, of those that compare
        labels, one count; options of a single one go into a :func:`functools.partial`.

    database : tuple (X, y), default=None
        What a hasher's queries search: features (n_database, n_features), and labels
        (n_database,) or (n_database, n_labels).

    clip_k : bool, default=False
        Whether a `k` beyond what a query can retrieve is lowered to that, as folds may
        be small, instead of being refused.

    **kwargs : dict
        Passed on to every score, for example ``k=100``.

    Returns
    -------
    scorer : RetrievalScorer
        ``scorer(estimator, X, y, sample_weight=None)`` returns a float, or a dict of
        floats. It can be pickled and goes into the `scoring` parameter of
        scikit-learn's tools; several in a dict share one encoding and one count.
        ``scorer.set_score_request(sample_weight=True)`` asks for weights of the
        queries where scikit-learn routes metadata; it changes the scorer, so do not ask
        it of the ready-made ones, which all share.

    Raises
    ------
    ValueError
        If `database` is not a pair, or `kwargs` settle what follows from the estimator;
        at scoring, if `database` is given though the estimator searches its own, the
        search was fitted without labels, or features are wanted of a search that has
        none.

    TypeError
        If `score` is not callable or has no such option, names of scores are no str, or
        `clip_k` is no bool; at scoring, if the estimator is neither a hasher nor a
        search among codes.

    Examples
    --------
    >>> from functools import partial
    >>> from sklearn.datasets import load_digits
    >>> from sklhash import LSH
    >>> from sklhash.metrics import (
    ...     make_retrieval_scorer, mean_average_precision_score, precision_at_k_score)
    >>> X, y = load_digits(return_X_y=True)
    >>> lsh = LSH(n_bits=32, random_state=0).fit(X)
    >>> map_at_10 = make_retrieval_scorer(mean_average_precision_score, k=10)
    >>> bool(0.8 < map_at_10(lsh, X, y) < 1)
    True
    >>> several = make_retrieval_scorer({
    ...     "map": mean_average_precision_score,
    ...     "precision_at_10": partial(precision_at_k_score, k=10)})
    >>> sorted(several(lsh, X, y))
    ['map', 'precision_at_10']
    """
    check_database(database)
    check_boolean(clip_k, "clip_k")
    scores = score.values() if isinstance(score, Mapping) else [score]
    wrong = [of for of in scores if not callable(of)]
    if wrong or not scores:
        raise TypeError(
            "score must be a retrieval score or a mapping of names to some, got "
            f"{wrong[0] if wrong else score!r}."
        )
    if isinstance(score, Mapping):
        for name in score:
            if not isinstance(name, str):
                raise TypeError(f"score must have names that are str, got {name!r}.")
    for of in scores:
        _check_options({**getattr(of, "keywords", {}), **kwargs}, of)
    return RetrievalScorer(score, database, clip_k, kwargs)


class RetrievalScorer(_BaseScorer):
    """A scorer ``(estimator, X, y)``, as :func:`make_retrieval_scorer` describes it.

    scikit-learn's scorers of one estimator share a memory while they score, in which
    the codes and counts are kept.
    """

    def __init__(
        self,
        score: Score | Mapping[str, Score],
        database: tuple[Any, Any] | None,
        clip_k: bool,
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(score, 1, kwargs, response_method=["transform", "kneighbors"])
        self._database = database
        self._clip_k = clip_k
        self._metadata_request = MetadataRequest(owner=self)
        self._metadata_request.score.add_request(param="sample_weight", alias=None)

    def __repr__(self) -> str:
        if isinstance(self._score_func, Mapping):
            names = (f"{n!r}: {_name_of(s)}" for n, s in self._score_func.items())
            arguments = [f"{{{', '.join(names)}}}"]
        else:
            arguments = [_name_of(self._score_func)]
        if self._database is not None:
            arguments.append("database=(X, y)")
        if self._clip_k:
            arguments.append("clip_k=True")
        arguments += [f"{key}={value!r}" for key, value in self._kwargs.items()]
        return f"make_retrieval_scorer({', '.join(arguments)})"

    def __call__(
        self, estimator: Any, X: Any, y: Any = None, *, sample_weight: Any = None
    ) -> Any:
        """Score an estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted hasher or search, or a pipeline that ends in one.

        X : array-like of shape (n_queries, n_features)
            Queries.

        y : array-like of shape (n_queries,) or (n_queries, n_labels), default=None
            Their labels, for scores that want any.

        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float or dict of str to float
            The score, or the scores by the names they were given.
        """
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self._score(None, estimator, X, y, **weights)

    def _score(
        self, method_caller: Any, estimator: Any, X: Any, y: Any = None, **metadata: Any
    ) -> Any:
        memory = _memory_of(method_caller)
        with shared_counts(memory):
            if isinstance(self._score_func, Mapping):
                return {
                    name: self._apply(score, memory, estimator, X, y, metadata)
                    for name, score in self._score_func.items()
                }
            return self._apply(self._score_func, memory, estimator, X, y, metadata)

    def _apply(
        self,
        score: Score,
        memory: dict[Any, Any],
        estimator: Any,
        X: Any,
        y: Any,
        metadata: dict[str, Any],
    ) -> Any:
        compares_features = "query_X" in signature(score).parameters
        retrieval = self._retrieve(compares_features, memory, estimator, X, y)
        options = {**self._kwargs, **metadata}
        k = {**getattr(score, "keywords", {}), **self._kwargs}.get("k")
        if self._clip_k and k is not None:
            n_items = len(retrieval.database_codes) - retrieval.exclude_self
            options["k"] = min(k, n_items)
        return score(
            *retrieval[:4],
            exclude_self=retrieval.exclude_self,
            packed=True,
            **options,
        )

    def _retrieve(
        self,
        compares_features: bool,
        memory: dict[Any, Any],
        estimator: Any,
        X: Any,
        y: Any,
    ) -> Retrieval:
        """Encode what is retrieved; what is kept with the result keeps its id."""

        def encode(estimator: Any, X: Any) -> Any:
            if id(X) not in memory:
                memory[id(X)] = codes_of(estimator, X), X
            return memory[id(X)][0]

        database = self._database
        key = compares_features, *map(id, database or ())
        if key not in memory:
            if not compares_features:
                check_labels(y)
            retrieval = (
                neighbors_of(estimator, X, database, encode)
                if compares_features
                else retrieval_of(estimator, X, y, database, encode)
            )
            memory[key] = retrieval, database
        return memory[key][0]

    def _accept_sample_weight(self) -> bool:
        scores = self._score_func
        all_scores = scores.values() if isinstance(scores, Mapping) else [scores]
        return all("sample_weight" in signature(of).parameters for of in all_scores)


def _check_options(options: dict[str, Any], score: Score) -> None:
    settled = {"exclude_self", "packed", "average"} & set(options)
    if settled:
        raise ValueError(
            f"{sorted(settled)} follow from the estimator and cannot be given here."
        )
    parameters = signature(score).parameters
    takes_all = any(of.kind == of.VAR_KEYWORD for of in parameters.values())
    unknown = set() if takes_all else set(options) - set(parameters)
    if unknown:
        raise TypeError(f"{_name_of(score)} has no option {sorted(unknown)}.")


def _memory_of(method_caller: Any) -> dict[Any, Any]:
    """Return what scorers that score together share: the cache that they are handed."""
    cache = method_caller.args[0] if isinstance(method_caller, partial) else None
    return {} if cache is None else cache.setdefault("sklhash", {})


def _name_of(score: Score) -> str:
    if isinstance(score, partial):
        options = (f"{key}={value!r}" for key, value in score.keywords.items())
        return f"partial({', '.join([_name_of(score.func), *options])})"
    return getattr(score, "__name__", repr(score))


map_scorer = make_retrieval_scorer(mean_average_precision_score)
"""mAP over the whole ranking, ties expected: the default score of this library."""

map_at_1000_scorer = make_retrieval_scorer(
    mean_average_precision_score, clip_k=True, k=1000
)
"""mAP over the first 1000 items, or over all if there are fewer."""

precision_at_100_scorer = make_retrieval_scorer(
    precision_at_k_score, clip_k=True, k=100
)
"""Share of relevant items among the first 100, or among all if there are fewer."""

precision_within_radius_2_scorer = make_retrieval_scorer(precision_within_radius_score)
"""Share of relevant items within two bits; a query that finds nothing counts 0."""

neighbor_recall_scorer = make_retrieval_scorer(
    neighbor_recall_score, clip_k=True, k=100
)
"""Share of the ten nearest feature vectors among the first 100 items; no labels.

The vectors are those that the scorer is given, before any step of a pipeline.
"""
