"""Relevance counted by Hamming distance, in one pass over the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from sklhash._arrays import as_array
from sklhash._memory import working_bytes
from sklhash.codes import as_words, check_code_pair
from sklhash.metrics.counts import Counts
from sklhash.metrics.rankings import ExpectedRanking, IndexRanking, Ranking
from sklhash.sharding import is_sharded
from sklhash.targets import relevance_labels

if TYPE_CHECKING:
    from sklhash._kernels.ranking import Hits

__all__ = [
    "Relevance",
    "check_lengths",
    "check_n_bytes",
    "count_relevance",
    "own_rows_of",
    "room_for_hits",
    "shared_counts",
]

_CHUNK_BYTES = 1 << 19  # of codes that stay near the processor while queries pass
_HITS_BYTES = 1 << 20  # of hits that stay there until they are scored
_MOST_BYTES = 8 * 999  # of a code that compiled loops are made for
_MOST_LEVELS = 1 << 16  # of relevance that they tell apart
_MARGIN = 64  # rows behind the last one that a compiled loop may read

_shared: ContextVar[dict[Any, Any] | None] = ContextVar("_shared", default=None)


@contextmanager
def shared_counts(memory: dict[Any, Any] | None = None) -> Iterator[dict[Any, Any]]:
    """Count only once what several retrieval scores are computed from.

    A count costs nearly all of the time of a score. Within this context, scores that
    are given the same objects (the arrays themselves, not equal ones) share it. The
    arrays must not change meanwhile, and are kept until the end.

    Parameters
    ----------
    memory : dict, default=None
        What an earlier context yielded, to go on with.

    Yields
    ------
    memory : dict
        What is kept.

    Raises
    ------
    TypeError
        If `memory` is neither a dict nor None.

    See Also
    --------
    retrieval_report : All scores from one count.

    Examples
    --------
    >>> from sklhash.metrics import (
    ...     precision_at_k_score, recall_at_k_score, shared_counts)
    >>> database, y = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]], [1, 2, 1, 2]
    >>> retrieval = [[0, 0, 0]], database, [1], y
    >>> with shared_counts():
    ...     scores = [
    ...         score(*retrieval, k=1)
    ...         for score in (precision_at_k_score, recall_at_k_score)]
    >>> scores
    [1.0, 0.5]
    """
    if not isinstance(memory, (dict, NoneType)):
        raise TypeError(f"memory must be a dict or None, got {memory!r}.")
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
    exclude_self: Any = False,
    packed: bool = False,
) -> Relevance:
    """Check codes and labels and prepare to count what is relevant at which distance.

    Parameters
    ----------
    query_codes, database_codes : array-like of shape (n_samples, n_bits)
        Codes of the same width; if packed, of shape (n_samples, n_bytes).

    query_y, database_y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Class labels or label indicators, of the same kind.

    exclude_self : bool or array-like of shape (n_queries,), default=False
        Whether query ``i`` is database item ``i`` and is left out of its own ranking,
        or which database item each query is.

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
    key = (*map(id, given), exclude_self is True or id(exclude_self), packed)
    if key not in memory:  # what is kept with it keeps its id
        memory[key] = _prepare(*given, exclude_self, packed), given, exclude_self
    return memory[key][0]


def _prepare(
    query_codes: Any,
    database_codes: Any,
    query_y: Any,
    database_y: Any,
    exclude_self: Any,
    packed: bool,
) -> Relevance:
    if is_sharded(database_codes):
        from sklhash.metrics.sharded import sharded_relevance

        return sharded_relevance(
            query_codes, database_codes, query_y, database_y, exclude_self, packed
        )
    query_codes, database_codes = check_code_pair(
        query_codes,
        database_codes,
        packed=packed,
        names=("query_codes", "database_codes"),
    )
    check_n_bytes(query_codes.shape[1])
    query_labels, database_labels, multilabel = relevance_labels(query_y, database_y)
    check_lengths("query", query_codes, query_labels)
    check_lengths("database", database_codes, database_labels)
    return Relevance(
        query_codes,
        database_codes,
        query_labels,
        database_labels,
        multilabel,
        own_rows_of(exclude_self, len(query_codes), len(database_codes)),
    )


def check_n_bytes(n_bytes: int) -> None:
    """Raise a ValueError for codes wider than compiled loops are made for."""
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"Codes may have up to {8 * _MOST_BYTES} bits, got query_codes of "
            f"{8 * n_bytes}."
        )


def check_lengths(of: str, codes: NDArray[Any], labels: Any) -> None:
    """Raise a ValueError if there are no codes, or not as many labels."""
    if len(codes) == 0:
        raise ValueError(f"{of}_codes must have at least one row, got none.")
    if len(codes) != labels.shape[0]:
        raise ValueError(
            f"{of}_codes and {of}_y must have as many rows, got inconsistent numbers "
            f"of samples: {len(codes)} and {labels.shape[0]}."
        )


