"""`python -m world bench`: what the link costs, against the same model in this process and in the same run.

Latency is measured with a world that needs no time, a panorama that turns, so that what is left is the link: one row a
step, frames of two sizes, a state of four frames. Throughput is measured with a model, many rows a step; both sides
take turns, block by block, so that a machine that is busy is busy for both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from world import cli, models
from world.client import RemoteWorldModel
from world.endpoints import read_endpoint
from world.errors import ModelError
from world.server import Server, ServerOptions
from world.serving import run_until_told
from world.types import Action, Pose, Scene, Start, State, WorldModel, WorldSpec

SIDES = (256, 512)  # pixels
BLOCKS = 6  # of each side, taking turns
_HISTORY = 4
_PANORAMA = "panorama"


class Panorama:
    """A world in which one can only turn: the picture is rolled sideways, which takes no time to speak of."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec(_PANORAMA, frozenset())

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        pairs = zip(scenes, seeds, strict=True)
        return [State(scene, (scene.starts[0].frame,), (), scene.starts[0].pose, seed) for scene, seed in pairs]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [self._turned(state, action) for state, action in zip(states, actions, strict=True)]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        raise ModelError("a panorama does not answer")

    def close(self) -> None:
        pass

    def _turned(self, state: State, action: Action) -> State:
        if not action.name:
            raise ModelError("a panorama knows its vocabulary alone")
        pose = state.pose.moved(action)
        columns = round(state.frame.shape[1] * (action.yaw or 1.0) / 360)
        return replace(
            state,
            frames=(*state.frames, np.roll(state.frame, columns, axis=1))[-_HISTORY:],
            actions=(*state.actions, action)[-(_HISTORY - 1) :],
            pose=pose,
            step=state.step + 1,
            origins=(),
        )


@dataclass(frozen=True)
class Comparison:
    """Seconds a step, here and over the link, one entry a step."""

    here: list[float]
    there: list[float]

    @property
    def cost(self) -> float:
        """Of the link, s: the difference of the medians."""
        return float(np.median(self.there) - np.median(self.here))

    @property
    def share(self) -> float:
        """Of the throughput here that is left over the link: by the medians, which a busy machine moves less."""
        return float(np.median(self.here) / np.median(self.there))


def add_bench(commands: Any) -> None:
    """The parser of `bench`."""
    bench = commands.add_parser("bench", help="what link or window cost", formatter_class=cli.HelpFormatter)
    bench.add_argument("--window", action="store_true", help="the window instead: draws, keys, a tree of many states")
    bench.add_argument("--model", default="tiny", metavar="ADDRESS", help="for the throughput; none leaves it out")
    bench.add_argument("--rows", type=cli.count, default=8, metavar="N", help="of a step, for the throughput")
    bench.add_argument("--steps", type=cli.count, default=300, metavar="N", help="for each latency")
    bench.set_defaults(run=_bench)


def compared(here: WorldModel, there: WorldModel, scene: Scene, rows: int, steps: int) -> Comparison:
    """`steps` steps of `rows` walks by each of the two, in blocks that take turns, after a few to warm up."""
    result = Comparison([], [])
    walks = {id(model): model.reset([scene] * rows, list(range(rows))) for model in (here, there)}

    def walk(model: WorldModel, num_steps: int) -> list[float]:
        seconds = []
        for _ in range(num_steps):
            begun = time.perf_counter()
            walks[id(model)] = model.step(walks[id(model)], [scene.actions[3]] * rows)
            seconds.append(time.perf_counter() - begun)
        return seconds

    for model in (here, there):
        walk(model, 2)
    for _ in range(BLOCKS):
        result.here.extend(walk(here, max(1, steps // BLOCKS)))
        result.there.extend(walk(there, max(1, steps // BLOCKS)))
    return result


@contextmanager
def served(address: str) -> Iterator[RemoteWorldModel]:
    """The model at `address`, or a Panorama, in a process of its own that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        bind = f"ipc://{folder}/bench"
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(address, bind), daemon=True)
        process.start()
        try:
            model = RemoteWorldModel(bind, connect_timeout=60)
            yield model
            model.close()
        finally:
            process.terminate()
            process.join(10)


def panorama_scene(side: int) -> Scene:
    """A picture without repetition, uint8 [side, side, 3]."""
    frame = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    return Scene(_PANORAMA, "noise", (Start("here", Pose(), frame),))


def _opened(address: str) -> WorldModel:
    return Panorama() if address == _PANORAMA else models.load(address)


def _serve(address: str, bind: str) -> None:
    run_until_told(Server(lambda tell: _opened(address), read_endpoint(bind), ServerOptions(max_batch=64)))


def _bench(args: argparse.Namespace) -> None:
    if args.window:
        from world import window  # noqa: F401 (before pygame is)
        from world.window_bench import bench  # pygame, which the link does not need

        bench()
        return
    if args.model != "none":
        models.entry_of(args.model)
    console = Console(highlight=False)
    table = Table("frame", "here p50", "link p50", "link p95", "the link's cost", title="Latency, one row", box=None)
    with served(_PANORAMA) as there:
        for side in SIDES:
            c = compared(Panorama(), there, panorama_scene(side), 1, args.steps)
            p50, p95 = np.quantile(c.there, (0.5, 0.95))
            table.add_row(f"{side} x {side}", *map(_ms, (float(np.median(c.here)), p50, p95, c.cost)))
    console.print(table)
    if args.model == "none":
        return
    here = _opened(args.model)
    with served(args.model) as there:
        c = compared(here, there, models.load_scene("studio"), args.rows, 4 * BLOCKS)
    here.close()
    rates = [args.rows / float(np.median(seconds)) for seconds in (c.here, c.there)]
    console.print(
        f"\nThroughput, {args.model}, {args.rows} rows a step: {rates[0]:.1f} frames/s here, {rates[1]:.1f} over the "
        f"link: {100 * c.share:.1f}%"
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"
