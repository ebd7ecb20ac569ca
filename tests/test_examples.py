import ast
import re
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from sklhash import metrics
from tests.hashers.methods import HASHERS

GALLERY = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(GALLERY.glob("*/plot_*.py"))
FOLDERS = sorted({example.parent for example in EXAMPLES})
SHOWN = [cls.__name__ for cls in HASHERS] + [
    name for name in metrics.__all__ if name.endswith("Display")
]


@pytest.fixture
def figures(monkeypatch):
    """Draw without a screen, and close what was drawn."""
    mpl.use("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    yield plt.get_fignums
    plt.close("all")


@pytest.fixture(scope="module")
def names_in_the_gallery():
    trees = [ast.parse(example.read_text(encoding="utf-8")) for example in EXAMPLES]
    return {
        node.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_of_the_gallery_runs_and_draws(
    example, figures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    source = example.read_text(encoding="utf-8")
    thumbnail = re.search(r"^# sphinx_gallery_thumbnail_number = (\d+)$", source, re.M)
    assert (int(thumbnail[1]) if thumbnail else 1) in figures()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_of_the_gallery_has_a_title_and_shows_its_figures(example):
    source = example.read_text(encoding="utf-8")
    title = source.splitlines()[2]
    assert source.splitlines()[1] == source.splitlines()[3] == "=" * len(title)
    assert "\n# %%\n" in source
    assert source.endswith("\nplt.show()\n")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_of_the_gallery_has_a_title_and_says_what_it_holds(folder):
    header = (folder / "GALLERY_HEADER.rst").read_text(encoding="utf-8")
    title, line, *text = header.splitlines()
    assert title
    assert line == "=" * len(title)
    assert "".join(text).strip()


@pytest.mark.parametrize("name", SHOWN)
def test_every_hasher_and_display_is_used_in_the_gallery(name, names_in_the_gallery):
    assert name in names_in_the_gallery
