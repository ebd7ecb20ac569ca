"""Scores of codes and labels in any form are those of a plain loop, or refused."""

import numpy as np
from hypothesis import strategies as st

from sklhash import metrics
from sklhash.metrics import (
    neighbor_recall_score,
    precision_recall_curve,
    precision_within_radius_score,
    quantization_error_score,
    retrieval_report,
)
from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, attempt, check
from tests.fuzz.strategies import (
    bit_matrices,
    choices,
    class_ids,
    class_labels,
    codes,
    features,
    flags,
    formed,
    indicators,
    label_sets,
    seeds,
    vocabularies,
    whole_numbers,
)
from tests.metrics import naive

SCORES = {
    "precision_at_k_score": (naive.precision, naive.expected_precision),
    "recall_at_k_score": (naive.recall, naive.expected_recall),
    "ndcg_at_k_score": (naive.ndcg, naive.expected_ndcg),
    "average_cumulative_gain_score": (
        naive.cumulative_gain,
        naive.expected_cumulative_gain,
    ),
    "mean_reciprocal_rank_score": (
        naive.reciprocal_rank,
        naive.expected_reciprocal_rank,
    ),
    "r_precision_score": (naive.r_precision, naive.expected_r_precision),
}
WITHOUT_EMPTY = ("precision_at_k_score", "average_cumulative_gain_score")
AVERAGES = st.sampled_from([Given("macro", "macro"), Given(None, NONE)])


def retrievals(draw, **rows):
    """Codes and labels of queries and a database, and whether codes are packed."""
    right = draw(st.integers(0, 4)) > 0 or None
    database = bit_matrices(draw, min_rows=0 if right is None else 1, **rows)
    n_bits = None if right is None and draw(st.booleans()) else database.shape[1]
    queries = bit_matrices(draw, n_bits, min_rows=0 if right is None else 1, max_rows=4)
    packed = flags(draw)
    n_rows = [len(queries), len(database)]
    if right is None and draw(st.booleans()):
        n_rows[draw(st.integers(0, 1))] += 1
    if draw(st.booleans()):
        vocabulary = vocabularies(draw)
        y = [class_ids(draw, n, n) for n in n_rows]
        y = [class_labels(draw, of, vocabulary, right) for of in y]
    else:
        n_labels = draw(st.sampled_from([2, 3, 64, 65]))
        y = [label_sets(draw, n_labels, n, n) for n in n_rows]
        y = [indicators(draw, of, right) for of in y]
    is_packed = bool(packed.says)
    return {
        "query_codes": codes(draw, queries, is_packed, right),
        "database_codes": codes(draw, database, is_packed, right),
        "query_y": y[0],
        "database_y": y[1],
        "packed": packed,
    }


def n_rows(given):
    return 1 if given.says is None else len(given.says)


def own_rows(draw, retrieval):
    """What `exclude_self` may be."""
    n = [n_rows(retrieval[of]) for of in ("query_codes", "database_codes")]
    kind = draw(st.integers(0, 9))
    if kind < 4:
        return Given(False, NONE)
    if kind == 4:
        says = np.arange(n[0]) if n[0] == n[1] else REFUSED
        return Given(True, says)
    if kind < 9:
        rng = np.random.default_rng(draw(seeds))
        if n[1] == 0:
            return Given(False, NONE)
        given = formed(draw, rng.integers(0, n[1], n[0]))
        return given._replace(doubtful=given.doubtful or n[0] == 0)
    wrong = [None, "yes", [-1] * n[0], [n[1]] * n[0], [[0]] * n[0], [0.5] * n[0], {}]
    return Given(draw(st.sampled_from(wrong)))


def weights(draw, n):
    """What `sample_weight` may be."""
    kind = draw(st.integers(0, 9))
    if kind < 6:
        return Given(None, NONE)
    array = np.random.default_rng(draw(seeds)).integers(0, 3, n) / 2
    if kind < 9:
        given = formed(draw, array)
        return given._replace(doubtful=given.doubtful or n == 0)
    wrong = [[-1.0] * n, [np.nan] * n, [1.0] * (n + 1), [[1.0]] * n, "abc", ["a"] * n]
    return Given(draw(st.sampled_from(wrong)), None, n == 0)


