"""What is public: the callables that users call, found by walking the modules."""

import importlib
import inspect

from sklearn.base import BaseEstimator

MODULES = (
    "sklhash",
    "sklhash.codes",
    "sklhash.feature_extraction",
    "sklhash.hashers",
    "sklhash.metrics",
    "sklhash.metrics.plots",
    "sklhash.model_selection",
    "sklhash.neighbors",
)
# Made by users, and handed to hashers as parameters.
HELPERS = (
    ("sklhash.training.augment", "FeatureDropout"),
    ("sklhash.training.augment", "FeatureMixup"),
    ("sklhash.training.augment", "GaussianNoise"),
    ("sklhash.training.checkpoints", "Checkpoint"),
    ("sklhash.training.heads", "HashHead"),
)
NOT_CALLED_BY_USERS = {
    "HashLoss": "its methods are written by users and called by the net",
    "HashHead.as_linear_map": "called by the net",
    "HashHead.forward": "called by the net",
    "HashHead.project": "called by the net",
    "HashHead.reset_parameters": "called by the net",
    "QueryDatabaseSplit": "is returned",
    "RetrievalProtocol": "is looked up",
}


def public_objects():
    """Return all public objects by their names."""
    objects = {
        name: getattr(importlib.import_module(module), name)
        for module in MODULES
        for name in importlib.import_module(module).__all__
    }
    for module, name in HELPERS:
        objects[name] = getattr(importlib.import_module(module), name)
    return {n: it for n, it in objects.items() if n not in NOT_CALLED_BY_USERS}


def estimators():
    """Return the public classes of estimators that can be made."""
    return [
        cls
        for _, cls in sorted(public_objects().items())
        if inspect.isclass(cls)
        and issubclass(cls, BaseEstimator)
        and not inspect.isabstract(cls)
    ]


def public_callables():
    """Return functions, constructors of other classes than estimators, and methods.

    Methods have the name of the class that defines them, so that what many classes
    inherit is there once.
    """
    callables = {}
    for name, it in public_objects().items():
        if not inspect.isclass(it):
            if callable(it):
                key = name if inspect.isroutine(it) else f"{type(it).__name__}.__call__"
                callables[key] = it
            continue
        if not issubclass(it, BaseEstimator):
            callables[name] = it
        callables |= _own_methods(it)
    return {
        name: function
        for name, function in callables.items()
        if name not in NOT_CALLED_BY_USERS and parameters_of(function)
    }


def parameters_of(function):
    """Return the parameters that have names, without what a method belongs to."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls")
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def _own_methods(cls):
    methods = {}
    for name in dir(cls):
        static = inspect.getattr_static(cls, name)
        function = getattr(static, "__func__", getattr(static, "fn", static))
        if (
            not name.startswith("_")
            and inspect.isfunction(function)
            and function.__module__.startswith("sklhash")
            and not getattr(function, "__isabstractmethod__", False)
        ):
            methods[function.__qualname__] = function
    return methods
