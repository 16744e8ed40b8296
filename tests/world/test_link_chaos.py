"""Servers and clients are killed, garbage is sent beside: who survives has walked as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import zmq

from tests.world.conftest import ROOT, Host, Serve
from tests.world.test_link_fuzz import spoiled
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.client import RemoteWorldModel
from world.server import ServerOptions
from world.types import Action, Scene, State, WorldModel

FORWARD = Action("move forward", "forward", forward=0.3)
TURN = Action("turn left", "left", yaw=15.0)
SEED = 1000  # of the first walk; garbage that makes sense by chance has smaller ones
TOLERANCE = 2  # grey levels, as in world.testing: what a batch of another size may change


@dataclass(frozen=True)
class Chaos:
    clients: int
    steps: int
    kills: int
    pause: tuple[float, float]  # s between two kills


def tell(figures: str) -> None:
    """For pytest -s."""
    sys.stdout.write(f"\n{figures}\n")


def walk(model: WorldModel, scene: Scene, seed: int, num_steps: int) -> list[State]:
    states = model.reset([scene], [seed])
    for t in range(num_steps):
        states += model.step(states[-1:], [FORWARD if (t + seed) % 3 else TURN])
    return states


def survive(one: Host, scene: Scene, chaos: Chaos) -> list[list[State]]:
    """The walks of all clients, through everything."""
    over = threading.Event()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    victim = subprocess.Popen([sys.executable, "-m", "tests.world.link_walker", one.address], cwd=ROOT, env=environment)

    def one_walk(client: int) -> list[State]:
        model = RemoteWorldModel(one.address, timeout=300, connect_timeout=120)
        states = walk(model, scene, SEED + client, chaos.steps)
        model.close()
        return states

    with ThreadPoolExecutor(chaos.clients + 1) as pool:
        litter = pool.submit(_litter, one.address, over)
        walks = [pool.submit(one_walk, client) for client in range(chaos.clients)]
        draw = random.Random(0)
        for i in range(chaos.kills):
            time.sleep(draw.uniform(*chaos.pause))
            one.kill()
            if i == chaos.kills // 2:
                victim.kill()
            time.sleep(draw.uniform(0.0, 0.3))
            one.start_again()
        survivors = [future.result() for future in walks]
        over.set()
        assert litter.result() > 0
    victim.kill()
    victim.wait()
    return survivors


def _litter(address: str, over: threading.Event) -> int:
    """Sends what nobody should, until it is over; how often."""
    draw, count = random.Random(1), 0
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.immediate = True
    dealer.connect(address)
    while not over.wait(0.005):
        try:
            dealer.send_multipart(spoiled(draw), zmq.NOBLOCK)
            count += 1
        except zmq.Again:
            pass
        while dealer.poll(0):
            dealer.recv_multipart()
    dealer.close()
    return count


def check_toys(one: Host, survivors: Sequence[Sequence[State]], num_steps: int) -> None:
    """All frames equal those of undisturbed walks, and no server has computed a step twice."""
    for seed, states in enumerate(survivors, SEED):
        expected = walk(ToyWorld(), toy_scene(), seed, num_steps)
        assert [state.digest() for state in states] == [state.digest() for state in expected]
    computed = Counter(one.log.read_text().splitlines())
    walked = {line: count for line, count in computed.items() if int(line.split()[1]) >= SEED}
    assert max(walked.values()) == 1


def test_walks_survive_everything(host: Callable[..., Host]) -> None:
    one = host(0.01)
    survivors = survive(one, toy_scene(), Chaos(clients=4, steps=40, kills=3, pause=(0.4, 0.9)))
    check_toys(one, survivors, 40)


@pytest.mark.slow
def test_eight_walks_of_the_toy_survive_ten_deaths(host: Callable[..., Host]) -> None:
    one = host(0.2)
    survivors = survive(one, toy_scene(), Chaos(clients=8, steps=50, kills=10, pause=(0.8, 1.5)))
    check_toys(one, survivors, 50)


@pytest.mark.slow
def test_eight_walks_of_the_tiny_model_survive_ten_deaths(host: Callable[..., Host]) -> None:
    one = host(0.0, model="tiny")
    scene = models.load_scene("studio")
    survivors = survive(one, scene, Chaos(clients=8, steps=50, kills=10, pause=(6.0, 12.0)))
    undisturbed = models.load("tiny")
    off = []
    for states in survivors:
        assert [state.step for state in states] == list(range(51))
        for before, after in pairwise(states):
            (alone,) = undisturbed.step([before], [FORWARD if (before.step + before.seed) % 3 else TURN])
            off.append(int(np.abs(after.frame.astype(int) - alone.frame.astype(int)).max()))
    tell(f"{len(off)} steps, largest difference from the same step alone: {max(off)} grey levels")
    assert max(off) <= TOLERANCE


def soak(one: Host, num_requests: int, num_clients: int = 8) -> tuple[int, int]:
    """Growth of the server's descriptors and of its memory, bytes, from the first tenth of the requests to the last."""
    model_of = [RemoteWorldModel(one.address) for _ in range(num_clients)]

    def ask(model: RemoteWorldModel, number: int) -> None:
        states = model.reset([toy_scene()], [number % 1000])
        for _ in range(number - 1):
            states = model.step(states, [FORWARD])

    def ask_all(number: int) -> None:
        with ThreadPoolExecutor(num_clients) as pool:
            list(pool.map(ask, model_of, [number // num_clients] * num_clients))

    ask_all(num_requests // 10)
    before = one.num_open, one.resident_bytes
    ask_all(num_requests - num_requests // 10)
    after = one.num_open, one.resident_bytes
    for model in model_of:
        model.close()
    tell(
        f"{num_requests} requests: descriptors {before[0]} to {after[0]}, memory {before[1] / 2**20:.1f} to "
        f"{after[1] / 2**20:.1f} MiB"
    )
    return after[0] - before[0], after[1] - before[1]


def test_a_server_does_not_grow(host: Callable[..., Host]) -> None:
    descriptors, memory = soak(host(0.0, "--memo-mb", "1"), 800)
    assert descriptors == 0
    assert memory < 4 * 2**20


@pytest.mark.slow
def test_a_server_does_not_grow_in_20000_requests(host: Callable[..., Host]) -> None:
    descriptors, memory = soak(host(0.0, "--memo-mb", "1"), 20_000)
    assert descriptors == 0
    assert memory < 4 * 2**20


def fairness(serve: Serve, num_clients: int, seconds: float) -> float:
    """The most that a client was served over the least, in `seconds` of all asking at once."""

    class Slow(ToyWorld):
        def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
            time.sleep(0.01)
            return list(states)

    served = serve(Slow(), ServerOptions(max_batch=4))
    clients = [served.client() for _ in range(num_clients)]
    states = [client.reset([toy_scene(size=12)], [0]) for client in clients]
    counts, begin = [0] * num_clients, threading.Barrier(num_clients)

    def ask(i: int) -> None:
        begin.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            clients[i].step(states[i], [FORWARD])
            counts[i] += 1

    with ThreadPoolExecutor(num_clients) as pool:
        list(pool.map(ask, range(num_clients)))
    tell(f"{num_clients} clients, {sum(counts)} steps, from {min(counts)} to {max(counts)} each")
    return max(counts) / min(counts)


def test_all_are_served_alike(serve: Serve) -> None:
    assert fairness(serve, 12, seconds=1.0) <= 2


@pytest.mark.slow
def test_64_clients_are_served_alike(serve: Serve) -> None:
    assert fairness(serve, 64, seconds=15.0) <= 2
