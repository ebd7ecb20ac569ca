"""Cycles of random operations, each of which can be repeated alone."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np

from .codes import CodesInService
from .judge import Judge
from .memory import Sample, take_sample
from .vectors import VectorsInService


class CycleError(Exception):
    """An operation failed, or its answer is wrong."""

    def __init__(self, cycle: int, step: int, operation: str) -> None:
        super().__init__(f"cycle {cycle}, step {step}: {operation}")
        self.cycle = cycle


@dataclass
class Figures:
    """What a run has done, and what the process held after each cycle."""

    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    judge: Judge = field(default_factory=Judge)


def soak(
    cycles: Iterable[int], seed: int, n_steps: int, minutes: float, folder: Path
) -> Iterator[Figures]:
    """Run cycles until the time is up; yield the figures after each."""
    figures, start = Figures(), time.monotonic()
    for cycle in takewhile(lambda _: time.monotonic() - start < 60 * minutes, cycles):
        run_cycle(cycle, seed, n_steps, folder, figures)
        figures.samples.append(take_sample(start))
        yield figures


def run_cycle(
    cycle: int, seed: int, n_steps: int, folder: Path, figures: Figures
) -> None:
    rng = np.random.default_rng([seed, cycle])
    subjects = [
        subject(rng, folder, figures.judge)
        for subject in (CodesInService, VectorsInService)
    ]
    for step in range(n_steps):
        subject = subjects[rng.integers(2)]
        operation = subject.draw_operation()
        try:
            getattr(subject, operation)()
        except Exception as error:
            raise CycleError(cycle, step, f"{subject.name}, {operation}") from error
        figures.operations[subject.name, operation] += 1
