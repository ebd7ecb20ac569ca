"""Training by several processes, with Hugging Face Accelerate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from skorch.hf import AccelerateMixin
from skorch.net import NeuralNet
from torch import Tensor, nn
from torch.nn import functional as F

from sklhash.training.backbones import hash_head_of
from sklhash.training.generators import DeviceGenerator, draw_seed_from
from sklhash.training.net import HashingNet
from sklhash.training.straight_through import straight_through

__all__ = ["AcceleratedHashingNet", "accelerated", "seed_of_all"]


def accelerated(net: HashingNet, accelerator: Any) -> HashingNet:
    """Return a net of the same parts, trained by the processes of an accelerator.

    Parameters
    ----------
    net : HashingNet
        What is to be trained, on every process the same.

    accelerator : accelerate.Accelerator or None
        None for the net as it is.
    """
    if accelerator is None:
        return net
    return _remade(
        AcceleratedHashingNet,
        net,
        accelerator=accelerator,
        device=accelerator.device.type,
        verbose=net.verbose if accelerator.is_main_process else 0,
        unwrap_after_train=True,
        _wrapped_with_accelerator=False,
    )


def seed_of_all(seed: int, accelerator: Any) -> int:
    """Return the seed of the first process, on each process of an accelerator."""
    if accelerator is None:
        return seed
    seeds = torch.tensor([seed], device=accelerator.device)
    return int(accelerator.gather(seeds)[0])


class AcceleratedHashingNet(AccelerateMixin, HashingNet):
    """A net that encodes each batch in shares, one a process.

    All processes have the same rows and draw the same batches. Each encodes its share
    of a batch and is given the outputs of the others, so that the loss is that of the
    whole batch, with the same state on all processes. The gradients are those of the
    whole batch as well.

    `module_` is always the bare module. Copies of the net, pickled ones too, are plain
    :class:`~sklhash.training.net.HashingNet`, since processes cannot be kept.

    :func:`accelerated` makes it.
    """

    accelerator: Any
    optimizer_: Any
    _wrapped_with_accelerator: bool

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Return the module's output, in training that of all processes together."""
        if not self._wrapped_with_accelerator or not self.module_.training:
            return super().infer(x, **fit_params)
        share = _Share.of(
            len(x), self.accelerator.num_processes, self.accelerator.process_index
        )
        output = self._encode(x[share.first : share.first + share.n_rows])
        if self.accelerator.num_processes == 1:
            return output
        return _of_all(output, share, self.accelerator.gather)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch, the loss in single precision."""
        return super(AccelerateMixin, self).train_step_single(batch, **fit_params)

    def run_single_epoch(
        self, iterator: Any, training: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Run one epoch, in which augmentation does not draw from the order's source.

        Its draws differ between processes, and the order must not.
        """
        plan = self.plan
        divided = self.accelerator.num_processes > 1
        if training and divided and plan.augmentation is not None:
            seed = draw_seed_from(plan.generator) + self.accelerator.process_index
            self.plan = replace(plan, augment_generator=DeviceGenerator(seed))
        super().run_single_epoch(iterator, training, *args, **kwargs)
        self.plan = plan

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Get ready for the processes."""
        super().on_train_begin(net, **kwargs)
        self._initialize_accelerator()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Take over the first process's means, such as those of batch normalisation."""
        from accelerate.utils import broadcast

        for buffer in self.module_.buffers():
            buffer.copy_(broadcast(buffer))
        super().on_epoch_end(net, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let copies be plain nets."""
        plain = _remade(HashingNet, self)
        for name in ("accelerator", "_encode"):
            vars(plain).pop(name, None)
        return object.__new__, (HashingNet,), plain.__getstate__()

    def initialize(self) -> AcceleratedHashingNet:
        """Leave the processes for the beginning of a training."""
        return super(AccelerateMixin, self).initialize()

    def _backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def _validate_params(self) -> None:
        """Allow for a device, which is the accelerator's."""
        super(AccelerateMixin, self)._validate_params()

    def _initialize_callbacks(self) -> Any:
        """Print as other nets do."""
        return super(AccelerateMixin, self)._initialize_callbacks()

    def _initialize_accelerator(self) -> AcceleratedHashingNet:
        """Prepare what only the training uses, and leave the module as it is.

        Neither the loss, which is computed on every process, nor schedules of the
        learning rate, which go by whole batches, are to be prepared.
        """
        if not self._wrapped_with_accelerator:
            self._refuse_different_rows()
            encoder = _Encoder(self.module_, super().infer)
            self._encode = self.accelerator.prepare_model(encoder).__call__
            self.optimizer_ = self.accelerator.prepare_optimizer(self.optimizer_)
            self._wrapped_with_accelerator = True
        return self

    def _unwrap_accelerator(self) -> None:
        if self._wrapped_with_accelerator:
            self.optimizer_ = self.optimizer_.optimizer
            del self._encode
            self.accelerator.free_memory()
            self._wrapped_with_accelerator = False

    def _refuse_different_rows(self) -> None:
        means = self.accelerator.gather(hash_head_of(self.module_).standardize.mean)
        first, *others = means.chunk(self.accelerator.num_processes)
        if not all(torch.allclose(first, other) for other in others):
            raise ValueError(
                "All processes of accelerator must be given the same rows, and a "
                "backbone of the same weights, got features of different means: give "
                "each process all rows, and seed torch before a backbone is made."
            )


class _Encoder(nn.Module):
    """A module to be called once for a batch, whatever the number of its views."""

    def __init__(self, module: nn.Module, infer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.module = module
        self._infer = infer

    def forward(self, x: Tensor) -> Any:
        """Return what the net infers by itself."""
        return self._infer(x)


@dataclass(frozen=True)
class _Share:
    """The rows of a batch that a process encodes.

    Parameters
    ----------
    first, n_rows : int
        Where they begin, and how many they are.

    counted : list of int
        How many rows of each process are made use of.

    weight : int
        What gradients are multiplied by, since processes take their mean.
    """

    first: int
    n_rows: int
    counted: list[int]
    weight: int

    @classmethod
    def of(cls, n_rows: int, n_processes: int, process: int) -> _Share:
        """Divide a batch evenly; one of few rows is encoded whole by each process.

        Batch normalisation has no use for a share of less than two rows.
        """
        if n_rows < 2 * n_processes:
            return cls(0, n_rows, [n_rows] + [0] * (n_processes - 1), 1)
        bounds = [n_rows * i // n_processes for i in range(n_processes + 1)]
        counted = [stop - start for start, stop in pairwise(bounds)]
        return cls(bounds[process], counted[process], counted, n_processes)


def _of_all(output: Any, share: _Share, gather: Callable[[Tensor], Tensor]) -> Any:
    """Return the outputs for a whole batch, with gradients for the own share.

    Every process computes the same loss of it, so that the gradients of the own share
    are at hand without asking the others.
    """
    if isinstance(output, tuple):
        return tuple(_of_all(part, share, gather) for part in output)
    height = max(share.counted)
    gathered = gather(_padded(output.detach(), 0, height - share.n_rows))
    parts = zip(gathered.split(height), share.counted, strict=True)
    whole = torch.cat([part[:n_rows] for part, n_rows in parts])
    n_after = len(whole) - share.first - share.n_rows
    return straight_through(whole, _padded(share.weight * output, share.first, n_after))


def _padded(x: Tensor, n_before: int, n_after: int) -> Tensor:
    """Put rows of zeros before and after others."""
    return F.pad(x, [0] * (2 * x.ndim - 2) + [n_before, n_after])


def _remade(kind: type[HashingNet], net: HashingNet, **attributes: Any) -> Any:
    """Return a net of another class that shares its parts with `net`."""
    made: Any = kind.__new__(kind)
    vars(made).update(vars(net) | attributes)
    return made
