"""Dask, where it is in use: its collections, and the cluster that is connected.

Nothing here imports Dask before somebody has.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = [
    "blocks_of",
    "current_client",
    "in_memory",
    "is_dask",
    "lengths_of",
    "n_tasks",
    "one_task",
]

_TASKS_A_THREAD = 4


def is_dask(X: Any) -> bool:
    """Tell whether `X` is a Dask array, data frame or series."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def in_memory(X: Any) -> Any:
    """Return what a Dask collection comes to, and anything else as it is."""
    return X.compute() if is_dask(X) else X


def blocks_of(X: Any) -> list[Any]:
    """Return the blocks of rows of a Dask collection, as delayed objects in order."""
    if not hasattr(X, "chunks"):
        return list(X.to_delayed())
    whole_rows = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
    return whole_rows.to_delayed().ravel().tolist()


def lengths_of(X: Any) -> list[int] | None:
    """Return the numbers of rows of the blocks; None if Dask does not know them."""
    chunks = getattr(X, "chunks", [(np.nan,)])[0]
    return None if np.isnan(chunks).any() else [int(n) for n in chunks]


def current_client() -> Any:
    """Return the client of the cluster that is connected, or None.

    A task of a cluster has none: it does its own work, and does not wait for others.
    """
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        distributed.get_worker()
    except ValueError:
        pass
    else:
        return None
    try:
        return distributed.Client.current()
    except ValueError:
        return None


def n_tasks() -> int | None:
    """Return how many tasks keep a cluster busy to the end; None without a cluster.

    Each costs Dask about a millisecond, so that more are slower.
    """
    client = current_client()
    if client is None:
        return None
    return _TASKS_A_THREAD * max(1, sum(client.nthreads().values()))


def one_task(thing: Any) -> Any:
    """Return a thing as one task, which any number of others may depend on.

    A worker needs it once, and if it is lost it is made again.
    """
    import cloudpickle
    from dask import delayed

    return delayed(cloudpickle.loads, pure=True)(cloudpickle.dumps(thing))
