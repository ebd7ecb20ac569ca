import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch.utils.data import IterableDataset

from sklhash import DPSH, NSH, OrthoHash
from sklhash.hashers.contrastive import ContrastiveHasher
from sklhash.hashers.pairwise import PairwiseHasher
from sklhash.metrics import mean_average_precision_score
from sklhash.metrics.plots import TrainingCurveDisplay
from sklhash.targets import encode_targets
from sklhash.training.validation import HeldOutRows, held_out_places
from tests.hashers.methods import DEEP_HASHERS, DEEP_STREAMING, make


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


deep_hashers = each_of(DEEP_HASHERS)
CONTRASTIVE = [cls for cls in DEEP_HASHERS if issubclass(cls, ContrastiveHasher)]
PAIRWISE = [cls for cls in DEEP_HASHERS if issubclass(cls, PairwiseHasher)]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:150].astype(np.float32), y[:150] % 4


def places_of(y, fraction, seed=0):
    rng = np.random.default_rng(seed)
    return held_out_places(encode_targets(y), fraction, rng)


@settings(max_examples=150, deadline=None)
@given(
    y=st.lists(st.integers(0, 5), min_size=8, max_size=80),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**32),
)
def test_of_each_class_about_the_fraction_is_held_out(y, fraction, seed):
    y = np.array(y)
    try:
        places = places_of(y, fraction, seed)
    except ValueError as error:
        assert "keeps out 0" in str(error)  # noqa: PT017
        return
    assert places.dtype == np.intp
    assert (np.diff(places) > 0).all()
    for label, size in zip(*np.unique(y, return_counts=True), strict=True):
        n_held_out = (y[places] == label).sum()
        if size == 1:
            assert n_held_out == 0
        else:
            assert abs(n_held_out - fraction * size) <= 1
    if len(np.unique(y)) == 1:
        assert abs(len(places) - fraction * len(y)) <= 1


@settings(max_examples=100, deadline=None)
@given(
    Y=st.lists(
        st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=10, max_size=60
    ),
    fraction=st.floats(0.2, 0.8),
    make_labels=st.sampled_from([np.asarray, sparse.csr_array]),
)
def test_of_each_set_of_labels_about_the_fraction_is_held_out(Y, fraction, make_labels):
    Y = np.array(Y)
    Y[:, 0] |= ~Y.any(axis=1)
    try:
        places = places_of(make_labels(Y), fraction)
    except ValueError as error:
        assert "keeps out 0" in str(error)  # noqa: PT017
        return
    spared = (Y * (Y.sum(axis=0) == 1)).any(axis=1)
    assert not spared[places].any()
    sets = Y @ [1, 2, 4]
    for labels in np.unique(sets):
        size, n_spared = (sets == labels).sum(), spared[sets == labels].sum()
        n_held_out = (sets[places] == labels).sum()
        assert fraction * size - 1 - n_spared <= n_held_out <= fraction * size + 1


def test_every_row_may_be_held_out_and_the_seed_says_which():
    y = np.repeat(np.arange(5), 20)
    np.testing.assert_array_equal(places_of(y, 0.3, seed=1), places_of(y, 0.3, seed=1))
    chosen = [set(places_of(y, 0.3, seed).tolist()) for seed in range(40)]
    assert chosen[0] != chosen[1]
    assert set.union(*chosen) == set(range(100))
    how_often = np.zeros(100)
    for places in chosen:
        how_often[list(places)] += 1
    assert np.abs(how_often / 40 - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 40)


@pytest.mark.parametrize("classes", [["a"] * 9 + ["b"] * 3, [7, 7, 7, 7, -1, -1, -1]])
def test_small_classes_keep_rows_to_be_found(classes):
    y = np.array(classes)
    for seed in range(20):
        places = places_of(y, 1 / 3, seed)
        assert len(np.unique(np.delete(y, places))) == 2


