"""FrozenNetwork: a copy of a network that is only run."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from sklhash.training.generators import global_generators_seeded

__all__ = ["FrozenNetwork", "map_tensors"]


class FrozenNetwork:
    """A copy of a network on a device that only ever evaluates.

    Parameters
    ----------
    source : torch.nn.Module or callable
        The network, or what makes it.

    at : str
        The device.
    """

    def __init__(self, source: Any, at: str) -> None:
        self.source = source
        self.at = at
        module = source if isinstance(source, nn.Module) else _made(source)
        self._module = copy.deepcopy(module).to(at).eval().requires_grad_(False)
        floating = (p.dtype for p in module.parameters() if p.is_floating_point())
        self._dtype = next(floating, torch.float32)

    def __call__(
        self, batch: Any, layer: str | None, autocast: torch.dtype | None
    ) -> tuple[Any, Any]:
        """Return the output, and the batch as it was on the device."""
        batch = map_tensors(self._moved, batch)
        kind = torch.device(self.at).type
        with (
            torch.inference_mode(),
            torch.autocast(kind, dtype=autocast, enabled=autocast is not None),
        ):
            return self._run(batch, layer), batch

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.at, self._dtype if tensor.is_floating_point() else None)

    def _run(self, batch: Any, layer: str | None) -> Any:
        if layer is None:
            return self._forward(batch)
        outputs: list[Any] = []
        thread = get_ident()

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if get_ident() == thread:
                outputs.append(output)

        hook = self._submodule(layer).register_forward_hook(keep)
        try:
            self._forward(batch)
        finally:
            hook.remove()
        if len(outputs) != 1:
            raise ValueError(
                f"layer={layer!r} must run once for a batch, and runs {len(outputs)} "
                "times."
            )
        return outputs[0]

    def _submodule(self, layer: str) -> nn.Module:
        modules = dict(self._module.named_modules())
        if layer not in modules:
            names = [name for name in modules if name]
            few = ", ".join(names[:5] + ["..."] * (len(names) > 10) + names[5:][-5:])
            raise ValueError(f"layer={layer!r} is none of the submodules: {few}.")
        return modules[layer]

    def _forward(self, batch: Any) -> Any:
        if isinstance(batch, Mapping) and self._takes_keywords(batch):
            return self._module(**batch)
        return self._module(batch)

    def _takes_keywords(self, batch: Mapping[str, Any]) -> bool:
        try:
            inspect.signature(self._module.forward).bind(**batch)
        except TypeError:
            return False
        return True


def _made(source: Callable[[], Any]) -> nn.Module:
    """Call what makes a module, from the same random numbers each time."""
    with global_generators_seeded(0, "cpu"):
        module = source()
    if not isinstance(module, nn.Module):
        raise TypeError(
            "module must be a torch.nn.Module or a callable without arguments that "
            f"makes one, got a callable that returns {type(module).__name__}."
        )
    return module


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Apply a function to a tensor, or to the tensors in a mapping."""
    if isinstance(batch, Mapping):
        return {name: map_tensors(function, part) for name, part in batch.items()}
    return function(batch) if isinstance(batch, Tensor) else batch
