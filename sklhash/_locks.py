"""Locks that the threads of a process share."""

from __future__ import annotations

import os
import threading

__all__ = ["ProcessLock"]


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
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.held = threading.RLock()
