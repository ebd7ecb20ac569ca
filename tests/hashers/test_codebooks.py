import numpy as np
import pytest

from sklhash import hamming_distances
from sklhash.hashers.codebooks import check_codebook, make_codebook

METHODS = ["bernoulli", "hadamard", "maxhd"]


def draw(method, n_classes, n_bits, seed=0):
    return make_codebook(method, n_classes, n_bits, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("n_classes", "n_bits"),
    [
        (2, 1),
        (2, 2),
        (3, 2),
        (4, 2),
        (2, 64),
        (3, 64),
        (5, 3),
        (8, 3),
        (10, 12),
        (10, 16),
    ]
    + [(10, 48), (10, 64), (21, 64), (16, 4), (100, 64), (128, 64), (10, 100)],
)
@pytest.mark.parametrize("method", METHODS)
def test_no_codewords_are_equal_and_no_bit_is_constant(method, n_classes, n_bits, seed):
    if method == "hadamard":
        n_classes = min(n_classes, 2 * n_bits)
    codebook = draw(method, n_classes, n_bits, seed)
    assert codebook.shape == (n_classes, n_bits)
    assert codebook.dtype == np.int8
    assert set(np.unique(codebook)) == {-1, 1}
    assert len(np.unique(codebook, axis=0)) == n_classes
    assert (np.abs(codebook.sum(axis=0)) < n_classes).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides(method):
    np.testing.assert_array_equal(draw(method, 10, 32), draw(method, 10, 32))
    assert (draw(method, 10, 32) != draw(method, 10, 32, seed=1)).any()


@pytest.mark.parametrize("method", METHODS)
def test_ten_thousand_classes(method):
    if method == "hadamard":
        with pytest.raises(
            ValueError, match="128 codewords of 64 bits, fewer than the 10000"
        ):
            draw(method, 10_000, 64)
    else:
        codebook = draw(method, 10_000, 64)
        assert len(np.unique(codebook, axis=0)) == 10_000


@pytest.mark.parametrize("method", METHODS)
def test_too_few_bits_are_refused(method):
    with pytest.raises(
        ValueError, match="n_bits=3 gives 8 .* 10 classes: use at least 4"
    ):
        draw(method, 10, 3)


def test_bernoulli_bits_are_fair():
    codebook = draw("bernoulli", 500, 64)
    distances = hamming_distances(codebook > 0, codebook > 0)
    mean = distances[np.triu_indices(500, 1)].mean() / 64
    assert mean == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("n_classes", "n_bits"), [(10, 16), (10, 64), (21, 64), (64, 64)]
)
def test_hadamard_codewords_are_orthogonal(n_classes, n_bits):
    codebook = draw("hadamard", n_classes, n_bits).astype(int)
    np.testing.assert_array_equal(codebook @ codebook.T, n_bits * np.eye(n_classes))


@pytest.mark.parametrize(("n_classes", "n_bits"), [(10, 64), (21, 64), (10, 16)])
def test_hadamard_bits_are_not_redundant(n_classes, n_bits):
    """The first rows of a Sylvester matrix give 16 different columns of 64."""
    codebook = draw("hadamard", n_classes, n_bits)
    assert len(np.unique(codebook, axis=1).T) > n_bits / 2


def test_hadamard_goes_on_with_negatives():
    codebook = draw("hadamard", 100, 64).astype(int)
    inner = codebook @ codebook.T
    assert set(np.unique(inner)) == {-64, 0, 64}
    assert (inner == -64).sum() == 2 * 36


def test_hadamard_of_other_widths_is_nearly_orthogonal():
    codebook = draw("hadamard", 10, 48).astype(int)
    inner = np.abs(codebook @ codebook.T)[np.triu_indices(10, 1)]
    assert inner.max() <= 16


def test_maxhd_codewords_keep_a_distance():
    def smallest_distance(method):
        codebook = draw(method, 21, 64) > 0
        distances = hamming_distances(codebook, codebook)
        return distances[np.triu_indices(21, 1)].min()

    assert smallest_distance("maxhd") >= 26 > smallest_distance("bernoulli")


def test_maxhd_gives_up_where_there_is_no_distance():
    with pytest.raises(ValueError, match="found no 300 codewords of 11 bits"):
        draw("maxhd", 300, 11)


@pytest.mark.parametrize("dtype", [int, float, np.int8])
def test_a_codebook_of_signs_is_taken(dtype):
    codebook = np.array([[1, -1, 1], [-1, -1, 1]], dtype=dtype)
    np.testing.assert_array_equal(check_codebook(codebook.tolist(), 2, 3), codebook)


@pytest.mark.parametrize(
    ("codebook", "message"),
    [
        ([[1, -1], [1, 1]], r"\(2, 3\), got \(2, 2\)"),
        ([[1, 1, 1], [-1, 1, 0]], "-1 and [+]1 only, got 0 in row 1, bit 2"),
        ([[1, np.nan, 1], [1, 1, 1]], "-1 and [+]1 only, got nan in row 0, bit 1"),
        ([["a", "b", "c"]] * 2, "-1 and [+]1 only, got a"),
    ],
)
def test_another_codebook_is_refused(codebook, message):
    with pytest.raises(ValueError, match=message):
        check_codebook(codebook, 2, 3)
