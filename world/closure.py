"""Loop closure: where on the way one stood as one stands now, to see whether the world is still the same there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from world.types import Pose, wrap

NEAR = 0.2  # m
SAME_WAY = 10.0  # degrees, of yaw, pitch and the object
AWAY = 0.5  # m, or
TURNED = 40.0  # degrees: how far one must have been away for a return to be one


def returned_to(poses: Sequence[Pose]) -> int | None:
    """The index of the first of `poses` that the last one came back to; None where it did not.

    Poses are dead-reckoned or exact, in the order of the walk.
    """
    if not poses:
        return None
    here, been_away, found = poses[-1], False, None
    for i in range(len(poses) - 2, -1, -1):
        distance, turn = apart(here, poses[i])
        been_away = been_away or distance > AWAY or turn > TURNED
        if been_away and distance < NEAR and turn < SAME_WAY:
            found = i
    return found


def apart(one: Pose, other: Pose) -> tuple[float, float]:
    """How far two poses are from each other: m, and degrees of whatever angle differs most."""
    turns = (one.yaw - other.yaw, one.pitch - other.pitch, one.object_yaw - other.object_yaw)
    return math.hypot(one.x - other.x, one.y - other.y), max(abs(wrap(turn)) for turn in turns)
