import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.datasets import load_digits

import sklhash
from sklhash import ITQ, HashedNeighbors, OrthoHash

PROJECT = Path(__file__).parents[1]
X, y = load_digits(return_X_y=True)
X = X + np.random.default_rng(0).normal(size=X.shape)  # floats with many digits
QUERIES = X[1500:]


@pytest.fixture(scope="module", params=["codes", "reranked"])
def search(request):
    if request.param == "codes":
        hasher = OrthoHash(32, max_epochs=2, random_state=0)
        return HashedNeighbors(hasher).fit(X[:1500], y[:1500])
    hasher = ITQ(32, random_state=0)
    search = HashedNeighbors(hasher, rerank="cosine", n_candidates=60).fit(X[:1500])
    return search.remove([7, 1200])


@pytest.fixture
def model(search, tmp_path, monkeypatch):
    path = tmp_path / "digits.sklhash"
    sklhash.save(search, path)
    monkeypatch.setenv("SKLHASH_MODEL", str(path))
    return path


@pytest.fixture
def client(model):
    from examples.serve import app

    with TestClient(app) as client:
        yield client


def assert_found(answer, search, queries, k):
    distances, ids = search.kneighbors(queries, k)
    assert answer == {"ids": ids.tolist(), "distances": distances.tolist()}


def send(client, body):
    content = body if isinstance(body, str) else json.dumps(body)  # NaN as NaN
    return client.post(
        "/search", content=content, headers={"Content-Type": "application/json"}
    )


@pytest.mark.parametrize(("n_queries", "k"), [(1, 1), (1, 10), (7, 60), (297, 3)])
def test_what_is_served_is_what_the_search_finds(client, search, n_queries, k):
    answer = send(client, {"vectors": QUERIES[:n_queries].tolist(), "k": k})
    assert answer.status_code == 200
    assert_found(answer.json(), search, QUERIES[:n_queries], k)


def test_ten_are_found_if_nobody_says_how_many(client, search):
    answer = send(client, {"vectors": QUERIES[:2].tolist()})
    assert_found(answer.json(), search, QUERIES[:2], 10)


def test_whole_numbers_are_vectors_as_well(client, search):
    rows = np.ones((2, 64), dtype=int)
    assert_found(send(client, {"vectors": rows.tolist()}).json(), search, rows, 10)


def test_health_tells_what_is_searched(client, search):
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"items": search.n_live_, "features": 64}


def vectors_with(value):
    row = QUERIES[0].tolist()
    row[3] = value
    return {"vectors": [QUERIES[1].tolist(), row]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"vectors": [[1.0, 2.0]]}, "X has 2 features, but"),
        ({"vectors": [[1.0, 2.0], [1.0]]}, "inhomogeneous"),
        (vectors_with(float("nan")), "Input X contains NaN"),
        (vectors_with(float("inf")), "Input X contains infinity"),
        (vectors_with("wide"), "body.vectors.1.3: Input should be a valid number"),
        (vectors_with(None), "body.vectors.1.3: Input should be a valid number"),
        ({"vectors": []}, "body.vectors: List should have at least 1 item"),
        ({"vectors": [[np.nan]] * 1025}, "List should have at most 1024 items"),
        ({"vectors": [1.0, 2.0]}, "body.vectors.0: Input should be a valid list"),
        ({"vector": [[1.0]]}, "body.vectors: Field required"),
        (vectors_with(0.0) | {"k": 0}, "body.k: Input should be greater than or"),
        (vectors_with(0.0) | {"k": 1001}, "body.k: Input should be less than or"),
        (vectors_with(0.0) | {"k": 2.5}, "body.k: Input should be a valid integer"),
        ("{'vectors': [[1.0]]}", "JSON decode error"),
        ("[[1.0]]", "body: Input should be a valid dictionary"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_why(client, body, message):
    answer = send(client, body)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_more_neighbours_than_there_are_items_are_refused(tmp_path, monkeypatch):
    few = HashedNeighbors(ITQ(8, random_state=0)).fit(X[:20])
    sklhash.save(few, tmp_path / "few.sklhash")
    monkeypatch.setenv("SKLHASH_MODEL", str(tmp_path / "few.sklhash"))
    from examples.serve import app

    with TestClient(app) as client:
        assert send(client, {"vectors": X[:1].tolist(), "k": 20}).status_code == 200
        answer = send(client, {"vectors": X[:1].tolist(), "k": 21})
    assert answer.status_code == 422
    assert "Expected 1 <= n_neighbors <= 20" in answer.json()["detail"]


def test_an_app_without_a_model_does_not_start(tmp_path, monkeypatch):
    from examples.serve import app

    monkeypatch.setenv("SKLHASH_MODEL", str(tmp_path / "missing.sklhash"))
    with pytest.raises(FileNotFoundError), TestClient(app):
        pass


def test_requests_at_the_same_time_get_their_own_answers(client, search):
    def ask(i):
        answer = send(client, {"vectors": QUERIES[i : i + 3].tolist(), "k": 5})
        return answer.json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(100)))
    for i, answer in enumerate(answers):
        assert_found(answer, search, QUERIES[i : i + 3], 5)


@contextmanager
def uvicorn_at_a_free_port(log):
    command = [sys.executable, "-m", "uvicorn", "examples.serve:app"]
    command += ["--host", "127.0.0.1", "--port", "0", "--workers", "2"]
    command += ["--timeout-worker-healthcheck", "120"]  # of a busy machine
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, cwd=PROJECT, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            wait_for_both("Application startup complete", process, log)
            address = log.read_text().partition("running on ")[2].split()[0]
            yield address, process
            process.terminate()
            process.wait(timeout=60)
        finally:
            stop_all(process.pid)


def wait_for_both(sentence, process, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if log.read_text().count(sentence) == 2:
            return
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


def stop_all(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def ask(address, body=None):
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(address, data, headers), timeout=60) as answer:
        return json.load(answer)


@pytest.mark.skipif(os.name != "posix", reason="signals a group of processes")
@pytest.mark.parametrize("search", ["codes"], indirect=True)
def test_two_processes_of_uvicorn_serve_one_file_and_then_another(
    model, search, tmp_path
):
    log = tmp_path / "log"
    with uvicorn_at_a_free_port(log) as (address, process):
        for i in range(20):
            rows = QUERIES[i : i + 2]
            answer = ask(f"{address}/search", {"vectors": rows.tolist(), "k": 4})
            assert_found(answer, search, rows, 4)
        with pytest.raises(HTTPError, match="422") as refused:
            ask(f"{address}/search", {"vectors": [[1.0]]})
        assert "X has 1 features" in json.load(refused.value)["detail"]

        sklhash.save(copy(search).add(QUERIES, y[1500:]), model)
        assert ask(f"{address}/health")["items"] == 1500
        process.send_signal(signal.SIGHUP)
        wait_for_both("Finished server process", process, log)
        answers = [ask(f"{address}/health") for _ in range(10)]
    assert {answer["items"] for answer in answers} == {1797}
