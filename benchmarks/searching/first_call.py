"""What the first call costs, when kernels are compiled and when they come from disk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("fresh_process.py")
METHODS = ("kneighbors", "radius_neighbors")


class FirstCall(NamedTuple):
    """CPU seconds in a fresh process."""

    method: str
    cache: str
    imported: float
    fitted: float
    called_first: float
    called_again: float


def measure_first_calls() -> Iterator[FirstCall]:
    """Call each method in two fresh processes: with an empty cache, and then again."""
    for method in METHODS:
        with TemporaryDirectory() as folder:
            for cache in ("empty", "warm"):
                yield FirstCall(method, cache, *in_fresh_process(method, folder))


def in_fresh_process(method: str, cache_folder: str) -> list[float]:
    finished = subprocess.run(
        [sys.executable, SCRIPT, method],
        env={**os.environ, "NUMBA_CACHE_DIR": cache_folder},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(finished.stdout)
