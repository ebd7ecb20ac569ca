"""Scorers in scikit-learn's tools: sharing, routing, small folds, odd input."""

from functools import partial

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline

from sklhash import LSH, PCAH, HammingNeighbors
from sklhash.metrics import (
    make_retrieval_scorer,
    map_at_1000_scorer,
    map_scorer,
    mean_average_precision_score,
    ndcg_at_k_score,
    neighbor_recall_score,
    neighbor_recall_scorer,
    precision_at_100_scorer,
    precision_at_k_score,
    precision_within_radius_2_scorer,
    precision_within_radius_score,
)
from sklhash.metrics.relevance import Relevance

READY_MADE = {
    "map": map_scorer,
    "map_at_1000": map_at_1000_scorer,
    "precision_at_100": precision_at_100_scorer,
    "precision_within_radius_2": precision_within_radius_2_scorer,
}
FOLDS = StratifiedKFold(2, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X[:500], y[:500], test_size=100, random_state=0)


def make_search(n_bits=16):
    return make_pipeline(LSH(n_bits, random_state=0), HammingNeighbors())


class Calls:
    """Count the calls of a method."""

    def __init__(self, monkeypatch, cls, name):
        self.n = 0
        method = getattr(cls, name)

        def counted(*args, **kwargs):
            self.n += 1
            return method(*args, **kwargs)

        monkeypatch.setattr(cls, name, counted)


def test_ready_made_scorers_are_the_metrics(digits):
    X, X_query, y, y_query = digits
    pipeline = make_search().fit(X, y)
    retrieval = pipeline[0].transform(X_query), pipeline[0].transform(X), y_query, y
    expected = {
        "map": mean_average_precision_score(*retrieval),
        "map_at_1000": mean_average_precision_score(*retrieval, k=400),
        "precision_at_100": precision_at_k_score(*retrieval, k=100),
        "precision_within_radius_2": precision_within_radius_score(*retrieval),
    }
    found = {
        name: scorer(pipeline, X_query, y_query) for name, scorer in READY_MADE.items()
    }
    assert found == expected


def test_ready_made_scorers_clip_k_to_what_a_query_can_retrieve(digits):
    X, _, y, _ = digits
    lsh = LSH(16, random_state=0).fit(X)
    few = lsh.transform(X[:30])
    expected = precision_at_k_score(few, few, y[:30], y[:30], k=29, exclude_self=True)
    assert precision_at_100_scorer(lsh, X[:30], y[:30]) == expected
    clipped = make_retrieval_scorer(
        {"p": partial(precision_at_k_score, k=100)}, clip_k=True
    )
    assert clipped(lsh, X[:30], y[:30]) == {"p": expected}


@pytest.mark.parametrize(
    ("k", "message"), [(0, "'k' parameter"), (500, "at most the 400")]
)
def test_a_wrong_k_is_refused(digits, k, message):
    X, X_query, y, y_query = digits
    scorer = make_retrieval_scorer(precision_at_k_score, k=k)
    with pytest.raises(ValueError, match=message):
        scorer(make_search().fit(X, y), X_query, y_query)
    if k == 0:
        clipped = make_retrieval_scorer(precision_at_k_score, k=k, clip_k=True)
        with pytest.raises(ValueError, match=message):
            clipped(make_search().fit(X, y), X_query, y_query)


def test_options_that_no_score_has_are_refused_when_the_scorer_is_made():
    with pytest.raises(TypeError, match=r"precision_at_k_score has no option \['K'\]"):
        make_retrieval_scorer(precision_at_k_score, K=5)
    with pytest.raises(ValueError, match="'average'"):
        make_retrieval_scorer({"p": partial(precision_at_k_score, average=None)})


def test_labels_of_another_kind_are_refused(digits):
    X, X_query, y, y_query = digits
    with pytest.raises(ValueError, match="one kind"):
        map_scorer(make_search().fit(X, y), X_query, y_query.astype(str))
    with pytest.raises(ValueError, match="y must be class labels .* got None"):
        map_scorer(make_search().fit(X, y), X_query)


def test_several_scorers_share_one_encoding_and_one_count(digits, monkeypatch):
    X, _, y, _ = digits
    transforms = Calls(monkeypatch, LSH, "transform")
    counts = Calls(monkeypatch, Relevance, "_count")
    together = cross_validate(make_search(), X, y, scoring=READY_MADE, cv=FOLDS)
    of_fits = 2  # the pipelines' own
    assert transforms.n == of_fits + 2
    assert counts.n == 2
    for name, scorer in READY_MADE.items():
        alone = cross_validate(make_search(), X, y, scoring=scorer, cv=FOLDS)
        np.testing.assert_array_equal(together[f"test_{name}"], alone["test_score"])


def test_scorers_with_one_database_and_of_features_share_the_encoding(
    digits, monkeypatch
):
    X, X_query, y, y_query = digits
    scoring = {
        "map": make_retrieval_scorer(mean_average_precision_score, database=(X, y)),
        "p": make_retrieval_scorer(precision_at_k_score, k=5, database=(X, y)),
        "recall": make_retrieval_scorer(neighbor_recall_score, database=(X, y)),
    }
    lsh = LSH(16, random_state=0).fit(X)
    expected = {name: scorer(lsh, X_query, y_query) for name, scorer in scoring.items()}
    transforms = Calls(monkeypatch, LSH, "transform")
    found = cross_validate(
        lsh, X_query, y_query, scoring=scoring, cv=[(np.arange(100), np.arange(100))]
    )
    assert transforms.n == 2
    assert set(found) >= {"test_map", "test_p", "test_recall"}
    assert all(0 < expected[name] < 1 for name in scoring)


