"""`python -m agents rollout`: many episodes of one agent, as a Minari dataset; a killed run goes on where it was.

Episode i is played with seed `seed + i` by an agent made for it, so it does not matter who plays it, when, or where:
one process, or a cluster of them (`agents.cluster`).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, get_args

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator
from rich.console import Console
from rich.progress import Progress

from agents.base import Stopped
from agents.casting import Name, Role, caster, needs_words
from agents.dataset import Dataset, Ending, Kind, loading, name_of
from agents.episode import Episode, play
from agents.planner import Eyes, Method, Search
from agents.scoring import cell
from scenes.estimates import mean
from world import ENV_ID, TASK_IDS, cli, models
from world.errors import WorldError
from world.settings import SamplerConfig
from world.types import WorldModel

Tell: TypeAlias = Callable[[int, int], None]  # hears how many are done, and of how many


@dataclass(frozen=True)
class Stage:
    """Where episodes are played."""

    env_id: str = ENV_ID
    model: str = "tiny"  # an address
    scene: str = "studio"
    sampler: SamplerConfig | None = None  # None: the model's own
    device: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)  # of its task, as in world.tasks.TaskSettings


@dataclass(frozen=True)
class Rollout:
    """What a dataset is to hold."""

    stage: Stage
    role: Role
    episodes: int
    steps: int = 50  # of an episode at most
    seed: int = 0  # of the first episode

    @property
    def name(self) -> str:
        """Of the dataset."""
        return name_of(self.stage.scene, self.role.name, self.stage.model)

    def request(self) -> dict[str, Any]:
        """All that decides the episodes, as JSON values: the device only decides how fast they come."""
        stage = {key: value for key, value in asdict(self.stage).items() if key != "device"}
        return {"stage": stage, "role": asdict(self.role), "steps": self.steps, "seed": self.seed}


class Player:
    """Plays any episode of a rollout; loads what it needs once."""

    def __init__(self, rollout: Rollout, model: WorldModel | None = None) -> None:
        """`model` None loads the stage's own, which `close` closes; one that is given stays open."""
        stage, role = rollout.stage, rollout.role
        self.rollout = rollout
        self._scene = models.load_scene(stage.scene)
        words = needs_words(role, self._scene)
        self._opened = ExitStack()
        try:
            world = model or self._open(stage.model, stage.sampler)
            mind = self._open(role.thinks_with, None) if role.thinks_with else world
            self._spec = gymnasium.spec(stage.env_id)
            if stage.settings and "task" not in self._spec.kwargs:
                flag = next(iter(stage.settings)).replace("_", "-")
                raise ValueError(f"--{flag} is about a task: give one, as in --env {TASK_IDS['ReachGoal']}")
            self._kwargs = {**stage.settings, **({"action_type": "text"} if words else {})}
            if self._spec.entry_point is None:
                raise ValueError(f"{stage.env_id} is no environment that can be made")
            make = self._spec.entry_point
            make = load_env_creator(make) if isinstance(make, str) else make
            env = make(model=world, scene=self._scene, **self._spec.kwargs, **self._kwargs)
            self._env = self._opened.enter_context(closing(cast(gymnasium.Env[Any, Any], env)))
            self._cast = self._opened.enter_context(closing(caster(role, self._scene, mind)))
        except gymnasium.error.Error as error:
            self.close()
            raise ValueError(f"no environment {stage.env_id!r}: {error}") from None
        except BaseException:
            self.close()
            raise

    def play(self, index: int) -> Episode:
        """Episode `index`."""
        seed = self.rollout.seed + index
        return play(self._env, self._cast.agent(seed), seed, self.rollout.steps)

    def play_all(self, indices: Sequence[int]) -> Iterator[tuple[int, Episode]]:
        """One after the other."""
        return ((i, self.play(i)) for i in indices)

    def kind(self) -> Kind:
        """What the episodes are of."""
        stage, role = self.rollout.stage, self.rollout.role
        spec = copy.deepcopy(self._spec)
        spec.kwargs |= {"model": stage.model, "scene": stage.scene, **self._kwargs}
        spec.max_episode_steps = self.rollout.steps
        words = (
            f"{role.name} in {stage.scene}, as {stage.model} shows it; every episode can be played again by its seed"
        )
        return Kind(self._env.observation_space, self._env.action_space, spec, role.name, words)

    def close(self) -> None:
        self._opened.close()

    def _open(self, address: str, sampler: SamplerConfig | None) -> WorldModel:
        model = models.load(address, sampler=sampler, device=self.rollout.stage.device)
        return self._opened.enter_context(closing(model))


class Troupe(Protocol):
    """Whoever plays the episodes of a rollout: a Player, or a cluster of them."""

    def play_all(self, indices: Sequence[int]) -> Iterator[tuple[int, Episode]]:
        """Episodes with their numbers, in whatever order they come."""
        ...

    def kind(self) -> Kind:
        """What the episodes are of."""
        ...

    def close(self) -> None: ...


def collect(dataset: Dataset, troupe: Troupe, video: bool = False, tell: Tell = lambda done, of: None) -> list[Ending]:
    """Has the missing episodes played, keeps them as they come, and makes the dataset appear; how all of them ended."""
    missing = dataset.missing()
    for done, (index, episode) in enumerate(troupe.play_all(missing), 1):
        dataset.keep(index, episode)
        tell(done, len(missing))
    return dataset.finish(troupe.kind(), video)


