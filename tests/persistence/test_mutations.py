"""Files changed at random, with right checksums: refused, or a model that works.

`benchmarks/fuzz_loading.py` does the same at length.
"""

import copy
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sklhash
from tests.persistence.forgery import Forgery, header_of
from tests.persistence.victims import MAKERS, TRUSTED, use, victim

pytestmark = pytest.mark.filterwarnings("ignore:.*bits are the same for:UserWarning")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_loading.py"

words = st.sampled_from(
    [
        *(
            "forward",
            "__class__",
            "array",
            "tensor",
            "module",
            "named",
            "record",
            "csr",
        ),
        *("sklhash.LSH", "sklhash.HammingNeighbors", "torch.nn.Linear", "float32", "O"),
        *("torch.nn.functional.relu", "torch.optim.SGD", "cuda", "euclidean", "pandas"),
    ]
)
numbers = st.sampled_from(
    [0, 1, -1, 2, 7, 8, 9, 63, 64, 65, 511, 512, 513, 65_001, 2**31, 2**32, 2**62]
    + [2**63 - 1, 2**63, 2**64, 10**12, 10**400, -(2**63)]
)
scalars = st.none() | st.booleans() | numbers | st.integers() | words
scalars |= st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | st.text(), inner, max_size=2)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def forgeries(tmp_path_factory):
    """Return a forgery of each kind of model, to be copied."""
    folder = tmp_path_factory.mktemp("saved")
    for kind in MAKERS:
        sklhash.save(victim(kind), folder / kind)
    return {kind: Forgery(folder / kind) for kind in MAKERS}


def places_in(tree):
    """Return all containers of a tree, with each of their keys or indices."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    found = [(tree, key) for key in keys]
    for key in keys:
        if isinstance(tree[key], (dict, list)):
            found += places_in(tree[key])
    return found


def change(draw, tree):
    """Change one node of a tree."""
    places = places_in(tree)
    if not places:
        return
    node, key = places[draw(st.integers(0, len(places) - 1))]
    kind = draw(st.integers(0, 7))
    if kind < 3:
        node[key] = draw(values)
    elif kind < 5:
        other, its_key = places[draw(st.integers(0, len(places) - 1))]
        node[key], other[its_key] = copy.deepcopy((other[its_key], node[key]))
    elif kind == 5:
        del node[key]
    elif isinstance(node, dict):
        node[draw(words)] = node.pop(key)
    else:
        node.insert(key, copy.deepcopy(node[key]))


def loaded_or_refused(forgery, path, **options):
    forgery.write(path, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            estimator = sklhash.load(path, trusted=TRUSTED)
        except ValueError as refused:
            assert repr(str(path)) in str(refused)  # noqa: PT017
            return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of scales that are zero
        with suppress(ValueError):
            use(estimator)


fixed = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@fixed
@given(data=st.data(), kind=st.sampled_from(sorted(MAKERS)))
def test_a_changed_description_is_refused_or_works(data, kind, forgeries, tmp_path):
    forgery = copy.deepcopy(forgeries[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        change(data.draw, forgery.description["model"])
    loaded_or_refused(forgery, tmp_path / "forged")


@fixed
@given(data=st.data(), kind=st.sampled_from(sorted(MAKERS)))
def test_a_changed_header_is_refused_or_works(data, kind, forgeries, tmp_path):
    forgery = copy.deepcopy(forgeries[kind])
    header = header_of(forgery.arrays)
    change(data.draw, header)
    loaded_or_refused(forgery, tmp_path / "forged", header=header)


def changed(draw, array):
    """Return an array of another dtype, shape or other values."""
    dtype = draw(st.sampled_from(["?", "u1", "u8", "i1", "i4", "i8", "f2", "f4", "f8"]))
    shape = list(array.shape)
    if shape:
        axis = draw(st.integers(0, len(shape) - 1))
        shape[axis] = draw(st.sampled_from([0, 1, 2, 5, 64, 512]))
    changes = [
        lambda: array.astype(dtype),
        lambda: np.resize(array, shape),
        lambda: array[None],
        lambda: array.ravel(),
        lambda: array.T,
        lambda: np.full_like(array, draw(st.sampled_from([0, 1, 100]))),
        lambda: np.frombuffer(b"\xff" * array.nbytes, array.dtype).reshape(array.shape),
    ]
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(draw(st.sampled_from(changes))())


@fixed
@given(data=st.data(), kind=st.sampled_from(sorted(MAKERS)))
def test_changed_arrays_are_refused_or_work(data, kind, forgeries, tmp_path):
    forgery = copy.deepcopy(forgeries[kind])
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from(sorted(forgery.arrays)))
        forgery.arrays[name] = changed(data.draw, forgery.arrays[name])
    loaded_or_refused(forgery, tmp_path / "forged")


def test_the_script_that_fuzzes_at_length_finds_nothing_in_a_short_run(tmp_path):
    findings = tmp_path / "findings"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--runs", "60", "--findings", findings],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("60 runs from seed 0: {")
    assert "'refused': " in done.stdout
    assert list(findings.iterdir()) == []
