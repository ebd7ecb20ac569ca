"""Kinds of plain values: numbers, containers, arrays, tables, paths and records."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

from sklhash.persistence.classes import name_of
from sklhash.persistence.values import (
    Decoder,
    Encoder,
    Kind,
    is_native,
    shortened,
)

__all__ = ["PLAIN_KINDS"]

MOST_COLLISIONS = 2**8  # of the hashes of keys, such as those of -1 and -2

_FRAMES = ("pandas", "polars")


def _is_exactly(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


def _encode_float(value: float, encoder: Encoder, name: str) -> Any:
    return value.hex()


def _decode_float(parts: Any, decoder: Decoder) -> float:
    return float.fromhex(parts)


def _encode_tuple(value: tuple[Any, ...], encoder: Encoder, name: str) -> Any:
    return encoder.encode(list(value), name)


def _decode_tuple(parts: Any, decoder: Decoder) -> tuple[Any, ...]:
    return tuple(decoder.decode(_a_list(parts)))


def _encode_dict(value: dict[Any, Any], encoder: Encoder, name: str) -> Any:
    items = {key: encoder.encode(item, f"{name}.{key}") for key, item in value.items()}
    if all(type(key) is str for key in items):
        return items
    return [[encoder.encode(key, name), item] for key, item in items.items()]


def _decode_dict(parts: Any, decoder: Decoder) -> dict[Any, Any]:
    if isinstance(parts, dict):
        return {key: decoder.decode(item) for key, item in parts.items()}
    items = [
        (decoder.decode(key), decoder.decode(item)) for key, item in _a_list(parts)
    ]
    n_hashes = len(np.unique([hash(key) for key, _ in items]))
    if len(items) - n_hashes > MOST_COLLISIONS:  # a dict of n would take n**2 steps
        raise ValueError("it has a dict whose keys were made to have the same hash.")
    return dict(items)


def _encode_scalar(value: np.generic, encoder: Encoder, name: str) -> Any:
    return [value.dtype.name, encoder.encode(value.item(), name)]


def _decode_scalar(parts: Any, decoder: Decoder) -> np.generic:
    dtype, encoded = parts
    value = decoder.decode(encoded)
    if dtype not in _SCALARS or type(value) not in (bool, int, float):
        raise ValueError(f"it has {encoded!r} for a number of dtype {dtype!r}.")
    with np.errstate(all="raise"):
        return _SCALARS[dtype](value)


_SCALARS = {
    dtype.name: dtype.type
    for dtype in map(np.dtype, np.typecodes["All"])
    if is_native(dtype)
}


def _encode_word(value: np.str_, encoder: Encoder, name: str) -> Any:
    return str(value)


def _decode_word(parts: Any, decoder: Decoder) -> np.str_:
    return np.str_(parts)


def _encode_array(y: NDArray[Any], encoder: Encoder, name: str) -> Any:
    return encoder.put(y, name)


def _decode_array(parts: Any, decoder: Decoder) -> NDArray[Any]:
    return decoder.take(parts)


def _encode_transposed(y: NDArray[Any], encoder: Encoder, name: str) -> Any:
    return encoder.put(y.T, name)


def _decode_transposed(parts: Any, decoder: Decoder) -> NDArray[Any]:
    return decoder.take(parts).T


def _is_objects(value: Any) -> bool:
    return type(value) is np.ndarray and value.dtype == object and not _is_text(value)


def _encode_objects(y: NDArray[Any], encoder: Encoder, name: str) -> Any:
    """Take the numbers out of an object array, or say that there is something else."""
    try:
        numbers = np.array(y.tolist())
        same = numbers.shape == y.shape and (numbers.astype(object) == y).all()
    except ValueError:  # ragged
        same = False
    if not same or not is_native(numbers.dtype):
        raise TypeError(
            f"{name} must hold bools, numbers or strings, all of one kind and none "
            f"missing, to be saved, got {shortened(y)}."
        )
    return encoder.put(numbers, name)


def _decode_objects(parts: Any, decoder: Decoder) -> NDArray[Any]:
    return decoder.take(parts).astype(object)


def _is_characters(value: Any) -> bool:
    return type(value) is np.ndarray and value.dtype.kind == "U"


def _encode_characters(y: NDArray[Any], encoder: Encoder, name: str) -> Any:
    characters = np.ascontiguousarray(y).astype(y.dtype.newbyteorder("="))
    return encoder.put(characters[..., None].view(np.uint32), name)


def _decode_characters(parts: Any, decoder: Decoder) -> NDArray[Any]:
    characters = decoder.take(parts)
    if characters.dtype != np.uint32:
        raise ValueError(f"it has characters of dtype {characters.dtype}.")
    if characters.size and characters.max() > sys.maxunicode:
        raise ValueError("it has characters that there are none of.")
    return characters.view(f"U{characters.shape[-1]}")[..., 0]


def _is_text(value: Any) -> bool:
    return (
        type(value) is np.ndarray
        and value.dtype.kind in "TO"
        and all(isinstance(item, str) for item in value.flat)
    )


def _encode_text(y: NDArray[Any], encoder: Encoder, name: str) -> Any:
    ids: dict[str, int] = {}
    distinct, rows = y.ravel(), np.arange(y.size)
    if y.dtype == object:  # others hold each for itself, and their files are as long
        found = (ids.setdefault(label, len(ids)) for label in y.flat)
        rows = np.fromiter(found, dtype=np.int64, count=y.size)
        distinct = np.array([*ids], dtype=object)
    encoded = [label.encode("utf-8", "surrogatepass") for label in distinct]
    ends = np.cumsum([len(label) for label in encoded], dtype=np.int64)
    text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {
        "kind": y.dtype.kind,
        "text": encoder.put(text, f"{name}.text"),
        "ends": encoder.put(ends, f"{name}.ends"),
        "ids": encoder.put(
            rows.reshape(y.shape).astype(np.min_scalar_type(len(distinct))),
            f"{name}.ids",
        ),
    }


def _decode_text(parts: Any, decoder: Decoder) -> NDArray[Any]:
    text = decoder.take(parts["text"]).tobytes()
    ends, ids = decoder.take(parts["ends"]).tolist(), decoder.take(parts["ids"])
    if parts["kind"] not in ("T", "O") or ids.dtype.kind != "u":
        raise ValueError(f"it has strings of an unknown kind, {parts['kind']!r}.")
    if [0, *ends] != sorted([0, *ends]) or ends[-1:] != [len(text)][: len(ends)]:
        raise ValueError("it has strings whose ends are out of order.")
    if parts["kind"] == "T" and np.diff([0, *ends])[ids].sum() > len(text):
        raise ValueError("it has strings that would be held more than once.")
    distinct = [
        text[begin:end].decode("utf-8", "surrogatepass")
        for begin, end in pairwise([0, *ends])
    ]
    return np.array(distinct, dtype=object)[ids].astype(parts["kind"], copy=False)


def _encode_sparse(y: Any, encoder: Encoder, name: str) -> Any:
    parts = {
        part: encoder.put(getattr(y, part), f"{name}.{part}")
        for part in ("data", "indices", "indptr")
    }
    is_matrix = isinstance(y, sparse.spmatrix)
    return {**parts, "columns": y.shape[1], "matrix": is_matrix}


def _decode_sparse(parts: Any, decoder: Decoder) -> Any:
    data, indices, indptr = (
        decoder.take(parts[part]) for part in ("data", "indices", "indptr")
    )
    if not all(
        part.ndim == 1 and part.dtype.kind in "iu" for part in (indices, indptr)
    ):
        raise ValueError("it has a sparse array whose indices are none.")
    shape = len(indptr) - 1, parts["columns"]
    kind = sparse.csr_matrix if parts["matrix"] else sparse.csr_array
    y = kind((data, indices, indptr), shape=shape)
    y.check_format(full_check=True)  # scipy writes where wrong indices point
    return y


def _library_of(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _is_frame(value: Any) -> bool:
    return _library_of(value) in _FRAMES and type(value).__name__ == "DataFrame"


def _encode_frame(frame: Any, encoder: Encoder, name: str) -> Any:
    names = list(frame.columns)
    return {
        "library": _library_of(frame),
        "names": encoder.encode(names, f"{name}.columns"),
        "columns": [
            encoder.encode(frame[column].to_numpy(), f"{name}.{i}")
            for i, column in enumerate(names)
        ],
    }


def _decode_frame(parts: Any, decoder: Decoder) -> Any:
    names, columns = decoder.decode(parts["names"]), decoder.decode(parts["columns"])
    if not all(isinstance(column, np.ndarray) for column in columns):
        raise ValueError("it has a table whose columns are not all arrays.")
    if parts["library"] == "pandas":
        import pandas

        return pandas.DataFrame(dict(zip(names, columns, strict=True)))
    if parts["library"] == "polars":
        import polars

        return polars.DataFrame(dict(zip(names, columns, strict=True)))
    raise ValueError(f"it has a table of {parts['library']!r}.")


def _encode_path(value: PurePath, encoder: Encoder, name: str) -> Any:
    return str(value)


def _decode_path(parts: Any, decoder: Decoder) -> Path:
    return Path(parts)


def _encode_generator(value: Any, encoder: Encoder, name: str) -> Any:
    return encoder.encode(value.get_state(legacy=False), name)


def _decode_generator(parts: Any, decoder: Decoder) -> np.random.RandomState:
    state = decoder.decode(parts)
    key, place = state["state"]["key"], state["state"]["pos"]
    fits = key.shape == (624,) and key.dtype == np.uint32 and 0 <= place <= 624
    if not fits:  # numpy reads beyond the key
        raise ValueError("it has a RandomState whose state is none.")
    generator = np.random.RandomState(0)
    generator.set_state(state)
    return generator


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _encode_record(value: Any, encoder: Encoder, name: str) -> Any:
    contents = {
        field.name: encoder.encode(getattr(value, field.name), f"{name}.{field.name}")
        for field in fields(value)
    }
    return {"class": name_of(type(value), name), "fields": contents}


def _decode_record(parts: Any, decoder: Decoder) -> Any:
    kind = decoder.classes.find(parts["class"])
    if not is_dataclass(kind) or issubclass(kind, BaseEstimator):  # type: ignore[arg-type]
        raise ValueError(f"it has fields of {parts['class']!r}, which has none.")
    contents = {name: decoder.decode(item) for name, item in parts["fields"].items()}
    return kind(**contents)  # type: ignore[operator]


def _is_named(value: Any) -> bool:
    return callable(value) and hasattr(value, "__name__")


def _encode_named(value: Any, encoder: Encoder, name: str) -> Any:
    return name_of(value, name)


def _decode_named(parts: Any, decoder: Decoder) -> Any:
    return decoder.classes.find(parts)


def _a_list(parts: Any) -> list[Any]:
    if not isinstance(parts, list):
        raise ValueError(f"it has {parts!r} where a list is wanted.")
    return parts


def _is_native_array(value: Any) -> bool:
    return type(value) in (np.ndarray, np.memmap) and is_native(value.dtype)


def _is_in_columns(value: Any) -> bool:
    """Tell what keeps its order in memory, on which the bits of products depend."""
    return _is_native_array(value) and list(value.strides) != sorted(
        value.strides, reverse=True
    )


def _is_native_scalar(value: Any) -> bool:
    return isinstance(value, np.generic) and is_native(value.dtype)


def _is_csr(value: Any) -> bool:
    return sparse.issparse(value) and value.format == "csr"


PLAIN_KINDS = [
    Kind("float", _is_exactly(float), _encode_float, _decode_float),
    Kind("tuple", _is_exactly(tuple), _encode_tuple, _decode_tuple),
    Kind("dict", _is_exactly(dict), _encode_dict, _decode_dict),
    Kind("scalar", _is_native_scalar, _encode_scalar, _decode_scalar),
    Kind("str_", _is_exactly(np.str_), _encode_word, _decode_word),
    Kind("transposed", _is_in_columns, _encode_transposed, _decode_transposed),
    Kind("array", _is_native_array, _encode_array, _decode_array),
    Kind("characters", _is_characters, _encode_characters, _decode_characters),
    Kind("text", _is_text, _encode_text, _decode_text),
    Kind("objects", _is_objects, _encode_objects, _decode_objects),
    Kind("csr", _is_csr, _encode_sparse, _decode_sparse),
    Kind("frame", _is_frame, _encode_frame, _decode_frame),
    Kind("path", lambda value: isinstance(value, PurePath), _encode_path, _decode_path),
    Kind(
        "RandomState",
        _is_exactly(np.random.RandomState),
        _encode_generator,
        _decode_generator,
    ),
    Kind("record", _is_record, _encode_record, _decode_record),
    Kind("named", _is_named, _encode_named, _decode_named),
]
