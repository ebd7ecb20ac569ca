"""Constructors out of annotated class attributes, as scikit-learn wants them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, dataclass_transform

__all__ = ["DeclaredParameters"]

LAST = ("packed", "random_state", "verbose")


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
class DeclaredParameters:
    """Base of estimators whose parameters are declared, not passed on by hand.

    Each annotated class attribute of a subclass is a constructor parameter with that
    default; a subclass inherits the parameters of its bases and may change their
    defaults. The constructor stores them untouched, and its signature is plain: what
    may come without its name (``field(kw_only=False)``) is first, then a class's own
    parameters, then the inherited ones, then those that every hasher ends with.
    A plain assignment to the name of an inherited parameter changes its default too.
    Attributes annotated as `ClassVar`, and those that begin with an underscore, are no
    parameters. A class that writes its own ``__init__`` is left alone, and so are its
    subclasses.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not getattr(cls.__init__, "is_declared", cls.__init__ is object.__init__):
            return
        inherited = inspect.signature(cls).parameters
        declared = inspect.get_annotations(cls)
        for name, parameter in inherited.items():
            if name in vars(cls):
                declared.setdefault(name, parameter.annotation)
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    setattr(cls, name, field(default=vars(cls)[name], kw_only=False))
        cls.__annotations__ = {
            name: declared[name] for name in declared if not name.startswith("_")
        }
        dataclass(cls, repr=False, eq=False, kw_only=True, match_args=False)
        _finish_constructor(cls.__init__, list(inherited))


def _finish_constructor(init: Any, inherited: list[str]) -> None:
    signature = inspect.signature(init)
    itself, *parameters = signature.parameters.values()
    parameters.sort(
        key=lambda p: (
            p.kind is p.KEYWORD_ONLY,
            LAST.index(p.name) + 1 if p.name in LAST else 0,
            inherited.index(p.name) + 1 if p.name in inherited else 0,
        )
    )
    init.is_declared = True
    init.__signature__ = signature.replace(parameters=[itself, *parameters])
