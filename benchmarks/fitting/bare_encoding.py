"""The fewest operations that turn rows into packed codes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

Layers = list[tuple[np.ndarray, np.ndarray]]
Encoder = Callable[[np.ndarray], np.ndarray]
HEIGHTS = (512, 4096)


def layers_of(hasher: Any) -> Layers:
    """Return weights and biases, the scaling of the features among them."""
    if not hasattr(hasher, "net_"):
        origin = hasher.decision_function(np.zeros((1, hasher.n_features_in_)))
        moved = hasher.decision_function(np.eye(hasher.n_features_in_))
        return [(np.ascontiguousarray((moved - origin).T), origin[0])]
    head = hasher.net_.module_.cpu()
    linear = [layer for layer in head.hidden if hasattr(layer, "weight")] + [head.hash]
    weights = [layer.weight.detach().double() for layer in linear]
    biases = [0.0 if x.bias is None else x.bias.detach().double() for x in linear]
    weights[0] = weights[0] / head.standardize.scale
    biases[0] = biases[0] - weights[0] @ head.standardize.mean.double()
    norm = head.norm
    if hasattr(norm, "running_var"):
        gain = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        weights[-1] = gain[:, None] * weights[-1]
        biases[-1] = gain * (biases[-1] - norm.running_mean) + norm.bias.detach()
    return [
        (w.float().numpy(), b.float().numpy())
        for w, b in zip(weights, biases, strict=True)
    ]


def bare_encoders(layers: Layers, *, whole: bool) -> dict[str, Encoder]:
    """Return ways to encode rows, in blocks and, if wanted, all at once."""
    encoders: dict[str, Encoder] = {}
    for name, product in (("numpy", in_numpy), ("torch", in_torch)):
        encode = partial(product, layers)
        if whole:
            encoders[f"{name}, whole"] = encode
        for height in HEIGHTS:
            encoders[f"{name}, {height:,} rows"] = partial(in_blocks, encode, height)
    return encoders


def in_numpy(layers: Layers, X: np.ndarray) -> np.ndarray:
    values = X.astype(np.float32, copy=False)
    for number, (weight, bias) in enumerate(layers):
        if number:
            np.maximum(values, 0, out=values)
        values = values @ weight.T
        values += bias
    return np.packbits(values > 0, axis=1, bitorder="little")


@torch.inference_mode()
def in_torch(layers: Layers, X: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(X.astype(np.float32, copy=False))
    for number, (weight, bias) in enumerate(layers):
        if number:
            values.relu_()
        values = F.linear(values, torch.from_numpy(weight), torch.from_numpy(bias))
    return np.packbits((values > 0).numpy(), axis=1, bitorder="little")


def in_blocks(encode: Encoder, height: int, X: np.ndarray) -> np.ndarray:
    starts = range(0, len(X), height)
    return np.concatenate([encode(X[start : start + height]) for start in starts])
