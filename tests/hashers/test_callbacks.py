"""Callbacks of scikit-learn and of skorch, on every deep hasher."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    TensorBoard,
)
from skorch.utils import noop
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.lr_scheduler import ExponentialLR, StepLR
from torch.utils.tensorboard import SummaryWriter

from sklhash import DSDH, NSH, HammingNeighbors, HashNet, OrthoHash
from sklhash.metrics import map_scorer
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, make

# Fits of a few epochs leave some bits as they began.
pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")

each_hasher = pytest.mark.parametrize("cls", DEEP_HASHERS, ids=lambda c: c.__name__)

# They learn from labels, pairs or views of rows, or keep something for each row.
each_kind = pytest.mark.parametrize("cls", [OrthoHash, HashNet, NSH, DSDH])

KNOWN_TO_ALL = {"epoch", "loss", "lr", "seconds"}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:200].astype(np.float32), y[:200]


def values_of(hasher, X):
    return hasher.decision_function(X)


class Listener:
    """A callback of scikit-learn that keeps what it is told.

    It stops the fit after so many epochs, or fails at one of its methods.
    """

    def __init__(self, *, stop_after=None, fail_at=None, error=RuntimeError):
        self.stop_after = stop_after
        self.fail_at = fail_at
        self.error = error
        self.told = []

    def setup(self, estimator, context):
        self.keep("setup", context)

    def on_fit_task_begin(self, estimator, context):
        self.keep("begin", context)

    def on_fit_task_end(self, estimator, context):
        self.keep("end", context)
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def teardown(self, estimator, context):
        self.keep("teardown", context)

    def keep(self, event, context):
        told = f"{event} {context.task_name}"
        if context.task_name == "epoch":
            told = f"{told} {context.task_id}"
        self.told.append(told)
        if told == self.fail_at:
            raise self.error(told)


class Watcher(Listener):
    """A callback of scikit-learn that keeps the data and the fitted hashers."""

    def __init__(self, X, **kwargs):
        super().__init__(**kwargs)
        self.X = X
        self.given = []
        self.began = []
        self.ended = []
        self.values = []

    def on_fit_task_begin(self, estimator, context, *, X, y, fitted_estimator):
        self.given.append((X, y))
        if context.task_name == "epoch":
            self.began.append(fitted_estimator)
        super().on_fit_task_begin(estimator, context)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.given.append((X, y))
        self.ended.append(fitted_estimator)
        self.values.append(values_of(fitted_estimator, self.X))
        return super().on_fit_task_end(estimator, context)


def told_of(n_epochs):
    """What callbacks are told of a fit with so many epochs."""
    both = ("begin", "end")
    epochs = [f"{event} epoch {k}" for k in range(n_epochs) for event in both]
    return ["setup fit", "begin fit", *epochs, "end fit", "teardown fit"]


@each_hasher
def test_callbacks_are_told_of_each_epoch_and_given_the_data(cls, digits):
    watcher = Watcher(digits[0])
    make(cls).set_callbacks(watcher).fit(*digits)
    assert watcher.told == told_of(3)
    assert len(watcher.given) == 8
    for X, y in watcher.given:
        assert X is digits[0]
        assert y is digits[1]


@each_hasher
def test_the_fitted_hasher_of_an_epoch_is_that_of_a_fit_that_stopped_there(cls, digits):
    X, _ = digits
    watcher = Watcher(X)
    hasher = make(cls).set_callbacks(watcher).fit(*digits)
    for n_epochs in (1, 2, 3):
        stopping = Listener(stop_after=n_epochs)
        stopped = make(cls).set_callbacks(stopping).fit(*digits)
        assert stopping.told == told_of(n_epochs)
        shown = watcher.ended[n_epochs - 1]
        for fitted in (shown, stopped):
            assert fitted.n_iter_ == len(fitted.history_) == n_epochs
            np.testing.assert_array_equal(
                fitted.loss_curve_, hasher.loss_curve_[:n_epochs]
            )
        expected = values_of(stopped, X)
        np.testing.assert_array_equal(watcher.values[n_epochs - 1], expected)
        np.testing.assert_array_equal(values_of(shown, X), expected)
        assert shown.score(*digits) == stopped.score(*digits)
    assert watcher.ended[-1].n_iter_ == 3
    np.testing.assert_array_equal(watcher.values[-1], watcher.values[-2])


@each_hasher
def test_an_epoch_begins_with_the_hasher_that_the_one_before_ended_with(cls, digits):
    X, _ = digits
    watcher = Watcher(X)
    make(cls).set_callbacks(watcher).fit(*digits)
    first, *others = watcher.began
    assert first.n_iter_ == 0
    assert first.transform(X).shape == (200, 16)
    for begun, ended in zip(others, watcher.ended[:2], strict=True):
        assert begun.n_iter_ == ended.n_iter_
        np.testing.assert_array_equal(values_of(begun, X), values_of(ended, X))


class Meddler(Listener):
    """A callback of scikit-learn that goes on with the hashers it is shown."""

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        fitted_estimator.score(X, y)
        net = fitted_estimator.net_
        if hasattr(fitted_estimator, "partial_fit"):
            n_epochs = fitted_estimator.n_iter_
            fitted_estimator.partial_fit(X, y, n_epochs=1)
            assert fitted_estimator.n_iter_ == n_epochs + 1
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter.zero_()
        super().on_fit_task_end(estimator, context)


@each_hasher
def test_callbacks_do_not_change_the_training(cls, digits):
    X, _ = digits
    expected = values_of(make(cls).fit(*digits), X)
    hasher = make(cls).set_callbacks(Meddler()).fit(*digits)
    np.testing.assert_array_equal(values_of(hasher, X), expected)
    assert hasher.n_iter_ == 3


@pytest.mark.parametrize("cls", DEEP_STREAMING, ids=lambda c: c.__name__)
def test_partial_fit_tells_nothing(cls, digits):
    listener = Listener()
    hasher = make(cls).set_callbacks(listener).partial_fit(*digits, n_epochs=1)
    assert listener.told == []
    hasher.fit(*digits)
    listener.told.clear()
    hasher.partial_fit(*digits, n_epochs=1)
    assert listener.told == []
    assert hasher.n_iter_ == 4


@each_kind
def test_a_fitted_hasher_keeps_nothing_of_the_training(cls, digits):
    stored = [
        len(pickle.dumps(make(cls).set_callbacks(*callbacks).fit(*digits)))
        for callbacks in ((), (Listener(),))
    ]
    assert stored[1] - stored[0] < 1000 < digits[0].nbytes


@pytest.mark.parametrize(
    ("cls", "fail_at", "error"),
    [
        *((cls, "end epoch 1", RuntimeError) for cls in DEEP_HASHERS),
        (OrthoHash, "setup fit", RuntimeError),
        (OrthoHash, "begin fit", RuntimeError),
        (OrthoHash, "begin epoch 1", RuntimeError),
        (OrthoHash, "end epoch 1", KeyboardInterrupt),
        (OrthoHash, "end fit", RuntimeError),
    ],
)
def test_after_a_callback_fails_the_hasher_is_as_before(cls, fail_at, error, digits):
    X, _ = digits
    listener = Listener(fail_at=fail_at, error=error)
    hasher = make(cls).set_callbacks(listener)
    unfitted = vars(hasher).copy()
    with pytest.raises(error, match=fail_at):
        hasher.fit(*digits)
    assert vars(hasher) == unfitted
    assert listener.told[-2:] == [fail_at, "teardown fit"]

    hasher.set_callbacks().set_params(max_epochs=1).fit(*digits)
    values, history = values_of(hasher, X), copy.deepcopy(hasher.history_)
    hasher.set_callbacks(listener).set_params(max_epochs=3)
    with pytest.raises(error, match=fail_at):
        hasher.fit(*digits)
    np.testing.assert_array_equal(values_of(hasher, X), values)
    assert hasher.history_ == history


def test_callbacks_are_taken_down_after_a_fit_that_fails(digits):
    X, y = digits
    listener = Listener()
    hasher = make(OrthoHash).set_callbacks(listener)
    with pytest.raises(ValueError, match="inconsistent"):
        hasher.fit(X, y[:-1])
    assert listener.told in ([], ["setup fit", "teardown fit"])
    listener.told.clear()
    with pytest.raises(ValueError, match="lr"):
        make(OrthoHash, lr=1e30, optimizer="sgd").set_callbacks(listener).fit(X, y)
    assert listener.told[0] == "setup fit"
    assert listener.told[-1] == "teardown fit"
    assert "end fit" not in listener.told


def own_score(hasher, X, y):
    return hasher.score(X, y)


@each_hasher
def test_monitors_log_the_score_of_each_epoch(cls, digits):
    monitor = ScoringMonitor(scoring={"own": own_score, "map": map_scorer})
    watcher = Watcher(digits[0])
    hasher = make(cls).set_callbacks(monitor, watcher).fit(*digits)
    scores = {row["task_id_path"]: row["own"] for row in monitor.get_logs().data}
    expected = [fitted.score(*digits) for fitted in watcher.ended]
    paths = [(0, 0), (0, 1), (0, 2), (0,)]
    assert scores == dict(zip(paths, expected, strict=True))
    assert scores[(0,)] == hasher.score(*digits)
    assert all(row["map"] == row["own"] for row in monitor.get_logs().data)


@each_hasher
def test_progress_bars_go_over_the_epochs(cls, digits, capsys):
    hasher = make(cls).set_callbacks(ProgressBar()).fit(*digits)
    shown = capsys.readouterr().out
    assert f"{cls.__name__} - fit" in shown
    assert "100%" in shown
    assert hasher.n_iter_ == 3


@each_hasher
def test_callbacks_work_in_a_pipeline(cls, digits, capsys):
    X, y = digits
    listener, monitor = (
        Listener(stop_after=2),
        ScoringMonitor(scoring={"own": own_score}),
    )
    pipe = make_pipeline(StandardScaler(), make(cls).set_callbacks(listener, monitor))
    pipe.set_callbacks(ProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert f"{cls.__name__} - fit" in shown
    assert "Pipeline - fit" in shown
    assert listener.told == told_of(2)
    assert pipe[-1].n_iter_ == 2
    rows = monitor.get_logs().data
    assert [row["task_id_path"] for row in rows] == [(0, 1), (0, 1, 0), (0, 1, 1)]
    assert rows[0]["own"] == rows[2]["own"] == pipe.score(X, y)
    scaled = StandardScaler().fit_transform(X)
    expected = make(cls, max_epochs=3).set_callbacks(Listener(stop_after=2))
    np.testing.assert_array_equal(
        values_of(pipe[-1], scaled), values_of(expected.fit(scaled, y), scaled)
    )


def test_callbacks_go_through_a_pipeline_that_ends_in_a_search(digits, capsys):
    search = make_pipeline(StandardScaler(), make(OrthoHash), HammingNeighbors())
    search.set_callbacks(ProgressBar()).fit(*digits)
    assert "HammingNeighbors" in capsys.readouterr().out


def n_epochs(hasher, X, y):
    return hasher.n_iter_


@each_hasher
def test_callbacks_work_in_a_grid_search_with_two_jobs(cls, digits, capsys):
    monitor = ScoringMonitor(scoring={"own": own_score})
    hasher = make(cls).set_callbacks(Listener(stop_after=2), monitor)
    search = GridSearchCV(
        hasher, {"n_bits": [8, 16]}, scoring=n_epochs, cv=2, n_jobs=2
    ).set_callbacks(ProgressBar())
    search.fit(*digits)
    assert "GridSearchCV - fit" in capsys.readouterr().out
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], 2)
    assert search.best_estimator_.n_iter_ == 2
    rows = monitor.get_logs().data
    fits = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 1)]
    expected = {(*fit, *task) for fit in fits for task in ((), (0,), (1,))}
    assert {row["task_id_path"] for row in rows} == expected
    assert len(rows) == len(expected)
    scores = {row["task_id_path"]: row["own"] for row in rows}
    assert scores[(0, 1)] == scores[(0, 1, 1)] == search.best_estimator_.score(*digits)
    assert all(scores[fit] == scores[(*fit, 1)] for fit in fits)


def test_callbacks_of_both_kinds_go_together(digits):
    listener = Listener()
    stopping = EarlyStopping("train_loss", patience=2, threshold=10, sink=noop)
    hasher = make(OrthoHash, max_epochs=9, callbacks=[stopping])
    hasher.set_callbacks(listener).fit(*digits)
    assert hasher.n_iter_ == 3
    assert listener.told == told_of(3)
    assert clone(hasher).fit(*digits).n_iter_ == 3


@each_hasher
def test_verbose_one_is_a_bar_over_epochs(cls, digits, capsys):
    hasher = make(cls, verbose=1).fit(*digits)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err
    last = err.splitlines()[-1]
    assert f"loss={hasher.loss_curve_[-1]:.4g}" in last
    for name in hasher.history_[-1].keys() - KNOWN_TO_ALL:
        assert f"{name}={hasher.history_[-1][name]:.4g}" in last


@each_hasher
def test_verbose_two_is_a_line_an_epoch(cls, digits, capsys):
    hasher = make(cls, verbose=2).fit(*digits)
    out, err = capsys.readouterr()
    assert err == ""
    head, _, *lines = out.splitlines()
    assert len(lines) == 3
    for name in hasher.history_[-1].keys() - KNOWN_TO_ALL:
        assert name in head


# Callbacks of skorch


@each_kind
def test_early_stopping_ends_a_fit_and_may_go_back_to_the_best_epoch(cls, digits):
    X, _ = digits

    def stopped(load_best):
        stopping = EarlyStopping(
            "train_loss", patience=2, threshold=10, load_best=load_best, sink=noop
        )
        return make(cls, max_epochs=9, callbacks=[stopping]).fit(*digits)

    assert stopped(load_best=False).n_iter_ == 3
    first = make(cls, max_epochs=9).set_callbacks(Listener(stop_after=1)).fit(*digits)
    np.testing.assert_array_equal(
        values_of(stopped(load_best=True), X), values_of(first, X)
    )


@each_kind
def test_schedules_of_epochs_set_the_learning_rate(cls, digits):
    schedule = LRScheduler(StepLR, step_size=2, gamma=0.1)
    parameters = {"max_epochs": 4, "lr_schedule": None}
    hasher = make(cls, callbacks=[schedule], **parameters).fit(*digits)
    rates = [epoch["lr"] for epoch in hasher.history_]
    np.testing.assert_allclose(rates, hasher.lr * np.array([1, 1, 0.1, 0.1]))
    own = make(cls, **parameters | {"lr_schedule": steps_of_two}).fit(*digits)
    np.testing.assert_array_equal(
        values_of(hasher, digits[0]), values_of(own, digits[0])
    )


def steps_of_two(epoch, max_epochs):
    return 0.1 ** (epoch // 2)


@each_kind
def test_schedules_of_batches_set_the_learning_rate(cls, digits):
    schedule = LRScheduler(ExponentialLR, gamma=0.9, step_every="batch")
    hasher = make(
        cls, callbacks=[schedule], lr_schedule=None, batch_size=50, max_epochs=2
    ).fit(*digits)
    rates = [epoch["lr"] for epoch in hasher.history_]
    np.testing.assert_allclose(rates, hasher.lr * 0.9 ** np.array([4, 8]))


class Steps(Callback):
    """Keeps the parameters after each batch."""

    def on_train_begin(self, net, **kwargs):
        self.kept = [self.parameters(net)]

    def on_batch_end(self, net, **kwargs):
        self.kept.append(self.parameters(net))

    def parameters(self, net):
        parameters = net.module_.parameters()
        return torch.cat([p.detach().flatten().double() for p in parameters])


@each_kind
def test_clipped_gradients_take_steps_of_the_length_they_are_clipped_to(cls, digits):
    def step(*callbacks):
        steps = Steps()
        make(
            cls,
            callbacks=[*callbacks, steps],
            batch_size=200,
            max_epochs=1,
            optimizer="sgd",
            weight_decay=0.0,
            lr_schedule=None,
            lr=1.0,
        ).fit(*digits)
        before, after = steps.kept
        return after - before

    free = step()
    length = free.norm().item() / 10
    clipped = step(GradientNormClipping(length))
    assert clipped.norm().item() == pytest.approx(length, rel=1e-3)
    torch.testing.assert_close(10 * clipped, free, rtol=1e-3, atol=1e-5)
    assert torch.equal(step(GradientNormClipping(1e9)), free)


@each_kind
def test_tensorboard_has_the_history(cls, digits, tmp_path):
    writer = SummaryWriter(tmp_path)
    hasher = make(cls, callbacks=[TensorBoard(writer)]).fit(*digits)
    events = EventAccumulator(str(tmp_path)).Reload()
    losses = events.Scalars("Loss/train_loss")
    assert [event.step for event in losses] == [1, 2, 3]
    np.testing.assert_allclose(
        [event.value for event in losses], hasher.loss_curve_, rtol=1e-6
    )
    for name in hasher.history_[0].keys() - {"epoch", "loss", "seconds"}:
        np.testing.assert_allclose(
            [event.value for event in events.Scalars(name)],
            [epoch[name] for epoch in hasher.history_],
            rtol=1e-6,
        )
    stored = pickle.loads(pickle.dumps(hasher))
    np.testing.assert_array_equal(
        values_of(stored, digits[0]), values_of(hasher, digits[0])
    )


@each_kind
def test_checkpoints_of_skorch_hold_module_optimizer_and_history(cls, digits, tmp_path):
    checkpoint = Checkpoint(monitor=None, dirname=str(tmp_path), sink=noop)
    hasher = make(cls, callbacks=[checkpoint]).fit(*digits)
    other = make(cls, max_epochs=1, random_state=5).fit(*digits)
    other.net_.load_params(checkpoint=checkpoint)
    np.testing.assert_array_equal(
        values_of(other, digits[0]), values_of(hasher, digits[0])
    )
    assert len(other.net_.history) == 3


def test_checkpoints_of_the_best_epoch_are_loaded_after_the_fit(digits, tmp_path):
    checkpoint = Checkpoint(
        monitor=first_epoch_only, dirname=str(tmp_path), load_best=True, sink=noop
    )
    hasher = make(OrthoHash, callbacks=[checkpoint]).fit(*digits)
    first = make(OrthoHash).set_callbacks(Listener(stop_after=1)).fit(*digits)
    np.testing.assert_array_equal(
        values_of(hasher, digits[0]), values_of(first, digits[0])
    )


def first_epoch_only(net):
    return len(net.history) == 1
