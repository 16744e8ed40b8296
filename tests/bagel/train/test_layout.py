"""The fixed slots of training say the same as BAGEL's own rules for a sequence."""

import pytest
import torch

from bagel.attention import Rows, dense
from bagel.train.layout import CLEAN, NOISED, PAD, WORDS, Layout

LENGTHS = torch.tensor([[4, 6, 2], [6, 0, 3]])


def reading_order(layout: Layout, lengths: torch.Tensor) -> tuple[list[int], Rows, list[int]]:
    """Slots of one sequence as they would be read, with BAGEL's rows (bagel-spec 9.2) and positions (section 4)."""
    role, index, inner = layout.slots
    slots, split, causal, noise, positions = [], [], [], [], []
    position = 0
    for frame in range(layout.frames):
        for kind in (WORDS, NOISED, CLEAN):
            rows = torch.nonzero((role == kind) & (index == frame))[:, 0].tolist()
            if kind == WORDS:
                rows = [r for r in rows if inner[r] < lengths[frame - 1]] if frame else []
            slots += rows
            split += [3 * frame + (WORDS, NOISED, CLEAN).index(kind)] * len(rows)
            causal += [kind == WORDS] * len(rows)
            noise += [kind == NOISED] * len(rows)
            positions += [position + int(inner[r]) if kind == WORDS else position for r in rows]
            position += {WORDS: len(rows), NOISED: 0, CLEAN: 1}[kind]
    order = torch.arange(len(slots))
    mask = torch.tensor(causal), torch.tensor(noise)
    return slots, Rows(torch.zeros(len(slots)), torch.tensor(split), order, *mask), positions


@pytest.mark.parametrize("row", [0, 1])
def test_the_mask_is_bagels_for_every_length_of_words(row: int) -> None:
    layout = Layout(frames=4, tokens=4, words=6)
    slots, rows, _ = reading_order(layout, LENGTHS[row])
    mask = layout.mask(LENGTHS)[row]
    assert torch.equal(mask[slots][:, slots], dense(rows))


@pytest.mark.parametrize("row", [0, 1])
def test_positions_are_bagels_and_a_dropped_text_takes_none(row: int) -> None:
    layout = Layout(frames=4, tokens=4, words=6)
    slots, _, positions = reading_order(layout, LENGTHS[row])
    assert layout.positions(LENGTHS)[row, slots].tolist() == positions


def test_padding_is_seen_by_nobody_and_the_und_rows_fill_whole_blocks() -> None:
    layout = Layout(frames=4, tokens=4, words=6)
    role = layout.slots[0]
    others = layout.mask(LENGTHS)[0] & ~torch.eye(len(role), dtype=torch.bool)
    assert layout.num_und % 128 == 0
    assert not others[:, role == PAD].any()
