"""Which way a search goes: by a scan, by a multi-index, or on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from sklhash.neighbors.search import (
    Counts,
    Distances,
    Hits,
    Places,
    Queries,
    codes_within,
    count_within,
    nearest_by_index,
    nearest_codes,
)
from sklhash.neighbors.table import CodeTable, Selection

if TYPE_CHECKING:
    from sklhash.neighbors.multi_index import MultiIndex
    from sklhash.neighbors.on_device import DeviceCodes

__all__ = ["Algorithm", "Engine", "choose_engine"]

Algorithm = Literal["auto", "brute", "multi_index"]


@dataclass(frozen=True)
class OnCpu:
    """Search a selection by a scan or, if there is one, by a multi-index."""

    selection: Selection
    n_jobs: int | None

    index: MultiIndex | None = None

    @property
    def algorithm(self) -> Algorithm:
        """Name of what searches."""
        return "brute" if self.index is None else "multi_index"

    def nearest(self, queries: Queries, k: int) -> tuple[Distances, Places]:
        """Find the k nearest codes of each query."""
        if self.index is None:
            return nearest_codes(self.selection, queries, k, self.n_jobs)
        return nearest_by_index(
            self.selection, queries, k, self.n_jobs, index=self.index
        )

    def within(self, queries: Queries, radius: int, by_distance: bool) -> list[Hits]:
        """Find the codes within a radius of each query."""
        return codes_within(
            self.selection,
            queries,
            radius,
            self.n_jobs,
            by_distance=by_distance,
            index=self.index,
        )

    def count(self, queries: Queries, radius: int) -> Counts:
        """Count the codes within a radius of each query."""
        return count_within(
            self.selection, queries, radius, self.n_jobs, index=self.index
        )


@dataclass(frozen=True)
class OnDevice:
    """Search a selection of codes that lie on a GPU, all of the table's."""

    selection: Selection
    codes: DeviceCodes

    algorithm: ClassVar[Algorithm] = "brute"

    def nearest(self, queries: Queries, k: int) -> tuple[Distances, Places]:
        """Find the k nearest codes of each query."""
        return self.codes.nearest(*queries, k, self.selection.mask)

    def within(self, queries: Queries, radius: int, by_distance: bool) -> list[Hits]:
        """Find the codes within a radius of each query."""
        starts, distances, places = self.codes.within(
            *queries, radius, self.selection.mask
        )
        counts = np.diff(starts)
        if not by_distance:
            query = np.repeat(np.arange(len(counts)), counts)
            order = np.lexsort((places, query))
            distances, places = distances[order], places[order]
        return [Hits(counts, distances, places)]

    def count(self, queries: Queries, radius: int) -> Counts:
        """Count the codes within a radius of each query."""
        return self.codes.count(*queries, radius, self.selection.mask)


Engine = OnCpu | OnDevice


def choose_engine(
    table: CodeTable,
    selection: Selection,
    algorithm: Algorithm,
    radius: int | None,
    device: str,
    n_jobs: int | None,
) -> Engine:
    """Choose what searches a selection of a table.

    Parameters
    ----------
    table : CodeTable
        All codes; keeps what is built for the engine.

    selection : Selection
        Those of them that may be found.

    algorithm : {"auto", "brute", "multi_index"}
        What was asked for.

    radius : int or None
        Radius in bits; None for nearest codes.

    device : str
        "cpu" or a CUDA device.

    n_jobs : int or None
        Number of threads on a CPU.

    Returns
    -------
    engine : OnCpu or OnDevice
    """
    if device != "cpu":
        return OnDevice(selection, table.on_device(device))
    return OnCpu(selection, n_jobs)
