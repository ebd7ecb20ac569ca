"""What tests of losses have in common."""

import numpy as np
import torch

from sklhash.targets import encode_targets


def begin(loss, labels, n_bits, seed=0):
    """Let a loss begin a fit on rows with these labels, and return it in float64."""
    generator = torch.Generator().manual_seed(seed)
    loss.on_fit_begin(encode_targets(labels), n_bits, generator)
    loss.on_epoch_begin(0, 10)
    return loss.double()


def indicator(labels):
    """Return labels as the trainer hands them to a loss, in float64."""
    return torch.from_numpy(encode_targets(labels).indicator()).double()


def value(loss, output, labels, index=None):
    """Return the loss of a batch as a number."""
    output = torch.as_tensor(np.asarray(output), dtype=torch.float64)
    index = torch.arange(len(output)) if index is None else torch.as_tensor(index)
    return loss(output, indicator(labels), index).item()
