import copy
import pickle
from dataclasses import replace

import pytest
import torch

from sklhash.training.plan import TrainingPlan


def pickled(plan):
    return pickle.loads(pickle.dumps(plan))


@pytest.fixture
def plan():
    """A plan whose generator has been drawn from."""
    generator = torch.Generator().manual_seed(3)
    torch.rand(7, generator=generator)
    return TrainingPlan(generator, split_seed=5, precision="bf16")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_draws_on_by_itself(copied, plan):
    other = copied(copied(plan))
    expected = torch.rand(5, generator=plan.generator)
    assert torch.equal(torch.rand(5, generator=other.generator), expected)
    assert replace(other, generator=plan.generator) == plan


def test_generators_are_not_pickled_by_torch_which_leaks(plan):
    assert isinstance(plan.generator, torch.Generator)
    assert b"Generator" not in pickle.dumps(plan)
