import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, pairwise_distances
from sklearn.preprocessing import normalize

from sklhash import LSH

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "search.py"
SMALL = ["--sizes", "2000", "--bits", "64", "--batch", "1", "8", "--turns", "1"]


def run(folder, *arguments, pynear):
    """Run the benchmark with `pynear`, source code, in place of that library."""
    folder.mkdir()
    (folder / "pynear.py").write_text(pynear)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, SCRIPT, *SMALL, "--output", folder / "out", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Make two small sets of the layout of the real ones; the third is not there.

    Each vector of the set without labels is there three times, so that ten neighbours
    end amid equal distances.
    """
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=440)
    spread = np.geomspace(3, 0.3, 64)
    X = (rng.standard_normal((4, 64))[y] / 2 + rng.standard_normal((440, 64))) * spread
    (folder / "newsgroups20_minilm").mkdir()
    np.savez(
        folder / "newsgroups20_minilm" / "newsgroups20_minilm.npz",
        X=X.astype(np.float16),
        y=y.astype(np.uint8),
        I_query=np.arange(40),
        I_train=np.arange(40, 340),
        I_database=np.arange(40, 440),
    )
    (folder / "sift100k_corel5k").mkdir()
    base = rng.integers(4, size=(100, 64), dtype=np.uint8)
    np.savez(
        folder / "sift100k_corel5k" / "sift100k.npz",
        base=np.tile(base, (3, 1)),
        learn=rng.integers(4, size=(300, 64), dtype=np.uint8),
        query=rng.integers(4, size=(20, 64), dtype=np.uint8),
    )
    return folder


@pytest.fixture(scope="module")
def labelled(data):
    """Return queries, their classes, the database and its classes, and a hasher."""
    file = np.load(data / "newsgroups20_minilm" / "newsgroups20_minilm.npz")
    X, y = file["X"].astype(np.float32), file["y"]
    query, database = file["I_query"], file["I_database"]
    lsh = LSH(64, random_state=0).fit(normalize(X[file["I_train"]]))
    return X[query], y[query], X[database], y[database], lsh


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark") / "first" / "out"


@pytest.fixture(scope="module")
def finished(output, data):
    return run(
        output.parent,
        *["--k", "5", "2000", "3000", "--codes", "uniform", "sorted"],
        *["--radius", "2", "8", "--peers", "faiss", "sklearn", "pynear"],
        *["--data", data],
        pynear="raise ImportError('as if it were not installed')",
    )


def read_table(page, title):
    """Return the lines of the table under a title, each a dict by column."""
    (section,) = (x for x in re.split("\n#+ ", page) if x.startswith(title))
    rows = [x[2:-2].split(" | ") for x in section.splitlines() if x[:1] == "|"]
    head, _, *lines = rows
    return [dict(zip(head, line, strict=True)) for line in lines]


def number(cell):
    """Read the number that stands first in a cell."""
    return float(cell.strip("*").split()[0].replace(",", ""))


@pytest.fixture(scope="module")
def page(finished, output):
    assert finished.returncode == 0, finished.stderr
    return (output / "search.md").read_text()


def test_the_page_is_printed_and_drawn(page, finished, output):
    assert finished.stdout == page + "\n"
    for name in ("search.png", "search_quality.png"):
        picture = (output / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_a_ratio_is_the_time_of_the_fastest_peer_over_ours(page):
    rows = read_table(page, "k nearest, uniform codes")
    assert [(row["batch"], row["k"]) for row in rows] == [
        ("1", "5"),
        ("1", "2,000"),
        ("8", "5"),
        ("8", "2,000"),
    ]
    for row in rows:
        ours = number(row["sklhash"])
        peers = [number(row[x]) for x in ("faiss", "sklearn") if x in row]
        expected = pytest.approx(min(peers) / ours, rel=0.02)
        assert number(row["best peer / ours"]) == expected
        in_brackets = float(row["sklearn"].partition("(")[2].strip(")"))
        expected = pytest.approx(number(row["sklearn"]) / ours, rel=0.02)
        assert in_brackets == expected
        assert row["of the limit"].endswith(("% (comparing)", "% (reading)"))


def test_awkward_codes_are_set_against_uniform_ones(page):
    uniform = read_table(page, "k nearest, uniform codes")
    awkward = read_table(page, "k nearest, sorted codes")
    assert len(awkward) == len(uniform)
    assert all(number(row["/ uniform"]) > 0 for row in awkward)
    assert "/ uniform" not in uniform[0]


def test_the_cost_of_python_is_told_apart_for_single_queries(page):
    rows = read_table(page, "One query")
    assert [row["k"] for row in rows] == ["5", "2,000"]
    assert all(number(row["Python"]) > 0 for row in rows)
    whole, python = (number(rows[1][name]) for name in ("kneighbors", "Python"))
    if rows[1]["kernel alone"]:
        kernel = number(rows[1]["kernel alone"])
        assert kernel == pytest.approx(whole - python, abs=0.02 * whole)


def test_the_planted_neighbours_are_found(page):
    rows = read_table(page, "Within a radius")
    assert [(row["r"], row["found a query"]) for row in rows] == [
        ("2", "3.00"),
        ("8", "9.00"),
    ]
    assert all(number(row["count_within"]) > 0 for row in rows)


def test_first_calls_are_timed_with_an_empty_cache_and_a_warm_one(page):
    rows = read_table(page, "First call")
    assert [(row["method"], row["cache"]) for row in rows] == [
        ("kneighbors", "empty"),
        ("kneighbors", "warm"),
        ("radius_neighbors", "empty"),
        ("radius_neighbors", "warm"),
    ]


def test_a_peer_that_is_not_there_is_left_out_and_named(page, finished):
    line = "pynear is not measured: as if it were not installed"
    assert line in page
    assert line in finished.stderr
    assert "| pynear |" not in page


def score(distances, query_y, y):
    """Return mAP and the ten nearest, equal distances in the order of the rows."""
    order = np.argsort(distances, axis=1, kind="stable")
    ranks = -np.arange(order.shape[1])
    precisions = [
        average_precision_score(y[ranking] == label, ranks)
        for ranking, label in zip(order, query_y, strict=True)
    ]
    return np.mean(precisions), order[:, :10]


def share_found(found, exact):
    pairs = zip(found, exact, strict=True)
    return np.mean([len(np.intersect1d(a, b)) for a, b in pairs]) / 10


def rounded(score):
    return pytest.approx(score, abs=6e-4)


def lines_of(page, title):
    return {row["method"]: row for row in read_table(page, title)}


def test_codes_are_scored_beside_exact_search(page, labelled):
    queries, query_y, database, y, lsh = labelled
    cosine = pairwise_distances(queries, database, "cosine")
    exact_map, exact = score(cosine, query_y, y)
    codes = [lsh.transform(normalize(X)) for X in (queries, database)]
    lsh_map, found = score((codes[0][:, None] != codes[1]).sum(2), query_y, y)
    lines = lines_of(page, "Equal bytes: newsgroups-I")
    reference, row = lines["exact, float32 (256 bytes)"], lines["LSH"]
    half = pytest.approx
    assert number(reference["mAP: 8 bytes"]) == half(exact_map, abs=6e-4)
    assert number(row["mAP: 8 bytes"]) == half(lsh_map, abs=6e-4)
    assert number(row["recall@10: 8 bytes"]) == half(
        share_found(found, exact), abs=6e-4
    )
    assert {"ITQ", "CIBHash", "OrthoHash, from labels"} < lines.keys()


def test_quantised_vectors_of_as_many_bytes_stand_beside_codes(page, labelled):
    pytest.importorskip("faiss")
    queries, query_y, database, y, _ = labelled
    queries, database = normalize(queries), normalize(database)
    _, exact = score(pairwise_distances(queries, database), query_y, y)
    pca = PCA(8).fit(database[:300])
    distances = pairwise_distances(*map(pca.transform, (queries, database)))
    expected_map, found = score(distances, query_y, y)
    lines = lines_of(page, "Equal bytes: newsgroups-I")
    row = lines["int8 of PCA"]
    assert number(row["mAP: 8 bytes"]) == pytest.approx(expected_map, abs=0.01)
    expected = pytest.approx(share_found(found, exact), abs=0.03)
    assert number(row["recall@10: 8 bytes"]) == expected
    assert {"PQ", "OPQ", "OPQ 4 bits"} < lines.keys()
    assert "PQ 4 bits of OrthoHash, from labels" in lines
    for name, line in lines.items():
        prepare, search = line["µs a query: 8 bytes"].split(" + ")
        assert number(search) > 0, name
        assert number(prepare) >= 0, name


def test_a_shortlist_of_all_rows_is_exact_search(page, labelled):
    queries, query_y, database, y, _ = labelled
    rows = read_table(page, "Re-ranking: newsgroups-I")
    assert [x["hasher"] for x in rows] == ["LSH"] * 7 + ["ITQ"] * 7 + ["OrthoHash"] * 7
    order = np.argsort(pairwise_distances(queries, database, "cosine"), axis=1)[:, :100]
    relevant = y[order] == query_y[:, None]
    precisions = np.cumsum(relevant, axis=1) / np.arange(1, 101)
    expected = np.mean((precisions * relevant).sum(axis=1) / relevant.sum(axis=1))
    whole = [x for x in rows if (x["order"], x["candidates"]) == ("cosine", "1,000")]
    assert len(whole) == 3
    for row in whole:
        assert row["recall@10"] == "1.000"
        assert number(row["mAP@100"]) == rounded(expected)
        assert row["bytes an item"] == "264"


def test_equal_distances_are_in_index_order_and_no_labels_mean_no_map(page):
    rows = read_table(page, "Re-ranking: sift100k")
    (whole,) = (
        row
        for row in rows
        if (row["hasher"], row["order"], row["candidates"])
        == ("ITQ", "euclidean", "1,000")
    )
    assert whole["recall@10"] == "1.000"
    assert "mAP@100" not in whole
    lines = lines_of(page, "Equal bytes: sift100k")
    assert "mAP: 8 bytes" not in lines["LSH"]
    assert "OrthoHash, from labels" not in lines


def test_a_set_that_is_not_there_is_left_out(page, finished, data):
    assert f"cifar10-I is not measured: it is not in {data}" in finished.stderr
    assert "Equal bytes: cifar10-I" not in page


def test_a_folder_without_any_set_is_refused(tmp_path):
    finished = run(tmp_path / "refused", "--data", tmp_path, pynear="")
    assert finished.returncode == 2
    assert f"has none of the data sets, got {tmp_path}" in finished.stderr


def test_a_contender_with_other_distances_is_refused(tmp_path):
    finished = run(
        tmp_path / "wrong",
        *["--k", "5", "--peers", "sklearn", "pynear"],
        pynear="""\
class VPTreeBinaryIndex:
    def set(self, database):
        pass

    def searchKNN(self, queries, k):
        return None, [[3] * k] * len(queries)
""",
    )
    assert finished.returncode != 0
    wrong = "sklhash and pynear disagree about the distances of the 5 nearest codes"
    assert wrong in finished.stderr
    assert not (tmp_path / "wrong" / "out").exists()


def test_a_width_that_is_no_whole_number_of_bytes_is_refused(tmp_path):
    finished = run(tmp_path / "refused", "--bits", "12", pynear="")
    assert finished.returncode == 2
    assert "must be a multiple of 8, got 12" in finished.stderr
