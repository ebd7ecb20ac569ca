"""All that is measured on a set of real data."""

from dataclasses import dataclass

from .indexes import fit_hashers
from .quality import (
    QualityRow,
    exact_neighbours,
    measure_equal_bytes,
    measure_exact,
)
from .reranking import RerankRow, measure_reranking
from .sets import RealSet


@dataclass(frozen=True)
class SetResults:
    """Indexes of several widths, exact search, and re-ranking at the first width."""

    name: str
    distance: str
    sizes: dict[str, int]
    exact: QualityRow
    rows: list[QualityRow]
    reranked: list[RerankRow]


def measure_set(
    data: RealSet, widths: list[int], n_turns: int, *, with_faiss: bool
) -> SetResults:
    exact = exact_neighbours(data)
    rows, reranked = [], []
    for n_bits in widths:
        hashers = fit_hashers(data, n_bits)
        rows += measure_equal_bytes(
            data, exact, hashers, n_bits, n_turns, with_faiss=with_faiss
        )
        if n_bits == widths[0]:
            reranked += measure_reranking(data, exact, hashers, n_turns)
    reference = measure_exact(data, n_turns, with_faiss=with_faiss)
    return SetResults(data.name, data.distance, data.sizes, reference, rows, reranked)
