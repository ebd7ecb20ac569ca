"""Exact search among codes by torch, on a GPU: the engine of device="cuda"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sklhash._memory import working_bytes

__all__ = ["DeviceCodes", "check_device"]

Words = NDArray[np.uint64]

_HALF_PRECISION_BITS = 2048
_MAX_QUERIES = 1024
# The most that a search holds for a query and a database row together: that is while
# it lists pairs within a radius, if all of them are.
_BYTES_A_PAIR = 64


def check_device(device: Any) -> None:
    """Refuse a device that HammingNeighbors cannot search on.

    Parameters
    ----------
    device : object
        "cpu", "cuda" or "cuda:N" are accepted.

    Raises
    ------
    ValueError
        If `device` is another, or that GPU is not there.
    """
    name = re.fullmatch(r"cpu|cuda(?::(\d+))?", str(device))
    if name is None:
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {device!r}.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name[0] != "cpu" and int(name[1] or 0) >= n_gpus:
        raise ValueError(
            f"device={name[0]!r} is not available on this machine: torch finds "
            f"{n_gpus} CUDA devices."
        )


class DeviceCodes:
    """Codes that lie on a torch device and are searched there.

    Results are exact and those of the CPU's kernels: ordered by distance, then
    position. Work goes in blocks whose temporaries stay within scikit-learn's
    `working_memory`; between searches the device holds the packed codes only.

    Parameters
    ----------
    words : ndarray of shape (n_codes, n_words), dtype=uint64
        The database, copied to the device.

    device : str
        A torch device.
    """

    def __init__(self, words: Words, device: str) -> None:
        self.n_bits = 64 * words.shape[1]
        self._device = torch.device(device)
        self._codes = self._upload(words)
        self._n_codes = len(words)
        # Every partial sum of the matrix product is a multiple of a half, at most half
        # the width. Up to 2048 bits float16 holds these exactly, in whatever order and
        # precision cuBLAS adds them up; beyond, float32 does, and the factors, 1 and
        # 0.5, lose nothing in TF32 or bfloat16. On a CPU float32 is the fast one.
        in_half = self._device.type == "cuda" and self.n_bits <= _HALF_PRECISION_BITS
        self.dtype = torch.float16 if in_half else torch.float32

    def nearest(
        self,
        queries: Words,
        own: NDArray[np.int64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Find the k nearest codes of each query, by distance, then position.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_words), dtype=uint64
            Codes.

        own : ndarray of shape (n_queries,), dtype=int64
            The database row that a query is and leaves out, or -1.

        k : int
            Number of neighbours; at least that many must be there.

        allowed : ndarray of shape (n_codes,), dtype=bool, or None
            The database rows to search; None searches all.

        Returns
        -------
        distances : ndarray of shape (n_queries, k), dtype=int32
            Numbers of differing bits.

        positions : ndarray of shape (n_queries, k), dtype=int64
            Database rows.
        """
        distances = np.empty((len(queries), k), dtype=np.int32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        for block, ranked in self._search(queries, own, k, allowed):
            best = torch.empty(
                (len(queries[block]), 0), dtype=torch.int64, device=self._device
            )
            for keys, rows in ranked:
                found = self._in_database(_smallest(keys, k), rows)
                best = _smallest(torch.cat([best, found], dim=1), k)
            best = best.sort(dim=1).values
            distances[block] = (best // self._n_codes).int().cpu().numpy()
            positions[block] = (best % self._n_codes).cpu().numpy()
        return distances, positions

    def within(
        self,
        queries: Words,
        own: NDArray[np.int64],
        radius: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """Find all codes within a radius of each query, by distance, then position.

        Parameters
        ----------
        queries, own, allowed
            As for :meth:`nearest`.

        radius : int
            Number of differing bits, inclusive.

        Returns
        -------
        starts : ndarray of shape (n_queries + 1,), dtype=int64
            Where the results of each query begin and end in the other two.

        distances : ndarray of shape (starts[-1],), dtype=int32
            Numbers of differing bits.

        positions : ndarray of shape (starts[-1],), dtype=int64
            Database rows.
        """
        radius = min(radius, self.n_bits)
        counts = np.zeros(len(queries), dtype=np.int64)
        distances, positions = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for block, ranked in self._search(queries, own, 0, allowed):
            parts = [self._pairs_within(keys, rows, radius) for keys, rows in ranked]
            found = np.concatenate([np.empty(0, np.int64), *parts])
            found.sort()
            pairs, position = np.divmod(found, self._n_codes)
            query, distance = np.divmod(pairs, self.n_bits + 1)
            counts[block] = np.bincount(query, minlength=len(queries[block]))
            distances.append(distance.astype(np.int32))
            positions.append(position)
        starts = np.concatenate(([0], np.cumsum(counts)))
        return starts, np.concatenate(distances), np.concatenate(positions)

    def count(
        self,
        queries: Words,
        own: NDArray[np.int64],
        radius: int,
        allowed: NDArray[np.bool_] | None,
    ) -> NDArray[np.int64]:
        """Count the codes within a radius of each query.

        Parameters
        ----------
        queries, own, radius, allowed
            As for :meth:`within`.

        Returns
        -------
        counts : ndarray of shape (n_queries,), dtype=int64
            Numbers of codes.
        """
        radius = min(radius, self.n_bits)
        counts = np.zeros(len(queries), dtype=np.int64)
        for block, ranked in self._search(queries, own, 0, allowed):
            for keys, rows in ranked:
                found = (keys < (radius + 1) * len(rows)).sum(dim=1)
                counts[block] += found.cpu().numpy()
        return counts

    def _upload(self, words: Words) -> Tensor:
        octets = np.ascontiguousarray(words).view(np.uint8)
        return torch.tensor(octets, device=self._device)

    def _signs(self, codes: Tensor) -> Tensor:
        places = torch.arange(8, dtype=torch.uint8, device=self._device)
        bits = codes[:, :, None] >> places & 1
        return bits.to(self.dtype).flatten(1).mul_(2).sub_(1)

    def _block_shape(self, n_queries: int, k: int) -> tuple[int, int]:
        """Return how many queries and database rows fit the working memory at once."""
        memory = working_bytes()
        row = 6 * self.n_bits + 32
        query = row + 64 * k
        n_queries = max(1, min(n_queries, _MAX_QUERIES, memory // 2 // query))
        n_rows = (memory - n_queries * query) // (n_queries * _BYTES_A_PAIR + row)
        # Keys, and their number, are to fit int32.
        most = 2**31 // max(2 * self.n_bits + 2, n_queries)
        return n_queries, max(1, min(n_rows, most))

    def _search(
        self,
        queries: Words,
        own: NDArray[np.int64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> Iterator[tuple[slice, Iterator[tuple[Tensor, Tensor]]]]:
        """Yield blocks of queries, and for each what :meth:`_ranked` yields."""
        n_queries, n_rows = self._block_shape(len(queries), k)
        for block in _blocks(len(queries), n_queries):
            yield block, self._ranked(queries[block], own[block], n_rows, allowed)

    def _ranked(
        self,
        queries: Words,
        own: NDArray[np.int64],
        n_rows: int,
        allowed: NDArray[np.bool_] | None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the order of a block of queries in each block of the database.

        Yields
        ------
        keys : Tensor of shape (n_queries, n_rows), dtype=int32
            ``distance * n_rows + j`` for row ``j`` of the block: no two of a query are
            equal. A query's own row is further away than any code.

        rows : Tensor of shape (n_rows,), dtype=int64
            The database rows of the block, ascending.
        """
        # A distance is n_bits / 2 - dot / 2, with the dot product of the signs.
        halves = self._signs(self._upload(queries)).mul_(-0.5)
        own_rows = torch.tensor(own, device=self._device)
        every = torch.arange(len(queries), device=self._device)
        for block in _blocks(self._n_codes, n_rows):
            rows, codes = self._allowed_in(block, allowed)
            n = len(rows)
            if n == 0:
                continue
            with torch.autocast(self._device.type, enabled=False):
                excess = (halves @ self._signs(codes).T).int()
            middle = self.n_bits // 2 * n
            order = torch.arange(
                middle, middle + n, dtype=torch.int32, device=self._device
            )
            keys = torch.add(order, excess, alpha=n)
            place = torch.searchsorted(rows, own_rows).clamp_(max=n - 1)
            is_own = (rows[place] == own_rows).int()
            keys[every, place] += is_own * ((self.n_bits + 1) * n)
            yield keys, rows

    def _allowed_in(
        self, block: slice, allowed: NDArray[np.bool_] | None
    ) -> tuple[Tensor, Tensor]:
        if allowed is None:
            rows = torch.arange(block.start, block.stop, device=self._device)
            return rows, self._codes[block]
        kept = torch.tensor(np.flatnonzero(allowed[block]), device=self._device)
        return kept + block.start, self._codes[block][kept]

    def _in_database(self, keys: Tensor, rows: Tensor) -> Tensor:
        """Return ``distance * n_codes + position`` for keys of a block."""
        position = rows[(keys % len(rows)).long()]
        return (keys // len(rows)).long().mul_(self._n_codes).add_(position)

    def _pairs_within(
        self, keys: Tensor, rows: Tensor, radius: int
    ) -> NDArray[np.int64]:
        """Return ``(query * (n_bits + 1) + distance) * n_codes + position``."""
        query, place = (keys < (radius + 1) * len(rows)).nonzero(as_tuple=True)
        found = self._in_database(keys[query, place], rows)
        return found.add_(query, alpha=(self.n_bits + 1) * self._n_codes).cpu().numpy()


def _blocks(n: int, length: int) -> Iterator[slice]:
    for start in range(0, n, length):
        yield slice(start, min(start + length, n))


def _smallest(keys: Tensor, k: int) -> Tensor:
    k = min(k, keys.shape[1])
    return keys.topk(k, dim=1, largest=False, sorted=False).values
