import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    check_cv,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors
from sklhash.metrics import map_scorer
from sklhash.model_selection import (
    PROTOCOLS,
    RetrievalShuffleSplit,
    query_database_split,
)

CIFAR10 = np.repeat(np.arange(10), 6000)


def labels_of(n_rows, n_labels, share=0.1):
    """Indicators in which every row has the label of its number, and others."""
    indicator = np.random.default_rng(0).random((n_rows, n_labels)) < share
    indicator[np.arange(n_rows), np.arange(n_rows) % n_labels] = True
    return indicator


def counts_of(y, rows, n_classes):
    return np.bincount(np.asarray(y)[rows], minlength=n_classes)


classes = st.lists(st.integers(7, 12), min_size=1, max_size=5).flatmap(
    lambda sizes: st.permutations(np.repeat(range(len(sizes)), sizes).tolist())
)


@settings(max_examples=100, deadline=None)
@given(
    y=classes,
    n_query=st.integers(1, 3),
    n_train=st.none() | st.integers(1, 3),
    in_database=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_one_class_a_row_gives_exact_counts(y, n_query, n_train, in_database, seed):
    in_database = in_database or n_train is None
    query, database, train = query_database_split(
        y, n_query, n_train, train_in_database=in_database, random_state=seed
    )
    n_classes = max(y) + 1
    assert counts_of(y, query, n_classes).tolist() == [n_query] * n_classes
    if n_train is None:
        assert set(train) == set(database)
    else:
        assert counts_of(y, train, n_classes).tolist() == [n_train] * n_classes
    left = set(range(len(y))) - set(query)
    assert set(database) == (left if in_database else left - set(train))
    assert len(database) == len(set(database))
    assert {y[row] for row in database} == set(y)
    assert not set(query) & set(train)
    assert {part.dtype for part in (query, database, train)} == {np.dtype(np.int64)}


@settings(max_examples=100, deadline=None)
@given(
    n_labels=st.integers(2, 5),
    n_query=st.integers(1, 3),
    n_train=st.none() | st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_several_labels_a_row_give_exact_totals(n_labels, n_query, n_train, seed):
    y = labels_of(40 * n_labels, n_labels, share=0.3)
    y = np.concatenate([y, np.zeros((7, n_labels), dtype=bool)])
    query, database, train = query_database_split(
        y, n_query, n_train, random_state=seed
    )
    assert len(set(query)) == len(query) == n_query * n_labels
    assert (y[query].sum(axis=0) >= n_query).all()
    assert sorted([*query, *database]) == list(range(40 * n_labels))
    if n_train is None:
        assert set(train) == set(database)
    else:
        assert len(set(train)) == len(train) == n_train * n_labels
        assert (y[train].sum(axis=0) >= n_train).all()
        assert set(train) <= set(database)
    shared = y[query].astype(int) @ y[database].T.astype(int)
    assert (shared > 0).any(axis=1).all()


def test_the_defaults_are_those_of_most_papers():
    query, database, train = query_database_split(CIFAR10, random_state=0)
    assert (len(query), len(database), len(train)) == (1000, 59_000, 5000)
    parameters = inspect.signature(query_database_split).parameters
    assert list(parameters)[:3] == ["y", "n_query_per_class", "n_train_per_class"]
    assert [parameters[name].default for name in list(parameters)[1:3]] == [100, 500]


@pytest.mark.parametrize(
    ("protocol", "y", "sizes", "k"),
    [
        ("cifar10-I", CIFAR10, (1000, 59_000, 5000), None),
        ("cifar10-I54", CIFAR10, (1000, 54_000, 5000), None),
        ("cifar10-II", CIFAR10, (10_000, 50_000, 50_000), None),
        ("cifar10-U", CIFAR10, (10_000, 50_000, 5000), 1000),
        ("nuswide21-I", labels_of(195_834, 21), (2100, 193_734, 10_500), 5000),
        ("nuswide21-II", labels_of(195_834, 21), (2100, 193_734, 193_734), 50_000),
        ("nuswide81", labels_of(50_000, 81, 0.01), (5000, 45_000, 10_000), 5000),
        ("imagenet100", np.arange(20_000) % 100, (5000, 15_000, 13_000), 1000),
        ("coco", labels_of(122_218, 80, 0.02), (5000, 117_218, 10_000), 5000),
        ("mirflickr25k", labels_of(25_000, 24), (1000, 20_000, 4000), None),
    ],
)
def test_protocols_have_the_sizes_of_the_literature(protocol, y, sizes, k):
    query, database, train = query_database_split(y, protocol=protocol, random_state=0)
    assert (len(query), len(database), len(train)) == sizes
    assert not set(query) & set(database)
    assert not set(query) & set(train)
    inside = set(train) <= set(database)
    assert inside == (protocol not in ("cifar10-I54", "mirflickr25k"))
    assert PROTOCOLS[protocol].k == k


def test_every_protocol_is_named_in_the_docstring():
    for name in PROTOCOLS:
        assert f"    {name} " in query_database_split.__doc__


def test_a_protocol_on_other_data_is_warned_of():
    with pytest.warns(UserWarning, match="has 59000 rows, that of this y has 9000") as (
        warned
    ):
        query_database_split(np.arange(10_000) % 10, protocol="cifar10-I")
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("protocol", "database_of_test_rows", "sizes"),
    [
        ("cifar10-I", 9000, (1000, 59_000, 5000)),
        ("cifar10-II", 0, (10_000, 50_000, 50_000)),
        ("cifar10-U", 0, (10_000, 50_000, 5000)),
    ],
)
@pytest.mark.parametrize("as_mask", [False, True])
def test_an_official_test_set_gives_the_queries(
    protocol, database_of_test_rows, sizes, as_mask
):
    y = np.arange(60_000) % 10
    is_test = np.arange(60_000) >= 50_000
    pool = is_test if as_mask else np.flatnonzero(is_test)
    query, database, train = query_database_split(
        y, protocol=protocol, query_pool=pool, random_state=0
    )
    assert (len(query), len(database), len(train)) == sizes
    assert is_test[query].all()
    assert not is_test[train].any()
    assert is_test[database].sum() == database_of_test_rows


def test_rows_of_the_query_pool_are_never_trained_on():
    y = np.arange(60) % 3
    query, database, train = query_database_split(
        y, 2, None, query_pool=np.arange(12), random_state=0
    )
    assert sorted([*query, *database]) == list(range(60))
    assert sorted(train) == list(range(12, 60))
    assert max(query) < 12


def test_counts_in_all_are_drawn_whatever_the_labels():
    y = np.array([0] * 990 + [1] * 10)
    query, database, train = query_database_split(
        y, n_query=300, n_train=200, random_state=0
    )
    assert (len(query), len(database), len(train)) == (300, 700, 200)
    assert np.bincount(y[query])[0] > 280
    query, database, train = query_database_split(y, n_query=300, random_state=0)
    np.testing.assert_array_equal(train, database)
    query, database, train = query_database_split(
        y, n_query=300, n_train=699, train_in_database=False, random_state=0
    )
    assert sorted([*query, *database, *train]) == list(range(1000))


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: np.array(["ant", "bee", "cat"])[y],
        lambda y: np.array(["ant", "bee", "cat"], dtype=object)[y].tolist(),
        lambda y: y.astype(float),
        lambda y: pd.Series(y, index=range(100, 100 + len(y))),
        lambda y: pd.Categorical(y),
        lambda y: y - 7,
    ],
)
def test_classes_of_any_kind_split_alike(convert):
    y = np.arange(60) % 3
    expected = query_database_split(y, 3, 5, random_state=0)
    split = query_database_split(convert(y), 3, 5, random_state=0)
    for part, same in zip(split, expected, strict=True):
        np.testing.assert_array_equal(part, same)


