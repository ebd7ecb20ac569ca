"""Reading one shard of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklhash.codes import check_packed
from sklhash.stores.files import Folder
from sklhash.stores.formats import FORMATS
from sklhash.stores.manifest import Shard
from sklhash.stores.opening import naming_store

__all__ = ["ShardReader"]


@dataclass(frozen=True)
class ShardReader:
    """Reads one shard; it can be sent to other processes, and is as small as that.

    Parameters
    ----------
    folder : Folder
        Of the store.

    shard : Shard
        What the manifest says of the shard.

    format : {"npy", "parquet"}
        What its files are.

    n_bits : int
        Number of bits of a code.

    is_mapped : bool
        Whether to map files into memory that can be.
    """

    folder: Folder
    shard: Shard
    format: str
    n_bits: int
    is_mapped: bool

    def __len__(self) -> int:
        return self.shard.n_samples

    def codes(self) -> NDArray[np.uint8]:
        """Return the packed codes, checked; see `CodeStore.codes`."""
        with naming_store(self.folder.path, self.shard.files[0]):
            codes = FORMATS[self.format].codes(
                self.folder, self.shard, -(-self.n_bits // 8), mapped=self.is_mapped
            )
            if not isinstance(codes, np.memmap):
                check_packed(codes, n_bits=self.n_bits, name="codes")
        return codes

    def ids(self) -> NDArray[Any]:
        """Return the ids, checked; see `CodeStore.ids`."""
        with naming_store(self.folder.path, self.shard.files[-1]):
            return FORMATS[self.format].ids(
                self.folder, self.shard, mapped=self.is_mapped
            )
