import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from sklhash import LSH, HammingNeighbors, HashedNeighbors, pack_codes
from sklhash.metrics.plots import RetrievedImagesDisplay
from sklhash.metrics.plots.style import OTHER, RELEVANT

X, Y = load_digits(return_X_y=True)
X, Y = X[:200], Y[:200]
QUERIES = slice(0, 5)
DATABASE = slice(20, 200)
IMAGES = {
    "images": X[QUERIES],
    "database_images": X[DATABASE],
    "image_shape": (8, 8),
}
LSH_12 = LSH(12, random_state=0).fit(X[DATABASE])
CODES = LSH_12.transform(X)


def draw(k=6, **kwargs):
    arguments = {**IMAGES, "k": k, **kwargs}
    return RetrievedImagesDisplay.from_predictions(
        CODES[QUERIES], CODES[DATABASE], Y[QUERIES], Y[DATABASE], **arguments
    )


def ranking(query, database):
    distances = (query != database).sum(axis=1)
    order = sorted(range(len(database)), key=lambda j: (distances[j], j))
    return distances[order], order


def pixels(display):
    return [[np.asarray(image.get_array()) for image in row] for row in display.images_]


def texts(rows):
    return [[text.get_text() for text in row] for row in rows]


def test_a_row_is_a_query_and_its_nearest_images_with_their_distances():
    display = draw()
    for i, (row, written) in enumerate(
        zip(pixels(display), texts(display.distances_), strict=True)
    ):
        distances, order = ranking(CODES[i], CODES[DATABASE])
        expected = [X[i], *X[DATABASE][order[:6]]]
        np.testing.assert_array_equal(row, np.reshape(expected, (7, 8, 8)))
        assert written == [str(distance) for distance in distances[:6]]
    assert "Hamming distance, in bits" in display.ax_.get_xlabel()


def test_relevant_hits_are_marked_by_colour_and_sign():
    display = draw()
    n_wrong = 0
    for i, (frames, signs) in enumerate(
        zip(display.frames_, display.signs_, strict=True)
    ):
        _, order = ranking(CODES[i], CODES[DATABASE])
        relevant = Y[DATABASE][order[:6]] == Y[i]
        n_wrong += (~relevant).sum()
        colors = [to_hex(frame.get_edgecolor()) for frame in frames]
        assert colors == [RELEVANT if hit else OTHER for hit in relevant]
        written = [sign.get_text() for sign in signs]
        assert written == ["✓" if hit else "✗" for hit in relevant]
    assert 0 < n_wrong < 30


def test_ties_are_underlined_and_those_beyond_the_last_hit_are_told():
    codes = np.tril(np.ones((8, 7), dtype=int))[[0, 1, 1, 1, 2, 3, 3, 3]]
    images = np.zeros((8, 2, 2))
    arguments = {"images": images[:1], "database_images": images}
    spans = {
        4: [(2, 4)],
        6: [(2, 4), (6, 6)],  # the sixth is tied with two that are not shown
        7: [(2, 4), (6, 7)],
        8: [(2, 4), (6, 8)],
    }
    for k, expected in spans.items():
        display = RetrievedImagesDisplay.from_predictions(
            codes[:1] * 0, codes, k=k, **arguments
        )
        assert texts(display.distances_)[0] == list("12223444"[:k])
        assert display.tied_beyond.tolist() == [k in (6, 7)]
        columns = [image.get_extent()[:2] for image in display.images_[0]]
        drawn = [
            tuple(
                next(j for j, ends in enumerate(columns) if ends[side] == x)
                for side, x in enumerate(line.get_xdata())
            )
            for line in display.ties_[0]
        ]
        assert drawn == expected
        plt.close(display.figure_)


def test_a_search_is_drawn_as_it_finds():
    search = make_pipeline(LSH_12, HammingNeighbors()).fit(X[DATABASE], Y[DATABASE])
    display = RetrievedImagesDisplay.from_estimator(
        search,
        X[QUERIES],
        Y[QUERIES],
        database_images=X[DATABASE],
        image_shape=(8, 8),
        k=6,
    )
    expected = draw()
    np.testing.assert_array_equal(pixels(display), pixels(expected))
    np.testing.assert_array_equal(display.relevant, expected.relevant)
    np.testing.assert_array_equal(display.tied_beyond, expected.tied_beyond)
    assert texts(display.distances_) == texts(expected.distances_)
    assert display.ax_.get_title() == "LSH"


