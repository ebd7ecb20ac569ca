import numpy as np
import pytest

from sklhash import LSH
from sklhash._state import (
    FEATURES,
    absent_or,
    array_of,
    check_state,
    fields,
    fitted_attributes,
    flag,
    list_of,
    none_or,
    number,
    number_or_array_of,
    size,
    strings,
    whole,
    word,
)

CHECKS = {
    "n_bits_": size("n_bits"),
    "components_": array_of("f4", "n_bits", "n_columns"),
    "means_": none_or(array_of("f", "n_columns")),
    "chosen_": absent_or(array_of("i8", "n_bits", below="n_columns")),
}
STATE = {
    "n_bits_": 2,
    "components_": np.zeros((2, 3), np.float32),
    "means_": np.zeros(3),
    "chosen_": np.array([0, 2]),
}


def test_what_fits_is_accepted_and_its_sizes_are_returned():
    assert check_state(STATE, CHECKS, of="It") == {"n_bits": 2, "n_columns": 3}
    known = {name: STATE[name] for name in ("n_bits_", "components_")}
    check_state(known | {"means_": None}, CHECKS, of="It")
    check_state(STATE | {"other_": 1}, CHECKS, of="It", others=True)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"n_bits_": 3},
            r"components_ of It .* shape \(3, 'n_columns'\), got \(2, 3\)",
        ),
        ({"n_bits_": 0}, "n_bits_ of It must be a whole number from 1 on, got 0"),
        ({"n_bits_": True}, "n_bits_ of It must be a whole number .* got True"),
        ({"means_": np.zeros(2)}, r"means_ of It .* shape \(3,\), got \(2,\)"),
        ({"means_": np.zeros((3, 1))}, r"means_ .* shape \(3,\), got \(3, 1\)"),
        ({"means_": np.zeros(3, int)}, "means_ of It .* dtype f, got int64"),
        ({"means_": [0.0, 0.0, 0.0]}, "means_ of It must be an array, got list"),
        ({"chosen_": np.array([0, 3])}, "chosen_ of It .* indices below 3"),
        ({"chosen_": np.array([-1, 0])}, "chosen_ of It .* indices below 3"),
        ({"components_": np.zeros((2, 3))}, "components_ .* dtype f4, got float64"),
        ({"transform": 1}, r"It has no fitted attributes \['transform'\]"),
    ],
)
def test_what_does_not_fit_is_refused(changed, reason):
    with pytest.raises(ValueError, match=reason):
        check_state(STATE | changed, CHECKS, of="It")


def test_what_is_missing_is_named():
    known = {name: STATE[name] for name in ("n_bits_", "means_")}
    with pytest.raises(ValueError, match="It has to have .* components_"):
        check_state(known, CHECKS, of="It")


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (whole(), [0, 7, np.int64(3)], [-1, 1.0, True, None, "1"]),
        (number, [0, 0.5, np.float32(2), np.int64(3)], [True, None, "1", [1]]),
        (flag, [True, False], [0, 1, None, np.bool_(True)]),
        (word, ["full", ""], [b"full", None, 1]),
        (list_of(number), [[], [1, 0.5], (2,)], [None, 1, ["a"], np.zeros(2)]),
        (
            number_or_array_of("f", "n"),
            [3, 2.5, np.zeros(4)],
            [None, np.zeros(4, int), np.zeros((1, 1)), "3"],
        ),
        (
            fields(a=whole(), b=absent_or(word)),
            [{"a": 1}, {"a": 1, "b": "x"}],
            [{}, {"a": 1, "c": 2}, {"a": -1}, {"a": 1, "b": 2}, None, [1]],
        ),
        (
            strings("n"),
            [np.array(["a", "b"], dtype=object)],
            [np.array(["a", "b"]), np.array(["a", 1], dtype=object), ["a"], None],
        ),
    ],
)
def test_a_check_tells_right_from_wrong(check, right, wrong):
    for value in right:
        check(value, {})
    for value in wrong:
        with pytest.raises(ValueError, match=r"\w+"):
            check(value, {})


def test_fitted_attributes_are_neither_parameters_nor_settings():
    hasher = LSH(4, random_state=0).fit(np.eye(3)).set_output(transform="default")
    assert set(fitted_attributes(hasher)) == LSH._fitted.keys() - {"feature_names_in_"}
    assert FEATURES.keys() <= LSH._fitted.keys()
