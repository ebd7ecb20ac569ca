import numpy as np
import pytest

from sklhash.pairs import encode_pairs


def test_pairs_are_read():
    pairs = encode_pairs(([3, 1], (0, 4), [True, False]), 5)
    assert len(pairs) == 2
    assert pairs.first.tolist() == [3, 1]
    assert pairs.second.tolist() == [0, 4]
    assert pairs.similarity.tolist() == [1, 0]
    assert pairs.similarity.dtype == np.float32


def test_only_rows_in_a_pair_are_kept():
    rows, pairs = encode_pairs(([7, 1, 7], [2, 4, 1], [1, 0, 1]), 9).compact()
    assert rows.tolist() == [1, 2, 4, 7]
    assert pairs.n_rows == 4
    np.testing.assert_array_equal(rows[pairs.first], [7, 1, 7])
    np.testing.assert_array_equal(rows[pairs.second], [2, 4, 1])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (([0], [1]), r"tuple \(i, j, s\) .* got tuple of length 2"),
        (5, "got int"),
        (np.zeros((4, 3)), "got ndarray of length 4"),
        (([0, 1], [1, 2], [1]), r"one length, at least 1, got shapes \(2,\), \(2,\), "),
        (([], [], []), r"got shapes \(0,\)"),
        (([[0]], [[1]], [[1]]), r"got shapes \(1, 1\)"),
        (([0.0, 1.0], [1, 2], [0, 1]), "i of pairs .* got dtype float64"),
        (([0, 1], ["1", "2"], [0, 1]), "j of pairs .* got dtype <U1"),
        (([0, -1], [1, 2], [0, 1]), "i of pairs .* from 0 to 9, got -1 in pair 1"),
        (([0, 1], [1, 10], [0, 1]), "j of pairs .* from 0 to 9, got 10 in pair 1"),
        (([0, 2], [1, 2], [0, 1]), "got row 2 with itself in pair 1"),
        (([0, 1], [1, 2], [0, 2]), "hold 0 or 1, got 2 in pair 1"),
        (([0, 1], [1, 2], [-1, 1]), "hold 0 or 1, got -1 in pair 0"),
        (([0, 1], [1, 2], [0, np.nan]), "hold 0 or 1, got nan in pair 1"),
        (([0, 1], [1, 2], [0.5, 1]), r"hold 0 or 1, got 0\.5 in pair 0"),
        (([0, 1], [1, 2], ["a", "b"]), "hold 0 or 1, got <U1"),
        (([0, 1], [[1], [1, 2]], [0, 1]), "pairs is no array: .*inhomogeneous"),
        (([0, 1], [1, 2], [1, 1]), "got similar ones only"),
        (([0, 1], [1, 2], [0, 0]), "got dissimilar ones only"),
    ],
)
def test_bad_pairs_are_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        encode_pairs(pairs, 10)


def test_graded_similarities():
    pairs = ([0, 1, 2], [1, 2, 3], [0, 0.25, 1])
    assert encode_pairs(pairs, 4, graded=True).similarity.tolist() == [0, 0.25, 1]
    with pytest.raises(ValueError, match=r"numbers from 0 to 1, got 1\.5 in pair 2"):
        encode_pairs((*pairs[:2], [0, 0.25, 1.5]), 4, graded=True)
