"""What a fit shows while it runs."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

__all__ = ["EpochBar"]

NOT_SHOWN = {"epoch", "lr", "seconds"}


class EpochBar(Callback):
    """A bar over epochs, with the loss and the method's own quantities."""

    _bar: Any = None

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Wait for the epoch that the training begins with."""
        self._bar = None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar, where it is not the first epoch at what was done before."""
        if self._bar is None:
            done = len(net.history) - 1 - net.n_epochs_before
            total = net.n_epochs_planned
            self._bar = tqdm(total=total, initial=done, unit="epoch")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Go on by an epoch."""
        quantities = net.epochs()[-1]
        shown = {name: quantities[name] for name in quantities.keys() - NOT_SHOWN}
        self._bar.set_postfix(
            {name: f"{shown[name]:.4g}" for name in quantities if name in shown},
            refresh=False,
        )
        self._bar.update()

    def close(self) -> None:
        """Leave the bar as it is, when the training ends, however it does."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
