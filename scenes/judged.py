"""Whether a task means in a dream what it means in the world: rewards and verdicts beside those by true poses.

Walks lead away from where the task is done, and now and then back. Each is walked twice: by the simulator, whose poses
tell what is true, and by the model, whose pictures are judged. B walks of T steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenes.estimates import Figures, auc, by, correlation, mean
from scenes.simulator import SimulatorWorld
from world.episodes import Episode, Episodes
from world.goals import Goal, Thing
from world.places import MOVES
from world.tasks import PIXELS, TaskSettings
from world.types import Action, Pose, Scene, Start, State, WorldModel, wrap

STEPS = 8  # of each walk
_SEED = 80_000
_DIGITS = 6  # behind which measures differ by rounding alone: equal pictures are ties
_BEFORE, _SIDES = 2.2, 16  # m from a thing, and around it


@dataclass(frozen=True)
class Attempts:
    """True walks of a task through one scene."""

    settings: TaskSettings
    begun: tuple[Episode, ...]  # [B]
    actions: tuple[tuple[Action, ...], ...]  # [T][B]
    states: tuple[tuple[State, ...], ...]  # [T][B], after the actions
    rewards: NDArray[np.float64]  # [B, T], by the poses
    done: NDArray[np.bool_]  # [B, T], by the poses

    @property
    def scene(self) -> Scene:
        return self.begun[0].state.scene


def attempts(truth: SimulatorWorld, scenes: Sequence[Scene], settings: TaskSettings, num: int) -> list[Attempts]:
    """`num` walks in each of the scenes that have something for the task. Raises ValueError where none has."""
    exact = replace(settings, judged_by="pose", eyes=PIXELS, threshold=None, places="held_out")
    found, why = [], ValueError("a task is judged against true poses, and pictures have none: name a scene")
    for scene in scenes:
        if not scene.simulated:
            continue
        episodes = Episodes(truth, exact)
        try:
            begun = episodes.begin([scene] * num, [np.random.default_rng(_SEED + i) for i in range(num)])
        except ValueError as error:  # there is nothing to turn here, or nothing to find
            why = error
            continue
        begun = begun if settings.task == "Explore" else [at_goal(episode, truth) for episode in begun]
        found.append(_walked(episodes, settings, begun))
    if not found:
        raise why
    return found


def measure(model: WorldModel, tried: Sequence[Attempts]) -> Figures:
    """How the dream's rewards and verdicts compare; beside them those of true pictures, where pictures are judged.

    Raises ModelError where the judge has not learned to answer.
    """
    if not tried:
        return {}
    episodes = Episodes(model, tried[0].settings)
    try:
        dreamt = [_judged(episodes, t, _dreamt(model, t)) for t in tried]
        figures = _figures(tried, dreamt, "")
        if episodes.settings.sees:
            true = [_judged(episodes, t, [_first(t), *t.states]) for t in tried]
            rewards = (np.concatenate([found.rewards for found in row]) for row in (dreamt, true))
            figures["task_reward_kept"] = by(_keys(tried), correlation, *rewards)
            figures |= _figures(tried, true, "_true")
    finally:
        episodes.close()
    return figures


def at_goal(episode: Episode, truth: SimulatorWorld) -> Episode:
    """The episode as it is where its goal has been reached."""
    goal, state = episode.goal, episode.state
    pose = goal.pose if goal.thing is None else _before(goal.thing, state, truth)
    if pose is None:
        raise AssertionError("held-out places have poses")
    name = state.scene.starts[0].name
    [frame] = truth.view(state.scene, [pose])
    scene = state.scene.starting_at(Start(name, pose, frame))
    return replace(episode, state=replace(state, scene=scene, frames=(frame,), pose=pose))


def _before(thing: Thing, state: State, truth: SimulatorWorld) -> Pose:
    """A free place before the thing, looking at it; the state's seed says on which side of it."""
    for k in range(_SIDES):
        side = 360.0 * ((state.seed + k) % _SIDES) / _SIDES
        x = thing.x - _BEFORE * math.cos(math.radians(side))
        y = thing.y - _BEFORE * math.sin(math.radians(side))
        pose = Pose(x, y, wrap(side))
        if truth.is_free(state.scene, pose):
            return pose
    raise ValueError(f"there is no place before {thing.words} in {state.scene.name!r}: move it in things.toml")


