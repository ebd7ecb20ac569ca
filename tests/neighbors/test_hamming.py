import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE
from sklearn.model_selection import train_test_split
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    NearestNeighbors,
)
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, OrthoHash, hamming_distances, pack_codes


def random_codes(n_samples, n_bits, n_distinct=10**9, seed=0):
    rng = np.random.default_rng(seed)
    distinct = rng.integers(
        2, size=(min(n_distinct, n_samples), n_bits), dtype=np.uint8
    )
    return distinct[rng.integers(len(distinct), size=n_samples)]


def naive_neighbors(distances, k):
    """Indices in the order (distance, index), and their distances."""
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, indices, axis=1), indices


@st.composite
def tied_codes(draw):
    """Few bits and many rows: nearly everything is tied."""
    n_bits = draw(st.integers(1, 4))
    elements = st.integers(0, 1)
    queries = hnp.arrays(np.uint8, (draw(st.integers(1, 5)), n_bits), elements=elements)
    database = hnp.arrays(
        np.uint8, (draw(st.integers(1, 20)), n_bits), elements=elements
    )
    return draw(queries), draw(database)


@settings(deadline=None)
@given(codes=tied_codes(), data=st.data())
def test_kneighbors_are_in_order_of_distance_and_index(codes, data):
    queries, database = codes
    k = data.draw(st.integers(1, len(database)))
    distances, indices = HammingNeighbors().fit(database).kneighbors(queries, k)
    expected = naive_neighbors(hamming_distances(queries, database), k)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


@settings(deadline=None)
@given(codes=tied_codes(), data=st.data(), sort_results=st.booleans())
def test_radius_neighbors_are_all_within(codes, data, sort_results):
    queries, database = codes
    radius = data.draw(st.integers(0, queries.shape[1]))
    search = HammingNeighbors(radius=radius).fit(database)
    distances, indices = search.radius_neighbors(queries, sort_results=sort_results)
    for q, row in enumerate(hamming_distances(queries, database)):
        expected = np.flatnonzero(row <= radius)
        if sort_results:
            expected = expected[np.argsort(row[expected], kind="stable")]
        np.testing.assert_array_equal(indices[q], expected)
        np.testing.assert_array_equal(distances[q], row[expected])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_bits", [1, 12, 48, 64, 100, 200])
def test_distances_are_those_of_scikit_learn(n_bits, packed):
    database = random_codes(300, n_bits, n_distinct=80)
    queries = random_codes(20, n_bits, seed=1)
    peer = NearestNeighbors(metric="hamming", algorithm="brute").fit(database)
    expected, _ = peer.kneighbors(queries, 25)
    if packed:
        database, queries = pack_codes(database), pack_codes(queries)
    search = HammingNeighbors(25, packed=packed).fit(database)
    distances, indices = search.kneighbors(queries)
    assert distances.dtype.kind == indices.dtype.kind == "i"
    np.testing.assert_array_equal(distances, np.rint(expected * n_bits))
    exact = hamming_distances(queries, database, packed=packed)
    np.testing.assert_array_equal(distances, naive_neighbors(exact, 25)[0])
    np.testing.assert_array_equal(indices, naive_neighbors(exact, 25)[1])


def test_without_queries_each_code_finds_the_others():
    codes = random_codes(60, 8, n_distinct=6)
    search = HammingNeighbors(7, radius=2).fit(codes)
    exact = hamming_distances(codes, codes)
    np.fill_diagonal(exact, 99)
    distances, indices = search.kneighbors()
    np.testing.assert_array_equal(distances, naive_neighbors(exact, 7)[0])
    np.testing.assert_array_equal(indices, naive_neighbors(exact, 7)[1])
    for i, found in enumerate(search.radius_neighbors(return_distance=False)):
        np.testing.assert_array_equal(np.sort(found), np.flatnonzero(exact[i] <= 2))


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_threads_find_the_same(n_jobs):
    codes, queries = random_codes(500, 20), random_codes(31, 20, seed=1)
    one, many = (HammingNeighbors(9, n_jobs=n).fit(codes) for n in (None, n_jobs))
    np.testing.assert_array_equal(many.kneighbors(queries), one.kneighbors(queries))
    np.testing.assert_array_equal(many.kneighbors(), one.kneighbors())
    for a, b in zip(
        many.radius_neighbors(queries, 5), one.radius_neighbors(queries, 5), strict=True
    ):
        assert [row.tolist() for row in a] == [row.tolist() for row in b]


