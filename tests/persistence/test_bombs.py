"""Files that would take more memory or time than they have bytes are refused at once.

All are loaded in one process that has no memory for any of them, and is killed if one
takes long.
"""

import json
import subprocess
import sys
from zipfile import ZIP_DEFLATED

import numpy as np
import pytest

import sklhash
from tests.persistence.changes import fitted, layer, nodes, parameters, step
from tests.persistence.forgery import Forgery
from tests.persistence.victims import victim

pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")

LOAD_ALL = """
import resource, sys
from pathlib import Path
import pandas, polars
import sklhash
for path in Path(sys.argv[2]).iterdir():
    sklhash.load(path)  # whatever it brings in is there before memory is short
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        sklhash.load(path)
        print(path.name, "loaded", flush=True)
    except ValueError as refused:
        print(path.name, "refused", str(path) in str(refused), flush=True)
        assert "MemoryError" not in str(refused), refused
"""


def referenced(kind, times):
    """Return what names one large array very often."""

    def attack(forgery):
        forgery.arrays["x"] = np.zeros(2**20, dtype=np.uint8)
        fitted(forgery)["x_"] = [kind] * times

    return attack


def padding(forgery):
    node = layer(forgery, "ReLU")
    node["class"] = "torch.nn.ConstantPad1d"
    node["attributes"].pop("inplace")
    node["attributes"] |= {"padding": {"tuple": [0, 2**31]}, "value": 0}


def rows(shape):
    def attack(forgery):
        fitted(forgery)["_row_shape"] = shape
        fitted(forgery)["n_features_in_"] = shape[0]

    return attack


def many_modules(forgery):
    nodes(forgery).extend([{"class": "torch.nn.ReLU", "children": {}}] * 100_000)


def empty_array_of_huge_rows(forgery):
    for name in forgery.arrays:
        if name.endswith("components_"):
            forgery.arrays[name] = np.zeros((10**12, 0), dtype=np.float32)
        if name.endswith("center_"):
            forgery.arrays[name] = np.zeros(0)
    fitted(forgery).update(n_bits_=10**12, n_features_in_=0)


BOMBS = {
    "an-array-as-objects": ("LSH", referenced({"objects": "x"}, 10_000)),
    "an-array-as-tensors": (
        *("LSH", referenced({"tensor": {"dtype": "uint8", "values": "x"}}, 10_000)),
    ),
    "a-table-of-one-column": (
        "LSH",
        referenced(
            {
                "frame": {
                    "library": "pandas",
                    "names": [*range(1000)],
                    "columns": [{"array": "x"}] + [1] * 999,
                }
            },
            1,
        ),
    ),
    "modules": ("backbone", many_modules),
    "huge-rows": ("backbone", rows([6, 2**40])),
    "large-rows": ("backbone", rows([6, 2**24])),
    "a-wide-empty-array": ("LSH", empty_array_of_huge_rows),
    "codes": ("HammingNeighbors", lambda f: fitted(f).update(n_stored=2**32 - 513)),
    "bytes-of-codes": ("HammingNeighbors", lambda f: fitted(f).update(n_bytes=2**62)),
    "places": ("HammingNeighbors", lambda f: fitted(f).update(n_stored=2**62)),
    "columns": (
        "compacted",
        lambda f: fitted(f)["y"]["csr"].update(columns=2**63),
    ),
    "bits": ("LSH", lambda f: parameters(f).update(n_bits=10**12)),
    "bits-of-a-network": ("OrthoHash", lambda f: parameters(f).update(n_bits=10**12)),
}
# Such numbers take nothing until somebody fits.
HARMLESS = {
    "hidden-layers": (
        "OrthoHash",
        lambda f: parameters(f).update(hidden_layer_sizes={"tuple": [2**40] * 10**5}),
    ),
    "features-without-an-array": ("Pipeline", step(2, "n_features_in_", 10**12)),
    "removed-codes": ("compacted", lambda f: _without_labels(f, n_arrived=2**62)),
}


def _without_labels(forgery, **changes):
    fitted(forgery).update(y=None, **changes)
    for name in [name for name in forgery.arrays if ".y." in name]:
        del forgery.arrays[name]


def test_bombs_are_refused_without_the_memory_that_they_ask_for(tmp_path):
    for folder in ("right", "forged"):
        (tmp_path / folder).mkdir()
    kinds = {kind for kind, _ in (*BOMBS.values(), *HARMLESS.values())}
    for kind in kinds:
        sklhash.save(victim(kind), tmp_path / "right" / kind)
    forged = tmp_path / "forged"
    for name, (kind, attack) in (BOMBS | HARMLESS).items():
        forgery = Forgery(tmp_path / "right" / kind)
        attack(forgery)
        forgery.write(forged / name)
    lsh = Forgery(tmp_path / "right" / "LSH")
    texts = {
        "lists": b'{"format": 1, "model": [' + b"[]," * 5_000_000 + b"1]}",
        "objects": b'{"format": 1, "model": [' + b'{"a":1},' * 2_000_000 + b"1]}",
        "numbers": b'{"format": 1, "model": [' + b"12345678901," * 650_000 + b"1]}",
        "spaces": b'{"format": 1}' + b" " * 100_000_000,
    }
    for name, text in texts.items():
        lsh.write(forged / f"json-of-{name}", text=text)
    lsh.write(forged / "deflated-zeros", text=bytes(2**28), compression=ZIP_DEFLATED)
    entry = {"dtype": "U8", "shape": [10**4000] * 2000, "data_offsets": [0, 0]}
    headers = {
        "huge-numbers": {"a": entry},
        "huge-shapes": {"a": entry | {"shape": [2**40], "data_offsets": [0, 2**40]}},
        "header": b"[" * 2**24,
        "empty-arrays": {
            f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
            for i in range(50_000)
        },
    }
    for name, header in headers.items():
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        lsh.write(forged / name, header=text)
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, forged, tmp_path / "right"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert answers.keys() == {path.name for path in forged.iterdir()}
    wanted = {
        name: "loaded" if name in HARMLESS else "refused True" for name in answers
    }
    assert answers == wanted
