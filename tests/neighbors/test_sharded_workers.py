"""Workers of a sharded search are other hosts, are killed and are replaced."""

import os

import numpy as np

from sklhash import HammingNeighbors
from tests.interruptions import Record
from tests.neighbors.answers import answers
from tests.persistence.same import assert_same
from tests.shards import as_array, random_codes

N, N_BITS = 300, 21
CODES, QUERIES = random_codes(N, N_BITS, 120), random_codes(40, N_BITS, seed=1)
SIZES = [20] * 15
Y, QUERY_Y = (np.random.default_rng(2).integers(5, size=n) for n in (N, 40))

PLAIN = HammingNeighbors().fit(CODES, Y)
QUESTIONS = {
    "kneighbors": lambda search: search.kneighbors(QUERIES, 30),
    "radius_neighbors": lambda search: search.radius_neighbors(QUERIES, 4),
    "count_within": lambda search: search.count_within(QUERIES, 4),
    "score": lambda search: search.score(QUERIES, QUERY_Y),
}


def fit_sharded():
    return HammingNeighbors().fit(as_array(CODES, SIZES), as_array(Y, SIZES))


def assert_answers_survive(client, record, asked):
    """Ask, kill a worker while it scans for the answer, and compare."""
    search = fit_sharded()
    n_before = len(record.pids())
    undisturbed = asked(search)
    n_scans = len(record.pids()) - n_before
    assert n_scans >= len(SIZES)
    with record.worker_killed(client):
        found = asked(search)
    assert len(record.pids()) > n_before + 2 * n_scans
    for answer in (undisturbed, found, asked(search)):
        assert_same(answer, asked(PLAIN))


def test_a_search_outlives_all_workers_that_it_was_fitted_on(mortal_client):
    search = fit_sharded()
    before = mortal_client.run(os.getpid).values()
    mortal_client.restart()
    assert not set(before) & set(mortal_client.run(os.getpid).values())
    assert_same(answers(search, QUERIES), answers(PLAIN, QUERIES))


def test_a_worker_killed_in_the_middle_changes_no_answer(mortal_client, tmp_path):
    record = Record(tmp_path / "scans")
    record.keep(mortal_client)
    assert_answers_survive(mortal_client, record, QUESTIONS["kneighbors"])


def test_hosts_that_share_no_network_answer_as_one(separate_hosts, tmp_path):
    spaces = separate_hosts.run(os.readlink, "/proc/self/ns/net")
    assert len({*spaces.values(), os.readlink("/proc/self/ns/net")}) == 3
    hosts = {address.rpartition(":")[0] for address in spaces}
    assert len(hosts) == 2
    search = fit_sharded()
    assert len(separate_hosts.has_what()) == 2
    assert all(separate_hosts.has_what().values())
    for asked in QUESTIONS.values():
        assert_same(asked(search), asked(PLAIN))
    record = Record(tmp_path / "scans")
    record.keep(separate_hosts)
    assert_answers_survive(separate_hosts, record, QUESTIONS["count_within"])
    assert len(separate_hosts.run(os.getpid)) == 1