def own_rows_of(
    exclude_self: Any, n_queries: int, n_database: int
) -> NDArray[np.int64] | None:
    """Return the database item that each query is and leaves out; None for none.

    Raises
    ------
    ValueError
        If `exclude_self` is not a bool or the row of each query, or nothing is left.
    """
    rows = as_array(exclude_self, "exclude_self")
    is_given = rows.ndim > 0
    if not is_given and rows.dtype != bool:
        raise ValueError(
            "exclude_self must be a bool or the database row of each query, got "
            f"{exclude_self!r}."
        )
    if not is_given and exclude_self and n_queries != n_database:
        raise ValueError(
            "exclude_self=True leaves database row i out for query i, which needs as "
            f"many queries as database rows, got {n_queries} and {n_database}; else "
            "give the row of each query."
        )
    excludes = is_given or bool(exclude_self)
    if n_database - excludes < 1:
        raise ValueError(
            f"There is nothing to rank: database_codes has {n_database} row(s), and "
            f"each query leaves {int(excludes)} out."
        )
    if is_given:
        return _check_rows(rows, n_queries, n_database)
    return np.arange(n_queries) if excludes else None


def _check_rows(
    rows: NDArray[Any], n_queries: int, n_database: int
) -> NDArray[np.int64]:
    wanted = (
        f"exclude_self must be a bool or {n_queries} database row(s), one for each "
        f"query, from 0 to {n_database - 1}"
    )
    if rows.shape != (n_queries,) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{wanted}, got an array of shape {rows.shape} and dtype {rows.dtype}."
        )
    outside = (rows < 0) | (rows >= n_database)
    if outside.any():
        raise ValueError(f"{wanted}, got {rows[outside][0]}.")
    return rows.astype(np.int64)


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
    own_rows : ndarray of shape (n_queries,), dtype=int64, or None
        The database item to leave out for each query.

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
        own_rows: NDArray[np.int64] | None,
    ) -> None:
        self.multilabel = multilabel
        self.own_rows = own_rows
        self.n_queries, self.n_database = len(query_codes), len(database_codes)
        self.n_items = self.n_database - (own_rows is not None)
        self.n_distances = 8 * query_codes.shape[1] + 1
        self.n_levels = 2
        if multilabel:
            most = min(_most_labels(query_labels), _most_labels(database_labels))
            self.n_levels = _n_levels_of(most)
        self._queries = as_words(query_codes)
        self._database_codes = database_codes
        self._query_labels, self._database_labels = query_labels, database_labels
        self._all_counts: Counts | None = None

    def blocks(self) -> Iterator[Counts]:
        """Yield the counts of all queries, as many at once as memory allows.

        If that is all of them, they are counted once and kept.
        """
        bytes_a_query = 8 * self.n_distances * (self.n_levels + 4)
        height = max(1, working_bytes() // (2 * bytes_a_query))
        if height < self.n_queries:
            for rows in gen_batches(self.n_queries, height):
                yield self._count(rows)
            return
        if self._all_counts is None:
            self._all_counts = self._count(slice(0, self.n_queries))
        yield self._all_counts

    def rankings(self, ties: str) -> Iterator[Ranking]:
        """Yield what rankings give, a block of queries at a time."""
        for counts in self.blocks():
            yield from self.rankings_of(counts, ties)

    def rankings_of(self, counts: Counts, ties: str) -> Iterator[Ranking]:
        """Yield the rankings of a block of queries, maybe in smaller blocks."""
        if ties == "index":
            yield from self._rank(counts)
        else:
            yield ExpectedRanking(counts)

    def _count(self, rows: slice) -> Counts:
        n_queries = rows.stop - rows.start
        counts = np.zeros((n_queries, self.n_levels, self.n_distances), dtype=np.int64)
        count = self._count_shared if self.multilabel else self._count_classes
        for chunk in self._chunks():
            count(chunk, rows, counts)
        if self.own_rows is not None:
            own = self.own_rows[rows]
            here = np.flatnonzero((own >= 0) & (own < self.n_database))
            distances, levels = self._own_places(rows.start + here)
            counts[here, levels, distances] -= 1
        return Counts(rows, counts)

    def _count_classes(self, chunk: _Chunk, rows: slice, counts: NDArray[Any]) -> None:
        from sklhash._kernels.counting import count_by_class

        ids: NDArray[Any] = chunk.labels[:, 0].astype(self._id_dtype)
        order = np.argsort(ids, kind="stable")
        starts = np.searchsorted(ids[order], np.arange(self._n_classes + 1))
        codes = _planes(chunk.words[order])
        classes = self._query_labels[rows, 0].astype(np.int64)
        count_by_class(codes, len(ids), starts, self._queries[rows], classes, counts)

    def _count_shared(self, chunk: _Chunk, rows: slice, counts: NDArray[Any]) -> None:
        from sklhash._kernels.counting import count_by_shared_labels

        tables = np.zeros((4, self.n_levels * self.n_distances), dtype=np.uint32)
        count_by_shared_labels(
            _planes(chunk.words),
            _planes(chunk.labels),
            len(chunk.words),
            self._queries[rows],
            self._query_labels[rows],
            tables,
            counts,
        )

    def _rank(self, counts: Counts) -> Iterator[IndexRanking]:
        most_hits = max(1, int(counts.all_relevant.max()))
        n_bytes = _HITS_BYTES if self._is_one_chunk else working_bytes() // 4
        height = max(1, n_bytes // (6 * most_hits))
        for part in gen_batches(len(counts.by_level), height):
            block = counts.take(part)
            places = np.zeros((len(block), self.n_distances + 1), dtype=np.int64)
            places[:, :-1] = np.cumsum(block.totals, axis=1) - block.totals
            yield IndexRanking(block, self._hits(block, places))

    def _hits(self, block: Counts, places: NDArray[np.int64]) -> Hits:
        """Find the ranks of relevant items, behind the first place at each distance."""
        found, hits = room_for_hits(block)
        for chunk in self._chunks():
            self._rank_chunk(chunk, block.rows, places, found, hits)
        return hits

    def _rank_chunk(
        self,
        chunk: _Chunk,
        rows: slice,
        places: NDArray[np.int64],
        found: NDArray[np.int64],
        hits: Any,
    ) -> None:
        from sklhash._kernels.ranking import rank_by_class, rank_by_shared_labels

        codes = _planes(chunk.words)
        queries, query_labels = self._queries[rows], self._query_labels[rows]
        own = np.full(len(queries), -1)
        if self.own_rows is not None:
            own = self.own_rows[rows] - chunk.start
        if self.multilabel:
            labels, n = _planes(chunk.labels), len(chunk.words)
            rank_by_shared_labels(
                codes, labels, n, queries, query_labels, own, places, found, hits
            )
        else:
            ids, classes = (
                of[:, 0].astype(self._id_dtype) for of in (chunk.labels, query_labels)
            )
            rank_by_class(codes, ids, queries, classes, own, places, found, hits)

    @property
    def _chunk_rows(self) -> int:
        return max(1 << 12, _CHUNK_BYTES // (8 * self._queries.shape[1]))

    @property
    def _is_one_chunk(self) -> bool:
        return self.n_database <= self._chunk_rows

    def _chunks(self) -> Iterator[_Chunk]:
        for start in range(0, self.n_database, self._chunk_rows):
            rows = slice(start, start + self._chunk_rows)
            words = as_words(self._database_codes[rows])
            yield _Chunk(start, words, self._database_labels[rows])

    @cached_property
    def _n_classes(self) -> int:
        return 1 + int(max(self._query_labels.max(), self._database_labels.max()))

    @property
    def _id_dtype(self) -> Any:
        return np.uint16 if self._n_classes <= 1 << 16 else np.uint32

    def _own_places(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the distance of queries from themselves and the labels they share."""
        assert self.own_rows is not None
        own = self.own_rows[rows]
        differing = self._queries[rows] ^ as_words(self._database_codes[own])
        distances = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        labels, own_labels = self._query_labels[rows], self._database_labels[own]
        if not self.multilabel:
            return distances, (labels == own_labels)[:, 0].astype(np.int64)
        shared = np.bitwise_count(labels & own_labels)
        return distances, shared.sum(axis=1, dtype=np.int64)


def room_for_hits(block: Counts) -> tuple[NDArray[np.int64], Hits]:
    """Return where hits at each distance begin, and room for all that are counted."""
    from sklhash._kernels.ranking import Hits

    relevant = block.relevant
    found = np.cumsum(relevant).reshape(relevant.shape) - relevant
    n_hits = relevant.sum()
    hits = Hits(
        np.append(found[:, 0], n_hits),
        np.empty(n_hits, dtype=np.uint32),
        np.empty(n_hits, dtype=np.uint16),
    )
    return found, hits


def _n_levels_of(most_shared: int) -> int:
    """Return how many numbers of labels may be shared, from none to the most."""
    if most_shared >= _MOST_LEVELS:
        raise ValueError(
            f"Rows may share up to {_MOST_LEVELS - 1} labels, got rows of query_y and "
            f"database_y with {most_shared}."
        )
    return max(2, 1 + most_shared)


def _most_labels(labels: NDArray[np.uint64]) -> int:
    counts = np.bitwise_count(labels).sum(axis=1, dtype=np.int64)
    return int(counts.max(initial=0))


def _planes(words: NDArray[np.uint64]) -> Any:
    """Lay words out plane by plane."""
    from sklhash._kernels.counting import Planes

    n_rows, n_words = words.shape
    width = -(-(n_rows + _MARGIN) // 8) * 8
    room = np.zeros(n_words * width + 8, dtype=np.uint64)
    start = -room.ctypes.data % 64 // 8  # where a cache line begins
    planes = room[start : start + n_words * width].reshape(n_words, width)
    planes[:, :n_rows] = words.T
    return Planes(planes, planes.ctypes.data, planes.strides[0], (0,) * n_words)
