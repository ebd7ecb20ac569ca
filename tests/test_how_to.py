import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.exports import EXPORT_WARNINGS

pytestmark = EXPORT_WARNINGS

PAGES = sorted((Path(__file__).parents[1] / "docs" / "how_to").glob("*.md"))
OPTIONAL = {"duckdb", "faiss", "onnx", "onnxruntime"}


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def can_run(block):
    imported = set(re.findall(r"^import (\w+)", block, flags=re.MULTILINE))
    missing = any(find_spec(name) is None for name in imported & OPTIONAL)
    return not missing and not block.startswith("# not run by our tests")


@pytest.mark.usefixtures("make_accelerator")  # one page makes one of its own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_how_to_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks_of(page):
        code = compile(block, page.name, "exec")
        if can_run(block):
            exec(code, names)
