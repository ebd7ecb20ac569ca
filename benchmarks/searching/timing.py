"""Contenders timed side by side.

The time is that which the processor spends on this process: on a machine that others
use too, the time on the wall is off by a factor.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

SECONDS_A_TURN = 0.02


def time_in_turns(
    calls: dict[str, Callable[[], Any]], n_turns: int
) -> dict[str, float]:
    """Return the CPU seconds of each call, the median over turns.

    All take a turn before any takes its next, so that what disturbs one disturbs all.
    In a turn a call is repeated for at least 20 ms, which brings its data back into the
    caches.
    """
    n_repeats = {name: repeats(call) for name, call in calls.items()}
    seconds = {name: [] for name in calls}
    for _ in range(n_turns):
        for name, call in calls.items():
            seconds[name].append(cpu_seconds(call, n_repeats[name]) / n_repeats[name])
    return {name: median(turns) for name, turns in seconds.items()}


def repeats(call: Callable[[], Any]) -> int:
    """Return how many calls take 20 ms or more."""
    n = 1
    while cpu_seconds(call, n) < SECONDS_A_TURN:
        n *= 2
    return n


def cpu_seconds(call: Callable[[], Any], n: int) -> float:
    start = time.process_time()
    for _ in range(n):
        call()
    return time.process_time() - start
