"""Whether a model does what it is told: one action after a true state, compared with what every action would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import metrics
from scenes.dreaming import frames_of, reconstructed, step_all
from scenes.estimates import Figures, by, mean, median, ratio
from scenes.trial import SCALES, Probe, size
from world.types import Frame, WorldModel


@dataclass(frozen=True)
class Confusion:
    """How often the outcome of one action was nearest to the prediction for another."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # [asked][seen], in the order of `names`

    def share(self, asked: int, seen: int) -> float:
        """Of the times that one action was asked for, how often another one was seen."""
        return self.counts[asked][seen] / max(1, sum(self.counts[asked]))


def measure(model: WorldModel, probes: Sequence[Probe]) -> tuple[Figures, Confusion]:
    """One step from each probe's true state, actions equally often."""
    predicted = frames_of(step_all(model, [p.state for p in probes], [p.action for p in probes]))
    true = np.stack([p.true_frame for p in probes])
    current = np.stack([p.state.frame for p in probes])
    scenes = [p.scene for p in probes]
    quality = metrics.psnr(predicted, true)
    moves = (true != current).any(axis=(1, 2, 3))
    truths = [p.truth for p in probes]
    seen = metrics.nearest(predicted, [p.outcomes for p in probes], truths)
    figures: Figures = {
        "next_psnr": by(scenes, mean, quality),
        "moving_psnr": by([s for s, m in zip(scenes, moves, strict=True) if m], mean, quality[moves]),
        "next_ssim": by(scenes, mean, metrics.ssim(predicted, true)),
        "action_accuracy": by(scenes, mean, (seen == truths).astype(float)),
        **_sizes(probes, predicted),
        **_autoencoder(model, true, scenes),
    }
    return figures, _confusion(probes, seen)


def _confusion(probes: Sequence[Probe], seen: np.ndarray) -> Confusion:
    names = tuple(dict.fromkeys(a.name for p in probes for a in p.state.scene.actions))
    counts = np.zeros((len(names), len(names)), int)
    for probe, row in zip(probes, seen, strict=True):
        counts[names.index(probe.action.name), names.index(probe.state.scene.actions[row].name)] += 1
    return Confusion(names, tuple(tuple(int(n) for n in row) for row in counts))


def _sizes(probes: Sequence[Probe], predicted: metrics.Frames) -> Figures:
    """How large the moves came out, by a search over the true outcomes of the action times 0, SCALES and 1."""
    asked = [i for i, probe in enumerate(probes) if len(probe.scaled)]
    found = np.array([_scale(probes[i], predicted[i]) for i in asked])
    sizes = np.array([size(probes[i].action) for i in asked])
    steps = np.array([bool(probes[i].action.forward or probes[i].action.left) for i in asked], bool)
    figures: Figures = {}
    for name, rows in (("m", steps), ("deg", ~steps)):
        keys = [probes[i].scene for i, chosen in zip(asked, rows, strict=True) if chosen]
        figures[f"size_error_{name}"] = by(keys, mean, np.abs(found[rows] - 1) * sizes[rows])
        figures[f"size_{name}"] = by(keys, median, found[rows])
    return figures


def _scale(probe: Probe, predicted: Frame) -> float:
    """The scale whose outcome is nearest (MSE), refined by the parabola through it and its two neighbours."""
    scales = np.array([0.0, *SCALES, 1.0])
    frames = np.concatenate([probe.state.frame[None], probe.scaled, probe.true_frame[None]])
    order = np.argsort(scales)
    scales, errors = scales[order], metrics.squared_error(predicted[None], frames[order])
    best = int(errors.argmin())
    if best in (0, len(scales) - 1):
        return float(scales[best])
    near = slice(best - 1, best + 2)
    curve = np.polyfit(scales[near] - scales[best], errors[near], 2)
    return float(scales[best] - curve[1] / (2 * curve[0]))


def _autoencoder(model: WorldModel, true: metrics.Frames, scenes: Sequence[str]) -> Figures:
    coded = reconstructed(model, list(true))
    if not coded:
        return {}
    frames = np.stack(coded)
    return {
        "autoencoder": by(scenes, mean, metrics.psnr(frames, true)),
        "autoencoder_ssim": by(scenes, mean, metrics.ssim(frames, true)),
        "autoencoder_sharpness": by(scenes, ratio, metrics.gradient_energy(frames), metrics.gradient_energy(true)),
    }
