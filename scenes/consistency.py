"""Ways that end where they began: what a consistent world shows there is known without any truth, even of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from scenes import metrics
from scenes.dreaming import dream
from scenes.estimates import ByScene, Figures, Values, by, mean
from scenes.metrics import Frames
from scenes.simulator import SimulatorWorld, held_out
from world.types import Action, Frame, Pose, Scene, WorldModel
from world.walks import HELD_OUT

_RETREAT = 4  # steps there, and as many back
_AWAY = 15  # turns to one side, and as many back
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

Actions: TypeAlias = tuple[Action, ...]
Compare: TypeAlias = Callable[[Frames, Frames], Values]


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
    if {"left", "right"} <= a.keys():
        found.append(Way("revisited", (a["left"],) * _AWAY + (a["right"],) * _AWAY))
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


def starts(truth: SimulatorWorld, scene: Scene, num: int) -> list[Scene]:
    """The scene from `num` held-out random starts, in the order of their seeds, that have room for all its ways."""
    found = []
    for index in range(_TRIES):
        if len(found) == num:
            break
        start = truth.random_start(scene, held_out(scene, index))
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
    others = iter(dreams[len(rows) :])
    walked = [
        _Walked(state.scene.name, way, frames, next(others)[len(way.other)] if way.other else state.frame)
        for (state, way), frames in zip(rows, dreams, strict=False)
    ]
    figures: Figures = {}
    for name in dict.fromkeys(way.name for _, way in rows):
        figures |= _figures(name, [w for w in walked if w.way.name == name])
    return figures, [Turn(w.scene, w.frames) for w in walked if w.way.name == "full_turn"]


@dataclass(frozen=True)
class _Walked:
    """A way as the model dreamt it (step -> frame), and the frame that its end should equal."""

    scene: str
    way: Way
    frames: dict[int, Frame]
    goal: Frame

    def parted(self, compare: Compare, step: int) -> float:
        """`compare` of one step's frame and the goal: alone, as pictures of several sizes may stand side by side."""
        return float(compare(self.frames[step][None], self.goal[None])[0])


def _figures(name: str, walked: Sequence[_Walked]) -> Figures:
    def mean_at(part: float, compare: Compare) -> ByScene:
        parted = [w.parted(compare, int(part * len(w.way.actions))) for w in walked]
        return by([w.scene for w in walked], mean, np.array(parted))

    figures: Figures = {name: mean_at(1, metrics.psnr)}
    if name in ("full_turn", "there_and_back", "square"):
        figures[f"{name}_halfway"] = mean_at(0.5, metrics.psnr)
    if name == "still":
        figures["still_brightness"] = mean_at(1, lambda a, b: metrics.brightness(a) - metrics.brightness(b))
        figures["still_saturation"] = mean_at(1, lambda a, b: metrics.saturation(a) - metrics.saturation(b))
    return figures


def _is_free(truth: SimulatorWorld, scene: Scene, pose: Pose, actions: Actions) -> bool:
    for action in actions:
        if truth.slide(scene, pose, action) != pose.moved(action):
            return False
        pose = pose.moved(action)
    return True
