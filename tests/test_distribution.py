"""What is distributed, what it asks for, and under which licences that comes."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from importlib.metadata import metadata, packages_distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

import sklhash

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "docs", "examples", "sklhash", "tests")
FILES = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "README.md"),
    *("RELEASING.md", "SECURITY.md", "constraints-oldest.txt", "constraints.txt"),
    *("pyproject.toml", "setup.cfg"),
)
JUNK = (
    *(".venv/pyvenv.cfg", "benchmarks/results/search.json", "build/lib/sklhash/old.py"),
    *("docs/_build/index.html", "docs/api/generated/sklhash.LSH.rst"),
    *("docs/auto_examples/index.rst", "docs/sg_execution_times.rst", "notes.txt"),
    "sklhash/codes.py.orig",
    "sklhash/_kernels/__pycache__/words.nbi",
    "tests/__pycache__/test_codes.cpython-311.pyc",
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOOLS = ("dev", "docs", "test")
EXTRAS = [extra for extra in PROJECT["optional-dependencies"] if extra not in TOOLS]
FRAMES = {"pandas", "polars"}  # never asked for, but taken and given

# How the metadata of old and of new versions names them.
LICENCES = {
    "Apache-2.0": "Apache",
    "BSD-2-Clause": "BSD",
    "BSD-3-Clause": "BSD",
    "MIT": r"\bMIT\b",
    "MIT-CMU": "MIT-CMU|HPND",
    "MPL-2.0": "MPL|Mozilla",
    "PSF-2.0": "Python Software Foundation",
}

BACKEND = """
import sys
from setuptools import build_meta
getattr(build_meta, sys.argv[1])(sys.argv[2])
"""

WITHOUT_EXTRAS = """
import importlib, pkgutil, sys

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *args):
        absent = name.partition(".")[0] in sys.argv[1:]
        return None if absent else self.finder.find_spec(name, *args)

sys.meta_path[:] = map(Blind, sys.meta_path)
import sklhash
for module in pkgutil.walk_packages(sklhash.__path__, "sklhash."):
    importlib.import_module(module.name)

from sklearn.datasets import load_digits
from sklhash.metrics import BitStatisticsDisplay
X, y = load_digits(return_X_y=True)
hasher = sklhash.OrthoHash(32, random_state=0).fit(X, y)
codes = hasher.transform(X)
search = sklhash.HammingNeighbors(n_neighbors=1).fit(codes)
distances, indices = search.kneighbors(codes[:100])
print(sklhash.__file__)
print((distances == 0).all() and (codes[indices[:, 0]] == codes[:100]).all())
for use in (
    lambda: sklhash.PathLoader().fit_transform([sklhash.__file__]),
    lambda: search.to_faiss(),
    lambda: BitStatisticsDisplay.from_predictions(codes),
    lambda: hasher.encode_to("codes", X, format="parquet"),
):
    try:
        use()
    except ImportError as missing:
        print(missing)
