"""TrainingPlan: what a hasher wants of a training, beyond what skorch has names for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sklhash.training.augment import FeatureAugmentation
from sklhash.training.generators import DeviceGenerator
from sklhash.training.validation import HeldOutRows

__all__ = ["TrainingPlan"]


@dataclass(frozen=True)
class TrainingPlan:
    """How a net is trained.

    Parameters
    ----------
    generator : torch.Generator
        The fit's source of randomness, on the CPU.

    augment_generator : DeviceGenerator or None
        Source of the augmentation's randomness, where it is not `generator`.

    augmentation : FeatureAugmentation or None
        What batches go through.

    frozen_backbone : torch.nn.Module or None
        A backbone that the rows to train on have been through already.

    lr_factor : callable or None
        ``lr_factor(epoch, max_epochs)`` is what the learning rate is multiplied by.

    held_out : HeldOutRows or None
        Rows whose mean average precision is measured after each epoch.

    split_seed : int or None
        Seed that says which rows those are.

    precision : {"float32", "bf16"}
        What the module computes in.

    compiled : bool
        Whether the module is compiled.

    companions : sequence of (str, Callback)
        Callbacks of this training, which the trained net does not keep.
    """

    generator: torch.Generator
    augment_generator: DeviceGenerator | None = None
    augmentation: FeatureAugmentation | None = None
    frozen_backbone: nn.Module | None = None
    lr_factor: Callable[[int, int], float] | None = None
    held_out: HeldOutRows | None = None
    split_seed: int | None = None
    precision: str = "float32"
    compiled: bool = False
    companions: Sequence[tuple[str, Any]] = ()

    def generator_on(self, device: torch.device) -> torch.Generator:
        """Return the source of the augmentation's randomness for a device."""
        if self.augment_generator is None:
            return self.generator
        return self.augment_generator.on(device)

    def after_training(self) -> TrainingPlan:
        """Return what later trainings of the same net go on with."""
        return replace(self, frozen_backbone=None, held_out=None, companions=())

    def __getstate__(self) -> dict[str, Any]:
        """Hold the generator's state in its place, since torch leaks copies of it.

        It is an array: a process that is spawned reads a tensor where it was, and this
        one would be gone.
        """
        return vars(self) | {"generator": self.generator.get_state().numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the generator anew."""
        generator = torch.Generator()
        generator.set_state(torch.from_numpy(state["generator"].copy()))
        vars(self).update(state | {"generator": generator})
