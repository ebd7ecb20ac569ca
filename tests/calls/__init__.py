"""A valid call of everything public, and values that its parameters may not have."""

from tests.calls.displays import DISPLAYS
from tests.calls.estimators import ESTIMATORS
from tests.calls.functions import FUNCTIONS

__all__ = ["CALLS"]

CALLS = {**ESTIMATORS, **FUNCTIONS, **DISPLAYS}
"""Calls by the names of :func:`tests.calls.public.public_callables`."""
