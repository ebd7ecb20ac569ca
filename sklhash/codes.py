"""What a code is: bits, packed bytes, distances and statistics.

A code of ``n_bits`` bits is either *bits*, a uint8 array of 0 and 1 of shape
``(n_samples, n_bits)``, or *packed*, a uint8 array of shape
``(n_samples, ceil(n_bits / 8))`` with bit ``j`` in byte ``j // 8`` at position
``j % 8`` and zero padding bits. No other module knows this layout.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import Bunch, gen_batches

from sklhash._arrays import as_array
from sklhash._memory import working_bytes
from sklhash._validation import check_boolean, check_count, is_whole_number

__all__ = ["code_statistics", "hamming_distances", "pack_codes", "unpack_codes"]

BitOrder = Literal["little", "big"]

MAX_BITS = 65_000  # of a code that is searched, whose distances take 16 bits
_FLOAT32_COUNTS = 1 << 24  # up to which float32 counts without error


def pack_codes(bits: ArrayLike, bitorder: BitOrder = "little") -> NDArray[np.uint8]:
    """Pack bits into bytes, eight to one.

    Parameters
    ----------
    bits : array-like of shape (n_samples, n_bits)
        Zeros and ones, of any boolean, integer or floating dtype.

    bitorder : {"little", "big"}, default="little"
        Where bit ``j`` lies in byte ``j // 8``: at position ``j % 8`` counted from
        the least significant bit ("little", what all of sklhash speaks) or from the
        most significant one ("big", numpy's default and what sentence-transformers
        writes).

    Returns
    -------
    packed : ndarray of shape (n_samples, ceil(n_bits / 8)), dtype=uint8
        The bytes; padding bits are zero.

    Raises
    ------
    ValueError
        If `bits` is not a two-dimensional array of zeros and ones with at least one
        column, or `bitorder` is unknown.

    Examples
    --------
    >>> from sklhash import pack_codes
    >>> pack_codes([[1, 0, 0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]])
    array([[1, 3],
           [6, 0]], dtype=uint8)
    """
    _check_bitorder(bitorder)
    return np.packbits(check_bits(bits, name="bits"), axis=1, bitorder=bitorder)


def unpack_codes(
    packed: ArrayLike, n_bits: int, bitorder: BitOrder = "little"
) -> NDArray[np.uint8]:
    """Unpack bytes into bits; the inverse of :func:`pack_codes`.

    Parameters
    ----------
    packed : array-like of shape (n_samples, ceil(n_bits / 8))
        Packed codes: whole numbers from 0 to 255.

    n_bits : int
        Number of bits of a code, at least 1.

    bitorder : {"little", "big"}, default="little"
        Order of the bits in a byte, as for :func:`pack_codes`.

    Returns
    -------
    bits : ndarray of shape (n_samples, n_bits), dtype=uint8
        Zeros and ones.

    Raises
    ------
    ValueError
        If `packed` is no matrix of bytes, its width does not fit `n_bits`, padding bits
        are set, or `bitorder` is unknown.

    Examples
    --------
    >>> from sklhash import unpack_codes
    >>> unpack_codes([[1, 3], [6, 0]], n_bits=10)
    array([[1, 0, 0, 0, 0, 0, 0, 0, 1, 1],
           [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    _check_bitorder(bitorder)
    packed = check_packed(packed, bitorder=bitorder)
    _check_width(packed, n_bits, bitorder, "packed")
    return np.unpackbits(packed, axis=1, count=int(n_bits), bitorder=bitorder)


def hamming_distances(
    A: ArrayLike, B: ArrayLike, packed: bool = False
) -> NDArray[np.int32]:
    """Count the bits in which each code of `A` differs from each code of `B`.

    The whole matrix is made; to find neighbours without it use
    :class:`~sklhash.HammingNeighbors`.

    Parameters
    ----------
    A : array-like of shape (n_a, n_bits) or (n_a, n_bytes) if packed
        Codes.

    B : array-like of shape (n_b, n_bits) or (n_b, n_bytes) if packed
        Codes of the same width.

    packed : bool, default=False
        Whether `A` and `B` are packed codes.

    Returns
    -------
    distances : ndarray of shape (n_a, n_b), dtype=int32
        Numbers of differing bits, 0 to `n_bits`.

    Raises
    ------
    ValueError
        If `A` or `B` is not a matrix of codes, or their widths differ.

    TypeError
        If `packed` is neither True nor False.

    Examples
    --------
    >>> from sklhash import hamming_distances
    >>> hamming_distances([[0, 1, 1]], [[0, 1, 1], [1, 1, 0]])
    array([[0, 2]], dtype=int32)
    """
    check_boolean(packed, "packed")
    A, B = check_code_pair(A, B, packed=packed, names=("A", "B"))
    A, B = as_words(A), as_words(B)
    distances = np.zeros((len(A), len(B)), dtype=np.int32)
    bytes_a_row = max(1, 9 * len(B))
    rows = max(1, working_bytes() // bytes_a_row)
    for block in gen_batches(max(1, len(A)), rows):
        for a, b in zip(A[block].T, B.T, strict=True):
            distances[block] += np.bitwise_count(a[:, None] ^ b)
    return distances


def code_statistics(
    codes: ArrayLike, packed: bool = False, *, n_bits: int | None = None
) -> Bunch:
    """Describe how well codes use their bits.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if packed
        Codes, at least one.

    packed : bool, default=False
        Whether `codes` are packed.

    n_bits : int, default=None
        Number of bits of a packed code. None means that there is no padding: eight
        bits a byte.

    Returns
    -------
    statistics : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with

        balance : ndarray of shape (n_bits,)
            Share of ones in each bit, 0 to 1; 0.5 is best.
        entropy : ndarray of shape (n_bits,)
            Entropy of each bit, in bits: ``-p log2 p - (1 - p) log2 (1 - p)``.
        correlation : ndarray of shape (n_bits, n_bits)
            Pearson correlation of each pair of bits; NaN where a bit is constant, since
            the correlation with a constant is not defined.
        unique_share : float
            Number of different codes, divided by `n_samples`.
        dead_bits : ndarray of shape (n_dead,), dtype=int64
            The bits that are the same in every code, ascending.
        duplicate_bits : list of ndarray, dtype=int64
            Groups of two bits or more, ascending, that say the same: any two of a group
            are equal in every code, or differ in every code, which shows in the sign of
            their `correlation`. Dead bits are in no group.

    Raises
    ------
    ValueError
        If `codes` is not a matrix of codes with at least one row, or not of `n_bits`
        bits.

    TypeError
        If `packed` is neither True nor False.

    Notes
    -----
    Rows are read in blocks: the memory is that of a few copies of the packed codes, of
    a few matrices of `n_bits` times `n_bits`, and of a block.

    Examples
    --------
    >>> from sklhash import code_statistics
    >>> statistics = code_statistics(
    ...     [[0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 0]])
    >>> statistics.balance
    array([0.5, 0.5, 1. , 0.5])
    >>> statistics.entropy
    array([1., 1., 0., 1.])
    >>> statistics.correlation[0]
    array([ 1.,  1., nan, -1.])
    >>> statistics.unique_share
    0.5
    >>> statistics.dead_bits
    array([2])
    >>> statistics.duplicate_bits
    [array([0, 1, 3])]
    """
    check_boolean(packed, "packed")
    if n_bits is not None:
        check_count(n_bits, "n_bits")
    packed_codes, width = _statistics_codes(codes, packed, n_bits)
    n_samples = len(packed_codes)
    if n_samples == 0:
        raise ValueError("codes must have at least one row, got none.")
    together = _ones_together(packed_codes, width)
    ones = np.diag(together)
    balance = ones / n_samples
    covariance = together / n_samples - np.outer(balance, balance)
    deviation = np.sqrt(balance * (1 - balance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / np.outer(deviation, deviation)
    dead = (ones == 0) | (ones == n_samples)
    correlation[dead] = correlation[:, dead] = np.nan
    return Bunch(
        balance=balance,
        entropy=_binary_entropy(balance),
        correlation=np.clip(correlation, -1, 1),
        unique_share=_count_unique(packed_codes) / n_samples,
        dead_bits=np.flatnonzero(dead),
        duplicate_bits=_duplicate_bits(together, n_samples, dead),
    )


def check_bits(codes: Any, *, name: str = "codes") -> NDArray[np.uint8]:
    """Return `codes` as a uint8 matrix of zeros and ones, or say what is wrong."""
    codes = _as_matrix(codes, name)
    codes = numbers_of(codes)
    if codes.dtype.kind not in "buif":
        raise ValueError(
            f"{name} must hold zeros and ones, got an array of dtype {codes.dtype}."
        )
    wrong = (codes != 0) & (codes != 1)
    if wrong.any():
        row, bit = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} must hold zeros and ones only, got {codes[row, bit]} in "
            f"row {row}, bit {bit}. Real values and codes of -1 and +1 become bits by "
            "`> 0`."
        )
    return codes.astype(np.uint8, copy=False)


def check_packed(
    packed: Any,
    *,
    n_bits: int | None = None,
    bitorder: BitOrder = "little",
    name: str = "packed",
) -> NDArray[np.uint8]:
    """Return `packed` as a uint8 matrix of packed codes, or say what is wrong."""
    packed = _as_matrix(packed, name)
    if packed.dtype.kind not in "ui":
        raise ValueError(
            f"{name} must hold packed codes of dtype uint8, got dtype {packed.dtype}."
        )
    if packed.dtype != np.uint8 and ((packed < 0) | (packed > 255)).any():
        raise ValueError(
            f"{name} must hold bytes, 0 to 255, got values from {packed.min()} to "
            f"{packed.max()}."
        )
    packed = packed.astype(np.uint8, copy=False)
    if n_bits is not None:
        _check_width(packed, n_bits, bitorder, name)
    return packed


def check_codes(codes: Any, *, packed: bool, name: str = "codes") -> NDArray[np.uint8]:
    """Return codes, given as bits or packed, as packed codes."""
    if packed:
        return check_packed(codes, name=name)
    return np.packbits(check_bits(codes, name=name), axis=1, bitorder="little")


def check_code_pair(
    a: Any, b: Any, *, packed: bool, names: tuple[str, str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two sets of codes of the same width as packed codes."""
    a, b = _as_matrix(a, names[0]), _as_matrix(b, names[1])
    check_same_width(a.shape[1], b.shape[1], packed=packed, names=names)
    return (
        check_codes(a, packed=packed, name=names[0]),
        check_codes(b, packed=packed, name=names[1]),
    )


def check_same_width(
    width_a: int, width_b: int, *, packed: bool, names: tuple[str, str]
) -> None:
    """Raise a ValueError if codes have more columns than others."""
    if width_a != width_b:
        raise ValueError(
            f"{names[0]} and {names[1]} must have codes of the same width, got "
            f"{width_a} and {width_b} {'bytes' if packed else 'bits'}."
        )


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise a ValueError if it is not that of a matrix of codes."""
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(
            f"{name} must be a matrix (n_samples, width) with at least one column, got "
            f"an array of shape {shape}."
        )


def pack_positive(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return packed codes with ones where a matrix of `values` is above zero."""
    return np.packbits(values > 0, axis=1, bitorder="little")


def numbers_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return an object array as floats where it holds numbers, others as they are."""
    if values.dtype == object and not any(isinstance(v, str) for v in values.flat):
        with suppress(TypeError, ValueError):
            return values.astype(np.float64)
    return values


def as_words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Lay packed codes out in 64-bit words, the form the compiled loops read."""
    n_samples, n_bytes = packed.shape
    n_words = -(-n_bytes // 8)
    if n_bytes != 8 * n_words:
        padded = np.zeros((n_samples, 8 * n_words), dtype=np.uint8)
        padded[:, :n_bytes] = packed
        packed = padded
    return np.ascontiguousarray(packed).view(np.uint64)


def from_words(words: NDArray[np.uint64], n_bytes: int) -> NDArray[np.uint8]:
    """Undo :func:`as_words`, without a copy."""
    return words.view(np.uint8)[:, :n_bytes]


def _as_matrix(codes: Any, name: str) -> NDArray[Any]:
    if sparse.issparse(codes):
        raise ValueError(f"{name} must be a dense array, got a sparse one.")
    codes = as_array(codes, name)
    check_shape(codes.shape, name)
    return codes


def _check_width(
    packed: NDArray[np.uint8], n_bits: int, bitorder: BitOrder, name: str
) -> None:
    if not is_whole_number(n_bits) or n_bits < 1:
        raise ValueError(f"n_bits must be an integer of at least 1, got {n_bits!r}.")
    n_bits = int(n_bits)  # -np.uint8(9) is no -9
    n_bytes = -(-n_bits // 8)
    if packed.shape[1] != n_bytes:
        raise ValueError(
            f"{name} must have {n_bytes} bytes a row for n_bits={n_bits}, got "
            f"{packed.shape[1]}."
        )
    used = np.packbits(np.ones(n_bits, dtype=np.uint8), bitorder=bitorder)[-1]
    if (packed[:, -1] & ~used).any():
        raise ValueError(
            f"{name} has padding bits set: with n_bits={n_bits} and "
            f"bitorder={bitorder!r} the bits behind the last one must be zero."
        )


def _check_bitorder(bitorder: str) -> None:
    if bitorder not in ("little", "big"):
        raise ValueError(f"bitorder must be 'little' or 'big', got {bitorder!r}.")


def _statistics_codes(
    codes: ArrayLike, packed: bool, n_bits: int | None
) -> tuple[NDArray[np.uint8], int]:
    """Return packed codes, and how many bits they have."""
    if packed:
        packed_codes = check_packed(codes, n_bits=n_bits, name="codes")
        return packed_codes, int(n_bits or 8 * packed_codes.shape[1])
    bits = check_bits(codes)
    width = bits.shape[1]
    if n_bits not in (None, width):
        raise ValueError(
            f"codes must have {n_bits} bits for n_bits={n_bits}, got {width}."
        )
    return np.packbits(bits, axis=1, bitorder="little"), width


def _ones_together(packed: NDArray[np.uint8], n_bits: int) -> NDArray[np.float64]:
    """Count the codes in which both bits of a pair are one, (n_bits, n_bits)."""
    together = np.zeros((n_bits, n_bits))
    height = max(1, _FLOAT32_COUNTS // n_bits)
    for rows in gen_batches(len(packed), height):
        bits = np.unpackbits(packed[rows], axis=1, count=n_bits, bitorder="little")
        block = bits.astype(np.float32)
        together += block.T @ block
    return together


def _count_unique(packed: NDArray[np.uint8]) -> int:
    words = as_words(packed)
    words = words[np.lexsort(words.T)]
    return 1 + int((words[1:] != words[:-1]).any(axis=1).sum())


def _duplicate_bits(
    together: NDArray[np.float64], n_samples: int, dead: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """Group the bits that are equal or complementary in every code."""
    ones = np.diag(together)
    equal = (together == ones) & (together == ones[:, None])
    complementary = (together == 0) & (ones + ones[:, None] == n_samples)
    same = (equal | complementary) & ~dead & ~dead[:, None]
    first = np.argmax(same, axis=1)
    groups = (np.flatnonzero(~dead & (first == bit)) for bit in np.unique(first))
    return [group for group in groups if len(group) > 1]


def _binary_entropy(share: NDArray[np.float64]) -> NDArray[np.float64]:
    entropy = np.zeros_like(share)
    mixed = (share > 0) & (share < 1)
    p = share[mixed]
    entropy[mixed] = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    return entropy
