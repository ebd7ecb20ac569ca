"""How much memory a step may take at once."""

from __future__ import annotations

from sklearn import get_config

__all__ = ["working_bytes"]


def working_bytes() -> int:
    """Return scikit-learn's `working_memory` in bytes."""
    return int(get_config()["working_memory"] * 2**20)
