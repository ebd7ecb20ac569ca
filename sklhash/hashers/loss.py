"""HashLoss: how a deep method says what it wants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklhash.targets import Targets

__all__ = ["HashLoss"]


class HashLoss(nn.Module, ABC):
    """Base of the losses that deep hashers train with.

    Only `forward` has to be written. State per row or per step belongs into
    buffers, so that it is saved with the model; randomness comes from the generator
    that `on_fit_begin` is given. With ``n_views = 2`` the loss is given the outputs of
    two augmented copies of each batch.

    Examples
    --------
    A loss that draws the codes of similar rows together and pushes others apart:

    >>> import torch
    >>> from torch.nn import functional as F
    >>> from sklhash import HashLoss
    >>> class PairLoss(HashLoss):
    ...     def forward(self, output, y, index):
    ...         similar = (y @ y.T > 0).float()
    ...         logits = output @ output.T
    ...         return F.binary_cross_entropy_with_logits(logits, similar)
    >>> rows = torch.arange(3)
    >>> PairLoss()(torch.zeros(3, 16), torch.eye(3), rows)
    tensor(0.6931)
    """

    n_views: int = 1

    # Of the tensors that a loss of sklhash keeps, checked when it is loaded.
    _shapes: ClassVar[dict[str, tuple[str | int, ...]]] = {}

    def on_fit_begin(
        self, targets: Targets, n_bits: int, generator: torch.Generator
    ) -> None:
        """Prepare for a fit, once, before the first batch.

        Parameters
        ----------
        targets : Targets
            Labels of all rows that are trained on: `ids`, `n_classes`, `indicator`,
            `similarity`, `relevance`. A method that learns from pairs is given `Pairs`
            where there are no labels.

        n_bits : int
            Number of bits of a code.

        generator : torch.Generator
            The fit's source of randomness, on the CPU.
        """

    def on_epoch_begin(self, epoch: int, max_epochs: int) -> None:
        """Begin an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0; in `partial_fit` of the pass over the chunk.

        max_epochs : int
            Number of epochs, or of passes over the chunk.
        """

    @abstractmethod
    def forward(self, output: Any, y: Any, index: Tensor) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        output : Tensor of shape (n, n_bits)
            The head's output for the batch; a tuple of them if there are more views.

        y : Tensor of shape (n, n_classes), dtype=float32
            Label indicator. For a method that learns from pairs it may be a tuple of
            three tensors of shape (n_pairs,): the places in the batch of each pair's
            rows, and their similarity.

        index : Tensor of shape (n,), dtype=int64
            Numbers of the batch's rows among the rows trained on, in `partial_fit`
            among those of the chunk.

        Returns
        -------
        loss : Tensor of shape ()
            Mean over the batch.
        """

    def on_epoch_end(self) -> None:
        """End an epoch; no gradients are recorded here."""

    def log(self) -> dict[str, float | Tensor]:
        """Return the method's own quantities for the epoch's line in `history_`.

        Returns
        -------
        quantities : dict of str to float or Tensor of shape ()
            The quantities by their names. Tensors are read from the device once,
            together with the losses.
        """
        return {}
