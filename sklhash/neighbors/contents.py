"""What a search holds: codes with their labels, swapped as one when some come or go."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklhash.neighbors.labels import appended, check_kinds
from sklhash.neighbors.sharded import ShardedTable
from sklhash.neighbors.table import CodeTable, Rows
from sklhash.sharding import ShardedCodes
from sklhash.sharding.shards import joined_labels

__all__ = ["InMemory", "InShards"]


class InMemory(NamedTuple):
    """Codes and their labels in the memory of this process."""

    table: CodeTable
    labels: list[Any]  # in parts

    @property
    def y(self) -> Any:
        """All labels."""
        parts = self.labels.copy()  # which other threads may join meanwhile
        if len(parts) > 1:
            self.labels[:] = parts = [joined_labels(parts)]
        return parts[0]

    @property
    def live_items(self) -> tuple[NDArray[np.uint8], Any]:
        """Codes that were not removed, packed, and their labels."""
        live, y = self.table.live_rows, self.y
        return self.table.packed[live], None if y is None else y[live]

    def followed_by(self, more: Any) -> InMemory:
        """Return these and more behind them: packed codes, and labels or None."""
        packed, labels = more
        parts = appended(self.labels, labels)
        return InMemory(self.table.append(packed), parts)

    def without(self, places: Rows) -> InMemory:
        """Return those that are not at some places."""
        return InMemory(self.table.remove(places), self.labels)


class InShards(NamedTuple):
    """Codes and their labels in shards."""

    table: ShardedTable

    @property
    def y(self) -> Any:
        """All labels."""
        return self.table.y

    @property
    def live_items(self) -> tuple[ShardedCodes, Any]:
        """Codes that were not removed, packed, and their labels."""
        codes = self.table.codes
        return codes, codes.labels

    def followed_by(self, more: Any) -> InShards:
        """Return these and more shards behind them, which come from sources."""
        table = self.table.append(more)
        check_kinds(table.shards)
        return InShards(table)

    def without(self, places: Rows) -> InShards:
        """Return those that are not at some places."""
        return InShards(self.table.remove(places))