def test_bools_are_two_classes():
    y = np.arange(60) < 20
    query, _, _ = query_database_split(y, 3, 5, random_state=0)
    assert y[query].sum() == 3
    assert len(query) == 6


@pytest.mark.parametrize(
    "convert", [sparse.csr_array, sparse.csc_matrix, pd.DataFrame, np.ndarray.tolist]
)
def test_indicators_of_any_kind_split_alike(convert):
    y = labels_of(200, 4).astype(int)
    expected = query_database_split(y, 5, 10, random_state=0)
    split = query_database_split(convert(y), 5, 10, random_state=0)
    for part, same in zip(split, expected, strict=True):
        np.testing.assert_array_equal(part, same)


def test_the_rarest_label_is_served_first():
    """Its eight rows have all other labels too, which could use them up."""
    y = np.ones((200, 5), dtype=int)
    y[8:, 4] = 0
    for seed in range(20):
        query, _, train = query_database_split(y, 3, 5, random_state=seed)
        assert y[query, 4].sum() == 3
        assert y[train, 4].sum() == 5


def test_rows_are_drawn_evenly():
    """Of 40 rows each is a query in a quarter of the draws."""
    y = np.repeat([0, 1], 20)
    counts = np.zeros(40)
    for seed in range(2000):
        counts[query_database_split(y, 5, 5, random_state=seed).query] += 1
    np.testing.assert_allclose(counts / 2000, 0.25, atol=0.05)


