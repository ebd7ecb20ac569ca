"""Checkpoints: the state of a training, from which a killed fit goes on."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from sklhash._files import PathLike, remove_left_overs, written_whole
from sklhash._fitting import stacklevel_of_user
from sklhash._validation import check_count, check_path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Checkpoint", "CheckpointFolder"]

_MAGIC = b"sklhash checkpoint 1\n"
_HEADER = re.compile(_MAGIC + rb"(\S+) (\d+) ([0-9a-f]{8})\n")
_NAME = re.compile(r"epoch-(\d+)\.ckpt")
# Read back without running code, as are dicts, lists and tuples of them.
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_TENSORS = (torch.Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit writes down its state, to go on from when killed.

    Parameters
    ----------
    path : str or path-like
        A folder, made if it is missing; "~" is the user's. Each set of parameters and
        data has a folder of its own in it, so that many fits may share one path.

    every : int, default=1
        Number of epochs from one checkpoint to the next, at least 1.

    Raises
    ------
    TypeError
        If `path` is no path or `every` no integer.
    ValueError
        If `every` is less than 1.

    Examples
    --------
    >>> from sklhash.training.checkpoints import Checkpoint
    >>> Checkpoint("runs", every=5)
    Checkpoint(path='runs', every=5)
    """

    path: str | os.PathLike[str]
    every: int = 1

    def __post_init__(self) -> None:
        check_path(self.path, "path")
        check_count(self.every, "every")


class _Damaged(Exception):
    """A checkpoint is not what was written."""


class _Foreign(Exception):
    """A file is no checkpoint, or that of another fit."""


