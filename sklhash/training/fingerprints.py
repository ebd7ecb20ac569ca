"""Fingerprints: a short text that is the same for equal things on any day."""

from __future__ import annotations

import reprlib
import struct
import weakref
from collections.abc import Iterable, Iterator
from copyreg import dispatch_table
from functools import partial, singledispatch
from hashlib import sha256
from inspect import unwrap
from operator import methodcaller
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

__all__ = ["fingerprint"]

_BLOCK_BYTES = 2**20
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def fingerprint(*parts: Any) -> str:
    """Return a text that is the same for equal things, in any process, on any day.

    Equal numbers are equal things whether they are numpy's or Python's, but 1, 1.0 and
    True differ, as do a list and a tuple, and arrays of another dtype or shape. Arrays
    are equal whatever their strides, in memory or mapped, and dicts and sets in any
    order.

    Parameters
    ----------
    *parts : object
        Numbers, strings, containers, arrays, tensors, sparse arrays, generators (by
        their state), and whatever can be pickled. Functions count by their code,
        defaults and closure, but not by the globals they use; classes by the code and
        constants in their bodies; modules by their classes, weights and attributes; and
        what has `get_params`, as scikit-learn's estimators and skorch's callbacks, by
        its class and parameters, fitted or not.

    Returns
    -------
    fingerprint : str
        32 hexadecimal digits.

    Raises
    ------
    TypeError
        If a part, or something in it, cannot be described.

    Examples
    --------
    >>> import numpy as np
    >>> from sklhash.training.fingerprints import fingerprint
    >>> drawn = {"lr": np.logspace(-3, -1, 3)[2], "n_bits": np.int64(64)}
    >>> fingerprint(drawn) == fingerprint({"n_bits": 64, "lr": 0.1})
    True
    >>> fingerprint([1, 23]) == fingerprint([12, 3])
    False
    """
    return _Digests().of(parts).hex()[:32]


class _Bytes(NamedTuple):
    """A value that is a string of bytes, in blocks."""

    kind: str
    blocks: Iterable[bytes]


class _Parts(NamedTuple):
    """A value that consists of others."""

    kind: str
    values: Iterable[Any]


class _Bag(NamedTuple):
    """A value that consists of others in no order."""

    kind: str
    values: Iterable[Any]


class _Digests:
    """Digests of values, made of the digests of what they consist of."""

    def __init__(self) -> None:
        self._above: list[int] = []
        self._classes: dict[type, bytes] = {}

    def of(self, value: Any) -> bytes:
        if isinstance(value, type):
            return self._of_class(value)
        if id(value) in self._above:
            height = len(self._above) - self._above.index(id(value))
            return self._joined(_Parts("cycle", [height]))
        self._above.append(id(value))
        try:
            return self._joined(_description(value))
        finally:
            self._above.pop()

    def _of_class(self, cls: type) -> bytes:
        if cls not in self._classes:
            self._classes[cls] = self._joined(_class(cls))
        return self._classes[cls]

    def _joined(self, description: _Bytes | _Parts | _Bag) -> bytes:
        # Of what hashlib has, SHA-256 is the fastest without known collisions where the
        # processor has instructions for it.
        digest = sha256(f"{len(description.kind)} {description.kind}".encode())
        for block in self._blocks(description):
            digest.update(block)
        return digest.digest()

    def _blocks(self, description: _Bytes | _Parts | _Bag) -> Iterable[bytes]:
        if isinstance(description, _Bytes):
            return description.blocks
        digests = map(self.of, description.values)
        return sorted(digests) if isinstance(description, _Bag) else digests


@singledispatch
def _description(value: Any) -> _Bytes | _Parts | _Bag:
    """Say what a value consists of."""
    if callable(getattr(value, "get_params", None)):
        return _Parts("parametrized", [type(value), value.get_params(deep=False)])
    return _pickled(value)


