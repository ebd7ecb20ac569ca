import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_validate,
    train_test_split,
)
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklhash import LSH, HammingNeighbors, OrthoHash
from sklhash.metrics import (
    make_retrieval_scorer,
    map_scorer,
    mean_average_precision_score,
)

FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X[:600], y[:600], test_size=150, random_state=0)


@pytest.mark.parametrize("packed", [False, True])
def test_a_search_is_queried_in_its_own_database(digits, packed):
    X, X_query, y, y_query = digits
    hasher = LSH(32, random_state=0, packed=packed)
    pipeline = make_pipeline(hasher, HammingNeighbors(packed=packed)).fit(X, y)
    expected = mean_average_precision_score(
        hasher.transform(X_query), hasher.transform(X), y_query, y, k=20, packed=packed
    )
    scorer = make_retrieval_scorer(mean_average_precision_score, k=20)
    assert scorer(pipeline, X_query, y_query) == expected


def test_a_bare_search_is_scored_too(digits):
    X, X_query, y, y_query = digits
    search = HammingNeighbors(threshold=5.0).fit(X, y)
    expected = mean_average_precision_score(X_query > 5, X > 5, y_query, y)
    assert map_scorer(search, X_query, y_query) == expected
    assert search.score(X_query, y_query) == expected


@pytest.mark.parametrize("packed", [False, True])
def test_a_hasher_is_queried_in_itself(digits, packed):
    X, _, y, _ = digits
    hasher = LSH(32, random_state=0, packed=packed).fit(X)
    codes = hasher.transform(X)
    expected = mean_average_precision_score(
        codes, codes, y, y, exclude_self=True, packed=packed
    )
    assert map_scorer(hasher, X, y) == expected
    assert hasher.score(X, y) == expected
    pipeline = make_pipeline(Normalizer(), LSH(32, random_state=0, packed=packed))
    assert 0 < map_scorer(pipeline.fit(X), X, y) < 1


def test_a_hasher_is_queried_in_the_database_given(digits):
    X, X_query, y, y_query = digits
    hasher = LSH(32, random_state=0).fit(X).set_output(transform="pandas")
    scorer = make_retrieval_scorer(mean_average_precision_score, database=(X, y))
    expected = mean_average_precision_score(
        hasher.transform(X_query), hasher.transform(X), y_query, y
    )
    assert scorer(hasher, X_query, y_query) == expected


def test_pipelines_in_pipelines_and_fitted_searches_are_taken_apart(digits):
    X, X_query, y, y_query = digits
    lsh = LSH(16, random_state=0, packed=True)
    flat = make_pipeline(Normalizer(), lsh, HammingNeighbors(packed=True)).fit(X, y)
    nested = make_pipeline(
        Normalizer(), "passthrough", make_pipeline(lsh, HammingNeighbors(packed=True))
    ).fit(X, y)
    chosen = GridSearchCV(flat, {"lsh__n_bits": [16]}, cv=FOLDS).fit(X, y)
    expected = flat.score(X_query, y_query)
    assert map_scorer(nested, X_query, y_query) == expected
    assert map_scorer(chosen, X_query, y_query) == expected
    hasher = make_pipeline(Normalizer(), make_pipeline(lsh)).fit(X, y)
    chosen = GridSearchCV(hasher, {"pipeline__lsh__n_bits": [16]}, cv=FOLDS).fit(X, y)
    assert map_scorer(chosen, X, y) == map_scorer(hasher, X, y)


def test_unfitted_estimators_say_so(digits):
    X, _, y, _ = digits
    for estimator in (
        LSH(),
        HammingNeighbors(threshold=0.0),
        make_pipeline(LSH(), HammingNeighbors()),
    ):
        with pytest.raises(NotFittedError):
            map_scorer(estimator, X, y)