def test_images_belong_to_the_rows_a_search_was_given_also_after_removals():
    search = HashedNeighbors(LSH_12).fit(X[DATABASE], Y[DATABASE])
    search.remove(np.arange(0, 180, 2))
    display = RetrievedImagesDisplay.from_estimator(
        search, X[:1], database_images=X[DATABASE], image_shape=(8, 8), k=3
    )
    _, order = ranking(CODES[0], CODES[DATABASE][1::2])
    expected = X[DATABASE][1::2][order[:3]].reshape(3, 8, 8)
    np.testing.assert_array_equal(pixels(display)[0][1:], expected)


def test_reranked_hits_come_in_their_new_order_with_their_new_distances():
    search = HashedNeighbors(LSH_12, rerank="euclidean", n_candidates=4)
    search.fit(X[DATABASE], Y[DATABASE])
    display = RetrievedImagesDisplay.from_estimator(
        search,
        X[QUERIES],
        Y[QUERIES],
        database_images=X[DATABASE],
        image_shape=(8, 8),
        k=4,
    )
    distances, indices = search.kneighbors(X[QUERIES], 4)
    expected = X[DATABASE][indices].reshape(5, 4, 8, 8)
    np.testing.assert_array_equal([row[1:] for row in pixels(display)], expected)
    assert texts(display.distances_)[0] == [f"{d:.3g}" for d in distances[0]]
    assert display.ax_.get_xlabel().startswith("Below each hit: its Euclidean distance")


def test_the_queries_of_a_hasher_search_each_other_or_the_database_given():
    itself = RetrievedImagesDisplay.from_estimator(
        LSH_12, X, Y, image_shape=(8, 8), queries=[7, 30], k=5
    )
    for i, row in zip([7, 30], pixels(itself), strict=True):
        others = np.delete(np.arange(200), i)
        _, order = ranking(CODES[i], CODES[others])
        expected = X[[i, *others[order[:5]]]].reshape(6, 8, 8)
        np.testing.assert_array_equal(row, expected)
    other = RetrievedImagesDisplay.from_estimator(
        LSH_12,
        X[QUERIES],
        Y[QUERIES],
        database=(X[DATABASE], Y[DATABASE]),
        image_shape=(8, 8),
        k=6,
    )
    np.testing.assert_array_equal(pixels(other), pixels(draw()))


def test_packed_codes_find_the_same():
    display = RetrievedImagesDisplay.from_predictions(
        pack_codes(CODES[QUERIES]),
        pack_codes(CODES[DATABASE]),
        packed=True,
        k=6,
        **IMAGES,
    )
    np.testing.assert_array_equal(pixels(display), pixels(draw()))


def test_without_labels_nothing_is_marked():
    display = RetrievedImagesDisplay.from_predictions(
        CODES[QUERIES], CODES[DATABASE], **IMAGES
    )
    assert display.relevant is None
    assert not any(display.frames_)
    assert not any(display.signs_)
    assert "label" not in display.ax_.get_xlabel()


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_hits_that_share_any_label_are_relevant(convert):
    rng = np.random.default_rng(0)
    query_y, database_y = rng.integers(2, size=(5, 4)), rng.integers(2, size=(180, 4))
    display = RetrievedImagesDisplay.from_predictions(
        CODES[QUERIES], CODES[DATABASE], convert(query_y), convert(database_y), **IMAGES
    )
    for i, relevant in enumerate(display.relevant):
        _, order = ranking(CODES[i], CODES[DATABASE])
        hits = database_y[order[:10]]
        assert relevant.tolist() == [bool((hit & query_y[i]).any()) for hit in hits]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_images_may_be_grey_or_in_colour_and_come_as_flat_rows(dtype, flat, shape):
    images = np.random.default_rng(0).random((5, *shape))
    images = (255 * images if dtype == np.uint8 else images).astype(dtype)
    given = images.reshape(5, -1) if flat else images
    display = RetrievedImagesDisplay.from_predictions(
        CODES[QUERIES],
        CODES[QUERIES],
        images=given,
        database_images=given,
        image_shape=shape if flat else None,
        exclude_self=True,
        k=4,
    )
    np.testing.assert_array_equal([row[0] for row in pixels(display)], images)
    left, right, bottom, top = display.images_[0][0].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(4 / 6)


