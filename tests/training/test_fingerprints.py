import collections
import copy
import dataclasses
import datetime
import enum
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from skorch.callbacks import EarlyStopping, LRScheduler
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sklhash import OrthoHash
from sklhash.training.augment import GaussianNoise
from sklhash.training.fingerprints import fingerprint

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda values: (
        st.lists(values, max_size=4)
        | st.lists(values, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), values, max_size=4)
    ),
    max_leaves=8,
)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class Scale:
    factor: float = 1.0

    def __call__(self, x):
        return self.factor * x


class OtherScale(Scale):
    pass


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Rows(Dataset):
    def __init__(self, X, y):
        self.X = X
        self.y = y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y[index]


class Network(nn.Module):
    def __init__(self, scale=1.0, activation=torch.relu):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.scale = scale
        self.activation = activation
        self.register_buffer("mean", torch.zeros(2), persistent=False)

    def forward(self, x):
        return self.scale * self.activation(self.linear(x - self.mean))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def with_(module, change):
    change(module)
    return module


def times(factor):
    return lambda x: factor * x


def in_a_comprehension(values):
    return [value in {"a", "b", "c", "d"} for value in values]


def defined(source, name):
    """Return what a piece of source code, as in a notebook's cell, defines."""
    cell = {"__name__": "__main__"}
    exec(textwrap.dedent(source), cell)
    return cell[name]


def function(body, arguments="x"):
    return defined(f"def view({arguments}):\n    {body}", "view")


def network_class(body, attribute="factor = 2"):
    source = f"""
    class Head:
        {attribute}

        @staticmethod
        def helper(x, shift=3):
            return x + shift

        def forward(self, x):
            {body}
    """
    return defined(source, "Head")


def torch_state(n_draws):
    generator = torch.Generator().manual_seed(1)
    torch.rand(n_draws, generator=generator)
    return generator


def numpy_state(make, n_draws):
    generator = make(1)
    generator.normal(size=n_draws)
    return generator


def with_cycle(value):
    cycle = [value]
    cycle.append({"self": cycle})
    return cycle


