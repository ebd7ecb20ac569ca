"""Drawing triplets and lists of rows within a batch, by the labels they share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sklhash.hashers.loss import HashLoss
from sklhash.targets import Targets
from sklhash.training.generators import DeviceGenerator, draw_seed_from

__all__ = ["DrawingLoss", "Neighbours", "draw_between", "neighbours"]


class Neighbours(NamedTuple):
    """The rows of a batch as each of them sees the others, most relevant first.

    Attributes
    ----------
    order : Tensor of shape (n, n), dtype=int64
        Places of the rows in the batch.

    relevance : Tensor of shape (n, n)
        Number of labels shared with them, descending; -1 for what is not to be drawn.

    n_relevant : Tensor of shape (n,), dtype=int64
        How many share a label: they are the first.

    n_listed : Tensor of shape (n,), dtype=int64
        How many may be drawn: those and the ones that share none.
    """

    order: Tensor
    relevance: Tensor
    n_relevant: Tensor
    n_listed: Tensor


def neighbours(y: Tensor) -> Neighbours:
    """Sort the rows of a batch by the labels they share with each of its rows.

    A row is not among its own neighbours, unless no other row shares a label with it:
    then it is its own relevant one, so that it is still told apart from the others.

    Parameters
    ----------
    y : Tensor of shape (n, n_classes)
        Label indicator.

    Returns
    -------
    neighbours : Neighbours
    """
    relevance = y @ y.T
    own = relevance.diagonal().clone()
    relevance.fill_diagonal_(0)
    alone = (relevance == 0).all(dim=1) & (own > 0)
    relevance.diagonal().copy_(torch.where(alone, own, -torch.ones_like(own)))
    relevance, order = relevance.sort(dim=1, descending=True, stable=True)
    return Neighbours(
        order, relevance, (relevance > 0).sum(dim=1), (relevance >= 0).sum(dim=1)
    )


def draw_between(
    start: Tensor, stop: Tensor, n_draws: int, generator: torch.Generator
) -> Tensor:
    """Draw whole numbers from ranges, evenly and with repetition.

    Parameters
    ----------
    start, stop : Tensor of shape (n,), dtype=int64
        The range of each row, `start` included and `stop` not.

    n_draws : int
        How many to draw from each.

    generator : torch.Generator
        Source of randomness, on the device of `start`.

    Returns
    -------
    numbers : Tensor of shape (n, n_draws), dtype=int64
        From an empty range comes `start`.
    """
    wide = torch.randint(
        2**62, (len(start), n_draws), generator=generator, device=start.device
    )
    width = (stop - start).clamp(min=1)
    return start[:, None] + wide % width[:, None]


class DrawingLoss(HashLoss):
    """Base of losses over what is drawn within a batch.

    Its generator is its own, seeded by the fit's, so that a stored hasher goes on as
    the one in memory does.
    """

    def on_fit_begin(
        self, targets: Targets, n_bits: int, generator: torch.Generator
    ) -> None:
        """Seed the draws."""
        self.generator = DeviceGenerator(draw_seed_from(generator))
