"""Another process answers alike, and imports nothing because a file names it."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sklhash
from sklhash import ITQ, HammingNeighbors, HashedNeighbors, OrthoHash, pack_codes
from tests.hashers.methods import HASHERS
from tests.persistence.digests import digest
from tests.persistence.small import X, small, y

SOURCE = """
from dataclasses import dataclass
from pathlib import Path
import torch
from sklhash import OrthoHash
from sklhash.training.augment import FeatureAugmentation

Path(__file__).with_name("imported").touch()

class Thing(torch.nn.Module):
    def forward(self, x):
        return x

class ThingHash(OrthoHash):
    pass

@dataclass(frozen=True)
class Nothing(FeatureAugmentation):
    def __call__(self, x, standardize, generator):
        return x

def constant(epoch, max_epochs):
    return 1.0
"""


def known():
    """Estimators of every class, by name."""
    hashers = {cls.__name__: small(cls).fit(X, y) for cls in HASHERS}
    codes = np.random.default_rng(0).integers(2, size=(900, 64), dtype=np.uint8)
    search = HammingNeighbors(packed=True).fit(pack_codes(codes)).remove(range(99, 700))
    index = HashedNeighbors(small(OrthoHash), rerank="cosine").fit(X, y)
    pipeline = make_pipeline(
        StandardScaler(), PCA(9, random_state=0), small(ITQ), HammingNeighbors()
    )
    behind = small(OrthoHash, backbone=convolution())
    searches = {
        "search": search,
        "index": index.add(X[:9], y[:9]).remove([3]),
        "pipeline": pipeline.fit(X, y),
        "backbone": behind.fit(X, y),
    }
    return hashers | searches


def convolution():
    return nn.Sequential(
        nn.Unflatten(1, (1, 3, 4)),
        nn.Conv2d(1, 2, 2),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Flatten(),
    )


def foreign(module):
    """Estimators with something of a module, by its name there."""
    return {
        "Thing": small(OrthoHash, backbone=module.Thing()),
        "ThingHash": small(module.ThingHash),
        "Nothing": small(OrthoHash, augment=module.Nothing()),
        "constant": small(OrthoHash, lr_schedule=module.constant),
    }


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """What a fresh process says, digests of this one, and a folder for modules."""
    folder = tmp_path_factory.mktemp("files")
    modules = tmp_path_factory.mktemp("modules")
    (modules / "antigravity_like.py").write_text(SOURCE)
    sys.path.insert(0, str(modules))
    try:
        module = importlib.import_module("antigravity_like")
        estimators = known()
        others = {n: each.fit(X, y) for n, each in foreign(module).items()}
    finally:
        sys.path.remove(str(modules))
        sys.modules.pop("antigravity_like", None)
    for name, estimator in (estimators | others).items():
        sklhash.save(estimator, folder / f"{name}.sklhash")
    (modules / "imported").unlink()
    root = Path(__file__).parents[2]
    child = subprocess.run(
        [sys.executable, "-m", "tests.persistence.digests", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(modules)])},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    said = json.loads(child.stdout)
    return said, {n: digest(each) for n, each in estimators.items()}, modules


def test_a_fresh_process_answers_with_the_same_bits(process):
    said, expected, _ = process
    assert {name: said["found"][name] for name in expected} == expected
    assert len(set(expected.values())) == len(expected)


def test_what_a_file_names_is_not_imported(process):
    said, expected, modules = process
    refused = {n: text for n, text in said["found"].items() if n not in expected}
    assert refused.keys() == {"Thing", "ThingHash", "Nothing", "constant"}
    for name, text in refused.items():
        assert f"names 'antigravity_like.{name}', which is none of the" in text
        assert f"trusted=[{name}]" in text
    assert "antigravity_like" not in said["imported"]
    assert not (modules / "imported").exists()
