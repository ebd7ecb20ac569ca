"""What inputs there are: right ones in every form, and wrong ones of every kind.

Each strategy gives a `Given`: what is passed, and what it says as a plain array, or
None if it cannot be right.
"""

import datetime

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse

from tests.fuzz.rules import NONE, Given

WIDTHS = (1, 2, 3, 7, 8, 9, 12, 17, 63, 64, 65, 130)
NUMBERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g")
SWAPPED = (">i2", ">u4", ">i8", ">f2", ">f4", ">f8")
FORMATS = ("bsr", sparse.coo_array((1, 1)).format, "csc", "csr", "dia", "dok", "lil")
NO_ARRAYS = (
    None,
    {},
    {1: 2},
    {1, 2},
    "abc",
    b"abc",
    "",
    3,
    0.5,
    object(),
    [[1, 0], [1]],
    [[[1], [0, 1]], [[1], [1]]],
    [[0, 1], None],
    [[0, 1], [1, "1"]],
    [["0", "1"]],
    [[b"0", b"1"]],
    [[0, 1j]],
    [[0, {}]],
    [[0, None]],
    [[datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)]],
    np.array([[0, 1]], dtype="m8[s]"),
    np.array([[0, 1]], dtype="M8[s]"),
    np.zeros((2, 3), dtype=[("a", "i4"), ("b", "f4")]),
    np.zeros((2, 3), dtype="V4"),
    np.zeros((2, 3), dtype="S1"),
    np.full((2, 3), "1", dtype=np.dtypes.StringDType()),
    pd.DataFrame({"a": [0, 1], "b": ["x", "y"]}),
    pd.DataFrame({"a": [0, 1], "b": pd.array([1, None], dtype="Int64")}),
    pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
    iter([[0, 1]]),
)

seeds = st.integers(0, 2**32 - 1)
mostly = st.integers(0, 9).map(bool)


