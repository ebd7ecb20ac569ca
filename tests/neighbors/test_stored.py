import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.neighbors.files import read_arrays, write_arrays


def random_codes(n, n_bits=70, seed=0):
    return np.random.default_rng(seed).integers(2, size=(n, n_bits), dtype=np.uint8)


def changed_search(**parameters):
    """A search after appends and a removal that moved what is left."""
    codes = random_codes(900)
    search = HammingNeighbors(7, radius=30, **parameters)
    search.fit(codes[:400], np.arange(400) % 3)
    search.partial_fit(codes[400:], np.arange(500) % 3)
    return search.remove(np.arange(100, 700)), codes


@pytest.mark.parametrize("mmap_mode", ["r", "c", None])
def test_a_loaded_search_is_the_saved_one(tmp_path, mmap_mode):
    search, codes = changed_search(mode="connectivity", n_jobs=2)
    search.save(tmp_path / "codes.index")
    loaded = HammingNeighbors.load(tmp_path / "codes.index", mmap_mode)
    assert loaded.get_params() == search.get_params()
    for name in ("n_samples_fit_", "n_live_", "n_features_in_", "algorithm_"):
        assert getattr(loaded, name) == getattr(search, name)
    for name in ("codes_", "y_", "live_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(search, name))
    np.testing.assert_array_equal(loaded.kneighbors(codes), search.kneighbors(codes))
    assert loaded.score(codes, np.arange(900) % 3) == search.score(
        codes, np.arange(900) % 3
    )


def test_a_loaded_search_changes_in_memory_only(tmp_path):
    search, codes = changed_search()
    search.save(tmp_path / "codes.index")
    before = (tmp_path / "codes.index").read_bytes()
    for mmap_mode in ("r", "c", None):
        loaded = HammingNeighbors.load(tmp_path / "codes.index", mmap_mode)
        loaded.partial_fit(codes[:9], np.zeros(9, dtype=int)).remove([0, 905])
        assert (loaded.n_samples_fit_, loaded.n_live_) == (909, 307)
        assert loaded.kneighbors(codes[:1], 1)[1] == 900
    assert (tmp_path / "codes.index").read_bytes() == before


@pytest.mark.parametrize(
    "y",
    [
        None,
        np.array(["cat", "dog", "eel"]),
        pd.Series(["cat", "dog", "eel"]),
        np.array([True, False, True]),
        [[0, 1], [1, 1], [0, 0]],
        sparse.csr_matrix([[0, 1], [1, 1], [0, 0]]),
    ],
)
def test_labels_are_saved_without_pickle(tmp_path, y):
    search = HammingNeighbors().fit(random_codes(3), y)
    search.save(tmp_path / "codes")
    loaded = HammingNeighbors.load(tmp_path / "codes")
    if y is None:
        assert loaded.y_ is None
    elif sparse.issparse(y):
        np.testing.assert_array_equal(loaded.y_.toarray(), y.toarray())
    else:
        np.testing.assert_array_equal(loaded.y_, np.asarray(y))


def test_feature_names_and_a_threshold_are_saved(tmp_path):
    X = np.random.default_rng(0).standard_normal((30, 8))
    frame = LSH(16, random_state=0).set_output(transform="pandas").fit_transform(X)
    search = HammingNeighbors(threshold=0.5).fit(frame)
    search.save(tmp_path / "codes")
    loaded = HammingNeighbors.load(tmp_path / "codes")
    assert loaded.feature_names_in_.tolist() == search.feature_names_in_.tolist()
    np.testing.assert_array_equal(loaded.kneighbors(frame), search.kneighbors(frame))


def test_parameters_may_be_numbers_of_numpy(tmp_path):
    search = HammingNeighbors(np.int64(3), threshold=np.float32(0.5))
    search.fit(random_codes(9)).save(tmp_path / "codes")
    loaded = HammingNeighbors.load(tmp_path / "codes")
    assert (loaded.n_neighbors, loaded.threshold) == (3, 0.5)


def test_a_file_whose_parts_do_not_fit_together_is_refused(tmp_path):
    search, _ = changed_search()
    path = tmp_path / "codes"
    search.save(path)
    arrays, metadata = read_arrays(path)
    wrong = {
        **{name: array[..., :-512] for name, array in arrays.items()},
        **{name: arrays[name] for name in ("allowed", "rows")},
    }
    flipped = {**arrays, "allowed": ~arrays["allowed"]}
    signed = {**arrays, "planes": arrays["planes"].view(np.int64)}
    for forged in (wrong, flipped, signed):
        write_arrays(path, forged, metadata)
        with pytest.raises(ValueError, match=r"codes.*do not fit together"):
            HammingNeighbors.load(path)
    metadata["search"] = metadata["search"].replace('"n_jobs"', '"n_threads"')
    write_arrays(path, arrays, metadata)
    with pytest.raises(ValueError, match=r"codes.*n_threads"):
        HammingNeighbors.load(path)


def test_an_interrupted_save_keeps_the_earlier_file(tmp_path, monkeypatch):
    search, codes = changed_search()
    search.save(tmp_path / "codes")
    before = (tmp_path / "codes").read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search.partial_fit(codes, np.zeros(900, dtype=int)).save(tmp_path / "codes")
    assert [path.name for path in tmp_path.iterdir()] == ["codes"]
    assert (tmp_path / "codes").read_bytes() == before


def test_a_file_keeps_its_mode_and_a_directory_is_refused(tmp_path):
    search, _ = changed_search()
    search.save(tmp_path / "codes")
    (tmp_path / "codes").chmod(0o600)
    search.save(tmp_path / "codes")
    assert (tmp_path / "codes").stat().st_mode & 0o777 == 0o600
    with pytest.raises(IsADirectoryError, match="is a directory"):
        search.save(tmp_path)


def test_labels_of_another_number_than_codes_are_refused(tmp_path):
    search, _ = changed_search()
    search.save(tmp_path / "codes")
    arrays, metadata = read_arrays(tmp_path / "codes")
    write_arrays(tmp_path / "codes", {**arrays, "y": arrays["y"][:3]}, metadata)
    with pytest.raises(ValueError, match="3 labels for 900 codes"):
        HammingNeighbors.load(tmp_path / "codes")


def test_faiss_finds_the_same():
    pytest.importorskip("faiss")
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
