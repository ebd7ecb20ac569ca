"""What is found with equally many bytes an item, and in which time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.pipeline import Pipeline

from .indexes import Index, code_indexes, exact_index, quantized_indexes
from .sets import RealSet
from .timing import time_in_turns
from .vectors import label_map, nearest, recall

EXACT = "exact, float32"
K = 10
TIMED_QUERIES = 100


@dataclass(frozen=True)
class QualityRow:
    """An index on a set: CPU seconds of one query in a batch, None if not timed."""

    name: str
    n_bytes: int
    recall: float
    label_map: float | None
    prepare_seconds: float | None = None
    search_seconds: float | None = None


def exact_neighbours(data: RealSet) -> np.ndarray:
    scale = data.scaler.transform
    return nearest(scale(data.query.X), scale(data.database.X), K)


def measure_exact(data: RealSet, n_turns: int, *, with_faiss: bool) -> QualityRow:
    """Score exact search, and time it as FAISS does it."""
    scale, (X, y), query = data.scaler.transform, data.database, data.query
    score = label_map(scale(query.X), scale(X), query.y, y) if data.has_labels else None
    row = partial(QualityRow, EXACT, X.itemsize * X.shape[1], 1.0, score)
    if not with_faiss:
        return row()
    seconds = query_seconds({EXACT: exact_index(data)}, data, n_turns)
    return row(*seconds[EXACT])


def measure_equal_bytes(
    data: RealSet,
    exact: np.ndarray,
    hashers: dict[str, Pipeline],
    n_bits: int,
    n_turns: int,
    *,
    with_faiss: bool,
) -> Iterator[QualityRow]:
    """Score and time codes, and what FAISS makes of as many bytes."""
    n_bytes = n_bits // 8
    indexes = dict(code_indexes(data, hashers))
    if with_faiss:
        indexes |= quantized_indexes(data, n_bytes, hashers)
    seconds = query_seconds(indexes, data, n_turns)
    for name, index in indexes.items():
        found = index.nearest(index.prepare(data.query.X), K)
        score = index.label_map(data) if data.has_labels else None
        yield QualityRow(name, n_bytes, recall(found, exact), score, *seconds[name])


def query_seconds(
    indexes: dict[str, Index], data: RealSet, n_turns: int
) -> dict[str, tuple[float, float]]:
    """Return the seconds for which a query is prepared, and searched for."""
    batch = data.query.X[:TIMED_QUERIES]
    prepare = {name: partial(x.prepare, batch) for name, x in indexes.items()}
    search = {
        name: partial(x.nearest, x.prepare(batch), K) for name, x in indexes.items()
    }
    times = time_in_turns(prepare, n_turns), time_in_turns(search, n_turns)
    return {name: tuple(x[name] / len(batch) for x in times) for name in indexes}
