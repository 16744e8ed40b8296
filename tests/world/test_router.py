"""Several servers behind one address: the work is shared, and what a dead one had is done by another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import zmq

from tests.world.conftest import ROOT, Host, Serve, until
from tests.world.odd_worlds import FORWARD, Patient
from tests.world.toy_world import ToyWorld, toy_scene
from world import wire
from world.client import RemoteWorldModel
from world.endpoints import read_endpoint
from world.errors import LinkError, SceneError
from world.router import Router
from world.testing import check_world_model

Route = Callable[..., Router]


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Route]:
    """Routes to the addresses that it is given."""
    routers: list[tuple[Router, threading.Thread]] = []

    def start(*addresses: str) -> Router:
        router = Router(read_endpoint(f"ipc://{tmp_path}/route"), [read_endpoint(address) for address in addresses])
        routers.append((router, threading.Thread(target=router.run)))
        routers[-1][1].start()
        return router

    yield start
    for router, thread in routers:
        router.leave()
        thread.join(20)
        assert not thread.is_alive()


def walk(address: str, seed: int, num_steps: int) -> list[bytes]:
    model = RemoteWorldModel(address, timeout=60, connect_timeout=30)
    states = model.reset([toy_scene()], [seed])
    for _ in range(num_steps):
        states += model.step(states[-1:], [FORWARD])
    model.close()
    return [state.digest() for state in states]


def undisturbed(seed: int, num_steps: int) -> list[bytes]:
    states = ToyWorld().reset([toy_scene()], [seed])
    for _ in range(num_steps):
        states += ToyWorld().step(states[-1:], [FORWARD])
    return [state.digest() for state in states]


def calls(router: Router) -> list[int]:
    return [int(line.split()[1]) for line in router.figures().splitlines() if "calls_total" in line]


def num_open(router: Router) -> int:
    return sum(int(line.split()[1]) for line in router.figures().splitlines() if "route_open" in line)


def up(figures: str) -> int:
    """Servers that are there."""
    return sum(line.endswith(" 1") for line in figures.splitlines() if "route_up" in line)


def test_a_routed_world_keeps_the_contract(serve: Serve, route: Route) -> None:
    router = route(serve().address, serve().address)
    check_world_model(RemoteWorldModel(router.endpoint), toy_scene(), tolerance=0)


def test_the_work_is_shared_and_a_walk_stays_with_its_server(serve: Serve, route: Route) -> None:
    servers = [serve(), serve()]
    router = route(*(served.address for served in servers))
    until(lambda: up(router.figures()) == 2)
    with ThreadPoolExecutor(6) as pool:
        walks = list(pool.map(lambda seed: walk(router.endpoint, seed, 20), range(6)))
    assert walks == [undisturbed(seed, 20) for seed in range(6)]
    assert min(calls(router)) >= 21  # one walk at least
    assert sum(served.count("refused", "need") for served in servers) <= 30


def test_the_least_busy_server_is_asked_unless_ones_own_is_free(serve: Serve, route: Route) -> None:
    worlds = [Patient(), Patient()]
    router = route(*(serve(world).address for world in worlds))
    until(lambda: up(router.figures()) == 2)
    one, two = (RemoteWorldModel(router.endpoint) for _ in range(2))
    states = ToyWorld().reset([toy_scene()], [0])

    def batches() -> list[int]:
        return [len(world.batches) for world in worlds]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.step, states, [FORWARD])
        until(lambda: sum(batches()) == 1)
        home = worlds[batches().index(1)]
        second = pool.submit(two.step, states, [FORWARD])
        until(lambda: batches() == [1, 1])
        for world in worlds:
            world.go_on.release(2)
        assert first.result()[0].step == second.result()[0].step == 1
        one.step(first.result(), [FORWARD])
    assert len(home.batches) == 2
    one.close()
    two.close()


def test_what_a_dead_server_had_is_done_by_another(serve: Serve, route: Route, host: Callable[..., Host]) -> None:
    mortal = host(0.02)
    router = route(mortal.address, serve().address)
    until(lambda: up(router.figures()) == 2)
    with ThreadPoolExecutor(4) as pool:
        walks = [pool.submit(walk, router.endpoint, seed, 50) for seed in range(4)]
        until(lambda: calls(router)[0] > 5)
        mortal.kill()
        assert [future.result() for future in walks] == [undisturbed(seed, 50) for seed in range(4)]
    assert 'route_up{server="0"} 0' in router.figures()


def test_a_router_forgets_calls_that_nobody_waits_for(route: Route, host: Callable[..., Host]) -> None:
    frozen = host()
    router = route(frozen.address)
    model = RemoteWorldModel(router.endpoint, timeout=0.5)
    os.kill(frozen.process.pid, signal.SIGSTOP)
    with pytest.raises(LinkError):
        model.reset([toy_scene()], [0])
    until(lambda: num_open(router) == 0, 2)  # it was cancelled
    model.close()
    with zmq.Context.instance().socket(zmq.DEALER) as dead:  # sends its call, and is never heard of again
        dead.linger = 1000
        dead.connect(router.endpoint)
        dead.send(wire.encode(wire.Call(session=bytes(16), number=1, verb="reset", model="toy", timeout_ms=300)))
        until(lambda: calls(router) == [2])
        until(lambda: num_open(router) == 0, 2)


def test_without_any_server_one_is_told_to_wait(route: Route, tmp_path: Path) -> None:
    router = route(f"ipc://{tmp_path}/nobody")
    stages: list[str] = []

    def impatient(stage: str) -> None:
        stages.append(stage)
        if len(stages) == 2:
            raise LinkError("enough")

    with pytest.raises(LinkError, match="enough"):
        RemoteWorldModel(router.endpoint, on_stage=impatient)
    assert stages == ["waiting for a server"] * 2


def test_replicas_are_served_behind_one_address(tmp_path: Path) -> None:
    bind = f"ipc://{tmp_path}/many"
    command = [sys.executable, "-m", "world", "serve", "--model", "sim", "--replicas", "2", "--bind", bind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        model = RemoteWorldModel(bind, connect_timeout=60)
        assert model.spec.model == "sim"
        until(lambda: up(model.metrics()) == 2, 60)
        replica, *_ = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(replica), signal.SIGKILL)
        with pytest.raises(SceneError):
            model.reset([toy_scene()], [0])  # the other one answers, which does not know the toy
        until(lambda: up(model.metrics()) == 2, 60)  # it is back
        model.close()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("serving 2 times sim at ipc://")


def test_a_walk_is_a_walk() -> None:
    """The walks above would show a frame that is not the next one's."""
    assert all(a != b for a, b in pairwise(undisturbed(0, 20)))
