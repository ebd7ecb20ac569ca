"""Other programs read the file, and what is mapped stays in it."""

import json
import mmap
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import sklearn
from scipy import sparse

import sklhash
from sklhash import ITQ, HammingNeighbors, HashedNeighbors, OrthoHash
from tests.persistence.same import assert_same
from tests.persistence.small import X, small, y

CODES = np.random.default_rng(0).integers(2, size=(2000, 70), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sklhash"


def parts(path):
    """Description and arrays, without sklhash."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.json", "arrays.safetensors"]
        arrays = safetensors.numpy.load(archive.read("arrays.safetensors"))
        return json.loads(archive.read("model.json")), arrays


def test_other_packages_read_codes_and_labels(path):
    search = HammingNeighbors(packed=False).fit(CODES, np.arange(2000))
    sklhash.save(search.remove([3]), path)
    description, arrays = parts(path)
    model = description["model"]["estimator"]
    assert model["class"] == "sklhash.HammingNeighbors"
    assert model["parameters"]["n_neighbors"] == search.n_neighbors
    np.testing.assert_array_equal(arrays["HammingNeighbors.y"], search.y_)
    planes = arrays["HammingNeighbors.codes.planes"]
    assert planes.dtype == np.uint64
    packed = np.ascontiguousarray(planes.T).view(np.uint8)[:2000, :9]
    bits = np.unpackbits(packed, axis=1, count=70, bitorder="little")
    np.testing.assert_array_equal(bits, CODES)
    live = np.unpackbits(
        arrays["HammingNeighbors.codes.allowed"].view(np.uint8), bitorder="little"
    )
    np.testing.assert_array_equal(live[:2000], search.live_)


def test_other_packages_read_weights(path):
    hasher = small(OrthoHash).fit(X, y)
    sklhash.save(hasher, path)
    _, arrays = parts(path)
    for name, weights in hasher.net_.module_.state_dict().items():
        found = arrays[f"OrthoHash.net.module.{name}"]
        np.testing.assert_array_equal(found, weights.numpy(), strict=True)


def test_the_description_says_with_what_it_was_made(path):
    sklhash.save(small(ITQ).fit(X), path)
    description, _ = parts(path)
    assert description["format"] == 1
    wanted = {"numpy": np, "scikit-learn": sklearn, "sklhash": sklhash}
    for name, package in wanted.items():
        assert description["versions"][name] == package.__version__
    assert description["versions"]["python"] == sys.version.split()[0]


def test_numbers_keep_their_last_digits(path):
    search = HammingNeighbors(packed=False, threshold=0.1 + 0.2).fit(CODES)
    sklhash.save(search, path)
    assert sklhash.load(path).threshold == 0.1 + 0.2


@pytest.mark.parametrize("n_codes", [1, 3, 512, 2000])
@pytest.mark.parametrize("labels", ["none", "bytes", "strings", "sparse"])
def test_codes_begin_at_a_cache_line_whatever_is_beside_them(path, n_codes, labels):
    y = {
        "none": None,
        "bytes": np.arange(n_codes) % 3 == 0,
        "strings": np.array(["a", "bcd", "efghi"], dtype=object)[
            np.arange(n_codes) % 3
        ],
        "sparse": sparse.csr_array(np.eye(n_codes, 3, dtype=np.int8)),
    }[labels]
    search = HammingNeighbors().fit(CODES[:n_codes], y)
    sklhash.save(search, path)
    planes = search._stored.table.arrays()["planes"]
    assert path.read_bytes().index(planes.tobytes()) % 64 == 0
    for mmap_mode in (None, "r", "c"):
        loaded = sklhash.load(path, mmap_mode=mmap_mode)
        assert loaded._stored.table.planes.ctypes.data % 64 == 0


@pytest.mark.parametrize("mmap_mode", ["r", "c"])
def test_large_arrays_of_a_search_are_views_of_the_file(path, mmap_mode):
    labels = np.arange(2000)
    sklhash.save(HammingNeighbors().fit(CODES, labels).remove([3]), path)
    loaded = sklhash.load(path, mmap_mode=mmap_mode)
    table = loaded._stored.table
    for array in (table.planes, loaded.y_):
        assert isinstance(root_of(array), mmap.mmap)
        assert array.flags.writeable == (mmap_mode == "c")
    assert not isinstance(root_of(sklhash.load(path)._stored.table.planes), mmap.mmap)
    loaded.kneighbors(CODES[:9])
    assert table.planes is loaded._stored.table.planes


def test_vectors_of_an_index_are_views_of_the_file(path):
    index = HashedNeighbors(small(ITQ), rerank="cosine").fit(X, y).add(X, y)
    sklhash.save(index, path)
    loaded = sklhash.load(path, mmap_mode="r")
    for block in (*loaded._vectors.blocks, loaded.neighbors_._stored.table.planes):
        assert isinstance(root_of(block), mmap.mmap)
    assert_same(loaded.kneighbors(X), index.kneighbors(X))


def root_of(array):
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_processes_share_what_they_map(path):
    sklhash.save(HammingNeighbors().fit(CODES), path)
    rights = {}
    for mmap_mode in ("r", "c"):
        loaded = sklhash.load(path, mmap_mode=mmap_mode)
        with open("/proc/self/maps") as lines:
            (line,) = (line for line in lines if line.rstrip().endswith(str(path)))
        rights[mmap_mode] = line.split()[1]
        del loaded
    assert rights == {"r": "r--s", "c": "rw-p"}


def test_opening_reads_next_to_nothing_of_a_large_file(path):
    resource = pytest.importorskip("resource")

    def pages_read(**options):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        loaded = sklhash.load(path, mmap_mode="r", verify=False, **options)
        read = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        assert loaded.n_samples_fit_ == n_codes
        return read

    n_codes, n_bytes = 1_000_000, 64
    codes = np.zeros((n_codes, n_bytes), dtype=np.uint8)
    HammingNeighbors(packed=True).fit(codes).save(path)
    pages_read()
    pages_a_fault = 16  # what Linux maps at once of a file
    assert pages_read() < n_codes * n_bytes / mmap.PAGESIZE / pages_a_fault / 2
    path.unlink()


def test_the_file_that_is_mapped_can_be_written_anew(path):
    search = HammingNeighbors().fit(CODES, np.arange(2000))
    sklhash.save(search, path)
    mapped = sklhash.load(path, mmap_mode="r")
    mapped.partial_fit(CODES[:9], np.arange(9)).save(path)
    assert_same(sklhash.load(path, mmap_mode="r"), mapped)
    assert mapped.n_samples_fit_ == 2009
    sklhash.save(search, path)
    assert mapped.kneighbors(CODES[:9], 2)[1][:, 1].tolist() == [*range(2000, 2009)]


def test_a_file_that_is_loaded_can_be_removed(path):
    search = HammingNeighbors().fit(CODES)
    for mmap_mode in (None, "r", "c"):
        sklhash.save(search, path)
        loaded = sklhash.load(path, mmap_mode=mmap_mode)
        path.unlink()
        assert_same(loaded.kneighbors(CODES[:9]), search.kneighbors(CODES[:9]))


def test_a_file_keeps_its_mode(path):
    sklhash.save(small(ITQ).fit(X), path)
    path.chmod(0o600)
    sklhash.save(small(ITQ).fit(X), path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_model_makes_the_same_file(path):
    contents = []
    for _ in range(2):
        sklhash.save(small(ITQ).fit(X), path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_each_name_of_a_class_is_kept_once(path):
    y = np.array(["a long name of a class"] * 2000, dtype=object)
    sizes = []
    for labels in (None, y):
        HammingNeighbors().fit(CODES, labels).save(path)
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < 2 * 2000