@pytest.mark.parametrize(
    ("y", "fraction", "n_rows"),
    [
        (np.arange(10), 0.5, "10 rows, .* keeps out 0"),
        (np.repeat([0, 1], 50), 1e-9, "100 rows, .* keeps out 0"),
        (np.repeat([0, 1], 5), 0.99, "10 rows, .* keeps out (9|10): .* two to be left"),
    ],
)
def test_a_fraction_that_leaves_nothing_is_refused(y, fraction, n_rows):
    with pytest.raises(ValueError, match=f"validation_fraction={fraction} of {n_rows}"):
        places_of(y, fraction)


class HeldOut(Callback):
    """Notes which rows are held out and which are trained on."""

    def on_train_begin(self, net, X=None, **kwargs):
        self.queries = net.plan.held_out.queries._rows
        self.database = X._rows
        self.scored_against = net.plan.held_out.database._rows


def fit_and_rows(cls, X, y, **parameters):
    rows = HeldOut()
    shared = {"validation_fraction": 0.2, "batch_size": 30} | parameters
    hasher = make(cls, callbacks=[rows], **shared).fit(X, y)
    np.testing.assert_array_equal(rows.database, rows.scored_against)
    return hasher, rows.queries, rows.database


def score_by_hand(hasher, X, y, queries, database):
    codes = hasher.transform(X[queries]), hasher.transform(X[database])
    return mean_average_precision_score(*codes, y[queries], y[database])


@deep_hashers
def test_the_map_is_that_of_rows_held_out_among_the_others(cls, digits):
    X, y = digits
    hasher, queries, database = fit_and_rows(cls, X, y)
    np.testing.assert_array_equal(np.sort(np.r_[queries, database]), np.arange(150))
    counts = np.bincount(y[queries])
    assert (np.abs(counts - 0.2 * np.bincount(y)) <= 1).all()
    scores = [epoch["validation_map"] for epoch in hasher.history_]
    assert len(scores) == 3
    expected = score_by_hand(hasher, X, y, queries, database)
    assert scores[-1] == pytest.approx(expected, abs=1e-12)
    assert scores[0] != scores[-1]


@deep_hashers
def test_several_labels_a_row_are_scored_by_what_is_shared(cls):
    X, Y = make_multilabel_classification(
        100, 20, n_classes=5, allow_unlabeled=False, random_state=0
    )
    for labels in (Y, sparse.csr_array(Y)):
        hasher, queries, database = fit_and_rows(cls, X, labels, max_epochs=1)
        expected = score_by_hand(hasher, X, Y, queries, database)
        assert hasher.history_[0]["validation_map"] == pytest.approx(expected)


@deep_hashers
def test_rows_held_out_are_not_trained_on(cls, digits):
    X, y = digits
    hasher, queries, database = fit_and_rows(cls, X, y)
    spoiled = X.copy()
    spoiled[queries] = 1e6 * np.random.default_rng(0).standard_normal((1, 64))
    again, *rows = fit_and_rows(cls, spoiled, y)
    np.testing.assert_array_equal(rows[0], queries)
    np.testing.assert_array_equal(
        again.decision_function(X), hasher.decision_function(X)
    )
    curves = [
        [epoch["validation_map"] for epoch in h.history_] for h in (again, hasher)
    ]
    assert curves[0] != curves[1]
    spoiled = X.copy()
    spoiled[database[0]] += 1
    changed, *_ = fit_and_rows(cls, spoiled, y)
    assert (changed.decision_function(X) != hasher.decision_function(X)).any()
    for name in ("memory", "codes", "target_codes"):
        state = getattr(hasher.net_.criterion_, name, None)
        assert state is None or len(state) == len(database)


@deep_hashers
def test_the_training_is_the_same_with_scores_and_without(cls, digits):
    X, y = digits
    hasher, *_ = fit_and_rows(cls, X, y, max_epochs=4)

    class NoScore:
        def mean_average_precision(self, net):
            return 0.0

    class Blind(Callback):
        def on_train_begin(self, net, **kwargs):
            vars(net.plan)["held_out"] = NoScore()

    parameters = {"validation_fraction": 0.2, "batch_size": 30, "max_epochs": 4}
    blind = make(cls, callbacks=[Blind()], **parameters).fit(X, y)
    np.testing.assert_array_equal(
        blind.decision_function(X), hasher.decision_function(X)
    )