def summary(env_id: str, endings: Sequence[Ending]) -> str:
    """What a task's episodes came to, with 95% intervals; nobody is ever done with exploring."""
    reached, steps, rewards = (mean(np.array(column, np.float64)) for column in zip(*endings, strict=True))
    done = "" if env_id == TASK_IDS["Explore"] else f"reached in {cell(reached)} of {len(endings)} episodes, "
    return f"{done}{cell(steps)} moves, return {cell(rewards)}"


def add_rollout(commands: Any) -> None:
    """The parser of `rollout`."""
    parser = commands.add_parser(
        "rollout", help="many episodes, as a Minari dataset", formatter_class=cli.HelpFormatter
    )
    parser.add_argument("--env", default=ENV_ID, metavar="ID", help="a registered environment over a world")
    cli.add_task_arguments(parser)
    add_role_arguments(parser)
    parser.add_argument("--episodes", type=cli.count, default=10, metavar="N")
    parser.add_argument("--steps", type=cli.count, default=50, metavar="N", help="of an episode at most")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder of datasets (Minari's root)")
    parser.add_argument("--video", action="store_true", help="an mp4 of each episode beside the dataset")
    cli.add_model_arguments(parser)
    group = parser.add_argument_group("cluster", "several processes or machines, by Ray")
    group.add_argument(
        "--cluster", metavar="ADDRESS", help='Ray\'s address, "auto", or "here" for a cluster of its own'
    )
    group.add_argument("--workers", type=cli.count, default=2, metavar="N", help="that play episodes")
    group.add_argument("--replicas", type=int, default=0, metavar="N", help="of the model; 0: one in every worker")
    group.add_argument("--gpus-per-replica", type=float, default=0.0, metavar="X", help="that Ray reserves")
    parser.set_defaults(command_of=_rollout)


def add_role_arguments(parser: argparse.ArgumentParser) -> None:
    """--agent, and what the agents want to know."""
    search = Search()
    parser.add_argument("--agent", choices=get_args(Name), default="random", help="who acts")
    parser.add_argument("--script", default="", metavar="TEXT", help="for script, e.g. 'forward*4 left*2'")
    parser.add_argument(
        "--checkpoint", default="", metavar="FILE", help="for ppo: the policy.safetensors that train wrote"
    )
    parser.add_argument("--goal", default="", metavar="GOAL", help="for planner a picture's path, for vlm a sentence")
    parser.add_argument(
        "--thinks-with", default="", metavar="ADDRESS", help="for planner, vlm: a model (default: the environment's)"
    )
    parser.add_argument("--likeness", choices=get_args(Eyes), default="pixels", help="for planner: by what")
    parser.add_argument("--method", choices=get_args(Method), default=search.method, help="for planner")
    parser.add_argument("--depth", type=cli.count, default=search.depth, metavar="N", help="for planner: moves ahead")
    parser.add_argument("--width", type=cli.count, default=search.width, metavar="N", help="for planner: futures")


def role_of(args: argparse.Namespace) -> Role:
    """What the flags of `add_role_arguments` ask for; raises ValueError where they do not fit."""
    search = replace(Search(), width=args.width, depth=args.depth, elites=min(Search().elites, args.width))
    search = replace(search, method=args.method)
    return Role(args.agent, args.script, args.checkpoint, args.goal, args.thinks_with, args.likeness, search)


def _rollout(args: argparse.Namespace) -> None:
    stage = Stage(args.env, args.model, args.scene, cli.sampler_of(args), args.device, cli.task_settings_of(args))
    rollout = Rollout(stage, role_of(args), args.episodes, args.steps, args.seed)
    if args.cluster is None and (args.replicas or args.gpus_per_replica):
        raise ValueError("--replicas and --gpus-per-replica belong to a cluster: add --cluster here, auto or ADDRESS")
    if args.cluster is not None and args.agent == "human":
        raise ValueError("a person sits at one machine: leave out --cluster, or take another --agent")
    dataset = Dataset(args.out, rollout.name, rollout.request(), rollout.episodes)
    console = Console(stderr=True)
    if dataset.is_complete:
        console.print(f"{dataset.path} is complete: nothing to play", soft_wrap=True, markup=False)
    else:
        missing = dataset.missing()
        if len(missing) < rollout.episodes:
            console.print(f"going on: {rollout.episodes - len(missing)} of {rollout.episodes} episodes are there")
        with closing(_troupe(rollout, args)) as troupe, Progress(console=console) as progress:
            name = f"{rollout.role.name} in {stage.scene}"
            bar, tell = progress.add_task(name, total=len(missing)), cli.lines(console)

            def watch(done: int, of: int) -> None:
                progress.update(bar, completed=done)
                tell(f"{done} of {of}: {name}")

            try:
                endings = collect(dataset, troupe, args.video, watch)
            except (Stopped, WorldError) as error:
                kept = rollout.episodes - len(dataset.missing())
                told = f"{kept} of {rollout.episodes} episodes are kept; the same command goes on"
                if isinstance(error, WorldError):
                    raise WorldError(f"{error} ({told})") from None
                console.print(f"{error}: {told}", soft_wrap=True)
                return
        if stage.env_id != ENV_ID:  # a walk has nothing to do
            console.print(summary(stage.env_id, endings), soft_wrap=True, highlight=False)
    Console().print(loading(dataset), soft_wrap=True, markup=False, highlight=False)


def _troupe(rollout: Rollout, args: argparse.Namespace) -> Troupe:
    if args.cluster is None:
        return Player(rollout)
    from agents.cluster import Cluster, ClusterTroupe

    return ClusterTroupe(rollout, Cluster(args.cluster, args.workers, args.replicas, args.gpus_per_replica))