def _pickled(value: Any) -> _Parts:
    """Describe what has no other description by what pickle would store."""
    reduce = dispatch_table.get(type(value), methodcaller("__reduce_ex__", 4))
    try:
        reduced = reduce(value)
    except Exception as error:
        raise TypeError(
            f"{reprlib.repr(value)} of {type(value)} cannot be described for a "
            f"fingerprint: {error}"
        ) from error
    if isinstance(reduced, str):
        return _Parts("global", [getattr(value, "__module__", None), reduced])
    function, arguments, *state = reduced
    maker = function if isinstance(function, type) else _name(function)
    contents = [list(part) if isinstance(part, Iterator) else part for part in state]
    return _Parts("object", [maker, arguments, *contents])


@_description.register
def _none(value: None) -> _Bytes:
    return _Bytes("None", [])


@_description.register
def _bool(value: bool) -> _Bytes:
    return _Bytes("bool", [b"\1" if value else b"\0"])


@_description.register
def _int(value: int) -> _Bytes:
    return _Bytes("int", [hex(value).encode()])


@_description.register
def _float(value: float) -> _Bytes:
    return _Bytes("float", [struct.pack("<d", value)])


@_description.register
def _complex(value: complex) -> _Bytes:
    return _Bytes("complex", [struct.pack("<2d", value.real, value.imag)])


@_description.register
def _str(value: str) -> _Bytes:
    return _Bytes("str", [value.encode("utf-8", "surrogatepass")])


@_description.register
def _bytes(value: bytes) -> _Bytes:
    return _Bytes("bytes", [value])


@_description.register(list)
@_description.register(tuple)
def _sequence(value: Any) -> _Parts:
    kind = type(value)
    return _Parts(kind.__name__, value) if kind in (list, tuple) else _pickled(value)


@_description.register
def _dict(value: dict) -> _Bag | _Parts:
    return _Bag("dict", value.items()) if type(value) is dict else _pickled(value)


@_description.register(set)
@_description.register(frozenset)
def _set(value: Any) -> _Bag | _Parts:
    kind = type(value)
    return _Bag(kind.__name__, value) if kind in (set, frozenset) else _pickled(value)


@_description.register
def _number(value: np.generic) -> _Bytes | _Parts | _Bag:
    item = value.item()
    if type(item) in (*_CONSTANTS, tuple):
        return _description(item)
    return _array(np.asarray(value))


@_description.register
def _array(value: np.ndarray) -> _Bytes | _Parts:
    if type(value) not in (np.ndarray, np.memmap):
        return _pickled(value)
    if value.dtype.hasobject or value.dtype.kind == "T":
        return _Parts("objects", [value.dtype, value.shape, *value.flat])
    return _Bytes(f"array {value.dtype!r} {value.shape}", _blocks_of(value))


def _blocks_of(array: NDArray[Any]) -> Iterator[bytes]:
    """Give an array's bytes in C order, some at a time."""
    pieces: Any = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        order="C",
        buffersize=max(1, _BLOCK_BYTES // max(1, array.itemsize)),
    )
    return (piece.tobytes() for piece in pieces)


@_description.register
def _dtype(value: np.dtype) -> _Parts:
    return _Parts("dtype", [repr(value)])


@_description.register(sparse.sparray)
@_description.register(sparse.spmatrix)
def _sparse(value: Any) -> _Parts:
    if value.format in ("csr", "csc", "bsr"):
        arrays = value.indptr, value.indices, value.data
    else:
        value = value.tocoo()
        arrays = *value.coords, value.data
    return _Parts("sparse", [value.format, value.shape, *arrays])


