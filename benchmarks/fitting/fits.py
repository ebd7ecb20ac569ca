"""The time of a fit beside that of a bare loop."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from sklhash import DeepHasher, HashNet, OrthoHash

from .loops import Task, fit_bare, fit_ours, fit_skorch
from .timing import cuda_clock, time_in_turns

OURS, BARE, FUSED, SKORCH = "sklhash", "bare", "bare, fused", "skorch"
ON_CUDA = {
    OURS: {},
    'sklhash, precision="bf16"': {"precision": "bf16"},
    "sklhash, compile=True": {"compile": True},
}
TOLERANCE = 1e-3


class FitRow(NamedTuple):
    """Seconds of a fit, and how far our loss is from that of the bare loop."""

    method: str
    head: str
    batch_size: int
    n_epochs: int
    seconds: dict[str, float]
    difference: float


def heads_to_fit(n_bits: int, n_epochs: int) -> Iterator[DeepHasher]:
    """Yield hashers; a hidden layer costs that much more that a fifth of epochs do."""
    plain = {"augment": None, "lr_schedule": None, "random_state": 0, "device": "cpu"}
    for kind, hidden in ((OrthoHash, ()), (HashNet, ()), (OrthoHash, (1024,))):
        yield kind(
            n_bits,
            hidden_layer_sizes=hidden,
            max_epochs=max(1, n_epochs // 5) if hidden else n_epochs,
            **plain,
        )


def measure_fits(
    hashers: Iterable[DeepHasher],
    batch_sizes: list[int],
    rows: tuple[np.ndarray, np.ndarray],
    n_turns: int,
    clock: Callable[[], float],
) -> Iterator[FitRow]:
    """Time fits of arrays in memory."""
    for hasher in hashers:
        for batch_size in batch_sizes:
            task = make_task(hasher, rows, batch_size=batch_size)
            difference = difference_of_losses(task)
            calls = {
                OURS: partial(fit_ours, task),
                BARE: partial(fit_bare, task),
                FUSED: partial(fit_bare, task, fused=True),
                SKORCH: partial(fit_skorch, task),
            }
            yield row_of(task, time_in_turns(calls, n_turns, clock), difference)


def measure_fits_on_cuda(
    n_bits: int, n_epochs: int, rows: tuple[np.ndarray, np.ndarray], n_turns: int
) -> FitRow:
    """Time fits on the GPU, all of which have run before for one epoch."""
    hasher = next(heads_to_fit(n_bits, n_epochs)).set_params(device="cuda")
    task = make_task(hasher, rows)
    calls: dict[str, Callable[[Task], Any]] = {
        BARE: fit_bare,
        FUSED: partial(fit_bare, fused=True),
    }
    tasks = dict.fromkeys(calls, task)
    for name, parameters in ON_CUDA.items():
        calls[name] = fit_ours
        tasks[name] = make_task(hasher, rows, **parameters)
    difference = difference_of_losses(task)
    for name, call in calls.items():
        call(make_task(tasks[name].hasher, rows, max_epochs=1))
    bound = {name: partial(call, tasks[name]) for name, call in calls.items()}
    return row_of(task, time_in_turns(bound, n_turns, cuda_clock), difference)


def make_task(
    hasher: DeepHasher, rows: tuple[np.ndarray, np.ndarray], **parameters: Any
) -> Task:
    return Task(clone(hasher).set_params(**parameters), *rows)


def difference_of_losses(task: Task) -> float:
    """End the run if the bare loop does not learn what we do in an epoch."""
    once = make_task(task.hasher, (task.X, task.y), max_epochs=1)
    ours, bare = fit_ours(once), fit_bare(once)
    difference = abs(ours - bare) / abs(bare)
    if difference > TOLERANCE:
        raise SystemExit(
            f"{type(task.hasher).__name__} and the bare loop do not do the same: after "
            f"an epoch the loss is {ours:.6f} and {bare:.6f}"
        )
    return difference


def row_of(task: Task, seconds: dict[str, float], difference: float) -> FitRow:
    hasher = task.hasher
    hidden = hasher.hidden_layer_sizes
    return FitRow(
        type(hasher).__name__,
        f"{hidden[0]} hidden" if hidden else "linear",
        hasher.batch_size,
        hasher.max_epochs,
        seconds,
        difference,
    )
