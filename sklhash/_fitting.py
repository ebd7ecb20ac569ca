"""A fit that fails leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["unchanged_on_failure"]


@contextmanager
def unchanged_on_failure(estimator: Any) -> Iterator[None]:
    """Undo what the block set on `estimator` if it raises, Ctrl-C included.

    Attributes are put back, not copied: the block must not change them in place. Those
    that were there stay there meanwhile, for other threads that read them.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).update(before)
        for name in vars(estimator).keys() - before.keys():
            delattr(estimator, name)
        raise
