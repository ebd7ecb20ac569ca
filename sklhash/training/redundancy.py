"""Bits that say nothing, or nothing new."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from skorch.callbacks import Callback
from torch import Tensor

from sklhash._fitting import stacklevel_of_user
from sklhash.codes import code_statistics, pack_codes

__all__ = ["RedundantBits"]

MOST_ROWS = 2**14


class RedundantBits(Callback):
    """Warn if bits are the same for all rows trained on, or equal to another bit.

    Some of the rows are looked at first, and if there are such bits all, or 16384 of
    more, spread evenly. With no more rows than bits there always are, and nothing is
    said.

    Parameters
    ----------
    n_bits : int
        Number of bits of a code.
    """

    def __init__(self, n_bits: int) -> None:
        self.n_bits = n_bits

    def on_train_end(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Look at the codes of the rows that the net was trained on."""
        if X.n_rows <= self.n_bits or not any(self._count(net, [X.sample()])):
            return
        n_dead, n_duplicate = self._count(net, X.blocks(MOST_ROWS))
        if n_dead or n_duplicate:
            among = f"{MOST_ROWS} among the " if X.n_rows > MOST_ROWS else ""
            warnings.warn(
                f"{n_dead} of {self.n_bits} bits are the same for all {among}"
                f"{X.n_rows} rows trained on, and {n_duplicate} are equal to another "
                "bit or to its opposite. sklhash.code_statistics tells which; fewer "
                "bits may do.",
                UserWarning,
                stacklevel=stacklevel_of_user(),
            )

    def _count(self, net: Any, blocks: Iterable[Tensor]) -> tuple[int, int]:
        """Count the dead bits, and those that an earlier one makes redundant."""
        codes = np.concatenate([pack_codes(net.bits(x)) for x in blocks])
        statistics = code_statistics(codes, packed=True, n_bits=self.n_bits)
        groups = statistics.duplicate_bits
        return len(statistics.dead_bits), sum(len(group) - 1 for group in groups)
