"""The name under which an estimator is drawn."""

from __future__ import annotations

from typing import Any

from sklhash.metrics.retrieval import parts_of

__all__ = ["name_of"]


def name_of(estimator: Any) -> str:
    """Return the name under which an estimator is drawn: that of its hasher, if any."""
    parts = parts_of(estimator)
    hashers = [part for part in parts if hasattr(part, "n_bits_")]
    return type((hashers or parts)[-1]).__name__
