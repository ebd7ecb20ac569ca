import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import UndefinedMetricWarning

from sklhash import LSH, pack_codes
from sklhash.metrics import (
    average_cumulative_gain_score,
    mean_average_precision_score,
    mean_reciprocal_rank_score,
    ndcg_at_k_score,
    precision_at_k_score,
    precision_within_radius_score,
    r_precision_score,
    recall_at_k_score,
    retrieval_report,
    weighted_mean_average_precision_score,
)
from sklhash.metrics.relevance import Relevance


def classes(n_bits=16):
    X, y = load_digits(return_X_y=True)
    codes = LSH(n_bits, random_state=0).fit_transform(X[:600])
    return codes[:150], codes[150:], y[:150], y[150:600]


def labels(n_bits=16):
    X, y = make_multilabel_classification(
        500, n_classes=6, n_labels=2, allow_unlabeled=False, random_state=0
    )
    codes = LSH(n_bits, random_state=0).fit_transform(X)
    return codes[:100], codes[100:], y[:100], y[100:]


def values(report):
    return {name: entry["score"] for name, entry in report["scores"].items()}


@pytest.mark.parametrize("ties", ["expected", "index"])
@pytest.mark.parametrize("retrieval", [classes(), labels()])
def test_a_report_holds_what_each_score_gives(retrieval, ties):
    report = retrieval_report(
        *retrieval,
        k=80,
        at=[5, 20],
        radius=3,
        ties=ties,
        output_dict=True,
        random_state=0,
    )
    given = {"ties": ties}
    within, empty = precision_within_radius_score(
        *retrieval, radius=3, return_empty_share=True
    )
    expected = {
        "mean_average_precision": mean_average_precision_score(
            *retrieval, k=80, **given
        ),
        "mean_average_precision_optimistic": mean_average_precision_score(
            *retrieval, k=80, ties="optimistic"
        ),
        "mean_average_precision_pessimistic": mean_average_precision_score(
            *retrieval, k=80, ties="pessimistic"
        ),
        "precision_within_radius_3": within,
        "empty_share_within_radius_3": empty,
        "mean_reciprocal_rank": mean_reciprocal_rank_score(*retrieval, **given),
        "r_precision": r_precision_score(*retrieval, **given),
    }
    at_ranks = {
        "precision": precision_at_k_score,
        "recall": recall_at_k_score,
        "ndcg": ndcg_at_k_score,
    }
    if retrieval[2].ndim == 2:
        at_ranks["average_cumulative_gain"] = average_cumulative_gain_score
        expected["weighted_mean_average_precision"] = (
            weighted_mean_average_precision_score(*retrieval, k=80, **given)
        )
    for name, score in at_ranks.items():
        for k in (5, 20):
            expected[f"{name}_at_{k}"] = score(*retrieval, k=k, **given)
    assert values(report) == pytest.approx(expected, rel=1e-12)


def test_everything_comes_from_one_count(monkeypatch):
    counted = []
    count = Relevance._count
    monkeypatch.setattr(
        Relevance, "_count", lambda *args: counted.append(1) or count(*args)
    )
    retrieval_report(*labels(), ties="index")
    assert len(counted) == 1


def test_a_report_states_its_protocol():
    codes = [pack_codes(of) for of in classes(12)[:2]]
    report = retrieval_report(
        *codes, *classes(12)[2:], k=30, packed=True, output_dict=True, n_resamples=20
    )
    assert report["protocol"] == {
        "protocol": None,
        "k": 30,
        "ties": "expected",
        "normalize": "hits",
        "empty": "zero",
        "radius": 2,
        "n_queries": 150,
        "n_database": 450,
        "n_bits": 16,
        "multilabel": False,
        "exclude_self": False,
        "weighted": False,
        "confidence_level": 0.95,
        "n_resamples": 20,
    }


def test_the_text_tells_scores_and_protocol():
    _, database, _, database_y = classes()
    text = retrieval_report(
        database,
        database,
        database_y,
        database_y,
        exclude_self=True,
        protocol="hashnet",
        at=[7, 10_000],
        sample_weight=np.ones(450),
        confidence_level=0.9,
        n_resamples=30,
        digits=4,
        random_state=0,
    )
    score = mean_average_precision_score(
        database,
        database,
        database_y,
        database_y,
        exclude_self=True,
        protocol="hashnet",
    )
    lines = text.splitlines()
    assert "90 % interval" in lines[0]
    assert lines[2].split()[:2] == ["mAP@all", f"{score:.4f}"]
    assert any(line.startswith("NDCG@7 ") for line in lines)
    assert "10000" not in text
    told = " ".join(text.split())
    assert (
        "mAP over all items, divided by the relevant items found as in 'hashnet'; ties "
        "in database order; queries that a score is not defined for are left out; "
        "precision within a radius where there is nothing counts 0; queries weighted. "
        "450 queries, 450 database items, each query without itself, 16 bits, classes. "
        "Intervals: bootstrap over queries, 30 samples."
    ) in told
    assert max(map(len, lines)) <= 80


