"""Processes begun where numba and torch have computed in threads: all works there.

What takes too long is killed, and fails. Forks are made by a process of their own: one
that hangs may hold what its parent waits for.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from sklhash import (
    ITQ,
    KSH,
    LSH,
    HammingNeighbors,
    HashedNeighbors,
    OrthoHash,
    hamming_distances,
    mean_average_precision_score,
    retrieval_report,
)
from sklhash.metrics import neighbor_recall_score
from sklhash.neighbors import engine
from sklhash.neighbors.stored import CHANGES
from tests.hashers.methods import make

TOO_LONG = 120  # seconds

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((300, 12)).astype(np.float32), RNG.integers(3, size=300)


def fitted_parts():
    """Fit hashers and searches."""
    hashers = [make(cls, 8).fit(X, Y) for cls in (LSH, ITQ, KSH, OrthoHash)]
    codes = hashers[0].transform(X)
    searches = [
        HammingNeighbors(n_jobs=2).fit(codes, Y),
        HammingNeighbors(algorithm="multi_index").fit(codes, Y),
    ]
    hashed = HashedNeighbors(LSH(8, random_state=0), rerank="cosine").fit(X, Y)
    return hashers, searches, hashed


def answers(hashers, searches, hashed):
    """Use what was fitted, and fit with one thread, as all processes can."""
    with threadpool_limits(1):
        return answers_of_one_thread(hashers, searches, hashed)


def answers_of_one_thread(hashers, searches, hashed):
    found = {}
    for hasher in hashers:
        found[type(hasher).__name__] = hasher.decision_function(X), hasher.transform(X)
    torch.set_num_threads(1)
    for hasher in hashers:
        again = clone(hasher).fit(X, Y)
        found[f"fit {type(hasher).__name__}"] = again.decision_function(X)
    codes = hashers[0].transform(X)
    for search in searches:
        found[f"search {search.algorithm}"] = (
            *search.kneighbors(codes),
            search.count_within(codes, 2),
            search.score(codes, Y),
        )
        search.partial_fit(codes[:9], Y[:9]).remove([0, 301])
        found[f"changed {search.algorithm}"] = search.kneighbors(codes)
    found["hashed"] = *hashed.kneighbors(X), hashed.score(X, Y)
    found["changed hashed"] = hashed.add(X[:9], Y[:9]).kneighbors(X)
    labelled = codes, codes, Y, Y
    found["scores"] = (
        mean_average_precision_score(*labelled, average=None),
        neighbor_recall_score(codes, codes, X, X, k=20, average=None),
        retrieval_report(*labelled, random_state=0),
    )
    return found


def check_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value, err_msg=name)


def compute_in_threads():
    """Let the libraries begin their threads."""
    torch.set_num_threads(2)
    matrix = torch.randn(500, 500)
    matrix @ matrix
    torch.randn(10**6).exp()
    hashers, searches, _ = fitted_parts()
    for hasher in hashers:
        hasher.transform(X)
    for search in searches:
        search.kneighbors()


def by_process(kind):
    """Run a process that is given what was fitted; forked, it has it without a copy."""
    context = multiprocessing.get_context(kind)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_answers, args=(sender, fitted_parts()))
    process.start()
    sender.close()
    try:
        assert receiver.poll(TOO_LONG), "the process hangs"
        found = receiver.recv()
        process.join(TOO_LONG)
        assert process.exitcode == 0
        return [found]
    finally:
        process.kill()


def send_answers(sender, parts):
    sender.send(answers(*parts))


def by_joblib(backend):
    parts = fitted_parts()
    return Parallel(n_jobs=2, backend=backend, batch_size=1, timeout=TOO_LONG)(
        delayed(answers)(*parts) for _ in range(2)
    )


def check_processes(begin, kind):
    """Compare what processes find with what is found here."""
    n_threads = torch.get_num_threads()
    try:
        compute_in_threads()
        found = begin(kind)
        expected = answers(*fitted_parts())
    finally:
        torch.set_num_threads(n_threads)
    for one in found:
        check_same(one, expected)


def fork_while_locked():
    """Fork while other threads change a search and build an index."""
    search = HammingNeighbors(algorithm="multi_index").fit(X > 0)
    search.kneighbors()
    held, enough = threading.Event(), threading.Event()

    def hold():
        with CHANGES.held, engine._BUILDING.held:
            held.set()
            enough.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        search.partial_fit(X < 0).remove(np.arange(300))
        distances, indices = search.kneighbors(X > 0, 1)
        expected = hamming_distances(X > 0, X < 0)
        same = (distances[:, 0] == expected.min(axis=1)).all()
        same &= (indices[:, 0] == 300 + expected.argmin(axis=1)).all()
        os._exit(0 if same else 1)
    _, status = os.waitpid(pid, 0)
    enough.set()
    assert status == 0


def fork_in_all_ways():
    check_processes(by_process, "fork")
    check_processes(by_joblib, "multiprocessing")
    fork_while_locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_work_where_threads_have_computed():
    call = "from tests.test_processes import *; fork_in_all_ways()"
    process = subprocess.Popen(
        [sys.executable, "-c", call],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        pytest.fail(f"a fork hangs: {errors}")
    assert process.returncode == 0, errors


@pytest.mark.parametrize(
    ("begin", "kind"), [(by_process, "spawn"), (by_joblib, "loky")]
)
def test_fresh_processes_find_what_their_parent_finds(begin, kind):
    check_processes(begin, kind)
