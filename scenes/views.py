"""All views from the one start picture: each is asked for by its whole motion, instead of step after step.

A view's context is the views nearest to it that were made already, and the start, from which the words lead to it. How
much of that is read is the model's own affair (`history` of its walk settings; the published BAGEL-7B: the start).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from scenes.sequence import Tell, step
from world.errors import ModelError
from world.instructions import motion
from world.pictures import read_picture
from world.plan import Plan
from world.recording import save_png
from world.session import Session
from world.types import Action, Frame, Pose, Scene, State, WorldModel, WorldSpec, wrap

NEIGHBOURS = 2  # views beside the start in the context of a view
_METRE = 60.0  # degrees: a turn that changes a picture about as much as a metre
_SAME = 1e-6


def view_steps(plan: Plan) -> list[int]:
    """The steps that are views: the checkpoints, or every picture where there are none; none that shows the start."""
    poses = plan.poses(Pose())
    marked = sorted({plan.picture(i) for i in plan.checkpoints.values()})
    steps = marked or [i for i, s in enumerate(plan.steps) if s.action is not None]
    return [i for i in steps if distance(poses[i], poses[0]) > _SAME]


def need_views(spec: WorldSpec, plan: Plan) -> None:
    """Raises where views cannot be asked for by their motion."""
    if "free_text" not in spec.supports:
        raise ModelError(f"{spec.model} reads no sentences, so no view can be asked for by its whole motion")
    actions = [step.action for step in plan.steps if step.action is not None]
    if words := [a.text for a in actions if not a.name and a == Action(a.text)]:
        raise ValueError(f"views are asked for by their motion, and {words[0]!r} says none: leave it out")
    if not view_steps(plan):
        raise ValueError("the script never leaves its start, so there are no views of it")


def make_views(
    model: WorldModel, session: Session, folder: Path, tell: Tell = lambda text: None
) -> dict[int, tuple[Frame, ...]]:
    """The views by step, one picture for each seed; kept in `folder`, from which a cut off run goes on."""
    plan, scene, seeds = session.plan, session.scene, session.seeds
    poses = plan.poses(scene.starts[0].pose)
    begun = model.reset([scene] * len(seeds), seeds)
    made = {0: tuple(state.frame for state in begun)}
    rounds = _rounds(view_steps(plan), poses)
    for k, steps in enumerate(rounds, 1):
        paths = {i: [folder / f"seed-{seed}" / f"{i:04d}.png" for seed in seeds] for i in steps}
        if all(path.exists() for row in paths.values() for path in row):
            made |= {i: tuple(np.array(read_picture(path)) for path in row) for i, row in paths.items()}
            continue
        tell(f"views from the start: {k} of {len(rounds)}")
        contexts = {i: _nearest(i, made, poses) for i in steps}
        states = [
            _state(begun[v], i, {j: made[j][v] for j in contexts[i]}, poses) for i in steps for v in range(len(seeds))
        ]
        actions = [_told(motion(poses[0], poses[i]), scene) for i in steps for _ in seeds]
        frames = iter([state.frame for state in step(model, states, actions)])
        made |= {i: tuple(next(frames) for _ in seeds) for i in steps}
        for i in steps:
            for path, frame in zip(paths[i], made[i], strict=True):
                save_png(path, frame)
    return {i: row for i, row in made.items() if i}


def distance(a: Pose, b: Pose) -> float:
    """How far two poses are apart, in degrees of turning; a metre counts as 60."""
    metres = math.hypot(a.x - b.x, a.y - b.y)
    return metres * _METRE + abs(wrap(a.yaw - b.yaw)) + abs(a.pitch - b.pitch) + abs(wrap(a.object_yaw - b.object_yaw))


def _rounds(steps: Sequence[int], poses: Sequence[Pose]) -> list[list[int]]:
    """The steps by their distance from the start, the nearest first; equally distant ones together."""
    by_distance: dict[float, list[int]] = {}
    for i in steps:
        by_distance.setdefault(round(distance(poses[i], poses[0]), 3), []).append(i)
    return [by_distance[d] for d in sorted(by_distance)]


def _nearest(i: int, made: dict[int, tuple[Frame, ...]], poses: Sequence[Pose]) -> list[int]:
    """The made views that a view is to be conditioned on, farthest first, without the start."""
    views = sorted((j for j in made if j), key=lambda j: (distance(poses[j], poses[i]), j))
    return views[:NEIGHBOURS][::-1]


def _state(begun: State, i: int, context: dict[int, Frame], poses: Sequence[Pose]) -> State:
    """A state whose newest picture is the start, and whose past are the views of the context."""
    actions = tuple(_told(motion(poses[a], poses[b]), begun.scene) for a, b in pairwise([*context, 0]))
    return replace(begun, frames=(*context.values(), begun.frame), actions=actions, memory=(), step=i)


def _told(action: Action, scene: Scene) -> Action:
    """The scene's own move where there is one with these numbers, so that a model hears the words that it knows."""
    return next((a for a in scene.actions if replace(a, text="", name="") == replace(action, text="")), action)
