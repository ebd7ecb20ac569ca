"""The losses of an epoch, kept on the device until its end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["EpochLosses"]


class EpochLosses:
    """The loss of each batch of an epoch.

    Parameters
    ----------
    epoch : int
        Number of the epoch, the first is 1.

    remedies : str
        What may help if the training diverges.
    """

    def __init__(self, epoch: int, remedies: str) -> None:
        self.epoch = epoch
        self.remedies = remedies
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []

    def add(self, loss: Tensor, n_rows: int) -> None:
        """Keep the loss of the next batch."""
        self._losses.append(loss.detach())
        self._sizes.append(n_rows)

    def __len__(self) -> int:
        return len(self._losses)

    def read(
        self, logged: dict[str, Any], weights: Iterable[Tensor] = ()
    ) -> tuple[float, dict[str, float]]:
        """Return the mean loss over rows, and quantities as plain numbers.

        All come from the device at once.

        Raises
        ------
        ValueError
            If a loss or a weight is not finite.
        """
        device = self._losses[0].device
        tensors = [v.to(device) for v in logged.values() if isinstance(v, Tensor)]
        sums = [weight.detach().sum(dtype=torch.float32) for weight in weights]
        values = torch.stack([*self._losses, *sums, *tensors]).tolist()
        losses, values = values[: len(self)], values[len(self) :]
        self._refuse_divergence(losses)
        self._refuse_broken_weights(values[: len(sums)])
        numbers = iter(values[len(sums) :])
        plain = {
            name: next(numbers) if isinstance(value, Tensor) else value
            for name, value in logged.items()
        }
        total = math.fsum(a * b for a, b in zip(losses, self._sizes, strict=True))
        return total / sum(self._sizes), plain

    def _refuse_divergence(self, losses: list[float]) -> None:
        for number, loss in enumerate(losses, start=1):
            if not math.isfinite(loss):
                where = (
                    f"The loss is {loss} in batch {number} of {len(losses)} of epoch "
                    f"{self.epoch}"
                )
                if number == self.epoch == 1:
                    raise ValueError(
                        f"{where}, before the first step: look at what the backbone, "
                        "the augmentation and the loss make of the first batch."
                    )
                raise ValueError(
                    f"{where}: the training has diverged. {self.remedies} may help."
                )

    def _refuse_broken_weights(self, sums: list[float]) -> None:
        if not all(map(math.isfinite, sums)):
            raise ValueError(
                f"Weights are not finite after epoch {self.epoch}, although the losses "
                f"are: the training has diverged. {self.remedies} may help."
            )
