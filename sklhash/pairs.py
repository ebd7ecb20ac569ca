"""What pairs of rows say about similarity, where there are no classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash._arrays import as_array

__all__ = ["Pairs", "encode_pairs"]


class Pairs:
    """Pairs of rows, and how similar they are.

    Parameters
    ----------
    n_rows : int
        Number of rows that the pairs are of.

    first, second : ndarray of shape (n_pairs,), dtype=int64
        Row numbers.

    similarity : ndarray of shape (n_pairs,), dtype=float32
        0 for dissimilar rows, 1 for similar ones, or between.
    """

    def __init__(
        self,
        n_rows: int,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        similarity: NDArray[np.float32],
    ) -> None:
        self.n_rows = n_rows
        self.first = first
        self.second = second
        self.similarity = similarity

    def __len__(self) -> int:
        return len(self.first)

    def compact(self) -> tuple[NDArray[np.int64], Pairs]:
        """Return the rows that are in a pair, and the pairs in numbers of those."""
        rows, numbers = np.unique(
            np.concatenate([self.first, self.second]), return_inverse=True
        )
        first, second = np.split(numbers, 2)
        return rows, Pairs(len(rows), first, second, self.similarity)


def encode_pairs(pairs: Any, n_samples: int, *, graded: bool = False) -> Pairs:
    """Read ``(i, j, s)``: row numbers and the similarity of each pair of rows.

    Parameters
    ----------
    pairs : tuple of three array-likes of shape (n_pairs,)
        Row numbers, row numbers, similarities.

    n_samples : int
        Number of rows.

    graded : bool, default=False
        Whether similarities may lie between 0 and 1.

    Returns
    -------
    pairs : Pairs

    Raises
    ------
    ValueError
        If the three are not vectors of one length, numbers are not those of two
        different rows, similarities are not 0 or 1 (or between, if graded), or there is
        nothing to tell apart.
    """
    if not isinstance(pairs, (tuple, list)) or len(pairs) != 3:
        raise ValueError(
            "pairs must be a tuple (i, j, s) of row numbers, row numbers and "
            f"similarities, got {type(pairs).__name__}"
            f"{f' of length {len(pairs)}' if hasattr(pairs, '__len__') else ''}."
        )
    first, second, similarity = (as_array(part, "pairs") for part in pairs)
    shapes = [part.shape for part in (first, second, similarity)]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or shapes[0] == (0,):
        raise ValueError(
            "pairs must be three vectors of one length, at least 1, got shapes "
            f"{', '.join(map(str, shapes))}."
        )
    first = _row_numbers("i", first, n_samples)
    second = _row_numbers("j", second, n_samples)
    if (first == second).any():
        at = int(np.argmax(first == second))
        raise ValueError(
            f"pairs must be of different rows, got row {first[at]} with itself in "
            f"pair {at}."
        )
    return Pairs(n_samples, first, second, _similarities(similarity, graded))


def _row_numbers(name: str, numbers: NDArray[Any], n_samples: int) -> NDArray[np.int64]:
    if numbers.dtype.kind not in "iu":
        raise ValueError(
            f"{name} of pairs must hold whole row numbers, got dtype {numbers.dtype}."
        )
    outside = (numbers < 0) | (numbers >= n_samples)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(
            f"{name} of pairs must hold row numbers from 0 to {n_samples - 1}, got "
            f"{numbers[at]} in pair {at}."
        )
    return numbers.astype(np.int64)


def _similarities(similarity: NDArray[Any], graded: bool) -> NDArray[np.float32]:
    wanted = "numbers from 0 to 1" if graded else "0 or 1"
    if similarity.dtype.kind not in "biuf":
        raise ValueError(f"s of pairs must hold {wanted}, got {similarity.dtype}.")
    good = (similarity >= 0) & (similarity <= 1)
    if not graded:
        good &= (similarity == 0) | (similarity == 1)
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(
            f"s of pairs must hold {wanted}, got {similarity[at]} in pair {at}."
        )
    if (similarity > 0).all() or (similarity == 0).all():
        kind = "similar" if similarity[0] > 0 else "dissimilar"
        raise ValueError(
            f"pairs must hold similar and dissimilar pairs, got {kind} ones only: "
            "there is nothing to tell apart."
        )
    return similarity.astype(np.float32)
