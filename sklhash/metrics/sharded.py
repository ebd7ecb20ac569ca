"""Relevance counted over a database in shards: the counts of the shards, added up."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import _num_features

from sklhash._dask import is_dask
from sklhash.codes import check_codes, check_same_width, check_shape
from sklhash.metrics.counts import Counts
from sklhash.metrics.relevance import (
    Relevance,
    check_lengths,
    check_n_bytes,
    own_rows_of,
    room_for_hits,
)
from sklhash.sharding import ShardedCodes, sharded_codes
from sklhash.sharding.codes import ShardedLabels
from sklhash.stores import CodeStore
from sklhash.targets import as_labels, relevance_labels

if TYPE_CHECKING:
    from sklhash._kernels.ranking import Hits

__all__ = ["ShardedRelevance", "sharded_relevance"]

_MOST_RANKS = 2**32  # of which a rank is a number


def sharded_relevance(
    query_codes: Any,
    database_codes: Any,
    query_y: Any,
    database_y: Any,
    exclude_self: Any,
    packed: bool,
) -> ShardedRelevance:
    """Check codes and labels and prepare to count what is relevant at which distance.

    Parameters
    ----------
    query_codes : array-like of shape (n_queries, n_bits), or (n_queries, n_bytes)
        Codes.

    database_codes : Dask array or data frame, CodeStore or ShardedCodes
        Codes of the same width.

    query_y : array-like of shape (n_queries,) or (n_queries, n_labels)
        Labels of the queries.

    database_y : array-like, Dask collection or ShardedLabels
        Labels of the database.

    exclude_self, packed
        As for :func:`~sklhash.metrics.relevance.count_relevance`.

    Returns
    -------
    relevance : ShardedRelevance
        Nothing is counted yet.

    Raises
    ------
    ValueError
        If codes or labels are malformed, differ in width, kind or number, or there is
        nothing to rank.
    """
    queries = check_codes(query_codes, packed=packed, name="query_codes")
    check_n_bytes(queries.shape[1])
    query_y = as_labels(query_y, "query_y")
    check_lengths("query", queries, query_y)
    names = "query_codes", "database_codes"
    check_shape(database_codes.shape, names[1])
    widths = _num_features(query_codes), _width_of(database_codes, packed)
    check_same_width(*widths, packed=packed, names=names)
    database = _in_shards(database_codes, database_y, packed)
    if len(database) == 0:
        raise ValueError("database_codes must have at least one row, got none.")
    own_rows = own_rows_of(exclude_self, len(queries), len(database))
    return ShardedRelevance(queries, database, query_y, own_rows)


def _width_of(codes: Any, packed: bool) -> int:
    """Return the number of columns of codes; a store has those that are wanted."""
    is_unpacked = isinstance(codes, CodeStore) and not packed
    return codes.n_bits if is_unpacked else codes.shape[1]


def _in_shards(codes: Any, y: Any, packed: bool) -> ShardedCodes:
    if isinstance(codes, ShardedCodes):
        if not isinstance(y, ShardedLabels) or y.codes is not codes:
            raise ValueError(
                "database_y must be the labels that live_items gave along with these "
                "database_codes."
            )
        return codes
    y = y if is_dask(y) else as_labels(y, "database_y")
    return sharded_codes(codes, y, packed=packed, name="database_codes")


class ShardedRelevance(Relevance):
    """What is relevant where in a database in shards.

    Parameters
    ----------
    query_codes : ndarray of shape (n_queries, n_bytes), dtype=uint8
        Packed codes.

    database : ShardedCodes
        Codes and labels.

    query_y : ndarray or csr_array
        Labels of the queries.

    own_rows : ndarray of shape (n_queries,), dtype=int64, or None
        The database item to leave out for each query.
    """

    _is_one_chunk = False

    def __init__(
        self,
        query_codes: NDArray[np.uint8],
        database: ShardedCodes,
        query_y: NDArray[Any] | sparse.csr_array,
        own_rows: NDArray[np.int64] | None,
    ) -> None:
        self.multilabel = query_y.ndim == 2
        self.own_rows = own_rows
        self.n_queries, self.n_database = len(query_codes), len(database)
        self.n_items = self.n_database - (own_rows is not None)
        self.n_distances = 8 * database.n_bytes + 1
        self._asked = query_codes, query_y, own_rows
        self._database = database
        self._all_counts: Counts | None = None
        self.n_levels = max(self._map(_n_levels)) if self.multilabel else 2

    def _count(self, rows: slice) -> Counts:
        by_level = self._database.reduce(
            _counted,
            sum,
            self._database.starts,
            shared=(self._asked, rows, self.n_levels),
        )
        return Counts(rows, by_level)

    def _hits(self, block: Counts, places: NDArray[np.int64]) -> Hits:
        """Walk the shards, each from where the ones before it leave off."""
        if self.n_database > _MOST_RANKS:
            raise ValueError(
                f'ties="index" ranks up to {_MOST_RANKS} items, got {self.n_database}.'
            )
        counts = [
            Counts(block.rows, by_level)
            for by_level in self._map(_counted, shared=(block.rows, self.n_levels))
        ]
        found, hits = room_for_hits(block)
        begins = _begins(places[:, :-1], [of.totals for of in counts])
        parts = self._map(_ranked, begins, shared=(block.rows, self.n_levels))
        relevant = [of.relevant for of in counts]
        starts = _begins(found, relevant)
        for part, start, numbers in zip(parts, starts, relevant, strict=True):
            there = _runs(start.ravel(), numbers.ravel())
            hits.ranks[there], hits.levels[there] = part
        return hits

    def _map(
        self, function: Any, *each: list[Any], shared: tuple[Any, ...] = ()
    ) -> list[Any]:
        database = self._database
        shared = self._asked, *shared
        return database.map(function, database.starts, *each, shared=shared)


def _relevance(
    codes: NDArray[np.uint8],
    y: Any,
    start: int,
    queries: tuple[NDArray[np.uint8], Any, NDArray[np.int64] | None],
) -> Relevance:
    """Return what is relevant where in a shard."""
    query_codes, query_y, own_rows = queries
    y = y if len(codes) > 0 else query_y[:0]  # no labels tell their kind
    labels = relevance_labels(query_y, y)
    own_rows = None if own_rows is None else own_rows - start
    return Relevance(query_codes, codes, *labels, own_rows)


def _n_levels(codes: Any, y: Any, start: int, queries: Any) -> int:
    return _relevance(codes, y, start, queries).n_levels


def _counted(
    codes: Any, y: Any, start: int, queries: Any, rows: slice, n_levels: int
) -> NDArray[np.int64]:
    """Count a shard's items by relevance and distance."""
    return _counts(_relevance(codes, y, start, queries), rows, n_levels).by_level


def _counts(relevance: Relevance, rows: slice, n_levels: int) -> Counts:
    relevance.n_levels = n_levels
    return relevance._count(rows)


def _ranked(
    codes: Any,
    y: Any,
    start: int,
    first: NDArray[np.int64],
    queries: Any,
    rows: slice,
    n_levels: int,
) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Return the ranks of a shard's relevant items, and the labels they share."""
    relevance = _relevance(codes, y, start, queries)
    block = _counts(relevance, rows, n_levels)
    hits = relevance._hits(block, np.pad(first, ((0, 0), (0, 1))))
    return hits.ranks, hits.levels


def _begins(
    first: NDArray[np.int64], lengths: list[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Return where each of some spans begins that follow each other."""
    return list(accumulate(lengths[:-1], initial=first))


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of some runs of numbers, one run after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
