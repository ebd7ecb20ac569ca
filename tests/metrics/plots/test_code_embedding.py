import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline

from sklhash import HammingNeighbors, pack_codes
from sklhash.metrics.plots import CodeEmbeddingDisplay

N_BITS = 24


@pytest.fixture(scope="module")
def grouped():
    """Codes around four centres, with three bits flipped in each."""
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=120)
    bits = rng.integers(2, size=(4, N_BITS))[y]
    for row in bits:
        row[rng.choice(N_BITS, 3, replace=False)] ^= 1
    return bits, np.array(["ant", "bee", "cat", "dog"])[y]


@pytest.fixture(scope="module")
def embedding(grouped):
    bits, _ = grouped
    settings = {"perplexity": 10, "random_state": 0}
    display = CodeEmbeddingDisplay.from_predictions(bits, **settings)
    return display.embedding


def test_codes_near_each_other_are_drawn_near_each_other(grouped, embedding):
    _, y = grouped
    between = cdist(embedding, embedding)
    np.fill_diagonal(between, np.inf)
    assert (y[between.argmin(axis=1)] == y).all()


def test_the_map_is_that_of_all_distances_where_the_graph_holds_all(grouped):
    bits = grouped[0][:30]
    settings = {"perplexity": 10, "random_state": 0}
    display = CodeEmbeddingDisplay.from_predictions(bits, **settings)
    tsne = TSNE(metric="precomputed", init="random", **settings)
    expected = tsne.fit_transform(np.rint(N_BITS * cdist(bits, bits, "hamming")))
    np.testing.assert_allclose(display.embedding, expected, rtol=1e-3)


def test_codes_are_the_same_packed_or_from_an_estimator(grouped, embedding):
    bits, _ = grouped
    settings = {"perplexity": 10, "random_state": 0}
    packed = CodeEmbeddingDisplay.from_predictions(
        pack_codes(bits), packed=True, **settings
    )
    np.testing.assert_array_equal(packed.embedding, embedding)
    search = make_pipeline("passthrough", HammingNeighbors()).fit(bits)
    from_search = CodeEmbeddingDisplay.from_estimator(search, bits, **settings)
    np.testing.assert_array_equal(from_search.embedding, embedding)
    assert from_search.ax_.get_title() == "HammingNeighbors"


def test_each_class_is_drawn_and_named(grouped, embedding):
    _, y = grouped
    display = CodeEmbeddingDisplay(embedding, y).plot()
    assert display.classes_.tolist() == ["ant", "bee", "cat", "dog"]
    for line, name in zip(display.points_, display.classes_, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), embedding[y == name])
        assert line.get_linestyle() == "None"
    for text, name in zip(display.texts_, display.classes_, strict=True):
        assert text.get_text() == name
        assert text.get_position() in set(map(tuple, embedding[y == name]))
    legend = display.ax_.get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["ant", "bee", "cat", "dog"]


def test_without_classes_all_codes_are_alike(embedding):
    display = CodeEmbeddingDisplay(embedding).plot()
    assert display.classes_ is None
    (line,) = display.points_
    np.testing.assert_array_equal(line.get_xydata(), embedding)
    assert display.ax_.get_legend() is None


def test_twenty_classes_look_different(embedding):
    y = np.arange(len(embedding)) % 20
    display = CodeEmbeddingDisplay(embedding, y).plot()
    looks = {(to_hex(line.get_color()), line.get_marker()) for line in display.points_}
    assert len(looks) == 20
    markers = [line.get_marker() for line in display.points_]
    assert len(set(markers[:10])) == 10


def test_axes_and_style_are_those_given(embedding):
    figure, axes = plt.subplots(1, 2)
    display = CodeEmbeddingDisplay(embedding, name="mine").plot(axes[1], ms=2, c="red")
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.points_[0].get_markersize() == 2
    assert display.points_[0].get_color() == "red"
    assert axes[1].get_title() == "mine"


def test_what_cannot_be_drawn_is_refused(grouped):
    bits, y = grouped
    with pytest.raises(ValueError, match=r"number of codes, 20, got 30"):
        CodeEmbeddingDisplay.from_predictions(bits[:20])
    with pytest.raises(ValueError, match="one class a row, .* 4 columns"):
        CodeEmbeddingDisplay.from_predictions(bits, y[:, None] == np.unique(y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        CodeEmbeddingDisplay.from_predictions(bits, y[:-1])
