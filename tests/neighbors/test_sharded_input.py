"""What is no sharded search is refused at the door, and copies of one are as it is."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import sklhash
from sklhash import HammingNeighbors
from tests.neighbors.answers import answers
from tests.persistence.same import assert_same
from tests.shards import (
    as_array,
    as_array_of_unknown_chunks,
    as_frame,
    of_blocks,
    random_codes,
)

SIZES = [10, 0, 15, 5]
CODES, QUERIES = random_codes(30, 12), random_codes(7, 12, seed=1)
Y = np.arange(30) % 3


def of_frames(first, *others):
    """A Dask data frame that takes all its blocks for ones like the first."""
    import dask.dataframe as dd
    import pandas as pd

    return dd.from_map(pd.DataFrame, [first, *others], meta=first.iloc[:0])


def spoilt(rows, row, value):
    rows = rows.astype(float)
    rows[row, 3] = value
    return rows


X = as_array(CODES, SIZES)
FRAME = as_frame(CODES, [30]).compute()
WRONG = {
    "a block of another width": (
        of_blocks(CODES[:10], CODES[10:, :9]),
        None,
        r"columns of X, \(12,\), got \(9,\)",
    ),
    "columns in another order": (
        of_frames(FRAME, FRAME[FRAME.columns[::-1]]),
        None,
        "Block 1 of X: it must have the columns of X, .* got .'bit11', 'bit10'",
    ),
    "a value that is no bit": (
        as_array(spoilt(CODES, 17, 2), SIZES),
        None,
        "zeros and ones only, got 2",
    ),
    "columns of unknown number": (
        X[:, as_array(np.ones(12, dtype=bool), [12])],
        None,
        "known number of columns",
    ),
    "a missing value": (as_array(spoilt(CODES, 17, np.nan), SIZES), None, "nan"),
    "no rows": (as_array(CODES[:0], [0, 0]), None, "0 sample"),
    "a vector": (as_array(Y, SIZES), None, "2D array"),
    "too few labels": (X, Y[:29], "inconsistent numbers of samples"),
    "labels of other blocks": (
        X,
        as_array(Y, [15, 0, 10, 5]),
        "y must have the blocks of X.* 10, 0, 15, 5 rows .* 15, 0, 10, 5",
    ),
    "labels of fewer blocks": (X, as_array(Y, [30]), "in 4 blocks .* and 1 of 30"),
    "blocks that prove to be others": (
        as_array_of_unknown_chunks(CODES, SIZES),
        as_frame(Y, [10, 1, 14, 5]),
        "Block [12] of X: .*inconsistent numbers of samples",
    ),
    "labels that cannot be cut": (
        as_frame(CODES, SIZES),
        Y,
        "Dask does not know how long the blocks of X are",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_indexed_is_refused(what, anywhere):
    X, y, message = WRONG[what]
    search = HammingNeighbors()
    with pytest.raises(ValueError, match=message):
        search.fit(X, y)
    assert vars(search) == vars(HammingNeighbors())
    search.fit(as_array(CODES, SIZES), Y)
    before = answers(search, QUERIES)
    with pytest.raises(ValueError, match=message):
        search.fit(X, y)
    assert_same(answers(search, QUERIES), before)
    assert search.n_features_in_ == 12
    assert_same(search.y_, Y)


@pytest.mark.parametrize(
    ("more", "y", "message"),
    [
        (random_codes(5, 11), np.arange(5), "11 features, .* expecting 12"),
        (as_array(random_codes(5, 11), [2, 3]), np.arange(5), "11"),
        (as_array(random_codes(5, 12) + 1, [2, 3]), np.arange(5), "ones only, got 2"),
        (random_codes(5, 12), None, "no labels"),
        (random_codes(5, 12), list("abcde"), "a vector of strings"),
    ],
)
def test_a_refused_append_changes_nothing(more, y, message, anywhere):
    search = HammingNeighbors().fit(as_array(CODES, SIZES), Y)
    before = answers(search, QUERIES)
    with pytest.raises(ValueError, match=message):
        search.partial_fit(more, y)
    assert search.n_samples_fit_ == 30
    assert_same(answers(search, QUERIES), before)


def test_queries_that_cannot_be_answered_are_refused(anywhere):
    search = HammingNeighbors().fit(as_array(CODES, SIZES), Y)
    with pytest.raises(ValueError, match="13 features, .* expecting 12"):
        search.kneighbors(random_codes(3, 13))
    with pytest.raises(ValueError, match="<= 30, .* got n_neighbors = 31"):
        search.kneighbors(QUERIES, 31)
    with pytest.raises(ValueError, match="<= 29, .*other than the query itself"):
        search.kneighbors(n_neighbors=30)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        search.radius_neighbors(QUERIES, -1)
    with pytest.raises(ValueError, match=r"mask of shape \(30,\).* got .* \(29,\)"):
        search.count_within(QUERIES, where=np.ones(29, dtype=bool))
    with pytest.raises(ValueError, match="must lie between 0 and 29, got 30"):
        search.kneighbors(QUERIES, where=[30])
    with pytest.raises(ValueError, match="must be unique, got 2 more than once"):
        search.remove([2, 2])
    with pytest.raises(ValueError, match=r"removed \(1 of 30\): pass X"):
        search.remove([2]).kneighbors_graph()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda search: pickle.loads(pickle.dumps(search))]
)
def test_copies_answer_alike_and_go_their_own_way(copied, anywhere):
    search = HammingNeighbors(3).fit(as_array(CODES, SIZES), Y)
    before = answers(search, QUERIES)
    other = copied(search)
    assert_same(answers(other, QUERIES), before)
    other.remove([0, 20]).partial_fit(CODES[:2], Y[:2])
    assert (other.n_live_, search.n_live_) == (30, 30)
    assert other.n_samples_fit_ == 32
    assert_same(answers(search, QUERIES), before)
    with pytest.raises(NotFittedError):
        clone(search).kneighbors(QUERIES)


def test_a_sharded_search_is_not_saved(anywhere, tmp_path):
    search = HammingNeighbors().fit(as_array(CODES, SIZES), Y)
    with pytest.raises((TypeError, ValueError), match="shard"):
        sklhash.save(search, tmp_path / "search")
    with pytest.raises((TypeError, ValueError), match="shard"):
        search.save(tmp_path / "search")
    assert not list(tmp_path.iterdir())
