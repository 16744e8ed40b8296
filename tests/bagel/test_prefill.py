"""Reading in one forward equals reading block by block and row by row."""

import pytest
import torch
from PIL import Image

from bagel.context import EMPTY, Context
from bagel.generate import encode_picture, see_picture
from bagel.prefill import Block, Words, prefill
from bagel.transforms import resize, to_pixels
from bagel.weights import Checkpoint


@pytest.fixture(scope="module")
def blocks(checkpoint: Checkpoint, pictures: list[Image.Image]) -> list[Block]:
    """Words and pictures of several sizes, both ways of seeing them."""
    made: list[Block] = [Words(checkpoint.tokenizer.prompt("turn left")), Words(checkpoint.tokenizer.prompt(""))]
    for picture in pictures:
        small = resize(picture, checkpoint.config.vae_transform)
        made.append(encode_picture(checkpoint, to_pixels(small)))
        made.append(see_picture(checkpoint, to_pixels(resize(small, checkpoint.config.vit_transform))))
    return made


def read(checkpoint: Checkpoint, contexts: list[Context], blocks: list[list[Block]]) -> list[Context]:
    return prefill(checkpoint.model, checkpoint.tokenizer.image_markers, contexts, blocks)


def one_by_one(checkpoint: Checkpoint, context: Context, blocks: list[Block]) -> Context:
    for block in blocks:
        context = read(checkpoint, [context], [[block]])[0]
    return context


def assert_same(got: Context, expected: Context) -> None:
    assert got.position == expected.position
    assert [s.shape for s in got.segments] == [s.shape for s in expected.segments]
    for a, b in zip(got.segments, expected.segments, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_blocks_in_one_forward_equal_blocks_one_by_one(checkpoint: Checkpoint, blocks: list[Block]) -> None:
    order = [blocks[2], blocks[3], blocks[0], blocks[4], blocks[1]]
    assert_same(read(checkpoint, [EMPTY], [order])[0], one_by_one(checkpoint, EMPTY, order))


def test_rows_in_one_batch_equal_rows_alone(checkpoint: Checkpoint, blocks: list[Block]) -> None:
    pasts = [EMPTY, one_by_one(checkpoint, EMPTY, blocks[:1]), one_by_one(checkpoint, EMPTY, blocks[2:4])]
    plans = [[blocks[2], blocks[0]], [blocks[1]], [blocks[4], blocks[3], blocks[0]]]
    for got, past, plan in zip(read(checkpoint, pasts, plans), pasts, plans, strict=True):
        assert_same(got, one_by_one(checkpoint, past, plan))


def test_many_rows_are_read_block_by_block(
    checkpoint: Checkpoint, blocks: list[Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[list[Block]] = [[blocks[2], blocks[3], blocks[0]], [blocks[1]]]
    together = read(checkpoint, [EMPTY] * 2, plans)
    forwards = []
    plain = checkpoint.model.transformer.read
    monkeypatch.setattr(
        checkpoint.model.transformer, "read", lambda *args: (forwards.append(args[2].shape[1]), plain(*args))
    )
    for most, expected in ((10_000, 1), (20, 3)):
        monkeypatch.setattr("bagel.prefill.AT_ONCE", most)
        forwards.clear()
        for got, wanted in zip(read(checkpoint, [EMPTY] * 2, plans), together, strict=True):
            assert_same(got, wanted)
        assert len(forwards) == expected


def test_pictures_of_one_size_need_no_mask_and_different_pasts_do_not_mix(
    checkpoint: Checkpoint, blocks: list[Block]
) -> None:
    pasts = [EMPTY, one_by_one(checkpoint, EMPTY, blocks[:1])]
    for got, past in zip(read(checkpoint, pasts, [[blocks[2]]] * 2), pasts, strict=True):
        assert_same(got, one_by_one(checkpoint, past, [blocks[2]]))


def test_reading_nothing_changes_nothing(checkpoint: Checkpoint, blocks: list[Block]) -> None:
    past = one_by_one(checkpoint, EMPTY, blocks[:1])
    assert read(checkpoint, [past, EMPTY], [[], []]) == [past, EMPTY]
    assert_same(read(checkpoint, [past, EMPTY], [[], blocks[:1]])[0], past)


def test_a_segment_holds_its_own_rows_only(checkpoint: Checkpoint, blocks: list[Block]) -> None:
    """A view into a batch would keep the whole batch alive as long as the walk remembers one frame."""
    segment = read(checkpoint, [EMPTY, EMPTY], [blocks[:3], blocks[2:4]])[0].segments[0]
    assert segment.untyped_storage().nbytes() == segment.numel() * segment.element_size()
