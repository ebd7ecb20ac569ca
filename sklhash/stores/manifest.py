"""What a store says of itself: its manifest, and before that a plan and receipts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sklhash._state import (
    Check,
    Sizes,
    check_state,
    fields,
    list_of,
    none_or,
    one_of,
    whole,
    word,
)
from sklhash._strict_json import parsed
from sklhash.codes import MAX_BITS

__all__ = [
    "BEGUN",
    "LONGEST",
    "MANIFEST",
    "MOST_SHARDS",
    "Manifest",
    "Plan",
    "Shard",
    "StoredFile",
    "file_names",
    "is_of_a_shard",
    "numbers_of_receipts",
    "read_manifest",
    "read_plan",
    "read_receipt",
    "receipt_name",
    "refuse_mixed_ids",
    "written_manifest",
    "written_plan",
    "written_receipt",
]

VERSION = 1
BEGUN, MANIFEST = "begun.json", "manifest.json"
MOST_SHARDS = 2**18
MOST_SAMPLES = 2**62
LONGEST = 2**9 * MOST_SHARDS  # bytes
LONGEST_RECEIPT = 2**12
MOST_CONTAINERS = 4 * MOST_SHARDS + 2
ENDS = {"npy": (".codes.npy", ".ids.npy"), "parquet": (".parquet",)}

_NAME = re.compile(
    r"(\d{5}|[1-9]\d{5,8})(\.codes\.npy|\.ids\.npy|\.parquet|\.json)", re.ASCII
)
_DTYPE = re.compile(r"<i8|(<U|\|S)[1-9]\d{0,8}", re.ASCII)
_CRC32 = re.compile(r"[0-9a-f]{8}", re.ASCII)


class StoredFile(NamedTuple):
    """A file of a shard."""

    name: str
    size: int  # bytes
    crc32: str


class Shard(NamedTuple):
    """A shard that is written."""

    n_samples: int
    rows: str  # fingerprint
    ids: str  # fingerprint
    ids_dtype: str
    files: tuple[StoredFile, ...]


class Plan(NamedTuple):
    """What a store is to be; None is what only the end shows."""

    model: str  # fingerprint
    n_bits: int
    format: str
    n_shards: int | None
    n_samples: int | None


class Manifest(NamedTuple):
    """What a complete store says of itself."""

    plan: Plan
    shards: tuple[Shard, ...]


def file_names(number: int, format: str) -> list[str]:
    """Return the names of the files of a shard."""
    return [f"{number:05d}{end}" for end in ENDS[format]]


def receipt_name(number: int) -> str:
    """Return the name of the receipt of a shard."""
    return f"{number:05d}.json"


def numbers_of_receipts(sizes: Mapping[str, int]) -> list[int]:
    """Return the numbers of the shards that there are receipts of, ascending.

    Parameters
    ----------
    sizes : mapping of str to int
        The files that are there, with their sizes in bytes.
    """
    names = [name for name, size in sizes.items() if size <= LONGEST_RECEIPT]
    found = map(_NAME.fullmatch, names)
    return sorted(int(name[1]) for name in found if name and name[2] == ".json")


def is_of_a_shard(name: str) -> bool:
    """Tell whether a file has a name as those of shards and their receipts."""
    return _NAME.fullmatch(name) is not None


def written_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as JSON."""
    shards = [*map(_as_json, manifest.shards)]
    return _written(**_about(manifest.plan), shards=shards)


def written_plan(plan: Plan) -> bytes:
    """Return what stands in a store that was begun, as JSON."""
    return _written(**_about(plan))


def written_receipt(number: int, shard: Shard) -> bytes:
    """Return a receipt as JSON."""
    return _written(number=number, shard=_as_json(shard))


def read_manifest(text: bytes) -> Manifest:
    """Return what a manifest says, checked.

    Raises
    ------
    ValueError
        If it is none, or does not fit together.
    """
    counts = dict.fromkeys(("n_samples", "n_shards"), whole(1))
    state = _parsed(text, {**_ABOUT, **counts, "shards": list_of(_shard)})
    plan = _plan_of(state)
    shards = tuple(
        _shard_of(shard, number, plan) for number, shard in enumerate(state["shards"])
    )
    if len(shards) != plan.n_shards:
        raise ValueError(f"it has {len(shards)} shards, and n_shards={plan.n_shards}.")
    n_samples = sum(shard.n_samples for shard in shards)
    if n_samples != plan.n_samples or n_samples > MOST_SAMPLES:
        raise ValueError(
            f"its shards have {n_samples} codes, of at most {MOST_SAMPLES}, and "
            f"n_samples={plan.n_samples}."
        )
    refuse_mixed_ids(shards)
    return Manifest(plan, shards)


