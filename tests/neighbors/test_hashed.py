import pickle
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from sklhash import (
    ITQ,
    LSH,
    HammingNeighbors,
    HashedNeighbors,
    OrthoHash,
    hamming_distances,
)
from sklhash.metrics import (
    make_retrieval_scorer,
    map_scorer,
    mean_average_precision_score,
)
from sklhash.neighbors.hashed import _agree

RERANKS = ["cosine", "euclidean", "asymmetric"]
N_CHECKS = 41

digits, labels = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(
    digits, labels, train_size=400, test_size=60, random_state=0
)


def lsh(n_bits=16, **parameters):
    return LSH(n_bits, random_state=0, **parameters)


def quick_orthohash(**parameters):
    return OrthoHash(16, hidden_layer_sizes=(), max_epochs=2, **parameters)


def naive_distances(search, metric, queries, database):
    """All distances by other means than the library's."""
    if metric != "asymmetric":
        return cdist(queries, database, metric)
    values = search.hasher_.decision_function(queries)
    bits = search.hasher_.decision_function(database) > 0
    return np.array([[np.abs(u[(u > 0) != b]).sum() for b in bits] for u in values])


def naive_shortlist(search, queries, database, n_candidates, allowed=None):
    """A row of candidates a query, in index order, by distance and index."""
    codes = [search.hasher_.decision_function(A) > 0 for A in (queries, database)]
    exact = hamming_distances(*codes).astype(float)
    if allowed is not None:
        exact[:, ~allowed] = np.inf
    return np.sort(np.argsort(exact, axis=1, kind="stable")[:, :n_candidates], axis=1)


def assert_neighbors_are(found, distances, candidates, k):
    """Check against all distances and the candidates of each query."""
    for q, rows in enumerate(candidates):
        own = distances[q, rows]
        np.testing.assert_allclose(found[0][q], np.sort(own)[:k], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            distances[q, found[1][q]], found[0][q], rtol=1e-5, atol=1e-6
        )
        assert set(found[1][q]) <= set(rows)
        assert len(set(found[1][q])) == k


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("search", "n_checks"),
    [
        (HashedNeighbors(LSH(8)), N_CHECKS),
        (HashedNeighbors(LSH(8), rerank="cosine"), N_CHECKS),
        (HashedNeighbors(LSH(8), rerank="asymmetric"), N_CHECKS),
        (HashedNeighbors(make_pipeline(Normalizer(), LSH(8))), N_CHECKS),
        (HashedNeighbors(quick_orthohash(), rerank="euclidean"), N_CHECKS + 1),
    ],
    ids=["lsh", "cosine", "asymmetric", "pipeline", "supervised"],
)
def test_every_estimator_check_passes(search, n_checks):
    results = check_estimator(search, on_skip=None, on_fail=None)
    problems = {
        r["check_name"]: r["exception"] for r in results if r["status"] != "passed"
    }
    assert problems == {}
    assert Counter(r["status"] for r in results) == {"passed": n_checks}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "check",
    [
        "check_param_validation",
        "check_dataframe_column_names_consistency",
        "check_inplace_ensure_writeable",
    ],
)
def test_further_checks_pass(check):
    getattr(estimator_checks, check)("HashedNeighbors", HashedNeighbors(LSH(8)))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("search_packed", [False, True])
def test_without_rerank_it_is_the_pipeline_of_hasher_and_search(packed, search_packed):
    hasher = quick_orthohash(packed=packed, random_state=0)
    search = HashedNeighbors(hasher, HammingNeighbors(7, packed=search_packed))
    search.fit(X, y)
    peer = make_pipeline(
        quick_orthohash(random_state=0), HammingNeighbors(7), verbose=False
    ).fit(X, y)
    codes = peer[:-1].transform(X_query)
    assert search.metric_ == "hamming"
    assert search.kneighbors(X_query)[0].dtype == np.int32
    np.testing.assert_array_equal(
        search.kneighbors(X_query), peer[-1].kneighbors(codes)
    )
    np.testing.assert_array_equal(search.kneighbors(), peer[-1].kneighbors())
    for ours, theirs in zip(
        search.radius_neighbors(X_query, 3),
        peer[-1].radius_neighbors(codes, 3),
        strict=True,
    ):
        assert [row.tolist() for row in ours] == [row.tolist() for row in theirs]
    np.testing.assert_array_equal(search.codes_, peer[-1].codes_)
    assert search.score(X_query, y_query) == peer.score(X_query, y_query)
    assert search.hasher_.packed == packed


