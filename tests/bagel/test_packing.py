"""The training layout: who sees whom, and what dropping a condition does to positions."""

import torch

from bagel.attention import as_bias, attention, dense, visible
from bagel.embed import TIME_WIDTH, position_table
from bagel.packing import Inputs, Item, losses, mask_rows, pack, times
from bagel.weights import Checkpoint

TEXT, IMAGE = (1, 2), (3, 4)
SAMPLE = [
    Item("vae", grid=(1, 2), droppable=True),
    Item("text", ids=(7,), droppable=True),
    Item("vae", grid=(1, 1), loss=True),
    Item("vae", grid=(1, 1)),
    Item("text", ids=(8, 9), loss=True),
]


def test_a_noised_picture_shares_its_position_with_the_clean_copy() -> None:
    layout = pack([SAMPLE], TEXT, IMAGE)
    assert layout.split_lens == [4, 3, 3, 3, 4]
    assert layout.positions == [0] * 4 + [1, 2, 3] + [4] * 3 + [4] * 3 + [5, 6, 7, 8]
    assert layout.modes == ["full", "causal", "noise", "full", "causal"]


def test_a_loss_on_a_text_predicts_every_id_and_the_end() -> None:
    layout = pack([SAMPLE], TEXT, IMAGE)
    assert [layout.text_ids[i] for i in layout.ce_texts] == [1, 8, 9]
    assert layout.labels == [8, 9, 2]
    assert layout.ce_weights == [3**-0.5] * 3


def test_a_dropped_picture_takes_its_position_and_a_dropped_text_does_not() -> None:
    assert pack([SAMPLE], TEXT, IMAGE, lambda item: True).positions[:3] == [1] * 3
    without_text = pack([SAMPLE], TEXT, IMAGE, lambda item: item.kind == "text")
    assert without_text.positions[4:7] == [1] * 3
    assert without_text.sample_lens == [14]


def test_rows_see_the_past_but_no_noise_and_no_stranger() -> None:
    layout = pack([SAMPLE, SAMPLE[1:2]], TEXT, IMAGE)
    seen = dense(mask_rows(layout, torch.device("cpu")))
    assert seen[:4, :4].all()  # a picture sees all of itself
    assert seen[4:7, 4:7].equal(torch.ones(3, 3).tril().bool())  # a text reads from left to right
    assert seen[7:10, :10].all()  # the noised picture sees the past and itself
    assert not seen[10:, 7:10].any()  # and is seen by nobody else
    assert not seen[17:, :17].any()  # samples are strangers
    assert not seen[:17, 17:].any()


def test_the_predicate_equals_the_dense_mask() -> None:
    rows = mask_rows(pack([SAMPLE, SAMPLE], TEXT, IMAGE), torch.device("cpu"))
    index = torch.arange(len(rows.order))
    pairs = torch.stack([visible(rows, i, index) for i in index])
    assert pairs.equal(dense(rows))


def test_grouped_heads_equal_repeated_heads() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 8, generator=generator) for heads in (6, 2, 2))
    mask = torch.ones(5, 5).tril().bool()[None, None]
    repeated = (x.repeat_interleave(3, dim=1) for x in (k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(q, *repeated, attn_mask=mask)
    torch.testing.assert_close(attention(q, k, v, as_bias(mask, q.dtype)), expected)


def test_times_are_zero_for_clean_pictures_and_the_shift_moves_the_middle() -> None:
    draws = torch.tensor([float("-inf"), 0.0])
    assert times(draws, 1.0).tolist() == [0.0, 0.5]
    assert times(draws, 3.0).tolist() == [0.0, 0.75]


def test_a_batch_without_pictures_or_without_words_still_has_a_loss(checkpoint: Checkpoint) -> None:
    c = checkpoint.config
    for items, count in (([SAMPLE[4]], 0), ([SAMPLE[2]], 1)):
        layout = pack([items], TEXT, IMAGE)
        empty = torch.zeros(count, c.latent_channels)
        inputs = Inputs(empty, empty + 1, torch.ones(count), torch.zeros(0, 3 * c.vision.patch_size**2))
        total = losses(checkpoint.model, layout, inputs).total()
        assert total.isfinite()
        assert total > 0


def test_a_position_table_puts_the_column_first() -> None:
    table = position_table(3, 8).unflatten(0, (3, 3))  # row, column
    assert table[0, :, :4].equal(table[2, :, :4])
    assert table[:, 0, 4:].equal(table[:, 2, 4:])
    assert TIME_WIDTH == 256
