"""An agent that thinks ahead: it imagines many futures in one batch, and takes the first step of the best.

K futures, D steps deep, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agents.base import Choice, frame_of
from scenes.dreaming import step_all
from world.goals import Goal
from world.looks import Judge, Judgement, Looks, Pixels, Remembered, Similarity
from world.rewards import Level, Reward
from world.types import Frame, Pose, Scene, Start, State, WorldModel

Method = Literal["beam", "cem"]
Eyes = Literal["pixels", "latents"]  # of small pictures, or of the model that is planned with

_SMOOTHING = 0.1  # of a distribution's old share: none of the actions is ruled out after one round


@dataclass(frozen=True)
class Search:
    """How far and how widely is imagined. A beam costs about depth x width x A steps, CEM at most rounds x K x D."""

    method: Method = "beam"
    depth: int = 4  # D
    width: int = 4  # beam: futures kept at each depth; CEM: futures K of each round
    rounds: int = 3  # CEM alone
    elites: int = 4  # CEM alone: how many of the best the next round is drawn like

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValueError(f"method is beam or cem, got {self.method!r}")
        for name in ("depth", "width", "rounds", "elites"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} is a number from 1 to 10000, got {getattr(self, name)}")
        if self.method == "cem" and self.elites > self.width:
            raise ValueError(f"elites are the best of the width: got {self.elites} of {self.width}")


@dataclass(frozen=True)
class Future:
    """What may come: the numbers of the actions, what they were worth together, and where they lead."""

    actions: tuple[int, ...]
    value: float
    state: State


class PlannerAgent:
    """Acts by searching `model` for the actions that `reward` likes best, anew at each step.

    The model is asked from one State, made of the observation and of info's "pose" and "step": so any world model can
    think for any environment, and the simulator can think for itself. Equal seeds and observations give equal plans.
    """

    def __init__(
        self, model: WorldModel, scene: Scene, reward: Reward, search: Search | None = None, seed: int = 0
    ) -> None:
        self._model, self._scene, self._reward = model, scene, reward
        self._search = search or Search()
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._ahead: tuple[int, ...] = ()  # what is left of the last plan

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        state = seen(self._model, self._scene, frame_of(observation), info, self._seed)
        first, *rest = self.plan(state).actions
        self._ahead = tuple(rest)
        return first

    def plan(self, state: State) -> Future:
        """The best future found from `state`."""
        if self._search.method == "beam":
            return beam(self._model, state, self._reward, self._search)
        return cem(self._model, state, self._reward, self._search, (self._rng, self._ahead))


def likeness(eyes: Eyes, goal: Frame, model: WorldModel) -> Reward:
    """How alike what is seen after a step and the goal are: a future is worth more the sooner it looks like the goal.

    Raises ValueError where the model has no eyes of its own, e.g. the simulator.
    """
    looks = Pixels() if eyes == "pixels" else model
    if not isinstance(looks, Looks):
        raise ValueError(f"{model.spec.model!r} turns no pictures into latents: compare pixels (--likeness pixels)")
    return Level(Similarity(Remembered(looks), (Goal(frame=goal),)))


def judged(words: str, model: WorldModel) -> Reward:
    """How sure the model is that what is seen after a step is what the words ask for.

    Raises ValueError where the model does not judge, e.g. the simulator.
    """
    if not isinstance(model, Judge):
        raise ValueError(f"{model.spec.model!r} judges no pictures: think with a BAGEL (--thinks-with tiny)")
    return Level(Judgement(Remembered(judge=model), (Goal(words),)))


def seen(model: WorldModel, scene: Scene, frame: Frame, info: Mapping[str, Any], seed: int) -> State:
    """The state that a model may go on from where `frame` is seen; noise of its own at each step of the walk."""
    pose = Pose(**info["pose"]) if "pose" in info else scene.starts[0].pose
    here = replace(scene, starts=(Start(scene.starts[0].name, pose, frame),))
    (state,) = model.reset([here], [seed])
    return replace(state, step=int(info.get("step", 0)))


def imagine(
    model: WorldModel, state: State, sequences: NDArray[np.int64], reward: Reward
) -> tuple[NDArray[np.float64], list[State]]:
    """The summed rewards [K] of action sequences [K, D] from one state, and the states that they end in.

    One batch a step of depth; sequences that begin alike share those steps, and lose nothing by it: a step depends on
    its state and action alone.
    """
    actions = state.scene.actions
    states: dict[tuple[int, ...], State] = {(): state}
    values: dict[tuple[int, ...], float] = {(): 0.0}
    for depth in range(sequences.shape[1]):
        prefixes = list(dict.fromkeys(tuple(row[: depth + 1].tolist()) for row in sequences))
        before, taken = [states[p[:-1]] for p in prefixes], [actions[p[-1]] for p in prefixes]
        after = step_all(model, before, taken)
        worth = reward(before, taken, after)
        values = {p: values[p[:-1]] + float(w) for p, w in zip(prefixes, worth, strict=True)}
        states = dict(zip(prefixes, after, strict=True))
    rows = [tuple(row.tolist()) for row in sequences]
    return np.array([values[row] for row in rows]), [states[row] for row in rows]


def beam(model: WorldModel, state: State, reward: Reward, search: Search) -> Future:
    """Beam search: every kept future takes every action, the best `width` of different sights are kept."""
    kept = [Future((), 0.0, state)]
    actions = state.scene.actions
    for _ in range(search.depth):
        pairs = [(future, a) for future in kept for a in range(len(actions))]
        before, taken = [future.state for future, _ in pairs], [actions[a] for _, a in pairs]
        after = step_all(model, before, taken)
        worth = reward(before, taken, after)
        grown = [
            Future((*future.actions, a), future.value + float(w), new)
            for (future, a), w, new in zip(pairs, worth, after, strict=True)
        ]
        grown.sort(key=lambda future: -future.value)
        different = {future.state.frame.tobytes(): future for future in reversed(grown)}  # the best of equal sights
        kept = sorted(different.values(), key=lambda future: -future.value)[: search.width]
    return kept[0]


def cem(
    model: WorldModel,
    state: State,
    reward: Reward,
    search: Search,
    draw: tuple[np.random.Generator, tuple[int, ...]],
) -> Future:
    """The cross-entropy method over independent choices at each depth (Rubinstein and Kroese 2004).

    `draw` is where the draws come from, and a plan that is tried first beside them.
    """
    rng, hint = draw
    num_actions = len(state.scene.actions)
    chances = np.full((search.depth, num_actions), 1 / num_actions)
    best = Future((), -np.inf, state)
    for _ in range(search.rounds):
        columns = [rng.choice(num_actions, search.width, p=p) for p in chances]
        sequences = np.stack(columns, axis=1)  # [K, D]
        known = (best.actions or hint)[: search.depth]
        sequences[0, : len(known)] = known
        values, ends = imagine(model, state, sequences, reward)
        order = np.argsort(-values, kind="stable")
        if values[order[0]] > best.value:
            best = Future(tuple(sequences[order[0]].tolist()), float(values[order[0]]), ends[order[0]])
        elite = sequences[order[: search.elites]]
        counts = (elite[:, :, None] == np.arange(num_actions)).mean(axis=0)  # [D, A]
        chances = _SMOOTHING * chances + (1 - _SMOOTHING) * counts
        chances /= chances.sum(axis=1, keepdims=True)
    return best
