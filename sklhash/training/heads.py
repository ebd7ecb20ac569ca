"""Heads: from features to real-valued codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sklhash._validation import (
    check_array_like,
    check_boolean,
    check_count,
    is_whole_number,
)

__all__ = ["HashHead", "RowwiseLinear", "Standardize", "rowwise_linear"]

WIDTH_MULTIPLE = 16


def rowwise_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a linear map such that a row's result depends on that row alone.

    Matrix products whose columns are no multiple of 16 take other paths through BLAS,
    where the last digits change with the row's place in the block and, since threads
    share out the columns, with their number; zero columns keep them off those. With
    that, and blocks of constant height, a row has the same code alone and in any batch,
    at any number of threads.
    """
    missing = -weight.shape[0] % WIDTH_MULTIPLE
    if missing == 0:
        return F.linear(x, weight, bias)
    y = F.linear(x, F.pad(weight, (0, 0, 0, missing)))[:, : weight.shape[0]]
    return y if bias is None else y + bias


class RowwiseLinear(nn.Linear):
    """A linear layer that leaves torch's global generator alone.

    Its weights are undefined until :meth:`HashHead.reset_parameters` draws them.
    """

    def reset_parameters(self) -> None:
        """Draw nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to rows."""
        if self.training:
            return super().forward(x)
        return rowwise_linear(x, self.weight, self.bias)


class Standardize(nn.Module):
    """Centre the features and divide them by one number, both learnt from data.

    One number for all features: it takes the scale of the input away and leaves the
    proportions, on which distances rest, as they are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))

    def learn(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        """Take mean and scale from all rows, which come in blocks, in one pass."""
        n_rows = 0
        origin, total, squares = np.zeros((3, len(self.mean)))
        for block in blocks:
            if n_rows == 0:
                origin = block.mean(axis=0, dtype=np.float64)
            centred = block - origin
            total += centred.sum(axis=0)
            squares += np.square(centred).sum(axis=0)
            n_rows += len(block)
        shift = total / n_rows
        variance = (squares / n_rows - np.square(shift)).mean()
        self.mean.copy_(torch.from_numpy(origin + shift))
        self.scale.fill_(np.sqrt(variance) if variance > 0 else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to rows."""
        centred = x - self.mean
        if self.training:
            return centred / self.scale
        return centred.mul_(self.scale.reciprocal())


class HashHead(nn.Module):
    """Features to real-valued codes: standardise, hidden layers, a linear layer.

    Parameters
    ----------
    n_features : int
        Width of the input.

    n_bits : int
        Width of the output.

    hidden_layer_sizes : sequence of int, default=()
        Widths of the hidden layers, each followed by a ReLU.

    batch_norm : bool, default=False
        Whether the output is batch-normalised. The last layer then has no bias.

    Examples
    --------
    >>> import torch
    >>> from sklhash.training.heads import HashHead
    >>> head = HashHead(64, 16, hidden_layer_sizes=(32,))
    >>> head.reset_parameters(torch.Generator().manual_seed(0))
    >>> head(torch.zeros(3, 64)).shape
    torch.Size([3, 16])
    """

    def __init__(
        self,
        n_features: int,
        n_bits: int,
        hidden_layer_sizes: Sequence[int] = (),
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_count(n_features, "n_features")
        check_count(n_bits, "n_bits")
        check_array_like(hidden_layer_sizes, "hidden_layer_sizes")
        check_boolean(batch_norm, "batch_norm")
        if not all(is_whole_number(w) and w > 0 for w in hidden_layer_sizes):
            raise ValueError(
                "hidden_layer_sizes must hold whole numbers of at least 1, got "
                f"{hidden_layer_sizes!r}."
            )
        self.standardize = Standardize(n_features)
        widths = [n_features, *hidden_layer_sizes]
        self.hidden = nn.Sequential()
        for width_in, width_out in pairwise(widths):
            self.hidden.append(RowwiseLinear(width_in, width_out))
            self.hidden.append(nn.ReLU(inplace=True))
        self.hash = RowwiseLinear(widths[-1], n_bits, bias=not batch_norm)
        self.norm = nn.BatchNorm1d(n_bits) if batch_norm else nn.Identity()

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw weights and biases evenly from within 1 / sqrt(n_inputs) of zero.

        Parameters
        ----------
        generator : torch.Generator
            Source of randomness, on the device of the head.
        """
        for layer in self.modules():
            if isinstance(layer, RowwiseLinear):
                bound = layer.in_features**-0.5
                for parameter in layer.parameters():
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def project(self, x: Tensor) -> Tensor:
        """Return the output before batch normalisation.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Features.

        Returns
        -------
        projected : Tensor of shape (n, n_bits)
            What the last linear layer makes of them.
        """
        return self.hash(self.hidden(self.standardize(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Return real-valued codes.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Features.

        Returns
        -------
        output : Tensor of shape (n, n_bits)
            The real-valued codes; bits are ones where it is positive.
        """
        return self.norm(self.project(x))

    def as_linear_map(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return what the head is in evaluation mode, if it has no hidden layers.

        Returns
        -------
        mean, weight, bias : Tensor of shape (n_features,), (n_bits, n_features), \
                (n_bits,)
            The real-valued code is ``(x - mean) @ weight.T + bias``. None if there are
            hidden layers, or a subclass computes something else.
        """
        kind = type(self)
        changed = (kind.forward, kind.project) != (HashHead.forward, HashHead.project)
        if changed or len(self.hidden):
            return None
        weight: Any = self.hash.weight / self.standardize.scale
        bias: Any = self.hash.bias
        norm: Any = self.norm
        if bias is None:  # batch normalisation has its own
            gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            weight, bias = weight * gain[:, None], norm.bias - gain * norm.running_mean
        return self.standardize.mean, weight, bias