@_description.register
def _tensor(value: torch.Tensor) -> _Bytes | _Parts:
    if is_lazy(value):
        return _Parts("lazy tensor", [str(value.dtype)])
    if value.layout != torch.strided:
        value = value.detach().to_sparse_coo().coalesce()
        shape = tuple(value.shape)
        return _Parts("sparse tensor", [shape, value.indices(), value.values()])
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if plain.itemsize in _INTEGERS:  # numpy lacks some of torch's dtypes
        plain = plain.view(_INTEGERS[plain.itemsize])
    kind = f"tensor {value.dtype} {tuple(value.shape)}"
    return _Bytes(kind, _blocks_of(plain.numpy()))


@_description.register
def _torch_generator(value: torch.Generator) -> _Parts:
    return _Parts("torch.Generator", [str(value.device), value.get_state()])


@_description.register
def _random_state(value: np.random.RandomState) -> _Parts:
    return _Parts("RandomState", [value.get_state(legacy=False)])


@_description.register
def _generator(value: np.random.Generator) -> _Parts:
    return _Parts("Generator", [value.bit_generator.state])


@_description.register
def _module(value: torch.nn.Module) -> _Parts:
    parameters = dict(value.named_parameters(remove_duplicate=False))
    buffers = dict(value.named_buffers(remove_duplicate=False))
    frozen = {name for name, weight in parameters.items() if not weight.requires_grad}
    if isinstance(value, torch.jit.ScriptModule):
        parts: Any = repr(value)
    else:
        parts = {name: (type(m), _attributes(m)) for name, m in value.named_modules()}
    return _Parts("module", [parts, parameters, buffers, frozen])


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    attributes = vars(module)
    of_every_module = vars(torch.nn.Module()).keys() - {"training"}
    return {name: attributes[name] for name in attributes.keys() - of_every_module}


@_description.register(RemovableHandle)
@_description.register(weakref.ReferenceType)
def _reference(value: Any) -> _Parts:
    # Modules keep them to what is described anyway. A handle's number is another in
    # each process.
    return _Parts("reference", [])


@_description.register
def _function(value: FunctionType) -> _Parts:
    free = value.__defaults__, value.__kwdefaults__, value.__closure__
    return _Parts("function", [_name(value), value.__code__, *free])


@_description.register
def _cell(value: CellType) -> _Parts:
    try:
        return _Parts("cell", [value.cell_contents])
    except ValueError:  # not yet bound
        return _Parts("cell", [])


@_description.register
def _code(value: CodeType) -> _Parts:
    counts = value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount
    names = value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
    steps = value.co_code, value.co_exceptiontable, value.co_flags
    return _Parts("code", [*steps, *counts, *names, value.co_consts])


@_description.register
def _method(value: MethodType) -> _Parts:
    return _Parts("method", [value.__func__, value.__self__])


@_description.register
def _partial(value: partial) -> _Parts:
    return _Parts("partial", [value.func, value.args, value.keywords])


@_description.register
def _python_module(value: ModuleType) -> _Parts:
    return _Parts("python module", [value.__name__])


def _class(value: type) -> _Parts:
    return _Parts("class", [_name(value), _body(value), *value.__bases__])


def _body(cls: type) -> dict[str, Any]:
    """Return the functions and the constants in the body of a class."""
    functions = {name: _functions_in(item) for name, item in vars(cls).items()}
    constants = {
        name: item
        for name, item in vars(cls).items()
        if type(item) in _CONSTANTS and not name.startswith("__")
    }
    return constants | {name: found for name, found in functions.items() if found}


def _functions_in(item: Any) -> list[Any]:
    """Return the code and constant defaults of a function, method or property."""
    if isinstance(item, property):
        return [_functions_in(item.fget), _functions_in(item.fset)]
    function: Any = getattr(item, "__func__", item)
    if isinstance(function, FunctionType):
        function = unwrap(function)
    if not isinstance(function, FunctionType):
        return []
    named = (function.__kwdefaults__ or {}).items()
    defaults = [*enumerate(function.__defaults__ or ()), *named]
    constants = [(key, value) for key, value in defaults if type(value) in _CONSTANTS]
    return [function.__code__, constants]


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
