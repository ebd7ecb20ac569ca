"""Splits have the rows that were asked for, or labels and counts are refused."""

import numpy as np
from hypothesis import strategies as st

from sklhash import RetrievalShuffleSplit, query_database_split
from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, attempt
from tests.fuzz.strategies import (
    class_ids,
    class_labels,
    indicators,
    label_sets,
    vocabularies,
    whole_numbers,
)


def labels(draw):
    if draw(st.booleans()):
        return class_labels(draw, class_ids(draw, max_rows=30), vocabularies(draw))
    return indicators(draw, label_sets(draw, 3, max_rows=30))


def label_matrix(says):
    says = np.asarray(says)
    return says if says.ndim == 2 else says[:, None] == np.unique(says)


def counts(draw, **options):
    return whole_numbers(draw, 1, st.integers(1, 3), **options)


def all_right(*givens):
    return all(given.says is not None for given in givens)


@fuzz(1.5, data=st.data())
def test_each_class_has_its_queries_and_training_rows(data):
    y = labels(data.draw)
    n_query, n_train = counts(data.draw), counts(data.draw, optional=True)
    pool = Given(None, NONE)
    kind = data.draw(st.integers(0, 9))
    n = 0 if y.says is None else len(y.says)
    if kind == 0:
        pool = Given([True] * n, np.ones(n, bool), doubtful=n == 0)
    elif kind == 1:
        wrong = [[-1], [n], [0.5], "abc", [[0]], {}, 3, ["0"], [True] * (n + 1)]
        pool = Given(data.draw(st.sampled_from(wrong)))
    split = attempt(
        query_database_split,
        y=y.value,
        n_query_per_class=n_query.value,
        n_train_per_class=n_train.value,
        query_pool=pool.value,
        random_state=0,
    )
    if split is REFUSED:
        fine = all_right(y, n_query, n_train, pool)
        if fine and pool.says is NONE and not (y.doubtful or n_query.doubtful):
            members = label_matrix(y.says).sum(axis=0)
            n_rest = 1 if n_train.says is NONE else n_train.says
            n_labels = np.max(label_matrix(y.says).sum(axis=1), initial=0)
            few = n == 0 or members.min(initial=n) < n_query.says + n_rest
            assert few or n_labels > 1 or n_train.doubtful
        return
    assert all_right(y, n_query, n_train, pool)
    query, database, train = split
    matrix = label_matrix(y.says)
    labelled = np.flatnonzero(matrix.any(axis=1))
    np.testing.assert_array_equal(np.sort(np.append(query, database)), labelled)
    assert set(train) <= set(database)
    if matrix.any() and (matrix.sum(axis=1) <= 1).all():
        present = matrix.any(axis=0)
        assert (matrix[query].sum(axis=0)[present] == n_query.says).all()
        if n_train.says is not NONE:
            assert (matrix[train].sum(axis=0)[present] == n_train.says).all()


@fuzz(1, data=st.data())
def test_folds_are_disjoint_and_cover_what_is_labelled(data):
    y = labels(data.draw)
    n_splits, n_query = counts(data.draw), counts(data.draw)
    splitter = attempt(
        RetrievalShuffleSplit,
        n_splits=n_splits.value,
        n_query_per_class=n_query.value,
        random_state=0,
    )
    if splitter is REFUSED:
        assert not all_right(n_splits, n_query) or n_splits.doubtful or n_query.doubtful
        return
    assert all_right(n_splits, n_query)
    if n_splits.says > 10:
        return
    X = np.zeros((0 if y.says is None else len(y.says), 1))
    folds = attempt(lambda **of: list(splitter.split(**of)), X=X, y=y.value)
    if folds is REFUSED:
        return
    assert y.says is not None
    labelled = np.flatnonzero(label_matrix(y.says).any(axis=1))
    assert len(folds) == n_splits.says
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.append(train, test)), labelled)
