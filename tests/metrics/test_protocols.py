"""Each protocol against its evaluation code's rule, written out query by query.

A rule gets a query's distances, the relevance of the items and k, None if it is not
given, and returns the query's average precision, or None if it is not counted.
"""

import numpy as np
import pytest

from sklhash.metrics import mean_average_precision_score
from sklhash.metrics.protocols import PROTOCOLS
from tests.metrics import naive
from tests.metrics.naive import judged, random_retrieval


def ranked(distances, relevant):
    return [bool(relevant[i]) for i in naive.stable_order(distances)]


def precisions_at_hits(ranking):
    n_hits, precisions = 0, []
    for rank, is_relevant in enumerate(ranking, start=1):
        if is_relevant:
            n_hits += 1
            precisions.append(n_hits / rank)
    return precisions


def zero_without_a_hit(distances, relevant, k):
    precisions = precisions_at_hits(ranked(distances, relevant)[:k])
    return sum(precisions) / len(precisions) if precisions else 0.0


def dropped_without_a_hit(distances, relevant, k):
    precisions = precisions_at_hits(ranked(distances, relevant)[:k])
    return sum(precisions) / len(precisions) if precisions else None


def dropped_if_nothing_is_relevant(distances, relevant, k):
    if not any(relevant):
        return None
    return zero_without_a_hit(distances, relevant, k)


def without_the_farthest(distances, relevant, k):
    """For these codes, k = -1 means all."""
    k = -1 if k is None else k
    precisions = precisions_at_hits(ranked(distances, relevant)[0:k])
    return sum(precisions) / len(precisions) if precisions else 0.0


def at_1000(distances, relevant, k):
    return zero_without_a_hit(distances, relevant, 1000 if k is None else k)


def by_what_k_could_hold(distances, relevant, k):
    n_best = sum(relevant) if k is None else min(sum(relevant), k)
    precisions = precisions_at_hits(ranked(distances, relevant)[:k])
    return sum(precisions) / n_best if n_best else 0.0


RULES = {
    "orthohash": zero_without_a_hit,
    "hashnet": dropped_without_a_hit,
    "hashnet-caffe": dropped_if_nothing_is_relevant,
    "deephash": dropped_without_a_hit,
    "dsdh": dropped_without_a_hit,
    "dpsh": without_the_farthest,
    "cibhash": without_the_farthest,
    "swuxyj": without_the_farthest,
    "treezzz": without_the_farthest,
    "nsh": at_1000,
    "ninh": by_what_k_could_hold,
}
WITH_EXPECTED_TIES = "dsrh"


def queries_with_and_without_a_hit(n_database=1200, n_bits=8, n_labels=0):
    """Two queries lack a relevant item; that of another is the farthest of all."""
    query, database, query_y, database_y = random_retrieval(
        12, n_database, n_bits, n_labels=n_labels
    )
    if n_labels:
        query_y[:2] = 0
        return query, database, query_y, database_y
    query_y[:3] = [97, 98, 99]
    database[-1] = 1 - query[2]
    database_y[-1] = 99
    return query, database, query_y, database_y


def mean_by_rule(rule, data, k):
    scores = [rule(distances, shared > 0, k) for distances, shared in judged(*data)]
    return np.mean([score for score in scores if score is not None])


def test_every_protocol_has_a_rule_here():
    assert {*RULES, WITH_EXPECTED_TIES} == set(PROTOCOLS)


@pytest.mark.parametrize("n_labels", [0, 9], ids=["classes", "labels"])
@pytest.mark.parametrize("k", [None, 3, 100, 1100, 1200])
@pytest.mark.parametrize("protocol", RULES)
def test_a_protocol_is_the_rule_of_its_code(protocol, k, n_labels):
    data = queries_with_and_without_a_hit(n_labels=n_labels)
    score = mean_average_precision_score(*data, k=k, protocol=protocol)
    expected = mean_by_rule(RULES[protocol], data, k)
    assert score == pytest.approx(expected, rel=1e-12)


