"""The time of transform beside that of the matrix product and the packing alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from sklhash import ITQ, LSH, PCAH, OrthoHash

from .bare_encoding import bare_encoders, layers_of
from .rows import shape_of
from .timing import time_in_turns

SCRIPT = Path(__file__).with_name("little_memory.py")
AGREEMENT = 0.999


class EncodingRow(NamedTuple):
    """Seconds for all rows and for one; `agreement` is the share of equal bits."""

    method: str
    rows: str
    packed: float
    bits: float
    bare: dict[str, float]
    one_row: float
    agreement: float


class Memory(NamedTuple):
    """Megabytes of a memory-mapped file, and those that it took to encode it."""

    file: float
    allowed: float
    taken: float


def fitted_encoders(rows: tuple[np.ndarray, np.ndarray], n_bits: int) -> dict[str, Any]:
    """Return hashers, first the one that is also measured on a file."""
    seed = {"random_state": 0}
    deep = {"max_epochs": 1, "augment": None, "device": "cpu", **seed}
    hashers = {
        "OrthoHash, linear": OrthoHash(n_bits, hidden_layer_sizes=(), **deep),
        "LSH": LSH(n_bits, **seed),
        "PCAH": PCAH(n_bits, **seed),
        "ITQ": ITQ(n_bits, max_iter=2, **seed),
        "OrthoHash, 1024 hidden": OrthoHash(n_bits, **deep),
    }
    return {name: hasher.fit(*rows) for name, hasher in hashers.items()}


def measure_encoding(
    name: str, hasher: Any, X: np.ndarray, n_turns: int, clock: Callable[[], float]
) -> EncodingRow:
    """Time `transform` of all rows, and of one of them, beside the bare encoders."""
    in_memory = not isinstance(X, np.memmap)
    bare = bare_encoders(layers_of(hasher), whole=in_memory)
    agreement = check_agreement(name, hasher, next(iter(bare.values())), X[:10_000])
    calls = {
        "packed": partial(encode, hasher, X, packed=True),
        "bits": partial(encode, hasher, X, packed=False),
        "one row": partial(encode_one_by_one, hasher, X[:100]),
        **{encoder: partial(call, X) for encoder, call in bare.items()},
    }
    seconds = time_in_turns(calls, n_turns, clock)
    return EncodingRow(
        name,
        shape_of(X) + ("" if in_memory else ", file"),
        seconds.pop("packed"),
        seconds.pop("bits"),
        one_row=seconds.pop("one row") / len(X[:100]),
        bare=seconds,
        agreement=agreement,
    )


def encode(hasher: Any, X: np.ndarray, *, packed: bool) -> np.ndarray:
    return hasher.set_params(packed=packed).transform(X)


def encode_one_by_one(hasher: Any, X: np.ndarray) -> None:
    for row in range(len(X)):
        encode(hasher, X[row : row + 1], packed=True)


def check_agreement(
    name: str, hasher: Any, bare: Callable[[np.ndarray], np.ndarray], X: np.ndarray
) -> float:
    """End the run if the bare encoder makes other codes, but for the last digits."""
    differing = np.bitwise_count(encode(hasher, X, packed=True) ^ bare(X)).sum()
    agreement = 1 - differing / (len(X) * hasher.n_bits_)
    if agreement < AGREEMENT:
        raise SystemExit(
            f"{name} and the bare product make other codes: {agreement:.4f} of the "
            "bits are the same"
        )
    return agreement


def measure_memory(hasher: Any, file: Path, allowed: float, folder: Path) -> Memory:
    """Encode a file in a process that may take `allowed` megabytes for it, no more."""
    joblib.dump(hasher.set_params(packed=True), folder / "hasher")
    finished = subprocess.run(
        [sys.executable, SCRIPT, folder / "hasher", file, str(allowed)],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # no address space set aside
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return Memory(file.stat().st_size / 2**20, allowed, json.loads(finished.stdout))
