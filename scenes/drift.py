"""How a dream parts from the truth: the model walks alone where the simulator walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import metrics
from scenes.dreaming import dream, reconstructed, step_all
from scenes.estimates import Figures, by, half_life, mean, ratio
from scenes.metrics import Frames
from scenes.trial import Trial, Walk
from world.types import Frame, WorldModel

MARKS = (1, 2, 4, 8, 10, 16, 32, 50, 64, 100, 200)  # steps at which drift is measured


@dataclass(frozen=True)
class Dream:
    """A true walk and the frames that the model dreamt along it (step -> frame)."""

    walk: Walk
    frames: dict[int, Frame]


def walk_along(model: WorldModel, walks: Sequence[Walk]) -> list[Dream]:
    """The model's own walk from each true start, kept at MARKS."""
    dreamt = dream(model, [walk.states[0] for walk in walks], [walk.actions for walk in walks], MARKS)
    return [Dream(walk, frames) for walk, frames in zip(walks, dreamt, strict=True)]


def measure(model: WorldModel, dreams: Sequence[Dream], trial: Trial) -> Figures:
    """The figures at each mark; beside them what the model does from true pasts, and its autoencoder alone."""
    figures: Figures = {}
    qualities: dict[int, np.ndarray] = {}
    for t in MARKS:
        reached = [d for d in dreams if t in d.frames]
        if not reached:
            continue
        scenes = [d.walk.scene for d in reached]
        dreamt = np.stack([d.frames[t] for d in reached])
        true = np.stack([d.walk.states[t].frame for d in reached])
        qualities[t] = metrics.psnr(dreamt, true)
        places = [
            metrics.finds_the_place(one[None], other[None], trial.galleries[scene].frames)[0]
            for one, other, scene in zip(dreamt, true, scenes, strict=True)
        ]
        forced = step_all(model, [d.walk.states[t - 1] for d in reached], [d.walk.actions[t - 1] for d in reached])
        figures |= {
            f"drift_psnr@{t}": by(scenes, mean, qualities[t]),
            f"drift_ssim@{t}": by(scenes, mean, metrics.ssim(dreamt, true)),
            f"sharpness@{t}": by(scenes, ratio, metrics.gradient_energy(dreamt), metrics.gradient_energy(true)),
            f"brightness@{t}": by(scenes, mean, metrics.brightness(dreamt) - metrics.brightness(true)),
            f"saturation@{t}": by(scenes, mean, metrics.saturation(dreamt) - metrics.saturation(true)),
            f"retrieval@{t}": by(scenes, mean, np.array(places)),
            **_beside("forced", [state.frame for state in forced], true, scenes, t),
            **_beside("ceiling", reconstructed(model, list(true)), true, scenes, t),
        }
    unrelated = {scene: metrics.psnr(g.frames[:-1], g.frames[1:]) for scene, g in trial.galleries.items()}
    figures["unrelated_psnr"] = by(
        [scene for scene, values in unrelated.items() for _ in values], mean, np.concatenate(list(unrelated.values()))
    )
    figures["half_life"] = _half_life(qualities, dreams, {s: float(v.mean()) for s, v in unrelated.items()})
    return dict(sorted(figures.items(), key=lambda item: item[0].partition("@")[0]))


def _half_life(qualities: dict[int, np.ndarray], dreams: Sequence[Dream], unrelated: dict[str, float]):
    steps = [t for t, values in qualities.items() if len(values) == len(dreams)]  # all walks got so far
    scenes = [d.walk.scene for d in dreams]
    advantages = np.stack([qualities[t] for t in steps], axis=1) - np.array([[unrelated[s]] for s in scenes])
    return by(scenes, lambda rows: half_life(rows, steps), advantages)


def _beside(name: str, frames: Sequence[Frame], true: Frames, scenes: Sequence[str], step: int) -> Figures:
    if not frames:
        return {}
    stacked = np.stack(frames)
    return {
        f"{name}_psnr@{step}": by(scenes, mean, metrics.psnr(stacked, true)),
        f"{name}_ssim@{step}": by(scenes, mean, metrics.ssim(stacked, true)),
    }
