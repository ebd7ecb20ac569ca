import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark") / "first" / "out"


@pytest.fixture(scope="module")
def finished(output):
    return run(
        output.parent,
        *["--k", "5", "2000", "3000", "--codes", "uniform", "sorted"],
        *["--radius", "2", "8", "--peers", "faiss", "sklearn", "pynear"],
        pynear="raise ImportError('as if it were not installed')",
    )


def read_table(page, title):
    """Return the lines of the table under a title, each a dict by column."""
    (section,) = (x for x in page.split("\n## ") if x.startswith(title))
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
    picture = (output / "search.png").read_bytes()
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