def test_parts_come_in_random_order():
    for rows in query_database_split(CIFAR10, random_state=0):
        assert abs(np.corrcoef(CIFAR10[rows], np.arange(len(rows)))[0, 1]) < 0.1


def test_a_number_as_random_state_gives_the_same_split_again():
    first, again = (query_database_split(CIFAR10, random_state=3) for _ in range(2))
    for part, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(part, same)
    other = query_database_split(CIFAR10, random_state=4)
    assert set(first.query) != set(other.query)
    rng = np.random.RandomState(3)
    drawn = [query_database_split(CIFAR10, random_state=rng) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0].query, first.query)
    assert set(drawn[1].query) != set(first.query)


def test_queries_do_not_depend_on_the_number_of_training_rows():
    few, many, whole = (
        query_database_split(CIFAR10, 100, n_train, random_state=0)
        for n_train in (50, 500, None)
    )
    np.testing.assert_array_equal(few.query, many.query)
    np.testing.assert_array_equal(few.query, whole.query)
    assert set(few.train) < set(many.train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n_query_per_class": 21},
            "y has 20 rows of class 'bee', 20 of them left for queries, wanted 21",
        ),
        (
            {"n_query_per_class": 5, "n_train_per_class": 16},
            "20 rows of class 'bee', 15 of them left for training rows, wanted 16",
        ),
        (
            {
                "n_query_per_class": 5,
                "n_train_per_class": 15,
                "train_in_database": False,
            },
            "20 rows of class 'bee', 0 of them left for database rows, wanted 1",
        ),
        (
            {"n_query_per_class": 20, "n_train_per_class": None},
            "20 rows of class 'bee', 0 of them left for training rows, wanted 1",
        ),
        (
            {"n_query_per_class": 5, "query_pool": [0, 1, 2, 59]},
            "20 rows of class 'bee', 1 of them left for queries, wanted 5",
        ),
        ({"n_query": 61}, "y has 60 rows with a label, 60 of them left for queries"),
    ],
)
def test_a_class_that_is_too_small_is_named(arguments, message):
    y = ["ant"] * 40 + ["bee"] * 20
    with pytest.raises(ValueError, match=message):
        query_database_split(y, **arguments)


