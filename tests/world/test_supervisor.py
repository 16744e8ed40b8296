"""A process of one's own for the model: it comes back, up to a limit, and never outlives who started it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world.conftest import ROOT, until
from tests.world.toy_world import ToyWorld, toy_scene
from world import cli, serving, supervisor
from world.errors import LinkError, ModelError
from world.settings import PRESETS, SamplerConfig
from world.supervisor import SupervisedWorldModel, Supervisor
from world.types import Action

FORWARD = Action("move forward", "forward", forward=0.3)
SETTINGS = tuple(SamplerConfig.__dataclass_fields__)
TOY = ["--model", "toy"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return [sys.executable, "-m", "tests.world.link_host", str(tmp_path / "computed"), "0", "serve"]


@pytest.fixture
def model(command: list[str]) -> Iterator[SupervisedWorldModel]:
    model = SupervisedWorldModel(Supervisor(TOY, command))
    yield model
    model.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_dies_comes_back_and_the_walk_goes_on(model: SupervisedWorldModel) -> None:
    states = model.reset([toy_scene()], [3])
    for i in range(3):
        if i == 1:
            model._supervisor.process.kill()
        states = model.step(states, [FORWARD])
    expected = ToyWorld().reset([toy_scene()], [3])
    for _ in range(3):
        expected = ToyWorld().step(expected, [FORWARD])
    assert states[0].digest() == expected[0].digest()


def test_a_process_that_dies_again_and_again_is_given_up_with_its_last_words(model: SupervisedWorldModel) -> None:
    def step_of_the_killed() -> None:
        model._supervisor.process.kill()
        model._supervisor.process.wait()
        model.step(states, [FORWARD])

    states = model.reset([toy_scene()], [3])
    for _ in range(supervisor.MAX_DEATHS - 1):
        step_of_the_killed()
    with pytest.raises(LinkError, match=r"died 3 times \(status -9\): its last words: serving toy"):
        step_of_the_killed()


def test_a_model_that_cannot_be_loaded_says_so_in_its_own_words(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at 'nowhere'"):
        SupervisedWorldModel(Supervisor(["--model", "nowhere"], command))


def test_loading_is_told_in_parts_of_a_hundred() -> None:
    stages: list[str] = []
    arguments = argparse.Namespace(model="tiny", device="cpu", preset="walk", **dict.fromkeys(SETTINGS))
    model = serving.loader_of(arguments)(stages.append)
    model.close()
    assert stages[0] == "loading tiny"
    assert "reading ema.safetensors, 50%" in stages
    assert stages[-1].startswith("reading ae.safetensors, 9")


def test_the_process_ends_with_the_model(model: SupervisedWorldModel) -> None:
    process = model._supervisor.process
    model.close()
    assert process.poll() is not None
    assert not Path(model.address.removeprefix("ipc://")).exists()


def test_the_process_ends_when_whoever_started_it_is_killed(command: list[str]) -> None:
    code = "import sys; from world.supervisor import Supervisor; s = Supervisor(['--model', 'toy'], sys.argv[1:]); "
    code += "print(s.process.pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    until(lambda: not is_alive(pid))


def test_a_sampler_travels_as_flags() -> None:
    parser = argparse.ArgumentParser()
    cli.add_model_arguments(parser)
    for sampler in PRESETS.values():
        assert cli.sampler_of(parser.parse_args(cli.flags_of(sampler))) == sampler
