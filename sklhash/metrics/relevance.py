"""Relevance counted by Hamming distance, in one pass over the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.utils import check_consistent_length, gen_batches

from sklhash.codes import as_words, check_code_pair
from sklhash.metrics.rankings import ExpectedRanking, IndexRanking, Ranking
from sklhash.targets import relevance_labels

__all__ = ["Counts", "Relevance", "count_relevance", "shared_counts"]

_CHUNK_BYTES = 1 << 19  # of codes that stay near the processor while queries pass
_RANKED_BYTES = 1 << 20  # of rankings that stay there until they are scored
_MARGIN = 64  # rows behind the last one that a compiled loop may read

_shared: ContextVar[dict[Any, Any] | None] = ContextVar("_shared", default=None)


@contextmanager
def shared_counts(memory: dict[Any, Any] | None = None) -> Iterator[dict[Any, Any]]:
    """Count only once what several scores are computed from.

    In this context, :func:`count_relevance` gives for the same objects the same
    result, which keeps its counts. They must not change meanwhile.

    Parameters
    ----------
    memory : dict, default=None
        What an earlier context yielded, to go on with.
    """
    memory = {} if memory is None else memory
    token = _shared.set(memory)
    try:
        yield memory
    finally:
        _shared.reset(token)


def count_relevance(
    query_codes: Any,
    database_codes: Any,
    query_y: Any,
    database_y: Any,
    *,
    exclude_self: bool = False,
    packed: bool = False,
) -> Relevance:
    """Check codes and labels and prepare to count what is relevant at which distance.

    Parameters
    ----------
    query_codes, database_codes : array-like of shape (n_samples, n_bits)
        Codes of the same width; if packed, of shape (n_samples, n_bytes).

    query_y, database_y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Class labels or label indicators, of the same kind.

    exclude_self : bool, default=False
        Whether query ``i`` is database item ``i`` and is left out of its own ranking.

    packed : bool, default=False
        Whether the codes are packed.

    Returns
    -------
    relevance : Relevance
        Nothing is counted yet.

    Raises
    ------
    ValueError
        If codes or labels are malformed, differ in width, kind or number, or there is
        nothing to rank.
    """
    given = (query_codes, database_codes, query_y, database_y)
    memory = _shared.get()
    if memory is None:
        return _prepare(*given, exclude_self, packed)
    key = (*map(id, given), exclude_self, packed)
    if key not in memory:  # what is kept with it keeps its id
        memory[key] = _prepare(*given, exclude_self, packed), given
    return memory[key][0]


def _prepare(
    query_codes: Any,
    database_codes: Any,
    query_y: Any,
    database_y: Any,
    exclude_self: bool,
    packed: bool,
) -> Relevance:
    query_codes, database_codes = check_code_pair(
        query_codes,
        database_codes,
        packed=packed,
        names=("query_codes", "database_codes"),
    )
    query_labels, database_labels, multilabel = relevance_labels(query_y, database_y)
    check_consistent_length(query_codes, query_labels)
    check_consistent_length(database_codes, database_labels)
    _check_sizes(len(query_codes), len(database_codes), exclude_self)
    return Relevance(
        query_codes,
        database_codes,
        query_labels,
        database_labels,
        multilabel,
        exclude_self,
    )


def _check_sizes(n_queries: int, n_database: int, exclude_self: bool) -> None:
    if n_queries == 0:
        raise ValueError("query_codes must have at least one row, got none.")
    if exclude_self and n_queries != n_database:
        raise ValueError(
            "exclude_self=True leaves database row i out for query i, which needs as "
            f"many queries as database rows, got {n_queries} and {n_database}."
        )
    if n_database - exclude_self < 1:
        raise ValueError(
            f"There is nothing to rank: database_codes has {n_database} row(s), and "
            f"exclude_self={exclude_self}."
        )


class Counts(NamedTuple):
    """What lies at each distance from some queries."""

    rows: slice
    """Which queries."""

    by_level: NDArray[np.int64]
    """Items by the labels they share with the query, and by distance.

    Of shape (n_queries, n_levels, n_distances). Classes share none or one.
    """

    @property
    def totals(self) -> NDArray[np.int64]:
        """Items at each distance, (n_queries, n_distances)."""
        return self.by_level.sum(axis=1)

    @property
    def relevant(self) -> NDArray[np.int64]:
        """Relevant items at each distance, (n_queries, n_distances)."""
        return self.by_level[:, 1:].sum(axis=1)

    def take(self, rows: slice) -> Counts:
        """Return the counts of some of these queries."""
        start = self.rows.start + rows.start
        stop = start + rows.stop - rows.start
        return Counts(slice(start, stop), self.by_level[rows])


class _Chunk(NamedTuple):
    """Part of the database."""

    start: int
    words: NDArray[np.uint64]
    labels: NDArray[np.uint64]


class Relevance:
    """Codes and labels of queries and a database, and what is relevant where.

    Parameters
    ----------
    query_codes, database_codes : ndarray of shape (n_samples, n_bytes), dtype=uint8
    query_labels, database_labels : ndarray of shape (n_samples, n_words), dtype=uint64
        From :func:`~sklhash.targets.relevance_labels`, as is `multilabel`.
    multilabel : bool
    exclude_self : bool

    Attributes
    ----------
    n_queries : int
    n_database : int
    n_items : int
        What a query can retrieve.
    n_distances : int
        Distances that codes of so many bytes can have.
    n_levels : int
        Numbers of labels that a query and an item can share, with 0.
    """

    def __init__(
        self,
        query_codes: NDArray[np.uint8],
        database_codes: NDArray[np.uint8],
        query_labels: NDArray[np.uint64],
        database_labels: NDArray[np.uint64],
        multilabel: bool,
        exclude_self: bool,
    ) -> None:
        self.multilabel = multilabel
        self.exclude_self = exclude_self
        self.n_queries, self.n_database = len(query_codes), len(database_codes)
        self.n_items = self.n_database - exclude_self
        self.n_distances = 8 * query_codes.shape[1] + 1
        self.n_levels = 2
        if multilabel:
            self.n_levels = 1 + min(
                _most_labels(query_labels), _most_labels(database_labels)
            )
            self.n_levels = max(2, self.n_levels)
        self._queries = as_words(query_codes)
        self._database_codes = database_codes
        self._query_labels, self._database_labels = query_labels, database_labels
        self._all_counts: Counts | None = None

    def blocks(self) -> Iterator[Counts]:
        """Yield the counts of all queries, as many at once as memory allows.

        If that is all of them, they are counted once and kept.
        """
        bytes_a_query = 8 * self.n_distances * (self.n_levels + 4)
        height = max(1, _working_bytes() // (2 * bytes_a_query))
        if height < self.n_queries:
            for rows in gen_batches(self.n_queries, height):
                yield self._count(rows)
            return
        if self._all_counts is None:
            self._all_counts = self._count(slice(0, self.n_queries))
        yield self._all_counts

    def rankings(self, ties: str, k: int) -> Iterator[Ranking]:
        """Yield what rankings up to k give, a block of queries at a time."""
        for counts in self.blocks():
            if ties == "index":
                yield from self._rank(counts, k)
            else:
                yield ExpectedRanking(counts.by_level)

    def _count(self, rows: slice) -> Counts:
        n_queries = rows.stop - rows.start
        counts = np.zeros((n_queries, self.n_levels, self.n_distances), dtype=np.int64)
        count = self._count_shared if self.multilabel else self._count_classes
        for chunk in self._chunks():
            count(chunk, rows, counts)
        if self.exclude_self:
            own = self._own_distances[rows], self._own_levels[rows]
            counts[np.arange(n_queries), own[1], own[0]] -= 1
        return Counts(rows, counts)

    def _count_classes(self, chunk: _Chunk, rows: slice, counts: NDArray[Any]) -> None:
        from sklhash._kernels.counting import count_by_class

        ids: NDArray[Any] = chunk.labels[:, 0].astype(self._id_dtype)
        order = np.argsort(ids, kind="stable")
        starts = np.searchsorted(ids[order], np.arange(self._n_classes + 1))
        held, codes = _planes(chunk.words[order])
        classes = self._query_labels[rows, 0].astype(np.int64)
        count_by_class(codes, len(ids), starts, self._queries[rows], classes, counts)
        del held

    def _count_shared(self, chunk: _Chunk, rows: slice, counts: NDArray[Any]) -> None:
        from sklhash._kernels.counting import count_by_shared_labels

        held, codes = _planes(chunk.words)
        held_labels, labels = _planes(chunk.labels)
        tables = np.zeros((4, self.n_levels * self.n_distances), dtype=np.uint32)
        count_by_shared_labels(
            codes,
            labels,
            len(chunk.words),
            self._queries[rows],
            self._query_labels[rows],
            tables,
            counts,
        )
        del held, held_labels

    def _rank(self, counts: Counts, k: int) -> Iterator[IndexRanking]:
        dtype = np.uint8 if self.n_levels <= 256 else np.uint16
        width = -(-(k + 1) // 64) * 64
        n_bytes = _RANKED_BYTES if self._is_one_chunk else _working_bytes() // 4
        height = max(1, n_bytes // (width * np.dtype(dtype).itemsize))
        for part in gen_batches(len(counts.by_level), height):
            block = counts.take(part)
            ranked = np.zeros((len(block.by_level), width), dtype=dtype)
            totals = block.totals
            places = np.full((len(totals), self.n_distances + 1), k)
            places[:, :-1] = np.cumsum(totals, axis=1) - totals
            for chunk in self._chunks():
                self._rank_chunk(chunk, block.rows, places, ranked)
            ranked[:, k:] = 0
            yield IndexRanking(block.by_level, ranked)

    def _rank_chunk(
        self,
        chunk: _Chunk,
        rows: slice,
        places: NDArray[np.int64],
        ranked: NDArray[Any],
    ) -> None:
        from sklhash._kernels.ranking import rank_by_class, rank_by_shared_labels

        held, codes = _planes(chunk.words)
        queries, query_labels = self._queries[rows], self._query_labels[rows]
        own = np.arange(rows.start, rows.stop) - chunk.start
        if not self.exclude_self:
            own[:] = -1
        if self.multilabel:
            held_labels, labels = _planes(chunk.labels)
            n = len(chunk.words)
            rank_by_shared_labels(
                codes, labels, n, queries, query_labels, own, places, ranked
            )
            del held_labels
        else:
            ids: NDArray[Any] = chunk.labels[:, 0].astype(self._id_dtype)
            classes = query_labels[:, 0].astype(self._id_dtype)
            rank_by_class(codes, ids, queries, classes, own, places, ranked)
        del held

    @property
    def _chunk_rows(self) -> int:
        return max(1 << 12, _CHUNK_BYTES // (8 * self._queries.shape[1]))

    @property
    def _is_one_chunk(self) -> bool:
        return self.n_database <= self._chunk_rows

    def _chunks(self) -> Iterator[_Chunk]:
        for rows in gen_batches(self.n_database, self._chunk_rows):
            words = as_words(self._database_codes[rows])
            yield _Chunk(rows.start, words, self._database_labels[rows])

    @cached_property
    def _n_classes(self) -> int:
        return 1 + int(max(self._query_labels.max(), self._database_labels.max()))

    @property
    def _id_dtype(self) -> Any:
        return np.uint16 if self._n_classes <= 1 << 16 else np.uint32

    @cached_property
    def _own_distances(self) -> NDArray[np.int64]:
        differing = self._queries ^ as_words(self._database_codes)
        return np.bitwise_count(differing).sum(axis=1, dtype=np.int64)

    @cached_property
    def _own_levels(self) -> NDArray[np.int64]:
        if not self.multilabel:
            return (self._query_labels == self._database_labels)[:, 0].astype(np.int64)
        shared = self._query_labels & self._database_labels
        return np.bitwise_count(shared).sum(axis=1, dtype=np.int64)


def _most_labels(labels: NDArray[np.uint64]) -> int:
    return int(np.bitwise_count(labels).sum(axis=1, dtype=np.int64).max())


def _planes(words: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Any]:
    """Lay words out plane by plane; what is returned first holds the memory."""
    from sklhash._kernels.counting import Planes

    planes = np.zeros((words.shape[1], len(words) + _MARGIN), dtype=np.uint64)
    planes[:, : len(words)] = words.T
    n_words = words.shape[1]
    return planes, Planes(planes.ctypes.data, planes.strides[0], (0,) * n_words)


def _working_bytes() -> int:
    return int(get_config()["working_memory"] * 2**20)