@pytest.mark.parametrize("metric", RERANKS)
@pytest.mark.parametrize("n_candidates", [3, 50, 1000])
def test_a_shortlist_is_put_in_the_order_of_the_metric(metric, n_candidates):
    search = HashedNeighbors(lsh(), None, metric, n_candidates=n_candidates).fit(X, y)
    found = search.kneighbors(X_query, 9)
    assert search.metric_ == metric
    assert (found[0].dtype, found[1].dtype) == (np.float64, np.int64)
    shortlist = naive_shortlist(search, X_query, X, max(9, n_candidates))
    distances = naive_distances(search, metric, X_query, X)
    assert_neighbors_are(found, distances, shortlist, 9)
    np.testing.assert_array_equal(
        search.kneighbors(X_query, 9, return_distance=False), found[1]
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_shortlist_of_all_rows_is_the_search_of_scikit_learn(metric):
    search = HashedNeighbors(lsh(), rerank=metric, n_candidates=len(X)).fit(X)
    peer = NearestNeighbors(metric=metric, algorithm="brute").fit(X)
    for queries in (X_query, None):
        ours, theirs = search.kneighbors(queries), peer.kneighbors(queries)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6, atol=1e-7)
        exact = pairwise_distances(X if queries is None else queries, X, metric=metric)
        of_ours = np.take_along_axis(exact, ours[1], axis=1)  # rows may be tied
        np.testing.assert_allclose(of_ours, theirs[0], rtol=1e-6, atol=1e-7)


