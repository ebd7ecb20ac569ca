"""Codes for other search engines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

__all__ = ["as_bit_strings", "to_faiss"]


def to_faiss(packed: NDArray[np.uint8]) -> Any:
    """Copy codes into an exact index of FAISS.

    Parameters
    ----------
    packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
        Packed codes.

    Returns
    -------
    index : faiss.IndexBinaryFlat
        An index of ``8 * n_bytes`` bits with the codes in their order. Padding bits are
        equal everywhere and add nothing to a distance.

    Raises
    ------
    ImportError
        If faiss is not installed.
    """
    try:
        import faiss
    except ImportError as missing:
        raise ImportError(
            "to_faiss needs faiss: pip install 'sklhash[faiss]'."
        ) from missing
    index = faiss.IndexBinaryFlat(8 * packed.shape[1])
    index.add(np.ascontiguousarray(packed))
    return index


def as_bit_strings(packed: NDArray[np.uint8], n_bits: int) -> list[str]:
    """Write codes as strings of zeros and ones.

    Parameters
    ----------
    packed : ndarray of shape (n_samples, n_bytes), dtype=uint8
        Packed codes.

    n_bits : int
        Number of bits of a code.

    Returns
    -------
    strings : list of str
        One a code, of `n_bits` characters; character ``j`` is bit ``j``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklhash.neighbors.exchange import as_bit_strings
    >>> as_bit_strings(np.array([[1, 3], [6, 0]], dtype=np.uint8), n_bits=10)
    ['1000000011', '0110000000']
    """
    strings: list[str] = []
    for rows in gen_batches(max(1, len(packed)), 1 << 14):
        bits = np.unpackbits(packed[rows], axis=1, count=n_bits, bitorder="little")
        text = (bits + np.uint8(ord("0"))).tobytes().decode("ascii")
        strings += (text[j : j + n_bits] for j in range(0, len(text), n_bits))
    return strings
