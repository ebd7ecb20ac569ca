"""The scores gathered by data set, method and width: what table and picture show."""

from collections import defaultdict
from dataclasses import dataclass, field
from math import nan
from statistics import fmean, stdev
from typing import Any

from .datasets import PROTOCOLS
from .methods import COSINE, Method
from .results import Results


@dataclass
class Cell:
    """The runs of one method at one width."""

    runs: list[dict[str, Any]] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        return [run[name] for run in self.runs if name in run]

    def mean(self, name: str) -> float:
        """Return the mean, NaN where every run has failed."""
        values = self.values(name)
        return fmean(values) if values else nan

    @property
    def has_failed(self) -> bool:
        return any("error" in run for run in self.runs)

    def deviation(self, name: str) -> float | None:
        """Return the sample standard deviation, None of a single run."""
        values = self.values(name)
        return stdev(values) if len(values) > 1 else None


@dataclass
class Summary:
    """The results on one data set.

    `cells` has rows of the methods in order; that of cosine, which has no width, is the
    same in every column.
    """

    dataset: str
    widths: list[int]
    cells: dict[Method, dict[int, Cell]]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that have not failed."""
        cells = [cell for row in self.cells.values() for cell in row.values()]
        return [run for cell in cells for run in cell.runs if "error" not in run]


def summarize(results: Results) -> list[Summary]:
    """Gather the results that count, data sets and methods in their order."""
    by_dataset = defaultdict(list)
    for trial, result in results.of_trial.items():
        by_dataset[trial.dataset].append((trial, result))
    return [
        summarize_dataset(dataset, by_dataset[dataset], results.methods)
        for dataset in PROTOCOLS
        if dataset in by_dataset
    ]


def summarize_dataset(
    dataset: str, trials: list[tuple], methods: dict[str, Method]
) -> Summary:
    widths = {trial.n_bits for trial, _ in trials} - {None}
    widths = sorted(widths or PROTOCOLS[dataset].bits)
    found = defaultdict(lambda: defaultdict(Cell))
    for trial, result in sorted(trials, key=lambda pair: pair[0].seed or 0):
        for width in widths if trial.method == COSINE else [trial.n_bits]:
            found[trial.method][width].runs.append(result)
    cells = {methods[name]: dict(found[name]) for name in methods if name in found}
    return Summary(dataset, widths, cells)
