"""Whatever happens while a file is written, the old one is there, or the new one."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

import sklhash
from sklhash import LSH, HammingNeighbors
from sklhash.persistence import archive

N_FEATURES = 20_000
N_KILLS = 20

KILL = """
import os, random, signal, sys, time
from pathlib import Path
import sklhash

*kept, path = map(Path, sys.argv[2:])
models = [sklhash.load(file) for file in kept]
contents = [file.read_bytes() for file in kept]

def save_for_ever(first):
    while True:
        sklhash.save(models[first], path)
        first = 1 - first

wait = random.Random(0)
found = []
n_left_over = 0
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        save_for_ever(len(found) % 2)
    time.sleep(wait.uniform(0.001, 0.1))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    found.append(contents.index(path.read_bytes()))
    for left_over in set(path.parent.iterdir()) - {path}:
        left_over.unlink()
        n_left_over += 1
sklhash.load(path)
print(*map(found.count, (0, 1)), n_left_over)
"""


@pytest.fixture(scope="module")
def models():
    """Return two that take a while to write."""
    X = np.eye(3, N_FEATURES, dtype=np.float32)
    return [LSH(n_bits, random_state=n_bits).fit(X) for n_bits in (90, 110)]


def test_a_killed_save_leaves_the_old_file_or_the_new_one(models, tmp_path):
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "model"
    kept = [tmp_path / f"{model.n_bits}" for model in models]
    for model, file in zip(models, kept, strict=True):
        sklhash.save(model, file)
    sklhash.save(models[0], path)
    command = [sys.executable, "-c", KILL, str(N_KILLS), *kept, path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *n_found, n_left_over = map(int, done.stdout.split())
    assert sum(n_found) == N_KILLS
    assert min(n_found) > 0
    assert n_left_over > 0  # some were killed while they wrote


class Stops(Exception):
    pass


@pytest.fixture
def broken_disk(monkeypatch):
    """Return what lets a save fail after some of its arrays."""
    right = archive.pieces_of

    def break_it(error, after):
        arrays = iter(range(after + 1))

        def pieces(array):
            if next(arrays) == after:
                raise error
            return right(array)

        monkeypatch.setattr(archive, "pieces_of", pieces)

    return break_it


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), Stops()],
    ids=["a full disk", "Ctrl-C", "anything"],
)
@pytest.mark.parametrize("after", [0, 1])
def test_a_save_that_fails_leaves_the_old_file(
    error, after, models, broken_disk, tmp_path
):
    path = tmp_path / "model"
    sklhash.save(models[0], path)
    before = path.read_bytes()
    broken_disk(error, after)
    with pytest.raises(type(error)) as raised:
        sklhash.save(models[1], path)
    assert raised.value is error
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_save_that_fails_at_its_end_leaves_the_old_file(
    function, models, monkeypatch, tmp_path
):
    path = tmp_path / "model"
    sklhash.save(models[0], path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="Input/output error"):
        sklhash.save(models[1], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "model"
    search = HammingNeighbors().fit(np.eye(3), ["cat", "dog", "eel"])
    search.save(path)
    before = path.read_bytes()
    y = np.array(["cat", object(), None], dtype=object)
    with pytest.raises(TypeError, match="must hold bools, numbers or strings"):
        HammingNeighbors().fit(np.eye(3), y).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_left_overs_of_killed_saves_do_no_harm(models, tmp_path):
    left_over = tmp_path / f".sklhash-{'0' * 32}.tmp"
    left_over.write_bytes(b"half a file")
    sklhash.save(models[0], tmp_path / "model")
    assert sklhash.load(tmp_path / "model").n_bits == 90
    assert left_over.read_bytes() == b"half a file"  # it might be another process's


@pytest.mark.parametrize("mmap_mode", ["r", "c"])
def test_a_mapped_search_stays_right_when_its_file_is_replaced(mmap_mode, tmp_path):
    path = tmp_path / "codes"
    rng = np.random.default_rng(0)
    codes, others = rng.integers(2, size=(2, 5000, 64), dtype=np.uint8)
    HammingNeighbors().fit(codes).save(path)
    mapped = HammingNeighbors.load(path, mmap_mode)
    HammingNeighbors().fit(others[:100]).save(path)
    np.testing.assert_array_equal(mapped.kneighbors(codes[:9], 1)[1].T, [range(9)])
    mapped.save(path)  # onto the file that it was mapped from, and is another by now
    np.testing.assert_array_equal(HammingNeighbors.load(path).codes_, mapped.codes_)
    path.unlink()
    np.testing.assert_array_equal(mapped.codes_, HammingNeighbors().fit(codes).codes_)


def test_a_mapped_search_is_saved_onto_its_own_file(tmp_path):
    path = tmp_path / "codes"
    codes = np.random.default_rng(0).integers(2, size=(5000, 64), dtype=np.uint8)
    HammingNeighbors().fit(codes).save(path)
    mapped = HammingNeighbors.load(path)
    mapped.partial_fit(1 - codes[:7]).save(path)
    loaded = HammingNeighbors.load(path)
    np.testing.assert_array_equal(loaded.codes_, mapped.codes_)
    assert loaded.n_samples_fit_ == 5007


def test_a_link_stays_a_link_to_the_new_file(models, tmp_path):
    (tmp_path / "a").mkdir()
    target, link = tmp_path / "a" / "model", tmp_path / "link"
    sklhash.save(models[0], target)
    target.chmod(0o640)
    link.symlink_to(target)
    sklhash.save(models[1], link)
    assert link.is_symlink()
    assert sklhash.load(target).n_bits == sklhash.load(link).n_bits == 110
    assert target.stat().st_mode & 0o777 == 0o640


def test_another_name_of_the_old_file_keeps_the_old_one(models, tmp_path):
    sklhash.save(models[0], tmp_path / "model")
    os.link(tmp_path / "model", tmp_path / "backup")
    sklhash.save(models[1], tmp_path / "model")
    assert sklhash.load(tmp_path / "backup").n_bits == 90


def test_a_folder_that_cannot_be_written_to_is_an_os_error(models, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing is no folder, and .*model"):
        sklhash.save(models[0], tmp_path / "missing" / "model")
    with pytest.raises(IsADirectoryError):
        sklhash.save(models[0], tmp_path)
    with pytest.raises(OSError, match="model|sklhash"):
        sklhash.save(models[0], "/proc/model")  # read-only to everybody
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # as root has it
        return
    with pytest.raises(PermissionError):
        sklhash.save(models[0], folder / "model")