"""


def build(hook, source, target):
    """Have the build backend make an archive, as a front end does, and return it."""
    before = set(target.iterdir())
    subprocess.run(
        [sys.executable, "-c", BACKEND, hook, target], cwd=source, check=True
    )
    (archive,) = set(target.iterdir()) - before
    return archive


def files_in(folder):
    paths = folder.rglob("*")
    return {path.relative_to(folder).as_posix() for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist from a tree with junk in it, and the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("distribution")
    tree, target = folder / "tree", folder / "dist"
    target.mkdir()
    unwanted = shutil.ignore_patterns(
        *("__pycache__", ".*", "results", "_build", "generated", "auto_examples")
    )
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    sources = files_in(tree)
    for name in JUNK:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("junk")
    sdist = build("build_sdist", tree, target)
    unpacked, installed = folder / sdist.name.removesuffix(".tar.gz"), folder / "lib"
    with tarfile.open(sdist) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / member.name).write_bytes(archive.extractfile(member).read())
    distributed = files_in(unpacked)
    with zipfile.ZipFile(build("build_wheel", unpacked, target)) as archive:
        archive.extractall(installed)
    return SimpleNamespace(sources=sources, sdist=distributed, installed=installed)


@pytest.fixture(scope="module")
def about(built):
    (file,) = built.installed.glob("*.dist-info/METADATA")
    return message_from_string(file.read_text())


def bounds_of(requirements):
    """Return the lower bounds of packages, but of those that are pinned or ours."""
    names = (re.sub(r"\[.*\]", "", requirement) for requirement in requirements)
    return dict(requirement.split(">=") for requirement in names if ">=" in requirement)


def plain(version):
    return re.sub(r"(\.0)+$", "", version)


def declared_bounds(extra):
    extras = PROJECT["optional-dependencies"]
    return bounds_of(extras[extra] if extra else PROJECT["dependencies"])


def table():
    """Return (package, bound, extra, licence) of the rows of docs/dependencies.md."""
    page = (ROOT / "docs" / "dependencies.md").read_text()
    row = r"^\| (\S+) \| ([\d.]+) \| `?(\w*)`? ?\| (.+?) \| .+ \|$"
    return re.findall(row, page, flags=re.MULTILINE)


def imported_packages():
    """Return the distributions that modules of sklhash import, anywhere in them."""
    modules = set()
    for file in (ROOT / "sklhash").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.partition(".")[0])
    others = modules - sys.stdlib_module_names - {"sklhash"}
    installed = packages_distributions()
    return {installed[module][0].lower() for module in others}


def test_the_sdist_has_what_tests_need_and_no_junk(built):
    egg_info = {name for name in built.sdist if name.startswith("sklhash.egg-info/")}
    assert built.sdist - egg_info == built.sources | {"PKG-INFO"}


def test_the_wheel_has_the_package_its_licence_and_nothing_else(built):
    package = {name for name in built.sources if name.startswith("sklhash/")}
    folder = f"sklhash-{sklhash.__version__}.dist-info"
    records = {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE", "top_level.txt"}
    assert "sklhash/py.typed" in package
    assert files_in(built.installed) == package | {
        f"{folder}/{record}" for record in records
    }
    licence = (built.installed / folder / "licenses" / "LICENSE").read_text()
    assert licence == (ROOT / "LICENSE").read_text()


def test_the_wheel_says_what_it_is_and_what_it_needs(about):
    assert about["Name"] == "sklhash"
    assert about["Version"] == sklhash.__version__
    assert about["License-Expression"] == "BSD-3-Clause"
    assert about["Requires-Python"] == PROJECT["requires-python"]
    assert about.get_payload() == (ROOT / "README.md").read_text()
    needed = {need for need in about.get_all("Requires-Dist") if ";" not in need}
    assert needed == set(PROJECT["dependencies"])
    assert set(about.get_all("Provides-Extra")) == {*EXTRAS, *TOOLS}


def test_the_wheel_works_without_extras_and_names_the_one_that_is_missing(
    built, tmp_path
):
    absent = [
        *("accelerate", "dask", "distributed", "faiss", "matplotlib", "pandas", "PIL"),
        *("polars", "pyarrow", "rich"),
    ]
    printed = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *absent],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(built.installed)},
    )
    file, found, *missing = printed.stdout.splitlines()
    assert Path(file).is_relative_to(built.installed)
    assert found == "True"
    extras = ["images", "faiss", "plot", "parquet"]
    for extra, message in zip(extras, missing, strict=True):
        assert f"pip install 'sklhash[{extra}]'" in message


def test_what_is_asked_for_is_what_is_imported():
    asked = {name for extra in ("", *EXTRAS) for name in declared_bounds(extra)}
    by_scikit_learn, by_an_example = {"rich"}, {"streamlit"}
    of_others = {"cloudpickle", "distributed", "llvmlite"}  # of Dask and of numba
    assert (
        imported_packages() - FRAMES - of_others
        == asked - by_scikit_learn - by_an_example
    )


def test_the_table_of_dependencies_has_all_of_them_with_their_bounds():
    for extra in ("", *EXTRAS):
        rows = {name: bound for name, bound, of, _ in table() if of == extra}
        assert rows == declared_bounds(extra)
    frames = {name: bound for name, bound, of, _ in table() if of == "test"}
    assert frames.keys() == FRAMES
    assert frames.items() <= declared_bounds("test").items()


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds():
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if line[0] != "#")
    for name, bound, _, _ in table():
        assert plain(pins[name]) == plain(bound)


@pytest.mark.parametrize(
    ("package", "licences"), [(row[0], row[3].split(" and ")) for row in table()]
)
def test_the_licences_are_those_that_packages_declare(package, licences):
    about = metadata(package)
    declared = [
        about.get("License-Expression", ""),
        about.get("License", "").partition("\n")[0],
        *(line for line in about.get_all("Classifier", []) if "License ::" in line),
    ]
    for licence in licences:
        assert re.search(LICENCES[licence], " ".join(declared))
    assert not re.search(r"\b[AL]?GPL", " ".join(declared))
