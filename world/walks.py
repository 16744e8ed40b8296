"""How somebody walks who has nothing to do: runs of moves and turns, glances that come back to level."""

from __future__ import annotations

import math

import numpy as np

from world.types import Action, Pose, Scene, wrap

HELD_OUT = 2**30  # seeds of walks and random starts: below for training, from here on for measuring

# What a walk is made of: (weight, names in turn, shortest and longest run of each name).
_STRETCHES: tuple[tuple[float, tuple[str, ...], int, int], ...] = (
    (5.0, ("forward",), 1, 6),
    (1.2, ("back",), 1, 3),
    (2.2, ("left",), 1, 6),
    (2.2, ("right",), 1, 6),
    (1.0, ("forward", "left"), 1, 3),
    (1.0, ("forward", "right"), 1, 3),
    (0.9, ("strafe_left",), 1, 4),
    (0.9, ("strafe_right",), 1, 4),
    (0.5, ("strafe_left", "right"), 1, 2),
    (0.5, ("strafe_right", "left"), 1, 2),
    (0.7, ("up",), 1, 2),
    (0.7, ("down",), 1, 2),
    (2.2, ("object_left",), 1, 6),
    (2.2, ("object_right",), 1, 6),
    (0.25, ("stay",), 1, 2),
)
_LEVEL_AGAIN = 0.35  # chance that a stretch after a glance starts by looking back
_TURN_AWAY = (3, 9)  # shortest and longest run of turns after bumping into something
_HANDLED = 0.2  # chance of an onlooker's step that it turns the object
_LOST, _BACK_TO_IT = 40.0, 0.7  # degrees beside the object, and the chance of a step back to it from there


class Stroll:
    """A walk with momentum, one action at a time, from the scene's vocabulary.

    Moves that the scene lacks (an object that cannot be turned) are left out. A glance up or down is undone after a
    while, so that most frames are level. Who bumps into something turns away from it.
    """

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        """Raises ValueError where the scene has none of the standard moves."""
        self._rng = rng
        self._by_name = {a.name: a for a in scene.actions}
        self._stretches = [s for s in _STRETCHES if all(name in self._by_name for name in s[1])]
        if not self._stretches:
            raise ValueError(f"scene {scene.name!r} has none of the standard moves: {', '.join(self._by_name)}")
        weights = np.array([s[0] for s in self._stretches])
        self._weights = weights / weights.sum()
        self._ahead: list[str] = []
        self._glances: list[str] = []

    def next(self, bumped: bool = False) -> Action:
        """The next action; `bumped` says that the last one was stopped by something."""
        if bumped and "left" in self._by_name and "right" in self._by_name:
            away = "left" if self._rng.random() < 0.5 else "right"
            self._ahead = [away] * int(self._rng.integers(_TURN_AWAY[0], _TURN_AWAY[1] + 1))
        while not self._ahead:
            self._ahead = [name for name in self._stretch() if name in self._by_name]
        name = self._ahead.pop(0)
        if name in ("up", "down"):
            opposite = "down" if name == "up" else "up"
            if self._glances and self._glances[-1] == opposite:
                self._glances.pop()
            else:
                self._glances.append(name)
        return self._by_name[name]

    def _stretch(self) -> list[str]:
        if self._glances and self._rng.random() < _LEVEL_AGAIN:
            return ["down" if g == "up" else "up" for g in reversed(self._glances)]
        _, turns, shortest, longest = self._stretches[self._rng.choice(len(self._stretches), p=self._weights)]
        if len(self._glances) >= 3 and turns[0] in ("up", "down"):
            return []  # high or low enough
        names = [name for name in turns for _ in range(self._rng.integers(shortest, longest + 1))]
        if len(turns) > 1 and self._rng.random() < 0.5:
            self._rng.shuffle(names)
        return names


def onlook(rng: np.random.Generator, pose: Pose) -> str | None:
    """The move of somebody who looks at the object in the middle and turns it now and then; None for any other move."""
    if rng.random() < _HANDLED:
        return str(rng.choice(["object_left", "object_right"]))
    off = wrap(math.degrees(math.atan2(-pose.y, -pose.x)) - pose.yaw)
    if abs(off) > _LOST and rng.random() < _BACK_TO_IT:
        return "left" if off > 0 else "right"
    return None


def random_actions(rng: np.random.Generator, scene: Scene, num: int) -> list[Action]:
    """`num` actions of a stroll that never learns whether it bumped into something."""
    stroll = Stroll(rng, scene)
    return [stroll.next() for _ in range(num)]


def bumped(before: Pose, action: Action, after: Pose) -> bool:
    """Whether less than half of the asked way was made."""
    asked = math.hypot(action.forward, action.left)
    return math.hypot(after.x - before.x, after.y - before.y) < 0.5 * asked
