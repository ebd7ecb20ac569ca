"""Exact search within small radii by multi-index hashing."""

from __future__ import annotations

from functools import cache, lru_cache
from math import comb, inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklhash._kernels.buckets import Index

__all__ = ["IndexPlan", "MultiIndex", "plan_index"]

Words = NDArray[np.uint64]

# Nanoseconds of one thread for a query, one of a thousand. Reading takes longer the
# more codes there are, and the farther from the processor: the numbers are for one
# code, and for n codes n ** _DISTANCE times as large.
_QUERY = 10.0
_LOOKUP = 0.8  # of a key
_ENTRY = 0.004  # under it, for 32 bits
_DISTANCE = 0.2
_PASSED = 12.0  # an entry that is within the radius by these bits

_MOST_TABLES = 8
_WIDEST = 20  # bits of a key; more make a table that is far from the processor
_N_SAMPLED = 64
_ROOM = 64  # hits a query, at first
_NO_LIMIT = 2**62


class IndexPlan(NamedTuple):
    """What an index looks like, and what it is expected to take."""

    cost: float
    """Nanoseconds for a query, one of many, if all codes are equally likely."""

    n_bytes: int
    """Memory while the index is built; later it is less."""

    widths: tuple[int, ...]
    """Bits of a code that make the key of each table."""

    n_halves: int
    """How many times 32 bits are compared of each code under a key."""


