"""What recorded actions are called: a small TOML, for datasets whose actions are numbers.

scene = "kitchen"                            # the place's name in every sentence (default: the folder's)
picture = "top"                              # which camera, where there are several
words = ["stay", "go forward", "turn left"]  # of action 0, 1, 2

# or, for vectors, a sentence from each number that says something; two of them are joined by "and"
idle = "stay"
[[numbers]]
index = 0                                    # of the vector
above = "turn left"                          # where it is above `still`
below = "turn right"                         # where it is below -still
still = 0.1
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.errors import ModelError


@dataclass(frozen=True)
class Number:
    """What one number of a vector says."""

    index: int
    above: str = ""
    below: str = ""
    still: float = 0.1

    def words(self, vector: NDArray[np.float64]) -> str:
        value = float(vector[self.index])
        return self.above if value > self.still else self.below if value < -self.still else ""


@dataclass(frozen=True)
class Table:
    """Empty where the dataset itself has words."""

    scene: str = ""
    picture: str = ""
    every: int = 1
    words: tuple[str, ...] = ()
    idle: str = "stay"
    numbers: tuple[Number, ...] = ()

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every counts frames, from 1 on, got {self.every}")

    def __bool__(self) -> bool:
        """Whether it has words for actions."""
        return bool(self.words or self.numbers)

    def say(self, action: Any) -> str:
        """The words of an action: a number into `words`, or a vector. Raises ModelError where there are none."""
        vector = np.asarray(action, np.float64).reshape(-1)
        if self.words and len(vector) == 1:
            number = int(vector[0])
            if not 0 <= number < len(self.words):
                raise ModelError(f"action {number} has no words: the table says those of 0 to {len(self.words) - 1}")
            return self.words[number]
        if self.numbers and max(n.index for n in self.numbers) < len(vector):
            return " and ".join(filter(None, (n.words(vector) for n in self.numbers))) or self.idle
        kind, how = ("whole numbers", "words") if len(vector) == 1 else (f"vectors of {len(vector)}", "[[numbers]]")
        raise ModelError(
            f"the actions are {kind}: write into a TOML what they mean (`{how}`, see bagel/train/TRAINING.md) and give "
            "it by --actions FILE"
        )


def read_table(path: Path | None) -> Table:
    """The table in a file; an empty one without. Raises ModelError that says what is wrong with it."""
    if path is None:
        return Table()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        _known(found, Table)
        numbers = found.pop("numbers", [])
        for number in numbers:
            _known(number, Number)
        return Table(**found | {"words": tuple(found.get("words", ())), "numbers": tuple(Number(**n) for n in numbers)})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is no table of actions ({error}): bagel/train/TRAINING.md shows one") from None


def _known(found: dict[str, Any], kind: type) -> None:
    if unknown := found.keys() - {f.name for f in fields(kind)}:
        raise ValueError(f"it names {', '.join(sorted(unknown))}, known are {', '.join(f.name for f in fields(kind))}")
