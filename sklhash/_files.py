"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from uuid import uuid4

__all__ = ["PathLike", "remove_left_overs", "written_whole"]

PathLike = str | os.PathLike[str]

_TEMPORARY = re.compile(r"\.sklhash-[0-9a-f]{32}\.tmp")


@contextmanager
def written_whole(path: PathLike) -> Iterator[BinaryIO]:
    """Write a file under another name, which becomes `path` when it is complete.

    Parameters
    ----------
    path : str or path-like
        The file, or a link to it. An earlier file stays as it is until the new one is
        on disk, and hands its mode on; if the block raises, it stays for good.

    Yields
    ------
    file : binary file
        An empty one in the same folder, to be written.

    Raises
    ------
    FileNotFoundError
        If its folder is not there.
    IsADirectoryError
        If `path` is a directory.
    """
    path = os.path.realpath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a directory, and a file is to be written.")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} is no folder, and {path} is to be written.")
    temporary = os.path.join(folder, f".sklhash-{uuid4().hex}.tmp")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def remove_left_overs(folder: PathLike) -> None:
    """Remove what killed writers left in a folder, to which nobody may be writing."""
    for entry in os.scandir(folder):
        if _TEMPORARY.fullmatch(entry.name):
            with suppress(FileNotFoundError):
                os.unlink(entry)


def _sync_folder(folder: str) -> None:
    # Some systems do not open folders, some file systems do not sync them.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
