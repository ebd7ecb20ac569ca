import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklhash import LSH, HammingNeighbors, HashedNeighbors, HashNet
from sklhash.metrics.plots import TrainingCurveDisplay

X, Y = load_iris(return_X_y=True)
HISTORY = [
    {"epoch": 1, "beta": 1.0, "loss": 0.9, "seconds": 2.0, "lr": 0.1},
    {"epoch": 2, "beta": 2.0, "loss": 0.5, "validation_map": 0.3, "loss_best": True},
    {"epoch": 3, "beta": 3.0, "loss": 0.4},
    {"epoch": 4, "beta": 4.0, "loss": 0.3, "validation_map": np.float32(0.5)},
]


@pytest.fixture(scope="module")
def hasher():
    return HashNet(8, max_epochs=3, random_state=0).fit(X, Y)


def test_each_quantity_is_drawn_over_the_epochs_that_have_it():
    display = TrainingCurveDisplay.from_history(HISTORY)
    assert display.quantities_ == ["loss", "validation_map", "beta"]
    loss, validation_map, beta = (line.get_xydata() for line in display.lines_)
    np.testing.assert_allclose(loss, [(1, 0.9), (2, 0.5), (3, 0.4), (4, 0.3)])
    np.testing.assert_allclose(validation_map, [(2, 0.3), (4, 0.5)])
    np.testing.assert_allclose(beta, [(1, 1), (2, 2), (3, 3), (4, 4)])
    labels = [ax.get_ylabel() for ax in display.axes_]
    assert labels == ["Loss", "Validation mAP", "Beta"]
    assert display.axes_[-1].get_xlabel() == "Epoch"


def test_quantities_are_drawn_as_asked():
    display = TrainingCurveDisplay.from_history(HISTORY, quantities=["lr", "seconds"])
    assert [line.get_ydata().tolist() for line in display.lines_] == [[0.1], [2.0]]
    labels = [ax.get_ylabel() for ax in display.axes_]
    assert labels == ["Learning rate", "Time (seconds)"]


def test_the_history_of_a_hasher_is_drawn_wherever_it_is(hasher):
    pipeline = make_pipeline(StandardScaler(), hasher, HammingNeighbors()).fit(X, Y)
    search = HashedNeighbors(hasher).fit(X, Y)
    folds = StratifiedKFold(2)
    grid = GridSearchCV(pipeline, {"hashnet__max_epochs": [3]}, cv=folds).fit(X, Y)
    for estimator, fitted in (
        (hasher, hasher),
        (pipeline, pipeline["hashnet"]),
        (search, search.hasher_),
        (grid, grid.best_estimator_["hashnet"]),
    ):
        display = TrainingCurveDisplay.from_estimator(estimator)
        assert display.quantities_ == ["loss", "beta", "quantization_gap"]
        for line, quantity in zip(display.lines_, display.quantities_, strict=True):
            drawn = dict(zip(*line.get_data(), strict=True))
            assert drawn == {row["epoch"]: row[quantity] for row in fitted.history_}
        assert display.name == "HashNet"


def test_several_hashers_go_on_the_same_axes(hasher):
    first = TrainingCurveDisplay.from_estimator(hasher, quantities=["loss", "beta"])
    second = TrainingCurveDisplay.from_history(
        HISTORY, quantities=["loss", "beta"], ax=first.axes_, name="by hand"
    )
    assert second.figure_ is first.figure_
    for line, other in zip(first.lines_, second.lines_, strict=True):
        assert line.axes is other.axes
        assert line.get_color() != other.get_color()
        assert line.get_linestyle() != other.get_linestyle()
    legend = first.axes_[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["HashNet", "by hand"]


def test_one_quantity_goes_on_axes_and_in_the_style_given():
    figure, ax = plt.subplots()
    display = TrainingCurveDisplay.from_history(
        HISTORY, quantities=["loss"], ax=ax, c="red", name="history"
    )
    assert display.lines_ == ax.lines[:]
    assert display.figure_ is figure
    assert display.lines_[0].get_color() == "red"


def test_what_cannot_be_drawn_is_refused(hasher):
    with pytest.raises(ValueError, match="at least one epoch, got none"):
        TrainingCurveDisplay.from_history([])
    with pytest.raises(ValueError, match=r"got \['loss'\] in row 1"):
        TrainingCurveDisplay.from_history([{"epoch": 1}, {"loss": 1.0}])
    with pytest.raises(ValueError, match=r"'beta', .* got \['gamma'\]"):
        TrainingCurveDisplay.from_estimator(hasher, quantities=["loss", "gamma"])
    with pytest.raises(ValueError, match="got none"):
        TrainingCurveDisplay.from_estimator(hasher, quantities=[])
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="ax must be 3 axes, .* got 1"):
        TrainingCurveDisplay.from_estimator(hasher, ax=ax)
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(HashNet())
    with pytest.raises(TypeError, match="there is none in this Pipeline"):
        TrainingCurveDisplay.from_estimator(make_pipeline(LSH(8)).fit(X))
