"""Codes in any form are packed, unpacked, compared and described, or refused."""

import numpy as np
from hypothesis import strategies as st

from sklhash import code_statistics, hamming_distances, pack_codes, unpack_codes
from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, check
from tests.fuzz.strategies import bit_matrices, choices, codes, flags, whole_numbers

ORDERS = "little", "big"


@fuzz(16, data=st.data())
def test_bits_are_packed_or_refused(data):
    def oracle(bits, bitorder):
        return np.packbits(bits, axis=1, bitorder=bitorder)

    bits = codes(data.draw, bit_matrices(data.draw))
    check(pack_codes, oracle, bits=bits, bitorder=choices(data.draw, *ORDERS))


@fuzz(14, data=st.data())
def test_packed_codes_are_unpacked_or_refused(data):
    bits = bit_matrices(data.draw)
    width = bits.shape[1]

    def oracle(packed, n_bits, bitorder):
        flipped = np.packbits(packed, axis=1, bitorder="little")
        found = np.unpackbits(flipped, axis=1, bitorder=bitorder)
        if not found.shape[1] - 8 < n_bits <= found.shape[1] or found[:, n_bits:].any():
            return REFUSED
        return found[:, :n_bits]

    check(
        unpack_codes,
        oracle,
        packed=codes(data.draw, bits, packed=True),
        n_bits=whole_numbers(
            data.draw, 1, st.sampled_from([width, width, width, width + 1, 8])
        ),
        bitorder=choices(data.draw, *ORDERS),
    )


@fuzz(12, data=st.data())
def test_distances_are_counted_or_codes_refused(data):
    packed = flags(data.draw)
    a = bit_matrices(data.draw)
    b = bit_matrices(data.draw, n_bits=data.draw(st.sampled_from([a.shape[1], None])))

    def oracle(A, B, packed):
        n_bytes_a, n_bytes_b = (-(-M.shape[1] // 8) for M in (A, B))
        if n_bytes_a != n_bytes_b if packed else A.shape[1] != B.shape[1]:
            return REFUSED
        width = min(A.shape[1], B.shape[1])
        rest = sum(M[..., width:].sum(axis=-1) for M in (A[:, None], B))
        return (A[:, None, :width] != B[:, :width]).sum(axis=2) + rest

    check(
        hamming_distances,
        oracle,
        A=codes(data.draw, a, packed=bool(packed.says)),
        B=codes(data.draw, b, packed=bool(packed.says)),
        packed=packed,
    )


@fuzz(6, data=st.data())
def test_statistics_are_those_of_a_loop(data):
    packed = flags(data.draw)
    bits = bit_matrices(data.draw)
    width = bits.shape[1]
    usual = st.sampled_from([width, width, width + 1])
    n_bits = whole_numbers(data.draw, 1, usual, optional=True)
    if data.draw(st.booleans()):
        n_bits = Given(None, NONE)

    def oracle(codes, packed, n_bits):
        n, width = codes.shape
        if n_bits is None:
            n_bits = 8 * -(-width // 8) if packed else width
        fits = -(-width // 8) == -(-n_bits // 8) if packed else n_bits == width
        if n == 0 or not fits or codes[:, n_bits:].any():
            return REFUSED
        found = np.zeros((n, n_bits))
        found[:, :width] = codes[:, :n_bits]
        return found

    def compare(statistics, codes):
        share = codes.mean(axis=0)
        np.testing.assert_allclose(statistics.balance, share)
        dead = np.flatnonzero((share == 0) | (share == 1))
        np.testing.assert_array_equal(statistics.dead_bits, dead)
        assert statistics.unique_share == len(set(map(bytes, codes))) / len(codes)
        for i, j in np.ndindex(2 * codes.shape[1:]):
            found = statistics.correlation[i, j]
            if i in dead or j in dead:
                assert np.isnan(found)
            else:
                a, b = codes[:, i] - share[i], codes[:, j] - share[j]
                np.testing.assert_allclose(
                    found, a @ b / np.sqrt(a @ a * (b @ b)), atol=1e-9
                )
            if i > 8:
                break
        groups = {}
        for j in set(range(codes.shape[1])) - set(dead):
            groups.setdefault(bytes(codes[:, j] != codes[0, j]), []).append(j)
        expected = [sorted(g) for g in groups.values() if len(g) > 1]
        assert [g.tolist() for g in statistics.duplicate_bits] == sorted(expected)

    check(
        code_statistics,
        oracle,
        compare,
        codes=codes(data.draw, bits, packed=bool(packed.says)),
        packed=packed,
        n_bits=n_bits,
    )
