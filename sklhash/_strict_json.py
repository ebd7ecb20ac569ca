"""JSON of a bounded size, without what the standard has no meaning for."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["LONGEST", "check_length", "parsed"]

LONGEST = 2**23  # bytes; what is long is an array
MOST_CONTAINERS = 2**18  # lists and objects, each of which takes up to 230 bytes


def parsed(
    text: bytes, *, longest: int = LONGEST, most_containers: int = MOST_CONTAINERS
) -> Any:
    """Return what JSON says.

    Parameters
    ----------
    text : bytes
        The JSON.

    longest : int, default=8 MiB
        How many bytes it may have.

    most_containers : int, default=262,144
        How many lists and objects it may hold.

    Raises
    ------
    ValueError
        If it is none, is too long, or an object in it has a name twice.
    """
    check_length(text, longest, most_containers)
    return json.loads(
        text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant
    )


def check_length(
    text: bytes, longest: int = LONGEST, most_containers: int = MOST_CONTAINERS
) -> None:
    """Refuse what would take far more memory than a model's description.

    Raises
    ------
    ValueError
        If it has more bytes, or more lists and objects.
    """
    n_containers = text.count(b"[") + text.count(b"{")
    if len(text) > longest or n_containers > most_containers:
        raise ValueError(
            f"the description takes {len(text)} bytes and holds {n_containers} lists "
            f"and objects; {longest} and {most_containers} are the most: what is long "
            "belongs into arrays."
        )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"its JSON has a name twice, among {list(found)}.")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"its description has {name}, which is no JSON.")