@pytest.fixture
def scripted(monkeypatch):
    """Let the validation mAP of the epochs be what is said."""

    def script(scores):
        scores = iter(scores)
        monkeypatch.setattr(
            HeldOutRows, "mean_average_precision", lambda self, net: next(scores)
        )

    return script


@deep_hashers
@pytest.mark.parametrize(
    ("scores", "patience", "n_epochs"),
    [
        ([0.1, 0.5, 0.4, 0.5, 0.9], 2, 4),
        ([0.2, 0.5, 0.3, 0.9], 1, 3),
        ([0.3, 0.5, 0.1, 0.2, 0.4], 9, 5),
    ],
    ids=["no better for two epochs", "no better for one", "never stopped"],
)
def test_the_fit_ends_after_epochs_without_a_better_one_and_goes_back_to_the_best(
    cls, scores, patience, n_epochs, digits, scripted
):
    X, y = digits
    shared = {"validation_fraction": 0.2, "lr_schedule": None, "batch_size": 50}
    scripted(scores)
    hasher = make(cls, max_epochs=5, n_iter_no_change=patience, **shared).fit(X, y)
    assert hasher.n_iter_ == n_epochs
    scripted(scores)
    best = make(cls, max_epochs=2, **shared).fit(X, y)
    np.testing.assert_array_equal(
        hasher.decision_function(X), best.decision_function(X)
    )
    for name, value in best.net_.criterion_.state_dict().items():
        assert torch.equal(hasher.net_.criterion_.state_dict()[name], value)
    curve = [epoch["validation_map"] for epoch in hasher.history_]
    assert curve == scores[:n_epochs]


@deep_hashers
def test_the_score_of_the_fitted_hasher_is_the_best_of_all_epochs(cls, digits):
    X, y = digits
    hasher, queries, database = fit_and_rows(
        cls, X, y, max_epochs=8, n_iter_no_change=2, lr=0.03
    )
    scores = [epoch["validation_map"] for epoch in hasher.history_]
    expected = score_by_hand(hasher, X, y, queries, database)
    assert max(scores) == pytest.approx(expected, abs=1e-12)
    last_better = int(np.argmax(scores)) + 1
    assert hasher.n_iter_ == min(8, last_better + 2)


@deep_hashers
def test_counting_epochs_needs_rows_held_out(cls, digits):
    hasher = make(cls, n_iter_no_change=3)
    before = vars(hasher).copy()
    with pytest.raises(
        ValueError, match="n_iter_no_change=3 .* needs a validation_fraction"
    ):
        hasher.fit(*digits)
    assert vars(hasher) == before


