"""Fits that are killed, interrupted or repeated, with `checkpoint`."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    LRScheduler,
    TensorBoard,
    WarmRestartLR,
)
from skorch.utils import noop
from torch import nn
from torch.optim.lr_scheduler import (
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)
from torch.utils.data import IterableDataset, TensorDataset

from sklhash import CNNH, DPSH, DSDH, NSH, HashNet, OrthoHash
from sklhash.training.augment import GaussianNoise
from sklhash.training.checkpoints import Checkpoint
from tests.hashers.methods import DEEP_HASHERS, make

# Fits of a few epochs leave some bits as they began.
pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")

each_hasher = pytest.mark.parametrize("cls", DEEP_HASHERS, ids=lambda c: c.__name__)

OF_METHODS = ("codebook_", "coef_", "target_codes_", "factorization_error_")


def data():
    X, y = load_digits(return_X_y=True)
    return X[:150].astype(np.float32), y[:150]


@pytest.fixture(scope="module")
def digits():
    return data()


@pytest.fixture(autouse=True)
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def quick(cls, **parameters):
    defaults = {"hidden_layer_sizes": (8,), "max_epochs": 4, "batch_size": 40}
    return make(cls, **{**defaults, **parameters})


def learnt(hasher, X):
    """Return all that a fit has come to, but for the seconds it took."""
    net = hasher.net_
    state = {
        "values": hasher.decision_function(X),
        "loss_curve": hasher.loss_curve_,
        "n_iter": hasher.n_iter_,
        "history": [epoch | {"seconds": 0} for epoch in hasher.history_],
        "of the method": [getattr(hasher, name, None) for name in OF_METHODS],
        "module": net.module_.state_dict(),
        "loss": net.criterion_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "generator": net.plan.generator.get_state(),
    }
    return as_arrays(state)


def as_arrays(value):
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: as_arrays(item) for key, item in value.items()}
    return [*map(as_arrays, value)] if isinstance(value, (list, tuple)) else value


def assert_same(hasher, other, X):
    np.testing.assert_equal(learnt(hasher, X), learnt(other, X))


class Interruption:
    """When the next fit is to be interrupted; not a parameter, so in no fingerprint."""

    moment: "tuple[str, int] | None" = None
    error: type = KeyboardInterrupt
    epochs: "list[int]" = []


class Interrupting(Callback):
    """Keep the epochs that begin, and end a fit at the moment that is wanted.

    That is the begin or end of an epoch, one of its batches, or the end of the fit.
    """

    def on_epoch_begin(self, net, **kwargs):
        self.batch_ = 0
        Interruption.epochs.append(epoch_of(net))
        interrupt_at("begin", epoch_of(net))

    def on_grad_computed(self, net, **kwargs):
        self.batch_ += 1
        if self.batch_ == 2:
            interrupt_at("middle", epoch_of(net))

    def on_epoch_end(self, net, **kwargs):
        interrupt_at("end", epoch_of(net))

    def on_train_end(self, net, **kwargs):
        interrupt_at("after", epoch_of(net))


def epoch_of(net):
    return len(net.history) - net.n_epochs_before


def interrupt_at(event, epoch):
    if Interruption.moment == (event, epoch):
        raise Interruption.error


@pytest.fixture(autouse=True)
def epochs():
    """Interrupt nothing, and list the epochs that hashers with the callback begin."""
    Interruption.moment = None
    Interruption.error = KeyboardInterrupt
    Interruption.epochs.clear()
    return Interruption.epochs


def interrupted(hasher, moment, *args, **kwargs):
    before = vars(hasher).copy()
    Interruption.moment = moment
    with pytest.raises(Interruption.error):
        hasher.fit(*args, **kwargs)
    Interruption.moment = None
    assert vars(hasher) == before
    return hasher


def checkpoints_in(path):
    return sorted(p.name for p in path.rglob("*.ckpt"))


# -- Killed processes


def forked_fit(hasher, X, y):
    """Fit in a process that has all imported already, and return its number."""
    pid = os.fork()
    if pid == 0:
        try:
            hasher.fit(X, y)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def kill_fits_of(cls, path, chance):
    """Kill fits at random moments, until one was let be; return how many."""
    X, y = data()
    hasher = quick(cls, max_epochs=8, callbacks=None)
    expected = learnt(clone(hasher).fit(X, y), X)
    begin = time.perf_counter()
    clone(hasher).set_params(checkpoint=path / "to measure").fit(X, y)
    seconds = time.perf_counter() - begin
    hasher.set_params(checkpoint=path / "to kill")
    n_killed = 0
    while n_killed < 4:
        pid = forked_fit(hasher, X, y)
        time.sleep(chance.uniform(0, 0.6 * seconds))
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL)
        if status == 0:
            break
        n_killed += 1
    np.testing.assert_equal(learnt(hasher.fit(X, y), X), expected)
    return n_killed


def kill_fits_of_all(path):
    torch.set_num_threads(1)
    warnings.filterwarnings("error", category=UserWarning)
    warnings.filterwarnings("ignore", ".*bits are the same for")
    chance = random.Random(0)
    path = Path(path)
    for cls in DEEP_HASHERS:
        try:
            outcome = kill_fits_of(cls, path / cls.__name__, chance)
        except Exception as error:
            outcome = error
        (path / f"{cls.__name__}.pickle").write_bytes(pickle.dumps(outcome))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Kill fits of all hashers from a process that has no threads."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    path = tmp_path_factory.mktemp("killed")
    command = f"import {__name__} as t; t.kill_fits_of_all({str(path)!r})"
    subprocess.run([sys.executable, "-c", command], check=True, timeout=300)
    return path


@each_hasher
def test_fits_killed_at_random_moments_end_as_if_they_had_not_been(cls, outcomes):
    outcome = pickle.loads((outcomes / f"{cls.__name__}.pickle").read_bytes())
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome > 0


# -- Interrupted fits

MOMENTS = {
    "at the begin of the fit": [("begin", 1)],
    "at the begin of an epoch": [("begin", 3)],
    "in the middle of an epoch": [("middle", 2)],
    "before the end of an epoch is written": [("end", 3)],
    "before the end of the fit is written": [("after", 4)],
    "again and again": [("end", 1), ("middle", 2), ("middle", 2), ("begin", 4)],
}


@each_hasher
@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
def test_interrupted_fits_end_as_if_they_had_not_been(
    cls, moments, digits, tmp_path, epochs
):
    hasher = quick(cls, callbacks=[Interrupting()])
    expected = clone(hasher).fit(*digits)
    epochs.clear()
    hasher.set_params(checkpoint=tmp_path)
    for moment in moments:
        interrupted(hasher, moment, *digits)
    assert_same(hasher.fit(*digits), expected, digits[0])
    again = [epoch for event, epoch in moments if event != "after"]
    assert sorted(epochs) == sorted([1, 2, 3, 4, *again])


def shaken(x):
    return x + torch.randn_like(x) * (0.5 + torch.rand(()))


def with_dropout():
    return nn.Sequential(
        nn.Linear(64, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(0.3)
    )


class Stream(IterableDataset):
    def __init__(self, X, y):
        self.X = X
        self.y = y

    def __iter__(self):
        return zip(self.X, self.y, strict=True)


PAIRS = ([*range(60)] * 2, [*range(1, 61), *range(60, 120)], [0, 1, 0] * 40)

SETTINGS = {
    "a function of rows": (OrthoHash, {"augment": shaken}),
    "a function of rows, two views": (NSH, {"augment": shaken}),
    "noise": (HashNet, {"augment": GaussianNoise(0.3)}),
    "a backbone": (OrthoHash, {"backbone": with_dropout}),
    "a backbone as it is": (DSDH, {"backbone": nn.Linear(64, 9)}),
    "a frozen backbone": (
        OrthoHash,
        {"backbone": with_dropout, "backbone_lr_scale": 0.0},
    ),
    "a frozen backbone that sees noise": (
        HashNet,
        {"backbone": with_dropout, "backbone_lr_scale": 0.0, "augment": shaken},
    ),
    "rows kept out": (DPSH, {"validation_fraction": 0.3, "lr": 0.1}),
    "rows kept out of a backbone's": (
        OrthoHash,
        {"backbone": with_dropout, "validation_fraction": 0.3},
    ),
    "the best epoch": (
        OrthoHash,
        {"validation_fraction": 0.3, "n_iter_no_change": 2, "lr": 0.1},
    ),
    "momentum": (OrthoHash, {"optimizer": "sgd", "lr": 0.01}),
    "AdamW": (DSDH, {"optimizer": "adamw"}),
    "another optimizer": (
        HashNet,
        {"optimizer": torch.optim.RMSprop, "net_params": {"optimizer__momentum": 0.5}},
    ),
    "a schedule of one's own": (
        OrthoHash,
        {"lr_schedule": lambda epoch, max_epochs: 1 - epoch / max_epochs},
    ),
    "bfloat16": (OrthoHash, {"precision": "bf16"}),
    "beta by the step": (HashNet, {"continuation_unit": "step"}),
    "discrete steps in batches": (DSDH, {"discrete_scope": "batch"}),
    "a regression on target codes": (CNNH, {}),
}

CALLBACKS = {
    "early stopping": EarlyStopping("train_loss", patience=2, threshold=0.5),
    "early stopping at the best": EarlyStopping(
        "train_loss", lower_is_better=False, patience=2, load_best=True, sink=noop
    ),
    "steps by the epoch": LRScheduler(StepLR, step_size=2, gamma=0.1),
    "steps by the batch": LRScheduler(StepLR, step_size=3, step_every="batch"),
    "milestones": LRScheduler(MultiStepLR, milestones=[1, 3], gamma=0.1),
    "a function": LRScheduler(LambdaLR, lr_lambda=lambda epoch: 0.5**epoch),
    "one cycle": LRScheduler(
        OneCycleLR, max_lr=0.05, total_steps=20, step_every="batch"
    ),
    "a plateau": LRScheduler(ReduceLROnPlateau, patience=0, threshold=0.2),
    "warm restarts": LRScheduler(WarmRestartLR, base_period=2),
}

SETTINGS |= {
    name: (OrthoHash, {"callbacks": [callback], "lr_schedule": None})
    for name, callback in CALLBACKS.items()
}


def assert_goes_on_where_it_was(hasher, path, X, *args, n_epochs=4, **kwargs):
    """Compare an uninterrupted fit with one that was interrupted three times."""
    callbacks = [*(hasher.callbacks or ()), Interrupting()]
    hasher.set_params(callbacks=callbacks)
    expected = clone(hasher).fit(*args, **kwargs)
    last = expected.n_iter_
    Interruption.epochs.clear()
    hasher.set_params(checkpoint=path)
    for moment in (("middle", 2), ("end", last), ("after", last)):
        interrupted(hasher, moment, *args, **kwargs)
    hasher.fit(*args, **kwargs)
    assert Interruption.epochs == [1, 2, *range(2, last + 1), last]
    assert_same(hasher, expected, X)
    # Nothing is left to do for those who come later.
    assert_same(clone(hasher).fit(*args, **kwargs), expected, X)
    assert len(Interruption.epochs) == last + 2
    return expected


@pytest.mark.parametrize(("cls", "parameters"), SETTINGS.values(), ids=SETTINGS)
def test_interrupted_fits_go_on_with_all_settings(cls, parameters, digits, tmp_path):
    hasher = quick(cls, **parameters)
    assert_goes_on_where_it_was(hasher, tmp_path, digits[0], *digits)


@pytest.mark.parametrize("cls", [HashNet, DPSH])
def test_interrupted_fits_on_pairs_go_on(cls, digits, tmp_path):
    X, _ = digits
    assert_goes_on_where_it_was(quick(cls), tmp_path, X, X, pairs=PAIRS)


def as_memory_map(X, y, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r"), y


CONTAINERS = {
    "a memory map": as_memory_map,
    "sparse": lambda X, y, folder: (sparse.csr_array(X), y),
    "integers": lambda X, y, folder: (X.astype(np.uint8), y),
    "names": lambda X, y, folder: (X, np.array(list("abcdefghij"), dtype=object)[y]),
    "several labels": lambda X, y, folder: (X, np.eye(10, dtype=int)[y]),
    "a data set": lambda X, y, folder: (
        TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
    ),
    "a stream": lambda X, y, folder: (Stream(X, y),),
}


@pytest.mark.parametrize("contain", CONTAINERS.values(), ids=CONTAINERS)
def test_interrupted_fits_go_on_with_data_of_any_kind(contain, digits, tmp_path):
    rows = contain(*digits, tmp_path)
    assert_goes_on_where_it_was(
        quick(OrthoHash), tmp_path / "runs", digits[0], *rows
    )
