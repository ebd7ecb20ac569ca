"""Valid calls of functions of codes and of scores."""

import sklhash
from sklhash import metrics
from tests.calls.data import (
    A_LABEL_TOO_FEW,
    CODES,
    COUNTS,
    ESTIMATOR,
    FLAGS,
    NEW_X,
    NOT_CODES,
    NOT_FINITE,
    RETRIEVAL,
    WRONG_RETRIEVAL,
    Call,
    X,
    Y,
    fitted,
)

__all__ = ["FUNCTIONS"]


def score(name):
    wrong = {**WRONG_RETRIEVAL, "k": [*COUNTS, 100], "average": ["median"]}
    return Call(lambda: getattr(metrics, name), RETRIEVAL, wrong)


CODE_FUNCTIONS = {
    "pack_codes": Call(
        lambda: sklhash.pack_codes,
        {"bits": CODES},
        {"bits": [NOT_CODES, CODES[0], "bits"], "bitorder": ["middle", 1, None, []]},
    ),
    "unpack_codes": Call(
        lambda: sklhash.unpack_codes,
        {"packed": CODES, "n_bits": 64},
        {
            "packed": [CODES - 300.5, CODES[0], "bytes", CODES.astype(int) + 255],
            "n_bits": [*COUNTS, 65],
            "bitorder": ["middle", 1, None, []],
        },
    ),
    "hamming_distances": Call(
        lambda: sklhash.hamming_distances,
        {"A": CODES, "B": CODES},
        {"A": [NOT_CODES], "B": [NOT_CODES, CODES[:, 1:]], "packed": FLAGS},
    ),
    "code_statistics": Call(
        lambda: sklhash.code_statistics,
        {"codes": CODES},
        {"codes": [NOT_CODES, CODES[:0]], "packed": FLAGS, "n_bits": [*COUNTS, 7]},
    ),
}


def counts_shared(memory):
    with metrics.shared_counts(memory):
        pass


RECALL = {
    "query_codes": CODES[:5],
    "database_codes": CODES[5:],
    "query_X": X[:5],
    "database_X": X[5:],
}
SCORES = {
    name: score(name)
    for name in metrics.__all__
    if name.endswith("_score") or name == "precision_recall_curve"
}
SCORES |= {
    "neighbor_recall_score": Call(
        lambda: metrics.neighbor_recall_score,
        {**RECALL, "k": 3, "n_neighbors": 2},
        {
            **{name: WRONG_RETRIEVAL[name] for name in list(WRONG_RETRIEVAL)[:2]},
            "query_X": [NOT_FINITE[:5], X],
            "database_X": [NOT_FINITE[5:], X],
            "k": [*COUNTS, 100],
            "n_neighbors": [*COUNTS, 100],
            "metric": ["nearest"],
        },
    ),
    "quantization_error_score": Call(
        lambda: metrics.quantization_error_score,
        {"X": X},
        {"X": [NOT_FINITE], "sample_weight": [[1], [-1] * 24]},
    ),
    "retrieval_report": Call(
        lambda: metrics.retrieval_report,
        {**RETRIEVAL, "n_resamples": 9},
        {**WRONG_RETRIEVAL, "at": [[0], [1.5], "10", 10, [[1]]], "k": [100]},
    ),
    "compare_retrieval": Call(
        lambda: metrics.compare_retrieval,
        {
            "codes_a": (CODES[:5], CODES[5:]),
            "codes_b": (1 - CODES[:5, :3], CODES[5:, :3]),
            **{name: RETRIEVAL[name] for name in ("query_y", "database_y")},
            "n_resamples": 9,
        },
        {
            **{name: WRONG_RETRIEVAL[name] for name in list(WRONG_RETRIEVAL)[2:5]},
            "codes_a": [CODES, (CODES,), (NOT_CODES[:5], CODES[5:])],
            "codes_b": [CODES, (CODES,), (NOT_CODES[:5], CODES[5:])],
        },
    ),
    "make_retrieval_scorer": Call(
        lambda: metrics.make_retrieval_scorer,
        {"score": metrics.mean_average_precision_score},
        {
            "score": [{}, {"map": 3}, {3: metrics.ndcg_at_k_score}, "map"],
            "database": [(X,), X, "XY"],
            "clip_k": FLAGS,
        },
    ),
    "RetrievalScorer.__call__": Call(
        lambda: sklhash.map_scorer,
        {"estimator": fitted("LSH"), "X": X, "y": Y},
        {
            **NEW_X,
            "estimator": ESTIMATOR["estimator"],
            "y": [A_LABEL_TOO_FEW, None],
            "sample_weight": [[1], [-1] * 24],
        },
    ),
    "shared_counts": Call(lambda: counts_shared, {"memory": {}}),
}
FUNCTIONS = {**CODE_FUNCTIONS, **SCORES}
