"""Three ways to train the same head with the same loss, and what loss they end at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from sklhash import DeepHasher
from sklhash.hashers.base import draw_seed
from sklhash.targets import encode_targets


@dataclass(frozen=True)
class Task:
    """A hasher with all its parameters, `device` by name, and what it is to learn."""

    hasher: DeepHasher
    X: np.ndarray
    y: np.ndarray


def fit_ours(task: Task) -> float:
    return task.hasher.fit(task.X, task.y).loss_curve_[-1]


def fit_bare(task: Task, *, fused: bool | None = None) -> float:
    """Train as one does by hand: all rows are one tensor, a batch is a part of it."""
    hasher = task.hasher
    X = torch.from_numpy(task.X).to(hasher.device)
    head, loss, Y, generator = make_parts(task, X)
    optimizer = torch.optim.Adam(
        head.parameters(), hasher.lr, weight_decay=hasher.weight_decay, fused=fused
    )
    for epoch in range(hasher.max_epochs):
        loss.on_epoch_begin(epoch, hasher.max_epochs)
        order = torch.randperm(len(X), generator=generator).to(hasher.device)
        loss_sum = torch.zeros((), device=hasher.device)
        for start in range(0, len(X), hasher.batch_size):
            index = order[start : start + hasher.batch_size]
            optimizer.zero_grad()
            batch_loss = loss(head(X[index]), Y[index], index)
            batch_loss.backward()
            optimizer.step()
            loss_sum += batch_loss.detach() * len(index)
        loss.on_epoch_end()
    return float(loss_sum) / len(X)


def fit_skorch(task: Task) -> float:
    """Train with skorch as it comes: a dataset of rows, and its default loader."""
    hasher = task.hasher
    head, loss, Y, _ = make_parts(task, torch.from_numpy(task.X).to(hasher.device))
    loss.on_epoch_begin(0, hasher.max_epochs)
    net = NeuralNet(
        head,
        WithoutIndex(loss),
        max_epochs=hasher.max_epochs,
        batch_size=hasher.batch_size,
        lr=hasher.lr,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=hasher.weight_decay,
        iterator_train__shuffle=True,
        train_split=None,
        device=hasher.device,
        verbose=0,
    )
    net.fit(task.X, Y.cpu().numpy())
    return net.history[-1, "train_loss"]


class WithoutIndex(nn.Module):
    """A loss that has no use for the numbers of the rows."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        return self.loss(output, y, None)


def make_parts(task: Task, X: Tensor) -> tuple[Any, Any, Tensor, torch.Generator]:
    """Return the hasher's head and loss, labels as indicators, and the generator."""
    hasher = task.hasher
    targets = encode_targets(task.y)
    generator = torch.Generator().manual_seed(draw_seed(hasher.random_state))
    head, loss = hasher._make_head(X.shape[1]), hasher._make_loss(targets)
    head.reset_parameters(generator)
    head.to(X.device)
    mean = X.mean(dim=0)
    head.standardize.mean.copy_(mean)
    head.standardize.scale.copy_((X - mean).square().mean().sqrt())
    loss.on_fit_begin(targets, hasher.n_bits, generator)
    Y = torch.from_numpy(targets.indicator(np.arange(len(X)))).to(X.device)
    return head, loss.to(X.device), Y, generator