def test_a_label_that_is_too_rare_is_named():
    y = labels_of(60, 3, share=0)
    y[:, 1] = False
    with pytest.raises(ValueError, match="y has 0 rows of label 1, 0 of them left"):
        query_database_split(y, 5, 5)
    overlapping = np.ones((20, 2), dtype=int)
    with pytest.raises(
        ValueError, match="20 rows of label 1, 5 of them left for train"
    ):
        query_database_split(overlapping, 4, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"protocol": "cifar10-II", "n_query_per_class": 50},
            "protocol='cifar10-II' sets all counts, so n_query_per_class=50 cannot",
        ),
        (
            {"protocol": "cifar10-I", "n_train_per_class": None},
            "so n_train_per_class=None cannot be given",
        ),
        (
            {"protocol": "cifar10-I54", "train_in_database": True},
            "so train_in_database=True cannot be given",
        ),
        ({"protocol": "coco", "n_query": 5000}, "so n_query=5000 cannot be given"),
        (
            {"n_query": 10, "n_query_per_class": 50},
            "n_query=10 counts rows of all classes, so n_query_per_class=50 cannot",
        ),
        (
            {"n_query": 10, "n_train_per_class": None},
            "n_query=10 counts rows of all classes, so n_train_per_class=None cannot",
        ),
        ({"n_train": 10}, "n_train=10 needs n_query"),
        (
            {"n_train_per_class": None, "train_in_database": False},
            "train_in_database=False needs a number of training rows, got None",
        ),
        (
            {"n_query": 10, "train_in_database": False},
            "train_in_database=False needs a number of training rows, got None",
        ),
        ({"n_query_per_class": 0}, "'n_query_per_class' parameter .* Got 0"),
        ({"n_query_per_class": 0.1}, "'n_query_per_class' parameter .* Got 0.1"),
        ({"n_train_per_class": 0}, "'n_train_per_class' parameter .* Got 0"),
        ({"protocol": "cifar10"}, "'protocol' parameter .* Got 'cifar10'"),
        (
            {"query_pool": [0.5]},
            r"query_pool must be .* shape \(1,\) and dtype float64",
        ),
        (
            {"query_pool": [True]},
            r"query_pool must be .* mask of 20 rows, .* dtype bool",
        ),
        ({"query_pool": [[1]]}, r"query_pool must be .* shape \(1, 1\)"),
        (
            {"query_pool": [3, 20]},
            "query_pool must hold row numbers from 0 to 19, got 20",
        ),
        ({"query_pool": [-1]}, "query_pool must hold row numbers .* got -1"),
        ({"random_state": "a"}, "'random_state' parameter"),
    ],
)
def test_arguments_that_contradict_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        query_database_split(np.arange(20) % 2, **arguments)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "got None"),
        ([0.5, 1.2], "Unknown label type"),
        ([[0, 2], [1, 0]], "indicator of zeros and ones"),
        (np.zeros((5, 2)), "y has 0 rows with a label"),
        (np.zeros(0, dtype=int), "y has 0 rows with a label"),
    ],
)
def test_what_is_no_labels_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        query_database_split(y)
    with pytest.raises(ValueError, match=message):
        next(RetrievalShuffleSplit().split(np.zeros(0 if y is None else len(y)), y))


@settings(max_examples=50, deadline=None)
@given(
    y=classes,
    n_query=st.integers(1, 3),
    n_train=st.none() | st.integers(1, 2),
    seed=st.integers(0, 2**31),
)
def test_each_split_has_the_same_number_of_queries_of_each_class(
    y, n_query, n_train, seed
):
    cv = RetrievalShuffleSplit(
        3, n_query_per_class=n_query, n_train_per_class=n_train, random_state=seed
    )
    X, n_classes = np.zeros((len(y), 2)), max(y) + 1
    splits = list(cv.split(X, y))
    assert len(splits) == cv.get_n_splits(X, y) == 3
    for train, test in splits:
        assert counts_of(y, test, n_classes).tolist() == [n_query] * n_classes
        if n_train is None:
            assert sorted([*train, *test]) == list(range(len(y)))
        else:
            assert counts_of(y, train, n_classes).tolist() == [n_train] * n_classes
            assert not set(train) & set(test)
    for (train, test), again in zip(splits, cv.split(X, y), strict=True):
        np.testing.assert_array_equal(train, again[0])
        np.testing.assert_array_equal(test, again[1])


def test_splits_differ_from_each_other():
    y = np.arange(100) % 4
    cv = RetrievalShuffleSplit(5, n_query_per_class=5, random_state=0)
    queries = {tuple(sorted(test)) for _, test in cv.split(y, y)}
    assert len(queries) == 5
    rng = np.random.RandomState(0)
    cv = RetrievalShuffleSplit(1, n_query_per_class=5, random_state=rng)
    (first,), (second,) = list(cv.split(y, y)), list(cv.split(y, y))
    assert set(first[1]) != set(second[1])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_every_query_with_labels_finds_something_relevant(convert):
    _, y = make_multilabel_classification(300, n_classes=12, random_state=0)
    cv = RetrievalShuffleSplit(4, n_query_per_class=3, random_state=0)
    for train, test in cv.split(np.zeros((300, 2)), convert(y)):
        assert len(test) == 36
        assert (y[test].sum(axis=0) >= 3).all()
        assert ((y[test] @ y[train].T) > 0).any(axis=1).all()
        assert sorted([*train, *test]) == np.flatnonzero(y.any(axis=1)).tolist()