def test_the_asymmetric_order_is_that_of_inner_products():
    search = HashedNeighbors(lsh(), rerank="asymmetric", n_candidates=len(X)).fit(X)
    values = search.hasher_.decision_function(X_query)
    signs = np.where(search.hasher_.decision_function(X) > 0, 1, -1)
    distances, indices = search.kneighbors(X_query, len(X))
    products = np.take_along_axis(values @ signs.T, indices, axis=1)
    halved = (np.abs(values).sum(axis=1, keepdims=True) - products) / 2
    np.testing.assert_allclose(distances, halved, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("metric", RERANKS)
@pytest.mark.parametrize("n_features", [1, 37])
def test_equal_distances_come_in_index_order(metric, n_features):
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((5, n_features)).astype(np.float32)
    rows = distinct[rng.integers(5, size=101)]
    search = HashedNeighbors(lsh(), rerank=metric, n_candidates=101).fit(rows)
    search.add(rows[::-1])
    distances, indices = search.kneighbors(distinct, 202)
    tied = np.diff(distances, axis=1) == 0
    assert tied.sum() >= 5 * (202 - 5)
    assert (np.diff(indices, axis=1)[tied] > 0).all()


def test_vectors_of_length_zero_are_at_cosine_distance_one():
    rows = np.vstack([np.zeros(64), X[:5]])
    search = HashedNeighbors(lsh(), rerank="cosine").fit(rows)
    distances, indices = search.kneighbors(X[:5], 6)
    np.testing.assert_array_equal(distances[indices == 0], 1)
    np.testing.assert_array_equal(search.kneighbors(np.zeros((1, 64)), 6)[0], 1)


@pytest.mark.parametrize("metric", RERANKS)
@pytest.mark.parametrize("sort_results", [True, False])
def test_a_radius_in_bits_finds_rows_that_the_metric_orders(metric, sort_results):
    search = HashedNeighbors(lsh(), HammingNeighbors(radius=4), metric).fit(X)
    plain = HashedNeighbors(lsh()).fit(X)
    distances, indices = search.radius_neighbors(X_query, sort_results=sort_results)
    within = plain.radius_neighbors(X_query, 4, return_distance=False)
    exact = naive_distances(search, metric, X_query, X)
    for q, rows in enumerate(indices):
        assert sorted(rows) == sorted(within[q])
        np.testing.assert_allclose(distances[q], exact[q, rows], rtol=1e-5, atol=1e-6)
        assert list(rows if not sort_results else distances[q]) == sorted(
            rows if not sort_results else distances[q]
        )
    alone = search.radius_neighbors(X_query, 4, False, sort_results)
    assert [row.tolist() for row in alone] == [row.tolist() for row in indices]


@pytest.mark.parametrize("metric", RERANKS)
def test_nothing_within_the_radius_is_empty_arrays(metric):
    search = HashedNeighbors(lsh(32), rerank=metric).fit(X[:2])
    distances, indices = search.radius_neighbors(X_query[:3], 0)
    assert [len(row) for row in distances] == [len(row) for row in indices] == [0] * 3


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_rows_come_go_and_are_filtered(metric):
    hasher = lsh().fit(X)
    search = HashedNeighbors(FrozenEstimator(hasher), None, metric, n_candidates=40)
    search.fit(X[:200], y[:200]).add(X[200:201], y[200:201]).add(X[201:], y[201:])
    search.remove([0, 3, 200, 399])
    live = np.ones(400, dtype=bool)
    live[[0, 3, 200, 399]] = False
    np.testing.assert_array_equal(search.live_, live)
    assert (search.n_samples_fit_, search.n_live_) == (400, 396)
    np.testing.assert_array_equal(search.y_, y)
    np.testing.assert_array_equal(search.codes_[live], search.pack(X)[live])
    only_live = HashedNeighbors(FrozenEstimator(hasher), None, metric, n_candidates=40)
    only_live.fit(X[live], y[live])
    assert search.score(X_query, y_query) == only_live.score(X_query, y_query)
    few = np.flatnonzero(live)[::17]
    mask = np.isin(np.arange(400), few)
    if metric is None:
        exact = hamming_distances(
            *(hasher.decision_function(A) > 0 for A in (X_query, X))
        )
    else:
        exact = naive_distances(search, metric, X_query, X)
    n_found = 40 if metric else 6
    for where, allowed in [(None, live), (few, mask), (mask, mask)]:
        shortlist = naive_shortlist(search, X_query, X, n_found, allowed)
        found = search.kneighbors(X_query, 6, where=where)
        shortlist = [rows[allowed[rows]] for rows in shortlist]
        assert_neighbors_are(found, exact, shortlist, 6)
        rows = search.radius_neighbors(X_query, 16, False, where=where)
        assert all(sorted(row) == np.flatnonzero(allowed).tolist() for row in rows)
    with pytest.raises(ValueError, match="n_neighbors"):
        search.kneighbors(X_query, len(few) + 1, where=mask)


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_rows_that_were_added_are_found_as_if_fitted(metric):
    hasher = FrozenEstimator(lsh().fit(X))
    at_once = HashedNeighbors(hasher, rerank=metric).fit(X, y)
    one_by_one = HashedNeighbors(hasher, rerank=metric).fit(X[:5], y[:5])
    for i in range(5, 400):
        one_by_one.add(X[i : i + 1], y[i : i + 1])
    np.testing.assert_array_equal(
        one_by_one.kneighbors(X_query, 9), at_once.kneighbors(X_query, 9)
    )
    assert one_by_one.score(X_query, y_query) == at_once.score(X_query, y_query)
    if metric in ("cosine", "euclidean"):
        assert len(one_by_one._vectors.blocks) < 12


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_a_batch_finds_what_single_queries_find_in_any_memory(metric):
    search = HashedNeighbors(quick_orthohash(random_state=0), rerank=metric).fit(X, y)
    batch = search.kneighbors(X_query)
    for q, query in enumerate(X_query):
        np.testing.assert_array_equal(
            np.concatenate(search.kneighbors(query[None])),
            [batch[0][q], batch[1][q]],
        )
    score = search.score(X_query, y_query)
    with config_context(working_memory=0.002):
        np.testing.assert_array_equal(search.kneighbors(X_query), batch)
        assert search.score(X_query, y_query) == score
        frozen = FrozenEstimator(search.hasher_)
        again = HashedNeighbors(frozen, rerank=metric).fit(X, y)
    np.testing.assert_array_equal(again.codes_, search.codes_)


def test_queries_in_memory_are_encoded_once(monkeypatch):
    search = HashedNeighbors(lsh(), rerank="asymmetric").fit(X)
    n_calls, encode = [], LSH.decision_function
    monkeypatch.setattr(
        LSH,
        "decision_function",
        lambda self, X: n_calls.append(len(X)) or encode(self, X),
    )
    search.kneighbors(X_query[:1])
    assert len(n_calls) == 1


CONTAINERS = {
    "list": lambda A: A.tolist(),
    "csr": sparse.csr_array,
    "csc": sparse.csc_matrix,
    "coordinates": sparse.coo_array,
    "pandas": lambda A: pd.DataFrame(A).add_prefix("feature_"),
    "polars": lambda A: pl.DataFrame(A),
    "torch": torch.from_numpy,
    "float16": lambda A: A.astype(np.float16),
    "int8": lambda A: A.astype(np.int8),
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("metric", [None, *RERANKS])
@pytest.mark.parametrize("container", CONTAINERS)
def test_features_come_in_any_container(container, metric):
    as_container = CONTAINERS[container]
    hasher = lsh(center="origin")
    expected = HashedNeighbors(hasher, rerank=metric).fit(X[:300]).add(X[300:])
    with config_context(working_memory=0.01):
        search = HashedNeighbors(hasher, rerank=metric)
        search.fit(as_container(X[:300])).add(as_container(X[300:]))
    for queries in (X_query, X_query[:1]):
        for ours, theirs in zip(
            search.kneighbors(as_container(queries)),
            expected.kneighbors(queries),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_names_of_features_are_checked():
    frame = pd.DataFrame(X).add_prefix("feature_")
    search = HashedNeighbors(lsh()).fit(frame)
    np.testing.assert_array_equal(search.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        search.kneighbors(frame.add_prefix("other_"))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        search.kneighbors(X_query)


class FlatHasher(TransformerMixin, BaseEstimator):
    """Takes images."""

    def fit(self, X, y=None):
        rng = np.random.default_rng(0)
        self.components_ = rng.standard_normal((np.prod(X.shape[1:]), 12))
        return self

    def decision_function(self, X):
        return (X.reshape(len(X), -1) - 8) @ self.components_

    def transform(self, X):
        return self.decision_function(X) > 0


def test_images_are_searched_too():
    images, queries = X.reshape(-1, 8, 8), X_query.reshape(-1, 8, 8)
    for metric in (None, *RERANKS):
        search = HashedNeighbors(FlatHasher(), rerank=metric).fit(images)
        flat = HashedNeighbors(FlatHasher(), rerank=metric).fit(X)
        np.testing.assert_array_equal(
            search.add(images).kneighbors(queries), flat.add(X).kneighbors(X_query)
        )
        assert not hasattr(search, "n_features_in_")


@pytest.mark.parametrize("as_texts", [list, np.array])
def test_texts_are_searched_by_a_pipeline_that_reads_them(as_texts):
    texts = as_texts(["a red fox", "a blue sea", "the red fox runs", "blue is the sea"])
    for metric in (None, "asymmetric"):
        search = HashedNeighbors(
            make_pipeline(TfidfVectorizer(), lsh(64)), None, metric
        )
        found = search.fit(texts).kneighbors(texts[:2], 2, return_distance=False)
        np.testing.assert_array_equal(found, [[0, 2], [1, 3]])


def test_a_memory_mapped_array_stays_on_disk(tmp_path):
    rows = np.memmap(tmp_path / "rows", np.float32, "w+", shape=X.shape)
    rows[:] = X
    hasher = FrozenEstimator(lsh().fit(X))
    search = HashedNeighbors(hasher, rerank="euclidean").fit(rows).add(rows[:50])
    before = search.kneighbors(X_query)
    expected = HashedNeighbors(hasher, rerank="euclidean").fit(X).add(X[:50])
    np.testing.assert_allclose(before[0], expected.kneighbors(X_query)[0], rtol=1e-6)
    np.testing.assert_array_equal(before[1], expected.kneighbors(X_query)[1])
    rows *= 0  # the search reads the file
    np.testing.assert_allclose(
        search.kneighbors(X_query)[0],
        np.repeat(np.linalg.norm(X_query, axis=1)[:, None], 5, axis=1),
        rtol=1e-6,
    )


def test_rows_that_are_added_are_copied():
    hasher = FrozenEstimator(lsh().fit(X))
    search = HashedNeighbors(hasher, rerank="cosine").fit(X[:100])
    buffer = X[100:].copy()
    before = search.add(buffer).kneighbors(X_query)
    buffer[:] = 0
    np.testing.assert_array_equal(search.kneighbors(X_query), before)


def refit(search):
    search.hasher_.fit(X[:50] + 1, y[:50])


def learn_more(search):
    search.hasher_.partial_fit(X[:50] + 1, y[:50])


def replace(search):
    search.hasher_ = lsh(24).fit(X)


def replace_by_a_narrower_one(search):
    search.hasher_ = lsh().fit(X[:, :40])


def replace_by_one_without_a_fit(search):
    search.hasher_ = lsh()


def alter(search):
    search.hasher_.components_ *= 1.01


def adapt(search):
    search.hasher_.adapt_batch_norm(X[:60])


@pytest.mark.parametrize("metric", [None, *RERANKS])
@pytest.mark.parametrize(
    ("hasher", "change"),
    [
        (lsh(), refit),
        (lsh(), learn_more),
        (lsh(), replace),
        (lsh(), replace_by_a_narrower_one),
        (lsh(), replace_by_one_without_a_fit),
        (lsh(), alter),
        (quick_orthohash(random_state=0), refit),
        (quick_orthohash(random_state=0), learn_more),
        (quick_orthohash(random_state=0), adapt),
        (make_pipeline(Normalizer(), lsh()), refit),
    ],
)
@pytest.mark.parametrize("as_queries", [np.asarray, sparse.csr_array])
def test_codes_of_another_hasher_are_refused(hasher, change, metric, as_queries):
    search = HashedNeighbors(hasher, rerank=metric).fit(X, y)
    change(search)
    queries = as_queries(X_query)
    for changed in (search, pickle.loads(pickle.dumps(search))):
        for use in (
            lambda s: s.kneighbors(queries),
            lambda s: s.radius_neighbors(queries),
            lambda s: s.add(queries, y_query),
            lambda s: s.score(queries, y_query),
            lambda s: s.pack(queries),
            lambda s: map_scorer(s, queries, y_query),
        ):
            with pytest.raises(ValueError, match="hasher has changed since the codes"):
                use(changed)
        assert changed.n_samples_fit_ == len(X)
    np.testing.assert_array_equal(
        search.fit(X, y).pack(X_query), clone(search).fit(X, y).pack(X_query)
    )


def test_a_frozen_hasher_is_used_as_it_is_and_watched_too():
    hasher = lsh().fit(X)
    search = HashedNeighbors(FrozenEstimator(hasher)).fit(X[:50] + 1)
    assert search.hasher_.estimator is hasher
    np.testing.assert_array_equal(
        search.pack(X_query), lsh(packed=True).fit(X).transform(X_query)
    )
    hasher.fit(X + X[:, 20:21])
    with pytest.raises(ValueError, match="hasher has changed"):
        search.kneighbors(X_query)


def test_the_same_hasher_fitted_once_more_is_accepted():
    search = HashedNeighbors(quick_orthohash(random_state=0)).fit(X, y)
    before = search.kneighbors(X_query)
    search.hasher_ = quick_orthohash(random_state=0).fit(X, y)
    np.testing.assert_array_equal(search.kneighbors(X_query), before)


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_copies(tmp_path, metric):
    search = HashedNeighbors(quick_orthohash(random_state=0), rerank=metric)
    search.fit(X, y).add(X_query, y_query).remove([1, 2])
    joblib.dump(search, tmp_path / "search")
    for copied in (
        pickle.loads(pickle.dumps(search)),
        joblib.load(tmp_path / "search"),
        joblib.load(tmp_path / "search", mmap_mode="r"),
    ):
        np.testing.assert_array_equal(
            copied.kneighbors(X_query), search.kneighbors(X_query)
        )
        copied.add(X[:9], y[:9]).remove([3])
        assert (copied.n_live_, search.n_live_) == (len(X) + 60 + 6, len(X) + 58)
    with pytest.raises(NotFittedError):
        clone(search).kneighbors(X_query)


def test_parameters_of_the_parts_are_set():
    search = HashedNeighbors(lsh(), HammingNeighbors())
    search.set_params(hasher__n_bits=40, neighbors__n_neighbors=3, n_candidates=7)
    assert search.fit(X).kneighbors(X_query)[1].shape == (60, 3)
    assert search.codes_.shape == (400, 5)
    assert search.get_params()["hasher__random_state"] == 0


def test_a_grid_search_chooses_the_number_of_bits():
    bits = [2, 32]
    pipeline = make_pipeline(Normalizer(), HashedNeighbors(ITQ(random_state=0)))
    name = "hashedneighbors__hasher__n_bits"
    grid = GridSearchCV(pipeline, {name: bits}, cv=2).fit(X, y)
    assert grid.best_params_ == {name: 32}
    assert grid.score(X_query, y_query) > 0.4
    reranked = pipeline.set_params(hashedneighbors__rerank="cosine").fit(X, y)
    assert reranked.score(X_query, y_query) > grid.score(X_query, y_query)
    by_scorer = GridSearchCV(
        HashedNeighbors(lsh()), {"hasher__n_bits": bits}, scoring=map_scorer, cv=2
    ).fit(X, y)
    assert by_scorer.best_params_ == {"hasher__n_bits": 32}


def test_scorers_take_it_for_a_search():
    map_at_20 = make_retrieval_scorer(mean_average_precision_score, k=20)
    for metric in (None, "cosine"):
        search = HashedNeighbors(lsh(), rerank=metric).fit(X, y)
        pipeline = make_pipeline(lsh(), HammingNeighbors()).fit(X, y)
        assert map_at_20(search, X_query, y_query) == map_at_20(
            pipeline, X_query, y_query
        )


@pytest.mark.parametrize("metric", RERANKS)
@pytest.mark.parametrize("multilabel", [False, True])
def test_score_is_the_map_of_the_shortlist_with_the_others_behind(metric, multilabel):
    rng = np.random.default_rng(0)
    y_all, y_new = (
        (rng.random((n, 70)) < 0.02).astype(int)
        if multilabel
        else rng.integers(30, size=n)
        for n in (400, 60)
    )
    search = HashedNeighbors(lsh(), rerank=metric, n_candidates=25)
    search.fit(X, y_all).remove(np.arange(0, 400, 3))
    shortlists = search.kneighbors(X_query, 25, return_distance=False)
    others = search.neighbors_.kneighbors(
        search.pack(X_query), search.n_live_, return_distance=False
    )[:, 25:]
    precisions = []
    for q, row in enumerate(np.hstack([shortlists, others])):
        if multilabel:
            relevant = [bool((y_new[q] & y_all[i]).any()) for i in row]
        else:
            relevant = [y_new[q] == y_all[i] for i in row]
        at_hits = [
            sum(relevant[: rank + 1]) / (rank + 1)
            for rank in range(len(row))
            if relevant[rank]
        ]
        precisions.append(np.mean(at_hits) if at_hits else 0)
    assert 0 < min(p for p in precisions if p) < 1
    score = search.score(X_query, y_new)
    assert isinstance(score, float)
    assert score == pytest.approx(np.mean(precisions))
    with config_context(working_memory=0.01):
        assert search.score(X_query, y_new) == score


def test_score_warns_if_nothing_is_relevant():
    search = HashedNeighbors(lsh(), rerank="cosine").fit(X, y)
    with pytest.warns(UndefinedMetricWarning, match="No query has a relevant row"):
        assert search.score(X_query, y_query + 100) == 0


def test_reranking_is_closer_to_the_exact_neighbors():
    exact = NearestNeighbors(metric="cosine").fit(X).kneighbors(X_query, 10)[1]
    recalls = {}
    for metric in (None, "asymmetric", "cosine"):
        search = HashedNeighbors(lsh(64), rerank=metric).fit(X)
        found = search.kneighbors(X_query, 10)[1]
        recalls[metric] = np.mean(
            [len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)]
        )
    assert recalls[None] < recalls["asymmetric"] < recalls["cosine"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hasher": LogisticRegression()}, r"'hasher' parameter .*must .*'transform'"),
        ({"hasher": Normalizer()}, r"'hasher' parameter"),
        ({"hasher": LSH(0)}, r"'n_bits' parameter of LSH"),
        ({"neighbors": NearestNeighbors()}, r"'neighbors' parameter"),
        ({"neighbors": HammingNeighbors(0)}, r"'n_neighbors' parameter"),
        (
            {"neighbors": HammingNeighbors(threshold=0.5)},
            r"threshold=None, .*got .*0.5",
        ),
        ({"rerank": "dot"}, r"'rerank' parameter"),
        ({"n_candidates": 0}, r"'n_candidates' parameter .* Got 0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    search = HashedNeighbors(**{"hasher": lsh(), **parameters})
    before = dict(vars(search))
    with pytest.raises(ValueError, match=message):
        search.fit(X, y)
    assert vars(search) == before


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_a_failed_fit_or_add_keeps_the_earlier_index(metric, monkeypatch):
    search = HashedNeighbors(lsh(), rerank=metric).fit(X, y)
    before, score = search.kneighbors(X_query), search.score(X_query, y_query)

    def interrupted(*args):
        raise KeyboardInterrupt

    bad = X_query.copy()
    bad[-1, 0] = np.nan
    for use in (search.fit, search.add):
        with pytest.raises(ValueError, match="NaN"):
            use(bad, y_query)
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            use(X_query, y)
    with pytest.raises(ValueError, match="features"):
        search.add(X_query[:, :9], y_query)
    with pytest.raises(ValueError, match="y"):
        search.add(X_query)
    for name, use in (("fit", search.fit), ("partial_fit", search.add)):
        with monkeypatch.context() as patch:
            patch.setattr(HammingNeighbors, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                use(X_query, y_query)
    np.testing.assert_array_equal(search.kneighbors(X_query), before)
    assert search.score(X_query, y_query) == score
    search.add(X, y)
    expected = HashedNeighbors(FrozenEstimator(search.hasher_), rerank=metric)
    expected.fit(np.vstack([X, X]))
    np.testing.assert_array_equal(
        search.kneighbors(X_query, 50), expected.kneighbors(X_query, 50)
    )


@pytest.mark.parametrize("metric", [None, *RERANKS])
def test_queries_that_cannot_be_answered_are_refused(metric):
    search = HashedNeighbors(lsh(), rerank=metric).fit(X)
    for k, error in [(401, ValueError), (0, ValueError), (2.5, TypeError)]:
        with pytest.raises(error, match="n_neighbors"):
            search.kneighbors(X_query, k)
    with pytest.raises(ValueError, match="radius"):
        search.radius_neighbors(X_query, -1)
    with pytest.raises(ValueError, match="9 features, .*expecting 64"):
        search.kneighbors(X_query[:, :9])
    with pytest.raises(ValueError, match="NaN"):
        search.kneighbors(np.full((1, 64), np.nan))
    with pytest.raises(ValueError, match=r"0 sample"):
        search.kneighbors(X_query[:0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        search.kneighbors(X_query[0])
    with pytest.raises(ValueError, match="mask"):
        search.kneighbors(X_query, where=np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="fitted without"):
        search.score(X_query, y_query)
    unfitted = HashedNeighbors(lsh(), rerank=metric)
    for use in (unfitted.kneighbors, unfitted.add, unfitted.remove, unfitted.pack):
        with pytest.raises(NotFittedError):
            use(X_query)
    assert not hasattr(unfitted, "codes_")


def test_the_fitted_rows_cannot_be_queried_by_real_valued_codes():
    search = HashedNeighbors(lsh(), rerank="asymmetric").fit(X)
    for use in (search.kneighbors, search.radius_neighbors):
        with pytest.raises(ValueError, match="X must be given"):
            use()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_without_queries_each_row_finds_the_others(metric):
    search = HashedNeighbors(lsh(), rerank=metric, n_candidates=30).fit(X).add(X_query)
    rows = np.vstack([X, X_query])
    distances, indices = search.kneighbors(n_neighbors=4)
    assert (indices != np.arange(460)[:, None]).all()
    exact = cdist(rows, rows, metric)
    np.testing.assert_allclose(
        distances, np.take_along_axis(exact, indices, 1), rtol=1e-5, atol=1e-6
    )
    with_itself = search.kneighbors(rows, 5)[0]
    assert (distances[:, 0] >= with_itself[:, 0]).all()
    for i, row in enumerate(search.radius_neighbors(radius=1, return_distance=False)):
        assert i not in row
    search.remove([2, 7])
    live = np.delete(np.arange(460), [2, 7])
    distances, indices = search.kneighbors(n_neighbors=4)
    np.testing.assert_allclose(
        distances, np.take_along_axis(exact[live], indices, 1), rtol=1e-5, atol=1e-6
    )
    assert not np.isin(indices, [2, 7]).any()
    among = search.kneighbors(n_neighbors=3, where=[0, 1, 3, 4])[1]
    assert set(among[0]) == {1, 3, 4}
    few = HashedNeighbors(lsh(), rerank=metric).fit(X[:6]).kneighbors()
    np.testing.assert_array_equal(
        np.sort(few[1]), [np.delete(np.arange(6), i) for i in range(6)]
    )


def test_features_need_only_say_how_to_become_an_array():
    class Features:
        def __array__(self, dtype=None, copy=None):
            return np.array(X, dtype=dtype)

    search = HashedNeighbors(lsh(), rerank="cosine").fit(Features())
    expected = HashedNeighbors(lsh(), rerank="cosine").fit(X)
    for found, wanted in zip(
        search.kneighbors(X_query), expected.kneighbors(X_query), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_infinite_real_values_agree_where_they_are_the_same():
    values = np.array([[np.inf, 1.0], [-np.inf, 2.0]], dtype=np.float32)
    assert _agree(values, values)
    assert _agree(values + np.float32(1e-5), values)
    assert not _agree(-values, values)
    assert not _agree(np.nan_to_num(values), values)
    assert not _agree(np.zeros((2, 3)), np.zeros((2, 2)))


def test_a_class_in_place_of_a_hasher_is_refused_by_name():
    with pytest.raises(TypeError, match=r"hasher must be .* such as LSH\(\), got the"):
        HashedNeighbors(LSH).fit(np.eye(9))
