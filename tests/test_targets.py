from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import DataConversionWarning

from sklhash.targets import encode_targets, relevance_labels

INDICATOR = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 1, 1]])


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "b", "c"],
        np.array(["b", "a", "b", "c"], dtype=object),
        pd.Series(["b", "a", "b", "c"]),
        pd.Categorical(["b", "a", "b", "c"]),
        np.array(["b", "a", "b", "c"], dtype=np.dtypes.StringDType()),
    ],
)
def test_classes_of_any_kind(y):
    targets = encode_targets(y)
    assert targets.classes.tolist() == ["a", "b", "c"]
    assert targets.ids.tolist() == [1, 0, 1, 2]
    assert not targets.multilabel
    assert targets.labelled.all()
    np.testing.assert_array_equal(targets.indicator(), np.eye(3)[[1, 0, 1, 2]])


@pytest.mark.parametrize(
    "y",
    [
        [True, False],
        [7, -3],
        [2.0, 1.0],
        np.array([1, 0], "u1"),
        np.array([7, -3], dtype=object),
        np.array([True, False], dtype=object),
    ],
)
def test_numbers_and_bools_are_classes(y):
    assert encode_targets(y).ids.tolist() == [1, 0]


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        lambda y: y.tolist(),
        lambda y: y.astype(bool),
        lambda y: y.astype(float),
        pd.DataFrame,
        lambda y: pd.DataFrame(y).astype("boolean"),
        lambda y: y.astype(object),
        sparse.csr_array,
        sparse.csc_matrix,
        lambda y: sparse.coo_array(y.astype(bool)),
    ],
)
def test_indicators_of_any_kind(convert):
    targets = encode_targets(convert(INDICATOR))
    assert targets.multilabel
    assert targets.classes.tolist() == [0, 1, 2]
    assert targets.labelled.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(targets.indicator(), INDICATOR)
    assert targets.indicator().dtype == np.float32


def test_explicit_zeros_are_no_labels():
    y = sparse.csr_array(np.eye(3))
    y.data[1] = 0
    assert encode_targets(y).labelled.tolist() == [True, False, True]


def test_a_column_vector_is_ravelled_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        targets = encode_targets(np.array([[3], [1]]))
    assert targets.ids.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "got None"),
        ([0.0, np.nan], r"NaN or None: .*nan.* in row 1"),
        (["a", None], r"NaN or None: None in row 1"),
        (np.array(["a", np.nan], dtype=object), "NaN or None"),
        (["a", "b", np.nan], "NaN or None"),
        (["a", 1], "mixes strings"),
        (pd.Series([1, None, 2], dtype="Int64"), "NaN or None"),
        ([0.0, 1.0, 1.2], r"Unknown label type: .* got .*1\.2"),
        ([0.0, np.inf], "Unknown label type"),
        (np.array([0.5, 1.2], dtype=object), "Unknown label type"),
        (np.array([(0, 1), (1, 2), None], dtype=object)[:2], "Unknown label type"),
        ([1j, 2j], "Unknown label type"),
        (np.array(["2020-01-01", "2021-01-01"], "M8[D]"), "Unknown label type"),
        (np.array([1, "a"], dtype=object), "mixes strings"),
        ([[0, 1], [2, 0]], r"indicator of zeros and ones, .* got .*2"),
        ([[0, np.nan], [1, 0]], r"indicator of zeros and ones, .* got .*nan"),
        ([[0, None], [1, 0]], r"indicator of zeros and ones, .* got .*nan"),
        ([[0j, 1], [1, 0]], r"indicator of zeros and ones, .* got .*complex"),
        ([["a", "b"], ["b", "a"]], "indicator of zeros and ones"),
        (sparse.csr_array([[0, 3.0]]), "indicator of zeros and ones"),
        (
            sparse.coo_array(([1, 1], ([0, 0], [1, 1])), shape=(2, 3)),
            "indicator of zeros and ones, .* got .*2",
        ),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([[0, 1], [1]], "y is no array: .*inhomogeneous"),
        (np.ma.masked_array([1, 2], mask=[0, 1]), "y has masked entries"),
        ([2**63, -1], "y must hold whole numbers of one dtype, got -1 and 9223"),
    ],
)
def test_what_is_no_labels_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        encode_targets(y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_the_callers_sparse_labels_are_left_alone(dtype):
    data, columns = np.array([0, 1, 1, 1], dtype=dtype), np.array([2, 0, 1, 2])
    y = sparse.csr_array((data, columns, np.array([0, 2, 3, 4])), shape=(3, 3))
    before = y.copy()
    for part in (y.data, y.indices, y.indptr):
        part.setflags(write=False)
    np.testing.assert_array_equal(encode_targets(y).indicator(), before.toarray())
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(y, name), getattr(before, name))


def test_relevance_tells_large_numbers_apart():
    a, b = np.array([2**60]), np.array([2**60 + 1], dtype=np.uint64)
    query, database, _ = relevance_labels(a, b)
    assert (query != database).all()
    query, database, _ = relevance_labels([1.0, 2.0], np.array([2, 1], dtype=np.uint8))
    assert (query == database[::-1]).all()


