"""What is wanted, and how far it is by the poses: exact in the simulator, dead-reckoned in a dream.

Distances in m, angles in degrees. Everywhere one goal serves all rows, or there is one a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from world.rewards import Flags, Values
from world.types import Action, Frame, Pose, State, wrap

TURN = 50.0  # degrees that count as much as one metre: about three turns for three steps
_CELL = 0.6  # m, the side of a place that counts as visited


@dataclass(frozen=True)
class Thing:
    """Something that stands in a scene and can be looked for."""

    words: str  # e.g. "the cactus"
    x: float  # m, east
    y: float  # m, north


@dataclass(frozen=True)
class Goal:
    """What one episode is about; what it does not need, or nobody knows, is None."""

    words: str = ""  # as a sentence, e.g. "find the cactus"
    frame: Frame | None = None  # what is seen there
    pose: Pose | None = None  # where that is
    thing: Thing | None = None
    seen: tuple[State, ...] = ()  # the episode so far, where the task is about what is new


Goals = tuple[Goal, ...]  # one, or one a row


def per_row(goals: Goals, num_rows: int) -> Goals:
    """One goal a row. Raises ValueError where they are neither one nor as many as the rows."""
    if len(goals) not in (1, num_rows):
        raise ValueError(f"one goal for all rows, or one a row: got {len(goals)} goals for {num_rows} rows")
    return goals if len(goals) == num_rows else goals * num_rows


@dataclass(frozen=True)
class Nearness:
    """Minus the way to the goal's pose: metres, and degrees of turning at TURN a metre."""

    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        rows = zip(per_row(self.goals, len(states)), states, strict=True)
        return -np.array([_way(_pose(goal), state.pose) for goal, state in rows], np.float64)


@dataclass(frozen=True)
class Within:
    """Ends where the eye is within `radius` m of the goal's pose and looks the same way, give or take `angle`."""

    goals: Goals
    radius: float = 0.45  # one step and a half
    angle: float = 20.0  # a turn and a third

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        rows = zip(per_row(self.goals, len(after)), after, strict=True)
        return np.array([self.holds(_pose(goal), state.pose) for goal, state in rows], bool)

    def holds(self, goal: Pose, pose: Pose) -> bool:
        """Whether `pose` is at the goal."""
        return distance(goal, pose) <= self.radius and abs(wrap(goal.yaw - pose.yaw)) <= self.angle


@dataclass(frozen=True)
class Alignment:
    """Minus the degrees by which the object still has to be turned, at TURN a unit."""

    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        rows = zip(per_row(self.goals, len(states)), states, strict=True)
        return -np.array([_twist(_pose(goal), state.pose) / TURN for goal, state in rows], np.float64)


@dataclass(frozen=True)
class Aligned:
    """Ends where the object stands as in the goal's pose, give or take `angle`."""

    goals: Goals
    angle: float = 7.0  # less than half a turn of the vocabulary

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        rows = zip(per_row(self.goals, len(after)), after, strict=True)
        return np.array([_twist(_pose(goal), state.pose) <= self.angle for goal, state in rows], bool)


@dataclass(frozen=True)
class Approach:
    """Minus the way to stand before the goal's thing and look at it: as in Nearness."""

    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        rows = zip(per_row(self.goals, len(states)), states, strict=True)
        seen = [bearing(_thing(goal), state.pose) for goal, state in rows]
        return -np.array([metres + abs(degrees) / TURN for metres, degrees in seen], np.float64)


@dataclass(frozen=True)
class Facing:
    """Ends where the eye stands before the goal's thing, `radius` m at most, and looks at it, give or take `angle`."""

    goals: Goals
    radius: float = 2.5
    angle: float = 15.0

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        rows = zip(per_row(self.goals, len(after)), after, strict=True)
        return np.array([self.holds(_thing(goal), state.pose) for goal, state in rows], bool)

    def holds(self, thing: Thing, pose: Pose) -> bool:
        """Whether one stands at `pose` before the thing."""
        metres, degrees = bearing(thing, pose)
        return metres <= self.radius and abs(degrees) <= self.angle


@dataclass(frozen=True)
class NewPlace:
    """1 in a place, a square of floor, where the episode has not been yet; else 0."""

    goals: Goals

    def __call__(self, states: Sequence[State]) -> Values:
        rows = zip(per_row(self.goals, len(states)), states, strict=True)
        return np.array([_cell(s.pose) not in {_cell(old.pose) for old in g.seen} for g, s in rows], np.float64)


def distance(a: Pose, b: Pose) -> float:
    """Metres between two places, through the walls."""
    return math.hypot(a.x - b.x, a.y - b.y)


def bearing(thing: Thing, pose: Pose) -> tuple[float, float]:
    """How far the thing is (m), and by how many degrees one would have to turn to the left to look at it."""
    dx, dy = thing.x - pose.x, thing.y - pose.y
    return math.hypot(dx, dy), wrap(math.degrees(math.atan2(dy, dx)) - pose.yaw)


def _way(goal: Pose, pose: Pose) -> float:
    return distance(goal, pose) + abs(wrap(goal.yaw - pose.yaw)) / TURN


def _twist(goal: Pose, pose: Pose) -> float:
    return abs(wrap(goal.object_yaw - pose.object_yaw))


def _cell(pose: Pose) -> tuple[int, int]:
    return math.floor(pose.x / _CELL), math.floor(pose.y / _CELL)


def _pose(goal: Goal) -> Pose:
    if goal.pose is None:
        raise ValueError("nobody knows where this goal is: use judged_by='picture'")
    return goal.pose


def _thing(goal: Goal) -> Thing:
    if goal.thing is None:
        raise ValueError(f"nobody knows where to {goal.words or 'look'}: use judged_by='judge'")
    return goal.thing
