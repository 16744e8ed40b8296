"""How a dream parts from the truth: the model walks alone where the simulator walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import metrics
from scenes.dreaming import dream, frames_of, reconstructed, step_all
from scenes.estimates import ByScene, Figures, by, half_life, mean, ratio
from scenes.trial import Trial, Walk
from world.types import Frame, WorldModel

MARKS = (1, 2, 4, 8, 10, 16, 32, 50, 64, 100, 200)  # steps at which drift is measured
_BESIDE = (1, 2, 4, 8, 16, 32, 64)  # … and at which it is compared with what true pasts give


@dataclass(frozen=True)
class Dream:
    """A true walk and the frames that the model dreamt along it (step -> frame)."""

    walk: Walk
    frames: dict[int, Frame]


def walk_along(model: WorldModel, walks: Sequence[Walk]) -> list[Dream]:
    """The model's own walk from each true start, kept at MARKS."""
    dreamt = dream(model, [walk.states[0] for walk in walks], [walk.actions for walk in walks], MARKS)
    return [Dream(walk, frames) for walk, frames in zip(walks, dreamt, strict=True)]


def measure(dreams: Sequence[Dream], trial: Trial) -> Figures:
    """The figures at each mark, and how far apart two places look."""
    figures: Figures = {}
    for t in MARKS:
        if reached := _reached(dreams, t):
            figures |= _at(t, reached, trial)
    unrelated = {place: metrics.psnr(g.frames[:-1], g.frames[1:]) for place, g in trial.galleries.items()}
    scenes = [place.partition(":")[0] for place, values in unrelated.items() for _ in values]
    figures["unrelated_psnr"] = by(scenes, mean, np.concatenate(list(unrelated.values())))
    figures["half_life"] = _half_life(dreams, {place: float(values.mean()) for place, values in unrelated.items()})
    return figures


def beside(model: WorldModel, dreams: Sequence[Dream]) -> Figures:
    """What is to be set beside the drift: the model's steps from true pasts, and its autoencoder alone."""
    figures: Figures = {}
    for t in _BESIDE:
        if reached := _reached(dreams, t):
            figures |= _beside(model, [d.walk for d in reached], t)
    return figures


def _reached(dreams: Sequence[Dream], step: int) -> list[Dream]:
    return [d for d in dreams if step in d.frames]


def _at(step: int, dreams: Sequence[Dream], trial: Trial) -> Figures:
    scenes = [d.walk.scene for d in dreams]
    dreamt = np.stack([d.frames[step] for d in dreams])
    true = np.stack([d.walk.states[step].frame for d in dreams])
    found = [
        metrics.finds_the_place(one[None], other[None], trial.galleries[d.walk.place].frames)[0]
        for one, other, d in zip(dreamt, true, dreams, strict=True)
    ]
    return {
        f"drift_psnr@{step}": by(scenes, mean, metrics.psnr(dreamt, true)),
        f"drift_ssim@{step}": by(scenes, mean, metrics.ssim(dreamt, true)),
        f"sharpness@{step}": by(scenes, ratio, metrics.gradient_energy(dreamt), metrics.gradient_energy(true)),
        f"brightness@{step}": by(scenes, mean, metrics.brightness(dreamt) - metrics.brightness(true)),
        f"saturation@{step}": by(scenes, mean, metrics.saturation(dreamt) - metrics.saturation(true)),
        f"retrieval@{step}": by(scenes, mean, np.array(found)),
    }


def _beside(model: WorldModel, walks: Sequence[Walk], step: int) -> Figures:
    """The same step from the true past, and the true frame through the autoencoder."""
    scenes = [walk.scene for walk in walks]
    true = frames_of([walk.states[step] for walk in walks])
    forced = step_all(model, [walk.states[step - 1] for walk in walks], [walk.actions[step - 1] for walk in walks])
    figures: Figures = {}
    for name, frames in (("forced", [state.frame for state in forced]), ("ceiling", reconstructed(model, list(true)))):
        if frames:
            figures[f"{name}_psnr@{step}"] = by(scenes, mean, metrics.psnr(np.stack(frames), true))
            figures[f"{name}_ssim@{step}"] = by(scenes, mean, metrics.ssim(np.stack(frames), true))
    return figures


def _half_life(dreams: Sequence[Dream], unrelated: dict[str, float]) -> ByScene:
    """Over the steps that all walks reached."""
    steps = [t for t in MARKS if all(t in d.frames for d in dreams)]
    levels = [
        metrics.psnr(np.stack([d.frames[t] for t in steps]), frames_of([d.walk.states[t] for t in steps]))
        - unrelated[d.walk.place]
        for d in dreams
    ]
    return by([d.walk.scene for d in dreams], lambda rows: half_life(rows, steps), np.stack(levels))
