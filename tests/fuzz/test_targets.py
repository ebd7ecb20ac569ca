"""Labels and pairs in any form are read for what they say, or refused."""

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

from sklhash.pairs import encode_pairs
from sklhash.targets import encode_targets, relevance_labels
from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, check
from tests.fuzz.strategies import (
    class_ids,
    class_labels,
    formed,
    indicators,
    label_sets,
    seeds,
    vocabularies,
)


@fuzz(8, data=st.data())
def test_equal_classes_are_equal_and_others_not(data):
    vocabulary = vocabularies(data.draw)
    y = class_labels(data.draw, class_ids(data.draw), vocabulary)
    kind = data.draw(st.integers(0, 3))
    classes = Given(None, NONE)
    if kind == 0:
        classes = class_labels(data.draw, np.arange(6), vocabulary)
    elif kind == 1:
        classes = class_labels(data.draw, class_ids(data.draw), vocabulary)

    if classes.value is None:
        classes = Given(None, NONE)
    elif getattr(classes.value, "ndim", 1) == 2:
        classes = classes._replace(doubtful=True)

    def oracle(y, classes):
        known = np.unique(y if classes is None else classes)
        if not np.isin(y, known).all():
            return REFUSED
        return vocabulary[known], np.searchsorted(known, y)

    def compare(targets, expected):
        classes, numbers = expected
        np.testing.assert_array_equal(targets.classes, np.sort(classes))
        np.testing.assert_array_equal(targets.classes[targets.ids], classes[numbers])
        np.testing.assert_array_equal(
            targets.indicator(), targets.ids[:, None] == np.arange(targets.n_classes)
        )

    check(encode_targets, oracle, compare, y=y, classes=classes)


@fuzz(5, data=st.data())
def test_an_indicator_is_read_for_what_it_says(data):
    y = indicators(data.draw, label_sets(data.draw))

    def compare(targets, expected):
        assert targets.multilabel
        np.testing.assert_array_equal(targets.indicator(), expected)
        np.testing.assert_array_equal(targets.labelled, expected.any(axis=1))
        np.testing.assert_array_equal(targets.relevance(), expected @ expected.T)

    check(encode_targets, lambda y: y, compare, y=y)


@fuzz(8, data=st.data())
def test_relevance_is_equality_or_a_shared_label(data):
    if data.draw(st.booleans()):
        a = label_sets(data.draw)
        n_labels = data.draw(st.sampled_from([a.shape[1], a.shape[1], None]))
        b = label_sets(data.draw, n_labels)
        query_y, database_y = (indicators(data.draw, y) for y in (a, b))
    else:
        vocabulary = vocabularies(data.draw)
        query_y, database_y = (
            class_labels(data.draw, class_ids(data.draw), vocabulary) for _ in range(2)
        )

    def oracle(query_y, database_y):
        if query_y.ndim == 1:
            return query_y[:, None] == database_y
        if query_y.shape[1] != database_y.shape[1]:
            return REFUSED
        return query_y @ database_y.T > 0

    def compare(answer, expected):
        query_labels, database_labels, multilabel = answer
        if multilabel:
            found = (query_labels[:, None] & database_labels).any(axis=2)
        else:
            found = query_labels == database_labels.T
        np.testing.assert_array_equal(found, expected)

    check(relevance_labels, oracle, compare, query_y=query_y, database_y=database_y)


@fuzz(5, data=st.data())
def test_labels_of_two_kinds_are_compared_by_value_or_refused(data):
    vocabularies_ = [vocabularies(data.draw) for _ in range(2)]
    y = [class_ids(data.draw, min_rows=1) for _ in range(2)]
    query_y, database_y = (
        class_labels(data.draw, i, v) for i, v in zip(y, vocabularies_, strict=True)
    )

    def oracle(query_y, database_y):
        kinds = {v.dtype.kind == "U" for v in vocabularies_}
        if len(kinds) == 2:
            return REFUSED
        a, b = (v[i].tolist() for v, i in zip(vocabularies_, y, strict=True))
        return np.array([[p == q for q in b] for p in a]).reshape(len(a), len(b))

    def compare(answer, expected):
        np.testing.assert_array_equal(answer[0] == answer[1].T, expected)

    check(relevance_labels, oracle, compare, query_y=query_y, database_y=database_y)


@fuzz(5, data=st.data())
def test_pairs_are_read_or_refused(data):
    n_samples = data.draw(st.sampled_from([1, 2, 3, 10]))
    n_pairs = data.draw(st.integers(0, 5))
    graded = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(seeds))
    first, second = rng.integers(0, n_samples, (2, n_pairs))
    if n_samples > 1 and data.draw(st.booleans()):
        second = (first + 1) % n_samples
    similarity = rng.integers(0, 2, n_pairs)
    if data.draw(st.integers(0, 3)) == 0:
        similarity = similarity / 2
    parts = [formed(data.draw, part) for part in (first, second, similarity)]
    says = first, second, similarity
    doubtful = any(part.doubtful for part in parts)
    pairs = Given(tuple(part.value for part in parts), says, doubtful)
    if data.draw(st.integers(0, 4)) == 0:
        spoil = data.draw(st.sampled_from(SPOIL))
        pairs = Given(spoil(*(part.value for part in parts)))

    def oracle(pairs, n_samples, graded):
        first, second, s = pairs
        good = len(s) > 0 and (first != second).all() and s.any() and not s.all()
        if not good or not (graded or np.isin(s, (0, 1)).all()):
            return REFUSED
        return pairs

    def compare(read, expected):
        for part, says in zip(
            (read.first, read.second, read.similarity), expected, strict=True
        ):
            np.testing.assert_array_equal(part, says)

    n_samples = Given(n_samples, n_samples)
    check(
        encode_pairs,
        oracle,
        compare,
        pairs=pairs,
        n_samples=n_samples,
        graded=Given(graded, graded),
    )


SPOIL = (
    lambda i, j, s: None,
    lambda i, j, s: 5,
    lambda i, j, s: (i, j),
    lambda i, j, s: (i, j, None),
    lambda i, j, s: (i, [[0], [1, 2]], s),
    lambda i, j, s: ([-1, 0], [0, 1], [0, 1]),
    lambda i, j, s: ([0, 1], [1, 0], [0, 2]),
    lambda i, j, s: ([0, 1], [1, 0], [0, np.nan]),
    lambda i, j, s: ([0, 1], [1, 0], [0, -np.inf]),
    lambda i, j, s: ([0.0, 1.0], [1, 0], [0, 1]),
    lambda i, j, s: ([0, 2**40], [1, 0], [0, 1]),
    lambda i, j, s: (np.array([0, 2**63], dtype="u8"), [1, 0], [0, 1]),
    lambda i, j, s: ([[0, 1]], [[1, 0]], [[0, 1]]),
    lambda i, j, s: (["0", "1"], ["1", "0"], [0, 1]),
    lambda i, j, s: ([0, 1], [1, 0], ["0", "1"]),
    lambda i, j, s: (sparse.eye_array(2), [1, 0], [0, 1]),
    lambda i, j, s: "abc",
    lambda i, j, s: {0: i, 1: j, 2: s},
    lambda i, j, s: np.zeros((3, 2)),
)
