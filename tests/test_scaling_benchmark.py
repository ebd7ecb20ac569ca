import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scaling.py"


def test_the_scaling_benchmark_compares_shards_with_the_plain_search(tmp_path):
    small = ["--sizes", "3000", "--batch", "1", "20", "--shard-size", "1000"]
    printed = subprocess.run(
        [sys.executable, SCRIPT, *small, "--turns", "1", "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line for line in printed.splitlines() if "ns a pair" in line]
    assert len(rows) == 2 * 4
    assert [row.split()[1] for row in rows] == ["1"] * 4 + ["20"] * 4
    assert (tmp_path / "3000-in-1000" / "00002.codes.npy").exists()
    assert printed.count("GB of its own") == 1 + 1 + 2
