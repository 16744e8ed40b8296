"""How true a dream is: a model walks where the simulator walked, and every figure says how far they part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import numpy as np

from scenes import metrics
from scenes.metrics import Estimate, Frames
from scenes.trial import Trial, Walk
from world.errors import ModelError
from world.types import Action, Frame, Scene, State, WorldModel, WorldSpec

MARKS = (1, 5, 10, 25, 50, 100, 200)  # steps at which drift is measured
ALL = "all"  # the key beside the scenes' names
_BATCH = 64  # states in one call of a model
_ALONE = 8  # steps that are timed one by one
_SHOWN = (0, 1, 2, 5, 10, 25, 50)  # steps on a sheet

ByScene = dict[str, Estimate]


@runtime_checkable
class Reconstructs(Protocol):
    """A model whose autoencoder can be looked at alone."""

    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]: ...


@dataclass(frozen=True)
class Measures:
    """The figures of one model, each by scene and for all; frames are held out from training."""

    next_psnr: ByScene  # dB, the frame after a true state and one action, actions equally often
    moving_psnr: ByScene  # dB, of those the ones whose true frame differs from the current one
    action_accuracy: ByScene  # share whose true outcome is the nearest among all actions' outcomes
    accuracy_by_action: ByScene  # the same by the action's name
    drift: dict[int, ByScene]  # dB, after so many steps of the model's own
    sharpness: dict[int, ByScene]  # gradient energy of the dream divided by the truth's, at the same steps
    retrieval: ByScene  # share of walks whose true frame is among the nearest 5% of the scene's frames at the last step
    loop: ByScene  # dB, after a full turn on the spot
    autoencoder: ByScene  # dB, true frames through the model's autoencoder alone; empty where it has none to show
    autoencoder_sharpness: ByScene
    frames_per_second: float  # in batches
    seconds_alone: float  # of a step with one state


@dataclass(frozen=True)
class Dream:
    """A true walk and the frames that the model dreamt along it (step -> frame)."""

    walk: Walk
    frames: dict[int, Frame]


class CopyLastFrame:
    """The baseline: a world in which nothing ever moves."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("copy-last-frame", frozenset())

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return [
            State(scene, (scene.starts[0].frame,), (), scene.starts[0].pose, seed)
            for scene, seed in zip(scenes, seeds, strict=True)
        ]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [
            replace(
                state,
                frames=(*state.frames, state.frame)[-2:],
                actions=(action,),
                pose=state.pose.moved(action),
                step=state.step + 1,
            )
            for state, action in zip(states, actions, strict=True)
        ]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        raise ModelError("a copied frame cannot answer questions")

    def close(self) -> None:
        return None


def measure(model: WorldModel, trial: Trial, tell: Callable[[str], None]) -> tuple[Measures, list[Dream]]:
    """The model's figures on the trial, and its dreams; `tell` hears what is being done."""
    tell("probes")
    predicted = _frames(_step(model, [p.state for p in trial.probes], [p.action for p in trial.probes]))
    true = np.stack([p.true_frame for p in trial.probes])
    current = np.stack([p.state.frame for p in trial.probes])
    scenes = [p.scene for p in trial.probes]
    quality = metrics.psnr(predicted, true)
    moves = (true != current).any(axis=(1, 2, 3))
    right = metrics.picks_the_truth(predicted, [p.outcomes for p in trial.probes], [p.truth for p in trial.probes])
    tell("walks")
    begun = time.perf_counter()
    dreams = [Dream(walk, frames) for walk, frames in zip(trial.walks, _dream(model, trial.walks), strict=True)]
    seconds = time.perf_counter() - begun
    drift, sharpness = _drift(dreams)
    tell("full turns, autoencoder, speed")
    autoencoder, autoencoder_sharpness = _autoencoder(model, true, scenes)
    return Measures(
        next_psnr=_by(scenes, quality),
        moving_psnr=_by([s for s, m in zip(scenes, moves, strict=True) if m], quality[moves]),
        action_accuracy=_by(scenes, right),
        accuracy_by_action=_by([p.action.name for p in trial.probes], right),
        drift=drift,
        sharpness=sharpness,
        retrieval=_retrieval(dreams, trial),
        loop=_loops(model, trial),
        autoencoder=autoencoder,
        autoencoder_sharpness=autoencoder_sharpness,
        frames_per_second=sum(len(w.actions) for w in trial.walks) / seconds,
        seconds_alone=_seconds_alone(model, trial.walks[0]),
    ), dreams


