import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.metrics import mean_average_precision_score
from sklhash.metrics.plots import HammingPrecisionRecallDisplay
from tests.metrics.plots.naive import (
    N_BITS,
    codes_and_labels,
    digits,
    expected_hits,
    judged,
)


def within_radii(queries, nothing=0.0):
    """Recall and precision within each radius, averaged over queries."""
    points = []
    for radius in range(N_BITS + 1):
        balls = [(relevant, relevant[d <= radius]) for d, relevant in queries]
        recalls = [
            ball.sum() / relevant.sum() if relevant.any() else nothing
            for relevant, ball in balls
        ]
        precisions = [ball.mean() if len(ball) else nothing for _, ball in balls]
        points.append((np.nanmean(recalls), np.nanmean(precisions)))
    return np.transpose(points)


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_point_is_drawn_for_each_radius(multilabel):
    retrieval = codes_and_labels(multilabel=multilabel)
    display = HammingPrecisionRecallDisplay.from_predictions(*retrieval)
    assert_allclose(display.line_.get_data(), within_radii(judged(*retrieval)))
    assert_allclose(display.points, np.arange(N_BITS + 1))
    assert display.ax_.get_xlabel() == "Recall within Hamming radius 0, 1, 2, … (bits)"
    assert display.ax_.get_ylabel() == "Precision"


def test_queries_that_find_nothing_may_be_left_out():
    retrieval = codes_and_labels(multilabel=True)
    display = HammingPrecisionRecallDisplay.from_predictions(*retrieval, empty="skip")
    queries = judged(*retrieval)
    assert not all(relevant.any() for _, relevant in queries)
    assert_allclose(display.line_.get_data(), within_radii(queries, nothing=np.nan))
    score = mean_average_precision_score(*retrieval, empty="skip")
    assert display.line_.get_label() == f"mAP = {score:.2f}"


def test_queries_do_not_find_themselves():
    codes, _, y, _ = codes_and_labels()
    display = HammingPrecisionRecallDisplay.from_predictions(
        codes, codes, y, y, exclude_self=True
    )
    expected = within_radii(judged(codes, codes, y, y, exclude_self=True))
    assert_allclose(display.line_.get_data(), expected)


def test_a_point_is_drawn_for_each_rank_with_ties_by_their_expectation():
    retrieval = codes_and_labels()
    display = HammingPrecisionRecallDisplay.from_predictions(
        *retrieval, by="rank", k=30
    )
    hits = np.array(
        [
            [expected_hits(*query, k) for k in range(1, 31)]
            for query in judged(*retrieval)
        ]
    )
    n_relevant = [[relevant.sum()] for _, relevant in judged(*retrieval)]
    recall, precision = display.line_.get_data()
    assert_allclose(recall, np.mean(hits / n_relevant, axis=0))
    assert_allclose(precision, np.mean(hits / np.arange(1, 31), axis=0))
    assert display.ax_.get_xlabel() == "Recall among the first 1, 2, 3, … items"


def test_ties_in_index_order_and_weights_are_drawn_and_scored():
    retrieval = codes_and_labels()
    weights = np.arange(1, 10)
    display = HammingPrecisionRecallDisplay.from_predictions(
        *retrieval, by="rank", ties="index", sample_weight=weights, name="codes"
    )
    ranked = [
        relevant[np.argsort(distances, kind="stable")]
        for distances, relevant in judged(*retrieval)
    ]
    precisions = np.cumsum(ranked, axis=1) / np.arange(1, 51)
    _, precision = display.line_.get_data()
    assert_allclose(precision, np.average(precisions, axis=0, weights=weights))
    scores = [average_precision_score(row, -np.arange(50)) for row in ranked]
    score = np.average(scores, weights=weights)
    assert display.line_.get_label() == f"codes (mAP = {score:.2f})"


def test_the_legend_tells_of_every_estimator_and_of_k():
    retrieval = codes_and_labels()
    first = HammingPrecisionRecallDisplay.from_predictions(
        *retrieval, by="rank", k=7, name="first"
    )
    second = HammingPrecisionRecallDisplay.from_predictions(
        *retrieval, by="rank", k=7, ax=first.ax_
    )
    score = mean_average_precision_score(*retrieval, k=7)
    assert second.ax_ is first.ax_
    assert second.figure_ is first.figure_
    assert [text.get_text() for text in first.ax_.get_legend().texts] == [
        f"first (mAP@7 = {score:.2f})",
        f"mAP@7 = {score:.2f}",
    ]


