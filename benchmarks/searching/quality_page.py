"""The measurements on real data as tables in Markdown."""

from collections.abc import Callable

from .indexes import FROM_LABELS, INT8, OF_LEARNED, OPQ, OPQ_HALVES, PQ
from .on_sets import SetResults
from .quality import TIMED_QUERIES, K, QualityRow
from .reranking import RANKED, SINGLE_QUERIES, RerankRow
from .table import table

EQUAL_BYTES = f"""\
## Equal bytes

Codes of sklhash beside what FAISS makes of as many bytes. All have learned from the
same training rows, with random state 0 and otherwise the defaults; those that learn
from labels say so.

- **recall@{K}**: the share of the {K} exact neighbours that are among the {K} found,
  codes at equal Hamming distance being taken in index order, as `HammingNeighbors`
  returns them. With cosine as the distance all methods get rows of length one.
- **mAP**: of the labels, over the ranking of the whole database, divided by the
  relevant rows; codes ranked by Hamming distance, vectors by the distance of the query
  to what the index holds, equal distances in index order.
- **µs a query**: CPU time of the query's own encoding or rotation + that of the search
  for {K} neighbours, in batches of {TIMED_QUERIES}. The search takes longer with a
  larger database, in proportion; the encoding does not.
- **{INT8}**: as many principal components as bytes, `IndexScalarQuantizer`.
  **{PQ}**: a byte a part, `IndexPQ`. **{OPQ}**: the same behind `OPQMatrix`, a learned
  rotation to at most 8 dimensions a part. **{OPQ_HALVES}**: twice as many parts of 4
  bits and 4 dimensions behind one, `IndexPQFastScan`. **{OF_LEARNED}**: the
  real-valued codes of OrthoHash, of length one, in as many bytes as its bits take.
  **exact**: `IndexFlatL2`.
"""

RERANKING = f"""\
## Re-ranking

`HashedNeighbors` on the codes of {{n_bits}} bits: their own order, and a shortlist of
candidates ordered by a finer distance.

- **bytes an item**: the code, and the vector where it is kept.
- **mAP@{RANKED}**: of the labels among the first {RANKED} that `kneighbors` returns,
  divided by the relevant ones among them. **recall@{K}** as above.
- **µs a query**: CPU time of `kneighbors` from features to {K} neighbours, in batches
  of {TIMED_QUERIES}, and for a query a call ({SINGLE_QUERIES} of them).
"""


def make_quality_page(sets: list[SetResults]) -> str:
    parts = [EQUAL_BYTES]
    for results in sets:
        parts += [heading("Equal bytes", results), equal_bytes_table(results)]
    n_bits = 8 * sets[0].rows[0].n_bytes
    parts += [RERANKING.format(n_bits=n_bits)]
    for results in sets:
        parts += [heading("Re-ranking", results), reranking_table(results.reranked)]
    return "\n".join(parts)


def heading(title: str, results: SetResults) -> str:
    sizes = ", ".join(f"{n:,} {what}" for what, n in results.sizes.items())
    described = f"{sizes}; neighbours by {results.distance} distance."
    return f"### {title}: {results.name}\n\n{described}\n"


def equal_bytes_table(results: SetResults) -> str:
    """Return a line a method, and a column a width for each of the scores."""
    cells = {(row.name, row.n_bytes): row for row in results.rows}
    names = dict.fromkeys(name for name, _ in cells)
    widths = list(dict.fromkeys(n_bytes for _, n_bytes in cells))
    scores = [(f"recall@{K}", recall_of), ("mAP", map_of), ("µs a query", time_of)]
    if results.exact.label_map is None:
        del scores[1]
    exact, n_more = results.exact, len(widths) - 1
    head, first = ["method"], [f"{exact.name} ({exact.n_bytes:,} bytes)"]
    for title, text_of in scores:
        head += [f"{title}: {widths[0]} bytes", *(f"{x} bytes" for x in widths[1:])]
        first += [text_of(exact), *[""] * n_more]
    lines = [first]
    for name in names:
        lines.append([f"{name}, from labels" if name in FROM_LABELS else name])
        for _, text_of in scores:
            lines[-1] += [text_if(text_of, cells.get((name, w))) for w in widths]
    return table(head, lines)


def text_if(text_of: Callable[[QualityRow], str], row: QualityRow | None) -> str:
    return "" if row is None else text_of(row)


def recall_of(row: QualityRow) -> str:
    return f"{row.recall:.3f}"


def map_of(row: QualityRow) -> str:
    return f"{row.label_map:.3f}"


def time_of(row: QualityRow) -> str:
    if row.search_seconds is None:
        return ""
    parts = row.prepare_seconds, row.search_seconds
    return " + ".join(map(in_microseconds, parts))


def in_microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:,.{0 if seconds >= 1e-4 else 1}f}"


def reranking_table(rows: list[RerankRow]) -> str:
    has_labels = rows[0].label_map is not None
    head = ["hasher", "order", "candidates", "bytes an item"]
    head += [f"mAP@{RANKED}"] * has_labels + [f"recall@{K}"]
    head += ["µs a query, in a batch", "alone"]
    lines = []
    for row in rows:
        cells = [row.hasher, row.rerank or "codes", thousands(row.n_candidates)]
        cells += [f"{row.n_bytes:,}"]
        cells += [f"{row.label_map:.3f}"] if has_labels else []
        cells += [f"{row.recall:.3f}"]
        cells += [in_microseconds(x) for x in (row.batch_seconds, row.single_seconds)]
        lines.append(cells)
    return table(head, lines)


def thousands(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
