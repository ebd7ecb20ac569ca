import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.metrics.plots import DistanceHistogramDisplay
from tests.metrics.plots.naive import N_BITS, codes_and_labels, digits, judged


def pairs_by_distance(queries, n_bits=N_BITS):
    """Count relevant pairs and others at each distance."""
    counts = np.zeros((2, n_bits + 1), dtype=int)
    for distances, relevant in queries:
        for distance, is_relevant in zip(distances, relevant, strict=True):
            counts[0 if is_relevant else 1, distance] += 1
    return counts


def assert_draws(display, relevant, other):
    assert_array_equal(display.relevant, relevant)
    assert_array_equal(display.other, other)
    for drawn, counts in ((display.relevant_, relevant), (display.other_, other)):
        shares, edges, _ = drawn.get_data()
        assert_allclose(shares, counts / counts.sum())
        assert_allclose(edges, np.arange(len(counts) + 1) - 0.5)


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_shares_of_each_kind_of_pair_are_drawn_by_distance(multilabel):
    retrieval = codes_and_labels(multilabel=multilabel)
    display = DistanceHistogramDisplay.from_predictions(*retrieval)
    assert_draws(display, *pairs_by_distance(judged(*retrieval)))
    assert display.ax_.get_xlabel() == "Hamming distance (bits)"
    texts = [text.get_text() for text in display.ax_.get_legend().texts]
    assert texts == ["relevant pairs", "other pairs"]


def test_the_counts_do_not_depend_on_the_working_memory():
    retrieval = codes_and_labels()
    with config_context(working_memory=1e-3):
        display = DistanceHistogramDisplay.from_predictions(*retrieval)
    assert_draws(display, *pairs_by_distance(judged(*retrieval)))


def test_the_overlap_is_told():
    display = DistanceHistogramDisplay([6, 3, 1, 0], [0, 1, 1, 2], name="codes").plot()
    assert display.overlap == pytest.approx(0.25 + 0.1)
    assert display.ax_.get_title() == "codes: overlap 0.35"
    assert display.plot().ax_.get_title() == "codes: overlap 0.35"
    assert display.plot(name="LSH").ax_.get_title() == "LSH: overlap 0.35"


def test_codes_that_separate_do_not_overlap_and_equal_histograms_do():
    separate = DistanceHistogramDisplay([3, 0], [0, 5]).plot()
    assert separate.overlap == 0
    assert separate.ax_.get_title() == "overlap 0.00"
    assert DistanceHistogramDisplay([1, 3], [2, 6]).overlap == 1


def test_rows_make_no_pair_with_themselves():
    codes, _, y, _ = codes_and_labels()
    display = DistanceHistogramDisplay.from_predictions(
        codes, codes, y, y, exclude_self=True
    )
    expected = pairs_by_distance(judged(codes, codes, y, y, exclude_self=True))
    assert_draws(display, *expected)


def test_packed_codes_are_as_wide_as_one_says():
    query, database, *labels = codes_and_labels()
    packed = pack_codes(query), pack_codes(database)
    expected = pairs_by_distance(judged(query, database, *labels))
    told = DistanceHistogramDisplay.from_predictions(
        *packed, *labels, packed=True, n_bits=N_BITS
    )
    assert_draws(told, *expected)
    untold = DistanceHistogramDisplay.from_predictions(*packed, *labels, packed=True)
    assert_draws(untold, *np.pad(expected, [(0, 0), (0, 16 - N_BITS)]))


@pytest.mark.parametrize("packed", [False, True])
def test_hashers_and_searches_are_drawn_as_their_codes(packed):
    X, X_query, y, y_query = digits()
    hasher = LSH(N_BITS, packed=packed, random_state=0).fit(X)
    search = make_pipeline(
        LSH(N_BITS, packed=packed, random_state=0), HammingNeighbors(packed=packed)
    ).fit(X, y)
    lsh = LSH(N_BITS, random_state=0).fit(X)
    queries = judged(lsh.transform(X_query), lsh.transform(X), y_query, y)
    expected = pairs_by_distance(queries)
    _, axes = plt.subplots(1, 2)
    displays = [
        DistanceHistogramDisplay.from_estimator(
            hasher, X_query, y_query, database=(X, y), ax=axes[0]
        ),
        DistanceHistogramDisplay.from_estimator(
            search, X_query, y_query, name="search", ax=axes[1]
        ),
    ]
    for display, ax, name in zip(displays, axes, ["LSH", "search"], strict=True):
        assert_draws(display, *expected)
        assert display.ax_ is ax
        assert ax.get_title() == f"{name}: overlap {display.overlap:.2f}"


def test_a_hasher_without_a_database_is_queried_in_itself():
    X, _, y, _ = digits()
    lsh = LSH(N_BITS, random_state=0).fit(X)
    display = DistanceHistogramDisplay.from_estimator(lsh, X[:60], y[:60])
    codes = lsh.transform(X[:60])
    queries = judged(codes, codes, y[:60], y[:60], exclude_self=True)
    assert_draws(display, *pairs_by_distance(queries))


def test_a_style_that_is_asked_for_is_taken():
    display = DistanceHistogramDisplay([1, 0], [0, 1]).plot(fill=False, linewidth=3)
    for drawn in (display.relevant_, display.other_):
        assert not drawn.get_fill()
        assert drawn.get_linewidth() == 3


def test_what_cannot_be_drawn_is_refused():
    query, database, query_y, database_y = codes_and_labels()
    draw = DistanceHistogramDisplay.from_predictions
    with pytest.raises(ValueError, match="got 0 relevant pairs of 450"):
        draw(query, database, query_y, database_y + 3)
    with pytest.raises(ValueError, match="got 450 relevant pairs of 450"):
        draw(query, database, 0 * query_y, 0 * database_y)
    with pytest.raises(ValueError, match="query_codes must have n_bits=13 bits a row"):
        draw(query, database, query_y, database_y, n_bits=13)
    packed = pack_codes(query), pack_codes(database)
    with pytest.raises(ValueError, match="query_codes must have 3 bytes a row"):
        draw(*packed, query_y, database_y, packed=True, n_bits=17)