def read_plan(text: bytes) -> Plan:
    """Return what a store that was begun is to be, checked.

    Raises
    ------
    ValueError
        If it does not say that.
    """
    counts = dict.fromkeys(("n_samples", "n_shards"), none_or(whole(1)))
    return _plan_of(_parsed(text, {**_ABOUT, **counts}))


def read_receipt(text: bytes, number: int, plan: Plan) -> Shard:
    """Return what the receipt of a shard says, checked.

    Raises
    ------
    ValueError
        If it is none, or of another shard.
    """
    state = _parsed(text, {"number": whole(), "shard": _shard})
    if state["number"] != number:
        raise ValueError(f"the receipt of shard {number} is of {state['number']}.")
    return _shard_of(state["shard"], number, plan)


def refuse_mixed_ids(shards: Any) -> None:
    """Raise a ValueError if ids are numbers in one shard and strings in another."""
    kinds = {np.dtype(shard.ids_dtype).kind for shard in shards if shard.n_samples}
    if len(kinds) > 1:
        words = {"i": "whole numbers", "U": "strings", "S": "bytes"}
        told = " and ".join(sorted(words[kind] for kind in kinds))
        raise ValueError(f"ids must be of one kind in all shards, got {told}.")


def _written(**what: Any) -> bytes:
    return json.dumps({"version": VERSION, **what}, indent=1).encode()


def _about(plan: Plan) -> dict[str, Any]:
    return {**plan._asdict(), "n_bytes": -(-plan.n_bits // 8)}


def _as_json(shard: Shard) -> dict[str, Any]:
    return {**shard._asdict(), "files": [file._asdict() for file in shard.files]}


def _parsed(text: bytes, checks: dict[str, Check]) -> dict[str, Any]:
    state = parsed(text, longest=LONGEST, most_containers=MOST_CONTAINERS)
    if not isinstance(state, dict):
        raise ValueError("it is no object of JSON.")
    version = state.get("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"its version is {version!r}, and this version of sklhash reads {VERSION}."
        )
    check_state(state, {"version": whole(1), **checks}, of="the store")
    return state


def _plan_of(state: dict[str, Any]) -> Plan:
    n_bits, n_bytes = state["n_bits"], state["n_bytes"]
    if n_bits > MAX_BITS or n_bytes != -(-n_bits // 8):
        raise ValueError(
            f"its codes have {n_bits} bits, at most {MAX_BITS}, in {n_bytes} bytes."
        )
    return Plan(**{name: state[name] for name in Plan._fields})


def _shard_of(state: dict[str, Any], number: int, plan: Plan) -> Shard:
    files = tuple(StoredFile(**file) for file in state["files"])
    names = file_names(number, plan.format)
    if [file.name for file in files] != names:
        raise ValueError(
            f"shard {number} must have the files {names}, got "
            f"{[file.name for file in files]}."
        )
    n_bytes = state["n_samples"] * -(-plan.n_bits // 8)
    if plan.format == "npy" and files[0].size < n_bytes:
        raise ValueError(
            f"shard {number} has {state['n_samples']} codes in {files[0].size} bytes."
        )
    return Shard(**{**state, "files": files})


def _matching(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any, sizes: Sizes) -> None:
        word(value, sizes)
        if not pattern.fullmatch(value):
            raise ValueError(f"{what}, got {value!r}")

    return check


_file = fields(
    name=_matching(_NAME, "the name of a file of a shard"),
    size=whole(),
    crc32=_matching(_CRC32, "eight hexadecimal digits"),
)
_shard = fields(
    n_samples=whole(),
    rows=word,
    ids=word,
    ids_dtype=_matching(_DTYPE, "the dtype of ids"),
    files=list_of(_file),
)
_ABOUT = {
    "model": word,
    "n_bits": whole(1),
    "n_bytes": whole(1),
    "format": one_of(*ENDS),
}
