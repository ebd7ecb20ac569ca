"""What every hasher promises."""

import pickle
import signal
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from joblib import Parallel, delayed
from numpydoc.docscrape import NumpyDocString
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from skorch.callbacks import Callback, EarlyStopping

from sklhash import LSH, pack_codes
from sklhash.training.augment import FeatureDropout
from tests.hashers.methods import (
    DEEP_HASHERS,
    DEEP_STREAMING,
    HASHERS,
    SEEDED,
    STREAMING,
    SUPERVISED,
    make,
)
from tests.ids import plain

# PCAH has no more than that many bits of its own.
pytestmark = pytest.mark.filterwarnings("ignore:n_bits=.*principal:UserWarning")


def each_of(classes):
    return pytest.mark.parametrize("cls", classes, ids=lambda cls: cls.__name__)


all_hashers = each_of(HASHERS)
deep_hashers = each_of(DEEP_HASHERS)
supervised_hashers = each_of(SUPERVISED)
streaming_classifiers = each_of([cls for cls in DEEP_STREAMING if cls in SUPERVISED])


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400].astype(np.float32), y[:400]


def in_memory_map(X, folder):
    path = folder / "X.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


@all_hashers
@pytest.mark.parametrize("n_bits", [1, 12, 48, 100])
def test_bits_are_where_the_decision_function_is_positive(cls, n_bits, digits):
    if n_bits == 1:
        X, y = digits[0], digits[1] > 4
    else:
        X, y = digits
    hasher = make(cls, n_bits).fit(X, y)
    values, codes = hasher.decision_function(X), hasher.transform(X)
    assert values.shape == codes.shape == (len(X), n_bits)
    assert values.dtype == np.float32
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, values > 0)


@all_hashers
def test_packed_codes_are_the_bits_packed(cls, digits):
    hasher = make(cls, 12).fit(*digits)
    bits = hasher.transform(digits[0])
    packed = hasher.set_params(packed=True).transform(digits[0])
    np.testing.assert_array_equal(packed, pack_codes(bits))
    assert len(hasher.get_feature_names_out()) == 2


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("n_bits", "n_features"), [(4, 13), (16, 64), (64, 33), (12, 1)]
)
@pytest.mark.parametrize(
    ("cls", "parameters"),
    [
        *((cls, {}) for cls in HASHERS),
        *((cls, {"hidden_layer_sizes": ()}) for cls in DEEP_HASHERS),
    ],
    ids=plain,
)
def test_a_row_alone_has_the_values_it_has_in_any_batch(
    cls, parameters, n_bits, n_features, n_threads
):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((700, n_features))
    n_threads_before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        hasher = make(cls, n_bits, **parameters).fit(X, rng.integers(3, size=700))
        values = hasher.decision_function(X)
        order = rng.permutation(700)
        np.testing.assert_array_equal(hasher.decision_function(X[order]), values[order])
        for rows in ([0], [699], [257], range(255, 300), range(10, 700)):
            part = hasher.decision_function(X[list(rows)])
            np.testing.assert_array_equal(part, values[list(rows)])
            codes = hasher.transform(X[list(rows)])
            np.testing.assert_array_equal(codes, values[list(rows)] > 0)
    finally:
        torch.set_num_threads(n_threads_before)


@all_hashers
def test_features_come_in_any_container(cls, digits, tmp_path):
    X, y = digits
    expected = make(cls).fit(X, y).transform(X)
    readonly = X.copy()
    readonly.setflags(write=False)
    for container in (
        X.astype(np.float64),
        X.astype(np.float16),  # digits are whole numbers up to 16: exact
        X.astype(np.int64),
        X.astype(np.uint16),
        X.astype(">f4"),
        np.asfortranarray(X),
        X[:, ::-1].copy()[:, ::-1],
        readonly,
        X.tolist(),
        in_memory_map(X.astype(np.float16), tmp_path),
        pd.DataFrame(X).add_prefix("pixel"),
        pl.DataFrame(X),
        pa.table(pd.DataFrame(X).add_prefix("pixel")),
        sparse.csr_array(X),
        sparse.csr_matrix(X),
        sparse.csc_array(X),
        sparse.coo_array(X),
        torch.from_numpy(X.copy()),
        torch.from_numpy(X.copy()).bfloat16(),
        torch.from_numpy(X.copy()).requires_grad_(),
    ):
        codes = make(cls).fit(container, y).transform(container)
        np.testing.assert_array_equal(codes, expected, err_msg=str(type(container)))


