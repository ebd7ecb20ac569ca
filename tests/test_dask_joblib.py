"""Model selection on a cluster, through joblib: the scores are those of one process."""

import os

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from sklhash import ITQ, LSH, HammingNeighbors, HashedNeighbors, OrthoHash
from sklhash.metrics import map_scorer, precision_at_100_scorer

FOLDS = StratifiedKFold(2)
SCORERS = {"map": map_scorer, "precision": precision_at_100_scorer}
ORTHOHASH = OrthoHash(16, max_epochs=3, device="cpu", random_state=0)


class NotHere(LSH):
    """A hasher that learns in no process but those of a cluster."""

    forbidden: int | None = None

    def fit(self, X, y=None):
        assert os.getpid() != self.forbidden
        return super().fit(X, y)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600].astype(np.float32), y[:600]


@pytest.fixture(autouse=True)
def one_thread():
    """Compute by one thread, as a worker does: fits depend on it a little."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def scores_of(results):
    """Return what was scored on test rows, but no times and ranks."""
    return {
        name: list(scores)
        for name, scores in results.items()
        if "test_" in name and not name.startswith("rank_")
    }


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("searched", [False, True], ids=["hasher", "search"])
def test_a_grid_search_has_the_scores_of_a_serial_one(searched, digits):
    search = [("search", HammingNeighbors())] if searched else []
    selection = GridSearchCV(
        Pipeline([("hasher", LSH()), *search]),
        [
            {"hasher": [LSH(random_state=0)], "hasher__n_bits": [16, 32]},
            {"hasher": [ORTHOHASH], "hasher__n_bits": [16, 32]},
        ],
        scoring=SCORERS,
        cv=FOLDS,
        refit="map",
        error_score="raise",
    )
    expected = selection.fit(*digits).cv_results_
    hasher = selection.best_estimator_["hasher"]
    with joblib.parallel_config("dask"):
        selection.fit(*digits)
    assert scores_of(selection.cv_results_) == scores_of(expected)
    assert len(scores_of(expected)) == 8
    best = selection.best_estimator_["hasher"]
    assert type(best) is type(hasher) is OrthoHash
    np.testing.assert_array_equal(
        best.decision_function(digits[0]), hasher.decision_function(digits[0])
    )


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(ORTHOHASH, HammingNeighbors(algorithm="multi_index")),
        HashedNeighbors(ORTHOHASH),
        HashedNeighbors(ITQ(16, random_state=0), rerank="cosine"),
    ],
    ids=["search", "index", "reranked"],
)
def test_a_cross_validation_has_the_scores_of_a_serial_one(estimator, digits):
    def validate():
        return cross_validate(
            estimator, *digits, cv=FOLDS, scoring=SCORERS, return_estimator=True
        )

    expected = validate()
    with joblib.parallel_config("dask"):
        results = validate()
    assert scores_of(results) == scores_of(expected)
    for fitted, serial in zip(results["estimator"], expected["estimator"], strict=True):
        assert fitted.score(*digits) == serial.score(*digits)


@pytest.mark.usefixtures("client")
def test_the_workers_do_the_work(digits):
    hasher = NotHere(16, random_state=0, forbidden=os.getpid())
    with joblib.parallel_config("dask"):
        results = cross_validate(
            hasher, *digits, cv=FOLDS, scoring=map_scorer, error_score="raise"
        )
    expected = cross_validate(
        LSH(16, random_state=0), *digits, cv=FOLDS, scoring=map_scorer
    )
    assert scores_of(results) == scores_of(expected)
