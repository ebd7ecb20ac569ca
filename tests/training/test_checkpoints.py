import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn

from sklhash import OrthoHash
from sklhash.training.checkpoints import Checkpoint, CheckpointFolder

ONE, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.lists(values, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), values, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "runs", ONE)


def state_of(epoch, n=1000):
    return {"epoch": epoch, "weights": torch.full((n,), float(epoch))}


def assert_whole(state, epoch=None):
    assert epoch in (None, state["epoch"])
    assert (state["weights"] == state["epoch"]).all()


def files_in(folder):
    return sorted(os.listdir(folder.folder))


def save_two(folder):
    for epoch in (10, 20):
        folder.save(epoch, state_of(epoch))
    return folder.folder / "epoch-000020.ckpt"


def test_what_is_loaded_is_what_was_saved(folder):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.rand(4, 3)).square().sum().backward()
    optimizer.step()
    generator = torch.Generator().manual_seed(3)
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "history": [{"loss": 0.5, "mAP": None}, {"loss": float("nan")}],
    }
    folder.save(1, state)
    loaded = CheckpointFolder(folder.path, ONE).load()
    assert loaded.keys() == state.keys()
    assert repr(loaded["history"]) == repr(state["history"])
    assert torch.equal(loaded["generator"], state["generator"])
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert loaded["network"]._metadata == state["network"]._metadata
    other.load_state_dict(loaded["network"])
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.2)
    other_optimizer.load_state_dict(loaded["optimizer"])
    x = torch.rand(4, 3)
    for net, steps in ((network, optimizer), (other, other_optimizer)):
        steps.zero_grad()
        net(x).square().sum().backward()
        steps.step()
    for name, weights in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], weights)


@given(state=st.dictionaries(st.text(), plain, max_size=4))
def test_any_nest_of_plain_values_comes_back(tmp_path_factory, state):
    folder = CheckpointFolder(tmp_path_factory.mktemp("runs"), ONE)
    folder.save(0, state)
    assert repr(folder.load()) == repr(state)


def test_scalars_of_numpy_come_back_as_those_of_python(folder):
    folder.save(0, {"lr": np.float64(0.1), "n": [np.int32(3)], "b": np.bool_(True)})
    assert repr(folder.load()) == "{'lr': 0.1, 'n': [3], 'b': True}"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, torch.bool])
