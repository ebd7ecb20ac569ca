import os
import pickle
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import multiprocessing

from sklhash import DPSH, DSDH, DSRH, NSH, CIBHash, HashNet, OrthoHash

pytest.importorskip("accelerate")

N_PROCESSES = 2
TIMEOUT = 300  # seconds, after which processes are taken to wait for each other

# Adam would hide gradients of another scale.
PLAIN = {
    "hidden_layer_sizes": (8,),
    "augment": None,
    "optimizer": "sgd",
    "lr": 0.02,
    "max_epochs": 3,
    "batch_size": 25,
    "device": "cpu",
    "random_state": 0,
}


class InTurns:
    """Views that differ, but not by chance."""

    def __init__(self):
        self.n_calls = 0

    def __call__(self, x):
        self.n_calls += 1
        return x if self.n_calls % 2 else 0.8 * x


# Augmentation shifts the order of the rows, which does not matter in one batch.
VIEWS = PLAIN | {"augment": InTurns(), "batch_size": 78}
SAME_AS_ALONE = {
    "pairs": HashNet(12, **PLAIN),
    "state of each row": DPSH(12, **PLAIN),
    "codes of each row": DSDH(12, **PLAIN),
    "triplets": DSRH(12, **PLAIN),
    "two views": CIBHash(12, **VIEWS),
    "a trained backbone": HashNet(12, backbone=partial(torch.nn.Linear, 6, 5), **PLAIN),
}
BY_SHARES = {
    "two views of two outputs": NSH(12, **VIEWS),
    "batch normalisation": OrthoHash(12, **PLAIN),
    "augmentation": CIBHash(12, **PLAIN | {"augment": "gaussian"}),
    "no seed": HashNet(12, **PLAIN | {"random_state": None}),
    "early stopping": OrthoHash(
        12, **PLAIN | {"max_epochs": 20}, validation_fraction=0.2, n_iter_no_change=1
    ),
}


def data():
    """78 rows, so that the last of the batches has three."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=78)
    return 3 + y[:, None] + rng.standard_normal((78, 6)), y


def state_of(hasher):
    state = hasher.net_.criterion_.state_dict()
    return {name: v.numpy() for name, v in state.items() if isinstance(v, torch.Tensor)}


def fitted(hashers, accelerator):
    X, y = data()
    results = {}
    for name, hasher in hashers.items():
        hasher = clone(hasher).set_params(accelerator=accelerator).fit(X, y)
        first = hasher.decision_function(X)
        if hasattr(hasher, "partial_fit"):
            hasher.partial_fit(X, y)
        results[name] = {
            "fit": first,
            "partial_fit": hasher.decision_function(X),
            "state": state_of(hasher),
            "scores": [epoch.get("validation_map") for epoch in hasher.history_],
        }
    return results


def sizes_of_shares(accelerator):
    sizes = []

    def count(x):
        sizes.append(len(x))
        return x

    hasher = HashNet(12, **PLAIN | {"augment": count, "max_epochs": 1})
    hasher.set_params(accelerator=accelerator).fit(*data())
    return sizes


def shown(accelerator):
    text = {}
    for verbose in (0, 1, 2):
        output = StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            warnings.simplefilter("ignore")
            hasher = HashNet(12, **PLAIN, accelerator=accelerator, verbose=verbose)
            hasher.fit(*data())
        text[verbose] = output.getvalue()
    return text


def refusal_of_a_part(accelerator):
    rows = slice(accelerator.process_index, None, N_PROCESSES)
    X, y = data()
    with pytest.raises(ValueError, match="the same rows") as error:
        HashNet(12, **PLAIN, accelerator=accelerator).fit(X[rows], y[rows])
    return str(error.value)


def work(process, folder):
    """Be one of the processes."""
    from accelerate import Accelerator

    torch.set_num_threads(1)
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "RANK": str(process),
        "LOCAL_RANK": str(process),
        "WORLD_SIZE": str(N_PROCESSES),
        "LOCAL_WORLD_SIZE": str(N_PROCESSES),
    }
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting_point",
        rank=process,
        world_size=N_PROCESSES,
    )
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == N_PROCESSES
    hasher = HashNet(12, **PLAIN, accelerator=accelerator).fit(*data())
    results = {
        "fitted": fitted(SAME_AS_ALONE | BY_SHARES, accelerator),
        "pickled": pickle.dumps(hasher),
        "sizes": sizes_of_shares(accelerator),
        "shown": shown(accelerator),
        "refusal": refusal_of_a_part(accelerator),
    }
    (folder / f"{process}.pkl").write_bytes(pickle.dumps(results))
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads may abort a process that ends as others do


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of the processes came to."""
    folder = tmp_path_factory.mktemp("processes")
    started = multiprocessing.spawn(work, (folder,), nprocs=N_PROCESSES, join=False)
    deadline = time.monotonic() + TIMEOUT
    try:
        while not started.join(timeout=1):
            assert time.monotonic() < deadline, "processes wait for each other"
    finally:
        for process in started.processes:
            process.kill()
    return [
        pickle.loads((folder / f"{number}.pkl").read_bytes())
        for number in range(N_PROCESSES)
    ]


