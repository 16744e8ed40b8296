"""Places that a walk has passed: where a step leads back to one, its picture says more than all that lay between.

Poses are dead-reckoned, and a walk that slides along a wall is soon elsewhere. So places are forgotten after words that
nobody can reckon with, after a move that showed no change, and where a known place does not look as it did; and a step
over the floor leads back only between places that are both known.
"""

from __future__ import annotations

import math

import numpy as np

from world.types import Action, Frame, Pose, Scene, Start, State, wrap

MOST = 40  # places
NEAR = 0.02  # m and
ALIKE = 1.0  # degrees within which two poses are one
STILL = 2.0  # grey levels that a picture differs in the mean from the one before, where nothing moved
SAME = 8.0  # grey levels that two pictures of one place differ at most in the mean


def way_back(state: State, action: Action) -> tuple[Start, Action] | None:
    """The place to which `action` leads back, and the scene's move from there to here; None where there is none."""
    here, there = _at(state.places, state.pose), _at(state.places, state.pose.moved(action))
    if there is None or _is_open(state.pose, action):
        return None
    strange = action.forward or action.left if here is None else _change(here.frame, state.frame) > SAME
    undoing = None if strange else _between(state.scene, there.pose, state.pose)
    if undoing is None or (state.actions[-1:] == (undoing,) and np.array_equal(there.frame, state.frames[-2])):
        return None  # no such move, or it is what the state's own past ends with
    return there, undoing


def passed(state: State, action: Action, frame: Frame) -> tuple[Start, ...]:
    """The places to remember after `action` led from `state` to `frame`: the last MOST, each as it was seen first."""
    blocked = action.name != "stay" and _change(frame, state.frame) < STILL
    if blocked or _is_open(state.pose, action):
        return ()
    here = _at(state.places, state.pose)
    if here is not None and _change(here.frame, state.frame) <= SAME:
        return state.places
    return (*(() if here is not None else state.places), Start("", state.pose, state.frame))[-MOST:]


def _change(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _is_open(pose: Pose, action: Action) -> bool:
    """Whether nobody can reckon with the action: words that move nothing may change everything."""
    return action.name != "stay" and pose.moved(action) == pose


def _between(scene: Scene, start: Pose, end: Pose) -> Action | None:
    moves = (action for action in scene.actions if not _is_open(start, action))
    return next((action for action in moves if _near(start.moved(action), end)), None)


def _at(places: tuple[Start, ...], pose: Pose) -> Start | None:
    return next((place for place in places if _near(place.pose, pose)), None)


def _near(one: Pose, other: Pose) -> bool:
    angles = (one.yaw - other.yaw, one.pitch - other.pitch, one.object_yaw - other.object_yaw)
    return math.hypot(one.x - other.x, one.y - other.y) < NEAR and all(abs(wrap(angle)) < ALIKE for angle in angles)
