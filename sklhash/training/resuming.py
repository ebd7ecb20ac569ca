"""The state of a training: what is written down, and how a fit goes on from it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback, EpochTimer, PrintLog
from skorch.history import History

from sklhash.training.checkpoints import CheckpointFolder
from sklhash.training.fingerprints import fingerprint
from sklhash.training.progress import EpochBar

__all__ = ["KeepState", "restore", "state_of", "what_tells_apart"]

PARTS = ("module_", "criterion_", "optimizer_")
ONLY_SHOW = (EpochBar, EpochTimer, PrintLog)  # begin anew, and vary with verbosity
PLAIN = (
    *(type(None), bool, int, float, str, np.generic),
    *(list, tuple, dict, torch.Tensor),
)


def state_of(net: Any) -> dict[str, Any]:
    """Return all that a training goes on from, as tensors and plain values."""
    return {
        "parts": {name: getattr(net, name).state_dict() for name in PARTS},
        "history": list(net.history),
        "generator": net.plan.generator.get_state(),
        "augment_generator": _state_of_part(net.plan.augment_generator),
        "callbacks": {
            name: _state_of_callback(callback)
            for name, callback in net.callbacks_
            if not isinstance(callback, ONLY_SHOW)
        },
        "stops": net.stops,
    }


def restore(net: Any, state: dict[str, Any]) -> None:
    """Put a net where another one was when its state was taken."""
    for name, part in state["parts"].items():
        getattr(net, name).load_state_dict(part)
    net.history_ = History(copy.deepcopy(state["history"]))
    net.plan.generator.set_state(state["generator"])
    augment_generator = net.plan.augment_generator
    if augment_generator is not None and state["augment_generator"] is not None:
        augment_generator.load_state_dict(state["augment_generator"])
    callbacks = dict(net.callbacks_)
    for name, attributes in state["callbacks"].items():
        _restore_callback(callbacks[name], attributes)
    if state["stops"]:
        net.stop()


def what_tells_apart(callback: Any) -> Any:
    """Return what a callback counts by in the fingerprint of a fit.

    Of parameters that cannot be described, such as a writer to a log, that is the
    class.
    """
    if isinstance(callback, tuple):
        return tuple(map(what_tells_apart, callback))
    if not isinstance(callback, Callback):
        return callback
    parameters = callback.get_params(deep=False)
    return type(callback), {k: _described(v) for k, v in parameters.items()}


class KeepState(Callback):
    """Write the state down every so many epochs, and begin with what is there.

    Parameters
    ----------
    folder : CheckpointFolder
        Where to.

    every : int
        Number of epochs from one time to the next.

    seed : int
        Seed of the fit.

    state : dict or None
        What to begin with.

    writes : bool, default=True
        Whether this process is the one to write.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        every: int,
        seed: int,
        state: Any,
        *,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self.every = every
        self.seed = seed
        self.state = state
        self.writes = writes

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Go on from the state that was found."""
        if self.state is not None:
            restore(net, self.state["net"])
            net.is_finished = self.state["finished"]

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the state down if it is time."""
        if len(net.history) % self.every == 0:
            self._write(net, finished=False)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Write down that nothing is left to do."""
        if not net.is_finished:
            self._write(net, finished=True)

    def _write(self, net: Any, *, finished: bool) -> None:
        if not self.writes:
            return
        state = {"seed": self.seed, "finished": finished, "net": state_of(net)}
        self.folder.save(len(net.history), state)


def _described(parameter: Any) -> Any:
    try:
        return fingerprint(parameter)
    except TypeError:
        return type(parameter)


def _state_of_part(part: Any) -> Any:
    return None if part is None else part.state_dict()


def _state_of_callback(callback: Any) -> dict[str, Any]:
    """Return the attributes that a callback has come to in the training."""
    fitted = {k: v for k, v in vars(callback).items() if k.endswith("_")}
    stateful = {
        name: _without_arrays(value.state_dict())
        for name, value in fitted.items()
        if hasattr(value, "state_dict") and not isinstance(value, type)
    }
    plain = {k: v for k, v in fitted.items() if isinstance(v, PLAIN)}
    return {"stateful": stateful, "plain": plain}


def _restore_callback(callback: Any, attributes: dict[str, Any]) -> None:
    vars(callback).update(copy.deepcopy(attributes["plain"]))
    for name, state in attributes["stateful"].items():
        part = getattr(callback, name)
        part.load_state_dict(_with_arrays(state, like=part.state_dict()))


def _without_arrays(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with tensors for arrays, which checkpoints do not hold."""
    arrays = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
    plain = copy.copy(state)
    plain.update((name, torch.from_numpy(array)) for name, array in arrays.items())
    return plain


def _with_arrays(state: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Return a state with arrays for tensors, where another state has them."""
    whole = copy.copy(state)
    arrays = [k for k in state if isinstance(like.get(k), np.ndarray)]
    whole.update((name, state[name].numpy()) for name in arrays)
    return whole