# Each line makes things of which no two are the same.
DIFFERENT = {
    "numbers": lambda: [None, 0, False, 0.0, 0j, "0", b"0", 1, True, 1.0, "1", "", b""],
    "large ints": lambda: [2**64, -(2**64), 2**64 + 1, 2.0**64],
    "floats": lambda: [float("nan"), float("inf"), -float("inf"), 5e-324, 0.1 + 0.2],
    "sequences": lambda: [
        *([1, 23], [12, 3], [1, [23]], [[1], 23], (1, 23), "123", ["1", "23"]),
        *([], (), {}, set(), frozenset(), [[]], [()], [None], np.array([1, 23])),
    ],
    "strings": lambda: [["a", "bc"], ["ab", "c"], ["abc"], ["abc", ""], "\ud800"],
    "dicts": lambda: [{"a": 1}, {"a": 2}, {"b": 1}, {1: "a"}, [("a", 1)]],
    "arrays": lambda: [
        *(NUMBERS, NUMBERS.T, NUMBERS.ravel(), NUMBERS[:2], NUMBERS.astype(float)),
        *(NUMBERS.astype(">f4"), NUMBERS.view(np.int32), NUMBERS + 1, NUMBERS.tolist()),
        *(np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(()), np.zeros(1)),
    ],
    "arrays of other kinds": lambda: [
        *(np.array(["a", "b"]), np.array(["a", "b"], dtype=object)),
        *(np.array(["a", "c"], dtype=object), np.array([["a", "b"]], dtype=object)),
        np.array(["a", "b"], dtype=np.dtypes.StringDType()),
        *(np.array(["2020"], dtype="M8[Y]"), np.array([50], dtype="i8")),
        *(np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
        *(np.zeros(1, [("a", "O")]), np.ones(1, [("a", "O")])),
        np.ma.masked_array([1, 2], [True, False]),
        np.ma.masked_array([1, 2], [False, True]),
    ],
    "sparse arrays": lambda: [
        *(sparse.csr_array(NUMBERS), sparse.csc_array(NUMBERS), NUMBERS),
        *(sparse.csr_array(NUMBERS + 1), sparse.csr_array(NUMBERS.astype(float))),
        *(sparse.csr_array((3, 4)), sparse.csr_array((3, 5)), sparse.coo_array((3, 4))),
        sparse.dia_array(np.eye(3)),
    ],
    "frames": lambda: [
        *(pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
        *(pd.DataFrame({"a": [1, 3]}), pd.Series([1, 2]), pd.Series(["a", None])),
        *(pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1, 3]})),
    ],
    "tensors": lambda: [
        *(torch.zeros(2), torch.zeros(3), torch.ones(2), torch.zeros(2, 1)),
        *(torch.zeros(2, dtype=torch.half), torch.zeros(2, dtype=torch.bfloat16)),
        *(torch.zeros(2, dtype=torch.int32), torch.zeros(2, dtype=torch.complex128)),
        *(torch.eye(2), torch.eye(2).to_sparse(), torch.zeros(2).numpy()),
        *(torch.tensor([1j]), torch.tensor([1j]).conj(), torch.tensor(0.0)),
    ],
    "modules": lambda: [
        *(seeded(Network), seeded(lambda: Network(2.0)), Network),
        *(seeded(lambda: Network(activation=torch.tanh)), seeded(Network).eval()),
        with_(seeded(Network), lambda m: nn.init.zeros_(m.linear.bias)),
        with_(seeded(Network), lambda m: m.mean.add_(1)),
        with_(seeded(Network), lambda m: m.linear.requires_grad_(False)),
        *(nn.Sequential(nn.ReLU()), nn.Sequential(nn.GELU()), nn.ReLU(), nn.GELU()),
        *(nn.Dropout(0.1), nn.Dropout(0.2), nn.LazyLinear(3), nn.LazyLinear(4)),
        seeded(lambda: nn.LSTM(2, 3)),
        seeded(lambda: torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2))),
        seeded(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))),
    ],
    "functions": lambda: [
        *(function("return x"), function("return -x"), function("return x.sin()")),
        *(function("return x.cos()"), function("return x + 1"), torch.relu, np.add),
        *(function("return x + 2"), function("return x + 2.0"), len, np.multiply),
        *(function("return x", "x, n=1"), function("return x", "x, n=2")),
        *(function("return x", "x, *, n=1"), function("return x", "*x")),
        function("return [value + 1 for value in x]"),
        function("return [value + 2 for value in x]"),
        function("return lambda: x + 2"),
        *(times(2), times(3), partial(times, 2), partial(times, 3)),
        *(partial(times, factor=2), Scale(2.0).__call__, Scale(3.0).__call__),
    ],
    "classes": lambda: [
        *(Scale, OtherScale, network_class("return x"), network_class("return -x")),
        *(network_class("return x", "factor = 3"), int, float, Scale(), OtherScale()),
        *(Scale(2.0), Scale(2), Slotted(1), Slotted(2), Colour.RED, Colour.BLUE),
        *(GaussianNoise(1.0), GaussianNoise(2.0), object(), object),
    ],
    "objects with parameters": lambda: [
        *(EarlyStopping(), EarlyStopping(patience=3), EarlyStopping),
        *(LRScheduler("StepLR", step_size=3), LRScheduler("StepLR", step_size=4)),
        *(OrthoHash(8), OrthoHash(16), OrthoHash(8, lr=0.5)),
    ],
    "generators": lambda: [
        *(torch_state(0), torch_state(1), random.Random(1), random.Random(2)),
        *(numpy_state(np.random.RandomState, n) for n in range(2)),
        *(numpy_state(np.random.default_rng, n) for n in range(2)),
        *(np.random.SeedSequence(1), np.random.SeedSequence(2)),
        np.random.Generator(np.random.MT19937(1)),
    ],
    "data sets": lambda: [
        TensorDataset(torch.zeros(3), torch.ones(3)),
        TensorDataset(torch.ones(3), torch.zeros(3)),
        TensorDataset(torch.zeros(3)),
        *(Rows(NUMBERS, [0, 1, 0]), Rows(NUMBERS, [0, 1, 1])),
    ],
    "containers": lambda: [
        *({"a", "b", "c"}, {"a", "b"}, frozenset("abc"), ["a", "b", "c"]),
        *(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
        *(collections.Counter("ab"), collections.deque("ab"), torch.Size([1, 2])),
        *(datetime.date(2020, 1, 1), range(3), slice(3), ..., np.dtype("f4")),
        *(torch.float32, torch.float64, torch.device("cpu"), in_a_comprehension),
    ],
    "cycles": lambda: [with_cycle(1), with_cycle(2), [1], [1, {"self": [1]}]],
}
families = pytest.mark.parametrize("things", DIFFERENT.values(), ids=DIFFERENT)


@families
def test_different_things_have_different_fingerprints(things):
    things = things()
    prints = [fingerprint(thing) for thing in things]
    assert all(len(bytes.fromhex(text)) == 16 for text in prints)
    for (i, first), (j, second) in combinations(enumerate(prints), 2):
        assert first != second, (things[i], things[j])


@families
def test_things_made_anew_have_the_same_fingerprints(things):
    assert [*map(fingerprint, things())] == [*map(fingerprint, things())]


def every_fingerprint():
    return [fingerprint(thing) for things in DIFFERENT.values() for thing in things()]


def test_fingerprints_are_the_same_in_another_process():
    printed = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c"),
            f"import {__name__} as t; print(t.every_fingerprint())",
        ],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert printed.stdout.strip() == str(every_fingerprint())


@given(plain, plain)
def test_fingerprints_are_equal_exactly_where_reprs_in_order_are(first, second):
    def ordered(value):
        if isinstance(value, dict):
            items = [(ordered(key), ordered(item)) for key, item in value.items()]
            return f"dict{sorted(items)}"
        if isinstance(value, (list, tuple)):
            return f"{type(value)}{[*map(ordered, value)]}"
        return repr(value)

    assert (fingerprint(first) == fingerprint(second)) == (
        ordered(first) == ordered(second)
    )
    assert fingerprint(pickle.loads(pickle.dumps(first))) == fingerprint(first)
    assert fingerprint(first, second) != fingerprint([first, second])


