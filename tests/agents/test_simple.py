from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agents.__main__ import main
from agents.simple import RandomAgent, ScriptedAgent
from tests.world.toy_world import ToyWorld, toy_scene
from world import models

FRAME = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    monkeypatch.setattr(models, "SCENES", "tests.agents.test_simple:load_scene")


def load_toy(address: str, **settings: object) -> ToyWorld:
    return ToyWorld()


def load_scene(address: str) -> object:
    name, _, start = address.partition(":")
    scene = toy_scene(name)
    return scene.starting_at(start) if start else scene


def test_random_agents_of_one_seed_act_alike_and_use_every_action() -> None:
    first, second, other = RandomAgent(5, 1), RandomAgent(5, 1), RandomAgent(5, 2)
    choices = [first.act(FRAME, {}) for _ in range(100)]
    assert choices == [second.act(FRAME, {}) for _ in range(100)]
    assert choices != [other.act(FRAME, {}) for _ in range(100)]
    assert set(choices) == set(range(5))


def test_a_scripted_agent_begins_again_at_the_end() -> None:
    agent = ScriptedAgent([1, 2])
    assert [agent.act(FRAME, {}) for _ in range(5)] == [1, 2, 1, 2, 1]
    with pytest.raises(ValueError, match="at least one action"):
        ScriptedAgent([])


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "walk.ndjson").read_text().splitlines()]


def test_a_random_walk_is_recorded_and_repeats_under_its_seed(tmp_path: Path) -> None:
    walk = ["walk", "--model", "toy", "--scene", "toy", "--steps", "6"]
    assert main([*walk, "--seed", "3", "--out", str(tmp_path / "a")]) == 0
    assert main([*walk, "--seed", "3", "--out", str(tmp_path / "b")]) == 0
    assert main([*walk, "--seed", "4", "--out", str(tmp_path / "c")]) == 0
    assert lines(tmp_path / "a") == lines(tmp_path / "b") != lines(tmp_path / "c")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"walk.mp4", "sheet.png", "walk.ndjson"}


def test_a_script_with_a_sentence_is_walked_from_the_named_start(tmp_path: Path) -> None:
    arguments = ["--agent", "script", "--script", "forward /open the door/ left*2"]
    assert main(["walk", "--model", "toy", "--scene", "toy:window", *arguments, "--out", str(tmp_path)]) == 0
    header, *steps = lines(tmp_path)
    assert header["start"] == "window"
    texts = [step["action"]["text"] for step in steps]  # pyright: ignore[reportIndexIssue]
    assert texts == ["move forward", "open the door", "turn left", "turn left"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "script"], "--agent script and --script TEXT go together"),
        (["--script", "forward"], "--agent script and --script TEXT go together"),
        (["--agent", "script", "--script", "forwrd"], "did you mean 'forward'"),
        (["--model", "nowhere"], "no model at 'nowhere'"),
        (["--preset", "best"], "no preset 'best'"),
    ],
)
def test_wrong_arguments_get_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["walk", "--model", "toy", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_agents_load_no_model_before_it_is_needed() -> None:
    code = "import sys, agents.__main__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
