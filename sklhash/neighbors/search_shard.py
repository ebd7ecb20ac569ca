"""A shard of codes in the form that the compiled loops read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.neighbors.table import PADDING, CodeTable
from sklhash.sharding.shards import Shard
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

    def read(self) -> NDArray[np.uint8]:
        """Return them, packed."""
        return self.table.packed


class SearchShard(Shard):
    """A shard that is laid out for searches.

    Codes in memory are a table. Mapped ones of one word are searched where they lie in
    the file, but for the last few; wider ones are laid out a part at a time.
    """

    def __init__(self, codes: Readable, y: Any) -> None:
        rows = codes.read()
        if not isinstance(rows, np.memmap):
            codes = CodesInTable(CodeTable(rows))
        super().__init__(codes, y)

    def tables(self) -> Iterator[tuple[int, CodeTable]]:
        """Yield tables of the codes, and the row that each begins with."""
        if self._kept:
            start = 0
            for table in self._kept:
                yield start, table
                start += table.n_stored
        else:
            codes = self.codes
            height = max(PADDING, _LAID_OUT_BYTES // codes.shape[1])
            for start in range(0, len(codes), height):
                yield start, CodeTable(codes[start : start + height])

    @cached_property
    def _kept(self) -> list[CodeTable]:
        codes = self._codes
        return [codes.table] if isinstance(codes, CodesInTable) else _mapped(self.codes)

    def __getstate__(self) -> dict[str, Any]:
        return {"_codes": self._codes, "y": self.y}


def _mapped(codes: NDArray[np.uint8]) -> list[CodeTable]:
    """Return tables of mapped codes if they lie as the compiled loops read them."""
    if codes.shape[1] != _WORD or codes.ctypes.data % _ALIGNMENT:
        return []
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