def test_what_cannot_be_scored_is_refused(digits):
    X, X_query, y, y_query = digits
    with pytest.raises(ValueError, match=r"a pair \(X, y\), got tuple of 3"):
        make_retrieval_scorer(mean_average_precision_score, database=(X, y, y))
    with pytest.raises(ValueError, match=r"a pair \(X, y\), got int"):
        make_retrieval_scorer(mean_average_precision_score, database=5)
    with pytest.raises(ValueError, match=r"\['packed'\] follow from the estimator"):
        make_retrieval_scorer(mean_average_precision_score, packed=True)
    unlabelled = make_pipeline(LSH(8), HammingNeighbors()).fit(X)
    with pytest.raises(ValueError, match="fitted without y"):
        map_scorer(unlabelled, X_query, y_query)
    with pytest.raises(ValueError, match="fitted without y"):
        unlabelled.score(X_query, y_query)
    scorer = make_retrieval_scorer(mean_average_precision_score, database=(X, y))
    labelled = make_pipeline(LSH(8), HammingNeighbors()).fit(X, y)
    with pytest.raises(ValueError, match="searches the database it was fitted on"):
        scorer(labelled, X_query, y_query)
    for stranger in (KNeighborsClassifier(), LogisticRegression(), NearestNeighbors()):
        with pytest.raises(TypeError, match=f"got {type(stranger).__name__}"):
            map_scorer(stranger.fit(X[:20], y[:20]), X_query, y_query)
    too_many = make_retrieval_scorer(mean_average_precision_score, k=10_000)
    with pytest.raises(ValueError, match="k must be at most"):
        too_many(labelled, X_query, y_query)


def test_scorers_pickle_and_say_what_they_are(digits):
    X, _, y, _ = digits
    scorer = make_retrieval_scorer(mean_average_precision_score, k=5, database=(X, y))
    hasher = LSH(16, random_state=0).fit(X)
    assert pickle.loads(pickle.dumps(scorer))(hasher, X, y) == scorer(hasher, X, y)
    assert repr(scorer) == (
        "make_retrieval_scorer(mean_average_precision_score, database=(X, y), k=5)"
    )


@pytest.mark.parametrize(
    ("estimator", "name", "scoring"),
    [
        (
            make_pipeline(Normalizer(), OrthoHash(), HammingNeighbors()),
            "orthohash__",
            None,
        ),
        (
            make_pipeline(Normalizer(), OrthoHash(), HammingNeighbors()),
            "orthohash__",
            map_scorer,
        ),
        (OrthoHash(), "", map_scorer),
        (OrthoHash(), "", None),
    ],
)
def test_grid_search_gives_the_same_with_any_number_of_jobs(
    digits, estimator, name, scoring
):
    X, _, y, _ = digits
    grid = {f"{name}n_bits": [4, 32], f"{name}max_epochs": [3]}
    estimator = estimator.set_params(**{f"{name}random_state": 0})
    searches = [
        GridSearchCV(estimator, grid, scoring=scoring, cv=FOLDS, n_jobs=n_jobs).fit(
            X, y
        )
        for n_jobs in (1, 2)
    ]
    assert searches[0].best_params_ == searches[1].best_params_
    assert searches[0].best_params_[f"{name}n_bits"] == 32
    assert np.isfinite(searches[0].cv_results_["mean_test_score"]).all()


def test_scorers_work_in_cross_validate_and_permutation_importance(digits):
    X, X_query, y, y_query = digits
    pipeline = make_pipeline(LSH(16, random_state=0), HammingNeighbors())
    scoring = {
        "map": map_scorer,
        "map_at_10": make_retrieval_scorer(mean_average_precision_score, k=10),
    }
    scores = cross_validate(pipeline, X, y, scoring=scoring, cv=FOLDS)
    assert (scores["test_map_at_10"] > scores["test_map"]).all()
    importance = permutation_importance(
        pipeline.fit(X, y),
        X_query,
        y_query,
        scoring=map_scorer,
        n_repeats=2,
        random_state=0,
    )
    assert importance.importances_mean.max() > 0
    assert importance.importances_mean[0] == 0  # the first pixel is always blank


def test_folds_that_share_no_class_are_warned_of(digits):
    X, _, y, _ = digits
    order = np.argsort(y)[: 2 * (y == 0).sum()]
    sorted_X, sorted_y = X[order], np.repeat([0, 1], len(order) // 2)
    pipeline = make_pipeline(LSH(8, random_state=0), HammingNeighbors())
    with pytest.warns(UndefinedMetricWarning, match="share any class"):
        scores = cross_validate(pipeline, sorted_X, sorted_y, cv=2)
    assert (scores["test_score"] == 0).all()
