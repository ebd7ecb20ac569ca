"""A network in front of the head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sklhash.training.batches import batch_bounds
from sklhash.training.failures import is_out_of_memory
from sklhash.training.generators import draw_seed_from, global_generators_seeded
from sklhash.training.heads import HashHead

__all__ = [
    "BackboneHead",
    "features_in_training",
    "hash_head_of",
    "make_backbone",
    "width_of_features",
]


class BackboneHead(nn.Module):
    """A backbone and the head that turns its features into real-valued codes.

    Parameters
    ----------
    backbone : torch.nn.Module
        Anything to features, (n, n_features).

    head : HashHead
        Features to real-valued codes.

    frozen : bool, default=False
        Whether the backbone stays as it is: in evaluation mode and without gradients.
    """

    def __init__(
        self, backbone: nn.Module, head: HashHead, *, frozen: bool = False
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        if frozen:
            backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> BackboneHead:
        """Go into training mode, a frozen backbone excepted."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def project(self, x: Tensor) -> Tensor:
        """Return the head's output before batch normalisation."""
        return self.head.project(self.backbone(x))

    def forward(
        self, x: Tensor, between: Callable[[Tensor], Tensor] | None = None
    ) -> Any:
        """Return what the head makes of the backbone's features.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Rows.

        between : callable, default=None
            What the features go through before the head.
        """
        features = self.backbone(x)
        return self.head(features if between is None else between(features))


def hash_head_of(module: Any) -> HashHead:
    """Return the head of a fitted network, with or without a backbone."""
    return module.head if isinstance(module, BackboneHead) else module


def make_backbone(backbone: nn.Module | Callable[[], nn.Module], seed: int) -> Any:
    """Return a copy of a module, or of what a function makes with seeded generators.

    Raises
    ------
    TypeError
        If that is no module.
    """
    if isinstance(backbone, nn.Module):
        return copy.deepcopy(backbone)
    with global_generators_seeded(seed, torch.device("cpu")):
        made = backbone()
    if not isinstance(made, nn.Module):
        raise TypeError(
            "backbone must be a torch module or a function that makes one, got a "
            f"function that makes {type(made).__name__}."
        )
    return copy.deepcopy(made)  # a function may hand out one that it keeps


def width_of_features(backbone: nn.Module, x: Tensor) -> int:
    """Return how many features a backbone makes of a row.

    Raises
    ------
    ValueError
        If it does not make a vector of each row.
    """
    backbone.eval()
    try:
        with torch.inference_mode():
            features = backbone(x)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"backbone must take rows of shape {tuple(x.shape[1:])}, got an error from "
            f"it: {error}"
        ) from error
    if (
        not isinstance(features, Tensor)
        or features.ndim != 2
        or len(features) != len(x)
    ):
        got = (
            f"shape {tuple(features.shape)}"
            if isinstance(features, Tensor)
            else type(features).__name__
        )
        raise ValueError(
            f"backbone must turn a batch of {len(x)} rows into features of shape "
            f"({len(x)}, n_features), got {got}; flatten or pool at its end."
        )
    return features.shape[1]


def features_in_training(
    backbone: nn.Module, x: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Walk over what a backbone makes of rows in training mode, a batch at a time.

    Batch normalisation that has not seen data scales by the batch in training and not
    at all otherwise.

    Parameters
    ----------
    backbone : torch.nn.Module
        It stays as it is.

    x : Tensor of shape (n, ...)
        Rows, on the device of the backbone.

    batch_size : int
        Rows in a batch.

    generator : torch.Generator
        Source of the order of the rows and of what the backbone draws, on the CPU.
    """
    trained = copy.deepcopy(backbone).train()
    order = torch.randperm(len(x), generator=generator).to(x.device)
    for start, stop in batch_bounds(len(x), batch_size):
        seed = draw_seed_from(generator)
        with global_generators_seeded(seed, x.device), torch.inference_mode():
            features = trained(x[order[start:stop]])
        yield features
