"""The claim, measured: what is learnt in a dream alone, scored in the simulator beside the same recipe trained there.

All runs are trained side by side, one process each, from milestone to milestone; what all of them have reached is
scored in the truth, and so are chance and copying. What is finished is never done again, so a study that was
interrupted, or whose time was up, goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.policy import PolicyAgent
from agents.ppo import POLICY, train
from agents.recipe import Recipe, numbers_of
from agents.scoring import TITLES, Chance, CopyLast, score
from scenes.estimates import Estimate, mean, ratio
from scenes.many_eyes import ManyEyes
from world import models
from world.errors import WorldError
from world.files import atomic_path, atomic_write_text
from world.types import WorldModel

Watch = Callable[[], None]

TRUTH = "sim"
NUM_MILESTONES = NUM_RANKED = 8  # policies of different strength whose returns are compared
_BASELINES = {"chance": Chance, "copying": CopyLast}
_TRAINING = 0.75  # share of the minutes; the rest is for scoring


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

    @property
    def milestones(self) -> list[int]:
        """Numbers of steps at which runs are compared: whole updates, evenly spread."""
        update = self.recipe.num_envs * self.recipe.num_steps
        parts = (self.steps * k / NUM_MILESTONES for k in range(1, NUM_MILESTONES + 1))
        return sorted({update * math.ceil(part / update) for part in parts})

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Kind and seed of every run."""
        return [(kind, seed) for kind in ("dream", "truth") for seed in self.seeds]


@dataclass(frozen=True)
class Result:
    """What a study found: for each kind of agent each measure, over seeds; and how dream and truth agree."""

    steps: int  # that every run has made: what is scored
    table: dict[str, dict[str, Estimate]]  # agent -> measure
    share: Estimate  # success of the dream's policies as a share of those trained in the truth
    dream_returns: list[float]  # of the ranked policies
    true_returns: list[float]
    rank_correlation: float  # Spearman's, of the two


@dataclass(frozen=True)
class _Exam:
    """A score to be made: who plays in which world, and the file that keeps the means."""

    file: Path
    player: str  # "chance", "copying", or the path of a policy
    seed: int
    model: str


def study(plan: Plan, out: Path, processes: int = 1, minutes: float = math.inf, watch: Watch = lambda: None) -> Result:
    """Trains and scores everything, and writes study.json beside the runs; `watch` is called every second meanwhile.

    After `_TRAINING` of the minutes no run is trained any further in this call. Raises WorldError where the time was
    up before every run had come to the first milestone; else as `train` does.
    """
    until = time.time() + 60 * minutes * _TRAINING
    with _crew(plan, processes) as crew:
        for steps in plan.milestones:
            _wait(crew, _train, [(plan, out, *run, steps, until) for run in plan.runs], watch)
            if not _reached(plan, out, steps):
                break
        have = [steps for steps in plan.milestones if _reached(plan, out, steps)]
        if not have:
            raise WorldError(
                f"not every run has made {plan.milestones[0]} steps yet: give the same command more minutes"
            )
        exams = {kind: _exams(plan, out, kind, have[-1]) for kind in ("dream", "truth", *_BASELINES)}
        ranked = _ranked(plan, out, have)
        wanted = [exam for some in (*exams.values(), *ranked) for exam in some]
        _wait(crew, _score, [(plan, exam) for exam in dict.fromkeys(wanted)], watch)
    table = {
        kind: {name: mean(np.array([_means(exam)[name] for exam in some])) for name in TITLES}
        for kind, some in exams.items()
    }
    success = [np.array([_means(exam)["success"] for exam in exams[kind]]) for kind in ("dream", "truth")]
    dreamt, true = ([_means(exam)["reward"] for exam in some] for some in ranked)
    share = ratio(success[0], np.maximum(success[1], 1e-9))
    result = Result(have[-1], table, share, dreamt, true, spearman(dreamt, true))
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


