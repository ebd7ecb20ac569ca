"""Writing a store: a shard at a time, in any order, and on where it was left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
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
    MANIFEST,
    MOST_SHARDS,
    Manifest,
    Plan,
    Shard,
    StoredFile,
    file_names,
    is_of_a_shard,
    numbers_of_receipts,
    read_receipt,
    receipt_name,
    refuse_mixed_ids,
    written_manifest,
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
    expected, done = _finished(folder, plan)
    folder.make()
    writer = _Writer(folder, encoder, plan)
    if isinstance(chunks, Stream):
        shards = _write_in_turn(writer, chunks, done, expected, verify)
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
    plan: Plan

    def write(self, number: int, chunk: Chunk, like: Shard | None = None) -> Shard:
        """Write a shard, and its receipt when all else is there.

        Its ids have to be of the kind of those of the one that it is to be like.
        """
        if number >= MOST_SHARDS:
            raise ValueError(f"chunks must make at most {MOST_SHARDS} shards.")
        X, ids = self.encoder.checked(chunk.X), chunk.checked_ids()
        codes = self.encoder.packed_codes(X)
        names = file_names(number, self.plan.format)
        contents = FORMATS[self.plan.format].contents(codes, ids)
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
        receipt = written_receipt(self.plan, number, shard)
        self.folder.write(receipt_name(number), receipt)
        return shard

    def compare(
        self, number: int, chunk: Chunk, shard: Shard, *, verify: bool = True
    ) -> None:
        """Raise a ValueError if a shard was made of something else.

        Without `verify` the rows are not looked at.
        """
        ids = chunk.checked_ids()
        self.compare_lengths(number, len(ids), shard)
        if self.encoder.fingerprint(ids) != shard.ids:
            raise _refusal(self.folder, f"the ids of shard {number} have changed")
        if verify:
            rows = self.encoder.checked(chunk.X)
            if self.encoder.fingerprint(rows) != shard.rows:
                raise _refusal(self.folder, f"rows of shard {number} have changed")

    def compare_lengths(self, number: int, n_samples: int, shard: Shard) -> None:
        """Raise a ValueError if a shard was made of more or fewer rows."""
        if n_samples != shard.n_samples:
            raise _refusal(
                self.folder,
                f"shard {number} has {shard.n_samples} codes, and would have "
                f"{n_samples} now",
            )


def _write_in_turn(
    writer: _Writer, chunks: Stream, done: Shards, expected: int | None, verify: bool
) -> Shards:
    """Walk through an iterable, and write the chunks that are missing."""
    shards: Shards = {}
    for number, chunk in enumerate(chunks):
        if expected is not None and number >= expected:
            raise _refusal(writer.folder, f"it has {expected} shards, chunks has more")
        if number not in done:
            shards[number] = writer.write(number, chunk, like=_example_of(shards))
            continue
        writer.compare(number, chunk, done[number], verify=verify)
        shards[number] = done[number]
    n_before = max(expected or 0, 1 + max(done, default=-1))
    if len(shards) < n_before:
        raise _refusal(
            writer.folder, f"it has {n_before} shards, chunks has {len(shards)}"
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
    writer: _Writer, number: int, X: Any, ids: Any, first: int, like: Shard | None
) -> Shard:
    return writer.write(number, Chunk(X, ids, first), like=like)


def _compare_block(
    writer: _Writer, number: int, X: Any, ids: Any, first: int, shard: Shard
) -> None:
    writer.compare(number, Chunk(X, ids, first), shard)


def _example_of(shards: Shards) -> Shard | None:
    return next((shard for shard in shards.values() if shard.n_samples), None)


def _finished(folder: Folder, plan: Plan) -> tuple[int | None, Shards]:
    """Return how many shards there are to be, if that is known, and those that are.

    Raises
    ------
    ValueError
        If they are not of this plan.
    """
    sizes = folder.sizes()
    with naming_store(folder.path):
        plans, shards = _records(folder, sizes)
    for other in plans:
        _refuse_other_plan(folder, other, plan)
    if plan.n_shards is not None and max(shards, default=-1) >= plan.n_shards:
        raise _refusal(
            folder, f"it has shard {max(shards)}, and would have {plan.n_shards} now"
        )
    expected = max((other.n_shards or 0 for other in plans), default=0)
    return expected or None, {
        number: shard
        for number, shard in shards.items()
        if all(sizes.get(file.name) == file.size for file in shard.files)
    }


def _records(folder: Folder, sizes: Mapping[str, int]) -> tuple[Iterable[Plan], Shards]:
    """Return what the manifest says, or else the receipts that are whole."""
    if MANIFEST in sizes:
        with suppress(JSONDecodeError, UnicodeDecodeError):
            manifest = manifest_in(folder, sizes)
            return [manifest.plan], dict(enumerate(manifest.shards))
    plans, shards = set(), {}
    numbers = numbers_of_receipts(sizes)
    texts = folder.read_all([*map(receipt_name, numbers)])
    for number, text in zip(numbers, texts, strict=True):
        with suppress(JSONDecodeError, UnicodeDecodeError):
            plan, shards[number] = read_receipt(text, number)
            plans.add(plan)
    return plans, shards


_TOLD = {
    "model": "was encoded by another model",
    "n_bits": "has codes of {} bits, and the model makes {}",
    "format": 'has shards of the format "{}", not "{}"',
    "n_shards": "has {} shards, and would have {} now",
    "n_samples": "has {} codes, and would have {} now",
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
        folder.remove([name for name in sizes if is_of_a_shard(name)])
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
