"""Many processes play as one would; what dies costs retries. Ray runs in processes of its own, never in the tests'."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.__main__ import main
from agents.cluster import Cluster
from agents.replicas import Replica, ReplicaConfig
from tests.agents.cluster_host import ROLLOUT
from tests.agents.test_rollout import content
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.types import Action, State

ROOT = Path(__file__).parent.parent.parent
SCENE = toy_scene()
PLAYED = ["agents", "rollout", "--model", "sim", "--steps", "8", "--seed", "3"]  # ROLLOUT, as flags


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


@pytest.mark.parametrize(
    "settings", [{"workers": 0}, {"replicas": -1}, {"gpus_per_replica": 1.0}, {"replicas": 1, "gpus_per_replica": -1}]
)
def test_an_impossible_cluster_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="replicas"):
        Cluster("here", **settings)


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.gl
def test_a_cluster_of_two_workers_and_a_replica_plays_what_one_process_plays(tmp_path: Path) -> None:
    rollout = [*PLAYED, "--episodes", "3"]
    run(*rollout, "--cluster", "here", "--workers", "2", "--replicas", "1", "--out", str(tmp_path / "many"))
    run(*rollout, "--out", str(tmp_path / "one"))
    assert content(tmp_path / "many", ROLLOUT.name) == content(tmp_path / "one", ROLLOUT.name)


@pytest.mark.gl
@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_episode(tmp_path: Path) -> None:
    figures = json.loads(run("tests.agents.cluster_host", str(tmp_path / "many"), "16").splitlines()[-1])
    assert figures["missing when killed"] >= 10
    assert figures["nodes"] == 3
    run(*PLAYED, "--episodes", "16", "--out", str(tmp_path / "one"))
    assert content(tmp_path / "many", ROLLOUT.name) == content(tmp_path / "one", ROLLOUT.name)


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
