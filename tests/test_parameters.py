"""Every parameter of everything public refuses what it does not take, by its name."""

import contextlib
import inspect
import re

import matplotlib.pyplot as plt
import pytest
from sklearn.utils._param_validation import Interval, StrOptions, make_constraint
from torch import nn

from sklhash import HammingNeighbors, HashedNeighbors, TorchFeatureExtractor
from tests.calls import CALLS
from tests.calls.data import CODES, IMAGE, INFINITY, NAN, X, Y, unfitted
from tests.calls.public import estimators, parameters_of, public_callables

PUBLIC = public_callables()
ESTIMATORS = estimators()


class Foreign:
    """No value for any parameter."""

    def __repr__(self):
        return "<an object of another library>"


def test_the_table_has_a_call_of_everything_public():
    assert set(CALLS) == set(PUBLIC)
    for name, call in CALLS.items():
        parameters = set(parameters_of(PUBLIC[name]))
        assert set(call.arguments) <= parameters
        assert set(call.ignored) <= parameters
        assert all(call.ignored.values())


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_every_parameter_of_an_estimator_has_a_constraint(cls):
    assert set(cls._parameter_constraints) == set(parameters_of(cls))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_valid_call_is_accepted(name):
    CALLS[name].make()(**CALLS[name].arguments)
    plt.close("all")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_arguments_that_are_wrong_are_named(name):
    call, problems = CALLS[name], []
    constraints = getattr(PUBLIC[name], "_skl_parameter_constraints", {})
    for parameter in parameters_of(PUBLIC[name]):
        if parameter in call.ignored:
            continue
        for value in wrong_values(constraints.get(parameter, ())):
            problems += problem_with(call, parameter, value)
        for value in call.wrong.get(parameter, ()):
            problems += problem_with(call, parameter, value)
    plt.close("all")
    assert problems == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_parameters_that_are_wrong_are_named_by_fit(cls):
    problems = []
    for parameter, constraints in cls._parameter_constraints.items():
        wrong = [*wrong_values(constraints), *NESTED.get(parameter, ())]
        for value in wrong:
            estimator, data = valid(cls)
            estimator.set_params(**{parameter: value})
            with of_whom_nothing_changes(estimator):
                problems += named(estimator.fit, data, parameter, value)
    assert problems == []


NESTED = {
    "hidden_layer_sizes": [(0,), (2.0,), ("8",), (True,), (-1, 8), "88"],
    "net_params": [{"lr": 0.1}, {1: 2}, {"no_such__setting": 1}],
    "callbacks": [[Foreign()], [("name", Foreign())], [3]],
    "codebook": [[[1]], [["a"] * 4] * 2, [[1, 2, 1, 1]] * 2],
    "device": ["abacus", "cuda:99"],
    "size": [(0, 1), (1, 2, 3), ("a", "b"), (True, True), (2.0, 2.0)],
    "backbone": [lambda: Foreign()],
    "module": [lambda: Foreign()],
    "layer": ["no such layer"],
    "output": ["no such output", 99],
    "augment": [lambda x: Foreign()],
    "lr_schedule": [lambda epoch, max_epochs: "fast"],
    "continuation": [lambda step, n_steps: "fast"],
    "n_jobs": [0],
    "neighbors": [HammingNeighbors(threshold=0.0)],
}


def valid(cls):
    """Return an estimator that can be fitted, and what to fit it on."""
    if cls is HashedNeighbors:
        return HashedNeighbors(unfitted("LSH")), {"X": X, "y": Y}
    if cls is TorchFeatureExtractor:
        return TorchFeatureExtractor(nn.Linear(6, 2), device="cpu"), {"X": X}
    if cls is HammingNeighbors:
        return HammingNeighbors(), {"X": CODES, "y": Y}
    if not hasattr(cls, "n_bits"):
        return cls(), {"X": [IMAGE]}
    return unfitted(cls.__name__), {"X": X, "y": Y}


def wrong_values(constraints):
    """Yield an object of another type, and the values that intervals exclude."""
    yield Foreign()
    values = []
    for constraint in constraints:
        if isinstance(constraint, StrOptions):
            values.append("another option")
        if isinstance(constraint, Interval):
            ends = {constraint.left, constraint.right} - {None}
            values += [end + step for end in ends for step in (-1, 0, 1)]
            values += [NAN, INFINITY, -INFINITY, True, "1"]
    for value in values:
        if not any(make_constraint(c).is_satisfied_by(value) for c in constraints):
            yield value


def problem_with(call, parameter, value):
    function = call.make()
    with of_whom_nothing_changes(getattr(function, "__self__", None)):
        return named(function, {**call.arguments, parameter: value}, parameter, value)


def named(function, arguments, parameter, value):
    """Return what is wrong with the error, in a list that is empty if nothing is."""
    try:
        function(**arguments)
    except (TypeError, ValueError) as error:
        if re.search(rf"(?<!\w){parameter}(?!\w)", str(error)):
            return []
        return [f"{parameter}={value!r} is not named by {error!r}"]
    except Exception as error:
        return [f"{parameter}={value!r} raises {error!r}"]
    return [f"{parameter}={value!r} is accepted"]


@contextlib.contextmanager
def of_whom_nothing_changes(it):
    if inspect.isclass(it) or not hasattr(it, "__dict__"):
        yield
        return
    before = vars(it).copy()
    yield
    assert vars(it).keys() == before.keys()
    assert all(vars(it)[name] is value for name, value in before.items())
