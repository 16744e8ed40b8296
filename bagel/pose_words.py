"""Where one stands, in words: "x+124 y-040 yaw090 pitch+00 object045" are cm and degrees, in steps fit for a frame.

Any tokenizer reads them; one that was taught them (bagel.train.vocabulary) reads each number as one token.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from world.types import Pose

HALF = 0.5 + 1e-6  # of a step; poses are reckoned, and their dust must not decide at a half

Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class Part:
    """One number of a pose, told in whole `step`s of cm or degrees up to `most`; without it angles go once around."""

    name: str
    field: str  # of Pose
    step: int
    most: int | None = None
    per_unit: int = 1  # cm in a meter

    @functools.cached_property
    def words(self) -> tuple[str, ...]:
        """All that can be told, in order."""
        if self.most is None:
            return tuple(f"{self.name}{degrees:03d}" for degrees in range(0, 360, self.step))
        digits = len(str(self.most)) + 1
        return tuple(f"{self.name}{n:+0{digits}d}" for n in range(-self.most, self.most + 1, self.step))

    @property
    def values(self) -> list[float]:
        """What each of the words means, in m or degrees."""
        first, last = (0, 360 - self.step) if self.most is None else (-self.most, self.most)
        return [n / self.per_unit for n in range(first, last + 1, self.step)]

    def index(self, number: Number) -> Number:
        """Which of the words tells a number (m or degrees), as a whole float; outside them where none does."""
        steps = (number * self.per_unit / self.step + HALF) // 1
        return steps % (360 // self.step) if self.most is None else steps + self.most // self.step


PARTS = (
    Part("x", "x", 2, 400, 100),
    Part("y", "y", 2, 400, 100),
    Part("yaw", "yaw", 1),
    Part("pitch", "pitch", 2, 44),
    Part("object", "object_yaw", 3),
)


def pose_words(pose: Pose) -> str | None:
    """The pose in words; None where it is beyond what these can tell."""
    told = []
    for part in PARTS:
        words, index = part.words, int(part.index(getattr(pose, part.field)))
        if not 0 <= index < len(words):
            return None
        told.append(words[index])
    return " ".join(told)
