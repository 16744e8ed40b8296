"""The claim, measured: what is learnt in a dream alone, scored in the simulator beside the same recipe trained there.

Every run is trained, and scored in the truth; so are chance and copying. What is finished is never done again, so an
interrupted study goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.policy import PolicyAgent, read_checkpoint
from agents.ppo import Point, train
from agents.recipe import Recipe
from agents.sb3 import numbers_of
from agents.scoring import Chance, CopyLast, Player, score
from scenes.estimates import Estimate, mean, ratio
from world import models
from world.files import atomic_write_text
from world.types import WorldModel

TRUTH = "sim"
NUM_RANKED = 8  # policies of different strength whose returns are compared
_MEASURES = ("success", "spl", "steps", "metres")


@dataclass(frozen=True)
class Plan:
    """What a study does: the recipe for every seed in the dream and in the truth."""

    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    steps: int = 100_000  # of all rows of a run together
    episodes: int = 200  # by which each run is scored

    def __post_init__(self) -> None:
        if self.recipe.model == TRUTH:
            raise ValueError("a study compares a dream with the simulator: its model is a dream, e.g. tiny")
        if len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"runs with different seeds tell how sure a figure is: got the seeds {self.seeds}")
        if self.steps < 1 or self.episodes < 2:
            raise ValueError("a study needs steps to learn from, and at least two episodes to be scored by")


@dataclass(frozen=True)
class Result:
    """What a study found: for each kind of agent each measure, over seeds; and how dream and truth agree."""

    table: dict[str, dict[str, Estimate]]  # agent -> measure
    share: Estimate  # success of the dream's policies as a share of those trained in the truth
    dream_returns: list[float]  # of the ranked policies
    true_returns: list[float]
    rank_correlation: float  # Spearman's, of the two


Watch = Callable[[str, Point], None]


def study(plan: Plan, out: Path, watch: Watch | None = None) -> Result:
    """Trains and scores everything, and writes study.json beside the runs. Raises as `train` does."""
    work = _Work(plan, out, models.load(plan.recipe.model), models.load(TRUTH), watch)
    try:
        scores = {kind: [work.trained(kind, seed) for seed in plan.seeds] for kind in ("dream", "truth")}
        scores |= {kind: [work.baseline(kind, seed) for seed in plan.seeds] for kind in ("chance", "copying")}
        dreamt, true = work.ranked()
    finally:
        work.dream.close()
        work.truth.close()
    result = _result(scores, dreamt, true)
    atomic_write_text(out / "study.json", json.dumps({"plan": asdict(plan), **asdict(result)}, indent=1) + "\n")
    return result


def run_folder(out: Path, kind: str, seed: int) -> Path:
    """Where a run of a study lies."""
    return out / f"{kind}-{seed}"


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """The correlation of ranks, ties sharing theirs; 0 where one side has no order at all."""
    first, second = _ranks(np.array(a)), _ranks(np.array(b))
    if min(len(set(first)), len(set(second))) < 2:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


class _Work:
    """The runs and scores of a study, each made once and kept in a file."""

    def __init__(self, plan: Plan, out: Path, dream: WorldModel, truth: WorldModel, watch: Watch | None) -> None:
        self.plan, self.out, self.dream, self.truth, self.watch = plan, out, dream, truth, watch
        self.scene = models.load_scene(plan.recipe.scene)

    def trained(self, kind: str, seed: int) -> dict[str, float]:
        """Trains one policy and scores it in the truth."""
        folder, watch = run_folder(self.out, kind, seed), self.watch
        world = self.dream if kind == "dream" else self.truth
        recipe = replace(self.plan.recipe, seed=seed, model=self.plan.recipe.model if kind == "dream" else TRUTH)
        told = (lambda point: watch(folder.name, point)) if watch else None
        policy = train(recipe, folder, self.plan.steps, NUM_RANKED, told, world)
        return self._scored(folder / f"score-{self.plan.steps}", PolicyAgent(policy, self.scene), self.truth)

    def baseline(self, kind: str, seed: int) -> dict[str, float]:
        """Scores an agent that looks at nothing."""
        numbers = numbers_of(self.plan.recipe.moves, self.scene)
        player = Chance(numbers, seed) if kind == "chance" else CopyLast(numbers, seed)
        return self._scored(self.out / f"{kind}-{seed}", player, self.truth)

    def ranked(self) -> tuple[list[float], list[float]]:
        """Returns in the dream and in the truth of what the first run in the dream was on its way."""
        folder = run_folder(self.out, "dream", self.plan.seeds[0])
        paths = sorted(folder.glob("policy-*.safetensors"), key=lambda path: read_checkpoint(path)[3])
        players = [PolicyAgent(path, self.scene) for path in paths]
        both = [
            [
                self._scored(folder / f"{path.stem}-in-{name}", player, model)["reward"]
                for path, player in zip(paths, players, strict=True)
            ]
            for name, model in (("dream", self.dream), ("truth", self.truth))
        ]
        return both[0], both[1]

    def _scored(self, stem: Path, player: Player, model: WorldModel) -> dict[str, float]:
        """The means of a score over the plan's episodes."""
        path = stem.with_name(f"{stem.name}-of-{self.plan.episodes}.json")
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        found = score(player, model, self.scene, self.plan.recipe, self.plan.episodes)
        means = {name: float(getattr(found, name).mean()) for name in (*_MEASURES, "reward")}
        atomic_write_text(path, json.dumps(means) + "\n")
        return means


def _result(scores: dict[str, list[dict[str, float]]], dreamt: list[float], true: list[float]) -> Result:
    def column(kind: str, name: str) -> NDArray[np.float64]:
        return np.array([run[name] for run in scores[kind]])

    table = {kind: {name: mean(column(kind, name)) for name in _MEASURES} for kind in scores}
    below = np.maximum(column("truth", "success"), 1e-9)
    return Result(table, ratio(column("dream", "success"), below), dreamt, true, spearman(dreamt, true))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    less = (values[:, None] > values).sum(axis=1)
    same = (values[:, None] == values).sum(axis=1)
    return less + (same - 1) / 2
