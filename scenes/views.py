"""All views of a script from the one start picture: each is made from the start and the nearest views made already.

Views grow from the start like a tree: the next one is always the one that is nearest to a view that is there, so that
little is asked for at once, and a ring of views grows on both sides and closes opposite the start. In context are the
start and the NEIGHBOURS views before on the branch, with the words that lead from each to the next.

A model that is told motions by their numbers (`spec.supports` "motions") makes the checkpoints alone. One that knows
moves makes every picture of the script: those in between are its stepping stones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class View:
    """How a view is made: from which one, by what words, and how many were made before on its branch."""

    parent: int  # the step of the plan whose picture it is made from
    action: Action
    depth: int


def marked_views(plan: Plan) -> list[int]:
    """The steps that are views: the checkpoints, or every picture where there are none; none that shows the start."""
    poses = plan.poses(Pose())
    marked = sorted({plan.picture(i) for i in plan.checkpoints.values()})
    steps = marked or [i for i, s in enumerate(plan.steps) if s.action is not None]
    return [i for i in steps if distance(poses[i], poses[0]) > _SAME]


def need_views(spec: WorldSpec, plan: Plan) -> None:
    """Raises where views cannot be made."""
    if not {"free_text", "context"} <= spec.supports:
        raise ModelError(f"{spec.model} reads no sentences, or one picture at a time: views need a BAGEL checkpoint")
    actions = [step.action for step in plan.steps if step.action is not None]
    if words := [a.text for a in actions if not a.name and a == Action(a.text)]:
        raise ValueError(f"views are asked for by their motion, and {words[0]!r} says none: leave it out")
    if not marked_views(plan):
        raise ValueError("the script never leaves its start, so there are no views of it")


def view_tree(spec: WorldSpec, plan: Plan, scene: Scene) -> dict[int, View]:
    """The views to make by step, each after the one that it is made from (Prim's minimum spanning tree)."""
    poses, any_motion = plan.poses(Pose()), "motions" in spec.supports
    views = _apart([0, *marked_views(plan), *([] if any_motion else range(len(plan.steps)))], poses)
    own = {} if any_motion else _own_words(plan, views, poses)
    tree, reached = {0: View(0, Action(""), 0)}, 0
    nearest: dict[int, tuple[float, View]] = {}  # of what is not in the tree yet: how far, and how it would be made
    while len(tree) < len(views):
        depth = tree[reached].depth + 1
        for i in (i for i in views if i not in tree):
            apart = round(distance(poses[reached], poses[i]), 3)
            if i in nearest and (nearest[i][0], nearest[i][1].depth) <= (apart, depth):
                continue
            action = _told(motion(poses[reached], poses[i]), scene)
            action = action if action.name or any_motion else own.get((reached, i))
            if action is not None:
                nearest[i] = apart, View(reached, action, depth)
        reached = min(nearest, key=lambda i: (nearest[i][0], nearest[i][1].depth, i))
        tree[reached] = nearest.pop(reached)[1]
    del tree[0]
    return tree


def make_views(
    model: WorldModel, session: Session, folder: Path, tell: Tell = lambda text: None
) -> dict[int, tuple[Frame, ...]]:
    """The views by step, one picture for each seed; kept in `folder`, from which a cut off run goes on."""
    scene, seeds = session.scene, session.seeds
    poses = session.plan.poses(scene.starts[0].pose)
    tree = view_tree(model.spec, session.plan, scene)
    begun = model.reset([scene] * len(seeds), seeds)
    made = {0: tuple(state.frame for state in begun)}
    last = max(view.depth for view in tree.values())
    for depth in range(1, last + 1):
        steps = [i for i, view in tree.items() if view.depth == depth]
        paths = {i: [folder / f"seed-{seed}" / f"{i:04d}.png" for seed in seeds] for i in steps}
        if all(path.exists() for row in paths.values() for path in row):
            made |= {i: tuple(np.array(read_picture(path)) for path in row) for i, row in paths.items()}
            continue
        tell(f"views from the start: {depth} of {last}")
        states = [
            _before(i, tree, state, {j: row[v] for j, row in made.items()}, poses)
            for i in steps
            for v, state in enumerate(begun)
        ]
        frames = iter([s.frame for s in step(model, states, [tree[i].action for i in steps for _ in seeds])])
        made |= {i: tuple(next(frames) for _ in seeds) for i in steps}
        for i in steps:
            for path, frame in zip(paths[i], made[i], strict=True):
                save_png(path, frame)
    return {i: row for i, row in made.items() if i}


def distance(a: Pose, b: Pose) -> float:
    """How far two poses are apart, in degrees of turning; a metre counts as 60."""
    metres = math.hypot(a.x - b.x, a.y - b.y)
    return metres * _METRE + abs(wrap(a.yaw - b.yaw)) + abs(a.pitch - b.pitch) + abs(wrap(a.object_yaw - b.object_yaw))


def _apart(steps: Sequence[int], poses: Sequence[Pose]) -> list[int]:
    """The steps without those that stand where an earlier one does."""
    found: list[int] = []
    for i in dict.fromkeys(steps):
        if all(distance(poses[i], poses[j]) > _SAME for j in found):
            found.append(i)
    return found


def _own_words(plan: Plan, views: Sequence[int], poses: Sequence[Pose]) -> dict[tuple[int, int], Action]:
    """The script's own moves, by the views between which they lead: so all views hang together."""
    at = [next(j for j in views if distance(poses[i], poses[j]) <= _SAME) for i in range(len(plan.steps))]
    return {(at[s.parent], at[i]): s.action for i, s in enumerate(plan.steps) if s.action is not None}


def _before(i: int, tree: Mapping[int, View], begun: State, made: Mapping[int, Frame], poses: Sequence[Pose]) -> State:
    """The state from which view i is made: the start and the views before it on its branch, all of which are read."""
    branch = [tree[i].parent]
    while branch[0] and len(branch) < NEIGHBOURS:
        branch.insert(0, tree[branch[0]].parent)
    context = branch if branch[0] == 0 else [0, *branch]
    actions = tuple(_told(motion(poses[a], poses[b]), begun.scene) for a, b in pairwise(context))
    frames = tuple(made[j] for j in context)
    *origins, pose = (poses[j] for j in context)
    return replace(begun, frames=frames, actions=actions, pose=pose, step=i, whole=True, origins=tuple(origins))


def _told(action: Action, scene: Scene) -> Action:
    """The scene's own move where there is one with these numbers, so that a model hears the words that it knows."""
    return next((a for a in scene.actions if replace(a, text="", name="") == replace(action, text="")), action)