def test_tensors_come_back_on_the_cpu(folder, device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    weights = torch.eye(3, dtype=dtype)
    folder.save(0, {"weights": weights.to(device)})
    loaded = folder.load()["weights"]
    assert loaded.device.type == "cpu"
    assert loaded.dtype == dtype
    assert torch.equal(loaded, weights)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"U": np.ones(3)}, r"state\['U'\] must be a tensor, .* got numpy.ndarray"),
        ({"a": [1, {"b": {1}}]}, r"state\['a'\]\[1\]\['b'\] must be .*builtins.set"),
        ({"lr": np.longdouble(1)}, r"state\['lr'\] must be .* got numpy.longdouble"),
        ({"loss": nn.Linear(1, 1)}, r"state\['loss'\] must be .*linear.Linear"),
        ({"a": {(1, 2): 3}}, r"The keys of state\['a'\] must be .* got \(1, 2\)"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(folder, state, message):
    folder.save(1, {"good": 1})
    with pytest.raises(TypeError, match=message):
        folder.save(2, state)
    assert folder.load() == {"good": 1}
    assert files_in(folder) == ["epoch-000001.ckpt"]


def test_the_last_checkpoints_are_kept(folder):
    for epoch in (1, 2, 999_999, 1_000_000):
        folder.save(epoch, state_of(epoch))
        assert_whole(folder.load(), epoch)
    assert files_in(folder) == ["epoch-1000000.ckpt", "epoch-999999.ckpt"]
    CheckpointFolder(folder.path, ONE, keep=1).save(1_000_001, state_of(1_000_001))
    assert files_in(folder) == ["epoch-1000001.ckpt"]


def test_a_tilde_is_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setenv("USERPROFILE", os.fspath(tmp_path))
    CheckpointFolder("~/runs", ONE).save(1, state_of(1))
    assert_whole(CheckpointFolder(tmp_path / "runs", ONE).load(), 1)


def test_without_checkpoints_there_is_no_state_and_no_folder_is_left(tmp_path):
    folder = CheckpointFolder(tmp_path / "some" / "runs", ONE)
    assert folder.folder.is_dir()
    assert folder.load() is None
    assert os.listdir(folder.path) == []
    folder.save(1, state_of(1))
    assert_whole(folder.load(), 1)


def test_each_fingerprint_has_its_own_checkpoints(folder):
    other = CheckpointFolder(folder.path, OTHER)
    folder.save(1, state_of(1))
    assert other.load() is None
    other.save(5, state_of(5))
    assert_whole(folder.load(), 1)
    folder.clear()
    assert folder.load() is None
    assert_whole(other.load(), 5)
    assert os.listdir(folder.path) == [OTHER]


def test_clearing_leaves_what_is_not_its_own(folder):
    save_two(folder)
    (folder.folder / "notes.txt").write_text("mine")
    folder.clear()
    assert files_in(folder) == ["notes.txt"]
    folder.save(1, state_of(1))
    assert_whole(folder.load(), 1)


def truncations(length):
    header = 21 + 32
    return [0, 1, 20, 21, 30, header, 70, length // 2, length - 1]


@pytest.mark.parametrize("place", range(9))
def test_a_truncated_checkpoint_gives_way_to_the_one_before(folder, place):
    last = save_two(folder)
    os.truncate(last, truncations(last.stat().st_size)[place])
    message = "000020.ckpt is trunc.* used, .*000010.ckpt"
    with pytest.warns(UserWarning, match=message) as caught:
        assert_whole(folder.load(), 10)
    assert caught[0].filename == __file__
    folder.save(20, state_of(20))
    assert_whole(folder.load(), 20)


# In the fingerprint, the length, the checksum, line ends, the state's begin and end.
@pytest.mark.parametrize("place", [25, 52, 53, 55, 60, 67, 70, 900, -1])
@pytest.mark.parametrize("bit", [0, 6, 7])
def test_a_flipped_bit_is_noticed(folder, place, bit):
    last = save_two(folder)
    content = bytearray(last.read_bytes())
    content[place] ^= 1 << bit
    last.write_bytes(content)
    with pytest.warns(UserWarning, match="000020.ckpt is (truncated|damaged).* used,"):
        assert_whole(folder.load(), 10)


def test_appended_bytes_are_noticed(folder):
    last = save_two(folder)
    with open(last, "ab") as file:
        file.write(b"\0")
    with pytest.warns(UserWarning, match="000020.ckpt .* used, .*000010.ckpt"):
        assert_whole(folder.load(), 10)


def test_without_a_good_checkpoint_the_error_says_what_to_do(folder):
    for path in (save_two(folder), folder.folder / "epoch-000010.ckpt"):
        os.truncate(path, 100)
    with pytest.raises(
        ValueError, match="000020.* trunc.*000010.* trunc.*Delete the f"
    ):
        folder.load()
    assert len(files_in(folder)) == 2


@pytest.mark.parametrize(
    "content", [b"\x80\x04K\x01.", b"PK\3\4", b"sklhash checkpoint 2\n" + bytes(50)]
)
def test_a_file_of_another_format_is_refused(folder, content):
    save_two(folder).write_bytes(content)
    with pytest.raises(ValueError, match=r"000020.ckpt must begin with .*checkpoint 1"):
        folder.load()


def test_a_checkpoint_of_another_fit_is_refused(folder):
    other = CheckpointFolder(folder.path, OTHER)
    save_two(other).rename(folder.folder / "epoch-000020.ckpt")
    with pytest.raises(ValueError, match=f"fingerprint {ONE}, got {OTHER}, .*Delete"):
        folder.load()


def test_a_checkpoint_runs_no_code(folder, tmp_path, monkeypatch):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    def anything(state, name):
        return state

    monkeypatch.setattr("sklhash.training.checkpoints._storable", anything)
    folder.save(30, {"weights": Harmful()})
    with pytest.raises(ValueError, match="000030.ckpt cannot be read by this torch"):
        folder.load()
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("place", ["", "runs", f"runs/{ONE}"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, place):
    file = tmp_path / "deep" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=f"{ONE}, got a file at {file}[.]"):
        CheckpointFolder(tmp_path / "deep" / "runs", ONE)


def leave_over(folder):
    left_over = folder.folder / f".sklhash-{'0' * 32}.tmp"
    left_over.write_bytes(b"half")
    return left_over


def test_what_killed_writers_left_is_removed(folder):
    save_two(folder)
    left_over = leave_over(folder)
    assert_whole(folder.load(), 20)
    assert not left_over.exists()
    leave_over(folder)
    folder.clear()
    assert os.listdir(folder.path) == []


def test_what_may_be_another_writers_stays(folder):
    pytest.importorskip("fcntl")
    save_two(folder)
    left_over = leave_over(folder)
    with CheckpointFolder(folder.path, OTHER)._locked(exclusive=False):
        assert_whole(folder.load(), 20)
        assert left_over.exists()
    assert_whole(folder.load(), 20)
    assert not left_over.exists()


def test_checkpoints_work_where_nothing_can_be_locked(folder, monkeypatch):
    monkeypatch.setattr("sklhash.training.checkpoints.fcntl", None)
    left_over = leave_over(folder)
    assert folder.load() is None
    save_two(folder)
    assert_whole(folder.load(), 20)
    assert left_over.exists()


def test_a_checkpoint_removed_while_it_is_looked_for_is_passed_over(
    folder, monkeypatch
):
    save_two(folder)
    read_bytes = Path.read_bytes

    def overtaken(path):
        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        for epoch in (30, 40):
            folder.save(epoch, state_of(epoch))
        return path.read_bytes()

    monkeypatch.setattr(Path, "read_bytes", overtaken)
    assert_whole(folder.load(), 40)


def write_until_killed(path, fingerprint, n):
    folder = CheckpointFolder(path, fingerprint)
    state = folder.load()
    epoch = 0 if state is None else state["epoch"]
    parent = os.getppid()
    while os.getppid() == parent:
        epoch += 1
        folder.save(epoch, state_of(epoch, n))


def forked(function, *arguments):
    """Start a process that has all imported already."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments)
        finally:
            os._exit(1)
    return pid


def killed(pid):
    """Kill a process, which must not have ended by itself."""
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill_at_random_moments(path):
    chance = random.Random(0)
    reached = 0
    for _ in range(12):
        pid = forked(write_until_killed, path, ONE, 300_000)
        time.sleep(chance.uniform(0.01, 0.1))
        killed(pid)
        state = CheckpointFolder(path, ONE).load()
        if state is not None:
            assert_whole(state)
            assert state["epoch"] >= reached
            reached = state["epoch"]
            names = os.listdir(Path(path) / ONE)
            assert all(name.endswith(".ckpt") for name in names)
    assert reached > 0


def write_side_by_side(path):
    fingerprints = [ONE, OTHER, ONE]
    folders = [CheckpointFolder(path, text) for text in fingerprints]
    pids = [forked(write_until_killed, path, text, 30_000) for text in fingerprints]
    reached = {ONE: 0, OTHER: 0}
    while min(reached.values()) < 10:
        for folder in folders:
            state = folder.load()
            if state is not None:
                assert_whole(state)
                assert state["epoch"] >= reached[folder.fingerprint]
                reached[folder.fingerprint] = state["epoch"]
    for pid in pids:
        killed(pid)
    assert_whole(folders[0].load())
    assert_whole(folders[1].load())


def clear_beside_a_writer(path):
    folder = CheckpointFolder(path, ONE)
    pid = forked(write_until_killed, path, ONE, 1000)
    for _ in range(300):
        folder.clear()
    killed(pid)


def play_all_scenes(path):
    scenes = kill_at_random_moments, write_side_by_side, clear_beside_a_writer
    for scene in scenes:
        scene(os.path.join(path, scene.__name__))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_write_and_are_killed_do_no_harm(tmp_path):
    command = f"import {__name__} as t; t.play_all_scenes({str(tmp_path)!r})"
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", command],
        check=True,
        timeout=120,
    )


def test_a_checkpoint_parameter_is_copied_and_stored_as_it_is(tmp_path):
    checkpoint = Checkpoint(tmp_path, every=5)
    assert checkpoint.path is tmp_path
    assert checkpoint == Checkpoint(tmp_path, 5) != Checkpoint(tmp_path)
    assert pickle.loads(pickle.dumps(checkpoint)) == checkpoint
    hasher = OrthoHash(8, net_params={"checkpoint": checkpoint})
    assert clone(hasher).net_params["checkpoint"] == checkpoint
    assert Checkpoint("runs", np.int64(2)).every == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "path must be a str or path-like, got 3"),
        ((None,), TypeError, "path must be .* got None"),
        (("runs", 0), ValueError, "every must be at least 1, got 0"),
        (("runs", 1.5), TypeError, "every must be an integer, got 1.5"),
        (("runs", True), TypeError, "every must be an integer, got True"),
    ],
)
def test_other_paths_and_numbers_of_epochs_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Checkpoint(*arguments)
