"""scikit-learn's callbacks, told of the epochs of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback

__all__ = ["SklearnCallbacks"]


class SklearnCallbacks(Callback):
    """Tell the callbacks that a hasher was given by `set_callbacks` of its training.

    Each epoch is a task "epoch" below that of the fit. If a callback returns True at
    the end of one, the training stops. It comes after the other callbacks, so that the
    hasher that callbacks are shown is that of the whole epoch.

    Parameters
    ----------
    estimator : DeepHasher
        The hasher in its fit.

    context : sklearn.callback.CallbackContext
        The task of the fit.

    X, y : object
        What the fit was given.

    attributes : callable
        ``attributes(net)`` returns as a dict the fitted attributes of a hasher with
        that net. It is called if a callback asks for a fitted hasher, with a copy of
        the net, so that its use does not change the training.
    """

    def __init__(
        self,
        estimator: Any,
        context: Any,
        X: Any,
        y: Any,
        attributes: Callable[[Any], dict[str, Any]],
    ) -> None:
        self.estimator = estimator
        self.context = context
        self.X = X
        self.y = y
        self.attributes = attributes

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin the task of the fit."""
        self._tell(self.context.call_on_fit_task_begin)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin the task of an epoch, whose line in the history is still empty."""
        self.epoch_ = self.context.subcontext(task_name="epoch")
        self._tell(self.epoch_.call_on_fit_task_begin, net, len(net.history) - 1)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End the task of an epoch, and the training if a callback says so."""
        if self._tell(self.epoch_.call_on_fit_task_end, net, len(net.history)):
            net.stop()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """End the task of the fit."""
        self._tell(self.context.call_on_fit_task_end, net, len(net.history))

    def _tell(
        self, hook: Callable[..., Any], net: Any = None, n_epochs: int = 0
    ) -> Any:
        """Call a hook, where there is a net with the hasher of its first epochs."""

        def fitted() -> dict[str, Any]:
            snapshot = net.snapshot()
            del snapshot.history[n_epochs:]
            return self.attributes(snapshot)

        return hook(
            estimator=self.estimator,
            X=self.X,
            y=self.y,
            reconstruction_attributes=None if net is None else fitted,
        )
