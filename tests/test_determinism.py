"""The same seed gives the same codes, and no answer depends on threads or batches."""

import hashlib
import multiprocessing
from contextlib import contextmanager

import numba
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from scipy import sparse
from sklearn import config_context
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from sklhash import (
    LSH,
    HammingNeighbors,
    HashedNeighbors,
    RetrievalShuffleSplit,
    code_statistics,
    hamming_distances,
    metrics,
    query_database_split,
    retrieval_report,
)
from tests.hashers.methods import HASHERS, make

# Of random bits; in threads no filter can be set.
pytestmark = pytest.mark.filterwarnings("ignore:n_bits=24, but:UserWarning")

# Whole numbers, so that float16 holds them; and classes that can be learnt.
RNG = np.random.default_rng(0)
Y = np.arange(130) % 3
X = RNG.integers(-9, 10, size=(130, 13)).astype(np.float32) + 5 * Y[:, None]

each_hasher = pytest.mark.parametrize("cls", HASHERS, ids=lambda cls: cls.__name__)


@contextmanager
def torch_threads(n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def all_threads(n_threads):
    """Let torch, BLAS, OpenMP and numba take that many threads."""
    numba_before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with torch_threads(n_threads), threadpool_limits(n_threads):
            yield
    finally:
        numba.set_num_threads(numba_before)


def quick(cls, n_bits=24):
    """Make a hasher of 24 bits, which are no multiple of what BLAS does at once."""
    parameters = {"n_anchors": 37, "max_epochs": 1, "hidden_layer_sizes": (21,)}
    known = {name: p for name, p in parameters.items() if hasattr(cls, name)}
    return make(cls, n_bits, **known)


def digest(*arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def digests(n_threads):
    """Fit all hashers, draw splits, and return what came of it in short."""
    found = {}
    with torch_threads(n_threads):
        for cls in HASHERS:
            hasher = quick(cls).fit(X, Y)
            values, codes = hasher.decision_function(X), hasher.transform(X)
            found[cls.__name__] = digest(values, codes)
    for train, test in RetrievalShuffleSplit(2, random_state=0).split(X, Y):
        found[f"split {len(found)}"] = digest(train, test)
    split = query_database_split(Y, 5, 20, random_state=0)
    found["split"] = digest(*split)
    return found


@pytest.fixture(scope="module")
def expected():
    return {n_threads: digests(n_threads) for n_threads in (1, 2)}


def test_the_same_seed_gives_the_same_after_other_random_numbers(expected):
    np.random.rand(7)  # noqa: NPY002
    torch.rand(7)
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert digests(2) == expected[2]
    np.testing.assert_equal(np.random.get_state(), numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_the_same_seed_gives_the_same_in_a_fresh_process(expected):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(digests, (2,)).get(timeout=120) == expected[2]


# Forked workers have one thread.
@pytest.mark.parametrize(
    ("backend", "n_threads"),
    [("loky", 2), ("threading", 2), ("sequential", 2), ("multiprocessing", 1)],
)
def test_the_same_seed_gives_the_same_by_every_backend(backend, n_threads, expected):
    n_jobs, timeout = (1, None) if backend == "sequential" else (2, 240)
    with torch_threads(n_threads):  # one number for all threads of this process
        found = Parallel(n_jobs=n_jobs, backend=backend, timeout=timeout)(
            delayed(digests)(n_threads) for _ in range(n_jobs)
        )
    assert found == [expected[n_threads]] * n_jobs


@each_hasher
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_search_of_parameters_is_the_same_by_any_number_of_workers(cls):
    values = {}
    for n_jobs in (1, 2):
        with torch_threads(1):  # as joblib's workers have
            grid = {"n_bits": [6]}
            search = GridSearchCV(quick(cls), grid, cv=2, n_jobs=n_jobs).fit(X, Y)
        values[n_jobs] = (
            search.cv_results_["mean_test_score"],
            search.best_estimator_.decision_function(X),
        )
    np.testing.assert_equal(values[2], values[1])


@each_hasher
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_codes_do_not_depend_on_threads_batches_or_containers(cls, tmp_path):
    rows = np.tile(X, (5, 1))  # more than a block
    rows[:, 0] = RNG.integers(-9, 10, size=len(rows))
    hasher = quick(cls).fit(X, Y)
    np.save(tmp_path / "rows.npy", rows)
    with all_threads(1):
        values, codes = hasher.decision_function(rows), hasher.transform(rows)
    np.testing.assert_array_equal(codes, values > 0)
    containers = (
        sparse.csr_array(rows),
        np.load(tmp_path / "rows.npy", mmap_mode="r"),
        rows.astype(np.float16),
        rows.astype(np.int64),
        np.asfortranarray(rows),
    )
    for n_threads in (1, 2, 4):
        with all_threads(n_threads):
            np.testing.assert_array_equal(hasher.decision_function(rows), values)
            np.testing.assert_array_equal(hasher.transform(rows), codes)
    for batch in (1, 7):
        parts = [rows[i : i + batch] for i in range(0, 15 * batch, batch)]
        found = np.concatenate([*map(hasher.decision_function, parts)])
        np.testing.assert_array_equal(found, values[: len(found)])
        found = np.concatenate([*map(hasher.transform, parts)])
        np.testing.assert_array_equal(found, codes[: len(found)])
    for container in containers:
        np.testing.assert_array_equal(hasher.decision_function(container), values)
        np.testing.assert_array_equal(hasher.transform(container), codes)


def flat(found):
    """Return what a search found as plain arrays."""
    if sparse.issparse(found):
        return [found.toarray()]
    if isinstance(found, tuple):
        return [part for one in found for part in flat(one)]
    if found.dtype == object:
        return [np.concatenate(list(found)), np.array([*map(len, found)])]
    return [found]


def searched(search, queries):
    """Ask all that there is to ask."""
    found = (
        search.kneighbors(queries, 9),
        search.kneighbors(n_neighbors=9),
        search.radius_neighbors(queries, 3),
        search.radius_neighbors(queries, 3, sort_results=False),
    )
    if isinstance(search, HammingNeighbors):
        found = (
            *found,
            search.count_within(queries, 3),
            search.kneighbors_graph(queries, 5, mode="distance"),
            search.radius_neighbors_graph(queries, 3),
            search.transform(queries),
        )
    return flat(found)


def test_searches_do_not_depend_on_threads_algorithms_memory_or_batches():
    codes = RNG.integers(2, size=(1500, 12), dtype=np.uint8)
    queries = codes[:90]
    search = HammingNeighbors().fit(codes).remove(np.arange(700, 720))
    expected = searched(search, queries)
    for algorithm in ("auto", "brute", "multi_index"):
        search.set_params(algorithm=algorithm)
        for n_jobs in (1, 2, 4, -1):
            search.set_params(n_jobs=n_jobs)
            for memory in (1024, 1):
                with (
                    all_threads(min(n_jobs % 5, 2)),
                    config_context(working_memory=memory),
                ):
                    found = searched(search, queries)
                np.testing.assert_equal(found, expected)
        one_by_one = [search.kneighbors(query[None], 9) for query in queries]
        for part, whole in zip(zip(*one_by_one, strict=True), expected, strict=False):
            np.testing.assert_array_equal(np.concatenate(part), whole)
        counts = [search.count_within(query[None], 3)[0] for query in queries]
        np.testing.assert_array_equal(counts, expected[12])


@pytest.mark.parametrize("rerank", [None, "cosine", "euclidean", "asymmetric"])
def test_searches_by_features_do_not_depend_on_threads_memory_or_batches(rerank):
    rows = RNG.standard_normal((600, 30)).astype(np.float32)
    queries = rows[:60] + np.float32(0.1)

    def found(search):
        nearest = search.kneighbors(queries, 9)
        return flat((*nearest, *search.radius_neighbors(queries, 3)))

    search = HashedNeighbors(
        LSH(12, random_state=0), HammingNeighbors(), rerank=rerank, n_candidates=40
    ).fit(rows, np.arange(600) % 7)
    expected = found(search)
    score = search.score(queries, np.arange(60) % 7)
    for n_threads in (1, 2, 4):
        search.neighbors_.set_params(n_jobs=n_threads)
        for memory in (1024, 0.01):
            with all_threads(n_threads), config_context(working_memory=memory):
                np.testing.assert_equal(found(search), expected)
                assert search.score(queries, np.arange(60) % 7) == score
    alone = [search.kneighbors(query[None], 9) for query in queries]
    for part, whole in zip(zip(*alone, strict=True), expected, strict=False):
        np.testing.assert_array_equal(np.concatenate(part), whole)


def all_scores():
    """Return scores of more queries than BLAS sums up in one thread."""
    rng = np.random.default_rng(0)
    n_queries, n_items = 10_500, 120
    codes = rng.integers(2, size=(n_queries + n_items, 9), dtype=np.uint8)
    y = rng.integers(5, size=len(codes))
    labelled = codes[n_items:], codes[:n_items], y[n_items:], y[:n_items]
    weights = rng.random(n_queries)
    values = rng.standard_normal((len(codes), 9))
    vectors = values[n_items : n_items + 500], values[:n_items]
    found = {}
    for name in metrics.__all__:
        if name.endswith("_score") and name not in (
            "neighbor_recall_score",
            "quantization_error_score",
        ):
            at = {"k": 50} if "at_k" in name or "cumulative" in name else {}
            score = getattr(metrics, name)
            found[name] = score(*labelled, sample_weight=weights, **at)
    for ties in ("expected", "index"):
        for by in ("radius", "rank"):
            for average in ("macro", "micro"):
                found[f"curve {by} {ties} {average}"] = metrics.precision_recall_curve(
                    *labelled,
                    by=by,
                    ties=ties,
                    average=average,
                    sample_weight=weights,
                )
    found["report"] = retrieval_report(
        *labelled,
        sample_weight=weights,
        n_resamples=50,
        random_state=0,
        output_dict=True,
    )
    found["comparison"] = metrics.compare_retrieval(
        (codes[n_items : n_items + 500], codes[:n_items]),
        (codes[n_items + 500 : n_items + 1000], codes[:n_items]),
        y[n_items : n_items + 500],
        y[:n_items],
        n_resamples=200,
        random_state=0,
    )
    found["neighbor recall"] = metrics.neighbor_recall_score(
        codes[n_items : n_items + 500], codes[:n_items], *vectors, k=20
    )
    for order in "CF":
        for metric in ("euclidean", "cosine"):
            found[f"quantization {metric} {order}"] = metrics.quantization_error_score(
                np.asarray(values, order=order), metric=metric
            )
    found["statistics"] = code_statistics(codes)
    found["distances"] = hamming_distances(codes[:50], codes)
    return found


def test_scores_do_not_depend_on_threads_or_memory():
    with all_threads(1):
        expected = all_scores()
    for n_threads, memory in ((2, 1024), (4, 1024), (1, 0.02), (4, 0.3)):
        with all_threads(n_threads), config_context(working_memory=memory):
            found = all_scores()
        for name, value in expected.items():
            np.testing.assert_equal(found[name], value, err_msg=name)
    for metric in ("euclidean", "cosine"):
        c_order, f_order = (expected[f"quantization {metric} {o}"] for o in "CF")
        assert c_order == f_order
