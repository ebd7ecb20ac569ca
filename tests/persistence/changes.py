"""Changes of a forgery, of which attacks are made."""

import numpy as np


def fitted(forgery):
    return forgery.model["fitted"]


def parameters(forgery):
    return forgery.model["parameters"]


def net(forgery):
    return fitted(forgery)["net"]["dict"]


def nodes(forgery):
    return net(forgery)["module"]["module"]["modules"]


def layer(forgery, name):
    """Return a module of a class."""
    return next(node for node in nodes(forgery) if node["class"].endswith(name))


def ending(forgery, name):
    """Return the full name of an array."""
    (found,) = [full for full in forgery.arrays if full.endswith(name)]
    return found


def set_array(name, change):
    def attack(forgery):
        full = ending(forgery, name)
        forgery.arrays[full] = np.ascontiguousarray(change(forgery.arrays[full]))

    return attack


def named(place, name, value):
    """Return what puts a value into one of the dicts of a description."""

    def attack(forgery):
        place(forgery)[name] = value

    return attack


def without(place, name):
    def attack(forgery):
        del place(forgery)[name]

    return attack


def step(number, name, value):
    def attack(forgery):
        steps = parameters(forgery)["steps"]
        steps[number]["tuple"][1]["estimator"]["fitted"][name] = value

    return attack


def with_extra_array(value, array=np.zeros(8)):  # noqa: B008
    """Return what adds an array and a fitted attribute that says `value` of it."""

    def attack(forgery):
        forgery.arrays["x"] = array
        fitted(forgery)["x_"] = value

    return attack