@contextmanager
def _crew(plan: Plan, processes: int) -> Iterator[Executor]:
    """Processes that share the cards and the cores; a single one is a thread of this process."""
    if processes == 1:
        try:
            with ThreadPoolExecutor(1) as crew:
                yield crew
        finally:
            while _worlds:
                _worlds.popitem()[1].close()
        return
    cards = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    eyes = max(1, (os.cpu_count() or 1) // min(processes, len(plan.seeds)))
    if torch.cuda.is_available():
        eyes = 1  # a card that draws for many, one after the other, keeps the dreams waiting
    spawn = multiprocessing.get_context("spawn")
    told = cards.split(","), eyes, spawn.Value("i", 0)
    with ProcessPoolExecutor(processes, spawn, _begin, told) as crew:
        yield crew


_worlds: dict[str, WorldModel] = {}  # open in this process: loading takes seconds
_num_eyes = 1  # processes that draw for a simulator of this process


def _begin(cards: Sequence[str], num_eyes: int, count: Any) -> None:
    """Makes a process use one of the cards and its part of the cores."""
    global _num_eyes
    with count.get_lock():
        number, count.value = int(count.value), count.value + 1
    os.environ["CUDA_VISIBLE_DEVICES"] = card = cards[number % len(cards)]
    if card.isdigit():
        os.environ.setdefault("MUJOCO_EGL_DEVICE_ID", card)
    os.environ["LP_NUM_THREADS"] = "1"  # of Mesa, which draws where there is no display: processes serve better
    torch.set_num_threads(1)
    _num_eyes = num_eyes


def _world(address: str) -> WorldModel:
    if address not in _worlds:
        _worlds[address] = ManyEyes(_num_eyes) if address == TRUTH and _num_eyes > 1 else models.load(address)
    return _worlds[address]


def _wait(
    crew: Executor, work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], watch: Callable[[], None]
) -> None:
    """Has all jobs done; the first that fails ends the study."""
    left = {crew.submit(work, *job) for job in jobs}
    try:
        while left:
            done, left = wait(left, timeout=1.0)
            watch()
            for job in done:
                job.result()
    finally:
        for job in left:
            job.cancel()


def _train(plan: Plan, out: Path, kind: str, seed: int, steps: int, until: float) -> None:
    """Brings one run to a milestone, and keeps its policy as it is there."""
    folder = run_folder(out, kind, seed)
    kept = _kept(folder, steps)
    if kept.is_file() or time.time() >= until:
        return
    recipe = replace(plan.recipe, seed=seed, model=plan.recipe.model if kind == "dream" else TRUTH)
    if train(recipe, folder, steps, model=_world(recipe.model), until=until) == steps:
        with atomic_path(kept) as partial:
            shutil.copyfile(folder / POLICY, partial)


def _kept(folder: Path, steps: int) -> Path:
    return folder / f"policy-{steps}.safetensors"


def _reached(plan: Plan, out: Path, steps: int) -> bool:
    return all(_kept(run_folder(out, *run), steps).is_file() for run in plan.runs)


def _exams(plan: Plan, out: Path, kind: str, steps: int) -> list[_Exam]:
    """All seeds of a kind of agent, in the truth."""
    if kind in _BASELINES:
        return [_Exam(out / f"{kind}-{seed}-of-{plan.episodes}.json", kind, seed, TRUTH) for seed in plan.seeds]
    return [_exam(plan, run_folder(out, kind, seed), steps, TRUTH) for seed in plan.seeds]


def _exam(plan: Plan, folder: Path, steps: int, model: str) -> _Exam:
    where = "truth" if model == TRUTH else "dream"
    return _Exam(folder / f"score-{steps}-in-{where}-of-{plan.episodes}.json", str(_kept(folder, steps)), 0, model)


def _ranked(plan: Plan, out: Path, have: Sequence[int]) -> tuple[list[_Exam], list[_Exam]]:
    """Policies of the runs in the dream as they were on their way, in the dream and in the truth."""
    grown = [(run_folder(out, "dream", seed), steps) for steps in have for seed in plan.seeds]
    some = np.linspace(0, len(grown) - 1, min(NUM_RANKED, len(grown))).round()
    picked = [grown[int(i)] for i in some]
    dream, true = ([_exam(plan, *one, model) for one in picked] for model in (plan.recipe.model, TRUTH))
    return dream, true


def _score(plan: Plan, exam: _Exam) -> None:
    """Writes the means of a score over the plan's episodes."""
    if exam.file.is_file():
        return
    scene = models.load_scene(plan.recipe.scene)
    numbers = numbers_of(plan.recipe.moves, scene)
    baseline = _BASELINES.get(exam.player)
    player = baseline(numbers, exam.seed) if baseline else PolicyAgent(exam.player, scene)
    found = score(player, _world(exam.model), scene, plan.recipe, plan.episodes)
    means = {name: float(getattr(found, name).mean()) for name in TITLES}
    atomic_write_text(exam.file, json.dumps(means) + "\n")


def _means(exam: _Exam) -> dict[str, float]:
    return json.loads(exam.file.read_text(encoding="utf-8"))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    less = (values[:, None] > values).sum(axis=1)
    same = (values[:, None] == values).sum(axis=1)
    return less + (same - 1) / 2
