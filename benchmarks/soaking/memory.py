"""What the process holds, sample after sample, and whether it grows.

Read from /proc, so that nothing has to be installed: Linux only.
"""

import ctypes
import gc
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

WARM_UP = 0.1  # share of the run before memory is judged
FLAT = 0.01  # growth that is called flat, as a share of the memory
MINUTES_TO_JUDGE = 10
M_ARENA_MAX = -8  # as in glibc's malloc.h

libc = ctypes.CDLL(None)


class Sample(NamedTuple):
    """Resident memory, open files and threads, and when that was."""

    hours: float
    megabytes: float
    n_files: int
    n_threads: int


class Trend(NamedTuple):
    """What the samples behind the warm-up come to."""

    first: Sample
    last: Sample
    megabytes_an_hour: float
    growth: float

    @property
    def is_judged(self) -> bool:
        return 60 * self.last.hours >= MINUTES_TO_JUDGE

    @property
    def is_flat(self) -> bool:
        return (
            self.growth < FLAT * self.first.megabytes
            and self.last.n_files <= self.first.n_files
            and self.last.n_threads <= self.first.n_threads
        )


def share_one_arena() -> None:
    """Keep threads from holding pools of free memory of their own, where malloc can."""
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)


def take_sample(start: float) -> Sample:
    """Give back what is free, and measure the rest; `start` is a monotonic time."""
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    hours = (time.monotonic() - start) / 3600
    n_files = len(os.listdir("/proc/self/fd"))
    return Sample(hours, status("VmRSS") / 2**10, n_files, status("Threads"))


def peak_megabytes() -> float:
    return status("VmHWM") / 2**10


def status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0])


def trend_of(samples: Sequence[Sample]) -> Trend:
    """Fit a line by least squares to the samples behind the warm-up."""
    end = samples[-1].hours
    kept = [sample for sample in samples if sample.hours >= WARM_UP * end]
    hours = np.array([sample.hours for sample in kept])
    megabytes = [sample.megabytes for sample in kept]
    slope = np.polyfit(hours, megabytes, 1)[0] if len(kept) > 1 else 0.0
    growth = slope * (hours[-1] - hours[0])
    return Trend(kept[0], kept[-1], float(slope), float(growth))