def test_one_scorer_gives_several_scores_from_one_encoding(digits, monkeypatch):
    X, X_query, y, y_query = digits
    several = make_retrieval_scorer(
        {
            "map": mean_average_precision_score,
            "ndcg": partial(ndcg_at_k_score, k=20),
        }
    )
    pipeline = make_search().fit(X, y)
    transforms = Calls(monkeypatch, LSH, "transform")
    counts = Calls(monkeypatch, Relevance, "_count")
    scores = several(pipeline, X_query, y_query)
    assert (transforms.n, counts.n) == (1, 1)
    assert scores["map"] == map_scorer(pipeline, X_query, y_query)
    search = GridSearchCV(
        make_search(), {"lsh__n_bits": [4, 16]}, scoring=several, refit="ndcg", cv=FOLDS
    ).fit(X, y)
    assert search.best_params_ == {"lsh__n_bits": 16}
    assert (search.cv_results_["mean_test_map"] > 0).all()


def test_scorers_that_share_see_an_estimator_that_goes_on_learning(digits):
    X, X_query, _, y_query = digits
    hasher = PCAH(8).fit(X[:50])
    scorer = make_retrieval_scorer({"map": mean_average_precision_score})
    before = scorer(hasher, X_query, y_query)
    hasher.partial_fit(X[50:] * np.linspace(0.1, 3, X.shape[1]))
    assert scorer(hasher, X_query, y_query) != before


def test_scorers_work_in_halving_search_learning_curve_and_importance(digits):
    X, X_query, y, y_query = digits
    search = HalvingGridSearchCV(
        make_search(),
        {"lsh__n_bits": [2, 4, 16]},
        scoring=map_at_1000_scorer,
        cv=FOLDS,
        random_state=0,
    ).fit(X, y)
    assert search.best_params_["lsh__n_bits"] == 16
    sizes, _, scores = learning_curve(
        make_search(),
        X,
        y,
        scoring=precision_at_100_scorer,
        cv=FOLDS,
        train_sizes=[0.5, 1.0],
    )
    assert scores.shape == (len(sizes), 2)
    assert (scores > 0.1).all()
    importance = permutation_importance(
        make_search().fit(X, y),
        X_query,
        y_query,
        scoring=READY_MADE,
        n_repeats=2,
        random_state=0,
    )
    assert importance["map"].importances_mean.max() > 0


def test_weights_of_queries_reach_the_score(digits):
    X, X_query, y, y_query = digits
    pipeline = make_search().fit(X, y)
    weights = (y_query == 3).astype(float)
    only = map_scorer(pipeline, X_query[y_query == 3], y_query[y_query == 3])
    weighted = map_scorer(pipeline, X_query, y_query, sample_weight=weights)
    assert weighted == pytest.approx(only)
    assert weighted != map_scorer(pipeline, X_query, y_query)


def test_metadata_routing_carries_the_weights(digits):
    X, _, y, _ = digits
    weights = np.where(y == 3, 1.0, 0.0)
    with config_context(enable_metadata_routing=True):
        scorer = make_retrieval_scorer(mean_average_precision_score)
        asked = scorer.set_score_request(sample_weight=True)
        search = HammingNeighbors(threshold=8.0)
        kwargs = {"cv": FOLDS, "params": {"sample_weight": weights}}
        scores = cross_validate(search, X, y, scoring=asked, **kwargs)["test_score"]
        plain = make_retrieval_scorer(mean_average_precision_score, k=50)
        both = {"asked": asked, "plain": plain.set_score_request(sample_weight=False)}
        together = cross_validate(search, X, y, scoring=both, **kwargs)
    expected = []
    for train, test in FOLDS.split(X, y):
        test = test[y[test] == 3]
        expected.append(map_scorer(search.fit(X[train], y[train]), X[test], y[test]))
    np.testing.assert_allclose(scores, expected)
    np.testing.assert_allclose(together["test_asked"], expected)
    assert not np.allclose(together["test_plain"], expected)


def test_features_say_what_is_near_without_labels(digits):
    X, X_query, _, _ = digits
    lsh = LSH(32, random_state=0).fit(X)
    scorer = make_retrieval_scorer(neighbor_recall_score, database=(X, None), k=40)
    codes = lsh.transform(X_query), lsh.transform(X)
    expected = neighbor_recall_score(*codes, X_query, X, k=40)
    assert scorer(lsh, X_query) == expected
    assert scorer(make_search(32).fit(X), X_query) == expected
    assert 0.5 < neighbor_recall_scorer(lsh, X) < 1
    grid = GridSearchCV(
        LSH(random_state=0), {"n_bits": [2, 32]}, scoring=neighbor_recall_scorer, cv=2
    ).fit(X)
    assert grid.best_params_ == {"n_bits": 32}


def test_a_search_has_no_features_to_compare_with(digits):
    X, X_query, y, y_query = digits
    with pytest.raises(ValueError, match=r"keeps codes.*give database=\(X, y\)"):
        neighbor_recall_scorer(make_search().fit(X, y), X_query, y_query)


@pytest.mark.parametrize("score", [3, {}, {"map": "map"}])
def test_what_is_no_score_is_refused(score):
    with pytest.raises(TypeError, match="score must be a retrieval score"):
        make_retrieval_scorer(score)


def test_scorers_say_what_they_are():
    assert repr(map_at_1000_scorer) == (
        "make_retrieval_scorer(mean_average_precision_score, clip_k=True, k=1000)"
    )
    scorer = make_retrieval_scorer({"p": partial(precision_at_k_score, k=5)})
    assert repr(scorer) == (
        "make_retrieval_scorer({'p': partial(precision_at_k_score, k=5)})"
    )
