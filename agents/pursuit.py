"""`python -m agents pursue`: who reaches a goal picture in the simulator, a planner or a random walker.

A trial is a random place and a picture taken a few moves from there; the truth walks, and says when the eye is there.
The planner may think with the simulator itself (the best that planning can do) or with a dream, which is given nothing
but what the eye sees. All agents get the same trials and the same number of moves.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agents.base import Agent
from agents.likeness import Eyes, likeness
from agents.planner import Method, PlannerAgent, Search
from agents.simple import RandomAgent
from scenes import estimates
from world import cli, models
from world.env import BagelWorldEnv
from world.errors import ModelError
from world.types import Action, Pose, Scene, Start, TrueWorld, WorldModel, wrap
from world.walks import HELD_OUT, Stroll

RADIUS = 0.45  # m: a step and a half
ANGLE = 20.0  # degrees: a turn and a third
_SEEDS = HELD_OUT + 300_000  # of the trials, held out from training
_PATIENCE = 200  # strolls until one ends somewhere else


@dataclass(frozen=True)
class Trial:
    """Begin at the scene's first start, end where `goal` was taken."""

    scene: Scene
    goal: Start
    seed: int
    way: int  # moves that lead there


@dataclass(frozen=True)
class Score:
    """What became of one trial."""

    reached: bool
    moves: int
    way: int
    left: float  # m from the goal at the end

    @property
    def spl(self) -> float:
        """Success weighted by path length (Anderson et al. 2018), against the way that the goal was found by."""
        return self.way / max(self.moves, self.way) if self.reached else 0.0


def trials(truth: TrueWorld, scene: Scene, num: int, way: int) -> list[Trial]:
    """Equal arguments give equal trials. Raises ValueError where `way` moves lead nowhere else."""
    return [_trial(truth, scene, _SEEDS + i, way) for i in range(num)]


def pursue(truth: TrueWorld, trial: Trial, agent: Agent, steps: int) -> Score:
    """One trial, for at most `steps` moves."""
    env = BagelWorldEnv(truth, trial.scene)
    frame, info = env.reset(seed=trial.seed, options={"start": trial.scene.starts[0].name})
    moves = 0
    while moves < steps and not there(Pose(**info["pose"]), trial.goal.pose):
        frame, _, _, _, info = env.step(int(agent.act(frame, info)))
        moves += 1
    pose, goal = Pose(**info["pose"]), trial.goal.pose
    return Score(there(pose, goal), moves, trial.way, math.hypot(pose.x - goal.x, pose.y - goal.y))


def there(pose: Pose, goal: Pose) -> bool:
    """Whether the eye is within RADIUS of the goal and looks the same way, give or take ANGLE."""
    near = math.hypot(pose.x - goal.x, pose.y - goal.y) <= RADIUS
    return near and abs(wrap(pose.yaw - goal.yaw)) <= ANGLE


def _trial(truth: TrueWorld, scene: Scene, seed: int, way: int) -> Trial:
    begun = scene.starting_at(truth.random_start(scene, seed))
    for attempt in range(_PATIENCE):
        (state,) = truth.reset([begun], [seed])
        stroll = Stroll(np.random.default_rng((seed, attempt)), replace(scene, actions=_ground(scene)))
        for _ in range(way):
            (state,) = truth.step([state], [stroll.next()])
        if not there(state.pose, begun.starts[0].pose):
            return Trial(begun, Start("goal", state.pose, state.frame), seed, way)
    raise ValueError(f"{way} moves lead nowhere else in {scene.name}: give a longer --way")


def _ground(scene: Scene) -> tuple[Action, ...]:
    return tuple(a for a in scene.actions if a.forward or a.left or a.yaw)


def add_pursue(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The parser of `pursue`."""
    defaults = Search()
    parser = commands.add_parser(
        "pursue", help="planner against random at reaching a goal picture", formatter_class=cli.HelpFormatter
    )
    parser.add_argument("--scene", default="gallery", metavar="SCENE", help="one that the simulator knows")
    parser.add_argument(
        "--dreams", nargs="+", default=["sim", "tiny"], metavar="ADDRESS", help="what the planner thinks with"
    )
    parser.add_argument("--eyes", choices=get_args(Eyes), nargs="+", default=["pixels"], help="how pictures compare")
    parser.add_argument("--trials", type=cli.count, default=20, metavar="N")
    parser.add_argument("--way", type=cli.count, default=4, metavar="N", help="moves from the start to the goal")
    parser.add_argument("--steps", type=cli.count, default=8, metavar="N", help="moves that an agent may make")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    parser.add_argument("--method", choices=get_args(Method), default=defaults.method)
    parser.add_argument("--depth", type=cli.count, default=defaults.depth, metavar="N", help="moves thought ahead")
    parser.add_argument("--width", type=cli.count, default=defaults.width, metavar="N", help="futures kept or drawn")
    parser.set_defaults(command_of=_pursue)


def _pursue(args: argparse.Namespace) -> None:
    scene = models.load_scene(args.scene)
    search = Search(args.method, args.depth, args.width, elites=min(Search().elites, args.width))
    truth = models.load("sim")
    if not isinstance(truth, TrueWorld):
        raise ModelError("goals are drawn by the simulator, and this one knows no poses")
    console = Console(stderr=True)
    try:
        with console.status("drawing the goals"):
            course = trials(truth, scene, args.trials, args.way)
        table = Table(
            title=f"{len(course)} goals in {scene.name}, {args.way} moves away, {args.steps} allowed", box=None
        )
        for column in ("agent", "success", "SPL", "from the goal"):
            table.add_column(column, no_wrap=True)
        random = _all(truth, course, args.steps, "random", lambda trial: RandomAgent(len(scene.actions), trial.seed))
        table.add_row("random", *_cells(random))
        for address in dict.fromkeys(args.dreams):
            dream = truth if address == "sim" else models.load(address, device=args.device)
            try:
                for eyes in dict.fromkeys(args.eyes):
                    if eyes == "latents" and "reconstruct" not in dream.spec.supports:
                        continue  # a simulator draws without latents
                    name = f"planner, {address}, {eyes}"
                    scores = _all(truth, course, args.steps, name, _planner(dream, eyes, search))
                    table.add_row(name, *_cells(scores))
            finally:
                if dream is not truth:
                    dream.close()
    finally:
        truth.close()
    Console().print(table)


def _planner(dream: WorldModel, eyes: Eyes, search: Search) -> Callable[[Trial], Agent]:
    def make(trial: Trial) -> Agent:
        reward = likeness(eyes, trial.goal.frame, dream, trial.scene)
        return PlannerAgent(dream, trial.scene, reward, search, trial.seed)

    return make


def _all(
    truth: TrueWorld, course: Sequence[Trial], steps: int, name: str, make: Callable[[Trial], Agent]
) -> list[Score]:
    console = Console(stderr=True)
    return [pursue(truth, t, make(t), steps) for t in track(course, description=name, console=console)]


def _cells(scores: Sequence[Score]) -> list[str]:
    def cell(values: Sequence[float]) -> str:
        estimate = estimates.mean(np.array(values))
        return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"

    left = float(np.mean([score.left for score in scores]))
    return [cell([float(score.reached) for score in scores]), cell([score.spl for score in scores]), f"{left:.2f} m"]
