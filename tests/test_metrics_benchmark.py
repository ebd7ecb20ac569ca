import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "metrics.py"
SMALL = ["--queries", "20", "--database", "300", "--bits", "16", "--classes", "4"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    finished = subprocess.run(
        [
            *(sys.executable, SCRIPT, *SMALL, "--k", "50", "--peer-queries", "10"),
            *("--turns", "1", "--output", folder),
        ],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    written = (folder / "metrics.md").read_text()
    assert written in finished.stdout
    return written


def rows_of(page, title):
    section = page.split(f"## {title}\n\n")[1].split("\n\n")[0]
    lines = [line.strip("| ").split(" | ") for line in section.strip().splitlines()]
    return [dict(zip(lines[0], line, strict=False)) for line in lines[2:]]


def test_the_table_has_a_row_for_each_kind_of_codes_and_k(page):
    rows = rows_of(page, "mAP@k")
    assert [(row["codes"], row["k"]) for row in rows] == [
        (codes, k) for codes in ("uniform", "trained") for k in ("all", "50")
    ]
    for row in rows:
        seconds, ratio = row["ours, index"].split(" (")
        assert float(seconds.strip("*")) >= 0
        assert float(ratio.strip(")")) >= 0


def test_the_report_is_set_against_both_scores(page):
    for row in rows_of(page, "What costs more than one mAP"):
        for cell in (row["report over both mAPs"], row["81 labels over classes"]):
            assert all(float(ratio) > 0 for ratio in cell.split(" / "))


def test_peers_are_what_they_say(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from scoring.peers import make_peers
    from scoring.retrievals import uniform

    retrieval = uniform(5, 200, 64, 3)
    scores = {name: peer(200) for name, peer in make_peers(retrieval, 200).items()}
    for name in ("argsort", "torch.topk"):
        np.testing.assert_allclose(scores[name], scores["stable argsort"], atol=0.05)
    query, database, query_y, database_y = retrieval
    for q in range(5):
        distances = np.bitwise_count(query[q] ^ database).sum(axis=1, dtype=int)
        order = np.argsort(distances, kind="stable")
        relevant = (database_y == query_y[q])[order]
        ranked = average_precision_score(relevant, -np.arange(200))
        assert scores["stable argsort"][q] == pytest.approx(ranked)