def test_what_has_no_name_has_no_legend():
    display = HammingPrecisionRecallDisplay([1, 0.5], [0.5, 1], [0, 1]).plot()
    assert display.ax_.get_legend() is None
    display.plot(display.ax_, name="named")
    assert display.ax_.get_legend().texts[0].get_text() == "named"


def test_a_style_that_is_asked_for_is_taken():
    _, ax = plt.subplots()
    display = HammingPrecisionRecallDisplay.from_predictions(
        *codes_and_labels(), ax=ax, c="red", lw=3, label="other"
    )
    assert display.ax_ is ax
    assert display.line_.get_color() == "red"
    assert display.line_.get_linewidth() == 3
    assert ax.get_legend().texts[0].get_text() == "other"


@pytest.mark.parametrize("packed", [False, True])
def test_hashers_and_searches_are_drawn_as_their_codes(packed):
    X, X_query, y, y_query = digits()
    lsh = LSH(N_BITS, random_state=0).fit(X)
    search = make_pipeline(
        LSH(N_BITS, random_state=0, packed=packed), HammingNeighbors(packed=packed)
    ).fit(X, y)
    displays = [
        HammingPrecisionRecallDisplay.from_predictions(
            lsh.transform(X_query), lsh.transform(X), y_query, y, by="rank", name="LSH"
        ),
        HammingPrecisionRecallDisplay.from_predictions(
            pack_codes(lsh.transform(X_query)),
            pack_codes(lsh.transform(X)),
            y_query,
            y,
            by="rank",
            packed=True,
            name="LSH",
        ),
        HammingPrecisionRecallDisplay.from_estimator(
            lsh, X_query, y_query, database=(X, y), by="rank"
        ),
        HammingPrecisionRecallDisplay.from_estimator(
            search, X_query, y_query, by="rank"
        ),
    ]
    for display in displays[1:]:
        assert_allclose(display.line_.get_xydata(), displays[0].line_.get_xydata())
        assert display.line_.get_label() == displays[0].line_.get_label()


def test_padding_of_packed_codes_makes_no_radii():
    query, database, *labels = codes_and_labels()
    display = HammingPrecisionRecallDisplay.from_predictions(
        pack_codes(query), pack_codes(database), *labels, packed=True, n_bits=N_BITS
    )
    assert_allclose(display.points, np.arange(N_BITS + 1))
    X, X_query, y, y_query = digits()
    lsh = LSH(N_BITS, random_state=0, packed=True).fit(X)
    display = HammingPrecisionRecallDisplay.from_estimator(
        lsh, X_query, y_query, database=(X, y)
    )
    assert_allclose(display.points, np.arange(N_BITS + 1))


def test_a_hasher_without_a_database_is_queried_in_itself():
    X, _, y, _ = digits()
    lsh = LSH(N_BITS, random_state=0).fit(X)
    codes = lsh.transform(X)
    display = HammingPrecisionRecallDisplay.from_estimator(lsh, X, y, by="rank")
    expected = HammingPrecisionRecallDisplay.from_predictions(
        codes, codes, y, y, exclude_self=True, by="rank"
    )
    assert_allclose(display.line_.get_xydata(), expected.line_.get_xydata())


def test_what_cannot_be_drawn_is_refused():
    retrieval = codes_and_labels()
    with pytest.raises(ValueError, match="k must be at most the 50 item"):
        HammingPrecisionRecallDisplay.from_predictions(*retrieval, by="rank", k=51)
    with pytest.raises(ValueError, match='k is for by="rank", got k=5'):
        HammingPrecisionRecallDisplay.from_predictions(*retrieval, k=5)
    with pytest.raises(ValueError, match="'by' parameter"):
        HammingPrecisionRecallDisplay.from_predictions(*retrieval, by="distance")
    X, _, y, _ = digits()
    stranger = LogisticRegression(max_iter=5000).fit(X[:50], y[:50])
    with pytest.raises(TypeError, match="got LogisticRegression"):
        HammingPrecisionRecallDisplay.from_estimator(stranger, X, y)
