"""What a fit shows while it runs."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback
from tqdm.auto import tqdm

__all__ = ["EpochBar"]

NOT_SHOWN = {"epoch", "lr", "seconds"}


class EpochBar(Callback):
    """A bar over epochs, with the loss and the method's own quantities."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        done = len(net.history) - net.n_epochs_before
        self._bar = tqdm(total=net.n_epochs_to_go + done, initial=done, unit="epoch")

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
