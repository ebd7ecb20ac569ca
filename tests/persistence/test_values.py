"""Values of any kind go through JSON and arrays, and come back with their types."""

import json
import math
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from sklhash.persistence.archive import naming_file
from sklhash.persistence.arrays import (
    arrays_in,
    header_of,
    in_file_order,
    pieces_of,
)
from sklhash.persistence.classes import Classes
from sklhash.persistence.files import _KINDS
from sklhash.persistence.values import Decoder, Encoder
from tests.persistence.same import assert_same

numeric = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
)
words = st.text(max_size=6) | st.sampled_from(["\ud800", "a\0b", ""])
arrays = st.one_of(
    hnp.arrays(numeric, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    hnp.arrays(
        hnp.unicode_string_dtypes(min_len=1, max_len=6), hnp.array_shapes(max_dims=2)
    ),
    hnp.arrays(object, st.integers(0, 9), elements=words),
    hnp.arrays(object, st.integers(1, 9), elements=st.integers(-(2**63), 2**63 - 1)),
    hnp.arrays(object, st.integers(1, 9), elements=st.booleans()),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    words,
    st.integers(-128, 127).map(np.int8),
    st.floats(width=32).map(np.float32),
    st.booleans().map(np.bool_),
    words.map(np.str_),
)
values = st.recursive(
    scalars | arrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(words, inner, max_size=3),
        st.dictionaries(st.integers() | st.booleans() | words, inner, max_size=3),
    ),
    max_leaves=8,
)


def returned(value):
    encoder = Encoder(_KINDS)
    text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
    decoder = Decoder(_KINDS, written(encoder.arrays), Classes(), "cpu")
    found = decoder.decode(json.loads(text))
    decoder.finish()
    return found


def written(some_arrays):
    """Return arrays as they come back from a file."""
    some_arrays = in_file_order(some_arrays)
    pieces = [piece for array in some_arrays.values() for piece in pieces_of(array)]
    return arrays_in(np.frombuffer(b"".join([header_of(some_arrays), *pieces]), "u1"))


@given(value=values)
def test_any_value_comes_back(value):
    assert_same(returned(value), native(value))


def native(value):
    """Return a value whose arrays are in the byte order of this machine."""
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("="))
    if isinstance(value, (list, tuple)):
        return type(value)(map(native, value))
    if isinstance(value, dict):
        return {key: native(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize(
    "value",
    [
        np.array(["cat", "dög", "a\0b"], dtype=np.dtypes.StringDType()),
        torch.tensor([math.nan, math.inf, -0.0, 1e-45]).nan_to_num(7),
        torch.tensor([1.5, -2], dtype=torch.bfloat16),
        torch.tensor([1.5, -2]).to(torch.float8_e4m3fn).view(torch.uint8),
        torch.ones((), dtype=torch.bool),
        torch.arange(6.0).expand(2, 6),
        torch.arange(12).view(3, 4).T,
        torch.arange(12)[::5],
        torch.arange(24, dtype=torch.bfloat16).view(2, 3, 4).permute(2, 0, 1),
        torch.empty((0, 3), dtype=torch.int16),
        torch.device("cpu"),
        torch.float16,
        torch.Size([1, 2]),
        torch.optim.Adam,
        torch.nn.functional.relu,
        pd.DataFrame({"a": [1, 2], "b": [0.5, 2]}),
        pd.DataFrame({0: [3, 4], 1: [True, False]}),
        pl.DataFrame({"a": [1, 2], "b": [0.5, 2]}),
        np.random.RandomState(3),
        10**30,
        -0.0,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_packages_come_back(value):
    assert_same(returned(value), value)
    if isinstance(value, float):
        assert math.copysign(1, returned(value)) == -1


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, np.float64])
def test_a_sparse_indicator_comes_back(kind, dtype):
    y = sparse.random_array((40, 7), density=0.3, rng=0, format="csr").astype(dtype)
    y[3, 2] = 0  # stored
    found = returned(kind(y))
    assert_same(found, kind(y))
    np.testing.assert_array_equal(found[[3, 1]].toarray(), y.toarray()[[3, 1]])


def test_a_path_of_any_system_becomes_one_of_this():
    assert str(returned(PurePosixPath("runs/one"))) == "runs/one"


def test_numbers_and_fixed_width_strings_are_views():
    """What is mapped is not read."""
    for y in (np.arange(9), np.array(["cat", "horse"]), np.eye(3, dtype=np.float32)):
        encoder = Encoder(_KINDS)
        parts = encoder.encode(y, "y")
        decoder = Decoder(_KINDS, encoder.arrays, Classes(), "cpu")
        assert np.shares_memory(decoder.decode(parts), encoder.arrays["y"])


@pytest.mark.parametrize(
    "y",
    [
        sparse.coo_array(np.eye(2)),
        np.array([1, None], dtype=object),
        np.array([1.0, np.nan], dtype=object),
        np.array([2**70], dtype=object),
        np.array([2**60 + 1, 0.5], dtype=object),
        np.array([(1, 2), (3, 4), None], dtype=object)[:2],
        np.array([[1], [2, 3], None], dtype=object)[:2],
        np.array([object()]),
        {1, 2},
        b"bytes",
        1j,
        range(3),
        iter([]),
        torch.eye(2).to_sparse(),
        torch.empty(2, device="meta"),
        pd.Series([1]),
    ],
    ids=lambda y: f"{type(y).__name__}",
)
def test_other_values_are_refused_by_name(y):
    with pytest.raises(TypeError, match=r"^value .*must .*saved, got"):
        returned(y)


@pytest.mark.parametrize(
    "strides", [[10**12, 1], [3, 0], [-1, 3], [4, 1], [1], ["a", 1], 3, None]
)
def test_a_tensor_of_impossible_strides_is_refused(strides):
    parts = {"tensor": {"dtype": "float32", "values": "values", "strides": strides}}
    arrays = {"values": np.zeros((2, 3), dtype=np.float32)}
    decoder = Decoder(_KINDS, arrays, Classes(), "cpu")
    with pytest.raises(ValueError, match="some file"), naming_file("some file"):
        decoder.decode(parts)
