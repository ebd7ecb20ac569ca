import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*/plot_*.py"))


@pytest.fixture
def figures(monkeypatch):
    """Draw without a screen, and close what was drawn."""
    mpl.use("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    yield plt.get_fignums
    plt.close("all")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_of_the_gallery_runs_and_draws(
    example, figures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    assert figures()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_of_the_gallery_has_a_title_and_shows_its_figures(example):
    source = example.read_text(encoding="utf-8")
    title = source.splitlines()[2]
    assert source.splitlines()[1] == source.splitlines()[3] == "=" * len(title)
    assert "\n# %%\n" in source
    assert source.endswith("\nplt.show()\n")
