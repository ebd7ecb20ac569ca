"""A shard of codes in the form that the compiled loops read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.neighbors.table import PADDING, CodeTable
from sklhash.sharding.shards import Shard, joined
from sklhash.sharding.sources import Readable

__all__ = ["SearchShard"]

_LAID_OUT_BYTES = 2**25  # of mapped codes at once
_WORD = 8  # bytes
_ALIGNMENT = 64  # bytes


class CodesInTable:
    """Codes of a table, none of them removed.

    Parameters
    ----------
    table : CodeTable
        The table.
    """

    def __init__(self, table: CodeTable) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.n_stored

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.table.planes.nbytes

    def parts(self) -> list[NDArray[np.uint8]]:
        """Return them, packed, in one part."""
        return [self.table.packed]


class SearchShard(Shard):
    """A shard that is laid out for searches.

    Codes in memory are a table. Mapped ones of one word are searched where they lie in
    the file, but for the last few; wider ones are laid out a part at a time.
    """

    def __init__(self, codes: Readable, y: Any) -> None:
        if not _are_mapped(codes.parts()):
            codes = CodesInTable(CodeTable(joined(codes.parts())))
        super().__init__(codes, y)

    def tables(self) -> Iterator[tuple[int, CodeTable]]:
        """Yield tables of the codes, and the row that each begins with."""
        start = 0
        for table in self._kept or self._laid_out():
            yield start, table
            start += table.n_stored

    @cached_property
    def _kept(self) -> list[CodeTable]:
        if isinstance(self._codes, CodesInTable):
            return [self._codes.table]
        parts = self._codes.parts()
        fit = all(map(_lie_as_searched, parts))
        return [table for part in parts for table in _mapped(part)] if fit else []

    def _laid_out(self) -> Iterator[CodeTable]:
        for part in self._codes.parts():
            height = max(PADDING, _LAID_OUT_BYTES // part.shape[1])
            for start in range(0, len(part), height):
                yield CodeTable(part[start : start + height])

    def __getstate__(self) -> dict[str, Any]:
        return {"_codes": self._codes, "y": self.y}


def _are_mapped(parts: list[NDArray[np.uint8]]) -> bool:
    return all(isinstance(part, np.memmap) or len(part) == 0 for part in parts)


def _lie_as_searched(codes: NDArray[np.uint8]) -> bool:
    """Tell whether codes lie as the compiled loops read them."""
    is_aligned = len(codes) == 0 or codes.ctypes.data % _ALIGNMENT == 0
    return is_aligned and codes.shape[1] == _WORD


def _mapped(codes: NDArray[np.uint8]) -> list[CodeTable]:
    """Return tables of codes that stay where they are, but for the last few."""
    whole = len(codes) // PADDING * PADDING
    tables = []
    if whole > 0:
        planes = codes[:whole].view(np.ndarray).view(np.uint64).T
        allowed = np.full(whole // 64, ~np.uint64(0))
        arrays = {"planes": planes, "allowed": allowed}
        tables.append(CodeTable.from_arrays(_WORD, whole, whole, arrays))
    if whole < len(codes):
        tables.append(CodeTable(codes[whole:]))
    return tables
