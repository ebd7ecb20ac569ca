import inspect
from dataclasses import field
from typing import ClassVar

import pytest
from sklearn.base import BaseEstimator, clone

from sklhash import OrthoHash
from sklhash.hashers.parameters import DeclaredParameters


class Parent(DeclaredParameters, BaseEstimator):
    width: int = field(default=8, kw_only=False)
    speed: float = 1.0
    packed: bool = False
    random_state: int | None = None
    verbose: int = 0


class Child(Parent):
    speed: float = 3.0
    colour: str = "red"
    limits: ClassVar[tuple] = (0, 1)


class Grandchild(Child):
    width = 16
    depth: int = 2
    _notes: dict = {}  # noqa: RUF012


def test_own_parameters_come_before_inherited_ones_and_the_usual_ones_last():
    usual = ["packed", "random_state", "verbose"]
    assert list(inspect.signature(Parent).parameters) == ["width", "speed", *usual]
    assert list(inspect.signature(Child).parameters) == [
        "width",
        "colour",
        "speed",
        *usual,
    ]
    assert list(inspect.signature(Grandchild).parameters) == [
        "width", "depth", "colour", "speed", *usual
    ]  # fmt: skip


def test_defaults_can_be_changed():
    assert (Parent().speed, Child().speed, Grandchild().speed) == (1.0, 3.0, 3.0)
    assert Grandchild().width == 16
    assert Grandchild(4).width == 4


def test_only_what_is_declared_so_comes_without_its_name():
    with pytest.raises(TypeError):
        Child(8, "blue")
    with pytest.raises(TypeError, match="weight"):
        Child(weight=1)


def test_scikit_learn_sees_the_parameters():
    child = Child(5, colour="blue")
    assert child.get_params() == {
        "width": 5,
        "speed": 3.0,
        "colour": "blue",
        "packed": False,
        "random_state": None,
        "verbose": 0,
    }
    assert repr(child) == "Child(colour='blue', width=5)"
    assert clone(child).get_params() == child.get_params()
    assert child != Child(5, colour="blue")


def test_a_constructor_of_ones_own_is_left_alone():
    class Handmade(Parent):
        def __init__(self, size=3):
            self.size = size

    assert list(inspect.signature(Handmade).parameters) == ["size"]
    assert Handmade(4).get_params() == {"size": 4}

    class Child(Handmade):
        colour: str = "red"

    assert Child(4).get_params() == {"size": 4}


def test_the_order_is_that_of_the_house():
    assert list(inspect.signature(OrthoHash).parameters) == [
        "n_bits",
        *("margin", "margin_type", "scale", "codebook"),
        *("quantization_weight", "quantization"),
        *("backbone", "backbone_lr_scale", "hidden_layer_sizes", "augment"),
        *("max_epochs", "batch_size", "lr", "weight_decay", "optimizer"),
        *("lr_schedule", "validation_fraction", "n_iter_no_change", "callbacks"),
        *("checkpoint", "warm_start", "precision", "compile", "accelerator"),
        *("device", "net_params"),
        *("packed", "random_state", "verbose"),
    ]
