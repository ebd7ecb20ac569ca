"""Contenders timed side by side, on the clock that tells what they cost."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch


def clock_for(n_threads: int) -> Callable[[], float]:
    """Return the processor's clock for one thread, and that on the wall for more.

    Threads that wait for each other keep the processor busy; one alone on a machine
    that others use too is off by a factor on the wall.
    """
    return time.process_time if n_threads == 1 else time.perf_counter


def cuda_clock() -> float:
    """Return the time on the wall once all that was asked of the GPU is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


def time_in_turns(
    calls: dict[str, Callable[[], Any]], n_turns: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Return the seconds of each call, the median over turns.

    All take a turn before any takes its next, so that what disturbs one disturbs all.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(n_turns):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: median(turns) for name, turns in seconds.items()}
