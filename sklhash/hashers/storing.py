"""What a file holds of a deep hasher, and how it is checked when it comes back."""

from __future__ import annotations

import math
from contextlib import suppress
from copy import copy
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklhash._state import check_shape
from sklhash.hashers.loss import HashLoss
from sklhash.targets import Targets
from sklhash.training.backbones import BackboneHead, hash_head_of
from sklhash.training.heads import HashHead
from sklhash.training.net import HashingNet

__all__ = ["check_net", "types_of_modules"]

LARGEST_ROW = 2**24  # values; two zero rows of it are encoded


def types_of_modules(hasher: Any) -> set[type]:
    """Return the classes that the head and the loss of a hasher are made of."""
    plain = copy(hasher)
    plain.hidden_layer_sizes = ()
    no_rows = Targets(np.arange(0), sparse.csr_array((0, 0), dtype=np.float32))
    # The code of a class that is not ours may want more than this.
    with suppress(Exception), torch.device("meta"):
        made = plain._make_head(1), plain._make_loss(no_rows)
        return {type(module) for part in made for module in part.modules()}
    return set()


def check_net(hasher: Any, net: HashingNet, *, others: bool) -> None:
    """Refuse a net that does not fit the other attributes of a hasher.

    Parameters
    ----------
    hasher : DeepHasher
        With its attributes, but for the net.

    net : HashingNet
        Out of a file.

    others : bool
        Whether the loss may have tensors that its class does not declare.

    Raises
    ------
    ValueError
        If it does not turn the features into codes of that many bits, or a tensor of
        the loss has another shape.
    """
    module, loss = net.module_, net.criterion_
    if not isinstance(module, (HashHead, BackboneHead)) or not isinstance(
        loss, HashLoss
    ):
        raise ValueError(
            "a net must have a head and a loss, got "
            f"{type(module).__name__} and {type(loss).__name__}."
        )
    shape = hasher._row_shape
    n_features = len(hash_head_of(module).standardize.mean)
    if shape[:1] != (hasher.n_features_in_,) or (
        isinstance(module, HashHead) and shape != (n_features,)
    ):
        raise ValueError(
            f"the net takes {n_features} features, and the hasher was fitted on "
            f"{hasher.n_features_in_}, rows of shape {shape}."
        )
    if math.prod(shape) > LARGEST_ROW:
        raise ValueError(f"rows of shape {shape} are too large.")
    n_bits = net.project(np.zeros((2, *shape), dtype=np.float32), module).shape[1]
    if n_bits != hasher.n_bits_:
        raise ValueError(f"the net makes {n_bits} bits, not {hasher.n_bits_}.")
    if not others:
        _check_tensors(hasher, loss)


def _check_tensors(hasher: Any, loss: HashLoss) -> None:
    sizes = {"n_bits": hasher.n_bits_}
    if hasattr(hasher, "classes_"):
        sizes["n_classes"] = len(hasher.classes_)
    tensors = dict(loss.named_buffers())
    if tensors.keys() != loss._shapes.keys():
        raise ValueError(
            f"the loss must have the tensors {list(loss._shapes)}, got {list(tensors)}."
        )
    for name, tensor in tensors.items():
        if tensor.shape == (0,):  # not used in this fit
            continue
        try:
            check_shape(tuple(tensor.shape), loss._shapes[name], sizes)
        except ValueError as bad:
            raise ValueError(f"{name} of the loss must be {bad}.") from None
