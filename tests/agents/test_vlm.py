"""An agent that asks a model of pictures and words: the toy that has its own opinion, and an engine behind http://."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from agents.vlm import VisionAgent, chosen
from tests.agents.toy_host import SlowToy
from tests.world.test_engine import Hosted
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.errors import ModelError
from world.types import Scene

SCENE = toy_scene()
FRAME = SCENE.starts[0].frame
NAMES = [action.name for action in SCENE.actions]


class Recorded(SlowToy):
    """Writes down what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def ask(self, states, question: str) -> list[str]:
        self.asked.append(question)
        return super().ask(states, question)


def test_it_looks_thinks_and_chooses_and_tells_what_it_did_before() -> None:
    model = Recorded()
    agent = VisionAgent(model, SCENE, "find the window")
    assert [agent.act(FRAME, {"step": t}) for t in range(2)] == [NAMES.index("left")] * 2
    think, choose, again, _ = model.asked
    assert "Your goal: find the window. Your last moves: none yet." in think
    assert choose.startswith("I should turn left, not move forward\n")
    assert "move forward, move back, turn left" in choose
    assert "Your last moves: turn left." in again
    assert agent.thought == "I should turn left, not move forward"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("turn left", "left"),
        ("Turn right.", "right"),
        ("I step left", "strafe_left"),
        ("strafe_right!", "strafe_right"),
        ("first move back, but then I would move forward", "forward"),
        ("rotate the object left", "object_left"),
        ("forward", "forward"),
        ("the door is leftmost", None),
        ("", None),
    ],
)
def test_the_last_move_that_an_answer_names_is_taken(answer: str, name: str | None) -> None:
    assert chosen(answer, SCENE) == (None if name is None else NAMES.index(name))


def test_an_answer_without_a_move_is_staying_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert VisionAgent(Mute(), SCENE, "find the window").act(FRAME, {}) == 0
    assert "no move in the answer 'hm'" in caplog.text


class Mute(SlowToy):
    def ask(self, states, question: str) -> list[str]:
        return ["hm"] * len(states)


def test_a_model_that_does_not_answer_says_so() -> None:
    with pytest.raises(ModelError, match="answers no questions"):
        VisionAgent(ToyWorld(), SCENE, "find the window").act(FRAME, {})
    with pytest.raises(ValueError, match="tells no goal"):
        VisionAgent(SlowToy(), SCENE, "").act(FRAME, {})


def test_the_goal_may_be_what_the_environment_says() -> None:
    model = Recorded()
    VisionAgent(model, SCENE, "").act({"frame": FRAME, "words": "find the cactus"}, {})
    assert "Your goal: find the cactus." in model.asked[0]


def test_any_openai_compatible_endpoint_can_choose(tmp_path: Path) -> None:
    engine = Hosted(tmp_path / "engine", "")
    model = models.load(f"{engine.address}?model=gpt-vision")
    scene: Scene = SCENE
    try:
        assert VisionAgent(model, scene, "find the window").act(np.array(FRAME), {}) == NAMES.index("forward")
    finally:
        model.close()
        engine.process.terminate()
        engine.process.wait(10)
    assert [asked["path"] for asked in engine.asked] == ["/v1/chat/completions"] * 2
