"""Many processes play as one would; what dies costs retries. Ray runs in processes of its own, never in the tests'."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agents import replicas
from agents.__main__ import main
from agents.cluster import Cluster
from agents.replicas import Replica, ReplicaConfig
from tests.agents.cluster_host import DOOMED, EPISODES, STEPS
from tests.agents.test_rollout import content
from tests.world.conftest import Host, Served
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.errors import LinkError
from world.server import ServerOptions
from world.types import Action, State, WorldModel

ROOT = Path(__file__).parent.parent.parent
SCENE = toy_scene()
SERVED, DRAWN = "studio-random-tcp-v0", "studio-random-sim-v0"


class Counted(ToyWorld):
    """Counts rows, and refuses to stay."""

    rows: list[int] = []  # noqa: RUF012 (of all)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.rows.append(len(states))
        if any(action.name == "stay" for action in actions):
            raise ValueError("nobody stays")
        return super().step(states, actions)


def load_counted(address: str, **settings: object) -> Counted:
    Counted.rows.clear()
    return Counted()


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    monkeypatch.setitem(models.MODELS, "counted", "tests.agents.test_cluster:load_counted")
    return Replica(ReplicaConfig("counted"))


async def stepped(replica: Replica, moves: Sequence[int]) -> list[list[State] | BaseException]:
    [state] = await replica.reset([SCENE], [1])
    steps = (replica.step([state], [SCENE.actions[move]]) for move in moves)
    return await asyncio.gather(*steps, return_exceptions=True)


def test_a_replica_merges_the_steps_that_wait_for_it(replica: Replica) -> None:
    [state] = ToyWorld().reset([SCENE], [1])
    after = asyncio.run(stepped(replica, [1, 2, 3, 4]))
    alone = [ToyWorld().step([state], [SCENE.actions[move]]) for move in (1, 2, 3, 4)]
    assert [s[0].digest() for s in after if isinstance(s, list)] == [s[0].digest() for s in alone]
    assert Counted.rows == [4]


def test_a_bad_step_costs_only_its_sender(replica: Replica) -> None:
    first, second, third = asyncio.run(stepped(replica, [1, 0, 2]))
    assert isinstance(second, ValueError)
    assert isinstance(first, list)
    assert isinstance(third, list)


def test_a_server_that_is_gone_costs_a_moment_and_is_ready_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "GONE", 0.5)
    server = Host(tmp_path, 0.0)
    replica = Replica(ReplicaConfig(server.address))

    async def live() -> None:
        assert (await replica.ready()).model == "toy"
        [state] = await replica.reset([SCENE], [1])
        server.kill()
        steps = (replica.step([state], [SCENE.actions[move]]) for move in (1, 2, 3))
        failed = await asyncio.gather(*steps, return_exceptions=True)
        assert len(set(map(id, failed))) == 1, "each was tried alone"
        for answer in (failed[0], *await asyncio.gather(replica.ready(), return_exceptions=True)):
            assert isinstance(answer, LinkError)
            assert "no connection to ipc://" in str(answer)
        server.start_again()
        await eventually(replica.ready)
        assert isinstance((await stepped(replica, [1]))[0], list)

    try:
        asyncio.run(live())
    finally:
        server.kill()
        replica.model.close()


async def eventually(ready: Callable[[], Awaitable[object]]) -> None:
    """A server takes a while to start."""
    for _ in range(40):
        with contextlib.suppress(LinkError):
            await ready()
            return
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(
    "settings", [{"workers": 0}, {"replicas": -1}, {"gpus_per_replica": 1.0}, {"replicas": 1, "gpus_per_replica": -1}]
)
def test_an_impossible_cluster_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="replicas"):
        Cluster("here", **settings)


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def run(*command: str) -> str:
    """What a module prints last."""
    done = ran(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]


def test_a_server_that_is_killed_costs_no_episode(tmp_path: Path) -> None:
    """Beside it: a worker without room costs nothing either, and who asks is sent where least is to do."""
    hosts: list[Host] = []
    try:
        for port in free_ports(2):
            (folder := tmp_path / str(port)).mkdir()
            hosts.append(Host(folder, 0.02, bind=f"tcp://127.0.0.1:{port}"))
        killed, lives = hosts
        flags = [f"{killed.address},{lives.address}", str(killed.process.pid)]
        assert json.loads(run("tests.agents.cluster_host", "server", str(tmp_path / "many"), *flags)) == {
            "lost": 0,
            "least busy": [0, 1, 0, 1, 0, 1],
            "alone": [1, 1],
            "none": None,
            "back": 1,
        }
        assert killed.log.exists()
        rollout = ["rollout", "--model", lives.address, "--episodes", str(EPISODES), "--steps", str(STEPS)]
        assert main([*rollout, "--out", str(tmp_path / "one")]) == 0
        assert content(tmp_path / "many", SERVED) == content(tmp_path / "one", SERVED)
    finally:
        for host in hosts:
            host.kill()


def test_a_server_that_starts_after_its_replica_costs_a_retry(tmp_path: Path) -> None:
    [port] = free_ports(1)
    told = json.loads(run("tests.agents.cluster_host", "late", str(tmp_path), f"tcp://127.0.0.1:{port}"))
    assert told["lost"] == 0
    assert "LinkError: no answer from tcp://127.0.0.1" in told["answer"]
    assert len(content(tmp_path, SERVED)) == EPISODES


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[WorldModel], str]]:
    """Serves a model; the address."""
    with contextlib.ExitStack() as ends:

        def start(model: WorldModel) -> str:
            served = Served(model, f"ipc://{tmp_path}/served", ServerOptions())
            ends.callback(served.end)
            return served.address

        yield start


def test_an_episode_that_ends_every_worker_ends_the_run_and_what_was_played_is_kept(
    tmp_path: Path, serve: Callable[[WorldModel], str]
) -> None:
    flags = ["--model", serve(ToyWorld()), "--episodes", str(EPISODES), "--steps", str(STEPS), "--seed", "3"]
    done = ran("tests.agents.cluster_host", "doomed", *flags, "--out", str(tmp_path))
    assert done.returncode == 2
    assert f"episode {DOOMED} ended 5 workers" in done.stderr
    assert f"--seed {3 + DOOMED} --episodes 1" in done.stderr
    assert f"({DOOMED} of {EPISODES} episodes are kept; the same command goes on)" in done.stderr
    assert len(list(tmp_path.glob(".*.partial/episodes/*.npz"))) == DOOMED
    assert main(["rollout", *flags, "--out", str(tmp_path)]) == 0
    assert len(content(tmp_path, "studio-random-ipc-v0")) == EPISODES


def test_a_replica_that_fails_again_and_again_ends_the_run_and_what_was_played_is_kept(
    tmp_path: Path, serve: Callable[[WorldModel], str]
) -> None:
    class Tired(ToyWorld):
        steps = 0

        def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
            self.steps += 1
            if self.steps > STEPS + 1:  # in its second episode
                raise RuntimeError("the card is lost")
            return super().step(states, actions)

    flags = ["--model", serve(Tired()), "--episodes", str(EPISODES), "--steps", str(STEPS)]
    cluster = ["--cluster", "here", "--workers", "1", "--replicas", "1"]
    done = ran("agents", "rollout", *flags, *cluster, "--out", str(tmp_path))
    assert done.returncode == 2
    assert "a replica of the model failed 5 times in one step, look after it: ipc://" in done.stderr
    assert "the card is lost" in done.stderr
    assert f"(1 of {EPISODES} episodes are kept; the same command goes on)" in done.stderr
    assert len(list(tmp_path.glob(".*.partial/episodes/*.npz"))) == 1


@pytest.mark.gl
@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_episode(tmp_path: Path) -> None:
    """With a replica on it, which the cluster starts anew elsewhere."""
    flags = ["--model", "sim", "--steps", "8", "--seed", "3", "--episodes", "16"]
    many = [str(tmp_path / "many"), *flags, "--workers", "3", "--replicas", "2"]
    assert json.loads(run("tests.agents.cluster_host", "node", *many))["kept"] <= 4
    run("agents", "rollout", *flags, "--out", str(tmp_path / "one"))
    assert content(tmp_path / "many", DRAWN) == content(tmp_path / "one", DRAWN)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cluster", "127.0.0.1:1", "--model", "nowhere"], "no model at 'nowhere'"),
        (["--cluster", "here", "--gpus-per-replica", "1"], "GPUs are for replicas"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", *flags, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
