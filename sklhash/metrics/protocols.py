"""How official evaluation codes compute mAP, as options of our score."""

from __future__ import annotations

from typing import NamedTuple

from sklhash.metrics.options import NO_RELEVANT, check_k

__all__ = [
    "BOUNDS",
    "PROTOCOLS",
    "APOptions",
    "Protocol",
    "ap_options",
    "has_bounds",
    "where_empty",
]

BOUNDS = ("optimistic", "pessimistic")

_DEFAULTS = {"ties": "expected", "normalize": "hits", "empty": "zero"}


class Protocol(NamedTuple):
    """What an evaluation code does where codes differ."""

    ties: str = "index"
    """Sorts that are not stable give no definite order; "index" is the stable one."""

    normalize: str = "hits"

    empty: str = "zero"

    empty_in: str = "top"
    """Where a query must have a relevant item: "top" for the first k, "database"."""

    k: int | None = None
    """What k is if none is given, at most the size of the database."""

    drops_last: bool = False
    """Whether, where no k is given, ``ranking[0:-1]`` leaves the farthest item out."""


PROTOCOLS = {
    "cibhash": Protocol(drops_last=True),
    "deephash": Protocol(empty="skip"),
    "dpsh": Protocol(drops_last=True),
    "dsdh": Protocol(empty="skip"),
    "dsrh": Protocol(ties="expected", empty="skip"),
    "hashnet": Protocol(empty="skip"),
    "hashnet-caffe": Protocol(empty="skip", empty_in="database"),
    "ninh": Protocol(normalize="min"),
    "nsh": Protocol(k=1000),
    "orthohash": Protocol(),
    "swuxyj": Protocol(drops_last=True),
    "treezzz": Protocol(drops_last=True),
}


class APOptions(NamedTuple):
    """Settled options of an average precision."""

    k: int
    ties: str
    normalize: str
    empty: str
    empty_in: str


def ap_options(
    protocol: str | None,
    n_items: int,
    *,
    k: int | None,
    ties: str,
    normalize: str,
    empty: str,
) -> APOptions:
    """Settle the options of an average precision, by name or one by one.

    Raises
    ------
    ValueError
        If `k` is larger than `n_items`, or an option that is not at its default is not
        what the protocol says.
    """
    if protocol is None:
        empty_in = "top" if normalize == "hits" else "database"
        return APOptions(check_k(k, n_items), ties, normalize, empty, empty_in)
    settled = PROTOCOLS[protocol]
    given = {"ties": ties, "normalize": normalize, "empty": empty}
    for name, value in given.items():
        if value not in (_DEFAULTS[name], getattr(settled, name)):
            raise ValueError(
                f"protocol={protocol!r} sets {name}={getattr(settled, name)!r}, got "
                f"{name}={value!r} too."
            )
    if k is None and settled.k is not None:
        k = min(settled.k, n_items)
    elif k is None and settled.drops_last:
        k = max(1, n_items - 1)
    return APOptions(
        check_k(k, n_items),
        settled.ties,
        settled.normalize,
        settled.empty,
        settled.empty_in,
    )


def has_bounds(options: APOptions, n_items: int) -> bool:
    """Tell whether no order of ties changes which queries are left out."""
    depends = options.empty == "skip" and options.empty_in == "top"
    return not depends or options.k == n_items


def where_empty(options: APOptions, n_items: int) -> str:
    """Say what a query has that an average precision is not defined for."""
    if options.empty_in == "top" and options.k < n_items:
        return f"no relevant item among the first {options.k}"
    return NO_RELEVANT
