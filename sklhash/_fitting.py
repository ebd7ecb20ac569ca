"""A fit that fails leaves no trace, and warnings point at who called it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["stacklevel_of_user", "unchanged_on_failure"]


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


def stacklevel_of_user() -> int:
    """Return the `stacklevel` of a warning that points at who called the library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_of_a_library(frame.f_globals):
        frame, level = frame.f_back, level + 1
    return level


def _is_of_a_library(names: dict[str, Any]) -> bool:
    module = names.get("__name__", "")  # what is run by exec may have none
    return module.partition(".")[0] in {"sklhash", "sklearn", "skorch"}