def test_a_batch_finds_what_single_queries_find():
    codes, queries = random_codes(300, 10), random_codes(15, 10, seed=1)
    search = HammingNeighbors(12).fit(codes)
    singles = [
        search.kneighbors(query[None], return_distance=False) for query in queries
    ]
    batch = search.kneighbors(queries, return_distance=False)
    np.testing.assert_array_equal(batch, np.concatenate(singles))


@pytest.mark.parametrize("mode", ["connectivity", "distance"])
def test_graphs_hold_the_neighbors(mode):
    codes, queries = random_codes(50, 8, n_distinct=20), random_codes(9, 8, seed=1)
    search = HammingNeighbors(4, radius=2).fit(codes)
    exact = hamming_distances(queries, codes)
    for graph, (distances, indices) in [
        (search.kneighbors_graph(queries, mode=mode), search.kneighbors(queries)),
        (
            search.radius_neighbors_graph(queries, mode=mode),
            search.radius_neighbors(queries),
        ),
    ]:
        assert graph.shape == exact.shape
        assert graph.format == "csr"
        for i, row in enumerate(indices):
            start, stop = graph.indptr[i : i + 2]
            np.testing.assert_array_equal(graph.indices[start:stop], row)
            edges = np.ones(len(row)) if mode == "connectivity" else distances[i]
            np.testing.assert_array_equal(graph.data[start:stop], edges)


def test_transform_is_that_of_scikit_learns_transformer():
    codes = np.unique(random_codes(200, 40), axis=0)
    for mode in ("distance", "connectivity"):
        ours = HammingNeighbors(6, mode=mode).fit_transform(codes)
        peer = KNeighborsTransformer(n_neighbors=6, mode=mode, metric="hamming")
        theirs = peer.fit_transform(codes.astype(float))
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(np.diff(ours.indptr), np.diff(theirs.indptr))
        scale = 40 if mode == "distance" else 1
        np.testing.assert_allclose(
            np.sort(ours.data.reshape(len(codes), -1)),
            np.sort(scale * theirs.data.reshape(len(codes), -1)),
        )


def test_a_classifier_a_regressor_tsne_and_dbscan_take_the_graph():
    X, y = load_digits(return_X_y=True)
    X, X_query, y, y_query = train_test_split(X, y, test_size=200, random_state=0)
    for last in (KNeighborsClassifier, KNeighborsRegressor):
        model = make_pipeline(
            OrthoHash(32, max_epochs=5, random_state=0),
            HammingNeighbors(mode="distance"),
            last(metric="precomputed"),
        )
        assert model.fit(X, y).score(X_query, y_query) > 0.8
    y_real = y + np.random.default_rng(0).random(len(y)) / 10
    regressor = make_pipeline(
        LSH(32, random_state=0),
        HammingNeighbors(),
        KNeighborsRegressor(metric="precomputed"),
    )
    assert regressor.fit(X, y_real).score(X_query, y_query) > 0.5
    codes = OrthoHash(32, max_epochs=5, random_state=0).fit_transform(X[:300], y[:300])
    graph = HammingNeighbors(60).fit_transform(codes)
    embedding = TSNE(metric="precomputed", init="random", perplexity=15, max_iter=250)
    assert embedding.fit_transform(graph).shape == (300, 2)
    radius_graph = (
        HammingNeighbors(radius=4)
        .fit(codes)
        .radius_neighbors_graph(codes, mode="distance")
    )
    from_graph = DBSCAN(eps=4, metric="precomputed").fit_predict(radius_graph)
    from_matrix = DBSCAN(eps=4, metric="precomputed").fit_predict(
        hamming_distances(codes, codes)
    )
    np.testing.assert_array_equal(from_graph, from_matrix)


