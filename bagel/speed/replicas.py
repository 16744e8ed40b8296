"""A server killed in the middle of a step: how long the step then takes, and whether its frame is the same."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from bagel.speed.frame import WORDS, noise
from world import cli
from world.client import RemoteWorldModel
from world.errors import ModelError
from world.settings import SamplerConfig
from world.types import Action, Pose, Scene, Start

STEPS = 4
LOADING = 300.0  # seconds that servers may take


@dataclass(frozen=True)
class ReplicaTime:
    """Seconds of a step with nobody killed (median) and of one whose server was killed half way through it.

    `apart` is the largest difference between numbers (0 to 255) of its frame and of the one that the killed server
    had made in the same step before.
    """

    devices: tuple[str, ...]
    undisturbed: float
    killed: float
    apart: int


def measure_replicas(address: str, devices: Sequence[str], sampler: SamplerConfig) -> ReplicaTime:
    """Walks at a router in front of a server on each device. Raises LinkError where they do not start."""
    scene = Scene("bench", "noise", (Start("here", Pose(), noise((512, 512))),), (Action(WORDS),))
    with tempfile.TemporaryDirectory(prefix="bagel-replicas-") as folder:
        addresses = [f"ipc://{folder}/{i}" for i in range(len(devices))]
        flags = ["--model", address, *cli.flags_of(sampler)]
        commands = [["serve", *flags, "--bind", a, "--device", d] for a, d in zip(addresses, devices, strict=True)]
        router = f"ipc://{folder}/router"
        with _processes([*commands, ["route", "--bind", router, "--to", *addresses]]) as processes:
            for one in addresses:
                RemoteWorldModel(one, connect_timeout=LOADING).close()
            model = RemoteWorldModel(router, connect_timeout=LOADING)
            try:
                return _walked(model, scene, tuple(devices), processes)
            finally:
                model.close()


def _walked(
    model: RemoteWorldModel, scene: Scene, devices: tuple[str, ...], servers: Sequence[subprocess.Popen[bytes]]
) -> ReplicaTime:
    before = states = model.reset([scene], [0])
    seconds = []
    for _ in range(STEPS):
        before, begun = states, time.perf_counter()
        states = model.step(states, [Action(WORDS)])
        seconds.append(time.perf_counter() - begun)
    undisturbed = statistics.median(seconds[1:])
    with ThreadPoolExecutor(1) as pool:
        watch = RemoteWorldModel(model.address, connect_timeout=LOADING)
        begun = time.perf_counter()
        again = pool.submit(model.step, before, [Action(WORDS)])
        time.sleep(undisturbed / 2)
        busy = _busy(watch.metrics())
        watch.close()
        servers[busy].kill()
        frame = again.result()[0].frame
        killed = time.perf_counter() - begun
    apart = np.abs(frame.astype(int) - states[0].frame.astype(int)).max()
    return ReplicaTime(devices, undisturbed, killed, int(apart))


def _busy(figures: str) -> int:
    """The server that has a request, by the router's figures. Raises ModelError where none has."""
    found = re.search(r'route_open\{server="(\d+)"\} [1-9]', figures)
    if found is None:
        raise ModelError("the step was over before a server could be killed in it: ask for more evaluations")
    return int(found[1])


@contextmanager
def _processes(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [
        subprocess.Popen([sys.executable, "-m", "world", *command], stdout=subprocess.DEVNULL) for command in commands
    ]
    try:
        yield started
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
