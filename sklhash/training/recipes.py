"""What the names of devices, schedules and optimizers stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch

__all__ = ["check_lr_factor", "lr_factor", "optimizer_params", "resolve_device"]

FUSED = {"optimizer__fused": True}  # one kernel for all parameters


def resolve_device(device: str | torch.device) -> str:
    """Return the name of the device that "auto" stands for on this machine."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, there in available.items() if there)
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device, got {device!r}: {error}"
        ) from error
    is_there = available.get(wanted.type, True)
    if wanted.type == "cuda" and wanted.index is not None:
        is_there = is_there and wanted.index < torch.cuda.device_count()
    if not is_there:
        raise ValueError(f"device={str(device)!r} is not available on this machine.")
    return str(device)


def step_factor(epoch: int, max_epochs: int) -> float:
    """Divide the learning rate by ten in the last fifth of the epochs."""
    return 0.1 if epoch >= 0.8 * max_epochs else 1.0


def cosine_factor(epoch: int, max_epochs: int) -> float:
    """Let the learning rate fall from its full value towards zero in a half wave."""
    return 0.5 * (1 + float(np.cos(np.pi * epoch / max_epochs)))


def lr_factor(
    lr_schedule: str | Callable[[int, int], float] | None,
) -> Callable[[int, int], float] | None:
    """Return the schedule that a name stands for."""
    if isinstance(lr_schedule, str):
        return {"step": step_factor, "cosine": cosine_factor}[lr_schedule]
    return lr_schedule


def check_lr_factor(factor: Any) -> None:
    """Raise an error if what a schedule returned is no factor of a learning rate."""
    if not isinstance(factor, Real):
        raise TypeError(f"lr_schedule must return numbers, got {factor!r}.")
    if not 0 <= float(factor) < math.inf:
        raise ValueError(
            f"lr_schedule must return finite numbers of at least 0, got {factor!r}."
        )


def optimizer_params(optimizer: Any, weight_decay: float) -> dict[str, Any]:
    """Return the optimizer in the words of skorch."""
    decay = {"optimizer__weight_decay": weight_decay}
    if callable(optimizer):
        return {"optimizer": optimizer, **(decay if weight_decay else {})}
    if optimizer == "sgd":
        momentum = {"optimizer__momentum": 0.9}
        return {"optimizer": torch.optim.SGD, **FUSED, **momentum, **decay}
    named = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return {"optimizer": named[optimizer], **FUSED, **decay}
