"""Ways that end where they began: what a consistent world shows there is known without any truth, even of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import metrics
from scenes.dreaming import dream
from scenes.estimates import Figures, by, mean
from world.types import Action, Frame, Pose, Scene, TrueWorld, WorldModel
from world.walks import HELD_OUT

_RETREAT = 4  # steps there, and as many back
_STILL = 16  # times "stay"
_TRIES = 1000  # starts that are looked at for one that has room
_OPPOSITES = (
    ("left", "right"),
    ("forward", "back"),
    ("strafe_left", "strafe_right"),
    ("up", "down"),
    ("object_left", "object_right"),
)
_ORDERS = (("forward", "strafe_left"), ("left", "up"))  # moves whose order does not matter

Actions = tuple[Action, ...]


@dataclass(frozen=True)
class Way:
    """Two ways to one pose; where `other` is empty, the way leads back to its start."""

    name: str  # of the figure
    actions: Actions
    other: Actions = ()


@dataclass(frozen=True)
class Turn:
    """A full turn on the spot as the model dreamt it (step -> frame)."""

    scene: str
    frames: dict[int, Frame]


def ways(scene: Scene) -> list[Way]:
    """The closed ways that the scene's actions allow."""
    a = {action.name: action for action in scene.actions}
    found = []
    if "left" in a:
        found.append(Way("full_turn", (a["left"],) * max(1, round(360 / a["left"].yaw))))
    if {"forward", "back"} <= a.keys():
        found.append(Way("there_and_back", (a["forward"],) * _RETREAT + (a["back"],) * _RETREAT))
    if {"forward", "left"} <= a.keys():
        side = (a["forward"], *(a["left"],) * max(1, round(90 / a["left"].yaw)))
        found.append(Way("square", side * 4))
    found += [Way("inverse", (a[one], a[two])) for one, two in _OPPOSITES if {one, two} <= a.keys()]
    found += [Way("path", (a[one], a[two]), (a[two], a[one])) for one, two in _ORDERS if {one, two} <= a.keys()]
    if "stay" in a:
        found.append(Way("still", (a["stay"],) * _STILL))
    return found


def starts(truth: TrueWorld, scene: Scene, num: int) -> list[Scene]:
    """The scene from `num` held-out random starts, in the order of their seeds, that have room for all its ways."""
    found = []
    for seed in range(HELD_OUT, HELD_OUT + _TRIES):
        if len(found) == num:
            break
        start = truth.random_start(scene, seed)
        if all(_is_free(truth, scene, start.pose, row) for way in ways(scene) for row in (way.actions, way.other)):
            found.append(scene.starting_at(start))
    return found


def measure(model: WorldModel, scenes: Sequence[Scene]) -> tuple[Figures, list[Turn]]:
    """How well the model's own ways close, from the first start of each scene; and its full turns."""
    begun = model.reset(scenes, [HELD_OUT + i for i in range(len(scenes))])
    rows = [(state, way) for state in begun for way in ways(state.scene)]
    twofold = [(state, way) for state, way in rows if way.other]
    dreams = dream(  # one batch
        model,
        [state for state, _ in (*rows, *twofold)],
        [*(way.actions for _, way in rows), *(way.other for _, way in twofold)],
        range(100),
    )
    firsts, others = dreams[: len(rows)], iter(dreams[len(rows) :])
    goals = [next(others)[len(way.other)] if way.other else state.frame for state, way in rows]
    figures: Figures = {}
    for name in dict.fromkeys(way.name for _, way in rows):
        chosen = [i for i, (_, way) in enumerate(rows) if way.name == name]
        keys = [rows[i][0].scene.name for i in chosen]
        ends = [firsts[i][len(rows[i][1].actions)] for i in chosen]
        figures[name] = by(keys, mean, _each(metrics.psnr, ends, [goals[i] for i in chosen]))
        if name in ("full_turn", "there_and_back", "square"):
            halfway = [firsts[i][len(rows[i][1].actions) // 2] for i in chosen]
            figures[f"{name}_halfway"] = by(keys, mean, _each(metrics.psnr, halfway, [goals[i] for i in chosen]))
        if name == "still":
            for look in (metrics.brightness, metrics.saturation):
                changes = _each(lambda end, start, look=look: look(end) - look(start), ends, [goals[i] for i in chosen])
                figures[f"still_{look.__name__}"] = by(keys, mean, changes)
    turns = [Turn(state.scene.name, firsts[i]) for i, (state, way) in enumerate(rows) if way.name == "full_turn"]
    return figures, turns


def _each(compare, ends: Sequence[Frame], goals: Sequence[Frame]) -> np.ndarray:
    """Pair by pair: pictures of several sizes may stand side by side."""
    return np.array([compare(end[None], goal[None])[0] for end, goal in zip(ends, goals, strict=True)], float)


def _is_free(truth: TrueWorld, scene: Scene, pose: Pose, actions: Actions) -> bool:
    for action in actions:
        if truth.slide(scene, pose, action) != pose.moved(action):
            return False
        pose = pose.moved(action)
    return True
