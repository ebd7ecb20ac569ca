import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from sklhash import HammingNeighbors, HashedNeighbors

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "soak.py"
# Cycles with all kinds of searches, of codes for which few kernels are compiled.
SHORT = ["--first-cycle", "24", "--steps", "40"]


def test_a_short_soak_finds_nothing_wrong_and_writes_its_figures(tmp_path):
    finished = subprocess.run(
        [sys.executable, SCRIPT, *SHORT, "--cycles", "2", "--output", tmp_path],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    page = (tmp_path / "soak.md").read_text()
    assert finished.stdout == page + "\n"
    assert "2 cycles from\nseed 0, 80 operations" in page
    lines = [x for x in page.splitlines() if x.startswith("| Ha")]
    rows = [line[2:-2].split(" | ") for line in lines]
    assert sum(int(number) for *_, number in rows) == 80
    assert {subject for subject, *_ in rows} == {"HammingNeighbors", "HashedNeighbors"}


@pytest.fixture
def soak(monkeypatch):
    """Import the script, which sets the number of torch's threads."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import soak

    n_threads = torch.get_num_threads()
    yield soak
    torch.set_num_threads(n_threads)


def another_row(found):
    return (found[0], found[1] + 1) if isinstance(found, tuple) else found


def the_last_one_missing(found):
    return tuple(x[:, :-1] for x in found) if isinstance(found, tuple) else found


@pytest.mark.parametrize(
    ("cls", "method", "spoil"),
    [
        (HammingNeighbors, "kneighbors", another_row),
        (HammingNeighbors, "kneighbors", the_last_one_missing),
        (HammingNeighbors, "count_within", lambda counts: counts + 1),
        (HashedNeighbors, "radius_neighbors", lambda found: found[::-1]),
        (HashedNeighbors, "score", lambda score: score + 1e-3),
    ],
)
def test_a_wrong_answer_ends_the_run_with_the_command_that_repeats_it(
    cls, method, spoil, soak, monkeypatch, capsys, tmp_path
):
    right = getattr(cls, method)
    monkeypatch.setattr(
        cls, method, lambda *args, **kwargs: spoil(right(*args, **kwargs))
    )
    failures, command = [], ["soak.py", *SHORT, "--cycles", "9"]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", [*command, "--output", str(tmp_path)])
        assert soak.main() == 1
        printed = capsys.readouterr().err
        assert "WrongAnswerError" in printed
        *_, failure, advice = printed.splitlines()
        failures.append(failure)
        command = re.fullmatch("to repeat it: python benchmarks/(.*)", advice)[
            1
        ].split()
    assert re.search(r"cycle \d+, step \d+: Ha.*Neighbors, ", failures[0])
    assert failures[0] == failures[1]
    assert command[-2:] == ["--cycles", "1"]
    assert not list(tmp_path.iterdir())


def test_a_refusal_that_does_not_come_is_wrong(soak):
    from soaking.judge import Judge, WrongAnswerError

    judge = Judge()
    judge.refused("text", lambda: int("text"))
    with pytest.raises(WrongAnswerError, match="a number: found .an answer"):
        judge.refused("a number", lambda: int("7"))
    with pytest.raises(TypeError):
        judge.refused("None", lambda: int(None))
    assert judge.n_compared == 2


def test_an_answer_has_to_be_right_at_one_moment_for_all_queries(soak):
    from soaking.judge import Judge, WrongAnswerError

    empty, one, two = np.array([], int), np.array([4]), np.array([4, 7])
    moments = [([empty, one], [empty, one]), ([one, two], [one, two])]
    judge = Judge()
    for moment in moments:
        judge.found_at_a_moment("search", moment, moments)
    with pytest.raises(WrongAnswerError):
        judge.found_at_a_moment("search", ([empty, two], [empty, two]), moments)
    with pytest.raises(WrongAnswerError):
        judge.found_at_a_moment("search", ([empty], [empty]), moments)


def test_naive_precision_is_the_mean_over_all_orders_of_the_ties(soak):
    from soaking.naive import average_precision, expected_precision

    relevant = np.array([False, True, True, False, True, False])
    ranked = average_precision_score(relevant, -np.arange(6))
    assert average_precision(relevant) == pytest.approx(ranked)
    assert expected_precision(np.arange(6), relevant) == pytest.approx(ranked)
    orders = [
        average_precision(relevant[[*first, *last]])
        for first in permutations(range(2))
        for last in permutations(range(2, 6))
    ]
    mean = expected_precision(np.array([1, 1, 3, 3, 3, 3]), relevant)
    assert mean == pytest.approx(np.mean(orders))
    assert expected_precision(np.arange(6), relevant & False) == 0


@pytest.mark.parametrize(
    ("leak", "more_files", "is_flat"),
    [(0, 0, True), (4.9, 0, True), (5.1, 0, False), (-9, 0, True), (0, 1, False)],
)
def test_flat_is_less_than_a_hundredth_behind_the_first_tenth(
    soak, leak, more_files, is_flat
):
    from soaking.memory import Sample, trend_of

    hours = np.linspace(0, 1, 101)
    noise = np.tile([3, -3], 51)[:101]
    samples = [
        Sample(h, 500 + leak * (h - 0.1) / 0.9 + x, 6 + more_files * (h > 0.5), 4)
        for h, x in zip(hours, noise, strict=True)
    ]
    samples[:10] = [Sample(h, 100.0, 6, 4) for h in hours[:10]]
    trend = trend_of(samples)
    assert trend.first == samples[10]
    assert trend.growth == pytest.approx(leak, abs=0.1)
    assert trend.megabytes_an_hour == pytest.approx(leak / 0.9, abs=0.1)
    assert trend.is_judged
    assert trend.is_flat == is_flat
    assert not trend_of(samples[:10]).is_judged
    assert trend_of(samples[:1]).growth == 0


def test_a_sample_sees_memory_files_and_threads(soak, tmp_path):
    from soaking.memory import take_sample

    before = take_sample(0.0)
    with open(tmp_path / "file", "w"):
        held = np.ones(2**23)
        after = take_sample(0.0)
    assert after.megabytes - before.megabytes == pytest.approx(64, abs=8)
    assert after.n_files == before.n_files + 1
    assert len(held) == 2**23
