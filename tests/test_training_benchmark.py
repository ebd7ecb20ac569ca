import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.base import clone

from sklhash import LSH

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "training.py"
SMALL = ["--rows", "300", "--features", "20", "--bits", "12", "--batch", "32", "100"]
FEW = ["--epochs", "5", "--encode", "2000", "--turns", "1", "--parts", "fits"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    finished = subprocess.run(
        [sys.executable, SCRIPT, *SMALL, *FEW, "encoding", "--output", folder],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    written = (folder / "training.md").read_text()
    assert finished.stdout == written + "\n"
    return written


def rows_of(page, title):
    lines = [x[2:-2].split(" | ") for x in page.split(f"## {title}\n")[1].splitlines()]
    head, _, *rows = [line for line in lines if len(line) > 3]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_each_head_is_fitted_in_each_batch_size_beside_all_peers(page):
    rows = rows_of(page.split("## Rows to codes")[0], "Arrays in memory")
    assert [tuple(row.values())[:4] for row in rows] == [
        (method, head, epochs, batch)
        for method, head, epochs in (
            ("OrthoHash", "linear", "5"),
            ("HashNet", "linear", "5"),
            ("OrthoHash", "1024 hidden", "1"),
        )
        for batch in ("32", "100")
    ]
    for row in rows:
        assert float(row["bare"]) >= 0
        for peer in ("bare, fused", "sklhash", "skorch"):
            seconds, ratio = row[peer].rstrip(")").split(" (")
            assert float(seconds) >= 0
            assert float(ratio) > 0


def test_each_hasher_encodes_and_one_a_file_with_little_memory(page):
    rows = rows_of(page, "Rows to codes")
    in_memory, in_file = "2,000 x 20 float32", "2,000 x 20 float16, file"
    assert [(row["hasher"], row["rows"]) for row in rows] == [
        ("OrthoHash, linear", in_memory),
        ("OrthoHash, linear", in_file),
        ("LSH", in_memory),
        ("PCAH", in_memory),
        ("ITQ", in_memory),
        ("OrthoHash, 1024 hidden", "400 x 20 float32"),
    ]
    assert all("rows" in row["bare is"] or "whole" in row["bare is"] for row in rows)
    assert "taken more\nthan 16 MB for it" in page


@pytest.fixture
def fitting(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from fitting import bare_encoding, encoding, fits, loops, rows

    return {
        m.__name__.split(".")[1]: m
        for m in (bare_encoding, encoding, fits, loops, rows)
    }


def test_the_bare_loop_learns_what_we_learn(fitting):
    rows, loops = fitting["rows"].random_rows(300, 20), fitting["loops"]
    for hasher in fitting["fits"].heads_to_fit(12, 10):
        hasher.set_params(batch_size=32)
        task = loops.Task(hasher, *rows)
        ours = loops.fit_ours(task)
        assert loops.fit_bare(task) == pytest.approx(ours, rel=1e-4)
        assert loops.fit_bare(task, fused=True) == pytest.approx(ours, rel=1e-4)
        another = loops.Task(clone(hasher).set_params(random_state=1), *rows)
        assert abs(loops.fit_bare(another) / ours - 1) > 1e-3


def test_skorch_trains_the_same_head_in_another_order(fitting):
    rows, loops = fitting["rows"].random_rows(300, 20), fitting["loops"]
    hasher = next(fitting["fits"].heads_to_fit(12, 20)).set_params(batch_size=32)
    task = loops.Task(hasher, *rows)
    before = torch.get_rng_state()
    assert loops.fit_skorch(task) == pytest.approx(loops.fit_bare(task), rel=0.2)
    torch.set_rng_state(before)


def test_bare_encoders_make_our_codes(fitting):
    X, y = fitting["rows"].random_rows(700, 20)
    for hasher in fitting["encoding"].fitted_encoders((X, y), 12).values():
        codes = hasher.set_params(packed=True).transform(X)
        bare = fitting["bare_encoding"]
        encoders = bare.bare_encoders(bare.layers_of(hasher), whole=True)
        assert len(encoders) == 6
        for encode in encoders.values():
            assert (encode(X) != codes).mean() < 1e-3
            assert (encode(X + 1) != codes).mean() > 0.1


def test_a_file_is_not_encoded_in_less_memory_than_it_takes(fitting, tmp_path):
    rows = fitting["rows"]
    X, y = rows.random_rows(600, 64)
    hasher = fitting["encoding"].fitted_encoders((X, y), 16)["LSH"]
    rows.write_float16(rows.tiled(X, 100_000), tmp_path / "X.npy")
    measure = fitting["encoding"].measure_memory
    memory = measure(hasher, tmp_path / "X.npy", 8, tmp_path)
    assert memory.file == pytest.approx(100_000 * 64 * 2 / 2**20, abs=0.01)
    assert memory.taken < 8 < memory.file
    codes_of_12_megabytes = LSH(1024, random_state=0).fit(X)
    with pytest.raises(subprocess.CalledProcessError):
        measure(codes_of_12_megabytes, tmp_path / "X.npy", 8, tmp_path)


def test_a_loop_that_learns_something_else_ends_the_run(fitting, monkeypatch):
    fits = fitting["fits"]
    monkeypatch.setattr(fits, "fit_bare", lambda task: 1 + fits.fit_ours(task))
    task = fits.Task(
        next(fits.heads_to_fit(12, 5)), *fitting["rows"].random_rows(99, 9)
    )
    with pytest.raises(SystemExit, match="do not do the same"):
        fits.difference_of_losses(task)
