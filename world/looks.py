"""How good it is to be somewhere by what is seen there: likeness to a picture, or BAGEL's own yes or no.

B pictures, C numbers for each of the SIDE x SIDE places of a picture.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from world.goals import Goals, per_row
from world.questions import question_about
from world.rewards import Values
from world.types import Frame, State

YES_OR_NO = ("yes", "no")
SIDE = 16  # places along either side of a picture

_SHIFT = 3  # places that a picture is moved at most: a turn of 15 degrees in a view of 80
_MOST = 4096  # frames whose features or answers are remembered


@runtime_checkable
class Looks(Protocol):
    """Turns pictures into numbers in which near places look alike."""

    def features(self, frames: Sequence[Frame]) -> NDArray[np.float32]:
        """Features [B, SIDE, SIDE, C], rows first, such that the cosine of pictures tells how alike they are."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Answers a question about a picture, and says how sure it is."""

    def chances(self, frames: Sequence[Frame], question: str, answers: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each of the A answers against the others, [B, A], rows of sum 1.

        Raises ModelError where the model has not learned to answer, or begins two of the answers alike.
        """
        ...


class Pixels:
    """The baseline: a small picture, less its mean."""

    def features(self, frames: Sequence[Frame]) -> NDArray[np.float32]:
        small = [Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX) for frame in frames]
        grids = np.stack([np.asarray(image, np.float32) for image in small])
        return grids - grids.mean(axis=(1, 2, 3), keepdims=True)


class Remembered:
    """Looks or a judge that is asked once about each picture: what was seen after a step is before the next one."""

    def __init__(self, looks: Looks | None = None, judge: Judge | None = None) -> None:
        self._looks, self._judge = looks, judge
        self._memo: OrderedDict[bytes, NDArray[np.generic]] = OrderedDict()

    def features(self, frames: Sequence[Frame]) -> NDArray[np.float32]:
        if self._looks is None:
            raise ValueError("there is nothing here that turns pictures into features")
        return self._remember(b"", frames, self._looks.features)

    def chances(self, frames: Sequence[Frame], question: str, answers: Sequence[str]) -> NDArray[np.float64]:
        if self._judge is None:
            raise ValueError("there is nobody here to judge")
        judge, about = self._judge, "\n".join((question, *answers)).encode()
        return self._remember(about, frames, lambda new: judge.chances(new, question, answers))

    def _remember(self, about: bytes, frames: Sequence[Frame], find: Callable[[list[Frame]], NDArray]) -> NDArray:
        keys = [_key(about, frame) for frame in frames]
        new = {key: frame for key, frame in zip(keys, frames, strict=True) if key not in self._memo}
        if new:
            self._memo.update(zip(new, find(list(new.values())), strict=True))
        found = np.stack([self._memo[key] for key in keys])
        for key in keys:
            self._memo.move_to_end(key)
        while len(self._memo) > _MOST:
            self._memo.popitem(last=False)
        return found


@dataclass(frozen=True)
class Similarity:
    """How alike what is seen and the goal's picture are: `likeness`, in [-1, 1]."""

    looks: Looks
    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        wanted = [_picture(goal.frame) for goal in per_row(self.goals, len(states))]
        both = self.looks.features([*wanted, *(state.frame for state in states)])
        return likeness(both[: len(states)], both[len(states) :])


@dataclass(frozen=True)
class Judgement:
    """The judge's probability of "yes" to the goal's words, asked about what is seen."""

    judge: Judge
    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        questions = [question_of(goal.words) for goal in per_row(self.goals, len(states))]
        chances = np.zeros(len(states))
        for question in dict.fromkeys(questions):  # rows with one question are one batch
            rows = [i for i, asked in enumerate(questions) if asked == question]
            chances[rows] = self.judge.chances([states[i].frame for i in rows], question, YES_OR_NO)[:, 0]
        return chances


@dataclass(frozen=True)
class NewPicture:
    """How little what is seen is like all that the episode has seen: 1 less the largest `likeness`, in [0, 2]."""

    looks: Looks
    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        here = self.looks.features([state.frame for state in states])
        values = np.ones(len(states))
        for i, goal in enumerate(per_row(self.goals, len(states))):
            if goal.seen:
                values[i] = 1.0 - likeness(self.looks.features([s.frame for s in goal.seen]), here[i : i + 1]).max()
        return values


def question_of(words: str) -> str:
    """What the judge is asked where the goal is to "find the cactus": in the words that answers are trained and
    measured with (`world.questions`). A question stays as it is."""
    if words.endswith("?"):
        return words
    return question_about("reached", words)


def likeness(some: NDArray[np.float32], others: NDArray[np.float32]) -> Values:
    """The cosine [B] of features [B, SIDE, SIDE, C] where they overlap, one moved sideways so that it is largest.

    So a place is known again after a small turn: over the shipped scenes the chance that a picture at the goal is more
    alike than one that is not rises from 0.86 to 0.95.
    """
    moved = [(some[:, :, by:], others[:, :, : SIDE - by]) for by in range(_SHIFT + 1)]
    moved += [(some[:, :, : SIDE - by], others[:, :, by:]) for by in range(1, _SHIFT + 1)]
    return np.max([_cosine(a, b) for a, b in moved], axis=0)


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> Values:
    dots = [np.einsum("bhwc,bhwc->b", x, y, dtype=np.float64) for x, y in ((a, b), (a, a), (b, b))]
    return dots[0] / np.maximum(np.sqrt(dots[1] * dots[2]), 1e-6)


def _picture(frame: Frame | None) -> Frame:
    if frame is None:
        raise ValueError("this goal has no picture: use judged_by='pose' or 'judge'")
    return frame


def _key(about: bytes, frame: Frame) -> bytes:
    h = hashlib.blake2b(repr(frame.shape).encode() + about, digest_size=16)
    h.update(np.ascontiguousarray(frame).data)
    return h.digest()
