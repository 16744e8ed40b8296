"""Where episodes begin and what they are to reach: drawn by a seed, the same for every model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, cast, runtime_checkable

import numpy as np

from world import models
from world.goals import Facing, Thing, Within
from world.tasks import PlacesKind, TaskName
from world.types import Action, Frame, Pose, Scene, Start, TrueWorld, WorldModel
from world.walks import HELD_OUT, Stroll
from world.ways import fewest_moves

NUM_PLACES = 1024  # free places that training draws from, and as many that are held out
NEAREST, FARTHEST = 3, 8  # moves from a free place to the goal: at least by the shortest way, at most by the one drawn
MOVES = ("forward", "left", "right")  # that such a way is made of
MOST_TURNS = 6  # by which an object is away from how it is wanted
_HELD_OUT = HELD_OUT + 300_000
_MEMO = 2 * NUM_PLACES


@dataclass(frozen=True)
class Draw:
    """One episode to be: where it begins, and what is wanted of it."""

    start: Start
    goal: Start | None = None  # a place, and what is seen there
    thing: Thing | None = None
    turns: int = 0  # actions of the vocabulary by which the object is to be turned, + to the left


@runtime_checkable
class Walkable(TrueWorld, Protocol):
    """A true world that also tells where a move would lead, without drawing."""

    def slide(self, scene: Scene, pose: Pose, action: Action) -> Pose:
        """The pose after the action, along what stands in the way."""
        ...


class Places:
    """Draws episodes. Free places are drawn by the simulator: the model, where it is one, else one that is opened when
    it is first needed."""

    def __init__(self, task: TaskName, kind: PlacesKind, model: WorldModel) -> None:
        self._task, self._kind = task, kind
        self._true = model if isinstance(model, Walkable) else None
        self._owns_true = self._true is None
        self._memo: OrderedDict[tuple[str, int], Draw] = OrderedDict()

    def draw(self, scene: Scene, rng: np.random.Generator, things: Sequence[Thing], start: Start | None = None) -> Draw:
        """An episode in `scene`, at `start` where one is given. Raises ValueError where the scene has nothing for this
        task, WorldError where the simulator is needed and cannot be had."""
        self.check(scene, things)
        if self._kind == "named" or start is not None:
            return self._named(scene, rng, things, start or scene.starts[int(rng.integers(len(scene.starts)))])
        seed = int(rng.integers(NUM_PLACES)) + (_HELD_OUT if self._kind == "held_out" else 0)
        return self.free(scene, seed, things)

    def check(self, scene: Scene, things: Sequence[Thing]) -> None:
        """Raises ValueError where the scene has nothing for this task."""
        turns = any(action.object_yaw for action in scene.actions)
        if self._task == "RotateObject" and not turns:
            raise ValueError(f"there is nothing to turn in {scene.name!r}: use scene='tabletop'")
        if self._task == "FindObject" and not things:
            raise ValueError(f"{scene.name!r} lists nothing to find: use a shipped scene, or say reset options 'find'")
        if self._kind == "named" and self._task == "ReachGoal":
            if turns or scene.has_layouts:
                what = "an object" if turns else "walls"
                raise ValueError(f"each start of {scene.name!r} has {what} of its own: use places='free'")
            if len(scene.starts) < 2:
                raise ValueError(f"{scene.name!r} has a single start, and so no goal: give reset options 'goal'")

    def close(self) -> None:
        """Closes the simulator, if it was needed."""
        if self._owns_true and self._true is not None:
            self._true.close()
            self._true = None

    def _named(self, scene: Scene, rng: np.random.Generator, things: Sequence[Thing], start: Start) -> Draw:
        if self._task == "ReachGoal":
            others = [other for other in scene.starts if other.name != start.name]
            return Draw(start, others[int(rng.integers(len(others)))])
        if self._task == "RotateObject":
            return Draw(start, turns=_turns(rng))
        thing = things[int(rng.integers(len(things)))] if self._task == "FindObject" else None
        return Draw(start, thing=thing)

    def free(self, scene: Scene, seed: int, things: Sequence[Thing]) -> Draw:
        """The episode of a free place's `seed`, the same whenever it is asked for."""
        key = scene.name, seed
        if key not in self._memo:
            self._memo[key] = self._drawn(scene, seed, things)
            while len(self._memo) > _MEMO:
                self._memo.popitem(last=False)
        return self._memo[key]

    def _drawn(self, scene: Scene, seed: int, things: Sequence[Thing]) -> Draw:
        rng = np.random.default_rng((seed, 8))
        true = self._simulator()
        start = true.random_start(scene, seed)
        here = scene.starting_at(start)
        if self._task == "ReachGoal":
            pose = _stroll(true, here, rng)
        elif self._task == "RotateObject":
            turn = next(abs(a.object_yaw) for a in scene.actions if a.object_yaw)
            pose = start.pose.moved(Action("", object_yaw=_turns(rng) * turn))
        else:
            return Draw(start, thing=_hidden(things, start.pose, rng) if self._task == "FindObject" else None)
        frame: Frame = true.view(here, [pose])[0]
        return Draw(start, Start(start.name, pose, frame))

    def _simulator(self) -> Walkable:
        if self._true is None:
            self._true = cast(Walkable, models.load("sim"))
        return self._true


def _stroll(true: Walkable, here: Scene, rng: np.random.Generator) -> Pose:
    """Where a stroll leads that NEAREST moves at least are needed for; level, so that the way is walks and turns."""
    moves = tuple(action for action in here.actions if action.name in MOVES)
    start, within = here.starts[0].pose, Within(())

    def slide(pose: Pose, action: Action) -> Pose:
        return true.slide(here, pose, action)

    while True:
        stroll, pose = Stroll(rng, replace(here, actions=moves)), start
        for _ in range(int(rng.integers(NEAREST, FARTHEST + 1))):
            pose = slide(pose, stroll.next())
        if fewest_moves(start, moves, slide, partial(within.holds, pose), NEAREST - 1) == NEAREST:
            return pose


def _hidden(things: Sequence[Thing], pose: Pose, rng: np.random.Generator) -> Thing:
    """One of the things that one is not standing before already."""
    left = [thing for thing in things if not Facing(()).holds(thing, pose)] or list(things)
    return left[int(rng.integers(len(left)))]


def _turns(rng: np.random.Generator) -> int:
    return int(rng.integers(1, MOST_TURNS + 1)) * (1 if rng.random() < 0.5 else -1)
