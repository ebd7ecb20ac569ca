"""HashingNet: the skorch net under every deep hasher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PrintLog
from skorch.utils import to_device
from torch import Tensor, nn

from sklhash.training.augment import CustomAugmentation
from sklhash.training.backbones import BackboneHead, hash_head_of
from sklhash.training.batches import ShuffledBatches
from sklhash.training.generators import draw_seed_from, global_generators_seeded
from sklhash.training.heads import HashHead, rowwise_linear
from sklhash.training.losses import EpochLosses
from sklhash.training.plan import TrainingPlan
from sklhash.training.progress import EpochBar
from sklhash.training.recipes import check_lr_factor

__all__ = ["HashingNet"]

CHANGED_BY_TRAINING = ("criterion_", "optimizer_", "history_")
BATCH_EVENTS = ("on_batch_begin", "on_grad_computed", "on_batch_end")


class _StoppedEarly(Exception):
    """A callback has ended the training."""


def _has_lost_patience(callback: Callback) -> bool:
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


class HashingNet(NeuralNet):
    """A skorch net that trains a head with a :class:`~sklhash.hashers.loss.HashLoss`.

    It differs from its base in that nothing is split off for skorch's validation,
    batches are slices of arrays, losses stay on the device and are read once an epoch,
    the module may see several augmented views of a batch, and Ctrl-C is not swallowed.

    Parameters
    ----------
    module : torch.nn.Module
        The head, or a backbone and the head.

    criterion : HashLoss
        The loss.

    plan : TrainingPlan
        How it is trained.

    **kwargs : dict
        As for :class:`skorch.NeuralNet`.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: nn.Module,
        *,
        plan: TrainingPlan,
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
        self.plan = plan
        self.n_epochs_before = 0
        self.n_epochs_planned = 0
        self.n_rows_seen = 0
        self.is_finished = False
        self.stops = False
        self._hears_batches = True
        self._forward: Callable[[Tensor], Any] | None = None

    callbacks_: list[tuple[str, Any]]
    module_: Any

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        if self.verbose == 1:
            return [("epoch_timer", EpochTimer()), ("progress", EpochBar())]
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def _validate_params(self) -> None:
        try:
            super()._validate_params()
        except ValueError as error:
            raise ValueError(
                f"net_params must be parameters of a skorch net: {error}"
            ) from error

    def initialize_callbacks(self) -> HashingNet:
        """Begin with the callbacks of the net, and then those of the plan."""
        super().initialize_callbacks()
        for _, callback in self.plan.companions:
            callback.initialize()
        self.callbacks_.extend(self.plan.companions)
        return self

    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> HashingNet:
        """Train for `max_epochs`, or `epochs` if given, and let Ctrl-C through."""
        if not self.initialized_:
            self.initialize()
        self.n_epochs_planned = fit_params.pop("epochs", self.max_epochs)
        fit_params.pop("_routing_method", None)
        with self._in_training():
            self.notify("on_train_begin", X=X, y=y)
            done = len(self.history) - self.n_epochs_before
            ended = self.is_finished or self.stops
            to_go = 0 if ended else self.n_epochs_planned - done
            with suppress(_StoppedEarly):
                self.fit_loop(X, y, epochs=to_go, **fit_params)
            self.notify("on_train_end", X=X, y=y)
        return self

    @contextmanager
    def _in_training(self) -> Iterator[None]:
        """Let go of what only the training needs, however it ends."""
        self.stops = self.is_finished = False
        self._set_training(True)  # a part may have been used in evaluation mode
        self._hears_batches = any(map(_hears_batches, self.callbacks_))
        if self.plan.compiled:
            compiled: Any = torch.compile(self.module_)
            self._forward = compiled.__call__
        try:
            yield
        finally:
            self._forward = None
            for _, callback in self.callbacks_:
                if isinstance(callback, EpochBar):
                    callback.close()
            self.callbacks_ = [
                named for named in self.callbacks_ if named not in self.plan.companions
            ]
            self.module_ = self._whole_module()
            self.plan = self.plan.after_training()

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a method of the net and its callbacks; those of a batch if one listens.

        Skorch's early stopping raises KeyboardInterrupt, which is not to be taken for
        the user's. It ends the fit once all callbacks have seen the end of the epoch.
        """
        if method_name in BATCH_EVENTS and not self._hears_batches:
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt:
                if method_name != "on_epoch_end" or not _has_lost_patience(callback):
                    raise
                self.stop()
        if method_name == "on_epoch_end" and self.stops:
            raise _StoppedEarly

    def stop(self) -> None:
        """End the training with this epoch."""
        self.stops = True

    def go_on(self, plan: TrainingPlan, **settings: Any) -> None:
        """Prepare for another training of the same net, with its own count of epochs.

        Parameters
        ----------
        plan : TrainingPlan
            How it is to be trained.

        **settings : dict
            Attributes of the net, such as `lr`.
        """
        if not self.initialized_:
            self.initialize()
        self.plan = plan
        self.n_epochs_before = len(self.history)
        for name, value in settings.items():
            setattr(self, name, value)
        self.initialize_callbacks()
        groups = self.optimizer_.param_groups
        highest = max(_initial_lr(group) for group in groups)
        for group in groups:
            group["lr"] = group["initial_lr"] = _initial_lr(group) * self.lr / highest

    def get_iterator(self, dataset: Any, training: bool = False) -> ShuffledBatches:
        """Return the batches of an epoch."""
        return ShuffledBatches(dataset, self.batch_size, self.plan.generator)

    def accompany(self, *companions: tuple[str, Callback]) -> None:
        """Give the next training callbacks of its own."""
        self.plan = replace(self.plan, companions=companions)
        if self.initialized_:
            self.initialize_callbacks()

    def epochs(self) -> list[dict[str, Any]]:
        """Return the history as one plain dict an epoch."""
        names = {"train_loss": "loss", "dur": "seconds"}
        left_out = {"batches", "train_batch_count", "train_loss_best"}
        return [
            {
                names.get(key, key): row[key]
                for key in row
                if key not in left_out and not key.startswith("event_")
            }
            for row in self.history
        ]

    def snapshot(self) -> HashingNet:
        """Return a copy that encodes, and goes on, as if the training had ended now."""
        changing = {name: vars(self)[name] for name in CHANGED_BY_TRAINING}
        changing |= {
            "module_": self._whole_module(),
            "plan": self.plan.after_training(),
        }
        copied = object.__new__(type(self))
        # Callbacks may hold what cannot be copied, and are of this training.
        copied.__dict__ |= vars(self) | copy.deepcopy(changing) | {"callbacks_": []}
        return copied

    def run_single_epoch(
        self,
        iterator: Iterable[Any] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., Any],
        **fit_params: Any,
    ) -> None:
        """Run one epoch, and keep its losses where they are."""
        if iterator is None:
            return
        self._losses = EpochLosses(len(self.history), self._remedies())
        if not self._hears_batches:
            self.history.new_batch()  # callbacks of an epoch look for one
        with self._own_global_generators():
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                self._losses.add(step["loss"], len(batch[0]))
                self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_batch_count", len(self._losses))

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch."""
        if not self.module_.training:
            self._set_training(True)
        x, y = batch
        y_pred = self.infer(x, **fit_params)
        loss = self.get_loss(y_pred, y, X=x, training=True)
        self._backward(loss)
        return {"loss": loss, "y_pred": y_pred}

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the module's output, in training one for each view of the loss."""
        x = to_device(x, self.device)
        if not self.module_.training:
            return self.module_(x)
        n_views = self.criterion_.n_views
        if self.plan.precision == "float32":
            views = tuple(self._view(x) for _ in range(n_views))
        else:
            with torch.autocast(x.device.type, torch.bfloat16):
                views = _as_float32(tuple(self._view(x) for _ in range(n_views)))
        return views if n_views > 1 else views[0]

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch from the head's output, labels and row numbers."""
        y, index = to_device(y_true, self.device)
        return self.criterion_(y_pred, y, index)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open a line of the history, set the learning rate, tell the loss."""
        super().on_epoch_begin(net, **kwargs)
        epoch = len(self.history) - 1 - self.n_epochs_before
        if self.plan.lr_factor is not None:
            factor = self.plan.lr_factor(epoch, self.n_epochs_planned)
            check_lr_factor(factor)
            for group in self.optimizer_.param_groups:
                group["lr"] = factor * _initial_lr(group)
        self.criterion_.on_epoch_begin(epoch, self.n_epochs_planned)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Tell the loss, and record what is to be known of the epoch."""
        super().on_epoch_end(net, **kwargs)
        with torch.no_grad(), np.errstate(all="ignore"):
            try:
                self.criterion_.on_epoch_end()
                logged = self.criterion_.log()
            except Exception:
                self._losses.read({})  # losses that are not finite are the cause
                raise
        weights = self.module_.parameters()
        loss, quantities = self._losses.read(logged, weights)
        best = min((row["train_loss"] for row in self.history[:-1]), default=np.inf)
        self.history.record("train_loss", loss)
        self.history.record("train_loss_best", bool(loss < best))
        self.history.record("lr", max(g["lr"] for g in self.optimizer_.param_groups))
        for name, value in quantities.items():
            self.history.record(name, value)
        if self.plan.held_out is not None:
            score = self.plan.held_out.mean_average_precision(self)
            self.history.record("validation_map", score)

    def project(
        self, block: NDArray[np.float32], module: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float32]:
        """Apply a part of the fitted module to a block of rows, in evaluation mode."""
        if self.module_.training:
            self.module_.eval()
        with torch.inference_mode():
            x = torch.from_numpy(block).to(self.device)
            return module(x).float().cpu().numpy()

    def encoder(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Return a function from blocks of rows to real-valued codes."""
        self.module_.eval()
        with torch.inference_mode():
            is_head = isinstance(self.module_, HashHead)
            linear_map = self.module_.as_linear_map() if is_head else None
        if linear_map is None:
            return lambda block: self.project(block, self.module_)
        mean, weight, bias = linear_map
        return lambda block: self.project(
            block, lambda x: rowwise_linear(x - mean, weight, bias)
        )

    def bits(self, x: Tensor) -> NDArray[np.bool_]:
        """Return the bits of rows to train on, (n, n_bits)."""
        self.module_.eval()
        with torch.inference_mode():
            batches = to_device(x, self.device).split(int(self.batch_size))
            bits = torch.cat([self.module_(batch) > 0 for batch in batches])
        return bits.cpu().numpy()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the parts that were handed in, and what a training needs."""
        return super().__getstate__() | {
            "module": None,
            "criterion": None,
            "plan": self.plan.after_training(),
            "_forward": None,
            "_losses": None,
        }

    def _backward(self, loss: Tensor) -> None:
        loss.backward()

    @property
    def _augments_input(self) -> bool:
        """Whether the augmentation is of the input, not of a backbone's features."""
        custom = isinstance(self.plan.augmentation, CustomAugmentation)
        return custom or not isinstance(self.module_, BackboneHead)

    def _view(self, x: Tensor) -> Any:
        forward: Any = self._forward or self.module_
        if self.plan.augmentation is None:
            return forward(x)
        if self._augments_input:
            return forward(self._augmented(x))
        return forward(x, between=self._augmented)

    def _augmented(self, x: Tensor) -> Tensor:
        assert self.plan.augmentation is not None
        standardize = hash_head_of(self.module_).standardize
        generator = self.plan.generator_on(x.device)
        view = self.plan.augmentation(x.float(), standardize, generator)
        if view.shape != x.shape:
            raise ValueError(
                f"augment must keep the shape {tuple(x.shape)} of a batch, got "
                f"{tuple(view.shape)}."
            )
        return view

    def _whole_module(self) -> nn.Module:
        """Return the module, with the backbone that the rows have been through."""
        if self.plan.frozen_backbone is None:
            return self.module_
        return BackboneHead(self.plan.frozen_backbone, self.module_, frozen=True)

    @contextmanager
    def _own_global_generators(self) -> Iterator[None]:
        """Seed torch's global generators, which a backbone may draw from."""
        frozen = self.plan.frozen_backbone is not None
        if not frozen and not isinstance(self.module_, BackboneHead):
            yield
            return
        device = next(self.module_.parameters()).device
        with global_generators_seeded(draw_seed_from(self.plan.generator), device):
            yield

    def _remedies(self) -> str:
        remedy = f"A smaller learning rate than lr={self.lr}"
        if self.plan.precision != "float32":
            remedy += f", or precision='float32' instead of {self.plan.precision!r},"
        return remedy


def _initial_lr(group: dict[str, Any]) -> float:
    """Return the learning rate that a group of parameters began with."""
    return group.setdefault("initial_lr", group["lr"])


def _hears_batches(named_callback: tuple[str, Any]) -> bool:
    kind = type(named_callback[1])
    return any(
        getattr(kind, event) is not getattr(Callback, event) for event in BATCH_EVENTS
    )


def _as_float32(output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(map(_as_float32, output))
    return output.float()
