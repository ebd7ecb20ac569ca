"""The rule: a right answer, or an error that helps; never anything else."""

import dis
import re
import signal
import warnings
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from hypothesis import note
from scipy import sparse
from sklearn.exceptions import (
    DataConversionWarning,
    NotFittedError,
    UndefinedMetricWarning,
)
from sklearn.utils._param_validation import InvalidParameterError

REFUSED = object()
"""What a call gives that raises an error, as it should."""

NONE = object()
"""What None says where it is right."""

KINDS = (TypeError, ValueError, InvalidParameterError, NotFittedError)
SECONDS = 120  # after which a case hangs
DOCUMENTED = [
    (UserWarning, r"\d+ of \d+ bits are the same for all"),
    (UserWarning, r"\d+ of \d+ rows have no label"),
    (UserWarning, r"n_bits=\d+, but the data has \d+ principal"),
    (UserWarning, r"The database of protocol="),
    (UserWarning, r"X (has|does not have valid) feature names"),
    (DataConversionWarning, "A column-vector y was passed"),
    (UndefinedMetricWarning, "(Every|No) query has"),
]
SUBJECTS = {
    "classes",
    "codes",
    "feature",
    "features",
    "labels",
    "queries",
    "query",
    "rows",
    "samples",
}
"""What an error may be about, if not an argument by its name."""


class Given(NamedTuple):
    """What is passed for an argument, and what it says."""

    value: Any
    says: Any = None
    """None for what cannot be right."""

    doubtful: bool = False
    """Whether it may be refused, although it says something."""


def check(function, oracle, compare=np.testing.assert_array_equal, **arguments):
    """Check a call of `function` by an oracle.

    The oracle takes what the arguments say, and returns REFUSED where they do not go
    with each other.
    """
    answer = attempt(function, **{name: a.value for name, a in arguments.items()})
    wrong = [name for name, a in arguments.items() if a.says is None]
    if wrong:
        assert answer is REFUSED, f"{wrong} should be refused, got {answer!r}"
        return answer
    expected = oracle(**{name: meaning(a) for name, a in arguments.items()})
    if answer is REFUSED or expected is REFUSED:
        allowed = expected is REFUSED or any(a.doubtful for a in arguments.values())
        assert answer is REFUSED, f"should be refused, got {answer!r}"
        assert allowed, f"should not be refused: {attempt.error!r}"
        return answer
    compare(answer, expected)
    return answer


def meaning(argument):
    return None if argument.says is NONE else argument.says


def attempt(function, /, *args, **arguments):
    """Return the answer of a call, or REFUSED after an error that helps.

    Arguments must not change, warnings must be those that are documented.
    """
    before = state_of((args, arguments))
    with warnings.catch_warnings(), no_hang():
        warnings.simplefilter("ignore")
        note((function.__name__, args, arguments))
        warnings.simplefilter("error")
        for category, message in DOCUMENTED:
            warnings.filterwarnings("ignore", message, category)
        try:
            answer = function(*args, **arguments)
        except KINDS as error:
            check_error(error, {*arguments, *parameters_of(function)})
            attempt.error = error
            answer = REFUSED
    assert state_of((args, arguments)) == before, "an argument was changed"
    return answer


def parameters_of(function):
    """Return the names of the parameters of the estimator that a method is of."""
    estimator = getattr(function, "__self__", None)
    return estimator.get_params(deep=False) if hasattr(estimator, "get_params") else ()


def check_error(error, names):
    """An error is raised by a sentence in the library, and says what it is about."""
    frame, instruction = innermost(error)
    where = frame.f_globals["__name__"].partition(".")[0]
    raises = dis.opname[frame.f_code.co_code[instruction]] == "RAISE_VARARGS"
    message = str(error)
    is_written = raises and where in ("sklhash", "sklearn")
    words = set(re.findall(r"\w+", message))
    helps = len(message) >= 20 and words & (names | SUBJECTS)
    is_ours = type(error) in KINDS and is_written and bool(helps)
    is_ours |= type(error) is InvalidParameterError
    if not (is_ours or comes_from_sklearn(error)):
        raise AssertionError(f"this helps nobody: {error!r}") from error


def comes_from_sklearn(error):
    """Whether scikit-learn's validation raised it, whose words are its own."""
    traceback = error.__traceback__
    while traceback is not None:
        module = traceback.tb_frame.f_globals["__name__"]
        function = traceback.tb_frame.f_code.co_name
        if module == "sklearn.utils.validation" and "check" in function:
            return True
        traceback = traceback.tb_next
    return False


def innermost(error):
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame, traceback.tb_lasti


@contextmanager
def no_hang():
    def interrupt(*_):
        raise AssertionError(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def state_of(value):
    """Return what must be the same after a call."""
    if isinstance(value, np.ma.MaskedArray):
        return state_of(value.data), state_of(value.mask)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.tobytes()
    if sparse.issparse(value):
        return value.format, value.toarray().tobytes()
    if isinstance(value, dict):
        return [(name, state_of(v)) for name, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [state_of(v) for v in value]
    if hasattr(value, "to_numpy"):
        return state_of(value.to_numpy())
    return repr(value)
