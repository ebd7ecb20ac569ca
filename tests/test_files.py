import os
import stat

import pytest

from sklhash._files import remove_left_overs, written_whole


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some"


def write(path, pieces):
    with written_whole(path) as file:
        file.writelines(pieces)


def half_then(failure):
    yield b"half"
    raise failure


def test_an_earlier_file_is_replaced_when_the_block_ends(path):
    path.write_bytes(b"old")
    with written_whole(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["some"]


def test_the_content_then_the_name_are_brought_to_disk(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        done.append(stat.S_IFMT(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    def noting_replace(*names):
        done.append("replace")
        replace(*names)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    write(path, [b"new"])
    assert done == [stat.S_IFREG, "replace", stat.S_IFDIR]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_block_that_raises_leaves_nothing_behind(path, failure, old):
    if old is not None:
        path.write_bytes(old)
    before = os.listdir(path.parent)
    with pytest.raises(failure):
        write(path, half_then(failure))
    assert os.listdir(path.parent) == before
    if old is not None:
        assert path.read_bytes() == old


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_mode_of_an_earlier_file_is_kept(path):
    write(path, [b"old"])
    path.chmod(0o640)
    write(path, [b"new"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_new_file_has_the_usual_mode(path):
    write(path, [b"new"])
    usual = path.with_name("usual")
    usual.write_bytes(b"")
    assert path.stat().st_mode == usual.stat().st_mode


def test_a_link_stays_a_link(path):
    link = path.with_name("link")
    link.symlink_to(path.name)
    write(link, [b"new"])
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_a_folder_in_the_place_is_refused(path):
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="some is a directory, and a file"):
        write(path, [b"new"])
    assert os.listdir(path.parent) == ["some"]


def test_only_what_killed_writers_left_is_removed(path):
    with written_whole(path) as file:
        left_over = os.path.basename(file.name)
    others = ["some", ".hidden.tmp", "f.tmp", left_over + "x", "x" + left_over]
    for name in [*others, left_over]:
        path.with_name(name).write_bytes(b"half")
    remove_left_overs(path.parent)
    assert sorted(os.listdir(path.parent)) == sorted(others)