def test_equal_greys_are_equal_values():
    display = draw()
    ranges = {image.get_clim() for row in display.images_ for image in row}
    drawn = np.array(pixels(display))
    assert ranges == {(drawn.min(), drawn.max())}


@pytest.mark.parametrize(("n_queries", "k"), [(1, 1), (1, 10), (5, 3), (5, 20)])
def test_all_that_is_written_lies_within_the_figure(n_queries, k):
    display = draw(k=k, queries=range(n_queries), name="LSH, 12 bits")
    display.figure_.canvas.draw()
    inside = display.figure_.bbox
    boxes = display.ax_.get_tightbbox(), display.legend_.get_window_extent()
    for box in boxes:
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1


def test_axes_and_style_are_those_given():
    figure, axes = plt.subplots(1, 2)
    display = draw(ax=axes[1], cmap="gray_r", name="mine")
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.images_[0][0].get_cmap().name == "gray_r"
    assert axes[1].get_title() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, r"'k' parameter .* must be an int in the range \[1, inf\). Got 0"),
        ({"k": 181}, r"got 181"),
        ({"k": 2.0}, r"'k' parameter .* Got 2.0"),
        ({"queries": [5]}, r"queries must lie between 0 and 4, got 5"),
        ({"queries": [-1]}, r"got -1"),
        ({"queries": []}, r"at least one, got .* shape \(0,\)"),
        ({"queries": [0.5]}, r"dtype float64"),
        ({"images": X[:4]}, r"images must be 5, one for each row, got 4"),
        ({"database_images": X}, r"database_images must be 180, .* got 200"),
        ({"image_shape": (8, 9)}, r"must have 72 values each .* got 64"),
        ({"image_shape": None}, r"images must be of shape .* got \(64,\)"),
        ({"image_shape": (4, 4, 4)}, r"got \(4, 4, 4\) for an image"),
        ({"images": sparse.csr_array(X[:5])}, r"images must be a dense array"),
        ({"images": X[:5].astype(str)}, r"images must be numbers, got dtype <U"),
        ({"images": np.ones((5, 48)), "image_shape": (4, 4, 3)}, r"48 values .* 64"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(**arguments)


def test_images_of_two_shapes_or_too_bright_are_refused():
    grey, colour = np.ones((5, 4, 4)), np.ones((180, 4, 4, 3))
    with pytest.raises(ValueError, match=r"one shape, got \(4, 4\) and \(4, 4, 3\)"):
        draw(images=grey, database_images=colour, image_shape=None)
    with pytest.raises(ValueError, match=r"from 0 to 1, got floats from 255.0 to 255"):
        draw(images=255 * colour[:5], database_images=colour, image_shape=None)


def test_labels_that_are_missing_or_of_another_number_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RetrievedImagesDisplay.from_predictions(
            CODES[QUERIES], CODES[DATABASE], Y[:4], Y[DATABASE], **IMAGES
        )
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RetrievedImagesDisplay.from_predictions(
            CODES[QUERIES], CODES[DATABASE], Y[QUERIES], Y[QUERIES], **IMAGES
        )


def test_a_search_that_cannot_be_drawn_is_refused():
    search = make_pipeline(LSH_12, HammingNeighbors()).fit(X[DATABASE])
    draw_search = RetrievedImagesDisplay.from_estimator
    with pytest.raises(ValueError, match="HammingNeighbors keeps codes, not images"):
        draw_search(search, X[QUERIES], image_shape=(8, 8))
    with pytest.raises(ValueError, match="was fitted without y"):
        draw_search(search, X[QUERIES], Y[QUERIES], **IMAGES)
    with pytest.raises(ValueError, match=r"database=\(X, y\) is for hashers"):
        draw_search(search, X[QUERIES], database=(X, Y), **IMAGES)
    for stranger in (LogisticRegression(), NearestNeighbors()):
        with pytest.raises(TypeError, match=f"got {type(stranger).__name__}"):
            draw_search(stranger.fit(X, Y), X[QUERIES], **IMAGES)
