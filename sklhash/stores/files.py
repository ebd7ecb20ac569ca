"""A folder on any file system that fsspec knows, its files read and written whole."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from sklhash._files import PathLike, remove_left_overs, written_whole

__all__ = ["Folder", "StorageOptions"]

StorageOptions = Mapping[str, Any] | None


@dataclass(frozen=True)
class Folder:
    """A folder, which can be sent to other processes.

    Attributes
    ----------
    path : str
        Where it is, absolute if it is local.
    """

    path: str
    _system: AbstractFileSystem
    _root: str

    @classmethod
    def at(cls, path: PathLike, storage_options: StorageOptions) -> Folder:
        """Return the folder at a path or URL.

        Raises
        ------
        ImportError
            If its file system needs a package that is not installed.
        ValueError
            If fsspec does not know the protocol.
        """
        system, root = url_to_fs(os.fspath(path), **(storage_options or {}))
        root = root.rstrip("/") or root
        is_local = isinstance(system, LocalFileSystem)
        return cls(root if is_local else os.fspath(path), system, root)

    @property
    def is_local(self) -> bool:
        """Whether its files can be mapped into memory."""
        return isinstance(self._system, LocalFileSystem)

    def path_of(self, name: str) -> str:
        """Return the path of a file in its file system."""
        return f"{self._root.rstrip('/')}/{name}"

    def sizes(self) -> dict[str, int]:
        """Return the sizes in bytes of the files that are there now."""
        self._system.invalidate_cache(self._root)
        try:
            entries = self._system.ls(self._root, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            entry["name"].rpartition("/")[2]: int(entry["size"])
            for entry in entries
            if entry["type"] == "file"
        }

    def open(self, name: str) -> BinaryIO:
        """Open a file to read it."""
        return self._system.open(self.path_of(name), "rb")

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return self._system.cat_file(self.path_of(name))

    def read_all(self, names: Sequence[str]) -> list[bytes]:
        """Return what files hold, several of which are fetched at a time."""
        paths = [self.path_of(name) for name in names]
        contents = self._system.cat_ranges(paths, None, None)
        for content in contents:
            if isinstance(content, Exception):
                raise content
        return contents

    def write(self, name: str, data: bytes) -> None:
        """Write a file, on disk and in object storage whole or not at all."""
        if self.is_local:
            with written_whole(self.path_of(name)) as file:
                file.write(data)
        else:
            self._system.pipe_file(self.path_of(name), data)

    def make(self) -> None:
        """Make the folder, and let go of what killed writers left in it."""
        self._system.makedirs(self._root, exist_ok=True)
        if self.is_local:
            remove_left_overs(self._root)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        paths = [self.path_of(name) for name in names]
        if self.is_local:
            for path in paths:
                os.unlink(path)
        elif paths:
            self._system.rm([glob.escape(path) for path in paths])