@pytest.fixture(scope="module")
def alone():
    return fitted(SAME_AS_ALONE, None)


@pytest.mark.parametrize("name", [*SAME_AS_ALONE, *BY_SHARES])
def test_all_processes_come_to_the_same_codes_and_state(name, processes):
    first, second = (process["fitted"][name] for process in processes)
    assert np.ptp(first["fit"]) > 0.1
    assert first["scores"] == second["scores"]
    np.testing.assert_equal(first, second)


@pytest.mark.parametrize("name", [*SAME_AS_ALONE])
def test_processes_come_to_what_one_would_come_to(name, processes, alone):
    together = processes[0]["fitted"][name]
    for part in ("fit", "partial_fit"):
        np.testing.assert_allclose(together[part], alone[name][part], atol=1e-4)
    for buffer, value in alone[name]["state"].items():
        np.testing.assert_allclose(together["state"][buffer], value, atol=1e-4)


def test_each_process_encodes_its_share_and_a_batch_of_few_rows_whole(processes):
    assert [process["sizes"] for process in processes] == [
        [12, 12, 12, 3],
        [13, 13, 13, 3],
    ]


def test_the_first_process_alone_shows_the_fit(processes):
    first, second = (process["shown"] for process in processes)
    assert second == {0: "", 1: "", 2: ""}
    assert first[0] == ""
    assert "epoch" in first[1]
    assert "loss" in first[2]


def test_processes_with_rows_of_their_own_are_refused(processes):
    for process in processes:
        assert "give each process all rows" in process["refusal"]


def test_what_processes_fitted_is_used_and_trained_further_by_one(processes):
    X, y = data()
    values = processes[0]["fitted"]["pairs"]
    for process in processes:
        hasher = pickle.loads(process["pickled"])
        assert hasher.accelerator is None
        np.testing.assert_array_equal(hasher.decision_function(X), values["fit"])
        hasher.partial_fit(X, y)
        np.testing.assert_allclose(
            hasher.decision_function(X), values["partial_fit"], atol=1e-4
        )


@pytest.mark.parametrize("name", [*SAME_AS_ALONE])
def test_an_accelerator_of_one_process_changes_nothing(name, alone, make_accelerator):
    hashers = {name: SAME_AS_ALONE[name]}
    result = fitted(hashers, make_accelerator())[name]
    np.testing.assert_equal(result, alone[name])


def test_a_hasher_with_an_accelerator_is_cloned_copied_and_searched(make_accelerator):
    X, y = data()
    accelerator = make_accelerator()
    hasher = HashNet(12, **PLAIN, accelerator=accelerator)
    assert clone(hasher).accelerator is accelerator
    hasher.fit(X, y)
    stored = pickle.loads(pickle.dumps(hasher))
    np.testing.assert_array_equal(stored.transform(X), hasher.transform(X))
    search = GridSearchCV(hasher, {"lr": [1e-6, 0.02]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 0.02}
    assert search.best_estimator_.accelerator is accelerator


def test_nothing_of_a_fit_stays_with_the_accelerator(make_accelerator):
    accelerator = make_accelerator(mixed_precision="bf16")
    hasher = HashNet(12, **PLAIN, accelerator=accelerator).fit(*data())
    assert not accelerator._models
    assert not accelerator._optimizers
    assert type(hasher.net_.optimizer_) is torch.optim.SGD
    assert "forward" not in vars(hasher.net_.module_)


def test_mixed_precision_is_of_the_network_and_not_of_the_loss(alone, make_accelerator):
    X, y = data()
    accelerator = make_accelerator(mixed_precision="bf16")
    hasher = HashNet(12, **PLAIN, accelerator=accelerator).fit(X, y)
    by_precision = HashNet(12, **PLAIN, precision="bf16").fit(X, y)
    values = hasher.decision_function(X)
    np.testing.assert_allclose(values, alone["pairs"]["fit"], atol=0.05)
    assert np.abs(values - alone["pairs"]["fit"]).max() > 1e-6
    np.testing.assert_array_equal(values, by_precision.decision_function(X))
