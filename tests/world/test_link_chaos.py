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

from tests.world.conftest import ROOT, Host
from tests.world.test_link_fuzz import spoiled
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.client import RemoteWorldModel
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
    command = [sys.executable, "-m", "tests.world.link_walker", one.address]
    victims = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(2)]

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
            if i % 2 and i // 2 < len(victims):
                victims[i // 2].kill()
            time.sleep(draw.uniform(0.0, 0.3))
            one.start_again()
        survivors = [future.result() for future in walks]
        over.set()
        assert litter.result() > 0
    for victim in victims:
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
    num_rows = sum(walked.values())
    tell(f"{len(survivors)} walks of {num_steps} steps came out as undisturbed; {num_rows} rows were computed")


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


def fairness(one: Host, num_clients: int, seconds: float) -> tuple[float, int]:
    """The most that a client was served over the least in `seconds` of all asking at once, and how much the server's
    memory grew meanwhile, bytes."""
    clients = [RemoteWorldModel(one.address) for _ in range(num_clients)]
    states = [client.reset([toy_scene(size=12)], [i]) for i, client in enumerate(clients)]
    counts, begin = [0] * num_clients, threading.Barrier(num_clients + 1)

    def ask(i: int) -> None:
        begin.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states[i] = clients[i].step(states[i], [FORWARD])
            counts[i] += 1

    with ThreadPoolExecutor(num_clients) as pool:
        asking = [pool.submit(ask, i) for i in range(num_clients)]
        begin.wait()
        time.sleep(seconds / 4)
        before = one.resident_bytes
        for client in asking:
            client.result()
    grown = one.resident_bytes - before
    for client in clients:
        client.close()
    tell(
        f"{num_clients} clients, {sum(counts)} steps, from {min(counts)} to {max(counts)} each; memory "
        f"{before / 2**20:.1f} to {(before + grown) / 2**20:.1f} MiB"
    )
    return max(counts) / min(counts), grown


def test_all_are_served_alike(host: Callable[..., Host]) -> None:
    share, grown = fairness(host(0.01, "--max-batch", "4", "--memo-mb", "1"), 12, seconds=1.5)
    assert share <= 2
    assert grown < 4 * 2**20


@pytest.mark.slow
def test_64_clients_are_served_alike(host: Callable[..., Host]) -> None:
    share, grown = fairness(host(0.01, "--max-batch", "4", "--memo-mb", "1"), 64, seconds=20.0)
    assert share <= 2
    assert grown < 4 * 2**20
