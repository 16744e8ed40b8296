"""Where every row of a training sequence lies: BAGEL's interleaved layout in fixed slots.

A window of F frames and the P = F - 1 actions between them reads, in order (bagel-spec 9),

    [clean f0] [words 1] [noised f1] [clean f1] [words 2] [noised f2] [clean f2] ... [noised fP]

A noised picture is seen by itself alone and takes no position: its clean copy has the same one. Rows lie sorted for
the Mixture-of-Transformers: first the und rows (markers of clean pictures, markers of noised pictures, words, padding
to a whole block of attention), then the latents (clean, noised). Slots are the same for all sequences; what differs
is the length of the words: a few numbers for each column say who may see it.

B batch, P predictions, N tokens a picture, W words a slot (with im_start and im_end), T rows in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

BLOCK = 128  # rows in a block of attention
CLEAN, NOISED, WORDS, PAD = range(4)
NEVER = -1_000_000  # an order that no block has


@dataclass(frozen=True)
class Layout:
    """Slots for windows of `frames` pictures of `tokens` latents each, and at most `words` rows a text."""

    frames: int
    tokens: int
    words: int

    @property
    def predictions(self) -> int:
        return self.frames - 1

    @property
    def num_und(self) -> int:
        rows = self.predictions * (4 + self.words)
        return -(-rows // BLOCK) * BLOCK

    @cached_property
    def slots(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each of T rows: its role, the frame or prediction that it belongs to, and its place within a text."""
        p, n, w = self.predictions, self.tokens, self.words
        pad = self.num_und - p * (4 + w)
        frame = torch.arange(p)
        zeros = torch.zeros
        role = torch.cat(
            [torch.full((size,), kind) for kind, size in ((CLEAN, 2 * p), (NOISED, 2 * p), (WORDS, p * w), (PAD, pad))]
            + [torch.full((p * n,), CLEAN), torch.full((p * n,), NOISED)]
        )
        marks, texts, latents = (frame.repeat_interleave(times) for times in (2, w, n))
        index = torch.cat([marks, marks + 1, texts + 1, zeros(pad, dtype=torch.long), latents, latents + 1])
        inner = torch.cat([zeros(4 * p), torch.arange(w).repeat(p), zeros(pad + 2 * p * n)]).long()
        return role, index, inner

    @cached_property
    def order(self) -> Tensor:
        """int [T]: when each row's block is read; padding is read never."""
        role, index, _ = self.slots
        order = torch.where(role == CLEAN, 3 * index, torch.where(role == NOISED, 3 * index - 1, 3 * index - 2))
        return torch.where(role == PAD, NEVER, order)

    def keys(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What a column is to later blocks and to its own, from the rows of each text, int [B, P] (0: left out).

        Two int [B, T]: the order if it may be seen, else a number that lets nobody see it. Row i sees column j where
        `past[j] < order[i]`, or `own[j] == order[i]` and `inner[j] <= inner[i]`.
        """
        role, index, inner, order = _on(self, lengths.device)
        length = torch.nn.functional.pad(lengths, (1, 0))[:, index]  # [B, T]
        valid = (role != PAD) & ((role != WORDS) | (inner < length))
        return torch.where(valid & (role != NOISED), order, 1 - NEVER), torch.where(valid, order, 2 * NEVER)

    def mask(self, lengths: Tensor) -> Tensor:
        """bool [B, T, T]: which row (second) sees which column; every row sees itself, padding too."""
        _, _, inner, order = _on(self, lengths.device)
        past, own = self.keys(lengths)
        same = (own[:, None] == order[:, None]) & (inner <= inner[:, None])
        return (past[:, None] < order[:, None]) | same | torch.eye(len(order), dtype=torch.bool, device=order.device)

    def positions(self, lengths: Tensor) -> Tensor:
        """int [B, T]: rotary positions. A text takes one a row, a picture one in all, a dropped text none."""
        role, index, inner, _ = _on(self, lengths.device)
        before = torch.nn.functional.pad(lengths.cumsum(1), (1, 0))  # [B, P + 1]: rows of the texts up to prediction i
        picture = before + torch.arange(self.frames, device=lengths.device)  # [B, F]
        text = torch.nn.functional.pad(picture[:, :-1] + 1, (1, 0))  # [B, F]: where text i begins
        return torch.where(role == WORDS, text[:, index] + inner, picture[:, index])


@cache
def _on(layout: Layout, device: torch.device) -> tuple[Tensor, ...]:
    """Slots and order, copied once: a CUDA graph can hold no copy from the CPU."""
    return tuple(slot.to(device) for slot in (*layout.slots, layout.order))
