"""Docstrings are the API reference: nothing is missing there, and all of it exists."""

import importlib
import inspect
import pkgutil
import re
from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate
from sklearn.base import BaseEstimator
from torch import nn

from sklhash import (
    BaseHasher,
    CodeStore,
    DeepHasher,
    HammingNeighbors,
    HashedNeighbors,
    HashLoss,
    PathLoader,
    TorchFeatureExtractor,
)
from tests.calls.data import CODES, IMAGE, X, Y, stored, unfitted
from tests.calls.displays import DISPLAYS
from tests.calls.public import HELPERS, MODULES
from tests.hashers.methods import HASHERS

INDEX = Path(__file__).parents[1] / "docs" / "api" / "index.rst"
NOT_HOW_WE_WRITE = {
    "GL01": "a summary stands right after the quotes, which older validators refuse",
    "GL02": "docstrings that are put together end without a line break",
    "ES01": "a summary may say all there is",
    "EX01": "methods need no example; classes and functions are tested for it below",
    "RT02": "what is returned has a name",
    "SA01": "links may stand in sentences",
}
OF_A_SIGNATURE = {"PR01", "PR02", "PR03"}
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields")
ARRAY = re.compile(
    r"\b(array|ndarray|matrix|csr_\w+|tensor|X)\b|codes\b", re.IGNORECASE
)
SHAPE = re.compile(r"of shape \(\)|\((n|\d|n_\w+|\w+\[\w+\])( \+ 1)?,")


def public():
    """Return all that is public by its name."""
    names = [
        (module, name)
        for module in MODULES
        for name in importlib.import_module(module).__all__
    ]
    return {
        name: getattr(importlib.import_module(module), name)
        for module, name in [*names, *HELPERS]
    }


PUBLIC = public()
OBJECTS = {
    name: it
    for name, it in PUBLIC.items()
    if inspect.isclass(it) or inspect.isroutine(it)
}
VALUES = {name: it for name, it in PUBLIC.items() if name not in OBJECTS}
CLASSES = [it for it in OBJECTS.values() if inspect.isclass(it)]


def members(cls):
    """Yield the public methods and properties of a class that this library wrote."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", getattr(member, "fn", member))
        code = member.fget if isinstance(member, property) else member
        if (
            not name.startswith("_")
            and inspect.isfunction(code)
            and code.__module__.startswith("sklhash")
        ):
            yield code.__qualname__, member


DOCUMENTED = {
    **OBJECTS,
    **{name: member for cls in CLASSES for name, member in members(cls)},
    **{
        it.__call__.__qualname__: type(it).__call__
        for it in VALUES.values()
        if callable(it)
    },
}
each_docstring = pytest.mark.parametrize("it", DOCUMENTED.values(), ids=DOCUMENTED)


@each_docstring
def test_docstrings_tell_what_goes_in_and_what_comes_out(it):
    unchecked = set(NOT_HOW_WE_WRITE)
    if it.__init__ is nn.Module.__init__:  # which takes nothing
        unchecked |= OF_A_SIGNATURE
    errors = validate(get_doc_object(it))["errors"]
    assert [message for code, message in errors if code not in unchecked] == []


@each_docstring
def test_docstrings_tell_the_shape_of_each_array(it):
    doc = get_doc_object(it)
    for name, kind, description in chain(*(doc[section] for section in SECTIONS)):
        if ARRAY.search(kind):
            assert SHAPE.search(" ".join([kind, *description])), (name, kind)


@pytest.mark.parametrize("it", OBJECTS.values(), ids=OBJECTS)
def test_classes_and_functions_have_an_example(it):
    assert any(line.startswith(">>> ") for line in get_doc_object(it)["Examples"])


@pytest.mark.parametrize("hasher", HASHERS)
def test_methods_cite_the_papers_they_are_from(hasher):
    listed = "\n".join(get_doc_object(hasher)["References"])
    papers = re.findall(r"^\.\. \[(\d+)\]", listed, re.MULTILINE)
    assert papers
    assert all(f"[{number}]_" in hasher.__doc__ for number in papers)


class PlainLoss(HashLoss):
    def forward(self, output, y, index):
        return output.square().mean()


class PlainHasher(DeepHasher):
    def _make_loss(self, targets):
        return PlainLoss()


FEATURES = pd.DataFrame(X).add_prefix("feature")


def a_search_that_was_used():
    search = HammingNeighbors().fit(pd.DataFrame(CODES).add_prefix("bit"), Y)
    search.kneighbors(n_neighbors=1)
    return search


OTHERS = {
    CodeStore: stored,
    DeepHasher: lambda: PlainHasher(4, max_epochs=1).fit(FEATURES, Y),
    HammingNeighbors: a_search_that_was_used,
    HashedNeighbors: lambda: HashedNeighbors(unfitted("LSH")).fit(FEATURES, Y),
    PathLoader: lambda: PathLoader().fit([IMAGE]),
    TorchFeatureExtractor: lambda: TorchFeatureExtractor(
        nn.Linear(X.shape[1], 2), device="cpu"
    ).fit(FEATURES),
}


def made(cls):
    """Return an object that has all attributes that those of its class may have."""
    if cls in HASHERS:
        return unfitted(cls.__name__).fit(FEATURES, Y)
    if cls in OTHERS:
        return OTHERS[cls]()
    draw = DISPLAYS[f"{cls.__name__}.plot"]
    return draw.make()(**draw.arguments)


def has_attributes(cls):
    is_fitted = issubclass(cls, BaseEstimator) and cls is not BaseHasher
    return is_fitted or get_doc_object(cls)["Attributes"]


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if has_attributes(cls)])
def test_attributes_are_documented_and_exist(cls):
    it = made(cls)
    plt.close("all")
    names = {name for name in dir(it) if not name.startswith("_") and hasattr(it, name)}
    values = {n for n in names if n.endswith("_") or not callable(getattr(it, n))}
    documented = {section.name for section in get_doc_object(cls)["Attributes"]}
    assert documented <= names
    assert values - inspect.signature(cls).parameters.keys() <= documented


def test_the_index_lists_each_public_object_once():
    names = re.findall(r"^   ([\w.]+)$", INDEX.read_text(), re.MULTILINE)
    listed = [pkgutil.resolve_name(f"sklhash.{name}") for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(OBJECTS.values())


@pytest.mark.parametrize("name", VALUES)
def test_the_index_names_values(name):
    assert re.search(rf"``([\w.]+\.)?{name}``", INDEX.read_text())
