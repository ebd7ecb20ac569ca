import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from sklhash import LSH, hamming_distances, mean_average_precision_score

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accuracy.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a small data set of the layout of scene, and a folder for the results."""
    folder = tmp_path_factory.mktemp("benchmark")
    rng = np.random.default_rng(0)
    Y = (rng.random((160, 4)) < 0.4).astype(np.uint8)
    X = (Y @ rng.standard_normal((4, 12)) + rng.standard_normal((160, 12))) / 4
    (folder / "scene").mkdir()
    np.savez(
        folder / "scene" / "scene.npz",
        X=X.astype(np.float16),
        Y=Y,
        query=np.arange(20),
        train=np.arange(20, 120),
        database=np.arange(20, 160),
    )
    return folder


def run(folder, *arguments, output="out"):
    command = [sys.executable, SCRIPT, "--data", folder, "--datasets", "scene"]
    finished = subprocess.run(
        [*command, "--output", folder / output, "--threads", "1", *arguments],
        capture_output=True,
        text=True,
    )
    lines = (folder / output / "results.jsonl").read_text().splitlines()
    return finished, lines


@pytest.fixture(scope="module")
def first(folder):
    """Run the benchmark for the first time."""
    choice = ["--methods", "LSH", "OrthoHash", "cosine", "--bits", "8", "16"]
    return run(folder, *choice, "--seeds", "2")


def test_every_run_is_kept_shown_and_drawn(folder, first):
    finished, lines = first
    assert finished.returncode == 0, finished.stderr
    n_runs = 1 + 3 * 2 * 2
    assert len(lines) == n_runs
    assert f"[{n_runs}/{n_runs}] scene" in finished.stdout
    page = (folder / "out" / "accuracy.md").read_text()
    rows = [x.split("|")[1:-1] for x in page.splitlines() if x.startswith("| ")]
    methods = ["cosine", "LSH", "OrthoHash", "OrthoHash, linear head"]
    names = [row[0].strip() for row in rows]
    assert names == ["mAP", "---", *methods, "NDCG@100", "---", *methods]
    picture = (folder / "out" / "accuracy.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_means_and_deviations_are_those_of_the_runs(folder, first):
    results = [json.loads(line) for line in first[1]]
    scores = [x["map"] for x in results if x["method"] == "LSH" and x["n_bits"] == 16]
    cell = f"{np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f}".replace("± 0", "± ")
    assert len(scores) == 2
    assert cell in (folder / "out" / "accuracy.md").read_text().replace("**", "")


def test_scores_are_those_of_scikit_learn_and_of_a_loop(folder, first):
    with np.load(folder / "scene" / "scene.npz") as file:
        data = {name: file[name] for name in file.files}
    X = data["X"].astype(np.float32)
    parts = [data["query"], data["database"]]
    query_y, database_y = (data["Y"][rows].astype(int) for rows in parts)
    shared = query_y @ database_y.T
    results = {}
    for line in first[1]:
        result = json.loads(line)
        results[result["method"], result["n_bits"], result["seed"]] = result

    lsh = LSH(16, random_state=1).fit(X[data["train"]])
    codes = [lsh.transform(X[rows]) for rows in parts]
    found = results["LSH", 16, 1]
    expected = mean_average_precision_score(*codes, query_y, database_y)
    assert found["map"] == pytest.approx(expected)
    near = -hamming_distances(*codes)
    assert found["ndcg"] == pytest.approx(ndcg_score(2**shared - 1, near, k=100))

    unit = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float64)
    cosine = unit[parts[0]] @ unit[parts[1]].T
    found = results["cosine", None, None]
    assert found["ndcg"] == pytest.approx(ndcg_score(2**shared - 1, cosine, k=100))
    precisions = []
    for similarity, relevant in zip(cosine, shared > 0, strict=True):
        ranked, hits, total = relevant[np.argsort(-similarity)], 0, 0.0
        for rank, is_hit in enumerate(ranked, 1):
            hits += is_hit
            total += is_hit * hits / rank
        precisions.append(total / max(hits, 1))
    assert found["map"] == pytest.approx(np.mean(precisions))


def test_a_second_run_does_what_was_interrupted_or_failed(folder, first):
    *done, failed, last = first[1]
    failed = json.loads(failed)
    failed["error"] = "MemoryError"
    written = [*done, json.dumps(failed), last[:50]]
    (folder / "again").mkdir()
    (folder / "again" / "results.jsonl").write_text("\n".join(written))
    choice = ["--methods", "LSH", "OrthoHash", "cosine", "--bits", "8", "16"]
    finished, lines = run(folder, *choice, "--seeds", "2", output="again")
    assert finished.returncode == 0, finished.stderr
    assert "13 runs, 11 of them done before" in finished.stdout
    assert lines[: len(written)] == written
    for line, as_before in zip(lines[len(written) :], first[1][-2:], strict=True):
        assert json.loads(line)["map"] == json.loads(as_before)["map"]
    assert "failed" not in (folder / "again" / "accuracy.md").read_text()


def test_a_failed_run_stops_no_other(folder):
    with np.load(folder / "scene" / "scene.npz") as file:
        data = dict(file)
    data["Y"][:120] = 0
    (folder / "broken" / "scene").mkdir(parents=True)
    np.savez(folder / "broken" / "scene" / "scene.npz", **data)
    choice = ["--methods", "LSH", "OrthoHash, linear head", "--bits", "8"]
    finished, lines = run(folder / "broken", *choice, "--seeds", "1")
    assert finished.returncode == 1
    assert len(lines) == 2
    assert "No row of y has a label" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert (folder / "broken" / "out" / "accuracy.png").exists()
    page = (folder / "broken" / "out" / "accuracy.md").read_text()
    assert "| OrthoHash, linear head | failed |" in page


def test_an_unknown_method_is_refused_with_those_that_are_known(folder, first):
    finished, _ = run(folder, "--methods", "LHS")
    assert finished.returncode == 2
    assert "no method is named LHS" in finished.stderr
    assert "OrthoHash, linear head" in finished.stderr
