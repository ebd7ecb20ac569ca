"""Codebooks: one codeword of -1 and +1 a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from sklhash._arrays import as_array
from sklhash.codes import as_words, pack_codes

__all__ = ["make_codebook"]

Codebook = NDArray[np.int8]


def make_codebook(
    method: str, n_classes: int, n_bits: int, rng: np.random.Generator
) -> Codebook:
    """Draw a codebook in which no codewords are equal and no bit is constant.

    Parameters
    ----------
    method : {"bernoulli", "hadamard", "maxhd"}
        As described for :class:`~sklhash.OrthoHash`.

    n_classes : int
        Number of codewords, at least 2.

    n_bits : int
        Width of a codeword.

    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    codebook : ndarray of shape (n_classes, n_bits), dtype=int8
        Entries -1 and +1.

    Raises
    ------
    ValueError
        If the method cannot give that many codewords of that width.
    """
    if n_bits < 63 and n_classes > 2**n_bits:
        raise ValueError(
            f"n_bits={n_bits} gives {2**n_bits} different codewords, fewer than the "
            f"{n_classes} classes: use at least {(n_classes - 1).bit_length()} bits."
        )
    draw = {"bernoulli": _bernoulli, "hadamard": _hadamard, "maxhd": _maxhd}[method]
    return _without_constant_bits(draw(n_classes, n_bits, rng), rng)


def check_codebook(codebook: Any, n_classes: int, n_bits: int) -> Codebook:
    """Return a codebook given by the user, or say what is wrong with it."""
    codebook = as_array(codebook, "codebook")
    if codebook.shape != (n_classes, n_bits):
        raise ValueError(
            f"codebook must have shape (n_classes, n_bits) = {(n_classes, n_bits)}, "
            f"got {codebook.shape}."
        )
    wrong = ~np.isin(codebook, (-1, 1))
    if wrong.any():
        row, bit = np.argwhere(wrong)[0]
        raise ValueError(
            f"codebook must hold -1 and +1 only, got {codebook[row, bit]} in row "
            f"{row}, bit {bit}."
        )
    return codebook.astype(np.int8)


def _bernoulli(n_classes: int, n_bits: int, rng: np.random.Generator) -> Codebook:
    """Draw different codewords of fair bits."""
    if n_bits <= 20:
        numbers = rng.choice(2**n_bits, size=n_classes, replace=False)
        return _signs(numbers[:, None] >> np.arange(n_bits) & 1)
    bits = rng.integers(2, size=(n_classes, n_bits), dtype=np.uint8)
    while True:
        _, first = np.unique(pack_codes(bits), axis=0, return_index=True)
        repeated = np.setdiff1d(np.arange(n_classes), first)
        if len(repeated) == 0:
            return _signs(bits)
        bits[repeated] = rng.integers(2, size=(len(repeated), n_bits), dtype=np.uint8)


def _hadamard(n_classes: int, n_bits: int, rng: np.random.Generator) -> Codebook:
    """Draw rows of a Hadamard matrix, and columns where it is wider than `n_bits`.

    Signs of rows and columns are random. A draw with constant bits is repeated, since
    among few orthogonal rows some draws have them and others have none.
    """
    order = 1 << (n_bits - 1).bit_length()
    if n_classes > 2 * order:
        raise ValueError(
            f"codebook='hadamard' gives {2 * order} codewords of {n_bits} bits, fewer "
            f"than the {n_classes} classes: use more bits, 'bernoulli' or 'maxhd'."
        )
    matrix = hadamard(order, dtype=np.int8)
    for _ in range(100):
        columns = rng.permutation(order)[:n_bits]
        rows = matrix[rng.permutation(order)][:, columns]
        rows *= _random_signs(order, rng)[:, None]
        rows = np.concatenate((rows, -rows))[:n_classes]
        if not _constant_bits(rows).any():
            break
    return rng.permutation(rows * _random_signs(n_bits, rng))


def _maxhd(n_classes: int, n_bits: int, rng: np.random.Generator) -> Codebook:
    """Draw codewords that keep a distance, lowered while too few are found.

    A random codeword is taken if its distance to all taken ones is at least a share
    of the bits. The share begins at 0.61 and falls by 0.01 after every 10,000 refusals.
    """
    taken = np.empty((n_classes, n_bits), dtype=np.uint8)
    n_taken = n_refused = 0
    while n_taken < n_classes:
        percent = 61 - n_refused // 10_000
        if percent < 20:
            raise ValueError(
                f"codebook='maxhd' found no {n_classes} codewords of {n_bits} bits "
                "that differ in a fifth of them: use more bits, or 'bernoulli'."
            )
        candidates = rng.integers(2, size=(1000, n_bits), dtype=np.uint8)
        nearest = _nearest_distances(candidates, taken[:n_taken])
        n_refused += len(candidates)
        while n_taken < n_classes and (nearest * 100 >= percent * n_bits).any():
            candidate = candidates[np.argmax(nearest * 100 >= percent * n_bits)]
            taken[n_taken] = candidate
            n_taken += 1
            n_refused -= 1
            nearest = np.minimum(nearest, (candidates != candidate).sum(axis=1))
    return rng.permutation(_signs(taken))


def _nearest_distances(
    candidates: NDArray[np.uint8], taken: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Distance of each candidate to the nearest codeword taken."""
    if len(taken) == 0:
        return np.full(len(candidates), candidates.shape[1])
    taken_words = as_words(pack_codes(taken))
    return np.array(
        [
            np.bitwise_count(taken_words ^ word).sum(axis=1).min()
            for word in as_words(pack_codes(candidates))
        ],
        dtype=np.int64,
    )


def _without_constant_bits(codebook: Codebook, rng: np.random.Generator) -> Codebook:
    """Flip one entry of each constant bit, which makes no two codewords equal."""
    for bit in np.flatnonzero(_constant_bits(codebook)):
        codebook[rng.integers(len(codebook)), bit] *= -1
    return codebook


def _constant_bits(codebook: Codebook) -> NDArray[np.bool_]:
    return (codebook == codebook[0]).all(axis=0)


def _random_signs(n: int, rng: np.random.Generator) -> Codebook:
    return _signs(rng.integers(2, size=n))


def _signs(bits: NDArray[Any]) -> Codebook:
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)
