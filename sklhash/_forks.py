"""What processes need that are forked where threads are at work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = ["ProcessLock", "after_fork"]


def after_fork(function: Callable[[], object]) -> None:
    """Call a function in each process that is forked from this one."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


class ProcessLock:
    """A lock for the threads of one process.

    It belongs to a module, not to an estimator, which can then be copied and pickled. A
    forked process finds it open, even where a thread held it that was not forked.

    Attributes
    ----------
    held : threading.RLock
        What to enter.
    """

    def __init__(self) -> None:
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self.held = threading.RLock()