def test_a_threshold_makes_codes_of_real_values():
    X = np.random.default_rng(0).standard_normal((80, 16))
    for threshold in (0.0, 0.5):
        real = HammingNeighbors(threshold=threshold).fit(X)
        cut = HammingNeighbors().fit(X > threshold)
        np.testing.assert_array_equal(real.codes_, cut.codes_)
        np.testing.assert_array_equal(real.kneighbors(X), cut.kneighbors(X > threshold))


def test_codes_come_as_frames_too():
    X, y = load_digits(return_X_y=True)
    for library in ("pandas", "polars"):
        hasher = LSH(16, random_state=0).set_output(transform=library)
        codes = hasher.fit_transform(X)
        search = HammingNeighbors().fit(codes, y)
        np.testing.assert_array_equal(search.codes_, pack_codes(np.asarray(codes)))
        assert search.feature_names_in_[0] == "lsh0"
    with pytest.raises(ValueError, match="feature names should match"):
        search.kneighbors(codes.rename({"lsh0": "other"}))


def test_feature_names_are_one_a_fitted_code():
    search = HammingNeighbors().fit(random_codes(6, 8))
    assert search.get_feature_names_out().tolist() == [
        f"hammingneighbors{i}" for i in range(6)
    ]


@pytest.mark.parametrize("copy", [lambda s: pickle.loads(pickle.dumps(s)), clone])
def test_copies(copy):
    codes = random_codes(40, 12)
    search = HammingNeighbors(3, packed=False).fit(codes, np.arange(40) % 4)
    copied = copy(search)
    if copy is clone:
        with pytest.raises(NotFittedError):
            copied.kneighbors(codes)
        copied.fit(codes, np.arange(40) % 4)
    np.testing.assert_array_equal(copied.kneighbors(), search.kneighbors())
    assert copied.score(codes, np.arange(40) % 4) == search.score(
        codes, np.arange(40) % 4
    )


def test_a_memory_mapped_search(tmp_path):
    search = HammingNeighbors().fit(random_codes(40, 64))
    joblib.dump(search, tmp_path / "search")
    loaded = joblib.load(tmp_path / "search", mmap_mode="r")
    np.testing.assert_array_equal(loaded.kneighbors(), search.kneighbors())


@pytest.mark.parametrize(
    ("parameters", "codes", "message"),
    [
        ({}, np.full((5, 4), 0.5), r"X must hold zeros and ones only, got 0.5"),
        ({}, np.array([[0, 1], [2, 0]]), r"got 2 in row 1, bit 0"),
        ({}, np.array([[0, np.nan]]), r"got nan in row 0, bit 1"),
        ({}, np.zeros(4), r"Expected 2D array, got 1D array"),
        ({}, np.zeros((0, 4)), r"0 sample"),
        ({"packed": True}, np.zeros((3, 2)), r"dtype uint8, got dtype float64"),
        (
            {"packed": True, "threshold": 0.0},
            np.zeros((3, 2), "u1"),
            r"both packed=True and",
        ),
        ({"radius": 0.1}, np.zeros((3, 2)), r"'radius' parameter .* Got 0.1"),
        ({"n_neighbors": 0}, np.zeros((3, 2)), r"'n_neighbors' parameter"),
        ({"mode": "both"}, np.zeros((3, 2)), r"'mode' parameter"),
        ({"algorithm": "tree"}, np.zeros((3, 2)), r"'algorithm' parameter"),
        ({"device": "gpu"}, np.zeros((3, 2)), r"'cuda' or 'cuda:N', got 'gpu'"),
        ({"device": "cuda:99"}, np.zeros((3, 2)), r"'cuda:99' is not available"),
        ({}, np.ma.masked_array([[0, 1]], mask=[[0, 1]]), "X has masked entries"),
        ({"threshold": 0.5}, [[0, "a"]], r"strings|real numbers"),
        ({"threshold": 0.5}, [[0, {}]], r"X must hold real numbers, got dtype object"),
        ({"threshold": 0.5}, np.zeros((3, 2), "m8[s]"), r"got dtype timedelta64"),
    ],
)
def test_what_cannot_be_indexed_is_refused(parameters, codes, message):
    search = HammingNeighbors(**parameters)
    with pytest.raises(ValueError, match=message):
        search.fit(codes)
    assert vars(search) == vars(HammingNeighbors(**parameters))


