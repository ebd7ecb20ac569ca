"""Augmentation: other views of the same rows, for training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from sklhash.training.generators import draw_seed_from, global_generators_seeded
from sklhash.training.heads import Standardize

__all__ = [
    "AUGMENTATIONS",
    "CustomAugmentation",
    "FeatureAugmentation",
    "FeatureDropout",
    "FeatureMixup",
    "GaussianNoise",
    "make_augmentation",
]


class FeatureAugmentation(ABC):
    """An augmentation of features, in units of the spread of the training rows."""

    @abstractmethod
    def __call__(
        self, x: Tensor, standardize: Standardize, generator: torch.Generator
    ) -> Tensor:
        """Return a view of a batch.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            The batch, as it came.

        standardize : Standardize
            Has the training rows' mean, (n_features,), and scale, a number.

        generator : torch.Generator
            Source of randomness, on the device of `x`: draw from it with
            ``device=x.device``.

        Returns
        -------
        view : Tensor of shape (n, n_features)
        """


def _check_number(name: str, value: Any, *, highest: float = math.inf) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not 0 <= float(value) <= highest or math.isinf(value):
        wanted = "finite, at least 0" if math.isinf(highest) else f"from 0 to {highest}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")


@dataclass(frozen=True)
class GaussianNoise(FeatureAugmentation):
    """Add noise of one size to all features.

    Features that vary little drown in it, and codes go by those that vary much.

    Parameters
    ----------
    std : float, default=2.0
        Standard deviation, where 1 is the root mean variance of the features; at
        least 0.

    Raises
    ------
    TypeError
        If `std` is no number.
    ValueError
        If it is negative, NaN or infinite.

    Examples
    --------
    >>> from sklhash import OrthoHash
    >>> from sklhash.training.augment import GaussianNoise
    >>> hasher = OrthoHash(augment=GaussianNoise(0.5))
    >>> hasher.augment
    GaussianNoise(std=0.5)
    """

    std: float = 2.0

    def __post_init__(self) -> None:
        _check_number("std", self.std)

    def __call__(
        self, x: Tensor, standardize: Standardize, generator: torch.Generator
    ) -> Tensor:
        """Return the batch with noise."""
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        return x + self.std * standardize.scale * noise


@dataclass(frozen=True)
class FeatureDropout(FeatureAugmentation):
    """Replace some features of each row by their mean over the training rows.

    Parameters
    ----------
    rate : float, default=0.3
        Probability that a feature is replaced, from 0 to 1.

    Raises
    ------
    TypeError
        If `rate` is no number.
    ValueError
        If it is not from 0 to 1.

    Examples
    --------
    >>> from sklhash import OrthoHash
    >>> from sklhash.training.augment import FeatureDropout
    >>> hasher = OrthoHash(augment=FeatureDropout(0.1))
    >>> hasher.augment
    FeatureDropout(rate=0.1)
    """

    rate: float = 0.3

    def __post_init__(self) -> None:
        _check_number("rate", self.rate, highest=1)

    def __call__(
        self, x: Tensor, standardize: Standardize, generator: torch.Generator
    ) -> Tensor:
        """Return the batch with holes."""
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.rate
        return torch.where(kept, x, standardize.mean)


@dataclass(frozen=True)
class FeatureMixup(FeatureAugmentation):
    """Draw each row towards another row of the batch.

    Parameters
    ----------
    share : float, default=0.5
        The most that a row takes over of another, from 0 to 1; how much it takes is
        drawn evenly below that.

    Raises
    ------
    TypeError
        If `share` is no number.
    ValueError
        If it is not from 0 to 1.

    Examples
    --------
    >>> from sklhash import OrthoHash
    >>> from sklhash.training.augment import FeatureMixup
    >>> hasher = OrthoHash(augment=FeatureMixup(0.2))
    >>> hasher.augment
    FeatureMixup(share=0.2)
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        _check_number("share", self.share, highest=1)

    def __call__(
        self, x: Tensor, standardize: Standardize, generator: torch.Generator
    ) -> Tensor:
        """Return the batch with rows mixed."""
        others = torch.randperm(len(x), generator=generator, device=x.device)
        shares = torch.rand((len(x), 1), generator=generator, device=x.device)
        return torch.lerp(x, x[others], self.share * shares)


@dataclass(frozen=True)
class CustomAugmentation(FeatureAugmentation):
    """Call a function that may draw from torch's global generator, and restore that.

    Parameters
    ----------
    function : callable
        ``function(x)`` returns a view of a batch. It is given a copy, which it may
        change.
    """

    function: Callable[[Tensor], Tensor]

    def __call__(
        self, x: Tensor, standardize: Standardize, generator: torch.Generator
    ) -> Tensor:
        """Return what the function makes of the batch.

        Raises
        ------
        TypeError
            If that is no tensor.
        """
        with global_generators_seeded(draw_seed_from(generator), x.device):
            view = self.function(x.clone())
        if not isinstance(view, Tensor):
            raise TypeError(f"augment must return a tensor, got {type(view).__name__}.")
        return view


AUGMENTATIONS: dict[str, FeatureAugmentation] = {
    "dropout": FeatureDropout(),
    "gaussian": GaussianNoise(),
    "mixup": FeatureMixup(),
}


def make_augmentation(augment: Any) -> FeatureAugmentation | None:
    """Return what a batch goes through, or None for nothing."""
    if augment is None:
        return None
    if isinstance(augment, str):
        return AUGMENTATIONS[augment]
    if isinstance(augment, FeatureAugmentation):
        return augment
    return CustomAugmentation(augment)
