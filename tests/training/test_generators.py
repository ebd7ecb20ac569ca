import copy
import io
import pickle

import pytest
import torch
from torch import nn

from sklhash.training.generators import DeviceGenerator, draw_seed_from

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_a_gpu)]

every_device = pytest.mark.parametrize("device", DEVICES)


def draw(generator, device="cpu", n=5):
    return torch.rand(n, generator=generator.on(device), device=device)


@pytest.fixture(params=DEVICES)
def used(request):
    """A generator that has been drawn from, and its device."""
    generator = DeviceGenerator(3)
    draw(generator, request.param)
    return generator, request.param


@every_device
def test_numbers_are_those_of_a_generator_with_the_seed(device):
    generator = DeviceGenerator(2**62 - 1)
    alone = torch.Generator(device).manual_seed(2**62 - 1)
    for _ in range(2):
        expected = torch.rand(5, generator=alone, device=device)
        assert torch.equal(draw(generator, device), expected)


def pickled(generator):
    return pickle.loads(pickle.dumps(generator))


def loaded(generator):
    stored = io.BytesIO()
    torch.save(generator.state_dict(), stored)
    stored.seek(0)
    other = DeviceGenerator(8)
    draw(other)
    other.load_state_dict(torch.load(stored, weights_only=True))
    return other


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, loaded])
def test_copies_go_on_where_it_is(copied, used):
    generator, device = used
    other = copied(copied(generator))
    assert torch.equal(other.get_extra_state(), generator.get_extra_state())
    expected = draw(generator, device)
    assert torch.equal(draw(other, device), expected)
    assert torch.equal(draw(other, device), draw(generator, device))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, loaded])
def test_copies_before_the_first_draw_begin_with_the_seed(copied):
    generator = DeviceGenerator(3)
    assert torch.equal(draw(copied(generator)), draw(generator))


def test_a_state_of_another_kind_of_device_is_kept_until_a_draw_on_this_one():
    seed = torch.tensor([3]).view(torch.uint8)
    on_a_gpu = torch.cat([seed, torch.arange(16, dtype=torch.uint8)])
    generator = DeviceGenerator(8)
    generator.set_extra_state(on_a_gpu)
    assert torch.equal(pickled(generator).get_extra_state(), on_a_gpu)
    assert torch.equal(draw(pickled(generator)), draw(DeviceGenerator(3)))


def test_a_loss_that_has_one_is_resumed_by_its_state_dict():
    loss, other = nn.Module(), nn.Module()
    loss.draws, other.draws = DeviceGenerator(3), DeviceGenerator(8)
    draw(loss.draws)
    stored = copy.deepcopy(loss.state_dict())
    expected = draw(loss.draws)
    assert torch.equal(draw(other.draws), draw(DeviceGenerator(8)))
    for resumed in (other, loss):
        resumed.load_state_dict(stored)
        assert torch.equal(draw(resumed.draws), expected)


def test_what_is_saved_does_not_change_with_later_draws():
    generator = DeviceGenerator(3)
    draw(generator)
    saved = generator.get_extra_state()
    kept = saved.clone()
    draw(generator)
    assert torch.equal(saved, kept)
    generator.set_extra_state(saved)
    draw(generator)
    assert torch.equal(saved, kept)


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    draw(DeviceGenerator(3))
    draw_seed_from(torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@needs_a_gpu
def test_the_current_gpu_is_the_one_of_its_number():
    generator = DeviceGenerator(3)
    assert generator.on("cuda") is generator.on("cuda:0")


@needs_a_gpu
def test_states_in_the_memory_of_a_gpu_are_read():
    generator = DeviceGenerator(3)
    draw(generator, "cuda")
    saved = generator.get_extra_state()
    expected = draw(generator, "cuda")
    generator.set_extra_state(saved.cuda())
    assert torch.equal(draw(generator, "cuda"), expected)


class Accelerator(str):
    """The CPU by another name."""

    __slots__ = ()
    type = "accelerator"


class OnAccelerator(torch.Generator):
    device = Accelerator("cpu")


@pytest.mark.parametrize(
    "make",
    [
        torch.Generator,
        OnAccelerator,
        pytest.param(lambda: torch.Generator("cuda"), marks=needs_a_gpu),
    ],
)
def test_seeds_are_drawn_one_after_another(make):
    def seeds(seed):
        generator = make()
        generator.manual_seed(seed)
        return [draw_seed_from(generator) for _ in range(20)]

    drawn = seeds(0)
    assert len({*drawn, *seeds(1)}) == 40
    assert seeds(0) == drawn
    assert all(0 <= seed < 2**62 for seed in drawn)
    assert max(drawn) > 2**60
    DeviceGenerator(drawn[0]).on("cpu")


@needs_a_gpu
def test_draws_on_a_gpu_do_not_wait_for_it():
    generator = DeviceGenerator(3)
    draw(generator, "cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        draw(generator, "cuda")
        draw_seed_from(generator.on("cuda"))
        generator.get_extra_state()
    finally:
        torch.cuda.set_sync_debug_mode("default")
