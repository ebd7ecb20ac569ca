"""Stage one of CNNH, against plain numpy with the whole similarity matrix."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sklhash._kernels.factorization import change_along_entry, guarded_step
from sklhash.hashers.factorization import LabelSets, PairEntries, factorize
from sklhash.pairs import Pairs
from sklhash.targets import encode_targets


def matrix_of(labels):
    """The similarity matrix of a label indicator, -1 and +1."""
    return np.where(labels @ labels.T > 0, 1.0, -1.0)


def objective(codes, S, known=1.0):
    n_bits = codes.shape[1]
    return np.sum(known * (n_bits * S - codes @ codes.T) ** 2)


def derivatives(codes, S, i, k, known):
    """Slope and curvature of the objective along one entry, as in the card."""
    R = known * (codes @ codes.T - codes.shape[1] * S)
    slope = 4 * R[i] @ codes[:, k]
    curvature = 4 * (known[i] @ codes[:, k] ** 2 + codes[i, k] ** 2 + R[i, i])
    return slope, curvature


def plain_sweep(codes, S, order, known):
    """The method by the book: one residual matrix, recomputed at every entry."""
    codes = codes.copy()
    for i in order:
        for k in range(codes.shape[1]):
            slope, curvature = derivatives(codes, S, i, k, known)
            codes[i, k] += guarded_step(codes[i, k], slope, curvature)
    return codes


def some_labels(kind, n=24):
    rng = np.random.default_rng(0)
    if kind == "classes":
        return np.eye(4)[rng.integers(4, size=n)]
    if kind == "own class each":
        return np.eye(n)
    labels = (rng.random((n, 7)) < 0.25).astype(float)
    labels[~labels.any(axis=1), 0] = 1
    return labels


def label_sets(labels):
    return LabelSets(encode_targets(labels).labels)


def all_pairs(S):
    i, j = np.triu_indices(len(S), 1)
    return PairEntries(Pairs(len(S), i, j, (S[i, j] > 0).astype(np.float32)))


def some_pairs(n=24, n_pairs=70):
    """Pairs, and the matrix and the mask that say the same."""
    rng = np.random.default_rng(1)
    i, j = rng.permuted(np.stack(np.triu_indices(n, 1)).T, axis=1).T
    chosen = rng.permutation(len(i))[:n_pairs]
    i, j = i[chosen], j[chosen]
    similarity = rng.integers(2, size=n_pairs)
    S, known = np.eye(n), np.eye(n)
    S[i, j] = S[j, i] = 2 * similarity - 1
    known[i, j] = known[j, i] = 1
    return PairEntries(Pairs(n, i, j, similarity.astype(np.float32))), S, known


def cases():
    for kind in ("classes", "labels", "own class each"):
        S = matrix_of(some_labels(kind))
        known = np.ones_like(S)
        yield pytest.param(label_sets(some_labels(kind)), S, known, id=kind)
        yield pytest.param(all_pairs(S), S, known, id=f"{kind} as pairs")
    yield pytest.param(*some_pairs(), id="some pairs")


each_similarity = pytest.mark.parametrize(("similarity", "S", "known"), list(cases()))


def test_spot_values():
    S, codes = np.array([[1.0, -1], [-1, 1]]), np.full((2, 1), 0.5)
    assert label_sets(np.eye(2)).error(codes) == pytest.approx(4.25)
    assert all_pairs_error(codes) == pytest.approx(4.25)
    assert derivatives(codes, S, 0, 0, np.ones((2, 2))) == (1, 0)
    assert guarded_step(0.5, 1.0, 0.0) == -1.5
    assert change_along_entry(0.5, 1.0, 0.0, -1.5) == -1.5 - 6.75 + 5.0625


def all_pairs_error(codes):
    return PairEntries(
        Pairs(2, np.array([1]), np.array([0]), np.zeros(1, dtype=np.float32))
    ).error(codes)


@each_similarity
def test_the_error_is_that_of_the_whole_matrix(similarity, S, known):
    codes = np.random.default_rng(2).uniform(-1, 1, (len(S), 5))
    assert similarity.error(codes) == pytest.approx(objective(codes, S, known))
    assert similarity.n_entries == known.sum()
    assert similarity.n_rows == len(S)


@each_similarity
def test_a_sweep_is_that_with_the_whole_matrix(similarity, S, known):
    rng = np.random.default_rng(3)
    codes = rng.uniform(-1, 1, (len(S), 6))
    for _ in range(2):
        order = rng.permutation(len(S))
        expected = plain_sweep(codes, S, order, known)
        before = objective(codes, S, known)
        change = similarity.sweep(codes, order)
        np.testing.assert_allclose(codes, expected, atol=1e-9)
        assert change <= 0
        assert before + change == pytest.approx(objective(codes, S, known))
        assert np.abs(codes).max() <= 1


@each_similarity
def test_derivatives_and_the_quartic_are_those_of_the_objective(similarity, S, known):
    rng = np.random.default_rng(4)
    codes = rng.uniform(-1, 1, (len(S), 5))
    for i, k in zip(rng.integers(len(S), size=9), rng.integers(5, size=9), strict=True):
        slope, curvature = derivatives(codes, S, i, k, known)

        def moved(step, i=i, k=k):
            there = codes.copy()
            there[i, k] += step
            return objective(there, S, known)

        for step in (-1.5, -0.2, 0.3, 2.0):
            assert change_along_entry(
                codes[i, k], slope, curvature, step
            ) == pytest.approx(moved(step) - moved(0))
        eps = 1e-3
        assert (moved(eps) - moved(-eps)) / (2 * eps) == pytest.approx(
            slope, rel=1e-4, abs=1e-2
        )
        assert (moved(eps) - 2 * moved(0) + moved(-eps)) / eps**2 == pytest.approx(
            curvature, rel=1e-3
        )


numbers = st.floats(-1e4, 1e4, allow_subnormal=False)


@given(st.floats(-1, 1), numbers, numbers)
def test_a_guarded_step_stays_inside_and_never_raises_the_objective(
    entry, slope, curvature
):
    step = guarded_step(entry, slope, curvature)
    assert -1 - entry <= step <= 1 - entry
    change = change_along_entry(entry, slope, curvature, step)
    assert change <= 0
    newton = -slope / curvature if curvature > 0 else None
    if newton is not None and -1 - entry <= newton <= 1 - entry:
        plain = change_along_entry(entry, slope, curvature, newton)
        assert step == newton if plain <= 0 else plain > change


@pytest.mark.parametrize(
    ("entry", "slope", "curvature", "expected"),
    [
        (0.0, 1.0, 4.0, -0.25),  # Newton
        (0.5, -1.0, 1.0, 0.5),  # Newton would leave the cube
        (0.5, 1.0, 0.0, -1.5),  # downhill to the bound
        (0.5, -1.0, -9.0, 0.5),
        (0.0, -1.0, 1.0, 0.5),  # Newton rises by 0.5, half of it falls by 0.3125
        (0.5, -0.01, 0.02, -1.5),  # Newton and its half rise, so does the upper bound
        (0.0, 0.0, 1.0, 0.0),
    ],
)
def test_the_cases_of_the_guard(entry, slope, curvature, expected):
    assert guarded_step(entry, slope, curvature) == expected


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 25),
    st.integers(1, 9),
    st.integers(1, 6),
)
def test_the_error_never_rises(seed, n_rows, n_bits, n_labels):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n_rows, n_labels)) < 0.4).astype(float)
    labels[~labels.any(axis=1), 0] = 1
    S = matrix_of(np.c_[labels, np.zeros(n_rows)])
    for similarity in (label_sets(np.c_[labels, np.zeros(n_rows)]), all_pairs(S)):
        codes, errors = factorize(similarity, n_bits, 4, np.random.default_rng(seed))
        assert (np.diff(errors) <= 0).all()
        assert np.abs(codes).max() <= 1
        naive = objective(codes, S) / (n_rows * n_bits) ** 2
        assert errors[-1] == pytest.approx(naive, abs=1e-12)


def test_two_classes_have_opposite_codes_and_no_error():
    y = np.arange(30) % 2
    start = np.where(y[:, None] == 0, 0.3, -0.3) * np.array([1, -1, 1, 1])
    similarity = label_sets(np.eye(2)[y])
    for _ in range(5):
        similarity.sweep(start, np.arange(30))
    np.testing.assert_array_equal(start, np.sign(start))
    np.testing.assert_array_equal(start[y == 1], -start[:1].repeat(15, axis=0))
    assert similarity.error(start) == 0
    codes, errors = factorize(similarity, 4, 10, np.random.default_rng(0))
    assert errors[-1] == pytest.approx(0)
    assert ((codes[0] > 0) != (codes[1] > 0)).all()


# An even number of classes can be split in halves by every bit, and the relaxed bound
# (1 - 1/C) (1 - 1/(C - 1))^2 be reached; 3 classes have inner products of -1/3 at best.
@pytest.mark.parametrize(
    ("n_classes", "bound"), [(3, 8 / 27), (4, 1 / 3), (10, 0.7111)]
)
def test_the_error_nears_the_bound_of_balanced_classes(n_classes, bound):
    y = np.arange(600) % n_classes
    _, errors = factorize(
        label_sets(np.eye(n_classes)[y]), 24, 10, np.random.default_rng(0)
    )
    assert bound - 1e-4 < errors[-1] < bound + 0.02


@each_similarity
def test_the_order_of_the_rows_means_nothing_to_the_error(similarity, S, known):
    order = np.random.default_rng(5).permutation(len(S))
    codes = np.random.default_rng(6).uniform(-1, 1, (len(S), 5))
    permuted = objective(
        codes[order], S[np.ix_(order, order)], known[np.ix_(order, order)]
    )
    assert similarity.error(codes) == pytest.approx(permuted)


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_permuted_rows_have_permuted_codes(kind):
    labels = some_labels(kind)
    order = np.random.default_rng(5).permutation(len(labels))
    codes = np.random.default_rng(6).uniform(-1, 1, (len(labels), 5))
    permuted = codes[order].copy()
    label_sets(labels).sweep(codes, order)
    label_sets(labels[order]).sweep(permuted, np.arange(len(labels)))
    np.testing.assert_allclose(permuted, codes[order], atol=1e-9)


@pytest.mark.parametrize("kind", ["classes", "labels", "own class each"])
def test_a_row_belongs_to_the_set_of_its_labels(kind):
    labels = some_labels(kind)
    of_row = label_sets(labels).set_of_row
    np.testing.assert_array_equal(
        of_row[:, None] == of_row, (labels[:, None] == labels).all(axis=2)
    )


def test_a_pair_that_comes_again_counts_once_with_its_mean():
    i, j = np.array([0, 1, 0, 2, 1]), np.array([1, 0, 2, 0, 2])
    similarity = np.array([1, 1, 1, 0, 0], dtype=np.float32)
    S = np.array([[1, 1, 0], [1, 1, -1], [0, -1, 1]])
    codes = np.random.default_rng(0).uniform(-1, 1, (3, 4))
    entries = PairEntries(Pairs(3, i, j, similarity))
    assert entries.error(codes) == pytest.approx(objective(codes, S))
    assert entries.n_entries == 9


def test_unknown_pairs_are_free():
    pairs = Pairs(4, np.array([0, 2]), np.array([1, 3]), np.array([1, 0], np.float32))
    codes, errors = factorize(PairEntries(pairs), 8, 10, np.random.default_rng(0))
    signs = codes > 0
    assert (signs[0] == signs[1]).all()
    assert (signs[2] != signs[3]).all()
    assert errors[-1] == pytest.approx(0)


def test_seeds():
    similarity = label_sets(some_labels("labels"))
    one, again, other = (
        factorize(similarity, 6, 2, np.random.default_rng(seed))[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_memory_grows_with_the_rows_not_with_their_square(kind):
    n = 6000
    rng = np.random.default_rng(0)
    if kind == "classes":
        labels = sparse.csr_array(
            np.eye(10, dtype=np.float32)[rng.integers(10, size=n)]
        )
    else:  # every row has a label set of its own
        own = sparse.eye_array(n)
        labels = sparse.csr_array(
            sparse.hstack([own, sparse.random_array((n, 20), density=0.1, rng=0) > 0])
        )
        labels.data[:] = 1
    label_sets(labels[:100]).error(np.zeros((100, 8)))  # compile
    factorize(label_sets(labels[:100]), 8, 1, rng)
    tracemalloc.start()
    factorize(label_sets(labels), 8, 1, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n / 8  # a bit for each pair
