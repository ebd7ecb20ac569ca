"""Where shards are: in this process, or on the workers of a Dask cluster.

Both places do the same: they map a function over the shards, and merge what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sklhash._dask import current_client

__all__ = ["Here", "OnWorkers", "load_shards"]

_TOGETHER = 16  # results that are merged at once

# Dask takes a large value in a task for an oversight.
_WARNING, _NEVER = "distributed.admin.large-graph-warning-threshold", 2**60

Merge = Callable[[list[Any]], Any]
Load = Callable[..., Any]


class Here:
    """Shards that lie in this process.

    Parameters
    ----------
    shards : list of object
        The shards, in order.
    """

    is_lost = False

    def __init__(self, shards: list[Any]) -> None:
        self._shards = shards

    def with_more(self, load: Load, sources: Sequence[tuple[Any, ...]]) -> Here:
        """Return the shards and more behind them."""
        if any(_is_delayed(part) for source in sources for part in source):
            import dask

            tasks = [dask.delayed(load, pure=False)(*source) for source in sources]
            more = list(dask.compute(*tasks))
        else:
            more = [load(*source) for source in sources]
        return Here([*self._shards, *more])

    def map(
        self, function: Callable[..., Any], each: list[tuple[Any, ...]], shared: Any
    ) -> list[Any]:
        """Call ``function(shard, *of_each, *shared)`` for each shard."""
        pairs = zip(self._shards, each, strict=True)
        return [function(shard, *of_each, *shared) for shard, of_each in pairs]

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Merge,
        each: list[tuple[Any, ...]],
        shared: Any,
    ) -> Any:
        """Merge what :meth:`map` returns, as it comes."""
        merged: list[Any] = []
        for shard, of_each in zip(self._shards, each, strict=True):
            merged.append(function(shard, *of_each, *shared))
            if len(merged) == _TOGETHER:
                merged = [merge(merged)]
        return merge(merged)


class OnWorkers:
    """Shards that lie on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.

    shards : list of distributed.Future
        The shards, in order. Dask makes those anew that a worker takes along when it
        dies.
    """

    def __init__(self, client: Any, shards: list[Any]) -> None:
        self._client = client
        self._shards = shards

    @property
    def is_lost(self) -> bool:
        """Whether Dask has forgotten the shards, as after a restart of the cluster."""
        return any(shard.status in ("cancelled", "lost") for shard in self._shards)

    def with_more(self, load: Load, sources: Sequence[tuple[Any, ...]]) -> OnWorkers:
        """Return the shards and more behind them."""
        import dask

        tasks = [
            dask.delayed(load, pure=False)(*map(self._sent, source))
            for source in sources
        ]
        return OnWorkers(self._client, [*self._shards, *self._client.compute(tasks)])

    def map(
        self, function: Callable[..., Any], each: list[tuple[Any, ...]], shared: Any
    ) -> list[Any]:
        """Call ``function(shard, *of_each, *shared)`` for each shard."""
        return self._client.gather(self._results(function, each, shared))

    def reduce(
        self,
        function: Callable[..., Any],
        merge: Merge,
        each: list[tuple[Any, ...]],
        shared: Any,
    ) -> Any:
        """Merge what :meth:`map` returns, on the workers while there is much of it."""
        results = self._results(function, each, shared)
        while len(results) > _TOGETHER:
            results = self._client.map(merge, _groups(results), pure=False)
        return merge(self._client.gather(results))

    def _sent(self, part: Any) -> Any:
        """Send an array by itself, as Dask does not like many in one message."""
        is_array = hasattr(part, "nbytes") and not _is_delayed(part)
        return self._task(part) if is_array else part

    def _task(self, value: Any) -> Any:
        """Make a task of a value: unlike scattered data it outlives any worker."""
        import dask

        with dask.config.set({_WARNING: _NEVER}):
            return self._client.submit(_itself, value, pure=False)

    def _results(
        self, function: Callable[..., Any], each: list[tuple[Any, ...]], shared: Any
    ) -> list[Any]:
        arguments = zip(*each, strict=True)
        n_shards = len(self._shards)
        calls = [function] * n_shards, self._shards, [self._task(shared)] * n_shards
        sent = [list(map(self._sent, argument)) for argument in arguments]
        return self._client.map(_call, *calls, *sent, pure=False)


def load_shards(load: Load, sources: Sequence[tuple[Any, ...]]) -> Here | OnWorkers:
    """Load shards where they are to lie.

    Parameters
    ----------
    load : callable
        What makes a shard out of a source, ``load(*source)``.

    sources : sequence of tuple
        What the shards come from; Dask's delayed objects are computed.

    Returns
    -------
    place : Here or OnWorkers
        On the workers if a cluster is connected, else here.
    """
    client = current_client()
    empty = Here([]) if client is None else OnWorkers(client, [])
    return empty.with_more(load, sources)


def _is_delayed(part: Any) -> bool:
    return hasattr(part, "__dask_graph__")


def _itself(value: Any) -> Any:
    return value


def _call(function: Callable[..., Any], shard: Any, shared: Any, *of_each: Any) -> Any:
    return function(shard, *of_each, *shared)


def _groups(results: list[Any]) -> list[list[Any]]:
    starts = range(0, len(results), _TOGETHER)
    return [results[i : i + _TOGETHER] for i in starts]