class CheckpointFolder:
    """The checkpoints of one fit, that is of one set of parameters and data.

    Several processes may write into one `path`, even for the same fingerprint.

    Parameters
    ----------
    path : str or path-like
        The folder of all fits, made if it is missing, with its parents.

    fingerprint : str
        What tells this fit from others, a name for a folder.

    keep : int, default=2
        How many checkpoints are kept, those of the last epochs.

    Raises
    ------
    NotADirectoryError
        If a file is in the place of a folder.
    """

    def __init__(self, path: PathLike, fingerprint: str, keep: int = 2) -> None:
        self.path = Path(path).expanduser()
        self.fingerprint = fingerprint
        self.keep = keep
        self.folder = self.path / fingerprint
        self._make()

    def save(self, epoch: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all, and remove those of early epochs.

        Parameters
        ----------
        epoch : int
            Number of epochs that are done.

        state : dict
            Tensors, numbers, strings, bytes and None, in any nest of dicts, lists and
            tuples. Numpy's scalars are stored as Python's.

        Raises
        ------
        TypeError
            If the state has anything else.
        """
        buffer = io.BytesIO()
        torch.save(_storable(state, "state"), buffer)
        payload = buffer.getbuffer()
        with self._locked(exclusive=False):
            self._make()
            with written_whole(self.folder / f"epoch-{epoch:06d}.ckpt") as file:
                file.write(_header(self.fingerprint, payload))
                file.write(payload)
            for early in self._checkpoints()[self.keep :]:
                early.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Return the state of the last epoch that was saved, its tensors on the CPU.

        What killed writers left is removed, unless another process is writing.

        Returns
        -------
        state : dict or None
            None if there is no checkpoint.

        Raises
        ------
        ValueError
            If there are checkpoints and all are damaged, or if one is of another format
            or another fit.

        Warns
        -----
        UserWarning
            If a checkpoint is damaged and an earlier one is used.
        """
        self._remove_left_overs()
        damages = []
        for checkpoint in self._checkpoints():
            try:
                state = _state_in(checkpoint.read_bytes(), self.fingerprint)
            except FileNotFoundError:  # another process has saved a later one
                return self.load()
            except _Damaged as damage:
                damages.append(f"{checkpoint} {damage}")
                continue
            except _Foreign as mismatch:
                raise ValueError(f"{checkpoint} {mismatch}. {self._way_out}") from None
            if damages:
                warnings.warn(
                    f"{'; '.join(damages)}. The one before it is used, {checkpoint}.",
                    stacklevel=stacklevel_of_user(),
                )
            return state
        if damages:
            raise ValueError(
                f"{'; '.join(damages)}; and no earlier one is there. {self._way_out}"
            )
        return None

    def clear(self) -> None:
        """Remove the checkpoints, and their folder unless it has something else."""
        for checkpoint in self._checkpoints():
            checkpoint.unlink(missing_ok=True)
        self._remove_left_overs()

    @property
    def _way_out(self) -> str:
        return (
            f"Delete the folder {self.folder} to train from the start, or give another "
            "path."
        )

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            places = [self.folder, *self.folder.parents]
            file = next(place for place in places if os.path.lexists(place))
            raise NotADirectoryError(
                f"Checkpoints are to be in the folder {self.folder}, got a file at "
                f"{file}. Move it away, or give another path."
            ) from None

    def _checkpoints(self) -> list[Path]:
        """Return the paths of all checkpoints, those of the last epochs first."""
        names: list[str] = []
        with suppress(FileNotFoundError):  # another process removed the empty folder
            names = os.listdir(self.folder)
        epochs = {
            self.folder / name: int(match[1])
            for name in names
            if (match := _NAME.fullmatch(name))
        }
        return sorted(epochs, key=epochs.__getitem__, reverse=True)

    def _remove_left_overs(self) -> None:
        """Remove what killed writers left, unless somebody else is writing."""
        with self._locked(exclusive=True) as alone:
            if alone and self.folder.exists():
                remove_left_overs(self.folder)
                with suppress(OSError):  # not empty
                    self.folder.rmdir()

    @contextmanager
    def _locked(self, *, exclusive: bool) -> Iterator[bool]:
        """Lock out those who remove, or all others if nobody writes; say if it worked.

        The folder of all fits is what is locked, since that of one may be removed. The
        system unlocks it when a process is killed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield False
            return
        kind = fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            yield _has_locked(descriptor, kind)
        finally:
            os.close(descriptor)


def _has_locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind)
    except OSError:  # others hold it, or the file system has no locks
        return False
    return True


def _header(fingerprint: str, payload: memoryview) -> bytes:
    checksum = _checksum(fingerprint, payload)
    return _MAGIC + f"{fingerprint} {len(payload)} {checksum}\n".encode()


def _checksum(fingerprint: str, payload: memoryview) -> str:
    return f"{crc32(payload, crc32(fingerprint.encode())):08x}"


def _state_in(content: bytes, fingerprint: str) -> dict[str, Any]:
    if not content.startswith(_MAGIC[: len(content)]):
        raise _Foreign(
            f"must begin with {_MAGIC!r} to be read by this sklhash, got "
            f"{content[: len(_MAGIC)]!r}"
        )
    header = _HEADER.match(content)
    if header is None:
        raise _Damaged("is truncated or damaged in its first two lines")
    recorded, length, checksum = (
        field.decode(errors="replace") for field in header.groups()
    )
    payload = memoryview(content)[header.end() :]
    if len(payload) != int(length):
        raise _Damaged(f"is truncated, has {len(payload)} bytes of state for {length}")
    if checksum != _checksum(recorded, payload):
        raise _Damaged("is damaged, its checksum is that of other bytes")
    if recorded != fingerprint:
        raise _Foreign(
            f"must have the fingerprint {fingerprint}, got {recorded}, that of another "
            "fit"
        )
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise _Foreign(f"cannot be read by this torch: {error}") from error


def _storable(value: Any, name: str) -> Any:
    """Return a state with numpy's scalars as Python's, if nothing strange is in it."""
    kind = type(value)
    if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
        return value.item()
    if kind in _PLAIN or kind in _TENSORS:
        return value
    if kind in (list, tuple):
        return kind(_storable(item, f"{name}[{i}]") for i, item in enumerate(value))
    if kind in (dict, OrderedDict, Counter):
        copied = copy(value)  # keeps the versions that a module's state has
        for key, item in value.items():
            _storable_key(key, name)
            copied[key] = _storable(item, f"{name}[{key!r}]")
        return copied
    raise TypeError(
        f"{name} must be a tensor, number, string, bytes, None, dict, list or tuple to "
        f"be stored in a checkpoint, got {kind.__module__}.{kind.__qualname__}."
    )


def _storable_key(key: Any, name: str) -> None:
    if type(key) not in _PLAIN:
        raise TypeError(
            f"The keys of {name} must be numbers or strings to be stored in a "
            f"checkpoint, got {key!r}."
        )
