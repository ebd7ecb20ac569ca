"""While a file is loaded, whatever it says, nothing is imported, run or opened."""

import subprocess
import sys

import pytest

import sklhash
from tests.persistence.attacks import ATTACKS
from tests.persistence.forgery import Forgery
from tests.persistence.victims import MAKERS, victim

pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")

LOAD_ALL = """
import os, sys
from pathlib import Path
import pandas, polars
import sklhash
from tests.persistence.victims import TRUSTED, use

def load(path, **options):
    try:
        return sklhash.load(path, trusted=TRUSTED, **options)
    except ValueError:
        return None

right, forged = (sorted(Path(folder).iterdir()) for folder in sys.argv[1:])
for path in right:
    load(path)  # what they need of libraries is there from now on

seen = []
watched = False

def watch(event, arguments):
    if not watched:
        return
    if event == "open":
        if os.fspath(arguments[0]) != here or set(arguments[1] or "") & set("wax+"):
            seen.append((here, event, arguments))
    elif event.split(".")[0] in FORBIDDEN or event == "import":
        seen.append((here, event, arguments))

FORBIDDEN = {
    "compile", "exec", "subprocess", "os", "pickle", "marshal", "socket", "ctypes",
    "shutil", "urllib", "ftplib", "tempfile", "code", "glob", "pty", "webbrowser",
}
sys.addaudithook(watch)
loaded = 0
for path in right + forged:
    here, watched = os.fspath(path), True
    for mmap_mode in (None, "r"):
        loaded += load(path, mmap_mode=mmap_mode) is not None
    watched = False
here = os.fspath(right[0])
watched = True
try:
    exec("import this_is_no_module")
except ImportError:
    pass
watched = False
assert {event for _, event, _ in seen} >= {"exec", "import"}, seen  # it does watch
others = [what for what in seen if "this_is_no_module" not in str(what)
          and not (what[0] == here and what[1] in ("exec", "compile"))]
print(loaded, others)
"""


def test_no_file_makes_anything_run(tmp_path):
    folders = tmp_path / "right", tmp_path / "forged"
    for folder in folders:
        folder.mkdir()
    for kind in MAKERS:
        sklhash.save(victim(kind), folders[0] / kind)
    for number, (kind, attack, _) in enumerate(ATTACKS.values()):
        forgery = Forgery(folders[0] / kind)
        attack(forgery)
        forgery.write(folders[1] / f"{number:03}")
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, *folders],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{2 * len(MAKERS)} []\n"
