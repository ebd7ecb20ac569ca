"""Randomness on the device that it is used on, saved with the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["DeviceGenerator", "draw_seed_from", "global_generators_seeded"]

SEED_BYTES = 8


class DeviceGenerator(nn.Module):
    """A generator that is made from a seed on the device that asks for it.

    As part of another module it is saved and resumed with that one: its state is in
    `state_dict`. It can be copied, and pickled from a machine with a GPU to one
    without.

    A device of another kind begins anew from the seed, since a state is of no use to
    it; the seed gives other numbers there.

    Parameters
    ----------
    seed : int
        Seed, from 0 to ``2**63 - 1``.

    Examples
    --------
    >>> import torch
    >>> from sklhash.training.generators import DeviceGenerator
    >>> generator = DeviceGenerator(0)
    >>> stored = generator.state_dict()
    >>> first = torch.rand(3, generator=generator.on("cpu"))
    >>> _ = generator.load_state_dict(stored)
    >>> bool((torch.rand(3, generator=generator.on("cpu")) == first).all())
    True
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._state = torch.empty(0, dtype=torch.uint8)
        self._generator: torch.Generator | None = None

    def on(self, device: str | torch.device) -> torch.Generator:
        """Return the generator, on the device of the numbers to be drawn."""
        device = _numbered(device)
        if self._generator is None or self._generator.device != device:
            self._generator = self._made_on(device)
        return self._generator

    def _made_on(self, device: torch.device) -> torch.Generator:
        generator = torch.Generator(device).manual_seed(self._seed)
        state = self._current_state()
        if len(state) == len(generator.get_state()):  # of the same kind of device
            generator.set_state(state)
        return generator

    def _current_state(self) -> Tensor:
        return self._state if self._generator is None else self._generator.get_state()

    def get_extra_state(self) -> Tensor:
        """Return seed and state, as bytes."""
        seed = torch.tensor([self._seed]).view(torch.uint8)
        return torch.cat([seed, self._current_state()])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a seed and state."""
        state = state.cpu()
        self._seed = int(state[:SEED_BYTES].clone().view(torch.int64))
        self._state = state[SEED_BYTES:].clone()
        self._generator = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the generator, which cannot be read where its device is not."""
        # It stays, as a process that is spawned reads a tensor where it is.
        self._state = self._current_state()
        return vars(self) | {"_generator": None}


def draw_seed_from(generator: torch.Generator) -> int:
    """Draw a seed for another generator, without waiting for the device.

    A number drawn on a GPU is known to the host once all work before it is done, the
    state of the generator at once.

    Parameters
    ----------
    generator : torch.Generator
        On any device.

    Returns
    -------
    seed : int
        From 0 to ``2**62 - 1``.
    """
    if generator.device.type == "cpu":
        return int(torch.randint(2**62, (), generator=generator))
    state = generator.get_state().numpy().tobytes()
    torch.rand((), generator=generator, device=generator.device)  # on to another state
    return int.from_bytes(hashlib.blake2b(state, digest_size=SEED_BYTES).digest()) >> 2


@contextmanager
def global_generators_seeded(seed: int, device: str | torch.device) -> Iterator[None]:
    """Seed torch's global generators of the CPU and the device, and restore them."""
    # torch.manual_seed would seed those of all devices.
    generators = [torch.default_generator]
    device = _numbered(device)
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index])
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _numbered(device: str | torch.device) -> torch.device:
    """Return the device with its number, so that "cuda" is the current one."""
    return torch.empty(0, device=device).device