def test_a_failed_fit_keeps_the_earlier_index():
    search = HammingNeighbors(2).fit(random_codes(9, 4))
    before = search.kneighbors()
    with pytest.raises(ValueError, match="got 7"):
        search.fit(np.full((9, 5), 7))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        search.fit(random_codes(9, 5), y=[0, 1])
    np.testing.assert_array_equal(search.kneighbors(), before)
    assert search.n_features_in_ == 4


def test_queries_that_cannot_be_answered_are_refused():
    codes = random_codes(9, 4)
    search = HammingNeighbors().fit(codes)
    with pytest.raises(ValueError, match="<= 9, .* got n_neighbors = 10"):
        search.kneighbors(codes, 10)
    with pytest.raises(ValueError, match="<= 8, .*other than the query itself"):
        search.kneighbors(n_neighbors=9)
    with pytest.raises(ValueError, match="n_neighbors = 0"):
        search.kneighbors(codes, 0)
    with pytest.raises(TypeError, match="n_neighbors must be an integer, got 2.5"):
        search.kneighbors(codes, 2.5)
    with pytest.raises(ValueError, match="whole number of bits, at least 0, got 0.25"):
        search.radius_neighbors(codes, 0.25)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        search.radius_neighbors(codes, -1)
    with pytest.raises(ValueError, match="'distance', got 'edges'"):
        search.kneighbors_graph(codes, mode="edges")
    with pytest.raises(ValueError, match="5 features, .* expecting 4"):
        search.kneighbors(random_codes(2, 5))
    with pytest.raises(NotFittedError):
        HammingNeighbors().kneighbors(codes)
    with pytest.raises(NotFittedError):
        HammingNeighbors().codes_  # noqa: B018


def test_codes_read_in_another_way_than_fitted_are_refused():
    packed = np.random.default_rng(0).integers(256, size=(9, 24)).astype(np.uint8)
    search = HammingNeighbors(packed=True).fit(packed).set_params(packed=False)
    with pytest.raises(ValueError, match="3 bytes, .* fitted on codes of 24"):
        search.kneighbors(packed > 127)
    search = HammingNeighbors().fit(packed > 127).set_params(packed=True)
    with pytest.raises(ValueError, match="24 bytes, .* fitted on codes of 3"):
        search.kneighbors(packed)


def test_the_index_is_a_copy():
    packed = np.random.default_rng(0).integers(256, size=(9, 8)).astype(np.uint8)
    y = np.arange(9) % 2
    search = HammingNeighbors(packed=True).fit(packed, y)
    before, score = search.codes_.copy(), search.score(packed, y)
    packed[:], y[:] = 0, 0
    np.testing.assert_array_equal(search.codes_, before)
    assert search.score(before, np.arange(9) % 2) == score


def test_extreme_radius_and_threshold():
    codes = random_codes(9, 4)
    found = HammingNeighbors().fit(codes).radius_neighbors(codes, 2**70)[1]
    assert all(len(row) == 9 for row in found)
    X = np.array([[0.5], [2.0]], dtype=np.float16)
    assert (HammingNeighbors(threshold=1e6).fit(X).codes_ == 0).all()


def test_labels_may_be_a_tensor():
    y = torch.tensor([1, 0, 1])
    search = HammingNeighbors().fit([[0, 1], [1, 1], [0, 0]], y)
    y[0] = 5
    np.testing.assert_array_equal(search.y_, [1, 0, 1])


def test_labels_need_not_be_classes_unless_scored():
    codes = random_codes(9, 4)
    search = HammingNeighbors().fit(codes, y=np.linspace(0, 1, 9))
    with pytest.raises(ValueError, match="Unknown label type"):
        search.score(codes, np.linspace(0, 1, 9))


def test_multilabel_score():
    codes = random_codes(50, 8)
    Y = (np.random.default_rng(0).random((50, 3)) < 0.5).astype(int)
    score = HammingNeighbors().fit(codes, pd.DataFrame(Y)).score(codes, Y)
    assert 0 < score < 1