def _step(model: WorldModel, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
    """One step of any number of states, in batches."""
    after: list[State] = []
    for i in range(0, len(states), _BATCH):
        after += model.step(states[i : i + _BATCH], actions[i : i + _BATCH])
    return after


def _dream(model: WorldModel, walks: Sequence[Walk]) -> list[dict[int, Frame]]:
    """The model's own walk from each true start, at the steps that somebody asks for."""
    states = {i: walk.states[0] for i, walk in enumerate(walks)}
    frames: list[dict[int, Frame]] = [{0: walk.states[0].frame} for walk in walks]
    for t in range(1, max(len(walk.actions) for walk in walks) + 1):
        going = [i for i, walk in enumerate(walks) if t <= len(walk.actions)]
        after = _step(model, [states[i] for i in going], [walks[i].actions[t - 1] for i in going])
        for i, state in zip(going, after, strict=True):
            states[i] = state
            if t in MARKS or t in _SHOWN:
                frames[i][t] = state.frame
    return frames


def _drift(dreams: Sequence[Dream]) -> tuple[dict[int, ByScene], dict[int, ByScene]]:
    drift, sharpness = {}, {}
    for t in MARKS:
        reached = [d for d in dreams if t in d.frames]
        if reached:
            dreamt = np.stack([d.frames[t] for d in reached])
            true = np.stack([d.walk.states[t].frame for d in reached])
            scenes = [d.walk.scene for d in reached]
            drift[t] = _by(scenes, metrics.psnr(dreamt, true))
            sharpness[t] = _by(scenes, metrics.gradient_energy(dreamt), metrics.gradient_energy(true))
    return drift, sharpness


def _retrieval(dreams: Sequence[Dream], trial: Trial) -> ByScene:
    step = max(t for t in MARKS if t <= trial.suite.steps)
    found = [
        metrics.finds_the_place(d.frames[step][None], d.walk.states[step].frame[None], trial.galleries[d.walk.scene])
        for d in dreams
    ]
    return _by([d.walk.scene for d in dreams], np.concatenate(found))


def _loops(model: WorldModel, trial: Trial) -> ByScene:
    """A full turn to the left, from the first starts of each scene, compared with the start."""
    chosen: list[Walk] = []
    for walk in trial.walks:
        if sum(w.scene == walk.scene for w in chosen) < trial.suite.loops:
            chosen.append(walk)
    turns = [next(a for a in walk.states[0].scene.actions if a.name == "left") for walk in chosen]
    states = [walk.states[0] for walk in chosen]
    counts = [round(360 / turn.yaw) for turn in turns]
    for t in range(max(counts)):
        going = [i for i, count in enumerate(counts) if t < count]
        after = _step(model, [states[i] for i in going], [turns[i] for i in going])
        for i, state in zip(going, after, strict=True):
            states[i] = state
    quality = metrics.psnr(_frames(states), _frames([walk.states[0] for walk in chosen]))
    return _by([walk.scene for walk in chosen], quality)


def _autoencoder(model: WorldModel, true: Frames, scenes: Sequence[str]) -> tuple[ByScene, ByScene]:
    if "reconstruct" not in model.spec.supports:
        return {}, {}
    coder = cast(Reconstructs, model)
    coded = np.stack([f for i in range(0, len(true), _BATCH) for f in coder.reconstruct(list(true[i : i + _BATCH]))])
    sharp = _by(scenes, metrics.gradient_energy(coded), metrics.gradient_energy(true))
    return _by(scenes, metrics.psnr(coded, true)), sharp


def _seconds_alone(model: WorldModel, walk: Walk) -> float:
    state = model.step([walk.states[0]], [walk.actions[0]])[0]
    begun = time.perf_counter()
    for action in walk.actions[1 : 1 + _ALONE]:
        state = model.step([state], [action])[0]
    return (time.perf_counter() - begun) / len(walk.actions[1 : 1 + _ALONE])


def _frames(states: Sequence[State]) -> Frames:
    return np.stack([state.frame for state in states])


def _by(keys: Sequence[str], values: metrics.Values, below: metrics.Values | None = None) -> ByScene:
    """The mean of the values (or their ratio to `below`) for all, and for each key."""
    groups = {ALL: np.ones(len(keys), bool)} | {k: np.array([key == k for key in keys]) for k in dict.fromkeys(keys)}
    if not len(keys):
        return {}
    return {
        name: metrics.mean(values[rows]) if below is None else metrics.ratio(values[rows], below[rows])
        for name, rows in groups.items()
    }
