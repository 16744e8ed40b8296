"""Places that a walk has passed: where a step leads back to one, its picture says more than all that lay between.

Poses are dead-reckoned, so a place is forgotten as soon as they are not to be trusted: after words that nobody can
reckon with, and after a move that showed no change, since something stood in the way.
"""

from __future__ import annotations

import math

import numpy as np

from world.types import Action, Frame, Pose, Scene, Start, State, wrap

MOST = 40  # places
NEAR = 0.02  # m and
ALIKE = 1.0  # degrees within which two poses are one
STILL = 2.0  # grey levels that a picture differs in the mean from the one before, where nothing moved


def way_back(state: State, action: Action) -> tuple[Start, Action] | None:
    """The place to which `action` leads back, and the scene's move from there to here; None where there is none."""
    if state.pose.moved(action) == state.pose:
        return None
    place = _at(state.places, state.pose.moved(action))
    undoing = place and _between(state.scene, place.pose, state.pose)
    return (place, undoing) if place and undoing else None


def passed(state: State, action: Action, frame: Frame) -> tuple[Start, ...]:
    """The places to remember after `action` led from `state` to `frame`: the last MOST, each as it was seen first."""
    moves = state.pose.moved(action) != state.pose
    if not moves and action.name != "stay":
        return ()
    if moves and np.abs(frame.astype(np.int16) - state.frame).mean() < STILL:
        return ()
    if _at(state.places, state.pose):
        return state.places
    return (*state.places, Start("", state.pose, state.frame))[-MOST:]


def _between(scene: Scene, start: Pose, end: Pose) -> Action | None:
    return next((action for action in scene.actions if action.name != "stay" and _near(start.moved(action), end)), None)


def _at(places: tuple[Start, ...], pose: Pose) -> Start | None:
    return next((place for place in places if _near(place.pose, pose)), None)


def _near(one: Pose, other: Pose) -> bool:
    angles = (one.yaw - other.yaw, one.pitch - other.pitch, one.object_yaw - other.object_yaw)
    return math.hypot(one.x - other.x, one.y - other.y) < NEAR and all(abs(wrap(angle)) < ALIKE for angle in angles)