def test_the_rules_differ_where_their_codes_do():
    data = queries_with_and_without_a_hit()
    means = {rule: mean_by_rule(rule, data, 100) for rule in set(RULES.values())}
    same = means.pop(without_the_farthest), means.pop(at_1000)
    assert same == (means[zero_without_a_hit],) * 2
    assert len(set(means.values())) == len(means)
    means = {rule: mean_by_rule(rule, data, None) for rule in set(RULES.values())}
    assert means[zero_without_a_hit] == means[by_what_k_could_hold]
    assert len(set(means.values())) == len(means) - 2


@pytest.mark.parametrize("k", [None, 2, 4])
def test_dsrh_averages_over_random_orders_of_ties(k):
    """Queries of which every order has no hit are left out."""
    query, database, query_y, database_y = queries_with_and_without_a_hit(7, 2)
    data = query, database, query_y, database_y
    scores = []
    for distances, shared in judged(*data):
        in_order = [
            precisions_at_hits(shared[order][:k])
            for order in naive.all_orders(distances)
        ]
        if any(in_order):
            scores.append(np.mean([np.mean(p) if p else 0.0 for p in in_order]))
    assert 0 < len(scores) < len(query)
    score = mean_average_precision_score(*data, k=k, protocol="dsrh")
    assert score == pytest.approx(np.mean(scores), rel=1e-12)


def test_nsh_takes_all_of_a_database_smaller_than_its_k():
    data = queries_with_and_without_a_hit(n_database=300)
    score = mean_average_precision_score(*data, protocol="nsh")
    assert score == mean_average_precision_score(*data, protocol="nsh", k=300)
    expected = mean_by_rule(zero_without_a_hit, data, None)
    assert score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_k_beyond_the_database_is_refused(protocol):
    data = queries_with_and_without_a_hit(n_database=30)
    with pytest.raises(ValueError, match="at most the 30 item"):
        mean_average_precision_score(*data, k=31, protocol=protocol)


@pytest.mark.parametrize("protocol", RULES)
def test_the_query_is_left_out_before_the_rule(protocol):
    query, _, query_y, _ = queries_with_and_without_a_hit()
    data = query, query, query_y, query_y
    scores = [
        RULES[protocol](np.delete(distances, i), np.delete(shared, i) > 0, None)
        for i, (distances, shared) in enumerate(judged(*data))
    ]
    expected = np.mean([score for score in scores if score is not None])
    score = mean_average_precision_score(*data, protocol=protocol, exclude_self=True)
    assert score == pytest.approx(expected, rel=1e-12)


SETTINGS = {
    "orthohash": ("index", "hits", "zero"),
    "hashnet": ("index", "hits", "skip"),
    "hashnet-caffe": ("index", "hits", "skip"),
    "deephash": ("index", "hits", "skip"),
    "dsdh": ("index", "hits", "skip"),
    "dpsh": ("index", "hits", "zero"),
    "cibhash": ("index", "hits", "zero"),
    "swuxyj": ("index", "hits", "zero"),
    "treezzz": ("index", "hits", "zero"),
    "nsh": ("index", "hits", "zero"),
    "ninh": ("index", "min", "zero"),
    "dsrh": ("expected", "hits", "skip"),
}
VALUES = {
    "ties": ("index", "optimistic", "pessimistic"),
    "normalize": ("relevant", "min"),
    "empty": ("skip", "raise"),
}


@pytest.mark.parametrize("protocol", SETTINGS)
def test_options_that_a_protocol_sets_otherwise_are_refused(protocol):
    """Defaults cannot be told from options that are not given."""
    data = queries_with_and_without_a_hit(n_database=30)
    score = mean_average_precision_score(*data, protocol=protocol)
    for (name, values), own in zip(VALUES.items(), SETTINGS[protocol], strict=True):
        for value in values:
            if value == own:
                options = {name: value, "protocol": protocol}
                assert mean_average_precision_score(*data, **options) == score
                continue
            message = f"protocol='{protocol}' sets {name}='{own}', got {name}='{value}'"
            with pytest.raises(ValueError, match=message):
                mean_average_precision_score(*data, protocol=protocol, **{name: value})


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="'protocol' parameter"):
        mean_average_precision_score([[0]], [[0]], [0], [0], protocol="pascal")