def rankings_of(query_codes, database_codes, query_y, database_y, packed, own):
    """Return the distances and labels shared of each query, or REFUSED."""
    sizes = len(query_codes), len(database_codes)
    widths = [M.shape[1] for M in (query_codes, database_codes)]
    if packed:
        widths = [-(-width // 8) for width in widths]
    lengths = len(query_y), len(database_y)
    kinds = [y.shape[1:] for y in (query_y, database_y)]
    if widths[0] != widths[1] or 0 in sizes or sizes != lengths or len(set(kinds)) > 1:
        return REFUSED
    if own is REFUSED or (own is not None and sizes[1] < 2):
        return REFUSED
    if query_codes.shape[1] != database_codes.shape[1]:  # packed: zeros behind
        width = 8 * widths[0]
        query_codes, database_codes = (
            np.pad(M, ((0, 0), (0, width - M.shape[1])))
            for M in (query_codes, database_codes)
        )
    judged = naive.judged(query_codes, database_codes, query_y, database_y)
    if own is None:
        return judged
    return [
        (np.delete(d, row), np.delete(s, row))
        for (d, s), row in zip(judged, own, strict=True)
    ]


def averaged(scores, empty, average, sample_weight):
    scores = np.array(scores, dtype=float)
    weights = np.ones(len(scores)) if sample_weight is None else sample_weight
    if weights.shape != scores.shape or not weights.any():
        return REFUSED
    if empty == "raise" and np.isnan(scores).any():
        return REFUSED
    if empty == "zero":
        scores = np.nan_to_num(scores)
    if average is None:
        return scores
    counted = ~np.isnan(scores)
    total = weights[counted].sum()
    return scores[counted] @ weights[counted] / total if total else np.nan


def close(answer, expected):
    np.testing.assert_allclose(answer, expected, rtol=1e-6, atol=1e-9)


def options(draw, retrieval, *, with_k=True):
    n = n_rows(retrieval["database_codes"])
    chosen = {
        "ties": choices(draw, "expected", "index"),
        "average": draw(AVERAGES),
        "exclude_self": own_rows(draw, retrieval),
        "sample_weight": weights(draw, n_rows(retrieval["query_codes"])),
    }
    if with_k:
        chosen["k"] = whole_numbers(draw, 1, st.integers(1, max(1, n)), optional=True)
        if draw(st.booleans()):
            chosen["k"] = Given(None, NONE)
    return chosen


@fuzz(2, data=st.data())
def test_average_precision_is_that_of_a_loop(data):
    retrieval = retrievals(data.draw, max_rows=9)
    chosen = options(data.draw, retrieval)
    weighted = data.draw(st.booleans())
    normalize = choices(data.draw, "hits", "relevant", "min")
    empty = choices(data.draw, "zero", "skip", "raise")

    def oracle(
        k, ties, average, exclude_self, sample_weight, normalize, empty, **retrieval
    ):
        rankings = rankings_of(**retrieval, own=exclude_self)
        if rankings is REFUSED:
            return REFUSED
        n_items = len(rankings[0][0])
        k = n_items if k is None else k
        if k > n_items:
            return REFUSED
        scores = []
        for distances, shared in rankings:
            if ties == "index":
                ranking = shared[naive.stable_order(distances)]
                score = naive.average_precision(
                    ranking, k, normalize, weighted=weighted
                )
            else:
                score = naive.expected_average_precision(
                    distances, shared, k, normalize, weighted=weighted
                )
            scores.append(score)
        return averaged(scores, empty, average, sample_weight)

    name = "mean_average_precision_score"
    score = getattr(metrics, f"weighted_{name}" if weighted else name)
    check(score, oracle, close, **retrieval, **chosen, normalize=normalize, empty=empty)


@fuzz(2, data=st.data())
def test_scores_are_those_of_a_loop(data):
    name = data.draw(st.sampled_from(sorted(SCORES)))
    retrieval = retrievals(data.draw)
    with_k = name != "r_precision_score"
    chosen = options(data.draw, retrieval, with_k=with_k)
    if name not in WITHOUT_EMPTY:
        chosen["empty"] = choices(data.draw, "zero", "skip", "raise")
    by_index, expected = SCORES[name]

    def oracle(
        ties, average, exclude_self, sample_weight, k=None, empty="zero", **retrieval
    ):
        rankings = rankings_of(**retrieval, own=exclude_self)
        if rankings is REFUSED:
            return REFUSED
        n_items = len(rankings[0][0])
        if k is not None and k > n_items:
            return REFUSED
        at = [n_items if k is None else k] if with_k else []
        scores = [
            by_index(shared[naive.stable_order(distances)], *at)
            if ties == "index"
            else expected(distances, shared, *at)
            for distances, shared in rankings
        ]
        return averaged(scores, empty, average, sample_weight)

    check(getattr(metrics, name), oracle, close, **retrieval, **chosen)


@fuzz(1, data=st.data())
def test_precision_within_a_radius_is_that_of_a_loop(data):
    retrieval = retrievals(data.draw)
    chosen = options(data.draw, retrieval, with_k=False)
    del chosen["ties"]
    radius = whole_numbers(data.draw, 0, st.integers(0, 5))
    empty = choices(data.draw, "zero", "skip", "raise")

    def oracle(radius, average, exclude_self, sample_weight, empty, **retrieval):
        rankings = rankings_of(**retrieval, own=exclude_self)
        if rankings is REFUSED:
            return REFUSED
        scores = [
            np.mean(shared[d <= radius] > 0) if (d <= radius).any() else np.nan
            for d, shared in rankings
        ]
        return averaged(scores, empty, average, sample_weight)

    check(
        precision_within_radius_score,
        oracle,
        close,
        **retrieval,
        **chosen,
        radius=radius,
        empty=empty,
    )


@fuzz(1, data=st.data())
def test_curves_end_where_everything_is_found(data):
    retrieval = retrievals(data.draw)
    by = choices(data.draw, "radius", "rank")
    ties = choices(data.draw, "expected", "index")

    def oracle(by, ties, **retrieval):
        rankings = rankings_of(**retrieval, own=None)
        if rankings is REFUSED:
            return REFUSED
        precision = np.mean([np.mean(shared > 0) for _, shared in rankings])
        return precision, np.mean([(shared > 0).any() for _, shared in rankings])

    def compare(answer, expected):
        precision, recall, points = answer
        assert len(precision) == len(recall) == len(points)
        np.testing.assert_allclose([precision[-1], recall[-1]], expected, atol=1e-9)
        assert (np.diff(recall) >= 0).all()

    check(precision_recall_curve, oracle, compare, **retrieval, by=by, ties=ties)


@fuzz(0.2, data=st.data())
def test_a_report_has_the_scores_that_functions_give(data):
    retrieval = retrievals(data.draw)
    answer = attempt(
        retrieval_report,
        **{name: a.value for name, a in retrieval.items()},
        at=data.draw(st.sampled_from([(1,), [2, 1], (), [10**6]])),
        confidence_level=data.draw(st.sampled_from([None, 0.5])),
        n_resamples=3,
        output_dict=True,
    )
    ranked = (
        rankings_of(**{name: a.says for name, a in retrieval.items()}, own=None)
        if all(a.says is not None for a in retrieval.values())
        else REFUSED
    )
    if ranked is REFUSED:
        assert answer is REFUSED
    elif not any(a.doubtful for a in retrieval.values()):
        scores = {name: entry["score"] for name, entry in answer["scores"].items()}
        n = len(ranked[0][0])
        expected = [naive.expected_average_precision(*ranking, n) for ranking in ranked]
        close(
            scores["mean_average_precision"], averaged(expected, "zero", "macro", None)
        )


@fuzz(0.3, data=st.data())
def test_neighbor_recall_is_that_of_a_loop(data):
    right = data.draw(st.integers(0, 3)) > 0 or None
    n, width = data.draw(st.integers(1, 9)), data.draw(st.sampled_from([1, 3]))
    n_queries = data.draw(st.integers(1, 3))
    database = bit_matrices(data.draw, 9, n, n)
    queries = bit_matrices(data.draw, 9, n_queries, n_queries)
    X = features(data.draw, n, width, right, largest=1e308)
    query_X = features(data.draw, n_queries, width, right, largest=1e308)

    def oracle(query_codes, database_codes, query_X, database_X, k, n_neighbors):
        if max(k, n_neighbors) > n:
            return REFUSED
        away = np.square(query_X[:, None].astype(float) - database_X.astype(float)).sum(
            axis=2
        )
        ordered = np.sort(away, axis=1)
        gap = np.diff(ordered, axis=1)[:, n_neighbors - 1 : n_neighbors]
        if (gap <= 1e-3 * ordered[:, -1:]).any():  # as near: it is up to scikit-learn
            return NONE
        scores = []
        for code, row in zip(query_codes, away, strict=True):
            distances = np.count_nonzero(code != database_codes, axis=1)
            nearest = np.zeros(n, dtype=int)
            nearest[np.argsort(row)[:n_neighbors]] = 1
            scores.append(naive.expected_recall(distances, nearest, k))
        return np.mean(scores)

    def compare(answer, expected):
        if expected is NONE:
            assert 0 <= answer <= 1
        else:
            close(answer, expected)

    check(
        neighbor_recall_score,
        oracle,
        compare,
        query_codes=codes(data.draw, queries, right=right),
        database_codes=codes(data.draw, database, right=right),
        query_X=query_X,
        database_X=X,
        k=whole_numbers(data.draw, 1, st.integers(1, n)),
        n_neighbors=whole_numbers(data.draw, 1, st.integers(1, n)),
    )


@fuzz(3, data=st.data())
def test_quantization_error_is_that_of_a_loop(data):
    X = features(data.draw, largest=1e308)
    metric = choices(data.draw, "euclidean", "cosine")

    def oracle(X, metric, average):
        X = np.asarray(X, dtype=float)
        signs = np.where(X > 0, 1.0, -1.0)
        if metric == "euclidean":
            errors = np.square(X - signs).mean(axis=1)
        else:
            norms = np.sqrt(np.square(X).sum(axis=1) * X.shape[1])
            cosines = np.divide(
                (X * signs).sum(axis=1), norms, out=0 * norms, where=norms > 0
            )
            errors = 1 - cosines
        return errors.mean() if average else errors

    average = data.draw(AVERAGES)
    if "sparse" in type(X.value).__module__:
        X = Given(X.value)
    check(quantization_error_score, oracle, close, X=X, metric=metric, average=average)
