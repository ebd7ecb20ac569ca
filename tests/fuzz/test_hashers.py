"""Hashers learn from arbitrary rows and labels, or refuse them and stay as they are."""

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.cases import fuzz
from tests.fuzz.rules import NONE, REFUSED, Given, attempt
from tests.fuzz.strategies import (
    class_ids,
    class_labels,
    features,
    flags,
    indicators,
    label_sets,
    no_labels,
    seeds,
    vocabularies,
    whole_numbers,
)
from tests.hashers.methods import DEEP_HASHERS, HASHERS, STREAMING, SUPERVISED

SHALLOW = [cls for cls in HASHERS if cls not in DEEP_HASHERS]
TINY = {
    "hidden_layer_sizes": (),
    "max_epochs": 1,
    "device": "cpu",
    "max_iter": 2,
    "n_sweeps": 1,
    "latent_size": 4,
    "random_state": 0,
}


def bit_numbers(draw):
    usual = st.sampled_from([1, 2, 7, 8, 9, 16, 33, 64, 65])
    given = whole_numbers(draw, 1, usual)
    return Given(given.value) if given.says == 10**30 else given


def hashers(draw, classes):
    """A hasher of tiny settings, and what its numbers of bits and `packed` say."""
    cls = draw(st.sampled_from(classes))
    n_bits, packed = bit_numbers(draw), flags(draw)
    tiny = {name: TINY[name] for name in TINY if hasattr(cls, name)}
    if hasattr(cls, "n_anchors"):
        tiny["n_anchors"] = draw(st.sampled_from([1, 3, 300]))
    if "batch_size" in tiny or hasattr(cls, "batch_size"):
        tiny["batch_size"] = draw(st.sampled_from([2, 5, 64]))
    if hasattr(cls, "lr"):
        tiny["lr"] = draw(st.sampled_from([1e-3, 1e-3, 1.0, np.float32(0.1), 1]))
        tiny["hidden_layer_sizes"] = draw(st.sampled_from([(), (), (4,), [np.int8(3)]]))
        tiny["augment"] = draw(st.sampled_from([None, "gaussian", "dropout", "mixup"]))
    if cls.__name__ == "NSH":
        tiny["augment"] = "gaussian"
    return cls(n_bits.value, packed=packed.value, **tiny), n_bits, packed


def supervision(draw, hasher, n):
    """Labels of as many rows, mostly; None for hashers without labels."""
    kind = draw(st.integers(0, 9))
    if type(hasher) not in SUPERVISED:
        return Given(None, NONE) if kind else Given(np.arange(n) % 2, NONE)
    if kind < 6:
        ids = class_ids(draw, n, n)
        return class_labels(draw, ids, vocabularies(draw), right=True)
    if kind < 8:
        return indicators(draw, label_sets(draw, 3, n, n), right=True)
    if kind == 8:
        ids = class_ids(draw, n + 1, n + 1)
        return Given(ids)
    return no_labels(draw, n)


def check_fitted(hasher, n_bits, packed, X, rng):
    """Codes are right in shape, dtype and values, and a row's own."""
    values = attempt(hasher.decision_function, X=X)
    bits = attempt(hasher.set_params(packed=False).transform, X=X)
    assert values is not REFUSED
    assert bits is not REFUSED
    assert values.shape == bits.shape == (X.shape[0], n_bits)
    assert (values.dtype, bits.dtype) == (np.float32, np.uint8)
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(bits, values > 0)
    coded = attempt(hasher.set_params(packed=True).transform, X=X)
    np.testing.assert_array_equal(coded, np.packbits(bits, axis=1, bitorder="little"))
    row = int(rng.integers(X.shape[0]))
    alone = attempt(hasher.decision_function, X=np.asarray(X)[[row]])
    np.testing.assert_array_equal(alone[0], values[row])
    backwards = attempt(hasher.decision_function, X=np.asarray(X)[::-1])
    np.testing.assert_array_equal(backwards[::-1], values)
    hasher.set_params(packed=packed)
    return values


def learns(hasher, X, y, n_bits, packed, method="fit"):
    """Fit, and check what comes of it; return whether it was fitted."""
    before = dict(vars(hasher))
    answer = attempt(getattr(hasher, method), X=X.value, y=y.value)
    wrong = [given for given in (X, y, n_bits, packed) if given.says is None]
    if answer is REFUSED:
        assert vars(hasher) == before, "something is left of a fit that failed"
        return False
    assert not wrong, f"{wrong} should be refused"
    assert answer is hasher
    return True


def may_refuse(hasher, X, y):
    """Whether a hasher may find nothing to learn in right input."""
    if X.doubtful or y.doubtful or len(X.says) < 3:
        return True
    scale = np.abs(X.says.astype(float)).max()
    if scale > 1e9 or 0 < scale < 1e-9 or type(hasher) in DEEP_HASHERS:
        return True
    return type(hasher) in SUPERVISED


def fits(data, classes):
    hasher, n_bits, packed = hashers(data.draw, classes)
    X = features(data.draw)
    n = data.draw(st.integers(1, 8)) if X.says is None else len(X.says)
    y = supervision(data.draw, hasher, n)
    rng = np.random.default_rng(data.draw(seeds))
    fitted = learns(hasher, X, y, n_bits, packed)
    if not fitted:
        right = all(given.says is not None for given in (X, y, n_bits, packed))
        doubtful = n_bits.doubtful or (right and may_refuse(hasher, X, y))
        assert not right or doubtful, f"should not be refused: {attempt.error!r}"
        return
    values = check_fitted(hasher, n_bits.says, packed.value, X.says, rng)
    other = features(data.draw, None, X.says.shape[1])
    answer = attempt(hasher.decision_function, X=other.value)
    if other.says is None:
        assert answer is REFUSED
    elif not other.doubtful:
        assert answer.shape == (len(other.says), n_bits.says)
        assert np.isfinite(answer).all()
    again = type(hasher)(**hasher.get_params())
    assert attempt(again.fit, X=X.value, y=y.value) is again
    np.testing.assert_array_equal(again.decision_function(X.says), values)


@fuzz(0.5, data=st.data())
def test_shallow_hashers_learn_or_refuse(data):
    fits(data, SHALLOW)


@fuzz(0.2, data=st.data())
def test_deep_hashers_learn_or_refuse(data):
    fits(data, DEEP_HASHERS)


@fuzz(0.1, data=st.data())
def test_chunks_are_learnt_from_or_refused(data):
    hasher, n_bits, packed = hashers(data.draw, STREAMING)
    width = data.draw(st.sampled_from([1, 3, 8]))
    width_fitted = None
    for _ in range(data.draw(st.integers(1, 3))):
        other = data.draw(st.integers(0, 9)) == 0
        X = features(data.draw, None, None if other else width)
        n = data.draw(st.integers(1, 8)) if X.says is None else len(X.says)
        y = supervision(data.draw, hasher, n)
        before = width_fitted and hasher.decision_function(np.ones((1, width_fitted)))
        if learns(hasher, X, y, n_bits, packed, "partial_fit"):
            assert width_fitted in (None, X.says.shape[1])
            width_fitted = X.says.shape[1]
            rng = np.random.default_rng(0)
            check_fitted(hasher, n_bits.says, packed.value, X.says, rng)
        elif width_fitted:
            after = hasher.decision_function(np.ones((1, width_fitted)))
            np.testing.assert_array_equal(after, before)
