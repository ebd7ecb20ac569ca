"""A fit and a chunk of a stream, from a hasher's rows to its trained net."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from sklhash.hashers.assembly import net_for, net_that_goes_on
from sklhash.hashers.base import draw_seed
from sklhash.training.batches import TrainingRows
from sklhash.training.callbacks import SklearnCallbacks
from sklhash.training.checkpoints import Checkpoint, CheckpointFolder
from sklhash.training.datasets import StreamedRows
from sklhash.training.early_stopping import BestEpoch
from sklhash.training.failures import out_of_memory_explained
from sklhash.training.fingerprints import fingerprint
from sklhash.training.net import HashingNet
from sklhash.training.recipes import lr_factor
from sklhash.training.redundancy import RedundantBits
from sklhash.training.resuming import KeepState, what_tells_apart

__all__ = ["fit_net", "stream_net"]

# What a training does not depend on.
NOT_IN_FINGERPRINT = ("accelerator", "checkpoint", "device", "packed", "verbose")

# By 1 alone the last chunks outweigh the others: chosen on CIFAR-10 features.
SHARE_EXPONENT = 1.2


def fit_net(
    hasher: Any, dataset: TrainingRows, X: Any, y: Any
) -> tuple[HashingNet, Any]:
    """Train from the start, from the fit before, or from where a killed fit was.

    Parameters
    ----------
    hasher : DeepHasher
        In its fit, with a task for scikit-learn's callbacks.

    dataset : TrainingRows
        What there is to learn from.

    X, y : object
        What the fit was given, which callbacks are shown.

    Returns
    -------
    net : HashingNet
        The trained net.

    targets : Targets or Pairs
        Of the rows it was trained on.
    """
    _check_agreement(hasher, dataset)
    folder, state = _find_checkpoint(hasher, dataset)
    seed = _draw_seed(hasher)
    if state is not None:
        seed = state["seed"]
    with out_of_memory_explained(hasher.batch_size):
        if hasher._goes_on:
            net, dataset = net_that_goes_on(hasher, dataset)
        else:
            net, dataset = net_for(hasher, dataset, seed)
        net = _shared_among_processes(hasher, net)
        targets = dataset.targets
        bridge = SklearnCallbacks(
            hasher,
            hasher._callback_fit_ctx,
            X,
            y,
            lambda net: hasher._fitted_attributes(net, targets, int(hasher.n_bits)),
        )
        companions = [("sklearn_callbacks", bridge)]
        if hasher.n_iter_no_change is not None:
            companions.insert(0, ("best_epoch", BestEpoch(hasher.n_iter_no_change)))
        if folder is not None:
            companions.append(("keep_state", _keeper(hasher, folder, seed, state)))
        companions.append(("redundant_bits", RedundantBits(int(hasher.n_bits))))
        net.accompany(*companions)
        net.n_rows_seen = len(dataset)
        net.partial_fit(dataset)
    return net, targets


def stream_net(
    hasher: Any, dataset: TrainingRows, n_epochs: int, *, first: bool
) -> HashingNet:
    """Train on a chunk, with a learning rate by its share of all rows so far."""
    with out_of_memory_explained(hasher.batch_size):
        if first:
            net, dataset = net_for(hasher, dataset, _draw_seed(hasher), holds_out=False)
        else:
            net = copy.deepcopy(hasher.net_)
            dataset.to(net.device)
        net = _shared_among_processes(hasher, net)
        net.n_rows_seen += len(dataset)
        plan = replace(net.plan, lr_factor=lr_factor(hasher.lr_schedule))
        share = len(dataset) / net.n_rows_seen
        net.go_on(plan, lr=hasher.lr * share**SHARE_EXPONENT)
        net.partial_fit(dataset, epochs=n_epochs)
    return net


def _check_agreement(hasher: Any, dataset: TrainingRows) -> None:
    """Refuse parameters that do not go with each other or with the data."""
    name, fraction = type(hasher).__name__, hasher.validation_fraction
    if hasher.n_iter_no_change is not None and fraction is None:
        raise ValueError(
            f"n_iter_no_change={hasher.n_iter_no_change} counts epochs without a "
            "better mAP of rows kept out: it needs a validation_fraction."
        )
    by_number = not hasher._supports_partial_fit or fraction
    if by_number and isinstance(dataset, StreamedRows):
        needed = (
            f"{name} keeps something for each row"
            if not hasher._supports_partial_fit
            else f"validation_fraction={fraction} keeps rows apart"
        )
        raise ValueError(
            f"{needed}, and the items of an iterable dataset have no numbers: pass "
            "a dataset with __getitem__ and __len__, or an array."
        )
    for callback in hasher.callbacks or ():
        itself = callback[1] if isinstance(callback, tuple) else callback
        if not hasattr(itself, "on_epoch_end"):
            raise TypeError(f"callbacks must hold callbacks of skorch, got {itself!r}.")
    if hasher._goes_on and hasher.n_bits != hasher.n_bits_:
        raise ValueError(
            f"warm_start goes on with n_bits={hasher.n_bits_}, got {hasher.n_bits}."
        )


def _find_checkpoint(
    hasher: Any, dataset: TrainingRows
) -> tuple[CheckpointFolder | None, dict[str, Any] | None]:
    """Return where checkpoints of this fit are, and the last one."""
    if hasher.checkpoint is None:
        return None, None
    parameters = hasher.get_params(deep=False)
    for name in NOT_IN_FINGERPRINT:
        del parameters[name]
    parameters["callbacks"] = tuple(map(what_tells_apart, hasher.callbacks or ()))
    begins_with = hasher.net_.module_ if hasher._goes_on else None
    parts = type(hasher), parameters, begins_with, *dataset.parts()
    folder = CheckpointFolder(_checkpoint(hasher).path, fingerprint(*parts))
    state = folder.load()
    if state is not None and state["finished"] and hasher.random_state is None:
        folder.clear()
        state = None
    return folder, state


def _keeper(
    hasher: Any, folder: CheckpointFolder, seed: int, state: dict[str, Any] | None
) -> KeepState:
    writes = hasher.accelerator is None or hasher.accelerator.is_main_process
    return KeepState(folder, _checkpoint(hasher).every, seed, state, writes=writes)


def _checkpoint(hasher: Any) -> Checkpoint:
    if isinstance(hasher.checkpoint, Checkpoint):
        return hasher.checkpoint
    return Checkpoint(hasher.checkpoint)


def _draw_seed(hasher: Any) -> int:
    """Draw the seed of a fit, one for all processes of an accelerator."""
    seed = draw_seed(hasher.random_state)
    if hasher.accelerator is None:
        return seed
    from sklhash.training.distributed import seed_of_all

    return seed_of_all(seed, hasher.accelerator)


def _shared_among_processes(hasher: Any, net: HashingNet) -> HashingNet:
    """Return the net that the processes of an accelerator train, if there is one."""
    if hasher.accelerator is None:
        return net
    from sklhash.training.distributed import accelerated

    return accelerated(net, hasher.accelerator)
