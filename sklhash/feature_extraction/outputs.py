"""A row an item out of what a network returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["one_tensor", "rows_of"]


def one_tensor(output: Any, key: str | int | None) -> Tensor:
    """Return the tensor in an output that is one or holds some."""
    if isinstance(output, Tensor):
        if key is not None:
            raise ValueError(
                f"output={key!r} must be None, since module returns one tensor, of "
                f"shape {tuple(output.shape)}."
            )
        return output
    if isinstance(output, Mapping):
        entries = dict(output)
    elif isinstance(output, (tuple, list)):
        entries = dict(enumerate(output))
    else:
        raise TypeError(
            "module must return a tensor, mapping or tuple, got "
            f"{type(output).__name__}."
        )
    tensors = {k: entry for k, entry in entries.items() if isinstance(entry, Tensor)}
    if key is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if key not in tensors:
        shapes = ", ".join(f"{k!r} {tuple(t.shape)}" for k, t in tensors.items())
        raise ValueError(
            f"output={key!r} must name one of the tensors that module returns: "
            f"{shapes}."
        )
    return tensors[key]


@torch.inference_mode()
def rows_of(
    output: Tensor, pool: str | Callable[[Tensor], Tensor] | None, batch: Any
) -> Tensor:
    """Turn an output into a row an item.

    Parameters
    ----------
    output : Tensor of shape (n_items, ...)
        What the network returned.

    pool : {"mean", "first", "flatten"}, callable or None
        As for :class:`~sklhash.TorchFeatureExtractor`.

    batch : Tensor or mapping
        What the network was given, of which the attention mask is used.

    Returns
    -------
    rows : Tensor of shape (n_items, n_features)
        Of another shape if that of the output or of what `pool` returned is at fault.

    Raises
    ------
    ValueError
        If the output is a sequence and `pool` does not say what to make of it.
    """
    if callable(pool):
        return pool(output)
    if output.ndim < 2:
        return output
    if output.ndim == 2 or pool == "flatten":
        return output.flatten(1)
    if output.ndim == 3 and pool == "first":
        return output[:, 0]
    if output.ndim == 3 and pool == "mean":
        return _mean_over_tokens(output, batch)
    if output.ndim > 3 and pool != "first":
        return output.flatten(2).mean(2)
    raise ValueError(
        f"An output of shape {tuple(output.shape)} has several rows an item, and "
        f"pool={pool!r} does not say how to make one of them: pool must be 'mean', "
        "'first' (for a sequence), 'flatten' or a callable."
    )


def _mean_over_tokens(output: Tensor, batch: Any) -> Tensor:
    """Average (n, tokens, n_features) over the tokens that are no padding."""
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    if mask is None or mask.shape != output.shape[:2]:
        return output.mean(1)
    weights = mask.to(output.dtype).unsqueeze(2)
    return (weights * output).sum(1) / weights.sum(1).clamp(min=1)
