"""Opening a store: its manifest, the files it tells of, and errors that name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sklhash.stores.files import Folder
from sklhash.stores.manifest import (
    BEGUN,
    LONGEST,
    MANIFEST,
    Manifest,
    StoredFile,
    numbers_of_receipts,
    read_manifest,
)

__all__ = ["manifest_in", "manifest_of", "naming_store"]

LONGEST_REASON = 1000  # characters, some of which are a file's


def manifest_of(folder: Folder) -> Manifest:
    """Return the manifest of a complete store, all files of which are there.

    Raises
    ------
    FileNotFoundError
        If no store is there.
    ValueError
        If it is incomplete or malformed.
    """
    with naming_store(folder.path):
        sizes = folder.sizes()
        if MANIFEST not in sizes:
            raise _absence(folder.path, sizes)
        manifest = manifest_in(folder, sizes)
        for shard in manifest.shards:
            for file in shard.files:
                _check_size(file, sizes.get(file.name))
    return manifest


def manifest_in(folder: Folder, sizes: Mapping[str, int]) -> Manifest:
    """Return the manifest of a folder, which is there, checked."""
    if sizes[MANIFEST] > LONGEST:
        raise ValueError(f"its {MANIFEST} has {sizes[MANIFEST]} bytes.")
    return read_manifest(folder.read(MANIFEST))


@contextmanager
def naming_store(path: str, file: StoredFile | None = None) -> Iterator[None]:
    """Turn what is wrong with a store into a ValueError that names it."""
    of_file = "" if file is None else f"{file.name} of "
    try:
        yield
    except (EOFError, LookupError, MemoryError, RecursionError, ValueError) as bad:
        reason = str(bad) if isinstance(bad, ValueError) else repr(bad)
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[:LONGEST_REASON]}…"
        raise ValueError(
            f"{of_file}{path!r} cannot be read as a store of codes: {reason}"
        ) from bad


def _absence(path: str, sizes: Mapping[str, int]) -> Exception:
    """Return the error for a folder without a manifest."""
    n_written = len(numbers_of_receipts(sizes))
    if BEGUN not in sizes:
        return FileNotFoundError(f"{path!r} is no store of codes: no {MANIFEST} in it.")
    return ValueError(
        f"it is incomplete: encode_to was interrupted, with {n_written} shards so far. "
        "Call it once more with the same arguments, and it goes "
        "on with what is missing."
    )


def _check_size(file: StoredFile, size: int | None) -> None:
    if size is None:
        raise ValueError(f"its file {file.name} is missing.")
    if size != file.size:
        raise ValueError(
            f"its file {file.name} has {size} bytes, and {file.size} were written."
        )