@all_hashers
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_codes_go_into_frames(cls, library, digits):
    X, y = digits
    hasher = make(cls).set_output(transform=library)
    frame = hasher.fit_transform(X, y)
    expected = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library]
    assert isinstance(frame, expected)
    assert list(frame.columns) == [f"{cls.__name__.lower()}{j}" for j in range(16)]
    np.testing.assert_array_equal(frame.to_numpy(), make(cls).fit(X, y).transform(X))


@all_hashers
def test_memory_for_a_memory_map_is_that_of_a_block(cls, tmp_path, digits):
    X = np.tile(digits[0], (75, 4)).astype(np.float16)
    hasher = make(cls, packed=True).fit(X[:400], digits[1])
    mapped = in_memory_map(X, tmp_path)
    hasher.transform(mapped[:300])
    tracemalloc.start()
    hasher.transform(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6 < X.nbytes / 4


@each_of(SEEDED)
def test_the_same_seed_gives_the_same_codes(cls, digits):
    X, y = digits

    def codes(random_state):
        return make(cls, 70, random_state=random_state).fit(X, y).transform(X)

    np.testing.assert_array_equal(codes(3), codes(3))
    random_state = np.random.RandomState
    np.testing.assert_array_equal(codes(random_state(3)), codes(random_state(3)))
    shared = np.random.RandomState(3)
    assert (codes(shared) != codes(shared)).any()
    assert (codes(3) != codes(4)).any()
    assert (codes(None) != codes(None)).any()


@all_hashers
@pytest.mark.parametrize("random_state", [None, 0])
def test_global_generators_are_left_alone(cls, random_state, digits):
    X, y = digits
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    seed = {"random_state": random_state} if cls in SEEDED else {}
    hasher = make(cls, **seed).fit(X, y)
    hasher.transform(X)
    if cls in STREAMING:
        hasher.partial_fit(X, y)
    hasher.score(X, y)
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_equal(np.random.get_state(), numpy_before)  # noqa: NPY002


def fit_with_threads(hasher, X, y, n_threads):
    torch.set_num_threads(n_threads)
    return clone(hasher).fit(X, y).transform(X)


@all_hashers
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_give_the_same_codes(cls, backend, digits):
    X, y = digits
    hasher = make(cls)
    expected = hasher.fit(X, y).transform(X)
    fits = Parallel(n_jobs=2, backend=backend)(
        delayed(fit_with_threads)(hasher, X, y, torch.get_num_threads())
        for _ in range(4)
    )
    for codes in fits:
        np.testing.assert_array_equal(codes, expected)


@all_hashers
@pytest.mark.parametrize("way", ["pickle", "joblib", "memory map"])
def test_a_stored_hasher_gives_the_same_codes(cls, way, digits, tmp_path):
    X, y = digits
    hasher = make(cls).fit(X, y)
    if way == "pickle":
        loaded = pickle.loads(pickle.dumps(hasher))
    else:
        joblib.dump(hasher, tmp_path / "hasher")
        mode = "r" if way == "memory map" else None
        loaded = joblib.load(tmp_path / "hasher", mmap_mode=mode)
    np.testing.assert_array_equal(loaded.transform(X), hasher.transform(X))
    if cls in STREAMING:
        np.testing.assert_array_equal(
            loaded.partial_fit(X, y).transform(X), hasher.partial_fit(X, y).transform(X)
        )


@deep_hashers
@pytest.mark.filterwarnings("ignore:.*CUDA:skorch.exceptions.DeviceWarning")
def test_a_hasher_from_a_gpu_loads_without_one(cls, digits, monkeypatch):
    X, y = digits
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hasher = make(cls, device=device).fit(X, y)
    expected = hasher.transform(X)
    hasher.net_.device = "cuda"
    stored = pickle.dumps(hasher)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = pickle.loads(stored)
    assert str(loaded.net_.device) == "cpu"
    assert (loaded.transform(X) == expected).mean() > 0.999


@all_hashers
def test_clone_and_repr(cls, digits):
    hasher = make(cls, 24).fit(*digits)
    copied = clone(hasher)
    assert not hasattr(copied, "n_bits_")
    assert copied.get_params() == hasher.get_params()
    assert repr(hasher).startswith(f"{cls.__name__}(")
    assert "n_bits=24" in repr(hasher)


@all_hashers
def test_a_change_of_parameters_waits_for_the_next_fit(cls, digits):
    X, y = digits
    hasher = make(cls, 12).fit(X, y)
    codes = hasher.transform(X)
    hasher.set_params(n_bits=20)
    np.testing.assert_array_equal(hasher.transform(X), codes)
    assert hasher.fit(X, y).transform(X).shape == (len(X), 20)


@all_hashers
def test_tags(cls):
    tags = get_tags(cls())
    assert tags.input_tags.sparse
    assert tags.transformer_tags.preserves_dtype == []
    unsupervised = {"LSH", "PCAH", "ITQ", "SpectralHashing", "NSH", "CIBHash"}
    assert tags.target_tags.required == (cls.__name__ not in unsupervised)
    assert tags.target_tags.two_d_labels == (cls.__name__ not in unsupervised)


@all_hashers
def test_unfitted_hashers_say_so(cls, digits):
    for method in ("transform", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(cls(), method)(digits[0])


@all_hashers
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: np.where(X == 16, np.nan, X), "Input X contains NaN"),
        (lambda X: np.where(X == 16, np.inf, X), "Input X contains infinity"),
        (lambda X: np.where(X == 16, 1e300, X), "too large for dtype"),
        (lambda X: sparse.csr_array(np.where(X == 16, np.nan, X)), "contains NaN"),
        (lambda X: X[:, :, None], "dim 3"),
        (lambda X: X[:, :0], "0 feature"),
        (lambda X: X.astype(complex), "Complex data not supported"),
        (lambda X: np.ma.masked_greater(X, 15), "X has masked entries"),
    ],
)
def test_bad_features_are_refused_and_change_nothing(cls, spoil, message, digits):
    X, y = digits
    X = X.astype(np.float64)
    hasher = make(cls)
    with pytest.raises(ValueError, match=message):
        hasher.fit(spoil(X), y)
    assert not hasattr(hasher, "n_features_in_")
    hasher.fit(X[:, :32], y)
    before = hasher.transform(X[:, :32])
    with pytest.raises(ValueError, match=message):
        hasher.fit(spoil(X), y)
    with pytest.raises(ValueError, match=r"features|dim 3|feature|Complex|masked"):
        hasher.transform(spoil(X))
    np.testing.assert_array_equal(hasher.transform(X[:, :32]), before)


