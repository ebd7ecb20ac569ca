"""Labels of the codes that a search holds."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from scipy import sparse

from sklhash._dask import is_dask
from sklhash._validation import check_same_length
from sklhash.sharding.shards import Shard, Shards, joined_labels
from sklhash.targets import copied_labels

__all__ = ["appended", "check_kinds", "labels_in_blocks", "labels_of"]


def labels_of(X: Any, y: Any) -> NDArray[Any] | sparse.csr_array | None:
    """Return a copy of labels, one a row of `X`."""
    if y is None:
        return None
    check_same_length(X=X, y=y)
    return copied_labels(y)


def labels_in_blocks(y: Any) -> Any:
    """Return labels of codes in shards: delayed ones as they are, others as a copy."""
    return y if y is None or is_dask(y) else copied_labels(y)


def appended(parts: list[Any], labels: Any) -> list[Any]:
    """Add labels to those of the earlier codes.

    Small parts are joined first, so that many appends cost little more than one.
    """
    _check_alike(parts[0], labels)
    if labels is None:
        return parts
    if sparse.issparse(labels) and not sparse.issparse(parts[0]):
        labels = labels.toarray()
    parts = [*parts, labels]
    while len(parts) > 1 and parts[-2].shape[0] <= 2 * parts[-1].shape[0]:
        parts[-2:] = [joined_labels(parts[-2:])]
    return parts


def _check_alike(fitted: Any, labels: Any) -> None:
    if (fitted is None) != (labels is None):
        has, lacks = ("has no", "some") if fitted is None else ("has", "none")
        raise ValueError(
            f"y is for all codes or for none: the search {has} labels, and these codes "
            f"come with {lacks}."
        )
    if fitted is not None and _kind(fitted) != _kind(labels):
        raise ValueError(
            f"y must be like the labels of the earlier codes, {_kind(fitted)}; got "
            f"{_kind(labels)}."
        )


def check_kinds(shards: Shards) -> None:
    """Refuse shards of which only some have labels, or that have unlike ones."""
    kinds = enumerate(shards.map(_kind_of_labels))
    (first, wanted), *others = ((i, kind) for i, kind in kinds if kind is not None)
    for number, kind in others:
        if kind != wanted:
            raise ValueError(
                f"y must be alike for all codes: shard {first} has {wanted}, shard "
                f"{number} {kind}."
            )


def _kind_of_labels(shard: Shard) -> str | None:
    """Return what labels a shard has; None if it has no codes."""
    if len(shard) == 0:
        return None
    return "no labels" if shard.y is None else _kind(shard.y)


def _kind(labels: Any) -> str:
    what = "numbers" if labels.dtype.kind in "biuf" else "strings"
    if labels.ndim == 1:
        return f"a vector of {what}"
    return f"a matrix of {what} with {labels.shape[1]} columns"