def test_columns_are_as_wide_as_their_headings():
    text = retrieval_report(*classes(), digits=1, n_resamples=20, random_state=0)
    heading, _, first, *_ = text.splitlines()
    assert heading.split(maxsplit=1) == ["score", "95 % interval"]
    assert len(heading) == len(first)


def test_packed_codes_have_the_bits_that_are_said():
    query, database = (pack_codes(of) for of in classes(12)[:2])
    y = classes(12)[2:]
    options = {"packed": True, "output_dict": True, "n_resamples": 5}
    report = retrieval_report(query, database, *y, n_bits=12, **options)
    assert report["protocol"]["n_bits"] == 12
    with pytest.raises(ValueError, match="padding bits"):
        retrieval_report(~query, database, *y, n_bits=12, **options)


def test_there_are_no_bounds_where_the_order_decides_who_is_left_out():
    report = retrieval_report(
        *classes(), k=5, protocol="hashnet", at=[], output_dict=True
    )
    assert "mean_average_precision_optimistic" not in report["scores"]
    assert "precision_at_10" not in report["scores"]
    with pytest.raises(ValueError, match='is no bound .* empty="skip" wants k=None'):
        mean_average_precision_score(*classes(), k=5, ties="optimistic", empty="skip")


def test_few_queries_with_a_relevant_item_have_an_interval():
    query, database, query_y, database_y = classes()
    query_y = np.where(np.arange(150) < 3, query_y, 99)[:12]
    report = retrieval_report(
        query[:12], database, query_y, database_y, empty="skip", output_dict=True
    )
    entry = report["scores"]["mean_average_precision"]
    assert entry["low"] <= entry["score"] <= entry["high"]


def test_without_a_level_there_are_no_intervals():
    report = retrieval_report(*classes(), confidence_level=None, output_dict=True)
    assert all(list(entry) == ["score"] for entry in report["scores"].values())
    text = retrieval_report(*classes(), confidence_level=None)
    assert "interval" not in text
    assert "bootstrap" not in text


def test_intervals_are_those_of_scipys_bootstrap():
    retrieval = classes()
    report = retrieval_report(
        *retrieval, n_resamples=4000, random_state=0, output_dict=True
    )
    each = mean_average_precision_score(*retrieval, average=None)
    expected = stats.bootstrap(
        (each,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    found = report["scores"]["mean_average_precision"]
    width = expected.high - expected.low
    assert found["low"] == pytest.approx(expected.low, abs=width / 20)
    assert found["high"] == pytest.approx(expected.high, abs=width / 20)


def test_the_same_random_state_gives_the_same_intervals():
    before = np.random.mtrand._rand.get_state()[1].copy()
    first, second, other = (
        retrieval_report(*classes(), random_state=seed) for seed in (0, 0, None)
    )
    assert first == second != other
    after = np.random.mtrand._rand.get_state()[1]
    np.testing.assert_array_equal(before, after)


def test_queries_left_out_are_left_out_of_the_intervals():
    query, database, query_y, database_y = classes()
    query_y = query_y.copy()
    query_y[:20] = 77
    report = retrieval_report(
        query,
        database,
        query_y,
        database_y,
        empty="skip",
        output_dict=True,
        random_state=0,
    )
    expected = mean_average_precision_score(
        query[20:], database, query_y[20:], database_y
    )
    found = report["scores"]["mean_average_precision"]
    assert found["score"] == pytest.approx(expected)
    assert found["low"] < expected < found["high"]


def test_weights_count():
    query, database, query_y, database_y = classes()
    weights = np.r_[np.ones(50), np.zeros(100)]
    weighted = retrieval_report(
        *classes(), sample_weight=weights, output_dict=True, random_state=0
    )
    part = retrieval_report(
        query[:50], database, query_y[:50], database_y, output_dict=True, random_state=0
    )
    assert values(weighted) == pytest.approx(values(part))


def test_empty_queries_are_refused_or_warned_of():
    query, database, query_y, database_y = classes()
    with pytest.raises(ValueError, match="150 of 150 queries have no relevant item"):
        retrieval_report(query, database, query_y + 50, database_y, empty="raise")
    with pytest.warns(UndefinedMetricWarning, match="Every query has no relevant"):
        report = retrieval_report(
            query, database, query_y + 50, database_y, empty="skip", output_dict=True
        )
    assert np.isnan(report["scores"]["mean_average_precision"]["score"])
    assert np.isnan(report["scores"]["mean_average_precision"]["low"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 451}, "k must be at most the 450"),
        ({"at": [0]}, r"at must be a sequence of ranks.*got \[0\]"),
        ({"at": [2.5]}, "at must be a sequence of ranks"),
        (
            {"protocol": "hashnet", "ties": "index", "empty": "raise"},
            "sets empty='skip'",
        ),
        ({"protocol": "hashnets"}, "'protocol' parameter"),
        ({"confidence_level": 1.0}, "'confidence_level' parameter"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        retrieval_report(*classes(), **options)
