"""How many bits codes have that come as bits or packed."""

from __future__ import annotations

from typing import Any

from sklhash._validation import check_count
from sklhash.codes import check_bits, check_packed

__all__ = ["width_of"]


def width_of(codes: Any, *, packed: bool, n_bits: int | None, name: str) -> int:
    """Return the number of bits of codes.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_bits) or (n_samples, n_bytes) if packed
        Codes.

    packed : bool
        Whether `codes` are packed.

    n_bits : int or None
        What the caller says; None is the number of columns or, if packed, eight a byte.

    name : str
        What errors call the codes.

    Returns
    -------
    n_bits : int

    Raises
    ------
    ValueError
        If `codes` is not a matrix of codes, or not of `n_bits` bits.

    TypeError
        If `n_bits` is no integer.
    """
    if n_bits is not None:
        check_count(n_bits, "n_bits")
    if packed:
        n_bytes = check_packed(codes, n_bits=n_bits, name=name).shape[1]
        return n_bits or 8 * n_bytes
    width = check_bits(codes, name=name).shape[1]
    if n_bits not in (None, width):
        raise ValueError(f"{name} must have n_bits={n_bits} bits a row, got {width}.")
    return width
