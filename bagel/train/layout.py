"""Where every row of a training sequence lies: BAGEL's interleaved layout in fixed slots.

A window of F frames and the P = F - 1 actions between them reads, in order (bagel-spec 9),

    [clean f0] [words 1] [noised f1] [clean f1] [words 2] [noised f2] [clean f2] ... [noised fP]

A noised picture is seen by itself alone and takes no position: its clean copy has the same one. Rows lie sorted for
the Mixture-of-Transformers: first the und rows (markers of clean pictures, markers of noised pictures, words, padding
to a whole block of attention), then the latents (clean, noised). Slots are the same for all sequences; what differs
is the length of the words, so the mask is a fixed structure and a row of valid columns for each sequence.

B batch, P predictions, N tokens a picture, W words a slot (with im_start and im_end), T rows in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BLOCK = 128  # rows in a block of attention
CLEAN, NOISED, WORDS, PAD = range(4)


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
    def structure(self) -> Tensor:
        """bool [T, T]: which row (first) sees which column where all words are valid; every row sees itself."""
        role, index, inner = self.slots
        order = torch.where(role == CLEAN, 3 * index, torch.where(role == NOISED, 3 * index - 1, 3 * index - 2))
        earlier = (order[None] < order[:, None]) & (role != NOISED)[None]
        same = (order[None] == order[:, None]) & ((role != WORDS)[None] | (inner[None] <= inner[:, None]))
        real = (role != PAD)[None] & (role != PAD)[:, None]
        return (real & (earlier | same)) | torch.eye(len(role), dtype=torch.bool)

    def valid(self, lengths: Tensor) -> Tensor:
        """bool [B, T] from the rows of each text, int [B, P] (0: the text is dropped): which columns are real."""
        role, index, inner = (t.to(lengths.device) for t in self.slots)
        length = torch.nn.functional.pad(lengths, (1, 0))[:, index]  # [B, T]
        return ((role != WORDS) | (inner < length)) & (role != PAD)

    def positions(self, lengths: Tensor) -> Tensor:
        """int [B, T]: rotary positions. A text takes one a row, a picture one in all, a dropped text none."""
        role, index, inner = (t.to(lengths.device) for t in self.slots)
        before = torch.nn.functional.pad(lengths.cumsum(1), (1, 0))  # [B, P + 1]: rows of the texts up to prediction i
        picture = before + torch.arange(self.frames, device=lengths.device)  # [B, F]
        text = torch.nn.functional.pad(picture[:, :-1] + 1, (1, 0))  # [B, F]: where text i begins
        return torch.where(role == WORDS, text[:, index] + inner, picture[:, index])
