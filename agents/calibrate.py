"""How far likeness or the judge can be trusted: both against the simulator's poses, for pictures of any world.

Episodes are drawn at held-out places, as agents meet them, and each is walked at random twice: from afar, where it
begins, and from its goal. The model makes the pictures, which are measured; the floor plan tells by its poses what is
true. B episodes, T steps, N pictures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenes.judged import at_goal
from scenes.simulator import SimulatorWorld
from world import tasks
from world.episodes import Episode, Episodes
from world.files import atomic_write_text
from world.goals import Goal
from world.places import MOVES
from world.tasks import TaskName, TaskSettings
from world.types import Scene, State, WorldModel

AWAY, STEPS = 12, 6  # of a walk from afar; of one from the goal
FALSE_ENDS = 0.05  # share of the walks from afar that may end where the goal is not
_SEED = 70_000


@dataclass(frozen=True)
class Calibration:
    """What a measure is worth. The threshold was chosen on one half of the walks, the rest is from the other half."""

    auc: float  # chance that a picture at the goal measures more than one that is not
    calibration_error: float  # of the probability made from the measure, mean over ten bins, weighted by their size
    threshold: float  # from which on the task counts as done
    false_ends: float  # share of the walks from afar that it ends where the goal is not
    recall: float  # share of what is true that is above it
    num: int  # pictures in all
    share: float  # of them at the goal
    model: str  # whose pictures they were


@dataclass(frozen=True)
class Walks:
    """Random walks about the goals of B episodes: AWAY steps of each from afar, then STEPS from the goal."""

    task: TaskName
    goals: tuple[Goal, ...]  # [B]
    states: tuple[tuple[State, ...], ...]  # [T][B], the model's
    truth: NDArray[np.bool_]  # [T, B]: whether it is done by the poses


@dataclass(frozen=True)
class Sample:
    """Pictures of walks, [N] each."""

    values: NDArray[np.float64]  # what the task's ending compares
    truth: NDArray[np.bool_]
    walks: NDArray[np.int64]  # of which episode
    afar: NDArray[np.bool_]  # whether of the walk that began where the episode does

    def of(self, rows: NDArray[np.bool_]) -> Sample:
        """The chosen pictures."""
        return Sample(self.values[rows], self.truth[rows], self.walks[rows], self.afar[rows])

    def false_peaks(self) -> NDArray[np.float64]:
        """The largest value away from the goal, of each walk from afar."""
        false = self.afar & ~self.truth
        return np.array([self.values[false & (self.walks == walk)].max() for walk in np.unique(self.walks[false])])


def walked(model: WorldModel, scene: Scene, task: TaskName, num_walks: int) -> Walks:
    """Walks `num_walks` episodes of the task. Raises ValueError for fewer than 8, and where the scene has nothing for
    the task."""
    if num_walks < 8:
        raise ValueError(f"a calibration needs at least 8 walks, half of them to check the other half, got {num_walks}")
    floor = model if isinstance(model, SimulatorWorld) else SimulatorWorld()
    episodes = Episodes(model, TaskSettings(task, judged_by="pose", places="held_out"))
    try:
        rngs = [np.random.default_rng(_SEED + i) for i in range(num_walks)]
        begun = episodes.begin([scene] * num_walks, rngs)
        goals = tuple(episode.goal for episode in begun)
        afar = _walk(model, floor, task, begun, AWAY)
        near = _walk(model, floor, task, [at_goal(episode, floor) for episode in begun], STEPS)
    finally:
        episodes.close()
        if floor is not model:
            floor.close()
    return Walks(task, goals, (*afar[0], *near[0]), np.concatenate([afar[1], near[1]]))


def calibrate(model: WorldModel, walks: Walks, settings: TaskSettings) -> Calibration:
    """What `settings.eyes` see in the walks that `model` made. Raises ValueError where the settings are judged by
    poses, which need no calibration, or the walks say too little."""
    if not settings.sees or settings.task != walks.task:
        raise ValueError("calibrate what ends a task by what is seen: ReachGoal, RotateObject, or FindObject's judge")
    sample = _measured(model, walks, settings)
    first = sample.walks < len(walks.goals) // 2
    chosen, check = sample.of(first), sample.of(~first)
    if len({*chosen.truth}) < 2 or len({*check.truth}) < 2:
        raise ValueError("no picture at the goal, or none away from it: measure more walks")
    threshold = best_threshold(chosen)
    slope = logistic(chosen.values, chosen.truth)
    chances = check.values if settings.way == "judge" else 1 / (1 + np.exp(-(slope[0] + slope[1] * check.values)))
    found = Calibration(
        auc=auc(check.values, check.truth),
        calibration_error=calibration_error(chances, check.truth),
        threshold=threshold,
        false_ends=float((check.false_peaks() >= threshold).mean()),
        recall=float((check.values[check.truth] >= threshold).mean()),
        num=len(sample.values),
        share=float(sample.truth.mean()),
        model=model.spec.model,
    )
    return replace(found, **{k: round(v, 6) for k, v in asdict(found).items() if isinstance(v, float)})


def save(path: Path, settings: TaskSettings, found: Calibration) -> None:
    """Writes it beside what else is known of the scene; the file appears whole or not at all."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    eyes = settings.eyes if settings.way == "picture" else f"judge {settings.eyes}"
    known[f"{settings.task} {eyes}"] = asdict(found)
    atomic_write_text(path, json.dumps(known, indent=1, sort_keys=True) + "\n")


