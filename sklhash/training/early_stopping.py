"""The best epoch on rows kept out, and when to stop looking for a better one."""

from __future__ import annotations

import copy
from typing import Any

from skorch.callbacks import Callback

__all__ = ["BestEpoch"]

PARTS = ("module_", "criterion_")


class BestEpoch(Callback):
    """End the training when no epoch was better for a while, and go back to the best.

    Parameters
    ----------
    patience : int
        How many epochs may pass without a better one.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Know of no epoch yet."""
        self.best_score_ = -1.0
        self.misses_ = 0
        self.best_parts_: dict[str, Any] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Keep the epoch if it is the best; stop if there were too many others."""
        score = net.history[-1, "validation_map"]
        if score > self.best_score_:
            self.best_score_ = score
            self.misses_ = 0
            self.best_parts_ = {
                name: copy.deepcopy(getattr(net, name).state_dict()) for name in PARTS
            }
            return
        self.misses_ += 1
        if self.misses_ >= self.patience:
            net.stop()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the best epoch."""
        for name, state in self.best_parts_.items():
            getattr(net, name).load_state_dict(state)
        self.best_parts_ = {}
