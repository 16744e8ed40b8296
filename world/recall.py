"""Places that a walk has passed: where a step leads back to one, its picture says more than all that lay between.

Where nobody knows the walls, a walk that slides along one is soon elsewhere than it is reckoned to be. So places are
forgotten after a step over the floor that showed no change, or to a known place that does not look as it did; and a
step over the floor leads back only between places that are both known. A turn is made whatever stands there. Who
reckons on a floor plan knows where it stands: there a wall changes nothing of what is known, and a picture that looks
otherwise has only faded. After words that nobody can reckon with all may be otherwise, with a plan as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from world.types import Action, Frame, Pose, Scene, Start, State, wrap

MOST = 40  # places
NEAR = 0.02  # m and
ALIKE = 1.0  # degrees within which two poses are one
STILL = 2.0  # grey levels that a picture differs in the mean from the one before, where something stood in the way
SAME = 8.0  # grey levels that two pictures of one place differ at most in the mean


Reckon: TypeAlias = Callable[[Scene, Pose, Action], Pose]


def unhindered(scene: Scene, pose: Pose, action: Action) -> Pose:
    """Where `action` leads from `pose` where nothing stands in the way."""
    return pose.moved(action)


def way_back(state: State, action: Action, reckon: Reckon = unhindered) -> tuple[Start, Action] | None:
    """The place to which `action` leads back, and the scene's move from there to here; None where there is none.

    Any other `reckon` than `unhindered` is taken for that of a floor plan that `state.pose` was reckoned on.
    """
    there = _at(state.places, reckon(state.scene, state.pose, action))
    planned = reckon is not unhindered
    if there is None or _is_open(state.pose, action) or not (planned or _is_trusted(state, action)):
        return None
    undoing = _between(state.scene, there.pose, state.pose, reckon)
    # Along a wall several moves are one, so on a plan any of them may be what the state's own past ends with.
    own = state.actions[-1:] == (undoing,) or (planned and bool(state.actions))
    if undoing is None or (own and np.array_equal(there.frame, state.frames[-2])):
        return None
    return there, undoing


def passed(state: State, action: Action, frame: Frame, reckon: Reckon = unhindered) -> tuple[Start, ...]:
    """The places to remember after `action` led from `state` to `frame`: the last MOST, each as it was seen first.

    `reckon` as for `way_back`.
    """
    if _is_open(state.pose, action):
        return ()
    if reckon is unhindered and (action.forward or action.left):
        there = _at(state.places, state.pose.moved(action))
        if _change(frame, state.frame) < STILL or (there is not None and _change(there.frame, frame) > SAME):
            return ()
    here = Start("", state.pose, state.frame)
    return state.places if _at(state.places, here.pose) else (*state.places, here)[-MOST:]


def _is_trusted(state: State, action: Action) -> bool:
    """Whether one comes to where one is reckoned to come though nobody knows the walls."""
    return not (action.forward or action.left) or _at(state.places, state.pose) is not None


def _change(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _is_open(pose: Pose, action: Action) -> bool:
    """Whether nobody can reckon with the action: words that move nothing may change everything."""
    return action.name != "stay" and pose.moved(action) == pose


def _between(scene: Scene, start: Pose, end: Pose, reckon: Reckon) -> Action | None:
    moves = (action for action in scene.actions if not _is_open(start, action))
    return next((action for action in moves if _near(reckon(scene, start, action), end)), None)


def _at(places: tuple[Start, ...], pose: Pose) -> Start | None:
    return next((place for place in places if _near(place.pose, pose)), None)


def _near(one: Pose, other: Pose) -> bool:
    angles = (one.yaw - other.yaw, one.pitch - other.pitch, one.object_yaw - other.object_yaw)
    return math.hypot(one.x - other.x, one.y - other.y) < NEAR and all(abs(wrap(angle)) < ALIKE for angle in angles)
