"""Where actions lead, put into texts on the device: poses are too many for a table, few enough for their parts.

B windows, P predictions, W rows a text, R rows of what is put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bagel.config import WalkConfig
from bagel.pose_words import PARTS, pose_words
from bagel.tokenizer import Tokenizer
from world.types import Action, Pose

NOWHERE = -1  # the place of what is not told


def num_rows(tokenizer: Tokenizer, walk: WalkConfig) -> int:
    """R: rows that the words take for a pose, 0 where they do not tell it."""
    return len(tokenizer.encode(f" {pose_words(Pose())}")) if walk.tells_aim else 0


class PoseWords:
    """The parts of " x+124 y-040 yaw090 pitch+00 object045" as tables of ids, a row for each that can be told.

    Raises ValueError where the tokenizer makes more or less of some numbers than of others.
    """

    def __init__(self, tokenizer: Tokenizer, walk: WalkConfig, device: str) -> None:
        self.tokenizer, self.walk = tokenizer, walk
        self.before = replace(walk, prompt=walk.prompt.partition(" {aim}")[0])
        self.rows = num_rows(tokenizer, walk)
        self.tables = [self._table([f" {word}" for word in part.words]).to(device) for part in PARTS]

    def place(self, scene: str, action: Action) -> int:
        """Before which row of the text without it the pose stands; NOWHERE where it is not told.

        Raises ValueError where the tokenizer reads what stands beside it otherwise then.
        """
        pose, prompt = Pose(), self.tokenizer.prompt
        text, plain = (self.walk.words(scene, action, known) for known in (pose, None))
        if text == plain:
            return NOWHERE
        place, row = len(prompt(self.before.words(scene, action, pose))) - 1, prompt(plain)
        if [*row[:place], *self.tokenizer.encode(f" {pose_words(pose)}"), *row[place:]] != prompt(text):
            raise ValueError(
                f"the tokenizer joins the numbers of {text!r} to what stands beside them: "
                "name {aim} once, after a word and a blank, and a mark after it"
            )
        return place

    def put(self, ids: Tensor, lengths: Tensor, places: Tensor, poses: Tensor) -> tuple[Tensor, Tensor]:
        """Texts ids [B, P, W] and their rows [B, P] with the poses [B, P, 5] (m, degrees) told at `places` [B, P]."""
        near, parts = torch.ones_like(lengths, dtype=torch.bool), []
        for part, table, numbers in zip(PARTS, self.tables, poses.double().unbind(-1), strict=True):
            index = part.index(numbers).long()
            near &= (index >= 0) & (index < len(table))
            parts.append(table[index.clamp(0, len(table) - 1)])
        told = torch.cat(parts, -1)  # [B, P, R]
        size = ((places != NOWHERE) & near) * self.rows
        column = torch.arange(ids.shape[-1], device=ids.device)
        at = column - places[..., None]  # [B, P, W]
        text = ids.gather(-1, torch.where(at < 0, column, column - size[..., None]).clamp(min=0))
        inside = (at >= 0) & (at < size[..., None])
        return torch.where(inside, told.gather(-1, at.clamp(0, self.rows - 1)), text), lengths + size

    def _table(self, texts: Sequence[str]) -> Tensor:
        rows = [self.tokenizer.encode(text) for text in texts]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("some numbers are longer than others in tokens: the tokenizer must split digits")
        return torch.tensor(rows)