@all_hashers
def test_the_docstring_tells_of_every_parameter_and_attribute(cls, digits):
    doc = NumpyDocString(cls.__doc__)
    documented = [p.name for p in doc["Parameters"]]
    parameters = make(cls).get_params()
    assert sorted(documented) == sorted(parameters)
    assert all(p.desc for p in doc["Parameters"])
    for p in doc["Parameters"]:
        default = cls().get_params()[p.name]
        shown = f'"{default}"' if isinstance(default, str) else str(default)
        assert p.type.endswith(f"default={shown}")
    fitted = make(cls).fit(pd.DataFrame(digits[0]).add_prefix("p"), digits[1])
    public = {name for name in vars(fitted) if name.endswith("_")}
    assert public <= {a.name for a in doc["Attributes"]}
    assert all(hasattr(fitted, a.name) for a in doc["Attributes"])


@all_hashers
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_number_of_bits_may_be_of_any_integer_dtype(cls, dtype, digits):
    X, y = digits
    hasher = make(cls, dtype(12), packed=True).fit(X, y)
    expected = make(cls, 12, packed=True).fit(X, y).transform(X)
    np.testing.assert_array_equal(hasher.transform(X), expected)


@all_hashers
@pytest.mark.parametrize("n_bits", [0, 65_001, 10**30])
def test_codes_wider_than_a_search_takes_are_refused(cls, n_bits, digits):
    with pytest.raises(ValueError, match=r"'n_bits' .* range \[1, 65000\]"):
        make(cls, n_bits).fit(*digits)


@all_hashers
def test_rows_far_beyond_those_of_the_fit_have_a_code_or_are_refused(cls, digits):
    X, y = digits
    hasher, far = make(cls).fit(1e-30 * X, y), 1e10 * X[:3]
    try:
        is_refused = np.isnan(hasher.decision_function(far)).any()
    except ValueError:
        is_refused = True
    if is_refused:
        for encode in (hasher.decision_function, hasher.transform):
            with pytest.raises(ValueError, match="X has rows so much larger than"):
                encode(far)
    assert np.isfinite(hasher.decision_function(1e-30 * X)).all()


