"""Writing a store: a shard at a time, in any order, and on where it was left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, Protocol
from zlib import crc32

from numpy.typing import NDArray

from sklhash._dask import one_task
from sklhash.stores.chunks import Blocks, Chunk, Rows, Stream
from sklhash.stores.files import Folder
from sklhash.stores.formats import FORMATS, Format
from sklhash.stores.manifest import (
    BEGUN,
    MANIFEST,
    MOST_SHARDS,
    Manifest,
    Plan,
    Shard,
    StoredFile,
    file_names,
    is_of_a_shard,
    numbers_of_receipts,
    read_plan,
    read_receipt,
    receipt_name,
    refuse_mixed_ids,
    written_manifest,
    written_plan,
    written_receipt,
)
from sklhash.stores.opening import manifest_in, naming_store

__all__ = ["Encoder", "write_store"]

Shards = dict[int, Shard]


class Encoder(Protocol):
    """What turns rows into codes; it can be sent to other processes.

    Attributes
    ----------
    n_bits : int
        Number of bits of a code.

    model : str
        A fingerprint of what the codes of rows depend on.
    """

    n_bits: int
    model: str

    def checked(self, X: Any) -> Any:
        """Return rows as they are to be encoded."""

    def fingerprint(self, values: Any) -> str:
        """Return a text that is the same for the same checked rows, or ids, only."""

    def packed_codes(self, X: Any) -> NDArray[Any]:
        """Return the packed codes of checked rows."""


def write_store(
    folder: Folder,
    encoder: Encoder,
    chunks: Blocks | Rows | Stream,
    *,
    format: Format,
    verify: bool,
) -> None:
    """Write what is missing of a store.

    Parameters
    ----------
    folder : Folder
        Where.

    encoder : Encoder
        The model.

    chunks : Blocks, Rows or Stream
        What to encode.

    format : {"npy", "parquet"}
        Format of the shards.

    verify : bool
        Whether to read what finished shards were made of and compare it, where it need
        not be read anyway.

    Raises
    ------
    ValueError
        If the store is of another model, format or input. It stays as it was.
    """
    FORMATS[format].check()
    lengths = None if isinstance(chunks, Stream) else chunks.lengths
    plan = Plan(
        n_bits=encoder.n_bits,
        format=format,
        model=encoder.model,
        n_shards=None if isinstance(chunks, Stream) else len(chunks),
        n_samples=None if lengths is None else sum(lengths),
    )
    begun, done = _finished(folder, plan)
    folder.make()
    if begun is None:
        folder.write(BEGUN, written_plan(plan))
    writer = _Writer(folder, encoder, format)
    if isinstance(chunks, Stream):
        n_shards = None if begun is None else begun.n_shards
        shards = _write_in_turn(writer, chunks, done, n_shards, verify)
    elif isinstance(chunks, Rows):
        shards = _write_rows(writer, chunks, done, verify)
    else:
        shards = _write_blocks(writer, chunks, done, verify)
    _finish(folder, plan, [shards[number] for number in range(len(shards))])


@dataclass(frozen=True)
class _Writer:
    """Writes shards, in this process or another."""

    folder: Folder
    encoder: Encoder
    format: Format

    def write(self, number: int, chunk: Chunk, like: Shard | None = None) -> Shard:
        """Write a shard, and its receipt when all else is there.

        Its ids have to be of the kind of those of the one that it is to be like.
        """
        if number >= MOST_SHARDS:
            raise ValueError(f"chunks must make at most {MOST_SHARDS} shards.")
        with _naming_chunk(number):
            X, ids = self.encoder.checked(chunk.X), chunk.checked_ids()
            codes = self.encoder.packed_codes(X)
        names = file_names(number, self.format)
        contents = FORMATS[self.format].contents(codes, ids)
        files = dict(zip(names, contents, strict=True))
        shard = Shard(
            n_samples=len(ids),
            rows=self.encoder.fingerprint(X),
            ids=self.encoder.fingerprint(ids),
            ids_dtype=ids.dtype.str,
            files=tuple(
                StoredFile(name, len(data), f"{crc32(data):08x}")
                for name, data in files.items()
            ),
        )
        refuse_mixed_ids([shard] if like is None else [like, shard])
        for name, data in files.items():
            self.folder.write(name, data)
        self.folder.write(receipt_name(number), written_receipt(number, shard))
        return shard

    def compare(
        self, number: int, chunk: Chunk, shard: Shard, *, verify: bool = True
    ) -> None:
        """Raise a ValueError if a shard was made of something else.

        Without `verify` the rows are not looked at.
        """
        with _naming_chunk(number):
            ids = chunk.checked_ids()
            rows = self.encoder.checked(chunk.X) if verify else None
        self.compare_lengths(number, len(ids), shard)
        if self.encoder.fingerprint(ids) != shard.ids:
            raise _refusal(self.folder, f"ids has others for shard {number}")
        if verify and self.encoder.fingerprint(rows) != shard.rows:
            raise _refusal(self.folder, f"chunks has other rows for shard {number}")

    def compare_lengths(self, number: int, n_samples: int, shard: Shard) -> None:
        """Raise a ValueError if a shard was made of more or fewer rows."""
        if n_samples != shard.n_samples:
            raise _refusal(
                self.folder,
                f"shard {number} has {shard.n_samples} codes, and chunks has "
                f"{n_samples} rows for it",
            )


@contextmanager
def _naming_chunk(number: int) -> Iterator[None]:
    """Say which of the chunks is wrong."""
    try:
        yield
    except (TypeError, ValueError) as bad:
        kind = TypeError if isinstance(bad, TypeError) else ValueError
        raise kind(f"chunk {number} of chunks cannot be encoded: {bad}") from bad


def _write_in_turn(
    writer: _Writer, chunks: Stream, done: Shards, n_shards: int | None, verify: bool
) -> Shards:
    """Walk through an iterable, and write the chunks that are missing."""
    shards: Shards = {}
    for number, chunk in enumerate(chunks):
        if n_shards is not None and number >= n_shards:
            raise _refusal(
                writer.folder, f"it has {n_shards} shards, and chunks makes more"
            )
        if number not in done:
            shards[number] = writer.write(number, chunk, like=_example_of(shards))
            continue
        writer.compare(number, chunk, done[number], verify=verify)
        shards[number] = done[number]
    least = n_shards or 1 + max(done, default=-1)
    if len(shards) < least:
        raise _refusal(
            writer.folder, f"it has {least} shards, and chunks makes {len(shards)}"
        )
    return shards


def _write_rows(writer: _Writer, chunks: Rows, done: Shards, verify: bool) -> Shards:
    """Compare what is there, and then write what is missing."""
    shards = dict(done)
    for number, shard in done.items():
        writer.compare(number, chunks[number], shard, verify=verify)
    for number in range(len(chunks)):
        if number not in done:
            like = _example_of(shards)
            shards[number] = writer.write(number, chunks[number], like=like)
    return shards


def _write_blocks(
    writer: _Writer, chunks: Blocks, done: Shards, verify: bool
) -> Shards:
    """Do the same where Dask does its work: on the workers, in any order."""
    from dask import compute, delayed

    if chunks.lengths is not None:
        for number, shard in done.items():
            writer.compare_lengths(number, chunks.lengths[number], shard)
    the_writer = one_task(writer)
    if verify:
        compare = delayed(_compare_block, pure=False)
        compute(
            *(
                compare(the_writer, number, *chunks[number], shard)
                for number, shard in done.items()
            )
        )
    missing = [number for number in range(len(chunks)) if number not in done]
    write = delayed(_write_block, pure=False)
    like = _example_of(done)
    written = compute(
        *(write(the_writer, number, *chunks[number], like) for number in missing)
    )
    return done | dict(zip(missing, written, strict=True))


def _write_block(
    writer: _Writer,
    number: int,
    X: Any,
    ids: Any,
    first: int | None,
    like: Shard | None,
) -> Shard:
    return writer.write(number, Chunk(X, ids, first), like=like)


def _compare_block(
    writer: _Writer, number: int, X: Any, ids: Any, first: int | None, shard: Shard
) -> None:
    writer.compare(number, Chunk(X, ids, first), shard)


def _example_of(shards: Shards) -> Shard | None:
    return next((shard for shard in shards.values() if shard.n_samples), None)


def _finished(folder: Folder, plan: Plan) -> tuple[Plan | None, Shards]:
    """Return what the store is to be, if it has any shards, and those that are whole.

    Raises
    ------
    ValueError
        If they are not of this plan, or files are there that may be somebody else's.
    """
    sizes = folder.sizes()
    with naming_store(folder.path):
        begun, shards = _records(folder, sizes)
    if begun is None:
        _refuse_files_of_others(folder, sizes)
    if begun is None or not shards:
        return None, {}
    _refuse_other_plan(folder, begun, plan)
    if plan.n_shards is not None and max(shards) >= plan.n_shards:
        raise _refusal(
            folder, f"it has a shard {max(shards)}, and chunks makes {plan.n_shards}"
        )
    return begun, {
        number: shard
        for number, shard in shards.items()
        if all(sizes.get(file.name) == file.size for file in shard.files)
    }


def _refuse_files_of_others(folder: Folder, sizes: Mapping[str, int]) -> None:
    """Refuse a folder that was not begun, but has files of the names of shards."""
    others = sorted(filter(is_of_a_shard, sizes))
    if others:
        raise ValueError(
            f"{folder.path!r} is no store, but has files that are called as those of "
            f"one, such as {others[0]}: write to another path."
        )


def _records(folder: Folder, sizes: Mapping[str, int]) -> tuple[Plan | None, Shards]:
    """Return what the manifest says, or else the receipts; what is cut off is not."""
    if MANIFEST in sizes:
        with _skipping_what_is_cut_off():
            manifest = manifest_in(folder, sizes)
            return manifest.plan, dict(enumerate(manifest.shards))
    plan, shards = None, {}
    if BEGUN in sizes:
        with _skipping_what_is_cut_off():
            plan = read_plan(folder.read(BEGUN))
    if plan is not None:
        numbers = numbers_of_receipts(sizes)
        texts = folder.read_all([*map(receipt_name, numbers)])
        for number, text in zip(numbers, texts, strict=True):
            with _skipping_what_is_cut_off():
                shards[number] = read_receipt(text, number, plan)
    return plan, shards


def _skipping_what_is_cut_off() -> AbstractContextManager[None]:
    return suppress(JSONDecodeError, UnicodeDecodeError)


_TOLD = {
    "model": "was encoded by another model",
    "n_bits": "has codes of {} bits, and the model makes {}",
    "format": 'has shards of the format "{}", not "{}"',
    "n_shards": "has {} shards, and chunks makes {}",
    "n_samples": "has {} codes, and chunks has {} rows",
}


def _refuse_other_plan(folder: Folder, found: Plan, wanted: Plan) -> None:
    for name, there, here in zip(_TOLD, found, wanted, strict=True):
        if there != here and None not in (there, here):
            raise _refusal(folder, f"it {_TOLD[name].format(there, here)}")


def _refusal(folder: Folder, reason: str) -> ValueError:
    return ValueError(
        f"{folder.path!r} is a store of another model or input, and stays as it is: "
        f"{reason}. Write to another path, or remove that one."
    )


def _finish(folder: Folder, plan: Plan, shards: list[Shard]) -> None:
    """Write the manifest, and remove what is only of an incomplete store."""
    n_samples = sum(shard.n_samples for shard in shards)
    sizes = folder.sizes()
    if n_samples == 0:
        folder.remove([n for n in sizes if is_of_a_shard(n) or n == BEGUN])
        raise ValueError("chunks must have at least one row, got none.")
    refuse_mixed_ids(shards)
    files = {file.name: file.size for shard in shards for file in shard.files}
    lost = [name for name, size in files.items() if sizes.get(name) != size]
    if lost:
        raise ValueError(
            f"{folder.path!r} lacks {len(lost)} files that were written, such as "
            f"{lost[0]}: the workers have to write where this process reads."
        )
    plan = plan._replace(n_shards=len(shards), n_samples=n_samples)
    manifest = written_manifest(Manifest(plan, tuple(shards)))
    if sizes.get(MANIFEST) != len(manifest) or folder.read(MANIFEST) != manifest:
        folder.write(MANIFEST, manifest)
    folder.remove([n for n in sizes if is_of_a_shard(n) and n not in files])
    if BEGUN in sizes:
        folder.remove([BEGUN])
