"""Contexts are values; a batch of them attends as each would alone."""

import pytest
import torch

from bagel.config import LanguageConfig
from bagel.context import EMPTY, MAX_RUNS, Batch, Context

C = LanguageConfig(32, 16, 2, 4, 2, 8)  # head size 8


def context(*lengths: int, seed: int = 0) -> Context:
    generator = torch.Generator().manual_seed(seed)
    made = EMPTY
    for length in lengths:
        made = made.append(torch.randn(2, 2, 2, length, 8, generator=generator), length)
    return made


def batch(contexts: list[Context], room: int) -> Batch:
    return Batch.of(contexts, room, C, torch.device("cpu"), torch.float32)


def rows(count: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    heads = (4, 2, 2)
    q, k, v = (torch.randn(count, h, length, 8, generator=generator) for h in heads)
    return q, k, v


def test_appending_shares_the_past_and_leaves_it_alone() -> None:
    past = context(3)
    longer = past.append(torch.zeros(2, 2, 2, 4, 8), 1)
    assert longer.segments[0] is past.segments[0]
    assert (len(past), past.position) == (3, 3)
    assert (len(longer), longer.position) == (7, 4)


def test_dropping_the_oldest_blocks_keeps_the_position() -> None:
    past = context(3, 4, 5)
    assert len(past.drop(2)) == 5
    assert past.drop(2).position == past.position
    assert past.drop(0) == past
    with pytest.raises(ValueError, match="cannot drop 4 of 3"):
        past.drop(4)


@pytest.mark.parametrize("lengths", [[5, 5, 5], [5, 2, 2], list(range(1, MAX_RUNS + 3))])  # the last needs a mask
def test_rows_of_any_lengths_attend_as_each_would_alone(lengths: list[int]) -> None:
    contexts = [context(length, seed=length) if length else EMPTY for length in lengths]
    q, k, v = rows(len(lengths), 3)
    together = batch(contexts, 3).attend(1, q, k, v)
    for b, one in enumerate(contexts):
        alone = batch([one], 3).attend(1, q[b : b + 1], k[b : b + 1], v[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone)


def test_an_empty_context_beside_a_full_one_sees_only_the_new_rows() -> None:
    q, k, v = rows(2, 3)
    together = batch([EMPTY, context(4)], 3).attend(0, q, k, v)
    torch.testing.assert_close(together[:1], batch([EMPTY], 3).attend(0, q[:1], k[:1], v[:1]))


def test_a_part_of_a_batch_uses_the_same_memory() -> None:
    whole = batch([context(4), context(4, seed=1), context(2)], 3)
    q, k, v = rows(3, 3)
    expected = whole.attend(0, q, k, v)
    part = whole.rows(1, 3)
    torch.testing.assert_close(part.attend(0, q[1:], k[1:], v[1:]), expected[1:])
    assert part.kv[0].untyped_storage().data_ptr() == whole.kv[0].untyped_storage().data_ptr()


def test_kept_rows_become_the_past() -> None:
    q, k, v = rows(2, 4)
    steps = batch([context(3), EMPTY], 4)
    steps.attend(0, q[:, :, :2], k[:, :, :2], v[:, :, :2])
    steps.keep()
    got = steps.attend(0, q[:, :, 2:], k[:, :, 2:], v[:, :, 2:])
    expected = batch([context(3), EMPTY], 4).attend(0, q, k, v)[:, :, 2:]
    torch.testing.assert_close(got, expected)