class RowsSeen(BaseEstimator):
    """Scores the share of queries whose class is in the database."""

    def __init__(self, share=1.0):
        self.share = share

    def fit(self, X, y):
        self.classes_ = np.unique(y[: int(self.share * len(y))])
        return self

    def score(self, X, y):
        return np.isin(y, self.classes_).mean()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600]


def test_cross_validation_fits_the_database_and_queries_it(digits):
    X, y = digits
    search = make_pipeline(LSH(16, random_state=0), HammingNeighbors())
    cv = RetrievalShuffleSplit(2, n_query_per_class=5, random_state=0)
    result = cross_validate(
        search, X, y, cv=cv, scoring=map_scorer, return_estimator=True
    )
    for (train, test), estimator, score in zip(
        cv.split(X, y), result["estimator"], result["test_score"], strict=True
    ):
        assert estimator[-1].n_live_ == len(train)
        again = make_pipeline(LSH(16, random_state=0), HammingNeighbors())
        assert again.fit(X[train], y[train]).score(X[test], y[test]) == score


@pytest.mark.parametrize("search_cv", [GridSearchCV, HalvingGridSearchCV])
def test_searches_choose_by_it(digits, search_cv):
    X, y = digits
    cv = RetrievalShuffleSplit(2, n_query_per_class=5, random_state=0)
    search = search_cv(RowsSeen(), {"share": [0.01, 1.0]}, cv=cv).fit(X, y)
    assert search.best_params_ == {"share": 1.0}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_first_rows_of_the_database_are_a_random_sample(digits):
    X, y = digits
    order = np.argsort(y)
    cv = RetrievalShuffleSplit(2, n_query_per_class=5, random_state=0)
    sizes, _, scores = learning_curve(
        RowsSeen(), X[order], y[order], cv=cv, train_sizes=[60, 300]
    )
    assert sizes.tolist() == [60, 300]
    assert (scores == 1).all()


def test_several_labels_go_through_cross_validation():
    X, y = make_multilabel_classification(200, n_classes=6, random_state=0)
    search = make_pipeline(LSH(16, random_state=0), HammingNeighbors())
    cv = RetrievalShuffleSplit(2, n_query_per_class=3, random_state=0)
    scores = cross_val_score(search, X, y, cv=cv)
    assert ((scores > 0) & (scores < 1)).all()
    chosen = GridSearchCV(search, {}, cv=cv).fit(X, sparse.csr_array(y))
    assert chosen.best_score_ == pytest.approx(scores.mean())


def test_the_splitter_has_the_manners_of_a_splitter():
    cv = RetrievalShuffleSplit(3, n_query_per_class=5, random_state=0)
    assert check_cv(cv) is cv
    assert repr(cv) == (
        "RetrievalShuffleSplit(n_query_per_class=5, n_splits=3, "
        "n_train_per_class=None,\n           random_state=0)"
    )
    y = np.arange(100) % 4
    copy = pickle.loads(pickle.dumps(cv))
    for split, same in zip(cv.split(y, y), copy.split(y, y), strict=True):
        np.testing.assert_array_equal(split[1], same[1])
    with pytest.warns(UserWarning, match="groups parameter is ignored"):
        next(cv.split(y, y, groups=y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(cv.split(y[:-1], y))
    with config_context(enable_metadata_routing=True):
        assert str(cv.get_metadata_routing()) == "{}"


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_splits": 0},
        {"n_query_per_class": 0},
        {"n_query_per_class": 0.1},
        {"n_train_per_class": 0},
        {"random_state": "a"},
    ],
)
def test_wrong_parameters_of_the_splitter_are_refused_at_once(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"'{name}' parameter of RetrievalShuffle"):
        RetrievalShuffleSplit(**arguments)


def test_the_splitter_names_a_class_that_is_too_small():
    y = np.repeat([0, 1, 2], [30, 10, 30])
    with pytest.raises(
        ValueError, match="10 rows of class 1, 0 of them left for training rows"
    ):
        next(RetrievalShuffleSplit().split(y, y))