@all_hashers
def test_a_single_row_may_lie_backwards_in_memory(cls, digits):
    X, y = digits
    hasher = make(cls).fit(X, y)
    np.testing.assert_array_equal(
        hasher.transform(X[:1][::-1]), hasher.transform(X[:1])
    )


@all_hashers
@pytest.mark.parametrize(
    "X", [[["a", 1.0]], [[{}, 1.0]], pd.DataFrame({"a": [0.5], "b": ["x"]})], ids=plain
)
def test_features_that_are_no_numbers_are_refused(cls, X):
    with pytest.raises((TypeError, ValueError), match="string|real number"):
        make(cls).fit(X, [0])


@supervised_hashers
@pytest.mark.parametrize(
    "convert",
    [
        lambda y: np.array([f"digit {c}" for c in y]),
        lambda y: np.array([f"digit {c}" for c in y], dtype=object),
        lambda y: y.astype(float),
        lambda y: y.tolist(),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pl.Series(y),
        lambda y: torch.from_numpy(y),
        lambda y: np.eye(10)[y],
        lambda y: np.eye(10, dtype=bool)[y],
        lambda y: sparse.csr_array(np.eye(10)[y]),
        lambda y: sparse.csc_matrix(np.eye(10, dtype=int)[y]),
    ],
)
def test_labels_of_any_kind_teach_the_same(cls, convert, digits):
    X, y = digits
    expected = make(cls).fit(X, y).transform(X)
    hasher = make(cls).fit(X, convert(y))
    np.testing.assert_array_equal(hasher.transform(X), expected)
    assert len(hasher.classes_) == 10


@supervised_hashers
def test_labels_help(cls):
    X, y = load_digits(return_X_y=True)
    hasher = cls(32, random_state=0).fit(X[:800], y[:800])
    baseline = LSH(32, random_state=0).fit(X[:800])
    X, y = X[800:1200], y[800:1200]
    assert hasher.score(X, y) > baseline.score(X, y) + 0.2


@supervised_hashers
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_several_labels_a_row_help(cls, convert):
    X, Y = make_multilabel_classification(
        600, 30, n_classes=6, allow_unlabeled=False, random_state=0
    )
    hasher = cls(32, random_state=0).fit(X[:400], convert(Y[:400]))
    baseline = LSH(32, random_state=0).fit(X[:400])
    assert hasher.score(X[400:], Y[400:]) > baseline.score(X[400:], Y[400:]) + 0.03
    assert hasher.classes_.tolist() == list(range(6))


@supervised_hashers
def test_two_classes_may_be_bools(cls, digits):
    X, y = digits
    hasher = make(cls).fit(X, y > 4)
    assert hasher.classes_.tolist() == [False, True]


@supervised_hashers
def test_a_column_vector_is_ravelled_with_a_warning(cls, digits):
    X, y = digits
    with pytest.warns(DataConversionWarning):
        hasher = make(cls).fit(X, y[:, None])
    np.testing.assert_array_equal(hasher.transform(X), make(cls).fit(X, y).transform(X))


@supervised_hashers
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_rows_without_labels_are_left_out_with_a_warning(cls, convert, digits):
    X, y = digits
    labels = np.eye(10)[y]
    labels[::7] = 0
    labelled = labels.any(axis=1)
    with pytest.warns(UserWarning, match="58 of 400 rows have no label") as record:
        hasher = make(cls).fit(X, convert(labels))
    assert record[0].filename == __file__
    assert np.isfinite(hasher.decision_function(X)).all()
    alone = make(cls).fit(X[labelled], convert(labels[labelled]))
    np.testing.assert_array_equal(hasher.transform(X), alone.transform(X))


