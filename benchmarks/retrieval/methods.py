"""What is compared: every hasher, deep ones with two heads, and cosine."""

import inspect
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils import get_tags

import sklhash
from sklhash import BaseHasher, DeepHasher

COSINE = "cosine"
HIDDEN_LAYER = (1024,)
KINDS = (
    "reference",
    "shallow unsupervised",
    "deep unsupervised",
    "shallow supervised",
    "deep supervised",
)


@dataclass(frozen=True)
class Method:
    """A hasher with parameters; without a hasher, exact search by cosine."""

    name: str
    hasher: type[BaseHasher] | None = None
    changed: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def kind(self) -> str:
        if self.hasher is None:
            return KINDS[0]
        depth = "deep" if issubclass(self.hasher, DeepHasher) else "shallow"
        supervised = get_tags(self.hasher()).target_tags.required
        return f"{depth} {'supervised' if supervised else 'unsupervised'}"

    @property
    def is_random(self) -> bool:
        return self.hasher is not None and "random_state" in self.hasher().get_params()

    def make(self, n_bits: int, seed: int | None) -> BaseHasher:
        seeded = {"random_state": seed} if self.is_random else {}
        return self.hasher(n_bits, packed=True, **seeded, **self.changed)

    def parameters(self, n_bits: int | None, seed: int | None) -> dict[str, str]:
        """Return every parameter in words: a run with others is another run."""
        if self.hasher is None:
            return {}
        parameters = self.make(n_bits, seed).get_params()
        return {name: repr(value) for name, value in sorted(parameters.items())}


def find_methods() -> dict[str, Method]:
    """Return all methods by name, by kind and then in the order of the alphabet."""
    methods = [Method(COSINE)]
    for name in sorted(sklhash.__all__, key=str.lower):
        public = getattr(sklhash, name)
        if is_hasher(public):
            methods += [Method(name, public), *with_the_other_head(name, public)]
    methods.sort(key=lambda method: KINDS.index(method.kind))
    return {method.name: method for method in methods}


def is_hasher(public: Any) -> bool:
    return (
        inspect.isclass(public)
        and issubclass(public, BaseHasher)
        and not inspect.isabstract(public)
    )


def with_the_other_head(name: str, hasher: type[BaseHasher]) -> list[Method]:
    """Return a deep hasher with the head that is not its default, a list of one."""
    parameters = hasher().get_params()
    if "hidden_layer_sizes" not in parameters:
        return []
    if len(parameters["hidden_layer_sizes"]):
        return [Method(f"{name}, linear head", hasher, {"hidden_layer_sizes": ()})]
    changed = {"hidden_layer_sizes": HIDDEN_LAYER}
    return [Method(f"{name}, hidden layer", hasher, changed)]