@pytest.mark.parametrize("least", [2**53, 2**63, -(2**53) - 3])
def test_neighbouring_numbers_are_different_classes(least):
    numbers = [least + i for i in range(4)]
    dtypes = [dtype for dtype in (np.int64, np.uint64) if fits(dtype, numbers)]
    forms = [numbers, *(np.array(numbers, dtype=dtype) for dtype in dtypes)]
    for y, other in product(forms, forms):
        assert encode_targets(y, classes=other).ids.tolist() == [0, 1, 2, 3]
        query, database, _ = relevance_labels(y, other)
        np.testing.assert_array_equal(query == database.T, np.eye(4))


def test_numbers_are_compared_with_those_beyond_64_bits():
    query, database, _ = relevance_labels(
        np.array([-1, 2**53 + 1]), np.array([2**53, 2**53 + 1, 2**63], dtype=np.uint64)
    )
    np.testing.assert_array_equal(query == database.T, [[0, 0, 0], [0, 1, 0]])
    query, database, _ = relevance_labels([1e300, 2.0**63], [2**63])
    np.testing.assert_array_equal(query == database.T, [[0], [1]])


def fits(dtype, numbers):
    info = np.iinfo(dtype)
    return info.min <= min(numbers) and max(numbers) <= info.max


def test_label_words_do_not_depend_on_the_working_memory():
    y = (np.random.default_rng(0).random((50, 70)) < 0.1).astype(int)
    with config_context(working_memory=0.001):
        in_blocks = relevance_labels(y, y)[0]
    np.testing.assert_array_equal(in_blocks, relevance_labels(y, y)[0])


def test_known_classes_fix_the_encoding():
    classes = np.array(["a", "b", "c"])
    assert encode_targets(["c", "a"], classes=classes).ids.tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"labels \['d'\] that are not among"):
        encode_targets(["c", "d"], classes=classes)
    with pytest.raises(ValueError, match="got strings and numbers"):
        encode_targets([0, 1], classes=classes)
    with pytest.raises(ValueError, match="3 columns and classes of shape"):
        encode_targets(INDICATOR, classes=np.arange(2))
    with pytest.raises(ValueError, match="classes is no array"):
        encode_targets([0, 1], classes=[[0], [0, 1]])


def test_a_sparse_column_vector_is_ravelled_too():
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        targets = encode_targets(sparse.csr_array([[0], [1]]))
    assert targets.ids.tolist() == [0, 1]


@pytest.mark.parametrize("y", [np.array([2, 0, 1, 2]), INDICATOR])
def test_relevance_and_similarity_come_from_shared_labels(y):
    targets = encode_targets(y)
    indicator = targets.indicator()
    shared = indicator @ indicator.T
    np.testing.assert_array_equal(targets.relevance(), shared)
    np.testing.assert_array_equal(targets.similarity(), shared > 0)
    rows, columns = np.array([1, 3]), np.array([0, 2, 3])
    np.testing.assert_array_equal(
        targets.relevance(rows, columns), shared[np.ix_(rows, columns)]
    )


@pytest.mark.parametrize("y", [np.array([2, 0, 1, 2]), INDICATOR])
def test_take_chooses_rows(y):
    targets = encode_targets(y)
    rows = np.array([3, 0])
    np.testing.assert_array_equal(
        targets.take(rows).indicator(), targets.indicator(rows)
    )
    assert len(targets.take(rows)) == 2


def test_relevance_labels_of_classes():
    query, database, multilabel = relevance_labels(["x", "b"], ["a", "b", "x"])
    assert not multilabel
    np.testing.assert_array_equal(
        query == database.T, [[False, False, True], [False, True, False]]
    )


@pytest.mark.parametrize("n_labels", [2, 64, 65, 200])
def test_relevance_labels_of_indicators(n_labels):
    rng = np.random.default_rng(0)
    y = (rng.random((20, n_labels)) < 2 / n_labels).astype(int)
    words, other, multilabel = relevance_labels(y, sparse.csr_array(y))
    assert multilabel
    np.testing.assert_array_equal(words, other)
    np.testing.assert_array_equal(
        (words[:, None] & words[None]).any(axis=2), y @ y.T > 0
    )


@pytest.mark.parametrize(
    ("query_y", "database_y", "message"),
    [
        ([0, 1], INDICATOR, "one kind, got a vector of classes and a label indicator"),
        (INDICATOR[:, :2], INDICATOR, "got 2 and 3 columns"),
        ([0, 1], ["a", "b"], "got strings and numbers"),
        ([0, 1], None, "database_y must be class labels .*, got None"),
        ([0, np.nan], [0, 1], "Input query_y contains NaN"),
        ([0, 1], [0, "a"], "database_y mixes strings"),
    ],
)
def test_labels_that_do_not_fit_are_refused(query_y, database_y, message):
    with pytest.raises(ValueError, match=message):
        relevance_labels(query_y, database_y)
