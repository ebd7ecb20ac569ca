import copy
import itertools

import numpy as np
import pytest
import torch

from sklhash.hashers.dsrh import DSRHLoss
from sklhash.hashers.ninh import NINHLoss
from sklhash.hashers.triplets import draw_between, neighbours
from sklhash.targets import encode_targets

LOSSES = [NINHLoss, DSRHLoss]

BATCHES = {
    "classes": np.eye(3)[[0, 1, 0, 2, 1, 0, 0]],
    "imbalanced": np.eye(2)[[0, 0, 0, 0, 0, 0, 1]],
    "one class": np.eye(2)[[0, 0, 0]],
    "every row its own class": np.eye(4),
    "one row": np.eye(2)[:1],
    "many labels": (np.random.default_rng(0).random((12, 5)) < 0.3) * 1.0,
    "every row shares": np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1.0]]),
    "no labels": np.zeros((4, 3)),
}

batches = pytest.mark.parametrize("y", BATCHES.values(), ids=BATCHES.keys())


def begun(loss, seed=0):
    loss.on_fit_begin(
        encode_targets(np.arange(4)), 8, torch.Generator().manual_seed(seed)
    )
    return loss


def ways_to_draw(y):
    """Relevance of the rows that each row may draw, worked out pair by pair."""
    n = len(y)
    for q in range(n):
        seen = {i: int(np.sum(y[q] * y[i])) for i in range(n) if i != q}
        if not any(seen.values()) and y[q].any():
            seen[q] = int(np.sum(y[q]))
        yield seen


@batches
def test_neighbours_are_in_the_order_of_the_labels_they_share(y):
    found = neighbours(torch.tensor(y))
    for q, seen in enumerate(ways_to_draw(y)):
        listed = found.order[q, : found.n_listed[q]].tolist()
        assert sorted(listed) == sorted(seen)
        shared = [seen[i] for i in listed]
        assert shared == sorted(shared, reverse=True)
        assert found.relevance[q, : found.n_listed[q]].tolist() == shared
        assert found.n_relevant[q] == sum(r > 0 for r in shared)


@batches
def test_triplets_are_all_the_valid_ones(y):
    positive, negative, drawn = begun(NINHLoss(n_triplets=500)).draw(torch.tensor(y))
    for q, seen in enumerate(ways_to_draw(y)):
        valid = set(
            itertools.product(
                (i for i in seen if seen[i] > 0), (i for i in seen if seen[i] == 0)
            )
        )
        assert bool(drawn[q]) == bool(valid)
        if valid:
            pairs = zip(positive[q].tolist(), negative[q].tolist(), strict=True)
            assert set(pairs) == valid


@batches
def test_lists_have_the_most_the_less_and_the_not_relevant(y):
    items, relevance = begun(DSRHLoss(n_lists=500)).draw(torch.tensor(y))
    for q, seen in enumerate(ways_to_draw(y)):
        highest = max([1, *seen.values()])
        levels = (
            [i for i in seen if seen[i] == highest],
            [i for i in seen if 0 < seen[i] < highest],
            [i for i in seen if seen[i] == 0],
        )
        for place, level in enumerate(levels):
            if level:
                assert set(items[q, :, place].tolist()) == set(level)
                expected = [seen[i] for i in items[q, :, place].tolist()]
                assert relevance[q, :, place].tolist() == expected
            else:
                assert (relevance[q, :, place] == -1).all()


def test_draws_are_even_and_repeat_with_the_seed():
    start, stop = torch.tensor([0, 5]), torch.tensor([3, 105])

    def draw():
        return draw_between(start, stop, 30_000, torch.Generator().manual_seed(0))

    few, many = draw()
    assert torch.equal(torch.stack([few, many]), draw())
    counts = np.bincount(few)
    assert len(counts) == 3
    np.testing.assert_allclose(counts, 10_000, atol=5 * 10_000**0.5)
    counts = np.bincount(many)[5:]
    assert len(counts) == 100
    np.testing.assert_allclose(counts, 300, atol=5 * 300**0.5)


@pytest.mark.parametrize("cls", LOSSES)
def test_draws_follow_the_generator_of_the_fit(cls):
    y = torch.tensor(np.eye(3)[np.arange(30) % 3])

    def places(seed):
        return begun(cls(), seed).draw(y)[0]

    assert torch.equal(places(1), places(1))
    assert (places(1) != places(2)).any()
    loss = begun(cls())
    assert (loss.draw(y)[0] != loss.draw(y)[0]).any()


@pytest.mark.parametrize("cls", LOSSES)
def test_draws_go_on_from_a_state_dict(cls):
    y = torch.eye(3)[torch.arange(30) % 3]
    loss, other = begun(cls(), 1), begun(cls(), 2)
    loss.draw(y)
    stored = copy.deepcopy(loss.state_dict())
    expected = [loss.draw(y)[0] for _ in range(2)]
    other.load_state_dict(stored)
    for places in expected:
        assert torch.equal(other.draw(y)[0], places)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cls", LOSSES)
def test_draws_on_a_gpu_do_not_wait_for_it(cls):
    y = torch.eye(3)[torch.arange(30) % 3].cuda()
    loss = begun(cls()).cuda()
    first = loss.draw(y)[0]
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = loss.draw(y)[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert first.device == y.device
    assert (first != second).any()


@batches
@pytest.mark.parametrize("cls", LOSSES)
def test_any_batch_has_a_finite_loss_and_gradient(cls, y):
    rng = np.random.default_rng(0)
    output = torch.tensor(rng.standard_normal((len(y), 8)), requires_grad=True)
    value = begun(cls())(output, torch.tensor(y), torch.arange(len(y)))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(output.grad).all()


@pytest.mark.parametrize("cls", LOSSES)
def test_a_batch_that_nothing_can_be_drawn_from_has_no_ranking_loss(cls):
    parameters = {"balance_weight": 0.0} if cls is DSRHLoss else {}
    output = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    output.requires_grad_()
    value = begun(cls(**parameters))(output, torch.eye(2)[[0] * 5], torch.arange(5))
    value.backward()
    assert value == 0
    assert (output.grad == 0).all()
