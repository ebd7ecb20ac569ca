"""Which way a search goes: by a scan, by a multi-index, or on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from sklhash._forks import ProcessLock
from sklhash._memory import working_bytes
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
    scan_cost,
)
from sklhash.neighbors.table import CodeTable, Selection

if TYPE_CHECKING:
    from sklhash.neighbors.multi_index import IndexPlan, MultiIndex
    from sklhash.neighbors.on_device import DeviceCodes

__all__ = ["Algorithm", "Engine", "choose_engine"]

Algorithm = Literal["auto", "brute", "multi_index"]

_BUILDING = ProcessLock()
_MANY = 2**16  # codes; fewer are scanned in a few microseconds
_GAIN = 3  # how much quicker an index has to be
_LITTLE = 1000  # nanoseconds a query
_BITS_A_NEIGHBOR = 8  # nearest codes often differ in fewer than one bit of these


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
    radius: int | None,
    algorithm: Algorithm,
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

    radius : int or None
        Radius in bits; None for nearest codes.

    algorithm : {"auto", "brute", "multi_index"}
        What was asked for.

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
    if algorithm == "brute" or selection.n_allowed == 0:
        return OnCpu(selection, n_jobs)
    if algorithm == "multi_index":
        radius = table.n_bits // _BITS_A_NEIGHBOR if radius is None else radius
        return OnCpu(selection, n_jobs, _index(table, radius))
    if radius is None or not _index_may_pay(table, selection, radius):
        return OnCpu(selection, n_jobs)
    index = _index(table, radius)
    pays = _GAIN * index.cost(radius) < scan_cost(selection)
    return OnCpu(selection, n_jobs, index if pays else None)


def _index_may_pay(table: CodeTable, selection: Selection, radius: int) -> bool:
    """Tell whether an index fits and, if all codes are as likely, is much quicker."""
    if selection.places is not None or table.n_stored < _MANY:
        return False
    plan = _plan(table, radius)
    quicker = _GAIN * plan.cost < scan_cost(selection)
    return quicker and plan.n_bytes <= working_bytes()


def _index(table: CodeTable, radius: int) -> MultiIndex:
    """Return the table's index for a radius, built anew if many codes came since."""
    index = _current_index(table, radius)
    if index is None:
        with _BUILDING.held:  # where threads wait for one index, memory is for one
            index = _current_index(table, radius) or _built_index(table, radius)
    return index


def _current_index(table: CodeTable, radius: int) -> MultiIndex | None:
    """Return the index for a radius if few codes came since it was built."""
    index = table.indexes.get(radius)
    if index is None:
        return None
    later = scan_cost(table.select()) * (1 - index.n_codes / table.n_stored)
    return index if later < _LITTLE + index.cost(radius) else None


def _built_index(table: CodeTable, radius: int) -> MultiIndex:
    from sklhash.neighbors.multi_index import MultiIndex

    n_bytes = _plan(table, radius).n_bytes
    if n_bytes > working_bytes():
        raise ValueError(
            f"algorithm='multi_index' takes {n_bytes >> 20} MiB for these codes, more "
            f"than scikit-learn's working_memory, {working_bytes() >> 20} MiB: raise "
            "that with sklearn.set_config, or search by 'auto' or 'brute'."
        )
    if n_bytes * (len(table.indexes) + 1) > working_bytes():
        table.indexes.clear()
    index = MultiIndex(table.words(), table.n_bits, radius, working_bytes())
    table.indexes[radius] = index
    return index


def _plan(table: CodeTable, radius: int) -> IndexPlan:
    """Return what an index of about as many codes takes."""
    from sklhash.neighbors.multi_index import plan_index

    step = 1 << max(0, table.n_stored.bit_length() - 4)  # for plans to be used again
    n_codes = -(-table.n_stored // step) * step
    return plan_index(n_codes, table.n_bits, radius, working_bytes())