@given(
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(),
            hnp.integer_dtypes(),
            hnp.floating_dtypes(sizes=(16, 32, 64)),
            hnp.unicode_string_dtypes(),
        ),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_strides_of_an_array_do_not_matter(array):
    expected = fingerprint(np.ascontiguousarray(array).reshape(array.shape))
    spread = np.zeros([2 * side for side in array.shape], dtype=array.dtype)
    spread = spread[(..., *(slice(None, None, 2) for _ in array.shape))]
    spread[...] = array
    for same in (np.asfortranarray(array), spread, array.copy()):
        assert fingerprint(same.reshape(array.shape)) == expected


def test_numbers_of_numpy_are_those_of_python():
    for number in (
        *(np.int8(3), np.uint64(2**63), np.float64(0.1), np.float32(0.1)),
        *(np.bool_(True), np.complex64(1j), np.str_("a"), np.bytes_(b"a")),
    ):
        assert fingerprint(number) == fingerprint(number.item())


def test_equal_things_of_other_makes_have_the_same_fingerprint():
    weights = torch.arange(12.0).reshape(3, 4)
    for first, second in (
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (weights.T.contiguous(), weights.T),
        (weights, nn.Parameter(weights)),
        (weights.bfloat16().T.contiguous(), weights.bfloat16().T),
        (sparse.csr_array(NUMBERS), sparse.csr_matrix(NUMBERS)),
    ):
        assert fingerprint(first) == fingerprint(second)
    shared = [1]
    assert fingerprint([shared, shared]) == fingerprint([[1], [1]])


@pytest.mark.parametrize("change", [lambda x: x, np.transpose, lambda x: x[::2, 1:]])
def test_a_memory_map_is_read_in_bounded_memory(tmp_path, change):
    X = np.random.default_rng(0).standard_normal((3000, 1000))
    np.save(tmp_path / "X.npy", X)
    expected = fingerprint(np.ascontiguousarray(change(X)))
    mapped = change(np.load(tmp_path / "X.npy", mmap_mode="r"))
    tracemalloc.start()
    try:
        assert fingerprint(mapped) == expected
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6


def test_a_change_anywhere_in_a_large_array_is_seen():
    X = np.zeros((700, 1000))
    before = fingerprint(X)
    for place in [(0, 0), (131, 71), (699, 999)]:
        X[place] = 1
        assert fingerprint(X) != before
        X[place] = 0
    assert fingerprint(X) == before


@pytest.mark.parametrize(
    "make",
    [
        Network,
        lambda: nn.Sequential(nn.LazyLinear(3), nn.ReLU()),
        lambda: nn.LSTM(2, 3),
    ],
)
def test_a_copied_network_has_the_same_fingerprint(make):
    network = make()
    assert fingerprint(copy.deepcopy(network)) == fingerprint(network)


def test_what_a_fit_leaves_in_a_callback_does_not_matter():
    callback, fitted = EarlyStopping(), EarlyStopping()
    fitted.initialize()
    fitted.misses_ = 3
    assert fingerprint(fitted) == fingerprint(callback)
    X, y = NUMBERS, [0, 1, 0]
    hasher = OrthoHash(4, max_epochs=1, random_state=0, device="cpu")
    before = fingerprint(hasher)
    assert fingerprint(hasher.fit(X, y)) == before


def test_where_a_function_stands_and_what_it_is_called_on_do_not_matter():
    shifted = defined("\n\n\ndef view(x):\n    return -x", "view")
    assert fingerprint(shifted) == fingerprint(function("return -x"))
    assert fingerprint(Scale(2.0).__call__) == fingerprint(Scale(2.0).__call__)


def test_functions_that_run_keep_their_fingerprint():
    before = fingerprint(in_a_comprehension)
    for _ in range(100):
        in_a_comprehension(["a"])
    assert fingerprint(in_a_comprehension) == before


def test_a_function_that_calls_itself_has_a_fingerprint():
    def make():
        def countdown(n):
            return countdown(n - 1) if n else 0

        return countdown

    assert fingerprint(make()) == fingerprint(make())


def test_a_variable_that_is_not_yet_bound_differs_from_none():
    def make(bound):
        def view(x):
            return later

        if bound:
            later = None
        return view

    assert fingerprint(make(True)) != fingerprint(make(False))


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (threading.Lock(), "lock"),
        ((value for value in "abc"), "generator"),
        ({"callbacks": [Slotted(threading.Lock())]}, "lock"),
        (partial(print, threading.Lock()), "lock"),
    ],
)
def test_what_cannot_be_described_is_refused_by_name(thing, named):
    with pytest.raises(TypeError, match=f"{named}.* cannot be described for a fingerp"):
        fingerprint(thing)