@lru_cache(maxsize=256)
def plan_index(
    n_codes: int, n_bits: int, radius: int, most_bytes: float = inf
) -> IndexPlan:
    """Choose the tables that find codes within a radius fastest.

    Parameters
    ----------
    n_codes : int
        Number of codes.

    n_bits : int
        Number of bits of a code.

    radius : int
        Radius in bits.

    most_bytes : float, default=inf
        Memory that is not to be exceeded.

    Returns
    -------
    plan : IndexPlan
        The plan of the least expected cost among those that fit into the memory, or
        among all if none does.
    """
    radius = min(radius, n_bits)
    widest = min(_WIDEST, n_codes.bit_length(), n_bits)
    plans = []
    for n_halves in (1, 2):
        for widths in _widths(n_bits, radius, widest):
            _, cost = _spread(widths, n_halves, radius, n_codes, n_bits)
            n_bytes = n_codes * max(28, 12 * len(widths) + 8)
            n_bytes += n_codes * 8 * -(-n_bits // 64) + sum(4 << w for w in widths)
            plans.append(IndexPlan(_QUERY + cost, n_bytes, widths, n_halves))
    return min(plans, key=lambda plan: (plan.n_bytes > most_bytes, plan))


class MultiIndex:
    """Codes in tables by parts of their bits, for exact search within small radii.

    A code has a key in each of several tables, and the keys are disjoint parts of its
    bits. If two codes differ in at most `radius` bits, then in one of the tables their
    keys differ in at most as many bits as that table is searched for, as long as these
    numbers, plus one each, add up to ``radius + 1`` [1]_. Of the codes found under all
    such keys most are farther away, which is seen by comparing them.

    Equal codes are kept once, with their rows.

    Parameters
    ----------
    words : ndarray of shape (n_codes, n_words), dtype=uint64
        Codes in 64-bit words, at least one and fewer than 2**31; they are copied.

    n_bits : int
        Number of bits of a code, at least 1; those behind them are zero.

    radius : int
        Radius that the tables are to suit best. Any can be searched for.

    most_bytes : float, default=inf
        Memory that is not to be exceeded, as for :func:`plan_index`.

    Attributes
    ----------
    n_codes : int
        Number of codes.

    References
    ----------
    .. [1] Norouzi, M., Punjani, A. and Fleet, D. J. (2012). Fast search in Hamming
       space with multi-index hashing. CVPR 2012.
    """

    def __init__(
        self, words: Words, n_bits: int, radius: int, most_bytes: float = inf
    ) -> None:
        from sklhash._kernels.buckets import group_equal

        self.n_codes = len(words)
        self._n_bits = n_bits
        words = words.copy()  # kernels are compiled once more for read-only arrays
        slots = np.full(1 << (2 * len(words)).bit_length(), 2**32 - 1, dtype=np.uint32)
        labels, starts, rows = group_equal(words, slots)
        del slots
        self._n_distinct = len(labels)
        plan = plan_index(self._n_distinct, n_bits, radius, most_bytes)
        self._widths, self._n_halves = plan.widths, plan.n_halves
        self._tables = self._lay_out(words.shape[1])
        self._index = self._fill(words, labels, starts, rows)
        self._sample = words[:: -(-len(words) // _N_SAMPLED)].copy()
        self._lookups: dict[int, tuple[NDArray[Any], Words]] = {}
        self._costs: dict[int, float] = {}

    def hits(self, queries: Words, radius: int, most: int = _NO_LIMIT) -> Words | None:
        """Find all pairs of a query and a code within a radius.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_words), dtype=uint64
            Codes in words, at most 65536.

        radius : int
            Number of differing bits, inclusive.

        most : int, default=2**62
            Number of pairs that are not to be exceeded.

        Returns
        -------
        hits : ndarray of shape (n_hits,), dtype=uint64, or None
            Query, distance and row of each pair in one number,
            ``query << 48 | distance << 32 | row``, in no order; None if there are more
            than `most`.
        """
        queries = queries.copy()
        room = _ROOM * len(queries)
        while True:
            hits = np.empty(min(room, most), dtype=np.uint64)
            n_hits, _ = self._search(queries, radius, hits)
            if n_hits > most:
                return None
            if n_hits <= room:
                return hits[:n_hits]
            room = n_hits

    def cost(self, radius: int) -> float:
        """Estimate how long a search takes.

        Parameters
        ----------
        radius : int
            Radius in bits.

        Returns
        -------
        cost : float
            Nanoseconds for a query that is like the codes of the index, one of many.
        """
        radius = min(radius, self._n_bits)
        if radius not in self._costs:
            nowhere = np.empty(0, dtype=np.uint64)
            _, tally = self._search(self._sample, radius, nowhere)
            n_entries, n_passed = tally / len(self._sample)
            _, flips = self._looked_up(radius)
            reading = _LOOKUP * len(flips) + _ENTRY * self._n_halves * n_entries
            reading *= self._n_distinct**_DISTANCE
            self._costs[radius] = float(_QUERY + reading + _PASSED * n_passed)
        return self._costs[radius]

    def radii(self, scan_cost: float) -> Iterator[int]:
        """Choose the radii in which to look for the nearest codes, one after another.

        Parameters
        ----------
        scan_cost : float
            Nanoseconds after which a search for a query is to be given up.

        Yields
        ------
        radius : int
            Radii, each about twice as costly as the one before, none costlier than
            `scan_cost`.
        """
        last = 0.0
        for radius in range(self._n_bits + 1):
            if self.cost(radius) > scan_cost:
                return
            if self.cost(radius + 1) > 2 * last:
                yield radius
                last = self.cost(radius)

    def _search(
        self, queries: Words, radius: int, hits: Words
    ) -> tuple[int, NDArray[np.int64]]:
        """Write hits, and return how many there are and what was read."""
        from sklhash._kernels.buckets import within

        radius = min(radius, self._n_bits)
        tables, flips = self._looked_up(radius)
        tally = np.zeros(2, dtype=np.int64)
        halves = (0,) * self._n_halves
        n_hits = within(
            self._index, tables, flips, queries, radius, hits, tally, halves
        )
        return n_hits, tally

    def _looked_up(self, radius: int) -> tuple[NDArray[Any], Words]:
        """Return the tables that are searched, and how the keys in them differ."""
        if radius not in self._lookups:
            self._lookups[radius] = self._choose(radius)
        return self._lookups[radius]

    def _choose(self, radius: int) -> tuple[NDArray[Any], Words]:
        n_codes, n_bits, n_halves = self._n_distinct, self._n_bits, self._n_halves
        radii, cost = _spread(self._widths, n_halves, radius, n_codes, n_bits)
        if cost > _table_cost(0, 0, n_halves, radius, n_codes, n_bits):
            tables = self._tables[:1].copy()
            for name in ("width", "bits", "next_bits"):
                tables[name] = 0  # all codes are in the one bucket behind the others
            tables["bucket"] = len(self._index.buckets) - 2
            radii = [0]
        else:
            tables = self._tables[np.array(radii) >= 0]
            radii = [key_radius for key_radius in radii if key_radius >= 0]
        tables["radius"] = radii
        flips = [
            _flips(width, key_radius, n_bits - width >= 32 * n_halves)
            for width, key_radius in zip(tables["width"].tolist(), radii, strict=True)
        ]
        tables["last_flip"] = np.cumsum([len(part) for part in flips])
        tables["flip"][1:] = tables["last_flip"][:-1]
        return tables, np.concatenate(flips)

    def _lay_out(self, n_words: int) -> NDArray[Any]:
        """Describe the tables."""
        from sklhash._kernels.buckets import TABLE

        tables = np.zeros(len(self._widths), dtype=TABLE)
        spare = self._n_bits - sum(self._widths)
        bucket = 0
        for t, (table, width) in enumerate(zip(tables, self._widths, strict=True)):
            key = sum(self._widths[:t]) + spare * t // len(tables)
            word = key // 64
            bits = (1 << width) - 1 << key % 64
            table["key"], table["width"] = key, width
            table["rest"] = (key + width) % self._n_bits
            table["bucket"], table["entry"] = bucket, t * self._n_distinct
            table["word"], table["bits"] = word, bits % 2**64
            table["next_word"] = min(word + 1, n_words - 1)
            table["next_bits"] = bits >> 64
            bucket += 2**width + 1
        return tables

    def _fill(self, words: Words, labels: Any, starts: Any, rows: Any) -> Index:
        """Put the codes into the tables."""
        from sklhash._kernels.buckets import RUN_BYTES, Index, fill_table

        n_distinct = len(labels)
        n_entries = n_distinct * len(self._tables)
        types = [np.uint32, np.uint64]
        near = np.zeros(n_entries + RUN_BYTES // 4, dtype=types[self._n_halves - 1])
        far = np.empty(n_entries, dtype=types[-self._n_halves])
        n_buckets = sum(2**width + 1 for width in self._widths)
        buckets = np.zeros(n_buckets + 2, dtype=np.uint32)
        buckets[-1] = n_distinct
        order = np.empty(n_distinct, dtype=np.uint32)
        for table in self._tables:
            entries = slice(table["entry"], table["entry"] + n_distinct)
            own = slice(table["bucket"], table["bucket"] + 2 ** table["width"] + 1)
            fill_table(
                words,
                self._n_bits,
                table,
                labels,
                starts,
                rows,
                buckets[own],
                near[entries],
                far[entries],
                order,
            )
        return Index(self._n_bits, n_distinct, words, starts, rows, buckets, near, far)


def _widths(n_bits: int, radius: int, widest: int) -> Iterator[tuple[int, ...]]:
    """Yield ways to cut codes into keys of about equal width."""
    for n_tables in range(1, min(radius + 1, _MOST_TABLES, n_bits) + 1):
        width, n_wider = divmod(n_bits, n_tables)
        for most in range(min(widest, width + 1) + 1):
            yield tuple(min(most, width + (t < n_wider)) for t in range(n_tables))


def _spread(
    widths: tuple[int, ...], n_halves: int, radius: int, n_codes: int, n_bits: int
) -> tuple[list[int], float]:
    """Return in how many bits the keys of each table may differ, and what that costs.

    For tables that are left out the number is -1. If all codes would cost less, the
    numbers are too small.
    """

    def cost(width: int, key_radius: int) -> float:
        return _table_cost(width, key_radius, n_halves, radius, n_codes, n_bits)

    radii = [-1] * len(widths)
    costs = [0.0] * len(widths)
    all_codes = cost(0, 0)
    for _ in range(radius + 1):
        more = [cost(w, r + 1) for w, r in zip(widths, radii, strict=True)]
        steps = [m - c for m, c in zip(more, costs, strict=True)]
        t = steps.index(min(steps))
        radii[t] += 1
        costs[t] = more[t]
        if sum(costs) > all_codes:
            break
    return radii, sum(costs)


@lru_cache(maxsize=2**14)
def _table_cost(
    width: int, key_radius: int, n_halves: int, radius: int, n_codes: int, n_bits: int
) -> float:
    """Return the cost of looking up the keys within a radius in one table."""
    if key_radius < 0:
        return 0.0
    n_read = min(32 * n_halves, n_bits - width)
    farther = n_codes**_DISTANCE
    cost = 0.0
    for differing in range(min(key_radius, width) + 1):
        passing = _share_within(n_read, radius - differing)
        an_entry = farther * _ENTRY * n_halves + passing * _PASSED
        a_lookup = farther * _LOOKUP + n_codes / 2**width * an_entry
        cost += comb(width, differing) * a_lookup
    return cost


@cache
def _share_within(n_bits: int, radius: int) -> float:
    """Return the share of all codes that is within a radius."""
    return sum(comb(n_bits, k) for k in range(min(radius, n_bits) + 1)) / 2**n_bits


@lru_cache(maxsize=64)
def _flips(width: int, radius: int, is_tight: bool) -> Words:
    """Return all keys with at most `radius` bits set, ascending.

    If tight, the upper half is their number: so many fewer other bits may differ.
    """
    sets = [np.zeros(1, dtype=np.uint64)]
    bits = np.uint64(1) << np.arange(width, dtype=np.uint64)
    for _ in range(min(radius, width)):
        sets.append(np.concatenate([sets[-1][sets[-1] < bit] | bit for bit in bits]))
    flips = np.sort(np.concatenate(sets))
    if is_tight:
        flips |= np.bitwise_count(flips).astype(np.uint64) << np.uint64(32)
    return flips
