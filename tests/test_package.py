import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

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


def test_the_front_page_shows_the_readmes_example():
    front = README.parent / "docs" / "index.md"
    shown = [
        re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for page in (README, front)
    ]
    assert shown[0] == shown[1]


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


def test_the_guide_to_codes_runs():
    guide = (README.parent / "docs" / "user_guide" / "codes.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d.]+) GB \|", guide, re.MULTILINE)
    assert len(rows) == 5
    for n_bits, n_bytes, million in rows:
        codes = np.zeros((1, int(n_bits)), dtype=np.uint8)
        assert int(n_bytes) == sklhash.pack_codes(codes).nbytes
        assert float(million) == int(n_bytes) / 1000
    (drawn,) = re.findall(r"^xor +(\d+) = (\d+) +(\d+) = (\d+)$", guide, re.MULTILINE)
    different = (names["bytes_a"] ^ names["bytes_b"]).tolist()
    assert [int(drawn[0]), int(drawn[2])] == different
    assert [int(drawn[1], 2), int(drawn[3], 2)] == different


def test_the_guide_to_tuning_runs():
    guide = (README.parent / "docs" / "user_guide" / "tuning.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    assert type(names["search"].best_params_["hasher"]) is sklhash.SDH
    assert names["by_width"].best_params_["hasher__n_bits"] == 16
    halving = names["halving"]
    assert halving.n_resources_ == [2, 6, 18]
    assert halving.n_candidates_ == [9, 3, 1]
    assert halving.best_estimator_["hasher"].n_iter_ == 18
    assert names["best"][0] - names["best"][1] > 0.05
    assert names["comparison"].p_value > 0.1


def test_the_guide_to_features_runs():
    guide = (README.parent / "docs" / "user_guide" / "features.md").read_text()
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec("\n".join(code), names)
    scores = [
        names[search].score(names["X_query"], names["y_query"])
        for search in ("frozen", "trained")
    ]
    assert 0.85 < scores[0] < scores[1]


def test_the_guide_to_scores_names_every_public_one():
    guide = (README.parent / "docs" / "user_guide" / "metrics.md").read_text()
    for name in sklhash.metrics.__all__:
        assert re.search(rf"\b{name}\b", guide)


def test_the_user_guide_tells_of_every_hasher():
    guide = (README.parent / "docs" / "user_guide" / "hashers.md").read_text()
    for hasher in HASHERS:
        assert f"### {hasher.__name__}\n" in guide


def test_the_guide_to_the_design_runs():
    guide = (README.parent / "docs" / "user_guide" / "design.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert names["items"].shape == names["hits"].shape == (450, 17)
    assert (names["items"].sum(axis=1) == len(names["codes"])).all()
    assert names["score"] > 0.9


@pytest.fixture(scope="module")
def own_methods(tmp_path_factory):
    """Make a module of the guide to methods of one's own, and what it includes."""
    page = README.parent / "docs" / "user_guide" / "own_method.md"
    guide = page.read_text()
    example, start, end = re.search(
        r'literalinclude} (\S+)\n.*?:start-at: "(.*?)"\n:end-at: "(.*?)"',
        guide,
        flags=re.DOTALL,
    ).groups()
    included = rf"^{re.escape(start)}.*?{re.escape(end)}.*?$"
    source = (page.parent / example).read_text()
    (method,) = re.findall(included, source, flags=re.DOTALL | re.MULTILINE)
    imports, *uses = re.findall(
        r"```python\n(?!# not run)(.*?)```", guide, flags=re.DOTALL
    )
    path = tmp_path_factory.mktemp("guide") / "own_methods.py"
    path.write_text("\n".join([imports, method, *uses]))
    spec = spec_from_file_location("own_methods", path)
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "own_methods", module)
        spec.loader.exec_module(module)
        yield module


def test_the_guide_to_own_methods_runs(own_methods):
    guide = own_methods
    assert round(guide.search.score(guide.X_query, guide.y_query), 2) == 0.95
    for hasher in (guide.noisy, guide.stream, guide.unsupervised):
        baseline = sklhash.LSH(32, random_state=0).fit(guide.X)
        scores = [h.score(guide.X_query, guide.y_query) for h in (hasher, baseline)]
        assert scores[0] > scores[1] + 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["CentreHash", "MedianLSH"])
def test_the_methods_of_the_guide_pass_every_estimator_check(own_methods, name):
    results = check_estimator(getattr(own_methods, name)(), on_skip=None, on_fail=None)
    assert len(results) > 40
    assert {r["check_name"] for r in results if r["status"] != "passed"} == set()


def test_the_guide_to_own_methods_has_the_hooks_in_their_order(own_methods):
    hooks = {"on_fit_begin", "on_epoch_begin", "forward", "on_epoch_end", "log"}
    called = []

    class Loss(own_methods.CentreLoss):
        def __getattribute__(self, name):
            if name in hooks:
                called.append(name)
            return super().__getattribute__(name)

    class Hasher(own_methods.CentreHash):
        def _make_head(self, n_features):
            called.append("_make_head")
            return super()._make_head(n_features)

        def _make_loss(self, targets):
            called.append("_make_loss")
            return Loss(self.momentum)

    guide = (README.parent / "docs" / "user_guide" / "own_method.md").read_text()
    Hasher(8, max_epochs=1, batch_size=2000).fit(own_methods.X, own_methods.y)
    assert called == re.findall(r"^\| .*?\| `(\w+)\(", guide, flags=re.MULTILINE)


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
