"""How somebody walks who has nothing to do: runs of moves and turns, glances that come back to level."""

from __future__ import annotations

import numpy as np

from world.types import Action, Scene

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


def random_actions(rng: np.random.Generator, scene: Scene, num: int) -> list[Action]:
    """`num` actions of the scene's vocabulary, with momentum. Raises ValueError where it has none of the known moves.

    Moves that the scene lacks (an object that cannot be turned) are left out. A glance up or down is undone after a
    while, so that most frames are level.
    """
    by_name = {a.name: a for a in scene.actions}
    stretches = [s for s in _STRETCHES if all(name in by_name for name in s[1])]
    if not stretches:
        raise ValueError(f"scene {scene.name!r} has none of the standard moves: {', '.join(by_name)}")
    weights = np.array([s[0] for s in stretches])
    actions: list[Action] = []
    glances: list[str] = []
    while len(actions) < num:
        if glances and rng.random() < _LEVEL_AGAIN:
            names = ["down" if g == "up" else "up" for g in reversed(glances)]
            glances = []
        else:
            _, turns, shortest, longest = stretches[rng.choice(len(stretches), p=weights / weights.sum())]
            if len(glances) >= 3 and turns[0] in ("up", "down"):
                continue  # high or low enough
            names = [name for name in turns for _ in range(rng.integers(shortest, longest + 1))]
            if len(turns) > 1 and rng.random() < 0.5:
                rng.shuffle(names)
            glances += [name for name in names if name in ("up", "down")]
        actions += [by_name[name] for name in names if name in by_name]
    return actions[:num]
