import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn import config_context

from sklhash import code_statistics, hamming_distances, pack_codes, unpack_codes
from sklhash.codes import as_words, from_words

WIDTHS = [1, 7, 8, 12, 48, 64, 100, 130]


def random_bits(n_samples, n_bits, seed=0):
    return (
        np.random.default_rng(seed).integers(2, size=(n_samples, n_bits)).astype("u1")
    )


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_bit_j_is_in_byte_j_over_8_at_position_j_mod_8(n_bits):
    for j in range(n_bits):
        bits = np.zeros((1, n_bits), dtype=np.uint8)
        bits[0, j] = 1
        expected = np.zeros((1, -(-n_bits // 8)), dtype=np.uint8)
        expected[0, j // 8] = 1 << (j % 8)
        np.testing.assert_array_equal(pack_codes(bits), expected)


@pytest.mark.parametrize("bitorder", ["little", "big"])
@pytest.mark.parametrize("n_samples", [0, 1, 33])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_unpack_undoes_pack(n_samples, n_bits, bitorder):
    bits = random_bits(n_samples, n_bits)
    packed = pack_codes(bits, bitorder=bitorder)
    assert packed.dtype == np.uint8
    assert packed.shape == (n_samples, -(-n_bits // 8))
    np.testing.assert_array_equal(packed, np.packbits(bits, axis=1, bitorder=bitorder))
    unpacked = unpack_codes(packed, n_bits, bitorder=bitorder)
    np.testing.assert_array_equal(unpacked, bits)
    assert unpacked.dtype == np.uint8


@pytest.mark.parametrize(
    "convert",
    [
        lambda bits: bits.astype(bool),
        lambda bits: bits.astype(np.int64),
        lambda bits: bits.astype(np.float32),
        lambda bits: bits.tolist(),
        np.asfortranarray,
        pd.DataFrame,
        lambda bits: pd.DataFrame(bits).astype("UInt8"),
        lambda bits: bits.astype(object),
    ],
)
def test_zeros_and_ones_of_any_kind_are_bits(convert):
    bits = random_bits(9, 12)
    np.testing.assert_array_equal(pack_codes(convert(bits)), pack_codes(bits))


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([[0, 1, 2]], r"zeros and ones only, got 2 in row 0, bit 2"),
        ([[0, 1], [-1, 1]], r"got -1 in row 1, bit 0"),
        ([[0.0, 0.5]], r"got 0.5 in row 0, bit 1"),
        ([[0.0, np.nan]], r"got nan in row 0, bit 1"),
        ([0, 1, 1], r"matrix .* got an array of shape \(3,\)"),
        ([[[0, 1]]], r"shape \(1, 1, 2\)"),
        (np.empty((3, 0)), r"at least one column"),
        ([["a", "b"]], r"dtype <U1"),
        ([[None, 1]], r"got nan in row 0, bit 0"),
        ([[object(), 1]], r"dtype object"),
        (np.array([["1", "0"]], dtype=object), r"dtype object"),
        ([[1 + 0j]], r"dtype complex128"),
        (sparse.csr_array(np.eye(2)), r"dense array, got a sparse one"),
        ([[0, 1], [1]], r"bits is no array: .*inhomogeneous"),
        (np.ma.masked_array([[0, 1]], mask=[[0, 1]]), r"bits has masked entries"),
    ],
)
def test_what_is_no_bits_is_refused(bits, message):
    with pytest.raises(ValueError, match=message):
        pack_codes(bits)


@pytest.mark.parametrize(
    ("packed", "n_bits", "message"),
    [
        ([[1, 2]], 8, r"must have 1 bytes a row for n_bits=8, got 2"),
        ([[1]], 12, r"must have 2 bytes a row for n_bits=12, got 1"),
        ([[255, 16]], 12, r"padding bits set: with n_bits=12"),
        ([[2]], 1, r"padding bits set"),
        ([[256]], 8, r"0 to 255, got values from 256 to 256"),
        ([[-1]], 8, r"0 to 255"),
        ([[1.0]], 8, r"dtype uint8, got dtype float64"),
        ([[True]], 8, r"dtype uint8, got dtype bool"),
        ([1], 8, r"shape \(1,\)"),
        ([[1]], 0, r"n_bits must be an integer of at least 1, got 0"),
        ([[1]], 7.5, r"n_bits must be an integer .* got 7.5"),
        ([[1]], None, r"n_bits must be an integer .* got None"),
    ],
)
def test_what_is_no_packed_codes_is_refused(packed, n_bits, message):
    with pytest.raises(ValueError, match=message):
        unpack_codes(packed, n_bits)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64])
def test_the_number_of_bits_may_be_of_any_integer_dtype(dtype):
    bits = random_bits(5, 12)
    np.testing.assert_array_equal(unpack_codes(pack_codes(bits), dtype(12)), bits)
    statistics = code_statistics(pack_codes(bits), packed=True, n_bits=dtype(12))
    np.testing.assert_array_equal(statistics.balance, bits.mean(axis=0))


def test_padding_bits_depend_on_the_bitorder():
    np.testing.assert_array_equal(unpack_codes([[128]], 1, bitorder="big"), [[1]])
    with pytest.raises(ValueError, match="padding bits"):
        unpack_codes([[128]], 1, bitorder="little")


@pytest.mark.parametrize(
    "function", [pack_codes, lambda c, **k: unpack_codes(c, 8, **k)]
)
def test_unknown_bitorder_is_refused(function):
    with pytest.raises(ValueError, match="'little' or 'big', got 'middle'"):
        function([[1]], bitorder="middle")


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_words_hold_the_same_bits(n_bits):
    packed = pack_codes(random_bits(5, n_bits))
    words = as_words(packed)
    assert words.shape == (5, -(-n_bits // 64))
    np.testing.assert_array_equal(from_words(words, packed.shape[1]), packed)


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_distances_are_those_of_scipy(n_bits):
    a, b = random_bits(17, n_bits), random_bits(23, n_bits, seed=1)
    expected = np.rint(cdist(a, b, "hamming") * n_bits)
    distances = hamming_distances(a, b)
    assert np.issubdtype(distances.dtype, np.integer)
    np.testing.assert_array_equal(distances, expected)
    packed = hamming_distances(pack_codes(a), pack_codes(b), packed=True)
    np.testing.assert_array_equal(packed, expected)


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 6), st.just(70)), elements=st.integers(0, 1)
    ),
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 6), st.just(70)), elements=st.integers(0, 1)
    ),
)
def test_distances_are_counts_of_differing_bits(a, b):
    expected = (a[:, None, :] != b[None, :, :]).sum(axis=2)
    np.testing.assert_array_equal(hamming_distances(a, b), expected)


