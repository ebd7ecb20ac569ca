import sys

import faiss
import numpy as np
import pytest

from sklhash import hamming_distances, pack_codes
from sklhash.neighbors.exchange import as_bit_strings, to_faiss
from tests.neighbors.test_hamming import naive_neighbors, random_codes


@pytest.mark.parametrize("n_bits", [8, 12, 64, 100, 256])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_faiss_finds_the_same_in_the_same_order(n_bits, k):
    codes, queries = random_codes(300, n_bits, 80), random_codes(20, n_bits, seed=1)
    index = to_faiss(pack_codes(codes))
    assert (index.d, index.ntotal) == (8 * -(-n_bits // 8), 300)
    expected = naive_neighbors(hamming_distances(queries, codes), k)
    found = index.search(pack_codes(queries), k)
    np.testing.assert_array_equal(found[0], expected[0], strict=True)
    np.testing.assert_array_equal(found[1], expected[1], strict=True)


def test_faiss_takes_codes_of_any_strides(tmp_path):
    packed = pack_codes(random_codes(50, 64))
    np.save(tmp_path / "codes.npy", packed)
    for codes in (
        np.asfortranarray(packed),
        np.repeat(packed, 2, axis=0)[::2],
        np.load(tmp_path / "codes.npy", mmap_mode="r"),
    ):
        index = to_faiss(codes)
        stored = faiss.vector_to_array(index.xb).reshape(50, 8)
        np.testing.assert_array_equal(stored, packed)


def test_without_faiss_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'sklhash\[faiss\]'"):
        to_faiss(pack_codes(random_codes(3, 8)))


@pytest.mark.parametrize("n_bits", [1, 7, 8, 12, 64, 100])
def test_a_bit_string_has_bit_j_as_character_j(n_bits):
    codes = random_codes(40_000 // n_bits, n_bits)
    strings = as_bit_strings(pack_codes(codes), n_bits)
    assert strings == ["".join(map(str, code)) for code in codes.tolist()]


def test_no_codes_are_no_strings():
    assert as_bit_strings(np.empty((0, 2), dtype=np.uint8), 16) == []
