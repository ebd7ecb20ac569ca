import numpy as np
import pytest

from sklhash import HammingNeighbors, pack_codes


def random_codes(n, n_bits=70, seed=0):
    return np.random.default_rng(seed).integers(2, size=(n, n_bits), dtype=np.uint8)


def changed_search():
    """A search after appends and a removal that moved what is left."""
    codes = random_codes(900)
    search = HammingNeighbors(7, radius=30)
    search.fit(codes[:400], np.arange(400) % 3)
    search.partial_fit(codes[400:], np.arange(500) % 3)
    return search.remove(np.arange(100, 700)), codes


def test_faiss_finds_the_same():
    search, codes = changed_search()
    index = search.to_faiss()
    assert index.ntotal == search.n_live_ == 300
    distances, ids = index.search(search.pack(codes[:20]), 40)
    expected = search.kneighbors(codes[:20], 40)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(np.flatnonzero(search.live_)[ids], expected[1])


@pytest.mark.parametrize("packed", [False, True])
def test_bit_strings_are_the_bits(packed):
    codes = random_codes(5, 16)
    given = pack_codes(codes) if packed else codes
    search = HammingNeighbors(packed=packed).fit(given).remove([2])
    expected = ["".join(map(str, row)) for row in codes]
    assert search.as_bit_strings() == [*expected[:2], *expected[3:]]
    assert search.as_bit_strings(given[2:3]) == expected[2:3]


def test_bit_strings_have_no_padding():
    assert HammingNeighbors().fit([[0, 1, 1]]).as_bit_strings() == ["011"]


def test_codes_too_wide_for_a_search_are_refused():
    with pytest.raises(ValueError, match="at most 65000 bits, got 65008"):
        HammingNeighbors(packed=True).fit(np.zeros((2, 8126), dtype=np.uint8))