def auc(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The area under the ROC curve, from ranks (Mann and Whitney 1947); ties count half."""
    above, below = values[truth], values[~truth]
    larger = (above[:, None] > below).mean() + 0.5 * (above[:, None] == below).mean()
    return float(larger)


def best_threshold(sample: Sample) -> float:
    """The value from which on "done" has the largest F1, among those that end FALSE_ENDS at most of further walks from
    afar where the goal is not; midway between two values, which leaves room.

    One more walk passes the kth largest of N peaks with a chance of k in N + 1 (conformal prediction, Vovk 2005).
    """
    peaks = np.sort(sample.false_peaks())
    least = peaks[-max(1, int(FALSE_ENDS * (len(peaks) + 1)))]
    candidates = np.unique(sample.values[sample.values >= least])
    above = [sample.values > c for c in candidates]
    found = [2 * sample.truth[a].sum() / (a.sum() + sample.truth.sum()) for a in above]
    best = int(np.argmax(found))
    return float(candidates[best : best + 2].mean())


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


def _measured(model: WorldModel, walks: Walks, settings: TaskSettings) -> Sample:
    episodes = Episodes(model, settings)
    try:
        values = np.stack([episodes.measure(walks.goals, states) for states in walks.states])  # [T, B]
    finally:
        episodes.close()
    steps, rows = np.indices(values.shape)
    return Sample(values.ravel(), walks.truth.ravel(), rows.ravel(), steps.ravel() < AWAY)


def _walk(
    model: WorldModel, floor: SimulatorWorld, task: TaskName, begun: Sequence[Episode], num_steps: int
) -> tuple[list[tuple[State, ...]], NDArray[np.bool_]]:
    """The model's states [T][B] of a random walk of each episode, and their truth [T, B]."""
    rng = np.random.default_rng(_SEED)
    turns = task == "RotateObject"  # what is asked is how the object stands, not where the eye is
    moves = [a for a in begun[0].state.scene.actions if (a.object_yaw if turns else a.name in MOVES)]
    done = tasks.truth(task, tuple(episode.goal for episode in begun))
    now = model.reset([episode.state.scene for episode in begun], [episode.state.seed for episode in begun])
    poses, states, truth = [state.pose for state in now], [], []
    for _ in range(num_steps):
        actions = [moves[int(rng.integers(len(moves)))] for _ in now]
        now = model.step(now, actions)
        poses = [floor.slide(s.scene, p, a) for s, p, a in zip(now, poses, actions, strict=True)]
        true = [replace(state, pose=pose) for state, pose in zip(now, poses, strict=True)]
        states.append(tuple(now))
        truth.append(done(true, actions, true))
    return states, np.stack(truth)
