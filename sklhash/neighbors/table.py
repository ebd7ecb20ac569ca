"""Codes that arrive and are removed, in the form that the compiled loops read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from sklhash.codes import as_words, from_words

if TYPE_CHECKING:
    from sklhash._kernels.vectors import Codes
    from sklhash.neighbors.multi_index import MultiIndex
    from sklhash.neighbors.on_device import DeviceCodes

__all__ = ["PADDING", "CodeTable", "Selection"]

Words = NDArray[np.uint64]
Rows = NDArray[np.int64]

PADDING = 512  # codes; the loops read whole runs
_ALIGNMENT = 64  # bytes, a vector register and a cache line
_MOST = 2**32 - PADDING  # places take 32 bits
# A subset is copied out when it is smaller than this share of the codes.
_SMALL = 1 / 8


@dataclass(frozen=True)
class Selection:
    """Some of the codes of a table, to be searched.

    Parameters
    ----------
    planes : ndarray of shape (n_words, n_places), dtype=uint64
        Word-planar codes.

    allowed : ndarray of shape (n_places // 64,), dtype=uint64
        One bit a place: whether its code may be found.

    n_allowed : int
        Number of set bits.

    n_codes : int
        Number of places that hold a code.

    n_rows : int
        Number of rows of the table, removed ones too.

    rows : ndarray of shape (n_codes,), dtype=int64, or None
        The row of each place; None if they are equal.

    places : ndarray of shape (n_codes,), dtype=int64, or None
        The table's place of each place here; None if they are equal.
    """

    planes: Words
    allowed: Words
    n_allowed: int
    n_codes: int
    n_rows: int
    rows: Rows | None
    places: Rows | None = None

    @property
    def codes(self) -> Codes:
        """What the compiled loops take; valid while this selection is held."""
        from sklhash._kernels.vectors import Codes

        return Codes(
            self.planes.ctypes.data,
            self.planes.strides[0],
            self.planes.shape[1],
            self.allowed.ctypes.data,
            (0,) * len(self.planes),
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether the code at each place may be found."""
        return _as_mask(self.allowed)

    def allows(self, places: Rows) -> NDArray[np.bool_]:
        """Tell whether the codes at some places may be found."""
        return _bits_at(self.allowed, places)

    def behind(self, start: int) -> Selection:
        """Return the places from `start` on, a multiple of the padding."""
        allowed = self.allowed[start // 64 :]
        n_allowed = int(np.bitwise_count(allowed).sum())
        planes, n_codes = self.planes[:, start:], self.n_codes - start
        return Selection(planes, allowed, n_allowed, n_codes, self.n_rows, None)

    def rows_of(self, places: Rows) -> Rows:
        """Return the rows at some places."""
        return places if self.rows is None else self.rows[places]

    def places_of(self, places: Rows) -> Rows:
        """Return where places of the table are here, -1 for what is not selected."""
        if self.places is None:
            return places
        return _positions(self.places, places)


class CodeTable:
    """Packed codes in order of arrival.

    A table does not change: `append` and `remove` return another one. They share
    memory, so that a search goes on undisturbed while another thread appends, and an
    interrupted change leaves nothing half done.

    A code has a row, its number in the order of arrival, for ever, and a place in
    memory, which moves up when most codes before it were removed.

    Attributes
    ----------
    n_bytes : int
        Bytes of a packed code.

    planes, allowed, rows
        As for :class:`Selection`, with room for more.

    n_stored, n_live, n_arrived : int
        Numbers of codes: in memory, not removed, and that ever came.

    indexes : dict of int to MultiIndex
        Indexes of the first codes, by the radius that they suit. All tables of the same
        planes share them: an index may have more codes than a table, or fewer.
    """

    def __init__(self, packed: NDArray[np.uint8]) -> None:
        _check_number(len(packed))
        self.n_bytes = packed.shape[1]
        self.planes = _empty_planes(-(-self.n_bytes // 8), len(packed))
        self.allowed = np.zeros(self.planes.shape[1] // 64, dtype=np.uint64)
        self.rows: Rows | None = None
        self.n_stored = self.n_live = self.n_arrived = 0
        self._n_written = [0]  # shared by all tables of the same planes
        self.indexes: dict[int, MultiIndex] = {}
        self._devices: dict[str, DeviceCodes] = {}
        self._write(packed)

    @property
    def n_bits(self) -> int:
        """Bits of a code, with those that fill up its last byte."""
        return 8 * self.n_bytes

    @classmethod
    def from_arrays(
        cls,
        n_bytes: int,
        n_stored: int,
        n_arrived: int,
        arrays: dict[str, NDArray[Any]],
    ) -> Self:
        """Make a table of what :meth:`arrays` gave, which may be read-only."""
        table = cls.__new__(cls)
        table.n_bytes, table.n_stored, table.n_arrived = n_bytes, n_stored, n_arrived
        table.planes, table.allowed = arrays["planes"], arrays["allowed"]
        table.rows = arrays.get("rows")
        table.n_live = int(np.bitwise_count(table.allowed).sum())
        table._n_written = [-1]  # there is no room behind
        table.indexes, table._devices = {}, {}
        _check_number(n_stored)
        n_places = _round_up(n_stored)
        expected: list[tuple[NDArray[Any], type, tuple[int, ...]]] = [
            (table.planes, np.uint64, (-(-n_bytes // 8), n_places)),
            (table.allowed, np.uint64, (n_places // 64,)),
        ]
        if table.rows is not None:
            expected.append((table.rows, np.int64, (n_stored,)))
        if (
            n_bytes < 1
            or not 0 <= n_stored <= n_arrived
            or any(a.dtype != dtype or a.shape != shape for a, dtype, shape in expected)
            or (table.rows is None and n_stored != n_arrived)
            or (table.allowed & ~_first_bits(n_stored, n_places)).any()
        ):
            raise ValueError("the arrays of its codes do not fit together.")
        if table.rows is not None and not _are_ascending(table.rows, n_arrived):
            raise ValueError("the numbers of its rows are not in order.")
        return table

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what makes up the table, without the room for more."""
        n_places = _round_up(self.n_stored)
        arrays = {
            "planes": self.planes[:, :n_places],
            "allowed": self.allowed[: n_places // 64],
        }
        if self.rows is not None:
            arrays["rows"] = self.rows[: self.n_stored]
        return arrays

    def append(self, packed: NDArray[np.uint8]) -> CodeTable:
        """Return a table with more codes."""
        table = self._copy()
        table._devices = {}
        n_stored = self.n_stored + len(packed)
        _check_number(n_stored)
        if n_stored > self.planes.shape[1] or self._n_written[0] != self.n_stored:
            table._move(max(n_stored, self.n_stored * 3 // 2))
        table.allowed = np.zeros(table.planes.shape[1] // 64, dtype=np.uint64)
        table.allowed[: len(self.allowed)] = self.allowed[: len(table.allowed)]
        table._write(packed)
        return table

    def remove(self, places: Rows) -> CodeTable:
        """Return a table without the codes at some places."""
        table = self._copy()
        table.allowed = self.allowed.copy()
        bits = np.uint64(1) << (places & 63).astype(np.uint64)
        np.bitwise_and.at(table.allowed, places >> 6, ~bits)
        table.n_live = self.n_live - len(places)
        return table._compact() if 2 * table.n_live < table.n_stored else table

    def places_of(self, rows: Rows) -> Rows:
        """Return the places of rows, -1 for those that were removed."""
        if self.rows is None:
            places = rows
        else:
            places = _positions(self.rows[: self.n_stored], rows)
        gone = (places < 0) | ~_bits_at(self.allowed, places)
        return np.where(gone, -1, places)

    def on_device(self, device: str) -> DeviceCodes:
        """Return the codes at all places, on a GPU."""
        from sklhash.neighbors.on_device import DeviceCodes, check_device

        if device not in self._devices:
            check_device(device)
            n_places = _round_up(self.n_stored)
            self._devices[device] = DeviceCodes(self.planes[:, :n_places].T, device)
        return self._devices[device]

    @property
    def live_places(self) -> NDArray[np.bool_]:
        """Whether the code at each place was not removed, (n_stored,)."""
        return _as_mask(self.allowed)[: self.n_stored]

    @property
    def live_rows(self) -> NDArray[np.bool_]:
        """Whether each row was not removed, (n_arrived,)."""
        live = self.live_places
        if self.rows is None:
            return live
        mask = np.zeros(self.n_arrived, dtype=bool)
        mask[self.rows[: self.n_stored][live]] = True
        return mask

    @property
    def packed(self) -> NDArray[np.uint8]:
        """Packed codes of all rows, zeros for those removed, (n_arrived, n_bytes)."""
        words = np.zeros((self.n_arrived, len(self.planes)), dtype=np.uint64)
        rows = slice(None) if self.rows is None else self.rows[: self.n_stored]
        words[rows] = self.words()
        words[~self.live_rows] = 0
        return from_words(words, self.n_bytes)

    def words(self, places: Rows | slice = slice(None)) -> Words:
        """Return the codes at some places, (n, n_words)."""
        return self.planes[:, : self.n_stored][:, places].T

    def packed_at(self, rows: Rows) -> NDArray[np.uint8]:
        """Return the packed codes of some rows, none of them removed."""
        words = np.ascontiguousarray(self.words(self.places_of(rows)))
        return from_words(words, self.n_bytes)

    def select(
        self, mask: NDArray[np.bool_] | None = None, *, in_place: bool = False
    ) -> Selection:
        """Return the live codes, or those of them that `mask`, one a row, names.

        If they are few they are copied, unless they have to stay in place.
        """
        allowed, n_allowed = self.allowed, self.n_live
        if mask is not None:
            selected = self.live_places
            selected &= mask if self.rows is None else mask[self.rows[: self.n_stored]]
            n_allowed = int(selected.sum())
            if n_allowed < _SMALL * self.n_stored and not in_place:
                return self._gather(np.flatnonzero(selected))
            allowed = np.zeros_like(self.allowed)
            bits = np.packbits(selected, bitorder="little")
            allowed.view(np.uint8)[: len(bits)] = bits
        n_places = _round_up(self.n_stored)
        planes, allowed = self.planes[:, :n_places], allowed[: n_places // 64]
        return Selection(
            planes, allowed, n_allowed, self.n_stored, self.n_arrived, self.rows
        )

    def _gather(self, places: Rows) -> Selection:
        planes = _empty_planes(len(self.planes), len(places))
        np.take(self.planes, places, axis=1, out=planes[:, : len(places)])
        rows = places if self.rows is None else self.rows[places]
        n_codes = len(places)
        allowed = _first_bits(n_codes, planes.shape[1])
        return Selection(
            planes, allowed, n_codes, n_codes, self.n_arrived, rows, places
        )

    def _compact(self) -> CodeTable:
        table = self._copy()
        selection = self._gather(np.flatnonzero(self.live_places))
        table.planes, table.allowed = selection.planes, selection.allowed
        table.rows = selection.rows
        table.n_stored = self.n_live
        table.indexes, table._devices = {}, {}
        table._n_written = [-1]  # its rows leave no room
        return table

    def _move(self, n_codes: int) -> None:
        """Copy the codes to where there is room for more."""
        stored = slice(self.n_stored)
        planes = _empty_planes(len(self.planes), n_codes)
        planes[:, stored] = self.planes[:, stored]
        if self.rows is not None:
            rows = np.empty(planes.shape[1], dtype=np.int64)
            rows[stored] = self.rows[stored]
            self.rows = rows
        self.planes, self._n_written = planes, [self.n_stored]
        # What lies behind may differ from the codes of an index that has more.
        indexes = self.indexes.copy().items()
        self.indexes = {r: i for r, i in indexes if i.n_codes <= self.n_stored}

    def _write(self, packed: NDArray[np.uint8]) -> None:
        """Add codes behind the last one; there has to be room."""
        start, stop = self.n_stored, self.n_stored + len(packed)
        self._n_written[0] = stop
        self.planes[:, start:stop] = as_words(packed).T
        if self.rows is not None:
            self.rows[start:stop] = self.n_arrived + np.arange(len(packed))
        self.allowed |= _first_bits(stop, 64 * len(self.allowed)) & ~_first_bits(
            start, 64 * len(self.allowed)
        )
        self.n_stored = stop
        self.n_live += len(packed)
        self.n_arrived += len(packed)

    def __getstate__(self) -> dict[str, Any]:
        return {"shape": (self.n_bytes, self.n_stored, self.n_arrived), **self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        n_bytes, n_stored, n_arrived = state["shape"]
        table = CodeTable.from_arrays(n_bytes, n_stored, n_arrived, state)
        vars(self).update(vars(table))

    def _copy(self) -> CodeTable:
        table = CodeTable.__new__(CodeTable)
        vars(table).update(vars(self))
        return table


def _check_number(n_codes: int) -> None:
    if n_codes > _MOST:
        raise ValueError(f"A search holds at most {_MOST} codes, got {n_codes}.")


def _round_up(n_codes: int) -> int:
    return max(1, -(-n_codes // PADDING)) * PADDING


def _empty_planes(n_words: int, n_codes: int) -> Words:
    """Aligned memory for word-planar codes, zero where there will be none."""
    n_places = _round_up(n_codes)
    memory = np.zeros(8 * n_words * n_places + _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    planes = memory[start : start + 8 * n_words * n_places]
    return planes.view(np.uint64).reshape(n_words, n_places)


def _first_bits(n: int, n_bits: int) -> Words:
    """Return `n_bits` bits, the first `n` of them set."""
    words = np.zeros(n_bits // 64, dtype=np.uint64)
    words[: n >> 6] = ~np.uint64(0)
    if n & 63:
        words[n >> 6] = (np.uint64(1) << np.uint64(n & 63)) - np.uint64(1)
    return words


def _are_ascending(rows: Rows, n_arrived: int) -> bool:
    """Tell whether row numbers rise, from 0 to less than `n_arrived`, in blocks."""
    highest = -1
    for block in (rows[i : i + 2**20] for i in range(0, len(rows), 2**20)):
        if block[0] <= highest or (block[1:] <= block[:-1]).any():
            return False
        highest = int(block[-1])
    return highest < n_arrived


def _positions(ascending: Rows, values: Rows) -> Rows:
    """Return where each value is, -1 where it is not."""
    if len(ascending) == 0:
        return np.full(len(values), -1)
    found = np.searchsorted(ascending, values)
    found[found == len(ascending)] = 0
    return np.where(ascending[found] == values, found, -1)


def _bits_at(bits: Words, places: Rows) -> NDArray[np.bool_]:
    shifted = bits[places >> 6] >> (places & 63).astype(np.uint64)
    return (shifted & np.uint64(1)).astype(bool)


def _as_mask(bits: Words) -> NDArray[np.bool_]:
    return np.unpackbits(bits.view(np.uint8), bitorder="little").view(bool)
