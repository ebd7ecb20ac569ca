import sys

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from sklhash.metrics.plots import (
    DistanceHistogramDisplay,
    HammingPrecisionRecallDisplay,
    PrecisionAtKDisplay,
    PrecisionAtRadiusDisplay,
)
from sklhash.metrics.plots.style import (
    OTHER,
    RELEVANT,
    figure_and_axes,
    import_pyplot,
    series_style,
)


def grey(colour):
    """Luminance as the eye sees it, 0 to 1."""
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def drawn_styles(ax, n_series, **kwargs):
    styles = [series_style(ax)]
    while len(styles) < n_series:
        ax.plot([0, 1], [0, 1], **styles[-1] | kwargs)
        styles.append(series_style(ax))
    return styles


def test_series_differ_without_colour_too():
    _, ax = plt.subplots()
    styles = drawn_styles(ax, 28)
    assert len({style["color"] for style in styles[:7]}) == 7
    assert len({(style["marker"], style["linestyle"]) for style in styles}) == 28


def test_a_colour_that_was_drawn_is_not_the_next():
    _, ax = plt.subplots()
    colours = [style["color"] for style in drawn_styles(ax, 7)]
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], color=colours[1])
    ax.plot([0, 1], [0, 1], color="pink")
    assert series_style(ax)["color"] == colours[0]
    ax.plot([0, 1], [0, 1], color=colours[0], linestyle=":")
    assert series_style(ax)["color"] == colours[2]


def test_relevant_and_other_differ_in_grey():
    assert grey(OTHER) - grey(RELEVANT) > 0.25


def test_axes_are_new_or_those_given():
    figure, ax = figure_and_axes(None)
    assert figure_and_axes(ax) == (figure, ax)
    assert figure_and_axes(None)[0] is not figure


def test_who_lacks_matplotlib_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = r"Display.plot needs matplotlib: pip install 'sklhash\[plot\]'"
    with pytest.raises(ImportError, match=message):
        import_pyplot("Display.plot")


@pytest.mark.parametrize(
    "display",
    [
        DistanceHistogramDisplay,
        HammingPrecisionRecallDisplay,
        PrecisionAtKDisplay,
        PrecisionAtRadiusDisplay,
    ],
)
def test_that_is_told_before_anything_is_computed(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=f"{display.__name__}.from_estimator needs"):
        display.from_estimator("no estimator", [], [])
    with pytest.raises(ImportError, match=f"{display.__name__}.from_predictions needs"):
        display.from_predictions("no codes", None, None, None)
