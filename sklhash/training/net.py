"""HashingNet: the skorch net under every deep hasher."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PrintLog
from skorch.utils import to_device, to_tensor
from torch import Tensor

from sklhash.training.heads import Standardize

__all__ = ["HashingNet"]


class _StoppedEarly(Exception):
    """A callback has ended the training."""


def _has_lost_patience(callback: Callback) -> bool:
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


class HashingNet(NeuralNet):
    """A skorch net that trains a head with a :class:`~sklhash.hashers.loss.HashLoss`.

    It differs from its base in that nothing is split off for validation, batches are
    slices of arrays, losses are added up on the device and read once an epoch, the
    module may see several augmented views of a batch, and Ctrl-C is not swallowed.

    Parameters
    ----------
    module : torch.nn.Module
        The head.

    criterion : HashLoss
        The loss.

    lr_factor : callable or None
        ``lr_factor(epoch, max_epochs)`` is what the learning rate is multiplied by.

    augmentation : callable or None
        ``augmentation(x, standardize)`` is a view of a batch, in training.

    **kwargs : dict
        As for :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        criterion: torch.nn.Module,
        *,
        lr_factor: Callable[[int, int], float] | None = None,
        augmentation: Callable[[Tensor, Standardize], Tensor] | None = None,
        train_split: Any = None,
        predict_nonlinearity: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion,
            train_split=train_split,
            predict_nonlinearity=predict_nonlinearity,
            **kwargs,
        )
        self.lr_factor = lr_factor
        self.augmentation = augmentation

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> HashingNet:
        """Train for `max_epochs`, or `epochs` if given, and let Ctrl-C through."""
        if not self.initialized_:
            self.initialize()
        fit_params.pop("_routing_method", None)
        self.notify("on_train_begin", X=X, y=y)
        with suppress(_StoppedEarly):
            self.fit_loop(X, y, **fit_params)
        self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a method of the net and its callbacks; early stopping ends the fit.

        Skorch stops early by raising KeyboardInterrupt, which is not to be taken for
        the user's.
        """
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt as interrupt:
                if method_name != "on_epoch_end" or not _has_lost_patience(callback):
                    raise
                raise _StoppedEarly from interrupt

    def train_on(self, X: Any, lr: float) -> None:
        """Go on for one epoch at a constant learning rate."""
        if not self.initialized_:
            self.initialize()
        self.lr_factor = None
        for group in self.optimizer_.param_groups:
            group["lr"] = lr
        self.partial_fit(X, epochs=1)

    def epochs(self) -> list[dict[str, Any]]:
        """Return the history as one plain dict an epoch."""
        names = {"train_loss": "loss", "dur": "seconds"}
        left_out = {"batches", "train_batch_count", "train_loss_best"}
        return [
            {names.get(key, key): row[key] for key in row if key not in left_out}
            for row in self.history
        ]

    def run_single_epoch(
        self,
        iterator: Iterable[Any] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., Any],
        **fit_params: Any,
    ) -> None:
        """Run one epoch; its mean loss over rows is recorded as ``{prefix}_loss``."""
        if iterator is None:
            return
        loss_sum: Any = 0.0
        n_rows = n_batches = 0
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            loss_sum = loss_sum + step["loss"].detach() * len(batch[0])
            n_rows += len(batch[0])
            n_batches += 1
            self.notify("on_batch_end", batch=batch, training=training, **step)
        loss = float(loss_sum) / n_rows
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss of epoch {len(self.history)} is {loss}: the training has "
                f"diverged. A smaller learning rate than lr={self.lr} may help."
            )
        self.history.record(f"{prefix}_loss", loss)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the module's output, in training one for each view of the loss."""
        x = to_tensor(x, device=self.device)
        if not self.module_.training:
            return self.module_(x)
        n_views = self.criterion_.n_views
        views = tuple(self.module_(self._augmented(x)) for _ in range(n_views))
        return views if n_views > 1 else views[0]

    def _augmented(self, x: Tensor) -> Tensor:
        if self.augmentation is None:
            return x
        view = self.augmentation(x, self.module_.standardize)
        if view.shape != x.shape:
            raise ValueError(
                f"augment must keep the shape {tuple(x.shape)} of a batch, got "
                f"{tuple(view.shape)}."
            )
        return view

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch from the head's output, labels and row numbers."""
        y, index = to_device(y_true, self.device)
        return self.criterion_(y_pred, y, index)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open a line of the history, set the learning rate, tell the loss."""
        super().on_epoch_begin(net, **kwargs)
        epoch = len(self.history) - 1
        if self.lr_factor is not None:
            factor = self.lr_factor(epoch, self.max_epochs)
            for group in self.optimizer_.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        self.criterion_.on_epoch_begin(epoch, self.max_epochs)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell the loss, and record what it has to say."""
        super().on_epoch_end(net, **kwargs)
        self.history.record("lr", self.optimizer_.param_groups[0]["lr"])
        with torch.no_grad():
            self.criterion_.on_epoch_end()
            for name, value in self.criterion_.log().items():
                self.history.record(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the parts that were handed in: the fitted ones are the same."""
        return super().__getstate__() | {"module": None, "criterion": None}

    def project(
        self, block: NDArray[np.float32], module: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float32]:
        """Apply a part of the fitted module to a block of rows, in evaluation mode."""
        self.module_.eval()
        with torch.inference_mode():
            x = torch.from_numpy(block).to(self.device)
            return module(x).float().cpu().numpy()
