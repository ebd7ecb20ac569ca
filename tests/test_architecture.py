"""The rooms of docs/user_guide/design.md, and which of them know which."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sklhash"
FLOORS = (
    ("_kernels", "tools"),
    ("codes",),
    ("stores", "targets", "pairs"),
    ("sharding", "model_selection"),
    ("metrics",),
    ("training",),
    ("feature_extraction", "hashers", "neighbors"),
    ("persistence",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
# `save` and `load` of a search are the functions of the attic.
KNOWN_EXCEPTIONS = {("neighbors/stored.py", "persistence")}


def room_of(name):
    is_tool = name.startswith("_") and name not in FLOOR_OF
    return "tools" if is_tool else name


def modules_imported_by(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package"
            if node.module == "sklhash":
                yield from (f"sklhash.{alias.name}" for alias in node.names)
            else:
                yield node.module


def rooms_imported_by(path):
    names = (name.split(".") for name in modules_imported_by(path.read_text()))
    return {room_of(name[1]) for name in names if name[0] == "sklhash"}


FILES = {
    path.relative_to(PACKAGE).as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def test_every_module_is_in_a_room():
    rooms = {room_of(name.split("/")[0].removesuffix(".py")) for name in FILES}
    assert rooms == FLOOR_OF.keys()


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down_only(name):
    own = room_of(name.split("/")[0].removesuffix(".py"))
    others = rooms_imported_by(FILES[name]) - {own}
    upwards = {room for room in others if FLOOR_OF[room] >= FLOOR_OF[own]}
    assert {(name, room) for room in upwards} <= KNOWN_EXCEPTIONS


def test_the_exceptions_are_still_needed():
    for name, room in KNOWN_EXCEPTIONS:
        assert room in rooms_imported_by(FILES[name])


def test_the_page_and_the_picture_show_every_room():
    docs = PACKAGE.parent / "docs"
    page = (docs / "user_guide" / "design.md").read_text()
    picture = (docs / "images" / "house.svg").read_text()
    written = " ".join(re.findall(r"<text[^>]*>(.*?)</text>", picture, flags=re.DOTALL))
    for room in FLOOR_OF.keys() - {"tools"}:
        assert f"`{room}" in page
        assert re.search(rf"\b{room}\b", written)
