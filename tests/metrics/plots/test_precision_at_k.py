import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors
from sklhash.metrics.plots import PrecisionAtKDisplay
from tests.metrics.plots.naive import codes_and_labels, digits, expected_hits, judged


def test_ties_count_by_their_expectation():
    retrieval = codes_and_labels()
    display = PrecisionAtKDisplay.from_predictions(*retrieval, k=20)
    expected = [
        np.mean([expected_hits(*query, k) / k for query in judged(*retrieval)])
        for k in range(1, 21)
    ]
    ks, precision = display.line_.get_data()
    assert_allclose(ks, np.arange(1, 21))
    assert_allclose(precision, expected)
    assert display.ax_.get_xlabel() == "Items retrieved (k)"
    assert display.ax_.get_ylabel() == "Precision at k"


def test_ties_in_index_order_are_those_of_a_stable_sort():
    retrieval = codes_and_labels(multilabel=True)
    weights = np.arange(9)
    display = PrecisionAtKDisplay.from_predictions(
        *retrieval, ties="index", sample_weight=weights
    )
    ranked = [
        relevant[np.argsort(distances, kind="stable")]
        for distances, relevant in judged(*retrieval)
    ]
    precisions = np.cumsum(ranked, axis=1) / np.arange(1, 51)
    expected = np.average(precisions, axis=0, weights=weights)
    assert_allclose(display.line_.get_ydata(), expected)


def test_a_hasher_without_a_database_is_queried_in_itself():
    X, _, y, _ = digits()
    lsh = LSH(12, random_state=0).fit(X)
    display = PrecisionAtKDisplay.from_estimator(lsh, X[:60], y[:60])
    codes = lsh.transform(X[:60])
    queries = judged(codes, codes, y[:60], y[:60], exclude_self=True)
    expected = [
        np.mean([expected_hits(*query, k) / k for query in queries])
        for k in range(1, 60)
    ]
    assert_allclose(display.line_.get_ydata(), expected)


@pytest.mark.parametrize(("log", "scale"), [(True, "log"), (False, "linear")])
def test_the_axis_of_k_is_logarithmic_or_linear(log, scale):
    display = PrecisionAtKDisplay.from_predictions(*codes_and_labels(), k=5, log=log)
    assert display.ax_.get_xscale() == scale
    display.figure_.canvas.draw()
    labels = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert "1" in labels
    assert all(label.isdecimal() for label in labels)


def test_several_estimators_share_axes_and_legend():
    X, X_query, y, y_query = digits()
    hasher = LSH(16, random_state=0).fit(X)
    search = make_pipeline(LSH(8, random_state=0), HammingNeighbors()).fit(X, y)
    first = PrecisionAtKDisplay.from_estimator(
        hasher, X_query, y_query, database=(X, y), k=100
    )
    second = PrecisionAtKDisplay.from_estimator(
        search, X_query, y_query, k=100, name="8 bits", ax=first.ax_
    )
    texts = [text.get_text() for text in first.ax_.get_legend().texts]
    assert texts == ["LSH", "8 bits"]
    assert first.ax_.lines[:] == [first.line_, second.line_]
    for style in ("color", "linestyle", "marker"):
        assert value_of(first.line_, style) != value_of(second.line_, style)
    expected = PrecisionAtKDisplay.from_predictions(
        search[:-1].transform(X_query), search[:-1].transform(X), y_query, y, k=100
    )
    assert_allclose(second.line_.get_xydata(), expected.line_.get_xydata())


def value_of(line, style):
    return getattr(line, f"get_{style}")()


def test_a_style_and_a_name_that_are_asked_for_are_taken():
    display = PrecisionAtKDisplay([1, 2], [1.0, 0.5], name="first")
    display.plot(name="second", ls=":", color="red", log=False)
    assert display.line_.get_linestyle() == ":"
    assert display.line_.get_color() == "red"
    assert display.ax_.get_legend().texts[0].get_text() == "second"


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="k must be at most the 50 item"):
        PrecisionAtKDisplay.from_predictions(*codes_and_labels(), k=51)
    X, _, y, _ = digits()
    stranger = LogisticRegression(max_iter=5000).fit(X[:50], y[:50])
    with pytest.raises(TypeError, match="got LogisticRegression"):
        PrecisionAtKDisplay.from_estimator(stranger, X, y)