@supervised_hashers
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (np.zeros((400, 3)), "No row of y has a label"),
        (np.eye(400)[[0] * 400] * np.eye(400)[0], None),
        (np.zeros(400), "at least 2 classes .* got 1 class"),
        (np.r_[np.nan, np.ones(399)], "NaN or None"),
        (np.array([None] + ["a"] * 399, dtype=object), "NaN or None"),
        (np.linspace(0, 1, 400), "Unknown label type"),
        (np.arange(399) % 5, "inconsistent numbers of samples"),
        (np.full((400, 2), 2), "indicator of zeros and ones"),
        (sparse.csr_array(np.eye(400)[:, :2] * [[0, 1]]), "at least 2 labelled rows"),
    ],
)
def test_labels_that_teach_nothing_are_refused(cls, labels, message, digits):
    if message is None:
        labels = np.r_[np.eye(3)[:1], np.zeros((399, 3))]
        message = "at least 2 labelled rows"
    hasher = make(cls)
    with pytest.raises(ValueError, match=message):
        hasher.fit(digits[0], labels)
    assert not hasattr(hasher, "n_features_in_")


@deep_hashers
@pytest.mark.parametrize("n_samples", [2, 3, 5, 129, 257])
def test_few_rows_and_single_rows_left_over_train(cls, n_samples, digits):
    X, y = digits[0][:n_samples], np.arange(n_samples) % 2
    hasher = make(cls, batch_size=128).fit(X, y)
    assert np.isfinite(hasher.loss_curve_).all()
    assert np.isfinite(hasher.decision_function(X)).all()


@all_hashers
def test_a_class_with_one_row_and_constant_features_train(cls, digits):
    X, y = digits
    y = np.where(np.arange(len(y)) == 0, 99, y)
    hasher = make(cls).fit(np.ones_like(X), y)
    assert np.isfinite(hasher.decision_function(X)).all()


@all_hashers
@pytest.mark.parametrize("factor", [1e-6, 0.01, 100, 1e6])
def test_the_scale_of_the_features_does_not_matter(cls, factor, digits):
    X, y = digits
    score = make(cls).fit(X, y).score(X, y)
    assert make(cls).fit(factor * X, y).score(factor * X, y) == pytest.approx(
        score, abs=0.02
    )
    assert make(cls).fit(X + 1000, y).score(X + 1000, y) == pytest.approx(
        score, abs=0.02
    )


@deep_hashers
def test_the_history_has_a_line_an_epoch(cls, digits):
    hasher = make(cls, max_epochs=4).fit(*digits)
    assert hasher.n_iter_ == len(hasher.history_) == 4
    assert [epoch["epoch"] for epoch in hasher.history_] == [1, 2, 3, 4]
    assert hasher.loss_curve_ == [epoch["loss"] for epoch in hasher.history_]
    assert all(epoch["seconds"] > 0 for epoch in hasher.history_)
    assert hasher.loss_curve_[-1] < hasher.loss_curve_[0]


@deep_hashers
def test_only_verbose_fits_print(cls, digits, capsys):
    make(cls).fit(*digits)
    assert capsys.readouterr().out == ""
    make(cls, verbose=1).fit(*digits)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3/3" in printed.err
    make(cls, verbose=2).fit(*digits)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3


