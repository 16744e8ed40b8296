"""`python -m agents throughput`: steps a second of a rollout, by the number of workers, against one process.

Everything is loaded and has played once before the clock starts; all rows play the same episodes. With as many workers
as cores one expects no gain beyond: the table says how many cores there are.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.casting import Role
from agents.cluster import HERE, Cluster, ClusterTroupe
from agents.rollout import Player, Rollout, Stage, Troupe
from world import cli


def steps_per_second(make: Callable[[], Troupe], rollout: Rollout, num_warm: int, tell: cli.Tell) -> float:
    """Of all episodes of `rollout`; `num_warm` are played before, and not timed. `tell` hears how far it is."""
    tell("loading")
    with closing(make()) as troupe:
        for _ in troupe.play_all(range(num_warm)):
            pass
        begun, num_steps = time.perf_counter(), 0
        for done, (_, episode) in enumerate(troupe.play_all(range(rollout.episodes)), 1):
            num_steps += len(episode)
            tell(f"{done} of {rollout.episodes} episodes")
        return num_steps / (time.perf_counter() - begun)


def add_throughput(commands: Any) -> None:
    """The parser of `throughput`."""
    parser = commands.add_parser(
        "throughput", help="steps a second, by the number of workers", formatter_class=cli.HelpFormatter
    )
    parser.add_argument("--workers", type=cli.count, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--replicas", type=int, default=0, metavar="N", help="of the model; 0: one in every worker")
    parser.add_argument("--gpus-per-replica", type=float, default=0.0, metavar="X", help="that Ray reserves")
    parser.add_argument("--cluster", default=HERE, metavar="ADDRESS", help='Ray\'s address, "auto", or "here"')
    parser.add_argument("--episodes", type=cli.count, default=16, metavar="N")
    parser.add_argument("--steps", type=cli.count, default=20, metavar="N", help="of an episode")
    cli.add_model_arguments(parser)
    parser.set_defaults(command_of=_throughput, model="sim", scene="gallery")


def _throughput(args: argparse.Namespace) -> None:
    stage = Stage(model=args.model, scene=args.scene, sampler=cli.sampler_of(args), device=args.device)
    rollout = Rollout(stage, Role(), args.episodes, args.steps, args.seed)
    table = Table(title=f"{args.model} in {args.scene}, {os.cpu_count()} cores", box=None, header_style="dim")
    for column in ("workers", "replicas", "steps/s", "times one process"):
        table.add_column(column, justify="right")

    def measured(name: str, make: Callable[[], Troupe], num_warm: int) -> float:
        return steps_per_second(make, rollout, num_warm, lambda text: tell(f"{name}: {text}"))

    with cli.telling() as tell:
        alone = measured("one process", lambda: Player(rollout), 1)
        table.add_row("one process", "", f"{alone:.1f}", "1.0")
        for workers in args.workers:
            cluster = Cluster(args.cluster, workers, args.replicas, args.gpus_per_replica)
            speed = measured(f"{workers} workers", partial(ClusterTroupe, rollout, cluster), 2 * workers)
            table.add_row(str(workers), str(args.replicas), f"{speed:.1f}", f"{speed / alone:.1f}")
    Console().print(table)
