"""Straight-through estimates: what a step lets through to the layers below."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["signs", "straight_through", "straight_through_sign"]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, stand_in: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[None, Tensor]:
        return None, grad_outputs[0]


def straight_through(value: Tensor, stand_in: Tensor) -> Tensor:
    """Return `value`, exactly, with the gradient going to `stand_in`.

    Both have the same shape.
    """
    return _StraightThrough.apply(value.detach(), stand_in)


def signs(x: Tensor) -> Tensor:
    """Return +1 where `x` is positive and -1 elsewhere, as codes are cut."""
    return torch.where(x > 0, 1.0, -1.0).to(x.dtype)


def straight_through_sign(x: Tensor) -> Tensor:
    """Return the signs of `x`, with the gradient of the identity."""
    return straight_through(signs(x), x)
