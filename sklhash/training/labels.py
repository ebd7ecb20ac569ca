"""Label indicators of batches, made where they are used."""

from __future__ import annotations

import torch
from torch import Tensor

from sklhash._memory import working_bytes
from sklhash.targets import Targets

__all__ = ["LabelTable"]


class LabelTable:
    """The labels of all rows, on the device that trains, as indicators of a batch.

    Parameters
    ----------
    targets : Targets
        Labels of the rows that are trained on.

    device : str or torch.device, default="cpu"
        Where the indicators are wanted. Several labels a row are kept there as a table
        of bytes if it fits into scikit-learn's `working_memory`, and are looked up on
        the CPU if not.
    """

    def __init__(self, targets: Targets, device: str | torch.device = "cpu") -> None:
        self._targets = targets
        self._device = device
        self._ids = self._table = None
        if targets.ids is not None:
            self._ids = torch.from_numpy(targets.ids).to(device)
        elif len(targets) * targets.n_classes <= working_bytes():
            table = torch.from_numpy(targets.labels.astype("uint8").toarray())
            self._table = table.to(device)

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return the label indicator of some rows, (n, n_classes), in float32."""
        if self._ids is not None:
            ids = self._ids[index]
            indicator = torch.zeros(
                (len(ids), self._targets.n_classes), device=ids.device
            )
            return indicator.scatter_(1, ids[:, None], 1.0)
        if self._table is not None:
            return self._table[index].float()
        looked_up = torch.from_numpy(self._targets.indicator(index.cpu().numpy()))
        return looked_up.to(self._device)
