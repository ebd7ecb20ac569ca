"""The features of a frozen backbone, computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sklhash._memory import working_bytes
from sklhash.training.batches import TrainingRows
from sklhash.training.datasets import StreamedRows
from sklhash.training.validation import HeldOutRows

__all__ = ["encoded", "has_room", "through"]


def has_room(
    dataset: TrainingRows, held_out: HeldOutRows | None, n_features: int
) -> bool:
    """Tell whether the features of all rows fit into scikit-learn's `working_memory`.

    Those of a stream, whose rows have no numbers, cannot be kept.
    """
    if isinstance(dataset, StreamedRows):
        return False
    n_rows = dataset.n_rows + (held_out.queries.n_rows if held_out else 0)
    return 4 * n_rows * n_features <= working_bytes()


def encoded(
    backbone: Any,
    dataset: TrainingRows,
    held_out: HeldOutRows | None,
    batch_size: int,
    device: Any,
) -> tuple[TrainingRows, HeldOutRows | None]:
    """Put a backbone's features in the place of rows, held-out ones too."""

    def features_of(rows: TrainingRows) -> TrainingRows:
        parts = through(backbone, rows.blocks(), batch_size, device)
        return rows.with_features(torch.cat([part.float().cpu() for part in parts]))

    dataset = features_of(dataset)
    if held_out is not None:
        held_out = HeldOutRows(features_of(held_out.queries), dataset)
    return dataset, held_out


def through(
    backbone: nn.Module, blocks: Iterable[Tensor], batch_size: int, device: Any
) -> Iterator[Tensor]:
    """Walk over a backbone's features, of no more rows at once than are trained on."""
    backbone.eval()
    for block in blocks:
        for rows in block.split(int(batch_size)):
            with torch.inference_mode():
                features = backbone(rows.to(device))
            yield features
