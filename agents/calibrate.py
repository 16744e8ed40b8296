"""How far likeness or the judge can be trusted: both against the simulator's poses, for pictures of any world.

Walks are begun at held-out places and made twice, by the model (whose pictures are measured) and on the floor plan
(whose poses tell what is true). N pictures.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.judged import at_goal
from scenes.simulator import SimulatorWorld
from world import tasks
from world.episodes import Episodes
from world.files import atomic_write_text
from world.places import MOVES
from world.tasks import TaskSettings
from world.types import Scene, WorldModel

STEPS = 6  # of each walk away from where the goal holds
_SEED = 70_000


@dataclass(frozen=True)
class Calibration:
    """What a measure is worth. The threshold was chosen on one half of the walks, the rest is from the other half."""

    auc: float  # chance that a picture at the goal measures more than one that is not
    calibration_error: float  # of the probability made from the measure, mean over ten bins, weighted by their size
    threshold: float  # from which on the task counts as done
    precision: float  # share of what is above it that is true
    recall: float  # share of what is true that is above it
    num: int  # pictures in all
    share: float  # of them at the goal
    model: str  # whose pictures they were


def calibrate(model: WorldModel, scene: Scene, settings: TaskSettings, num_walks: int) -> Calibration:
    """Measures `settings.eyes` on `num_walks` walks of `STEPS` steps. Raises ValueError for fewer than 8 walks, or
    where the settings are judged by poses, which need no calibration."""
    if num_walks < 8:
        raise ValueError(f"a calibration needs at least 8 walks, half of them to check the other half, got {num_walks}")
    if not settings.sees or settings.task == "Explore":
        raise ValueError("calibrate what ends a task by what is seen: ReachGoal, RotateObject, or FindObject's judge")
    values, truth, walks = _measured(model, scene, settings, num_walks)
    first = walks < num_walks // 2
    if len({*truth[first]}) < 2 or len({*truth[~first]}) < 2:
        raise ValueError("no picture at the goal, or none away from it: measure more walks")
    threshold = best_threshold(values[first], truth[first])
    slope = logistic(values[first], truth[first])
    chances = values if settings.way == "judge" else 1 / (1 + np.exp(-(slope[0] + slope[1] * values)))
    above = values[~first] >= threshold
    true = truth[~first]
    return Calibration(
        auc=auc(values[~first], true),
        calibration_error=calibration_error(chances[~first], true),
        threshold=threshold,
        precision=float(true[above].mean()) if above.any() else 0.0,
        recall=float(above[true].mean()),
        num=len(values),
        share=float(truth.mean()),
        model=model.spec.model,
    )


def save(path: Path, settings: TaskSettings, found: Calibration) -> None:
    """Writes it beside what else is known of the scene; the file appears whole or not at all."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    eyes = settings.eyes if settings.way == "picture" else f"judge {settings.eyes}"
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(found).items()}
    known[f"{settings.task} {eyes}"] = rounded
    atomic_write_text(path, json.dumps(known, indent=1, sort_keys=True) + "\n")


def auc(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The area under the ROC curve, from ranks (Mann and Whitney 1947); ties count half."""
    above, below = values[truth], values[~truth]
    larger = (above[:, None] > below).mean() + 0.5 * (above[:, None] == below).mean()
    return float(larger)


def best_threshold(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The value from which on "done" has the largest F1; midway to the next value below, which leaves room."""
    candidates = np.unique(values)
    hits = np.array([(truth & (values >= c)).sum() for c in candidates])
    chosen = np.array([(values >= c).sum() for c in candidates])
    best = int(np.argmax(2 * hits / (chosen + truth.sum())))
    return float(candidates[max(best - 1, 0) : best + 1].mean())


def logistic(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Offset and slope of the probability that goes with a value (Platt 1999), by Newton's method; a little ridge keeps
    it finite where the two kinds lie apart."""
    x = np.stack([np.ones_like(values), values], axis=1)
    w = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        w -= np.linalg.solve(hessian, x.T @ (p - truth) + 1e-3 * w)
    return w


def calibration_error(chances: NDArray[np.float64], truth: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: how far, on average, probability and share lie apart (Guo et al. 2017)."""
    which = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = [abs(chances[which == b].mean() - truth[which == b].mean()) * (which == b).mean() for b in set(which)]
    return float(np.sum(gaps))


def _measured(
    model: WorldModel, scene: Scene, settings: TaskSettings, num_walks: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Measure, truth and walk of every picture, [N] each."""
    floor = model if isinstance(model, SimulatorWorld) else SimulatorWorld()
    rng = np.random.default_rng(_SEED)
    episodes = Episodes(model, replace(settings, places="held_out"))
    try:
        rngs = [np.random.default_rng(_SEED + i) for i in range(num_walks)]
        begun = [at_goal(e, floor) for e in episodes.begin([scene] * num_walks, rngs)]
        states = model.reset([e.state.scene for e in begun], [e.state.seed for e in begun])
        goals = tuple(episode.goal for episode in begun)
        poses, values, truth = [state.pose for state in states], [], []
        turns = settings.task == "RotateObject"  # what is asked is how the object stands, not where the eye is
        moves = [a for a in scene.actions if (a.object_yaw if turns else a.name in MOVES)]
        for _ in range(STEPS):
            actions = [moves[int(rng.integers(len(moves)))] for _ in states]
            states = model.step(states, actions)
            poses = [floor.slide(s.scene, p, a) for s, p, a in zip(states, poses, actions, strict=True)]
            true = [replace(state, pose=pose) for state, pose in zip(states, poses, strict=True)]
            values.append(episodes.measure(goals, states))
            truth.append(tasks.truth(settings.task, goals)(true, actions, true))
    finally:
        episodes.close()
        if floor is not model:
            floor.close()
    walks = np.tile(np.arange(num_walks), STEPS)
    return np.concatenate(values), np.concatenate(truth), walks
