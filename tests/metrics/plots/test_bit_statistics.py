import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, pack_codes
from sklhash.metrics.plots import BitStatisticsDisplay


@pytest.fixture
def spoilt():
    bits = np.random.default_rng(0).integers(2, size=(80, 12))
    bits[:, [2, 7]] = 0, 1
    bits[:, 9] = bits[:, 4]
    bits[:, 11] = 1 - bits[:, 4]
    bits[40:] = bits[:40]
    return bits


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_bars_are_the_shares_of_ones(spoilt):
    display = BitStatisticsDisplay.from_predictions(spoilt)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, spoilt.mean(axis=0))
    centres = [bar.get_x() + bar.get_width() / 2 for bar in display.bars_]
    np.testing.assert_allclose(centres, np.arange(12))


def test_the_heat_map_is_the_correlation(spoilt):
    image = BitStatisticsDisplay.from_predictions(spoilt).image_
    alive = np.setdiff1d(np.arange(12), [2, 7])
    drawn = np.ma.filled(image.get_array(), np.nan)
    expected = np.corrcoef(spoilt[:, alive], rowvar=False)
    np.testing.assert_allclose(drawn[np.ix_(alive, alive)], expected, atol=1e-12)
    assert np.isnan(drawn[[2, 7]]).all()
    assert image.get_clim() == (-1, 1)


def test_dead_and_duplicate_bits_are_marked_and_named(spoilt):
    display = BitStatisticsDisplay.from_predictions(spoilt)
    assert display.dead_.get_xdata().tolist() == [2, 7]
    assert set(zip(*display.duplicates_.get_data(), strict=True)) == {
        *((4, 9), (9, 4), (4, 11)),
        *((11, 4), (9, 11), (11, 9)),
    }
    assert "dead bits: 2, 7" in legend_texts(display.axes_[0])
    assert "duplicate bits: 4 = 9 = not 11" in legend_texts(display.axes_[1])


def test_bits_that_are_sound_are_not_named():
    all_codes = np.indices((2, 2, 2, 2)).reshape(4, 16).T
    display = BitStatisticsDisplay.from_predictions(all_codes)
    assert "dead bits: none" in legend_texts(display.axes_[0])
    assert legend_texts(display.axes_[1]) == ["duplicate bits: none"]


def test_of_many_dead_bits_some_are_named():
    display = BitStatisticsDisplay.from_predictions(np.zeros((3, 64), dtype=int))
    assert legend_texts(display.axes_[0])[1] == (
        "dead bits: 0, 1, 2, 3, 4, 5, 6, 7 and 56 more"
    )


def test_the_title_tells_the_share_of_unique_codes(spoilt):
    share = len(np.unique(spoilt, axis=0)) / len(spoilt)
    display = BitStatisticsDisplay.from_predictions(spoilt, name="spoilt")
    title = display.axes_[0].get_title(loc="left")
    assert title == f"spoilt: {share:.1%} of the codes are unique"


def test_packed_codes_are_drawn_as_their_bits(spoilt):
    display = BitStatisticsDisplay.from_predictions(
        pack_codes(spoilt), packed=True, n_bits=12
    )
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, spoilt.mean(axis=0))


@pytest.mark.parametrize("packed", [False, True])
def test_the_codes_of_an_estimator_are_drawn(packed):
    X, _ = load_iris(return_X_y=True)
    hasher = LSH(10, random_state=0, packed=packed)
    search = make_pipeline(hasher, HammingNeighbors(packed=packed)).fit(X)
    expected = LSH(10, random_state=0).fit_transform(X).mean(axis=0)
    for estimator in (hasher, search):
        display = BitStatisticsDisplay.from_estimator(estimator, X)
        heights = [bar.get_height() for bar in display.bars_]
        np.testing.assert_allclose(heights, expected)
        assert display.name == "LSH"


def test_axes_and_style_are_those_given(spoilt):
    figure, axes = plt.subplots(2)
    display = BitStatisticsDisplay.from_predictions(
        spoilt, ax=axes, color="red", im_kw={"cmap": "PuOr"}
    )
    assert list(display.axes_) == list(axes)
    assert display.figure_ is figure
    assert display.bars_[0].get_facecolor() == (1, 0, 0, 1)
    assert display.image_.get_cmap().name == "PuOr"
    with pytest.raises(ValueError, match="ax must be 2 axes, .* got 1"):
        display.plot(axes[0])
