"""The loop that trains: what it computes, what it reads, and how it fails."""

import copy
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sklhash import CIBHash, DeepHasher, HashLoss, HashNet, OrthoHash
from sklhash.hashers.base import draw_seed
from sklhash.targets import encode_targets
from sklhash.training.augment import GaussianNoise
from sklhash.training.losses import EpochLosses
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, make

N_VIEWS = {"CIBHash": 2, "NSH": 2}

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:120].astype(np.float32), y[:120] % 4


def trained_by_a_bare_loop(hasher, X, y, *, optimizer, factor, std):
    """Train head and loss as a page of PyTorch would; the row left over is appended."""
    generator = torch.Generator().manual_seed(draw_seed(hasher.random_state))
    targets = encode_targets(y)
    head = hasher._make_head(X.shape[1])
    head.reset_parameters(generator)
    head.standardize.mean.copy_(torch.from_numpy(X.mean(axis=0, dtype=float)))
    head.standardize.scale.fill_(X.var(axis=0, dtype=float).mean() ** 0.5)
    loss = hasher._make_loss(targets)
    loss.on_fit_begin(targets, hasher.n_bits, generator)
    optimizer = optimizer(head.parameters())
    rows = torch.from_numpy(X)
    labels = F.one_hot(torch.from_numpy(y), 4).float()
    curve = []
    head.train()
    for epoch in range(hasher.max_epochs):
        for group in optimizer.param_groups:
            group["lr"] = hasher.lr * factor(epoch / hasher.max_epochs)
        loss.on_epoch_begin(epoch, hasher.max_epochs)
        batches = list(torch.randperm(len(X), generator=generator).split(16))
        if len(batches[-1]) == 1:
            batches[-2:] = [torch.cat(batches[-2:])]
        total = 0.0
        for index in batches:
            x = rows[index]
            if std:
                noise = torch.randn(x.shape, generator=generator)
                x = x + std * head.standardize.scale * noise
            optimizer.zero_grad()
            value = loss(head(x), labels[index], index)
            value.backward()
            optimizer.step()
            total += value.item() * len(index)
        curve.append(total / len(X))
    return head, curve


@each_of([OrthoHash, HashNet])
@pytest.mark.parametrize("n_rows", [96, 97, 103])
@pytest.mark.parametrize(
    ("parameters", "optimizer", "factor", "std"),
    [
        ({"augment": None, "lr_schedule": None}, {}, lambda share: 1, 0),
        (
            {"augment": GaussianNoise(0.7), "lr_schedule": "cosine"},
            {"weight_decay": 0.01},
            lambda share: (1 + np.cos(np.pi * share)) / 2,
            0.7,
        ),
        (
            {"augment": GaussianNoise(0.2), "lr_schedule": "step", "optimizer": "sgd"},
            {"momentum": 0.9, "weight_decay": 0.1},
            lambda share: 1 if share < 0.8 else 0.1,
            0.2,
        ),
    ],
    ids=["plain", "cosine and noise", "sgd"],
)
def test_a_fit_is_a_bare_loop(cls, n_rows, parameters, optimizer, factor, std, digits):
    X, y = (part[:n_rows] for part in digits)
    decay = optimizer.get("weight_decay", 0)
    hasher = make(
        cls, max_epochs=5, batch_size=16, lr=0.002, weight_decay=decay, **parameters
    )
    kind = torch.optim.SGD if "momentum" in optimizer else torch.optim.Adam
    head, curve = trained_by_a_bare_loop(
        hasher,
        X,
        y,
        optimizer=lambda parameters: kind(parameters, fused=True, **optimizer),
        factor=factor,
        std=std,
    )
    hasher.fit(X, y)
    expected, trained = head.state_dict(), hasher.net_.module_.state_dict()
    assert expected.keys() == trained.keys()
    for name in expected:
        torch.testing.assert_close(trained[name], expected[name], rtol=0, atol=1e-6)
    assert hasher.loss_curve_ == pytest.approx(curve, rel=1e-5)
    head.eval()
    with torch.no_grad():
        codes = head(torch.from_numpy(X)) > 0
    assert (hasher.transform(X) == codes.numpy()).mean() > 0.999