def test_distances_do_not_depend_on_the_working_memory():
    a, b = random_bits(40, 100), random_bits(3000, 100, seed=1)
    with config_context(working_memory=0.1):
        in_blocks = hamming_distances(a, b)
    np.testing.assert_array_equal(in_blocks, hamming_distances(a, b))


def test_codes_of_different_widths_have_no_distance():
    with pytest.raises(ValueError, match="A and B .* same width, got 3 and 4 bits"):
        hamming_distances(np.zeros((1, 3)), np.zeros((1, 4)))


def test_statistics_are_those_of_numpy():
    bits = random_bits(500, 12)
    bits[:, 3] = bits[:, 5]
    statistics = code_statistics(bits)
    share = bits.mean(axis=0)
    np.testing.assert_allclose(statistics.balance, share)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    np.testing.assert_allclose(statistics.entropy, entropy)
    np.testing.assert_allclose(
        statistics.correlation, np.corrcoef(bits, rowvar=False), atol=1e-12
    )


def test_statistics_of_a_constant_bit():
    bits = random_bits(50, 4)
    bits[:, 2] = 1
    statistics = code_statistics(bits)
    assert statistics.balance[2] == 1
    assert statistics.entropy[2] == 0
    assert np.isnan(statistics.correlation[2]).all()
    assert np.isnan(statistics.correlation[:, 2]).all()
    assert np.isfinite(np.delete(np.delete(statistics.correlation, 2, 0), 2, 1)).all()


def test_statistics_of_packed_codes():
    bits = random_bits(50, 12)
    expected = code_statistics(bits)
    statistics = code_statistics(pack_codes(bits), packed=True, n_bits=12)
    np.testing.assert_array_equal(statistics.balance, expected.balance)
    assert code_statistics(pack_codes(bits), packed=True).balance.shape == (16,)


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_the_share_of_unique_codes_is_that_of_a_set(n_bits):
    drawn = np.random.default_rng(0).integers(40, size=60)
    bits = random_bits(40, n_bits)[drawn]
    n_unique = len({row.tobytes() for row in bits})
    assert code_statistics(bits).unique_share == n_unique / 60
    packed = code_statistics(pack_codes(bits), packed=True, n_bits=n_bits)
    assert packed.unique_share == n_unique / 60


def test_bits_that_never_change_are_dead():
    bits = random_bits(50, 12)
    assert code_statistics(bits).dead_bits.tolist() == []
    bits[:, 3] = 1
    bits[:, [0, 11]] = 0
    assert code_statistics(bits).dead_bits.tolist() == [0, 3, 11]
    assert code_statistics(pack_codes(bits), packed=True).dead_bits.tolist() == [
        *(0, 3, 11),
        *(12, 13, 14, 15),
    ]


def naive_duplicates(bits):
    """Compare each bit with the first of each group, whichever way round."""
    groups = []
    for j in np.flatnonzero(bits.min(axis=0) != bits.max(axis=0)):
        for group in groups:
            n_equal = (bits[:, group[0]] == bits[:, j]).sum()
            if n_equal in (0, len(bits)):
                group.append(j)
                break
        else:
            groups.append([j])
    return [group for group in groups if len(group) > 1]


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.just(12)), elements=st.integers(0, 1)
    )
)
def test_bits_that_say_the_same_are_grouped(bits):
    found = [group.tolist() for group in code_statistics(bits).duplicate_bits]
    assert found == naive_duplicates(bits)


def test_a_bit_that_differs_in_one_code_of_many_is_no_duplicate():
    bits = random_bits(20_000, 4)
    bits[:, 1] = bits[:, 0]
    bits[:, 3] = 1 - bits[:, 2]
    groups = code_statistics(bits).duplicate_bits
    assert [group.tolist() for group in groups] == [[0, 1], [2, 3]]
    bits[-1, [1, 3]] ^= 1
    assert code_statistics(bits).duplicate_bits == []


def test_statistics_do_not_depend_on_the_blocks(monkeypatch):
    bits = random_bits(500, 12)
    expected = code_statistics(bits)
    monkeypatch.setattr("sklhash.codes._FLOAT32_COUNTS", 100)
    in_blocks = code_statistics(bits)
    np.testing.assert_array_equal(in_blocks.correlation, expected.correlation)


def test_statistics_of_bits_of_another_width_are_refused():
    with pytest.raises(ValueError, match="3 bits for n_bits=3, got 2"):
        code_statistics([[0, 1]], n_bits=3)


def test_no_codes_have_no_statistics():
    with pytest.raises(ValueError, match="codes must have at least one row"):
        code_statistics(np.empty((0, 8)))
