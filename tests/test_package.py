import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import sklhash
from tests.hashers.methods import HASHERS

README = Path(__file__).parents[1] / "README.md"


def test_the_version_is_that_of_the_distribution():
    assert sklhash.__version__ == version("sklhash")


def test_every_public_name_is_there_and_documented():
    for name in sklhash.__all__:
        assert getattr(sklhash, name).__doc__


def test_numba_skorch_and_dask_come_when_first_needed():
    names = "{'numba', 'skorch', 'dask', 'distributed'}"
    code = f"import sys, sklhash; print({names} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "set()"


def test_the_readmes_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["codes"].shape == (450, 32)
    assert names["search"].score(names["X_query"], names["y_query"]) > 0.95


@pytest.mark.parametrize("page", ["hashers", "search"])
def test_the_user_guides_examples_run(page):
    guide = README.parent / "docs" / "user_guide" / f"{page}.md"
    code = re.findall(r"```python\n(.*?)```", guide.read_text(), flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    queries = names["query_codes" if page == "search" else "X_query"]
    assert names["search"].score(queries, names["y_query"]) > 0.95


def test_the_guide_to_training_runs():
    guide = (README.parent / "docs" / "user_guide" / "training.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    names["display"].figure_.clf()
    for search in ("search", "end_to_end", "stream"):
        queries = names["query_images" if search == "end_to_end" else "X_query"]
        assert names[search].score(queries, names["y_query"]) > 0.95
    assert len(names["by_epoch"]) == 5
    assert names["best"]["validation_map"] > 0.95


def test_the_guide_to_saving_runs():
    guide = (README.parent / "docs" / "user_guide" / "saving.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {"__name__": "guide"}
    exec("\n".join(code), names)
    assert names["model"]["format"] == 1
    assert names["arrays"]["Pipeline.steps.1.1.net.module.hash.weight"].shape[0] == 32
    assert names["mapped"].n_live_ == 1797


def test_the_guide_past_one_machine_runs():
    guide = (README.parent / "docs" / "user_guide" / "scaling.md").read_text()
    code = re.findall(r"```python\n(?!# not run)(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    assert names["found"].tolist() == names["indices"].tolist()
    assert names["found"][:, 0].tolist() == [0, 1, 2]
    assert "1797 database items" in names["report"]
    tables = re.findall(r"```text\n(.*?)```", guide, flags=re.DOTALL)
    assert names["table"] in tables


def test_the_guide_to_scores_runs():
    guide = (README.parent / "docs" / "user_guide" / "metrics.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    drawn = [len(axes.lines) for axes in names["axes"].flat]
    names["plt"].close("all")
    assert drawn == [3, 3, 6, 0]
    assert names["comparison"].p_value < 0.01


def test_the_guide_to_scores_names_every_public_one():
    guide = (README.parent / "docs" / "user_guide" / "metrics.md").read_text()
    for name in sklhash.metrics.__all__:
        assert re.search(rf"\b{name}\b", guide)


def test_the_user_guide_tells_of_every_hasher():
    guide = (README.parent / "docs" / "user_guide" / "hashers.md").read_text()
    for hasher in HASHERS:
        assert f"### {hasher.__name__}\n" in guide


def test_the_quickstart_prints_its_table_and_draws_its_picture(tmp_path):
    picture = tmp_path / "picture.png"
    script = README.parent / "examples" / "quickstart.py"
    printed = subprocess.run(
        [sys.executable, script, picture],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MPLBACKEND": "agg"},
    )
    rows = [line.split() for line in printed.stdout.splitlines()[1:8]]
    assert [row[:2] for row in rows] == [
        ["cosine", "2048"],
        *(
            [method, bits]
            for method in ("LSH", "OrthoHash")
            for bits in ("16", "32", "64")
        ),
    ]
    scores = {(row[0], row[1]): float(row[3]) for row in rows}
    for bits in ("16", "32", "64"):
        assert (
            scores["OrthoHash", bits] > scores["cosine", "2048"] > scores["LSH", bits]
        )
    assert picture.stat().st_size > 10_000
