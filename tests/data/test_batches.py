"""Batches: every row once per pass, in the right order."""

import pytest
import torch
from torch.testing import assert_close

from vaelab.data.batches import Batches

SIZES = pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(23, 5, [5, 5, 5, 5, 3]), (20, 5, [5, 5, 5, 5]), (3, 7, [3]), (4, 1, [1, 1, 1, 1]), (6, 6, [6])],
)
SHUFFLE = pytest.mark.parametrize("shuffle", [False, True])


def rows(n: int) -> torch.Tensor:
    """-> (n, 3): row i is 3i, 3i+1, 3i+2, so its first entry identifies it."""
    return torch.arange(3.0 * n).view(n, 3)


def one_pass(batches: Batches) -> torch.Tensor:
    """All x of a pass, in the order in which they were served."""
    return torch.cat([x for x, _ in batches])


@SIZES
@SHUFFLE
def test_a_pass_serves_every_row_once(n, batch_size, sizes, shuffle):
    batches = Batches(rows(n), None, batch_size, shuffle)
    for _ in range(2):
        served = [x for x, _ in batches]
        assert [len(x) for x in served] == sizes
        everything = torch.cat(served)
        assert_close(everything[everything[:, 0].argsort()], rows(n), rtol=0, atol=0)


@SIZES
@SHUFFLE
def test_the_length_is_the_number_of_batches(n, batch_size, sizes, shuffle):
    batches = Batches(rows(n), None, batch_size, shuffle)
    assert len(batches) == len(sizes) == len(list(batches))


def test_without_shuffle_every_pass_keeps_the_order():
    batches = Batches(rows(23), None, 5)
    for _ in range(2):
        assert_close(one_pass(batches), rows(23), rtol=0, atol=0)


def test_without_shuffle_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    list(Batches(rows(23), None, 5))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_shuffled_order_changes_from_pass_to_pass():
    torch.manual_seed(0)
    batches = Batches(rows(23), None, 5, shuffle=True)
    first, second = one_pass(batches), one_pass(batches)
    assert not torch.equal(first, rows(23))
    assert not torch.equal(first, second)


def test_the_shuffled_order_follows_torch_manual_seed():
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches = Batches(rows(23), None, 5, shuffle=True)
        orders.append(torch.stack([one_pass(batches), one_pass(batches)]))
    assert_close(orders[0], orders[1], rtol=0, atol=0)
    assert not torch.equal(orders[0], orders[2])


def test_every_row_is_as_likely_to_come_first_as_any_other():
    torch.manual_seed(3)
    batches = Batches(rows(5), None, 2, shuffle=True)
    passes = 2_000
    first = torch.stack([next(iter(batches))[0][0, 0] for _ in range(passes)]) / 3
    counts = first.long().bincount(minlength=5)
    standard_error = (passes * 0.2 * 0.8) ** 0.5
    assert ((counts - passes * 0.2).abs() < 4 * standard_error).all()


@SHUFFLE
def test_x_and_target_stay_aligned(shuffle):
    x = rows(23)
    target = x.sum(-1, keepdim=True).sin()
    for served, answer in Batches(x, target, 5, shuffle):
        assert_close(answer, served.sum(-1, keepdim=True).sin(), rtol=0, atol=0)


@SHUFFLE
@pytest.mark.parametrize("prepare", [None, torch.neg])
def test_without_a_target_x_is_the_target(shuffle, prepare):
    batches = list(Batches(rows(23), None, 5, shuffle, prepare))
    assert batches
    assert all(target is x for x, target in batches)


@SHUFFLE
def test_prepare_is_applied_to_each_batch_as_it_is_drawn(shuffle):
    drawn = []

    def stamp(x):
        drawn.append(x)
        return x + 1_000 * len(drawn)

    batches = Batches(rows(8), None, 3, shuffle, stamp)
    assert not drawn
    for count, (x, _) in enumerate([*batches, *batches], start=1):
        assert_close(x, drawn[count - 1] + 1_000 * count, rtol=0, atol=0)
    assert [len(x) for x in drawn] == [3, 3, 2, 3, 3, 2]


def test_prepare_waits_until_its_batch_is_asked_for():
    drawn = []
    batches = iter(Batches(rows(8), None, 3, prepare=lambda x: drawn.append(x) or x))
    next(batches)
    assert len(drawn) == 1


def test_prepare_leaves_the_target_alone():
    x, target = rows(8), rows(8)[:, :1]
    served = [t for _, t in Batches(x, target, 3, prepare=torch.neg)]
    assert_close(torch.cat(served), target, rtol=0, atol=0)


@SHUFFLE
def test_a_batch_written_over_leaves_the_data_as_it_was(shuffle):
    x = rows(8)
    for batch, _ in Batches(x, None, 3, shuffle):
        batch.zero_()
    assert_close(x, rows(8), rtol=0, atol=0)
