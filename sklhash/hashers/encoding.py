"""Encoding into a store: packed codes, and fingerprints of what they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklhash._files import PathLike
from sklhash.codes import pack_positive
from sklhash.stores.chunks import chunks_in
from sklhash.stores.files import Folder, StorageOptions
from sklhash.stores.formats import Format
from sklhash.stores.store import CodeStore
from sklhash.stores.writing import write_store
from sklhash.training.fingerprints import fingerprint

__all__ = ["encode_store"]


def encode_store(
    hasher: Any,
    store: PathLike,
    chunks: Any,
    *,
    ids: Any,
    format: Format,
    shard_size: int,
    verify: bool,
    storage_options: StorageOptions,
) -> CodeStore:
    """Write what a fitted hasher makes of chunks; see `BaseHasher.encode_to`."""
    encoder = HasherEncoder(hasher)
    folder = Folder.at(store, storage_options)
    cut = chunks_in(chunks, ids, shard_size)
    write_store(folder, encoder, cut, format=format, verify=verify)
    return CodeStore(store, storage_options=storage_options)


class HasherEncoder:
    """Turns rows into packed codes by a fitted hasher.

    Parameters
    ----------
    hasher : BaseHasher
        The hasher.

    Attributes
    ----------
    n_bits : int
        Number of bits of a code.

    model : str
        A fingerprint of the class and of what the codes depend on.
    """

    def __init__(self, hasher: Any) -> None:
        check_is_fitted(hasher)
        self.n_bits = int(hasher.n_bits_)
        self.model = fingerprint(type(hasher), self.n_bits, hasher._encoding_state())
        self._hasher = hasher

    def checked(self, X: Any) -> Any:
        """Return rows as an array or a sparse one; None if there are none."""
        if _num_samples(X) == 0:
            return None
        return self._hasher._check_fitted_X(X)

    def fingerprint(self, values: Any) -> str:
        """Return a text that is the same for the same checked rows, or ids, only."""
        return fingerprint(values)

    def packed_codes(self, X: Any) -> NDArray[np.uint8]:
        """Return the packed codes of checked rows."""
        n_samples = 0 if X is None else X.shape[0]
        codes = np.empty((n_samples, -(-self.n_bits // 8)), dtype=np.uint8)
        if X is not None:
            for rows, values in self._hasher._project_blocks(X):
                codes[rows] = pack_positive(values)
        return codes