def readonly(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = (
    np.asarray,
    np.asarray,
    np.asfortranarray,
    readonly,
    lambda a: a[::-1].copy()[::-1],
    lambda a: a[..., ::-1].copy()[..., ::-1],
    lambda a: np.repeat(a, 2, axis=0)[::2],
    lambda a: np.repeat(a, 3, axis=-1)[..., 1::3],
    lambda a: a.T.copy().T,
)


class HasArray:
    """What is no array, but says how to become one."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return np.array(self.a, dtype=dtype)


CONTAINERS = (
    np.ndarray.tolist,
    lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()),
    lambda a: list(a),
    lambda a: np.ma.masked_array(a),
    lambda a: a.astype(object),
    HasArray,
    lambda a: a if a.dtype.newbyteorder("=") == "g" else _tensor(a),
    lambda a: pd.DataFrame(a) if a.ndim == 2 else pd.Series(a),
)
DOUBTFUL = (
    lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    lambda a: _nullable(a),
    lambda a: a.astype("S4") if a.dtype.kind in "iu" else a.astype("c16"),
)


def _tensor(a):
    return torch.from_numpy(a.astype(a.dtype.newbyteorder("=")))


def _nullable(a):
    kinds = {"b": "boolean", "f": "Float64", "u": "UInt64", "i": "Int64"}
    dtype = kinds[a.dtype.kind]
    frame = pd.DataFrame(a) if a.ndim == 2 else pd.Series(a)
    return frame.astype(dtype)


def formed(draw, array):
    """A right array in any layout and container."""
    laid = draw(st.sampled_from(LAYOUTS))(array)
    kind = draw(st.integers(0, 9))
    if kind < 6 or array.size == 0:
        return Given(laid, array)
    if kind < 9:
        value = draw(st.sampled_from(CONTAINERS))(laid)
        is_object = isinstance(value, np.ndarray) and value.dtype.hasobject
        return Given(value, array, doubtful=is_object)
    if array.dtype.newbyteorder("=") == "g":
        return Given(laid, array)
    return Given(draw(st.sampled_from(DOUBTFUL))(laid), array, doubtful=True)


def dtyped(draw, array):
    """Small whole numbers in any dtype that holds them, in any form."""
    dtypes = [d for d in ("?", *NUMBERS, *SWAPPED) if _holds(d, array)]
    return formed(draw, array.astype(draw(st.sampled_from(dtypes))))


def _holds(dtype, array):
    with np.errstate(all="ignore"):
        return np.array_equal(array.astype(dtype).astype(float), array)


def bit_matrices(draw, n_bits=None, min_rows=0, max_rows=12):
    """Zeros and ones, as a plain matrix."""
    n = draw(st.integers(min_rows, max_rows))
    width = draw(st.sampled_from(WIDTHS)) if n_bits is None else n_bits
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.integers(0, 5))
    if kind == 0:  # all rows alike
        return np.repeat(rng.integers(0, 2, (1, width)), n, axis=0).astype("u1")
    if kind == 1:  # a few different rows
        return rng.integers(0, 2, (3, width))[rng.integers(0, 3, n)].astype("u1")
    share = (0.5, 0.5, 0.1, 1.0)[kind - 2]
    return (rng.random((n, width)) < share).astype("u1")


def codes(draw, bits, packed=False, right=None):
    """Codes in any form, or what is none."""
    if not (draw(mostly) if right is None else right):
        return no_codes(draw, bits, packed)
    if packed:
        array = np.packbits(bits, axis=1, bitorder="little")
        dtypes = [d for d in NUMBERS if d[0] == "u" or d in ("i2", "i4", "i8")]
        given = formed(draw, array.astype(draw(st.sampled_from([*dtypes, ">i2"]))))
        return given._replace(says=bits)
    if len(bits) and (bits == bits[0]).all() and draw(st.booleans()):
        return Given(np.broadcast_to(bits[0].astype("f4"), bits.shape), bits)
    return dtyped(draw, bits)._replace(says=bits)


def no_codes(draw, bits, packed=False):
    """What looks a bit like codes and is none."""
    array = np.packbits(bits, axis=1, bitorder="little") if packed else bits
    ways = [
        lambda: draw(st.sampled_from(NO_ARRAYS)),
        lambda: sparse.csr_array(array).asformat(draw(st.sampled_from(FORMATS))),
        lambda: array.ravel(),
        lambda: array[..., None],
        lambda: array[:, :0],
        lambda: array.astype(draw(st.sampled_from(["c8", "S3", "U3", "m8[s]"]))),
    ]
    if packed:
        ways.append(lambda: array.astype(draw(st.sampled_from(["f4", "f8", ">f2"]))))
    if len(array):
        bad = [-1, 256, 2**40] if packed else [2, -1, np.nan, np.inf, 0.5, 1e300]
        ways.append(lambda: spoiled(draw, array, draw(st.sampled_from(bad))))
        ways.append(lambda: np.ma.masked_array(array, mask=spoiled(draw, array, 9) > 1))
    return Given(draw(st.sampled_from(ways))())


def spoiled(draw, array, value):
    """Put a value somewhere into a wider copy of an array."""
    array = array.astype("f8" if isinstance(value, float) else "i8")
    array.flat[draw(st.integers(0, array.size - 1))] = value
    return array


def features(draw, n=None, width=None, right=None, largest=1e38):
    """Real values in any form, or what is no finite matrix."""
    n = draw(st.integers(1, 24)) if n is None else n
    width = draw(st.sampled_from([1, 2, 3, 8, 20])) if width is None else width
    rng = np.random.default_rng(draw(seeds))
    array = rng.standard_normal((n, width)).astype(draw(st.sampled_from(["f4", "f8"])))
    kind = draw(st.integers(0, 7))
    if kind == 0:
        array = np.repeat(array[:1], n, axis=0)
    elif kind == 1:
        array = array[rng.integers(0, min(3, n), n)]
    elif kind == 2:
        array = np.round(4 * array).clip(0, 100)
    elif kind == 3:
        array *= draw(st.sampled_from([0, 1e-30, 1e-12, 1e4, 1e10]))
    elif kind == 4:
        array[:, draw(st.integers(0, width - 1))] = 1
    if not (draw(mostly) if right is None else right):
        return no_features(draw, array, largest)
    if draw(st.integers(0, 7)) == 0:
        form = draw(st.sampled_from(FORMATS))
        return Given(sparse.csr_array(array).asformat(form), array)
    if kind == 2:
        return dtyped(draw, array.astype("i1"))
    return formed(draw, array)


def no_features(draw, array, largest):
    """What is no finite matrix of features."""
    ways = [
        lambda: draw(st.sampled_from(NO_ARRAYS)),
        lambda: array.ravel(),
        lambda: array[..., None],
        lambda: array[:, :0],
        lambda: array[:0],
        lambda: array.astype("c8"),
        lambda: np.ma.masked_array(array, mask=np.isnan(spoiled(draw, array, np.nan))),
        lambda: sparse.csr_array(bad()),
        lambda: bad(),
        lambda: bad().tolist(),
    ]

    def bad():
        beyond = 1e300 if largest < 1e300 else np.nan
        value = draw(st.sampled_from([np.nan, np.inf, -np.inf, beyond]))
        return spoiled(draw, array, value)

    return Given(draw(st.sampled_from(ways))())


VOCABULARIES = (
    np.arange(6),
    np.arange(-3, 3),
    np.arange(6) * 1000 - 30000,
    2**53 + np.arange(6),
    -(2**62) + np.arange(6),
    np.uint64(2**63) + np.arange(6, dtype="u8"),
    np.array([0, 2**53, 2**53 + 1, 2**63, 2**63 + 1, 2**64 - 1], dtype="u8"),
    np.array([-2.0, 0.0, 1.0, 1e6, 2.0**60, 1e300]),
    np.array(["", "1", "01", "nan", "é", "None"]),
    np.array(["a", "b", "c", "aa", "ab", "b "]),
)


def vocabularies(draw):
    """Six class labels."""
    return draw(st.sampled_from(VOCABULARIES))


def class_ids(draw, min_rows=0, max_rows=12):
    """Numbers of classes, as a plain vector."""
    n = draw(st.integers(min_rows, max_rows))
    rng = np.random.default_rng(draw(seeds))
    return rng.integers(0, draw(st.integers(1, 6)), n)


def label_sets(draw, n_labels=None, min_rows=0, max_rows=12):
    """A label indicator, as a plain matrix."""
    n = draw(st.integers(min_rows, max_rows))
    if n_labels is None:
        n_labels = draw(st.sampled_from([2, 3, 8, 9, 63, 64, 65]))
    rng = np.random.default_rng(draw(seeds))
    share = draw(st.sampled_from([0, 0.1, 0.5, 1]))
    return (rng.random((n, n_labels)) < share).astype("i8")


def class_labels(draw, ids, vocabulary, right=None):
    """Class labels in any form; they say which of the vocabulary each is."""
    if not (draw(mostly) if right is None else right):
        return no_labels(draw, len(ids))
    y = vocabulary[ids]
    if y.dtype.kind in "iuf":
        dtypes = [y.dtype, *(d for d in ("?", *NUMBERS, *SWAPPED) if _exact(d, y))]
        y = y.astype(draw(st.sampled_from(dtypes)))
    elif draw(st.booleans()):
        y = y.astype(draw(st.sampled_from([object, np.dtypes.StringDType()])))
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return Given(y[:, None], ids)
    if kind == 1 and y.dtype.kind in "biufOU" and y.dtype.char != "g":
        return Given(pd.Series(pd.Categorical(y.tolist())), ids, doubtful=len(y) == 0)
    if y.dtype.kind in "OUT":
        ways = [np.asarray, np.ndarray.tolist, pd.Series, readonly, HasArray]
        return Given(draw(st.sampled_from(ways))(y), ids, doubtful=len(y) == 0)
    given = formed(draw, y)._replace(says=ids)
    return given._replace(doubtful=given.doubtful or len(y) == 0)


def _exact(dtype, y):
    with np.errstate(all="ignore"):
        cast = y.astype(dtype)
    return np.isfinite(cast.astype(float)).all() and cast.tolist() == y.tolist()


def no_labels(draw, n):
    """What are no labels of classes and no indicator."""
    n = max(2, n)
    rng = np.random.default_rng(draw(seeds))
    y = rng.integers(0, 3, n)
    ways = [
        lambda: draw(st.sampled_from(NO_LABELS)),
        lambda: [None, *y[1:].tolist()],
        lambda: [*y[1:].tolist(), "a"],
        lambda: [*map(str, y[1:]), 1.0],
        lambda: [*map(str, y[1:]), np.nan],
        lambda: np.array([*map(str, y[1:]), 1], dtype=object),
        lambda: pd.array([*y[1:].tolist(), None], dtype="Int64"),
        lambda: pd.Series([*map(str, y[1:]), None], dtype="string"),
        lambda: pd.Series(pd.Categorical([*y[1:].tolist(), None])),
        lambda: np.array([*y[1:], draw(st.sampled_from([0.5, np.nan, np.inf]))]),
        lambda: y.astype(draw(st.sampled_from(["c8", "S2", "m8[s]", "M8[s]"]))),
        lambda: np.repeat(y[:, None, None], 2, axis=1),
        lambda: spoiled_indicator(draw, n),
        lambda: np.zeros((n, 0)),
        lambda: np.zeros((n, 3), dtype="c8"),
        lambda: np.full((n, 3), "1"),
        lambda: sparse.csr_array(spoiled_indicator(draw, n)),
        lambda: np.ma.masked_array(y, mask=np.arange(len(y)) == 0),
    ]
    return Given(draw(st.sampled_from(ways))())


NO_LABELS = (
    None,
    {},
    {1, 2},
    "abc",
    b"abc",
    "",
    3,
    True,
    object(),
    [[1, 0], [1]],
    [[1, 0], [1, "a"]],
    [{}, {}],
    [(1,), (1, 2)],
    [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    [2**70, 1],
    [1j],
    np.zeros(3, dtype=[("a", "i4")]),
    np.zeros(3, dtype="V4"),
    iter([1, 2]),
)


def spoiled_indicator(draw, n):
    value = draw(st.sampled_from([2, -1, 0.5, np.nan, np.inf]))
    return spoiled(draw, np.zeros((n, 3)), value)


def indicators(draw, array, right=None):
    """A label indicator in any form."""
    if not (draw(mostly) if right is None else right):
        return no_labels(draw, len(array))
    if draw(st.integers(0, 2)) == 0:
        dtype = draw(st.sampled_from(["?", "i1", "u1", "i8", "u8", "f4", "f8"]))
        form = draw(st.sampled_from(FORMATS))
        matrix = sparse.coo_array(array.astype(dtype))
        if draw(st.booleans()) and len(array):  # a zero that is stored
            rows, columns = np.append(matrix.coords, [[0], [0]], axis=1)
            values = np.append(matrix.data, np.zeros(1, dtype))
            matrix = sparse.coo_array((values, (rows, columns)), shape=array.shape)
        return Given(matrix.asformat(form), array)
    return dtyped(draw, array)._replace(says=array)


def whole_numbers(draw, low, usual, *, optional=False, below=None):
    """A whole number from `low` on in any form, or what is none."""
    kind = draw(st.integers(0, 19))
    if kind < 14:
        return Given(*2 * [draw(usual)])
    if kind == 14:
        value = draw(usual)
        form = draw(st.sampled_from([np.int64, np.int32, np.uint16]))
        return Given(form(value), value)
    if kind == 15 and optional:
        return Given(None, NONE)
    if kind == 16 and low <= 1:
        return Given(True, 1, doubtful=True)
    if kind == 17:
        return Given(10**30, 10**30)
    wrong = [low - 1, -1, -(10**30), 2.0, 2.5, "2", [2], np.nan, 1j, np.float64(2), ()]
    return Given(draw(st.sampled_from(wrong)))


def choices(draw, *right):
    """One of some strings, or what is none of them."""
    if draw(st.integers(0, 14)):
        return Given(*2 * [draw(st.sampled_from(right))])
    wrong = ["", "x", right[0].upper(), None, 0, 1.5, [right[0]], right[0].encode(), {}]
    return Given(draw(st.sampled_from(wrong)))


def flags(draw):
    """True or False, or what is none of them."""
    if draw(st.integers(0, 14)):
        value = draw(st.booleans())
        return Given(np.bool_(value) if draw(st.integers(0, 5)) == 0 else value, value)
    return Given(draw(st.sampled_from(["True", None, 2, 0.0, [True], np.nan])))
