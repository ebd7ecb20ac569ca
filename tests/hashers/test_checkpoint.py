"""Fits that are killed, interrupted or repeated, with `checkpoint`."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import ClassVar

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
from torch.utils.tensorboard import SummaryWriter

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

    moment: ClassVar[tuple[str, int] | None] = None
    epochs: ClassVar[list[int]] = []


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
        raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def epochs():
    """Interrupt nothing, and list the epochs that hashers with the callback begin."""
    Interruption.moment = None
    Interruption.epochs.clear()
    return Interruption.epochs


def interrupted(hasher, moment, *args, **kwargs):
    before = vars(hasher).copy()
    Interruption.moment = moment
    with pytest.raises(KeyboardInterrupt):
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
    assert_goes_on_where_it_was(quick(OrthoHash), tmp_path / "runs", digits[0], *rows)


def test_interrupted_fits_that_go_on_from_another_go_on(digits, tmp_path):
    X, y = digits
    watched = quick(OrthoHash, warm_start=True, callbacks=[Interrupting()])
    expected = clone(watched).fit(X, y).fit(X, y)
    hasher = clone(watched).set_params(checkpoint=tmp_path)
    interrupted(hasher, ("middle", 3), X, y)
    hasher.fit(X, y)
    first = hasher.net_
    interrupted(hasher, ("end", 2), X, y)
    assert hasher.net_ is first
    Interruption.epochs.clear()
    hasher.fit(X, y)
    assert Interruption.epochs == [2, 3, 4]
    assert_same(hasher, expected, X)
    assert hasher.n_iter_ == 8
    Interruption.epochs.clear()
    another_day = clone(hasher).fit(X, y).fit(X, y)
    assert Interruption.epochs == []
    assert_same(another_day, expected, X)
    assert_same(another_day.partial_fit(X, y), expected.partial_fit(X, y), X)


def test_the_best_epoch_is_remembered(digits, tmp_path):
    """The second epoch is the best of those that follow, and the fit ends early."""
    hasher = quick(
        OrthoHash, max_epochs=20, validation_fraction=0.3, n_iter_no_change=3, lr=0.1
    )
    expected = assert_goes_on_where_it_was(hasher, tmp_path, digits[0], *digits)
    scores = [epoch["validation_map"] for epoch in expected.history_]
    assert int(np.argmax(scores)) == len(scores) - 4 < 16


class Stopping:
    """A callback of scikit-learn that ends the fit with its second epoch."""

    def __init__(self):
        self.n_epochs = 0

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_epochs += context.task_name == "epoch"
        return self.n_epochs == 2

    def teardown(self, estimator, context):
        pass


def test_a_fit_that_was_told_to_stop_does_not_go_on(digits, tmp_path, epochs):
    watched = quick(OrthoHash, callbacks=[Interrupting()])
    hasher = clone(watched).set_params(checkpoint=tmp_path)
    interrupted(hasher.set_callbacks(Stopping()), ("after", 2), *digits)
    hasher.fit(*digits)
    assert epochs == [1, 2]
    expected = clone(watched).set_callbacks(Stopping()).fit(*digits)
    assert_same(hasher, expected, digits[0])


def test_a_fit_on_another_accelerator_goes_on(
    digits, tmp_path, epochs, make_accelerator
):
    hasher = quick(HashNet, checkpoint=tmp_path, callbacks=[Interrupting()])
    by_processes = clone(hasher).set_params(accelerator=make_accelerator())
    for first, then in ((hasher, by_processes), (by_processes, hasher)):
        epochs.clear()
        interrupted(first, ("begin", 3), *digits)
        then.fit(*digits)
        assert epochs == [1, 2, 3, 3, 4]
        for path in tmp_path.glob("*/*"):
            path.unlink()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda",) * 2])
@pytest.mark.parametrize("cls", [NSH, DSDH, HashNet])
def test_a_fit_goes_on_on_another_device(cls, devices, digits, tmp_path, epochs):
    first, then = devices
    hasher = quick(cls, augment=GaussianNoise(0.3), callbacks=[Interrupting()])
    expected = clone(hasher).set_params(device=then).fit(*digits)
    epochs.clear()
    hasher.set_params(checkpoint=tmp_path, device=first)
    interrupted(hasher, ("middle", 3), *digits)
    hasher.set_params(device=then).fit(*digits)
    assert epochs == [1, 2, 3, 3, 4]
    if first == then:
        np.testing.assert_allclose(hasher.loss_curve_, expected.loss_curve_, rtol=1e-3)


# -- Which checkpoints there are, and for whom


@pytest.mark.parametrize(
    ("every", "written", "then"),
    [
        (1, [4, 5], [6]),
        (2, [2, 4], [5, 6]),
        (3, [3], [4, 5, 6]),
        (10, [], [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_state_is_written_every_so_many_epochs(
    every, written, then, digits, tmp_path, epochs
):
    watched = quick(OrthoHash, max_epochs=6, callbacks=[Interrupting()])
    checkpoint = Checkpoint(tmp_path, every=every)
    hasher = interrupted(
        clone(watched).set_params(checkpoint=checkpoint), ("begin", 6), *digits
    )
    assert checkpoints_in(tmp_path) == [f"epoch-{k:06d}.ckpt" for k in written]
    epochs.clear()
    # How often is no matter of what is trained.
    hasher.set_params(checkpoint=str(tmp_path)).fit(*digits)
    assert epochs == then
    assert len(list(tmp_path.iterdir())) == 1
    assert checkpoints_in(tmp_path)[-1] == "epoch-000006.ckpt"
    assert_same(hasher, clone(watched).fit(*digits), digits[0])


def test_partial_fit_writes_nothing(digits, tmp_path):
    path = tmp_path / "runs"
    quick(OrthoHash, checkpoint=path).partial_fit(*digits)
    assert not path.exists()


def half(epoch, max_epochs):
    return 0.5


def first_changed(X):
    X = X.copy()
    X[17, 33] += 0.01
    return X


OTHERS = {
    "one value": lambda X, y: ({}, first_changed(X), y),
    "the order of the labels": lambda X, y: ({}, X, y[::-1].copy()),
    "the names of the classes": lambda X, y: ({}, X, y + 1),
    "the order of the rows": lambda X, y: ({}, X[::-1], y[::-1]),
    "the seed": lambda X, y: ({"random_state": 1}, X, y),
    "a parameter of the method": lambda X, y: ({"margin": 0.3}, X, y),
    "the learning rate": lambda X, y: ({"lr": 0.004}, X, y),
    "the number of epochs": lambda X, y: ({"max_epochs": 5}, X, y),
    "the schedule": lambda X, y: ({"lr_schedule": half}, X, y),
    "the noise": lambda X, y: ({"augment": GaussianNoise(0.1)}, X, y),
    "precision": lambda X, y: ({"precision": "bf16"}, X, y),
    "rows kept out": lambda X, y: ({"validation_fraction": 0.1}, X, y),
    "a callback": lambda X, y: (
        {"callbacks": [Interrupting(), EarlyStopping("train_loss")]},
        X,
        y,
    ),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_parameters_or_data_are_trained_anew(change, digits, tmp_path, epochs):
    hasher = quick(OrthoHash, checkpoint=tmp_path, callbacks=[Interrupting()])
    interrupted(hasher, ("begin", 3), *digits)
    parameters, X, y = change(*digits)
    other = clone(hasher).set_params(**parameters)
    epochs.clear()
    other.fit(X, y)
    assert epochs == [*range(1, other.max_epochs + 1)]
    assert len(list(tmp_path.iterdir())) == 2
    assert_same(other, clone(other).set_params(checkpoint=None).fit(X, y), X)
    epochs.clear()
    hasher.fit(*digits)
    assert epochs == [3, 4]


def test_other_methods_are_trained_anew(digits, tmp_path, epochs):
    for cls in DEEP_HASHERS:
        quick(cls, checkpoint=tmp_path, callbacks=[Interrupting()]).fit(*digits)
    assert epochs == [1, 2, 3, 4] * len(DEEP_HASHERS)
    assert len(list(tmp_path.iterdir())) == len(DEEP_HASHERS)


@pytest.mark.parametrize("verbose", [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0)])
def test_what_is_shown_or_returned_does_not_matter(
    verbose, digits, tmp_path, epochs, capsys
):
    watched = quick(OrthoHash, callbacks=[Interrupting()])
    hasher = clone(watched).set_params(checkpoint=tmp_path, verbose=verbose[0])
    interrupted(hasher, ("begin", 3), *digits)
    hasher.set_params(packed=True, device="auto", verbose=verbose[1])
    if torch.cuda.is_available():
        hasher.set_params(device="cpu")
    epochs.clear()
    capsys.readouterr()
    hasher.fit(*digits)
    assert epochs == [3, 4]
    assert_same(hasher, clone(watched).fit(*digits), digits[0])


def test_the_bar_goes_on_where_it_was(digits, tmp_path, capsys):
    hasher = quick(
        OrthoHash, checkpoint=tmp_path, verbose=1, callbacks=[Interrupting()]
    )
    interrupted(hasher, ("begin", 3), *digits)
    assert "| 2/4 [" in capsys.readouterr().err
    hasher.fit(*digits)
    shown = capsys.readouterr().err
    assert "| 2/4 [" in shown
    assert "| 4/4 [" in shown
    assert "| 0/4 [" not in shown
    hasher.fit(*digits)
    assert capsys.readouterr().err == ""


def test_the_head_of_the_table_is_printed_again(digits, tmp_path, capsys):
    hasher = quick(
        OrthoHash, checkpoint=tmp_path, verbose=2, callbacks=[Interrupting()]
    )
    interrupted(hasher, ("begin", 3), *digits)
    capsys.readouterr()
    hasher.fit(*digits)
    shown = capsys.readouterr().out
    assert "train_loss" in shown
    assert len(shown.splitlines()) == 4


def test_a_generator_of_numpy_is_drawn_from_as_without(digits, tmp_path, epochs):
    def two_fits(**parameters):
        generator = np.random.RandomState(3)
        watched = {"callbacks": [Interrupting()], "random_state": generator}
        return [quick(OrthoHash, **watched, **parameters).fit(*digits) for _ in "ab"]

    expected = two_fits()
    hasher = quick(
        OrthoHash,
        callbacks=[Interrupting()],
        random_state=np.random.RandomState(3),
        checkpoint=tmp_path,
    )
    interrupted(hasher, ("begin", 4), *digits)
    for trained in ([4, 1, 2, 3, 4], []):
        epochs.clear()
        found = two_fits(checkpoint=tmp_path)
        assert epochs == trained
        for hasher, alike in zip(found, expected, strict=True):
            assert_same(hasher, alike, digits[0])
    assert found[0].loss_curve_ != found[1].loss_curve_


def test_without_a_seed_only_unfinished_fits_go_on(digits, tmp_path, epochs):
    X, _ = digits
    hasher = quick(
        OrthoHash, random_state=None, checkpoint=tmp_path, callbacks=[Interrupting()]
    )
    interrupted(hasher, ("begin", 4), *digits)
    first = clone(hasher).fit(*digits)
    second = clone(hasher).fit(*digits)
    assert epochs == [1, 2, 3, 4, 4, 1, 2, 3, 4]
    assert not np.array_equal(first.decision_function(X), second.decision_function(X))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_callback_that_writes_a_log_does_not_stand_in_the_way(digits, tmp_path):
    def logged(name):
        writer = SummaryWriter(tmp_path / name)
        return quick(
            OrthoHash,
            callbacks=[TensorBoard(writer), Interrupting()],
            checkpoint=tmp_path / "runs",
        )

    interrupted(logged("one"), ("begin", 3), *digits)
    hasher = logged("other").fit(*digits)
    assert Interruption.epochs == [1, 2, 3, 3, 4]
    assert_same(hasher, quick(OrthoHash).fit(*digits), digits[0])


def searched(path, n_jobs):
    hasher = quick(OrthoHash, checkpoint=path)
    grid = {"lr": [0.001, 0.01], "margin": [0.1, 0.3]}
    X, y = data()
    return GridSearchCV(hasher, grid, cv=2, n_jobs=n_jobs).fit(X, y)


def test_candidates_of_a_search_do_not_collide(digits, tmp_path):
    X, _ = digits
    expected = searched(None, 1)
    path = tmp_path / "runs"
    for n_jobs in (2, 1):
        search = searched(path, n_jobs)
        assert search.best_params_ == expected.best_params_
        for name in ("mean_test_score", "std_test_score"):
            np.testing.assert_array_equal(
                search.cv_results_[name], expected.cv_results_[name]
            )
        assert_same(search.best_estimator_, expected.best_estimator_, X)
        folders = {p.name: p.stat().st_mtime_ns for p in path.rglob("*")}
        assert len(list(path.iterdir())) == 4 * 2 + 1
        assert len(checkpoints_in(path)) == 9 * 2
        if n_jobs == 2:
            written = folders
    assert folders == written


# -- Damage


def files_of_an_interrupted_fit(hasher, digits):
    path = Path(hasher.checkpoint)
    interrupted(hasher, ("begin", 4), *digits)
    first, second = sorted(path.rglob("*.ckpt"))
    return first, second


@pytest.fixture
def hasher(tmp_path):
    return quick(OrthoHash, checkpoint=tmp_path / "runs", callbacks=[Interrupting()])


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_costs_an_epoch_and_a_warning(
    share, hasher, digits, epochs
):
    _, newest = files_of_an_interrupted_fit(hasher, digits)
    os.truncate(newest, int(share * newest.stat().st_size))
    epochs.clear()
    with pytest.warns(UserWarning, match="000003.ckpt is truncated.*000002.ckpt"):
        hasher.fit(*digits)
    assert epochs == [3, 4]
    alone = clone(hasher).set_params(checkpoint=None)
    assert_same(hasher, alone.fit(*digits), digits[0])


def test_without_a_good_checkpoint_nothing_is_trained(hasher, digits, epochs):
    X, y = digits
    files = files_of_an_interrupted_fit(hasher, digits)
    fitted = clone(hasher).set_params(checkpoint=None).fit(X, y)
    fitted.set_params(checkpoint=hasher.checkpoint)
    for file in files:
        os.truncate(file, 100)
    before = vars(fitted).copy()
    epochs.clear()
    with pytest.raises(ValueError, match=f"Delete the folder {files[0].parent} to"):
        fitted.fit(X, y)
    assert epochs == []
    assert vars(fitted) == before
    for file in files:
        file.unlink()
    fitted.fit(X, y)
    assert epochs == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"mine", b"PK\3\4 a file of torch", b"\x80\x04"])
def test_a_foreign_file_is_refused_and_stays(content, hasher, digits, epochs):
    _, newest = files_of_an_interrupted_fit(hasher, digits)
    newest.write_bytes(content)
    epochs.clear()
    with pytest.raises(ValueError, match="000003.ckpt must begin with .* Delete the"):
        hasher.fit(*digits)
    assert epochs == []
    assert newest.read_bytes() == content


def test_a_checkpoint_of_another_fit_is_refused(hasher, digits, tmp_path):
    _, newest = files_of_an_interrupted_fit(hasher, digits)
    other = clone(hasher).set_params(lr=0.1, checkpoint=tmp_path / "others")
    _, foreign = files_of_an_interrupted_fit(other, digits)
    foreign.rename(newest)
    with pytest.raises(ValueError, match="must have the fingerprint .* another fit"):
        hasher.fit(*digits)


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_training(
    hasher, digits, tmp_path, epochs
):
    file = tmp_path / "runs"
    file.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=f"got a file at {file}"):
        hasher.fit(*digits)
    assert epochs == []


@pytest.mark.parametrize("place", [3, ["runs"], b"runs"])
def test_what_is_no_path_is_refused(place, digits):
    with pytest.raises(ValueError, match="'checkpoint' parameter of OrthoHash must be"):
        quick(OrthoHash, checkpoint=place).fit(*digits)


# -- Fits that fail


def diverging(epoch, max_epochs):
    return 1.0 if epoch < 2 else 1e300


def test_a_fit_that_diverges_leaves_checkpoints_and_hasher_as_they_were(
    digits, tmp_path, epochs
):
    X, y = digits
    parameters = {"lr_schedule": diverging, "checkpoint": tmp_path}
    hasher = quick(OrthoHash, callbacks=[Interrupting()]).fit(X, y)
    values = hasher.decision_function(X)
    hasher.set_params(**parameters)
    before = vars(hasher).copy()
    for trained in ([1, 2, 3], [3]):
        epochs.clear()
        with pytest.raises(ValueError, match="of epoch 3: the training has diverged"):
            hasher.fit(X, y)
        assert epochs == trained
        assert vars(hasher) == before
        assert checkpoints_in(tmp_path) == ["epoch-000001.ckpt", "epoch-000002.ckpt"]
    np.testing.assert_array_equal(hasher.decision_function(X), values)


def test_a_fit_that_fails_leaves_the_checkpoints_of_others(digits, tmp_path):
    hasher = quick(OrthoHash, checkpoint=tmp_path).fit(*digits)
    expected = learnt(hasher, digits[0])
    files = checkpoints_in(tmp_path)
    with pytest.raises(ValueError, match="diverged"):
        hasher.set_params(lr=1e30, optimizer="sgd").fit(*digits)
    assert set(files) <= set(checkpoints_in(tmp_path))
    np.testing.assert_equal(learnt(hasher, digits[0]), expected)


def test_what_the_state_cannot_hold_is_named(digits, tmp_path):
    class Gathering(Callback):
        def on_epoch_end(self, net, **kwargs):
            self.seen_ = [{1, 2}]

    hasher = quick(OrthoHash, checkpoint=tmp_path, callbacks=[Gathering()])
    with pytest.raises(TypeError, match=r"\['seen_'\]\[0\] must be a tensor"):
        hasher.fit(*digits)
    assert not hasattr(hasher, "net_")


def test_checkpoints_are_no_part_of_a_fitted_hasher(digits, tmp_path):
    hasher = quick(OrthoHash, checkpoint=tmp_path / "runs").fit(*digits)
    alone = quick(OrthoHash).fit(*digits)
    sizes = [len(pickle.dumps(fitted.net_)) for fitted in (hasher, alone)]
    assert sizes[0] == sizes[1]
    assert_same(pickle.loads(pickle.dumps(hasher)), alone, digits[0])
