import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.metrics.plots import PrecisionAtRadiusDisplay
from tests.metrics.plots.naive import codes_and_labels, digits, judged

WIDTHS = [4, 12, 32]


def codes_of_several_widths():
    query, database, query_y, database_y = codes_and_labels(32)
    return (
        [query[:, :width] for width in WIDTHS],
        [database[:, :width] for width in WIDTHS],
        query_y,
        database_y,
    )


def in_balls(retrieval, radius, weights=1, empty=0.0):
    """Precision within the radius, and the share of empty balls."""
    query_codes, database_codes, query_y, database_y = retrieval
    precision, share = [], []
    for codes in zip(query_codes, database_codes, strict=True):
        balls = [r[d <= radius] for d, r in judged(*codes, query_y, database_y)]
        each = np.array([np.mean(ball) if len(ball) else empty for ball in balls])
        is_empty = np.array([len(ball) == 0 for ball in balls])
        weight = np.broadcast_to(weights, len(balls))
        precision.append(np.nansum(each * weight) / weight[~np.isnan(each)].sum())
        share.append((is_empty * weight).sum() / weight.sum())
    return precision, share


@pytest.mark.parametrize("radius", [1, 2])
def test_precision_and_empty_balls_are_drawn_over_the_number_of_bits(radius):
    retrieval = codes_of_several_widths()
    display = PrecisionAtRadiusDisplay.from_predictions(*retrieval, radius=radius)
    precision, share = in_balls(retrieval, radius)
    assert 0 < max(share) < 1
    assert_allclose(display.line_.get_data(), [WIDTHS, precision])
    assert_allclose(display.empty_line_.get_data(), [WIDTHS, share])
    assert display.ax_.get_xlabel() == "Number of bits"
    assert f"radius {radius} (bits)" in display.ax_.get_ylabel()


def test_queries_with_an_empty_ball_may_be_left_out():
    retrieval = codes_of_several_widths()
    display = PrecisionAtRadiusDisplay.from_predictions(*retrieval, empty="skip")
    precision, share = in_balls(retrieval, 2, empty=np.nan)
    assert_allclose(display.line_.get_ydata(), precision)
    assert_allclose(display.empty_line_.get_ydata(), share)


def test_queries_have_weights():
    retrieval = codes_of_several_widths()
    weights = np.arange(9)
    display = PrecisionAtRadiusDisplay.from_predictions(
        *retrieval, sample_weight=weights
    )
    precision, share = in_balls(retrieval, 2, weights=weights)
    assert_allclose(display.line_.get_ydata(), precision)
    assert_allclose(display.empty_line_.get_ydata(), share)


def test_points_are_drawn_in_the_order_of_bits():
    display = PrecisionAtRadiusDisplay([32, 8], [0.3, 0.8], [0.2, 0.1]).plot()
    assert_allclose(display.line_.get_data(), [[8, 32], [0.8, 0.3]])
    assert_allclose(display.empty_line_.get_data(), [[8, 32], [0.1, 0.2]])
    assert display.ax_.get_legend() is None


def test_packed_codes_are_as_wide_as_one_says():
    query_codes, database_codes, *labels = codes_of_several_widths()
    expected = PrecisionAtRadiusDisplay.from_predictions(
        query_codes, database_codes, *labels
    )
    packed = [
        [pack_codes(codes) for codes in each] for each in (query_codes, database_codes)
    ]
    told = PrecisionAtRadiusDisplay.from_predictions(
        *packed, *labels, packed=True, n_bits=WIDTHS
    )
    untold = PrecisionAtRadiusDisplay.from_predictions(*packed, *labels, packed=True)
    assert_allclose(told.line_.get_data(), expected.line_.get_data())
    assert_allclose(untold.line_.get_data(), [[8, 16, 32], expected.precision])


@pytest.mark.parametrize("packed", [False, True])
def test_estimators_of_several_widths_are_drawn(packed):
    X, X_query, y, y_query = digits()
    hashers = [LSH(width, packed=packed, random_state=0).fit(X) for width in WIDTHS]
    searches = [
        make_pipeline(LSH(width, packed=packed, random_state=0), search).fit(X, y)
        for width, search in zip(
            WIDTHS, [HammingNeighbors(packed=packed) for _ in WIDTHS], strict=True
        )
    ]
    first = PrecisionAtRadiusDisplay.from_estimator(
        hashers, X_query, y_query, database=(X, y)
    )
    second = PrecisionAtRadiusDisplay.from_estimator(
        searches, X_query, y_query, name="search", ax=first.ax_
    )
    bits = [LSH(width, random_state=0).fit(X) for width in WIDTHS]
    precision, share = in_balls(
        (
            [lsh.transform(X_query) for lsh in bits],
            [lsh.transform(X) for lsh in bits],
            y_query,
            y,
        ),
        2,
    )
    for display in (first, second):
        assert_allclose(display.line_.get_data(), [WIDTHS, precision])
        assert_allclose(display.empty_line_.get_data(), [WIDTHS, share])
    texts = [text.get_text() for text in first.ax_.get_legend().texts]
    assert texts == ["LSH", "search"]
    assert first.line_.get_color() == first.empty_line_.get_color()
    assert first.line_.get_color() != second.line_.get_color()
    assert first.line_.get_marker() != second.line_.get_marker()


def test_one_estimator_is_one_point_and_its_queries_may_be_its_database():
    X, _, y, _ = digits()
    lsh = LSH(12, random_state=0).fit(X)
    codes = lsh.transform(X)
    display = PrecisionAtRadiusDisplay.from_estimator(lsh, X, y, color="red")
    balls = [r[d <= 2] for d, r in judged(codes, codes, y, y, exclude_self=True)]
    precision = np.mean([np.mean(ball) if len(ball) else 0 for ball in balls])
    assert_allclose(display.line_.get_data(), [[12], [precision]])
    assert display.empty_line_.get_color() == "red"


def test_what_cannot_be_drawn_is_refused():
    query_codes, database_codes, *labels = codes_of_several_widths()
    draw = PrecisionAtRadiusDisplay.from_predictions
    with pytest.raises(ValueError, match="query_codes must be a list .* got ndarray"):
        draw(query_codes[0], database_codes, *labels)
    with pytest.raises(ValueError, match="same length, at least 1, got 3, 2"):
        draw(query_codes, database_codes[:2], *labels)
    with pytest.raises(ValueError, match="same length, at least 1, got 3, 3, 1"):
        draw(query_codes, database_codes, *labels, n_bits=[4])
    with pytest.raises(ValueError, match="at least 1, got 0, 0"):
        draw([], [], *labels)
    with pytest.raises(ValueError, match=r"query_codes\[1\] must have n_bits=13"):
        draw(query_codes, database_codes, *labels, n_bits=[4, 13, 32])
    with pytest.raises(ValueError, match=r"have no item within radius 2"):
        draw(query_codes, database_codes, *labels, empty="raise")
    with pytest.raises(ValueError, match="at least one estimator, got none"):
        PrecisionAtRadiusDisplay.from_estimator([], [[0.0]], [0])