@dataclass(frozen=True)
class _Verdicts:
    """What walks were found to be, [B, T] each."""

    rewards: NDArray[np.float64]
    done: NDArray[np.bool_]
    measures: NDArray[np.float64] | None  # what the ending compares with its threshold; None where it compares nothing


def _walked(episodes: Episodes, settings: TaskSettings, begun: list[Episode]) -> Attempts:
    scene, rng = begun[0].state.scene, np.random.default_rng(_SEED)
    turns = settings.task == "RotateObject"  # what is asked is how the object stands, not where the eye is
    moves = [a for a in scene.actions if (a.object_yaw if turns else a.name in MOVES)]
    actions = [tuple(moves[int(rng.integers(len(moves)))] for _ in begun) for _ in range(STEPS)]
    now, states, rewards, done = begun, [], [], []
    for row in actions:
        outcome = episodes.step(now, row)
        now = outcome.episodes
        states.append(tuple(episode.state for episode in now))
        rewards.append(outcome.rewards)
        done.append(outcome.done)
    return Attempts(
        settings, tuple(begun), tuple(actions), tuple(states), np.stack(rewards, axis=1), np.stack(done, axis=1)
    )


def _first(tried: Attempts) -> list[State]:
    return [episode.state for episode in tried.begun]


def _dreamt(model: WorldModel, tried: Attempts) -> list[list[State]]:
    """The model's own states, [T + 1][B]."""
    begun = _first(tried)
    states = [model.reset([state.scene for state in begun], [state.seed for state in begun])]
    for actions in tried.actions:
        states.append(model.step(states[-1], actions))
    return states


def _judged(episodes: Episodes, tried: Attempts, states: Sequence[Sequence[State]]) -> _Verdicts:
    """What the task, as it is set, says of the states [T + 1][B]."""
    compares = episodes.settings.sees and episodes.settings.task != "Explore"
    now = [
        Episode(state, replace(episode.goal, seen=(state,) if episode.goal.seen else ()))
        for state, episode in zip(states[0], tried.begun, strict=True)
    ]
    goals: tuple[Goal, ...] = tuple(episode.goal for episode in now)
    rewards, done, measures = [], [], []
    for actions, after in zip(tried.actions, states[1:], strict=True):
        outcome = episodes.judged(now, actions, after)
        now = outcome.episodes
        rewards.append(outcome.rewards)
        done.append(outcome.done)
        if compares:
            measures.append(episodes.measure(goals, after))
    seen = np.stack(measures, axis=1).round(_DIGITS) if compares else None
    return _Verdicts(np.stack(rewards, axis=1), np.stack(done, axis=1), seen)


def _keys(tried: Sequence[Attempts]) -> list[str]:
    return [t.scene.name for t in tried for _ in t.begun]


def _figures(tried: Sequence[Attempts], found: Sequence[_Verdicts], of: str) -> Figures:
    keys = _keys(tried)
    true = np.concatenate([t.rewards for t in tried])
    done = np.concatenate([t.done for t in tried])
    told = np.concatenate([f.done for f in found])
    figures: Figures = {f"task_reward{of}": by(keys, correlation, np.concatenate([f.rewards for f in found]), true)}
    if tried[0].settings.task != "Explore":  # which never ends
        figures[f"task_verdict{of}"] = by(keys, mean, (told == done).mean(axis=1))
    if all(f.measures is not None for f in found):
        values = np.concatenate([f.measures for f in found if f.measures is not None])
        figures[f"task_auc{of}"] = by(keys, auc, values, done)
    return figures