@deep_hashers
@pytest.mark.parametrize(
    "parameters",
    [
        {"validation_fraction": 0},
        {"validation_fraction": 1.0},
        {"validation_fraction": 3},
        {"validation_fraction": "half"},
        {"n_iter_no_change": 0, "validation_fraction": 0.1},
        {"n_iter_no_change": 1.5, "validation_fraction": 0.1},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(cls, parameters, digits):
    name = next(iter(parameters))
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        make(cls, **parameters).fit(*digits)


@each_of(PAIRWISE)
def test_pairs_cannot_be_scored(cls, digits):
    hasher = make(cls, validation_fraction=0.2)
    with pytest.raises(ValueError, match=r"validation_fraction=0.2 needs labels"):
        hasher.fit(digits[0], pairs=([0, 1], [2, 3], [1, 0]))


class Stream(IterableDataset):
    def __init__(self, X, y):
        self.rows = X, y

    def __iter__(self):
        return zip(*self.rows, strict=True)


@each_of(DEEP_STREAMING)
def test_rows_of_a_stream_cannot_be_held_out(cls, digits):
    hasher = make(cls, validation_fraction=0.2)
    with pytest.raises(ValueError, match=r"validation_fraction=0.2 keeps rows apart"):
        hasher.fit(Stream(*digits))


@each_of(CONTRASTIVE)
def test_labels_for_the_score_are_not_learnt_from(cls, digits, monkeypatch):
    X, y = digits
    monkeypatch.setattr(
        "sklhash.hashers.assembly.held_out_places",
        lambda targets, fraction, rng: np.arange(0, 150, 5),
    )
    hasher, *_ = fit_and_rows(cls, X, y)
    other, *_ = fit_and_rows(cls, X, np.random.default_rng(0).permutation(y))
    np.testing.assert_array_equal(hasher.transform(X), other.transform(X))
    scores = [h.history_[-1]["validation_map"] for h in (hasher, other)]
    assert scores[0] > scores[1] + 0.1
    assert not hasattr(hasher, "classes_")


@each_of(CONTRASTIVE)
def test_without_a_score_labels_are_not_looked_at(cls, digits):
    X, _ = digits
    codes = make(cls).fit(X).transform(X)
    np.testing.assert_array_equal(make(cls).fit(X, "nonsense").transform(X), codes)
    with pytest.raises(ValueError, match="requires y .* validation_fraction scores by"):
        make(cls, validation_fraction=0.2).fit(X)


@each_of(DEEP_STREAMING)
def test_partial_fit_holds_nothing_out(cls, digits):
    X, y = digits
    plain = make(cls).partial_fit(X, y).partial_fit(X, y)
    hasher = make(cls, validation_fraction=0.2, n_iter_no_change=1)
    hasher.partial_fit(X, y).partial_fit(X, y)
    assert all("validation_map" not in epoch for epoch in hasher.history_)
    np.testing.assert_array_equal(
        hasher.decision_function(X), plain.decision_function(X)
    )


@each_of([OrthoHash, DPSH, NSH])
@pytest.mark.parametrize(
    "container", ["memory map", "float16 memory map", "csr", "csc", "int"]
)
def test_rows_are_held_out_of_any_container(cls, container, digits, tmp_path):
    X, y = digits
    expected, *rows = fit_and_rows(cls, X, y, max_epochs=2)
    if "map" in container:
        np.save(
            tmp_path / "X.npy", X.astype(np.float16 if "16" in container else X.dtype)
        )
        given_X = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        convert = {"csr": sparse.csr_array, "csc": sparse.csc_array}
        given_X = convert.get(container, lambda X: X.astype(np.int64))(X)
    hasher, *same = fit_and_rows(cls, given_X, y, max_epochs=2)
    np.testing.assert_array_equal(same[0], rows[0])
    np.testing.assert_array_equal(hasher.transform(X), expected.transform(X))
    for epoch, other in zip(hasher.history_, expected.history_, strict=True):
        assert epoch["validation_map"] == pytest.approx(other["validation_map"])


def test_a_grid_search_goes_over_early_stopping(digits):
    X, y = digits
    hasher = make(OrthoHash, validation_fraction=0.2, max_epochs=6)
    search = GridSearchCV(hasher, {"n_iter_no_change": [1, 3, None]}, cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert "validation_map" in search.best_estimator_.history_[-1]


def test_the_training_curve_shows_the_score(digits):
    hasher, *_ = fit_and_rows(OrthoHash, *digits)
    display = TrainingCurveDisplay.from_estimator(hasher)
    line = display.lines_[display.quantities_.index("validation_map")]
    scores = [epoch["validation_map"] for epoch in hasher.history_]
    np.testing.assert_allclose(line.get_ydata(), scores)
    assert list(line.get_xdata()) == [1, 2, 3]


@deep_hashers
def test_nothing_of_the_rows_held_out_stays_with_the_model(cls, digits):
    hasher, *_ = fit_and_rows(cls, *digits)
    assert hasher.net_.plan.held_out is None
