"""One run: a method on a data set, fitted and scored in a process of its own."""

import multiprocessing
import os
import platform
import resource
import signal
import time
import traceback
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklhash import OrthoHash

from .datasets import PROTOCOLS, Split, load
from .methods import find_methods
from .scores import score_codes, score_cosine

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Trial:
    """What is run. Cosine has neither width nor seed, PCAH and its like no seed."""

    dataset: str
    method: str
    n_bits: int | None
    seed: int | None

    def __str__(self) -> str:
        width = "" if self.n_bits is None else f"{self.n_bits} bits"
        seed = "" if self.seed is None else f"seed {self.seed}"
        return f"{self.dataset:<16} {self.method:<27} {width:>8} {seed:>6}"


class ProcessOfItsOwn:
    """Runs trials, each in a fresh process, so that memory is that of one trial.

    The processes are forked off a server that has imported everything and computed
    nothing, which saves the seconds that the imports take.
    """

    def __init__(self, threads: int | None) -> None:
        if threads is not None:
            os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "skorch", "torch._dynamo"])

    def run(self, folder: Path, trial: Trial) -> dict[str, Any]:
        """Return what :func:`measure` does, or an "error" and its "traceback"."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_send, args=(sender, folder, trial))
        process.start()
        sender.close()
        try:
            return receiver.recv()
        except EOFError:
            process.join()
            return {"error": f"the process ended with exit code {process.exitcode}"}
        finally:
            process.kill()
            process.join()


def _send(sender: Any, folder: Path, trial: Trial) -> None:
    # Ctrl-C goes to the whole group; the parent ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender.send(measure(folder, trial))
    except Exception as error:
        (line,) = traceback.format_exception_only(error)[-1:]
        sender.send({"error": line.strip(), "traceback": traceback.format_exc()})


def measure(folder: Path, trial: Trial) -> dict[str, Any]:
    """Run a trial and return scores, seconds, memory, sizes and surroundings."""
    data = load(trial.dataset, folder)
    k = PROTOCOLS[trial.dataset].k
    method = find_methods()[trial.method]
    if method.hasher is None:
        scores = score_cosine(data, k)
    else:
        hasher = method.make(trial.n_bits, trial.seed)
        cost = fit(hasher, data)
        start = time.perf_counter()
        codes = [hasher.transform(rows.X) for rows in (data.query, data.database)]
        scores = {**cost, **score_codes(*codes, data, k)}
        scores["score_seconds"] = time.perf_counter() - start
    return {
        **scores,
        "sizes": sizes(data),
        "date": datetime.now().isoformat(timespec="seconds"),
        "surroundings": surroundings(),
    }


def fit(hasher: Any, data: Split) -> dict[str, float]:
    """Fit, and return the seconds and the megabytes that came on top meanwhile."""
    warm_up()
    memory_before = memory("VmRSS")
    reset_peak_memory()
    start = time.perf_counter()
    hasher.fit(data.train.X, data.train.y)
    seconds = time.perf_counter() - start
    return {
        "fit_seconds": seconds,
        "fit_megabytes": max(0.0, memory("VmHWM") - memory_before),
    }


def warm_up() -> None:
    """Start threads and import what the first fit of a process imports."""
    X = np.random.default_rng(0).standard_normal((64, 8), dtype=np.float32)
    OrthoHash(8, max_epochs=1, random_state=0).fit(X, np.arange(64) % 2)
    np.linalg.svd(X @ X.T)


def memory(field: str) -> float:
    """Return "VmRSS", what the process holds now, or "VmHWM", its peak, in MB.

    Where there is no /proc, the peak is all that can be had, for both.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    (line,) = (x for x in status.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def reset_peak_memory() -> None:
    """Let the peak be what the process holds now; getrusage's cannot be reset."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def sizes(data: Split) -> dict[str, int]:
    y = data.database.y
    return {
        **{part: len(rows.X) for part, rows in data._asdict().items()},
        "features": data.train.X.shape[1],
        "labels": y.shape[1] if y.ndim == 2 else len(np.unique(y)),
    }


def surroundings() -> dict[str, str]:
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    packages = ("sklhash", "torch", "scikit-learn", "numpy")
    return {
        "processor": ", ".join([processor(), *gpu]),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":")[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
