"""What docstrings say of parameters is what the constraints allow."""

import inspect
from numbers import Integral

import pytest
from numpydoc.docscrape import NumpyDocString
from sklearn.utils._param_validation import Interval, StrOptions

from tests.calls.public import estimators, public_callables

RANGES = {
    "[0.0, inf)": "at least 0",
    "(0.0, inf)": "positive",
    "(0.0, 1.0)": "between 0 and 1",
    "[0.0, 1.0]": "from 0 to 1",
    "(0.0, 0.5]": "(0, 0.5]",
    "(-inf, inf)": "",
}
NAMED_IN_THE_NOTES = ("protocol",)
IN_WORDS = {"hidden_layer_sizes": "sequence", "at": "sequence", "history": "list"}


def documented():
    """Yield what has constraints, with its docstring and the constraints."""
    for cls in estimators():
        yield cls, cls._parameter_constraints
    for function in public_callables().values():
        checked = function.__init__ if inspect.isclass(function) else function
        if hasattr(checked, "_skl_parameter_constraints"):
            yield function, checked._skl_parameter_constraints


@pytest.mark.parametrize(
    ("function", "constraints"),
    [pytest.param(*pair, id=pair[0].__qualname__) for pair in documented()],
)
def test_docstrings_say_which_values_are_accepted(function, constraints):
    signature = inspect.signature(function).parameters
    for section in NumpyDocString(inspect.cleandoc(function.__doc__))["Parameters"]:
        for name in section.name.split(", "):
            if name in constraints:
                assert_agrees(name, section, constraints[name], signature[name].default)


def assert_agrees(name, section, constraints, default):
    if name not in NAMED_IN_THE_NOTES:
        for word in words_for(name, constraints):
            assert word in section.type, (name, section.type)
    if "random_state" not in constraints:
        assert ("None" in section.type) == (None in constraints), name
    if isinstance(default, str | int | float | None):
        told = f'"{default}"' if isinstance(default, str) else str(default)
        assert section.type.endswith(f"default={told}"), (name, section.type)
    for constraint in constraints:
        if isinstance(constraint, Interval) and constraint.type is not Integral:
            bounds = str(constraint).removeprefix("a float in the range ")
            assert RANGES[bounds] in " ".join(section.desc), (name, bounds)


def words_for(name, constraints):
    for constraint in constraints:
        if isinstance(constraint, StrOptions):
            yield from (f'"{option}"' for option in constraint.options)
        elif isinstance(constraint, Interval):
            yield "int" if constraint.type is Integral else "float"
        elif constraint is callable:
            yield "callable"
        elif constraint is str:
            yield "str"
        elif isinstance(constraint, str):
            yield {
                "boolean": "bool",
                "array-like": IN_WORDS.get(name, "array"),
                "verbose": "int",
            }.get(constraint, "")