@deep_hashers
def test_no_row_is_split_off_for_validation(cls, digits):
    hasher = make(cls).fit(*digits)
    assert all("valid_loss" not in epoch for epoch in hasher.history_)
    assert hasher.net_.train_split is None


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c_interrupts():
    """Let Ctrl-C do what it does in the foreground; in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("cls", "method"),
    [
        *((cls, "fit") for cls in DEEP_HASHERS),
        *((cls, "partial_fit") for cls in DEEP_STREAMING),
    ],
)
@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_is_raised_and_changes_nothing(cls, method, digits):
    X, y = digits
    callbacks = [Interrupt()]
    hasher = make(cls, callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        hasher.fit(X, y)
    assert vars(hasher) == vars(make(cls, callbacks=callbacks))

    hasher = make(cls, max_epochs=1, callbacks=callbacks).fit(X, y)
    before, net = hasher.transform(X), hasher.net_
    hasher.set_params(max_epochs=3)
    with pytest.raises(KeyboardInterrupt):
        getattr(hasher, method)(X[::-1], y)
    assert hasher.net_ is net
    assert hasher.n_iter_ == 1
    np.testing.assert_array_equal(hasher.transform(X), before)


@deep_hashers
def test_a_training_that_diverges_is_an_error(cls, digits):
    hasher = make(cls, lr=1e30, lr_schedule=None)
    with pytest.raises(
        ValueError, match=r"loss is nan in batch \d of 4 of epoch \d.* than lr=1e\+30"
    ):
        hasher.fit(*digits)
    assert not hasattr(hasher, "net_")


@deep_hashers
def test_a_stored_hasher_holds_its_network_once(cls, digits):
    hasher = make(cls, optimizer="sgd", weight_decay=0).fit(*digits)
    weights, state = (
        sum(tensor.nbytes for tensor in part.state_dict().values())
        for part in (hasher.net_.module_, hasher.net_.criterion_)
    )
    momentum = weights
    assert len(pickle.dumps(hasher)) < 1.1 * (weights + momentum + state) + 20_000


@deep_hashers
def test_a_device_that_is_not_there_is_refused(cls, digits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda:0' is not available"):
        make(cls, device="cuda:0").fit(*digits)


@all_hashers
def test_very_wide_rows_are_mapped_a_few_at_a_time(cls):
    X = sparse.random_array((500, 100_000), density=1e-3, rng=0, format="csr")
    hasher = make(cls, **({"hidden_layer_sizes": ()} if cls in DEEP_HASHERS else {}))
    hasher.fit(X[:130], np.arange(130) % 3)
    tracemalloc.start()
    values = hasher.decision_function(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e7 < X.shape[0] * X.shape[1]
    np.testing.assert_array_equal(hasher.decision_function(X[[77]]), values[[77]])


@deep_hashers
def test_early_stopping_ends_the_fit(cls, digits):
    stopping = EarlyStopping("train_loss", patience=2, threshold=10)
    hasher = make(cls, max_epochs=9, callbacks=(stopping,)).fit(*digits)
    assert hasher.n_iter_ == 3
    assert hasher.transform(digits[0]).shape == (400, 16)


@each_of(DEEP_STREAMING)
def test_partial_fit_goes_on_from_where_it_was(cls, digits):
    X, y = digits
    hasher = make(cls, max_epochs=1).fit(X, y)
    streamed = make(cls).partial_fit(X, y, n_epochs=1)
    np.testing.assert_allclose(
        streamed.decision_function(X), hasher.decision_function(X), atol=1e-5
    )
    for _ in range(5):
        streamed.partial_fit(X, y, n_epochs=1)
    assert streamed.n_iter_ == 6
    assert streamed.loss_curve_[-1] < streamed.loss_curve_[0]


@each_of(DEEP_STREAMING)
def test_chunks_have_the_schedule_to_themselves_and_weigh_as_their_rows(cls, digits):
    X, y = digits
    hasher = make(cls, lr=1.0, lr_schedule="step", max_epochs=5)
    for rows in (slice(0, 100), slice(100, 400)):
        hasher.partial_fit(X[rows], y[rows])
    schedule = np.array([1, 1, 1, 1, 0.1])
    rates = [epoch["lr"] for epoch in hasher.history_]
    np.testing.assert_allclose(rates, [*schedule, *(0.75**1.2 * schedule)])
    hasher.partial_fit(X[:100], y[:100], n_epochs=1)
    assert hasher.history_[-1]["lr"] == pytest.approx(0.2**1.2)
    assert hasher.n_iter_ == 11


@streaming_classifiers
def test_partial_fit_fixes_the_classes_at_its_first_call(cls, digits):
    X, y = digits
    few = y < 3
    hasher = make(cls).partial_fit(X[few], y[few], classes=range(10))
    assert hasher.classes_.tolist() == list(range(10))
    hasher.partial_fit(X, y).partial_fit(X, y, classes=range(10))
    with pytest.raises(
        ValueError, match=r"classes=\[0, 1\] is not what the first call"
    ):
        hasher.partial_fit(X, y, classes=[0, 1])
    before = hasher.transform(X)
    for labels, message in [
        (y + 1, r"labels \[10\] that are not among the classes"),
        (np.array(["a"] * 400), "got strings and numbers"),
        (np.eye(11)[y], "got 11 columns and classes of shape"),
        (np.eye(10)[y], "of the kind .* fitted with: a vector of classes"),
    ]:
        with pytest.raises(ValueError, match=message):
            hasher.partial_fit(X, labels)
    np.testing.assert_array_equal(hasher.transform(X), before)
    with pytest.raises(ValueError, match="64 features"):
        hasher.partial_fit(X[:, :9], y)
    assert make(cls).partial_fit(X[few], y[few]).classes_.tolist() == [0, 1, 2]
    hasher.set_params(n_bits=5).partial_fit(X, y)
    assert hasher.transform(X).shape == (400, 16)


@streaming_classifiers
def test_partial_fit_keeps_the_order_of_named_labels(cls, digits):
    X, y = digits
    names = ["zero", "one", "two", "three", "four", *"56789"]
    hasher = make(cls).partial_fit(X, np.eye(10)[y], classes=names)
    hasher.partial_fit(X, np.eye(10)[y], classes=names).partial_fit(X, np.eye(10)[y])
    assert hasher.classes_.tolist() == names
    with pytest.raises(ValueError, match="fitted with: a label indicator"):
        hasher.partial_fit(X, np.array(names)[y])
    for classes, message in [
        (names[::-1], "is not what the first call"),
        (3, "is not what the first call"),
        (names[:9], "is not what the first call"),
    ]:
        with pytest.raises(ValueError, match=message):
            hasher.partial_fit(X, np.eye(10)[y], classes=classes)
    for classes, message in [
        (["a"] * 10, "must be different"),
        (10, "classes of shape"),
        ([names], "classes of shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(cls).partial_fit(X, np.eye(10)[y], classes=classes)
    with pytest.raises(ValueError, match="classes must be a vector"):
        make(cls).partial_fit(X, y, classes=[[1, 2]])


@deep_hashers
@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer": "sgd", "lr": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": torch.optim.RMSprop},
        {"optimizer": torch.optim.Rprop, "weight_decay": 0},
        {"lr_schedule": "step"},
        {"lr_schedule": "cosine"},
        {"lr_schedule": lambda epoch, max_epochs: 1 - epoch / max_epochs},
        {"augment": "gaussian"},
        {"augment": "mixup"},
        {"augment": FeatureDropout(0.1)},
        {"augment": lambda x: x + torch.randn_like(x)},
        {"hidden_layer_sizes": (32,)},
        {"hidden_layer_sizes": [32, 16]},
        {"hidden_layer_sizes": ()},
        {"batch_size": 7},
        {"net_params": {"optimizer__betas": (0.8, 0.9)}},
        {"optimizer": "sgd", "lr": 0.1, "net_params": {"optimizer__momentum": 0.5}},
    ],
    ids=plain,
)
def test_shared_parameters_have_an_effect(cls, parameters, digits):
    X, y = digits
    hasher = make(cls, max_epochs=5, **parameters).fit(X, y)
    plain = make(cls, max_epochs=5).fit(X, y)
    if parameters != {name: getattr(plain, name) for name in parameters}:
        assert (hasher.decision_function(X) != plain.decision_function(X)).any()
    assert hasher.loss_curve_[-1] < max(hasher.loss_curve_[:-1])


@deep_hashers
def test_the_learning_rate_follows_the_schedule(cls, digits):
    def rates(lr_schedule):
        hasher = make(cls, max_epochs=5, lr=1.0, lr_schedule=lr_schedule).fit(*digits)
        return [epoch["lr"] for epoch in hasher.history_]

    assert rates(None) == [1, 1, 1, 1, 1]
    assert rates("step") == pytest.approx([1, 1, 1, 1, 0.1])
    wave = 0.5 * (1 + np.cos(np.pi * np.arange(5) / 5))
    assert rates("cosine") == pytest.approx(wave)
    assert rates(lambda epoch, max_epochs: epoch + max_epochs) == [5, 6, 7, 8, 9]


@deep_hashers
@pytest.mark.parametrize(
    "name",
    ["lr", "module", "iterator_train", "criterion__margin", "optimizer__lr"],
)
def test_net_params_may_not_set_what_the_hasher_sets(cls, name, digits):
    with pytest.raises(ValueError, match=f"must not hold .*{name}"):
        make(cls, net_params={name: 1}).fit(*digits)


@deep_hashers
def test_unknown_net_params_are_refused(cls, digits):
    with pytest.raises(ValueError, match="unexpected argument.*colour"):
        make(cls, net_params={"colour": "red"}).fit(*digits)


@all_hashers
def test_a_hasher_caches_in_a_pipeline(cls, digits, tmp_path):
    X, y = digits
    pipeline = make_pipeline(make(cls), make(cls), memory=str(tmp_path))
    np.testing.assert_array_equal(
        pipeline.fit(X, y).transform(X), pipeline.fit(X, y).transform(X)
    )