class ReadCounter(TorchDispatchMode):
    """Counts what would make the host wait for a GPU."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique")

    def __init__(self):
        super().__init__()
        self.n_reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n_reads += any(name in str(func) for name in self.WAITS)
        return func(*args, **(kwargs or {}))

    def counted(self, method: Callable) -> Callable:
        def call(*args, **kwargs):
            self.n_reads += 1
            return method(*args, **kwargs)

        return call


class AtTheEnds(Callback):
    """Notes the count at the beginning and the end of the training."""

    def __init__(self, counter):
        self.counter = counter

    def on_train_begin(self, net, **kwargs):
        self.before = self.counter.n_reads

    def on_train_end(self, net, **kwargs):
        self.n_reads = self.counter.n_reads - self.before


def reads_of_the_epochs(hasher, X, y):
    counter = ReadCounter()
    ends = AtTheEnds(counter)
    with ExitStack() as stack:
        stack.enter_context(counter)
        for name in ("tolist", "numpy", "cpu"):
            counted = counter.counted(getattr(torch.Tensor, name))
            stack.enter_context(mock.patch.object(torch.Tensor, name, counted))
        hasher.set_params(callbacks=[ends]).fit(X, y)
    return ends.n_reads


@each_of([cls for cls in DEEP_HASHERS if cls.__name__ != "DSDH"])
@pytest.mark.parametrize("batch_size", [60, 7])
def test_the_device_is_read_once_an_epoch(cls, batch_size, digits):
    hasher = make(cls, max_epochs=4, batch_size=batch_size)
    assert reads_of_the_epochs(hasher, *digits) == 4


def test_a_method_that_works_on_all_codes_between_epochs_reads_them_there(digits):
    DSDH = next(cls for cls in DEEP_HASHERS if cls.__name__ == "DSDH")
    few, many = (
        reads_of_the_epochs(make(DSDH, batch_size=batch_size), *digits)
        for batch_size in (60, 7)
    )
    assert few == many > 3


def test_reads_are_counted(digits):
    class Reads(NumberLoss):
        def forward(self, output, y, index):
            return output.square().mean() * output.numel() / output.sum().sign().item()

    hasher = make(hasher_with(Reads()), max_epochs=2, batch_size=30)
    assert reads_of_the_epochs(hasher, *digits) == 2 + 2 * 4


@needs_a_gpu
@each_of(DEEP_STREAMING)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_epoch_on_a_gpu_does_not_wait_for_it(cls, precision, digits, monkeypatch):
    class Strict(EpochLosses):
        def add(self, loss, n_rows):
            super().add(loss, n_rows)
            torch.cuda.set_sync_debug_mode("error")

        def read(self, logged):
            torch.cuda.set_sync_debug_mode("default")
            return super().read(logged)

    monkeypatch.setattr("sklhash.training.net.EpochLosses", Strict)
    hasher = make(cls, device="cuda", batch_size=30, precision=precision)
    try:
        hasher.fit(*digits)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(hasher.loss_curve_).all()


class NumberLoss(HashLoss):
    """Base of losses of these tests."""

    def forward(self, output, y, index):
        return output.square().mean()


def hasher_with(loss):
    class Hasher(DeepHasher):
        augment = None
        batch_size = 30
        max_epochs = 3
        device = "cpu"

        def _make_loss(self, targets):
            return loss

    return Hasher


class TensorsLogged(NumberLoss):
    def log(self):
        return {"third": torch.tensor(1 / 3), "count": torch.tensor(7), "half": 0.5}


def test_quantities_may_be_tensors_or_numbers(digits):
    hasher = make(hasher_with(TensorsLogged())).fit(*digits)
    for epoch in hasher.history_:
        assert epoch["third"] == pytest.approx(1 / 3)
        assert epoch["count"] == 7
        assert epoch["half"] == 0.5
        assert not any(isinstance(value, torch.Tensor) for value in epoch.values())


def test_the_loss_of_an_epoch_is_the_mean_over_rows():
    losses = EpochLosses(1, "")
    losses.add(torch.tensor(1.0), 3)
    losses.add(torch.tensor(5.0), 1)
    assert losses.read({"x": torch.tensor(2.0)}) == (2.0, {"x": 2.0})


class SpoilCall:
    """An augmentation that does something to one of its batches, not to others."""

    def __init__(self, number, spoil):
        self.number = number
        self.spoil = spoil
        self.n_calls = 0

    def __call__(self, x):
        self.n_calls += 1
        return self.spoil(x) if self.n_calls == self.number else x


def call_of(cls, epoch, batch):
    """Return the number of the call for the first view of a batch, of 4 an epoch."""
    return (4 * (epoch - 1) + batch - 1) * N_VIEWS.get(cls.__name__, 1) + 1


def fails_at(cls, spoil, epoch, batch, **parameters):
    spoiled = SpoilCall(call_of(cls, epoch, batch), spoil)
    return make(cls, augment=spoiled, batch_size=30, **parameters)


def assert_as_before(hasher, before, X, codes):
    assert vars(hasher) == before
    np.testing.assert_array_equal(hasher.transform(X), codes)


def check_that_nothing_changes(hasher, error, message, digits):
    """Check an error of a fit, before and after another fit, and of partial_fit."""
    X, y = digits
    spoil = hasher.augment
    unfitted = vars(hasher).copy()
    with pytest.raises(error, match=message) as info:
        hasher.fit(X, y)
    assert vars(hasher) == unfitted

    hasher.set_params(augment="gaussian").fit(X, y)
    codes = hasher.transform(X)
    spoil.n_calls = 0
    hasher.set_params(augment=spoil)
    for again in ({"warm_start": False}, {"warm_start": True}):
        spoil.n_calls = 0
        before = vars(hasher.set_params(**again)).copy()
        with pytest.raises(error):
            hasher.fit(X, y)
        assert_as_before(hasher, before, X, codes)
    return info.value


@pytest.mark.parametrize(
    ("cls", "bad"), [*((cls, np.nan) for cls in DEEP_HASHERS), (HashNet, np.inf)]
)
def test_a_loss_that_is_not_finite_is_found_and_changes_nothing(cls, bad, digits):
    hasher = fails_at(cls, lambda x: x * bad, epoch=2, batch=3)
    error = check_that_nothing_changes(
        hasher,
        ValueError,
        r"The loss is (nan|-?inf) in batch 3 of 4 of epoch 2: the training has "
        rf"diverged. A smaller learning rate than lr={hasher.lr} may help",
        digits,
    )
    assert "before the first step" not in str(error)


@each_of(DEEP_HASHERS)
def test_a_first_batch_that_is_spoiled_is_not_put_down_to_the_learning_rate(
    cls, digits
):
    hasher = fails_at(cls, lambda x: x * np.nan, epoch=1, batch=1)
    with pytest.raises(
        ValueError,
        match="batch 1 of 4 of epoch 1, before the first step: look at what the "
        "backbone, the augmentation and the loss make",
    ) as info:
        hasher.fit(*digits)
    assert "learning rate" not in str(info.value)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_infinite_loss_of_a_single_batch_is_an_error(value, digits):
    class InfiniteOnce(NumberLoss):
        n_calls = 0

        def forward(self, output, y, index):
            self.n_calls += 1
            return output.mean() * 0 + (value if self.n_calls == 10 else 1.0)

    cls = hasher_with(InfiniteOnce())
    with pytest.raises(ValueError, match=f"is {value} in batch 2 of 4 of epoch 3"):
        cls(8, random_state=0).fit(*digits)


def test_bf16_is_named_as_a_cause(digits):
    hasher = fails_at(
        OrthoHash, lambda x: x * np.nan, epoch=1, batch=2, precision="bf16"
    )
    with pytest.raises(ValueError, match=r"precision='float32' instead of 'bf16'"):
        hasher.fit(*digits)


def test_partial_fit_counts_epochs_from_the_first_and_changes_nothing(digits):
    X, y = digits
    hasher = make(OrthoHash, batch_size=30, augment=None)
    hasher.partial_fit(X, y, n_epochs=2)
    codes, before = hasher.transform(X), vars(hasher.set_params(lr=1e30)).copy()
    with pytest.raises(
        ValueError, match=r"of 4 of epoch 3: .* than lr=4\.35.*e\+29 may help"
    ):
        hasher.partial_fit(X, y, n_epochs=4)
    assert_as_before(hasher, before, X, codes)


def raiser(error):
    def spoil(x):
        raise error

    return spoil


NO_MEMORY = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), torch.OutOfMemoryError),
    (
        RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError,
    ),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), MemoryError),
    (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB"), MemoryError),
    (MemoryError("Unable to allocate 7 TiB"), MemoryError),
]


@pytest.mark.parametrize(("error", "kind"), NO_MEMORY, ids=lambda v: str(v)[:25])
def test_out_of_memory_names_the_batch_size_and_changes_nothing(error, kind, digits):
    hasher = fails_at(HashNet, raiser(error), epoch=2, batch=1)
    first_line = str(error).splitlines()[0]
    raised = check_that_nothing_changes(
        hasher, kind, r"with batch_size=30\. A smaller batch_size", digits
    )
    assert str(raised).endswith(first_line)
    assert "bf16" in str(raised)
    assert raised.__cause__ is error


@pytest.mark.parametrize("place", ["loss", "backbone", "on_fit_begin", "on_epoch_end"])
def test_memory_may_run_out_anywhere(place, digits):
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    loss, backbone = NumberLoss(), torch.nn.Linear(64, 16)
    if place == "backbone":
        backbone.forward = fail
    else:
        setattr(loss, {"loss": "forward"}.get(place, place), fail)
    hasher = hasher_with(loss)(8, backbone=backbone, random_state=0)
    unfitted = vars(hasher).copy()
    for method in (hasher.fit, hasher.partial_fit):
        with pytest.raises(torch.OutOfMemoryError, match="with batch_size=30"):
            method(*digits)
        assert vars(hasher) == unfitted


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        NotImplementedError("no kernel"),
        KeyError("memory"),
    ],
    ids=repr,
)
def test_other_errors_pass_through_as_they_are(error, digits):
    hasher = fails_at(OrthoHash, raiser(error), epoch=1, batch=2)
    raised = check_that_nothing_changes(hasher, type(error), None, digits)
    assert raised is error
    assert raised.__cause__ is None


def test_a_bar_is_closed_when_the_fit_fails(digits):
    hasher = fails_at(OrthoHash, raiser(KeyError("x")), epoch=3, batch=2, verbose=1)
    with mock.patch("sklhash.training.progress.tqdm") as tqdm, pytest.raises(KeyError):
        hasher.fit(*digits)
    assert tqdm.return_value.update.call_count == 2
    assert tqdm.return_value.close.call_count == 1


@pytest.mark.parametrize(("verbose", "bars"), [(0, 0), (1, 1), (True, 1), (2, 0)])
def test_a_bar_has_as_many_epochs_as_are_to_come(verbose, bars, digits, capsys):
    with mock.patch("sklhash.training.progress.tqdm") as tqdm:
        hasher = make(OrthoHash, max_epochs=5, verbose=verbose).fit(*digits)
        hasher.partial_fit(*digits, n_epochs=2)
        hasher.set_params(max_epochs=4, warm_start=True).fit(*digits)
    calls = [(call["total"], call["initial"]) for _, call in tqdm.call_args_list]
    assert calls == [(5, 0), (2, 0), (4, 0)][: 3 * bars]
    assert tqdm.return_value.close.call_count == len(calls)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert bool(printed.out) == (verbose == 2)


class Snapshots(Callback):
    def on_train_begin(self, net, **kwargs):
        self.nets = []

    def on_epoch_end(self, net, **kwargs):
        self.nets.append(net.snapshot())


@each_of(DEEP_HASHERS)
def test_a_snapshot_is_the_net_of_its_epoch(cls, digits):
    X, y = digits
    snapshots = Snapshots()
    constant = {"lr_schedule": None, "batch_size": 30}
    hasher = make(cls, callbacks=[snapshots], **constant).fit(X, y)
    plain = make(cls, **constant).fit(X, y)
    np.testing.assert_array_equal(
        hasher.decision_function(X), plain.decision_function(X)
    )
    first = make(cls, max_epochs=1, **constant)
    if "continuation" in first.get_params():
        first.set_params(continuation="sqrt")
    first.fit(X, y)
    for snapshot in (
        snapshots.nets[0],
        copy.deepcopy(snapshots.nets[0]),
        pickle.loads(pickle.dumps(snapshots.nets[0])),
    ):
        np.testing.assert_array_equal(
            snapshot.project(X, snapshot.module_), first.decision_function(X)
        )
        assert len(snapshot.history) == 1
        assert snapshot.callbacks_ == []
        assert snapshot.plan.held_out is None


@each_of(DEEP_STREAMING)
def test_a_snapshot_goes_on_as_if_the_training_had_ended(cls, digits):
    X, y = digits
    snapshots = Snapshots()
    constant = {"lr_schedule": None, "batch_size": 30}
    hasher = make(cls, callbacks=[snapshots], **constant).fit(X, y)
    begun = make(cls, max_epochs=1, **constant).fit(X, y)
    begun.net_ = snapshots.nets[0]
    share_of_the_chunk = (1 / 2) ** 1.2
    begun.set_params(lr=begun.lr / share_of_the_chunk).partial_fit(X, y, n_epochs=2)
    np.testing.assert_allclose(
        begun.decision_function(X), hasher.decision_function(X), atol=1e-5
    )
    assert begun.loss_curve_ == pytest.approx(hasher.loss_curve_)


def test_weights_that_are_not_finite_are_found_where_the_loss_is_blind(digits):
    hasher = fails_at(CIBHash, lambda x: x * np.nan, epoch=2, batch=2, kl_weight=0.0)
    check_that_nothing_changes(
        hasher,
        ValueError,
        rf"Weights are not finite after epoch 2, .* than lr={hasher.lr} may help",
        digits,
    )