def large_search(**parameters):
    """Enough codes for an index to pay, and queries near some of them."""
    rng = np.random.default_rng(0)
    codes = rng.integers(256, size=(70_000, 8), dtype=np.uint8)
    queries = codes[:40].copy()
    queries[:, 3] ^= 0b101
    return HammingNeighbors(packed=True, **parameters).fit(codes), queries


def test_auto_takes_an_index_where_it_pays():
    search, queries = large_search()
    assert search.algorithm_ == "brute"
    search.kneighbors(queries)
    assert search.algorithm_ == "brute"
    found = {}
    for radius in (2, 30):
        found[radius] = search.count_within(queries, radius)
        assert search.algorithm_ == ("multi_index" if radius == 2 else "brute")
    brute, _ = large_search(algorithm="brute")
    for radius, counts in found.items():
        np.testing.assert_array_equal(counts, brute.count_within(queries, radius))
    assert brute.algorithm_ == "brute"
    assert (found[2] >= 1).all()


def test_an_index_is_not_taken_where_few_are_searched_or_memory_is_short():
    search, queries = large_search()
    search.count_within(queries, where=np.arange(100))
    assert search.algorithm_ == "brute"
    with config_context(working_memory=1):
        search.count_within(queries)
    assert search.algorithm_ == "brute"
    search.count_within(queries)
    assert search.algorithm_ == "multi_index"


def test_an_index_that_was_asked_for_is_taken_or_refused():
    search, queries = large_search(algorithm="multi_index")
    brute, _ = large_search(algorithm="brute")
    assert search.algorithm_ == "multi_index"
    for k in (1, 30):
        np.testing.assert_array_equal(
            search.kneighbors(queries, k), brute.kneighbors(queries, k)
        )
    fresh, _ = large_search(algorithm="multi_index")
    with (
        config_context(working_memory=1),
        pytest.raises(ValueError, match="takes [0-9]+ MiB .* working_memory, 1 MiB"),
    ):
        fresh.count_within(queries)


def test_an_index_is_of_use_after_changes():
    search, queries = large_search()
    before = search.count_within(queries)
    index = search._stored.table.indexes[2]
    search.partial_fit(queries[:10]).remove(np.arange(5))
    np.testing.assert_array_equal(
        search.count_within(queries),
        before + (np.arange(40) < 10) - (np.arange(40) < 5),
    )
    assert search.algorithm_ == "multi_index"
    assert search._stored.table.indexes[2] is index
    search.partial_fit(np.repeat(queries, 1000, axis=0))
    search.count_within(queries)
    assert search._stored.table.indexes[2] is not index


def test_codes_that_collapsed_are_searched_as_they_are():
    rng = np.random.default_rng(0)
    codes = rng.integers(256, size=(100_000, 8), dtype=np.uint8)
    codes[::2] = codes[0]
    codes[1::4] = codes[rng.integers(1, 50, size=25_000)]
    search = HammingNeighbors(packed=True).fit(codes)
    brute = HammingNeighbors(packed=True, algorithm="brute").fit(codes)
    queries = np.concatenate([codes[:20], codes[-20:]])
    for radius in (0, 3):
        for ours, expected in zip(
            search.radius_neighbors(queries, radius),
            brute.radius_neighbors(queries, radius),
            strict=True,
        ):
            for a, b in zip(ours, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    explicit = HammingNeighbors(packed=True, algorithm="multi_index").fit(codes)
    np.testing.assert_array_equal(
        explicit.kneighbors(queries, 60), brute.kneighbors(queries, 60)
    )


@pytest.mark.parametrize(("packed", "expected"), [(True, "bytes"), (False, "bits")])
def test_queries_packed_in_another_way_are_told_from_other_codes(packed, expected):
    bits = np.random.default_rng(0).integers(0, 2, (9, 16), dtype=np.uint8)
    forms = {True: pack_codes(bits), False: bits}
    search = HammingNeighbors(packed=packed).fit(forms[packed])
    with pytest.raises(ValueError, match=f"packed={packed} codes come as {expected}"):
        search.kneighbors(forms[not packed])
    with pytest.raises(ValueError, match="is expecting .* features as input.$"):
        search.kneighbors(np.zeros((1, 3), dtype=np.uint8))
