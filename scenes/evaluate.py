"""How good a world is: every measure on one trial, each in a file of its own, put together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes import answers, consistency, control, drift, judged, locate, metrics, occlusion, wordings
from scenes.consistency import Turn
from scenes.control import Confusion
from scenes.dreaming import CopyLastFrame, reconstructed
from scenes.drift import Dream
from scenes.estimates import ALL, Estimate, Figures, by, mean, once
from scenes.trial import Trial
from world.errors import ModelError
from world.types import State, TrueWorld, WorldModel
from world.walks import HELD_OUT

_ALONE = 8  # steps that are timed one by one

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """One model's figures, and what it drew for them. Without a simulated scene there are turns alone."""

    figures: Figures
    confusion: Confusion | None
    dreams: tuple[Dream, ...]
    turns: tuple[Turn, ...]
    notes: tuple[str, ...] = ()  # what is to be known beside the figures: which there are not, and why


def measure(model: WorldModel, trial: Trial, truth: TrueWorld | None, tell: Tell) -> Measured:
    """The model's figures on the trial; `tell` hears what is being done.

    `truth` searches for the places that the dreams show; None leaves that out.
    """
    figures: Figures = {}
    confusion, dreams = None, []
    if trial.walks:
        tell("probes")
        figures, confusion = control.measure(model, trial.probes)
        tell("sentences and questions")
        figures |= wordings.measure(model, trial.sayings) | answers.measure(model, trial.questions)
        tell("walks")
        begun = time.perf_counter()
        dreams = drift.walk_along(model, trial.walks)
        rate = sum(len(walk.actions) for walk in trial.walks) / (time.perf_counter() - begun)
        figures |= {"frames_per_second": {ALL: once(rate)}}
        tell("walks beside the truth")
        figures |= drift.measure(dreams, trial) | drift.beside(model, dreams)
        if truth is not None:
            tell("where the dreams are")
            figures |= locate.measure(dreams, trial, truth)
    tell("closed ways")
    closed, turns = consistency.measure(model, trial.loops)
    tell("objects out of sight, speed")
    figures |= closed | occlusion.measure(model, trial.sightings)
    judgement, notes = of_task(model, trial, tell)
    figures |= judgement
    if not trial.walks:
        figures |= _of_pictures(model, trial)
    figures["seconds_alone"] = {ALL: _seconds_alone(model, trial)}
    found = {name: row for name, row in figures.items() if row}
    return Measured(found, confusion, tuple(dreams), tuple(turns), (*_beside(model, trial), *notes))


def measure_copying(trial: Trial) -> Figures:
    """The figures of the world in which nothing moves; its pose is known without a search, its speed means nothing."""
    still = measure(CopyLastFrame(), trial, None, lambda text: None)
    figures = still.figures | locate.standing_still(still.dreams, trial)
    return {name: row for name, row in figures.items() if row and name not in ("frames_per_second", "seconds_alone")}


def of_task(model: WorldModel, trial: Trial, tell: Tell) -> tuple[Figures, list[str]]:
    """The figures of the task, or why there are none."""
    if trial.tried:
        tell("a task, judged")
    try:
        return judged.measure(model, trial.tried), []
    except ModelError as error:
        return {}, [f"The task's judge is not measured: {error}"]


def _beside(model: WorldModel, trial: Trial) -> list[str]:
    """What the trial held out, and what this model cannot be asked."""
    notes = []
    layouts: dict[str, list[str]] = {}
    for scene, _, layout in (place.partition(":") for place in dict.fromkeys(w.place for w in trial.walks)):
        if layout:
            layouts.setdefault(scene, []).append(layout)
    notes += [
        f"The walks through the {scene} are in {len(row)} layouts that training never draws ({row[0]} to {row[-1]})."
        for scene, row in layouts.items()
    ]
    if trial.questions and "ask" not in model.spec.supports:
        notes.append(f"{model.spec.model} has not learned to answer: its answers to questions are not measured.")
    return notes


def _of_pictures(model: WorldModel, trial: Trial) -> Figures:
    """What can be said of the autoencoder where there is no truth but the pictures themselves."""
    pictures = [state.frame for state in _begun(model, trial)]
    coded = reconstructed(model, pictures)
    values = [metrics.psnr(one[None], other[None])[0] for one, other in zip(coded, pictures, strict=False)]
    return {"autoencoder": by([scene.name for scene in trial.loops][: len(values)], mean, np.array(values))}


def _seconds_alone(model: WorldModel, trial: Trial) -> Estimate:
    [state] = [trial.walks[0].states[0]] if trial.walks else _begun(model, trial)[:1]
    actions = [a for _ in range(_ALONE) for a in state.scene.actions][: _ALONE + 1]
    seconds = []
    for action in actions:
        begun = time.perf_counter()
        [state] = model.step([state], [action])
        seconds.append(time.perf_counter() - begun)
    return mean(np.array(seconds[1:]))  # the first one warms up


def _begun(model: WorldModel, trial: Trial) -> list[State]:
    return model.reset(trial.loops, [HELD_OUT] * len(trial.loops))
