"""Agents that ask a model of pictures and words: a toy with an opinion of its own, an engine behind http://, BAGEL."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from agents.episode import play
from agents.simple import RandomAgent
from agents.vlm import JudgingAgent, VisionAgent, chosen, looking
from tests.agents.toy_host import SlowToy
from tests.world.test_engine import Hosted
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.errors import ModelError
from world.looks import YES_OR_NO
from world.task_env import TaskEnv
from world.types import Action, Pose, Scene, TrueWorld

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


class Opinion:
    """A judge that sees what it is told to see, on the side that it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seen, self.sides = 0.0, (0.2, 0.5, 0.3)

    def chances(self, frames, question: str, answers) -> np.ndarray:
        self.asked.append(question)
        return np.array([(self.seen, 1 - self.seen) if answers == YES_OR_NO else self.sides])


def test_a_judge_is_asked_what_it_was_trained_on_and_goes_where_the_thing_is() -> None:
    judge = Opinion()
    agent = JudgingAgent(judge, SCENE, "find the cactus")
    judge.seen = 0.9
    for sides, name in ((0.6, 0.3, 0.1), "left"), ((0.1, 0.8, 0.1), "forward"), ((0.0, 0.1, 0.9), "right"):
        judge.sides = sides
        assert NAMES[int(agent.act(FRAME, {}))] == name
    judge.sides = (0.9, 0.1, 0.0)  # between two turns: it goes there, instead of turning back and forth
    assert NAMES[int(agent.act(FRAME, {}))] == "forward"
    judge.sides = (0.0, 0.1, 0.9)
    assert NAMES[int(agent.act(FRAME, {}))] == "right"
    assert set(judge.asked) == {"do you see the cactus?", "where is the cactus?"}
    assert agent.thought == "find the cactus: seen 0.90; left 0.00, middle 0.10, right 0.90"
    assert JudgingAgent(judge, SCENE, "").act({"frame": FRAME, "words": "find the car"}, {}) == NAMES.index("right")
    assert judge.asked[-1] == "where is the car?"
    with pytest.raises(ValueError, match="tells no goal"):
        JudgingAgent(judge, SCENE, "").act(FRAME, {})


def test_what_is_not_seen_is_looked_for_all_around_and_then_elsewhere() -> None:
    judge = Opinion()
    judge.seen, judge.sides = 0.9, (0.0, 0.0, 1.0)
    first, second, other = (JudgingAgent(judge, SCENE, "find the cactus", seed) for seed in (1, 1, 2))
    for agent in (first, second, other):
        agent.act(FRAME, {})
    judge.seen = 0.4  # and the side is as sure as can be: 0.4 weighs less than 0.6
    ways = [[NAMES[int(agent.act(FRAME, {}))] for _ in range(80)] for agent in (first, second, other)]
    assert ways[0] == ways[1] != ways[2]
    assert ways[0][:25] == ["right"] * 24 + ["forward"]  # once around, to where it was last
    assert set(ways[0]) == {"right", "forward"}
    turns = "".join(name[0] for name in ways[0][24:]).split("f")
    assert 3 <= max(map(len, turns)) <= 11
    judge.seen, judge.sides = 0.9, (0.0, 1.0, 0.0)
    first.act(FRAME, {})
    judge.seen = 0.0
    again = [NAMES[int(first.act(FRAME, {}))] for _ in range(12)]
    judge.seen, judge.sides = 0.9, (0.0, 0.0, 1.0)
    first.act(FRAME, {})  # a glance aside that may err: the search goes on
    judge.seen = 0.0
    again += [NAMES[int(first.act(FRAME, {}))] for _ in range(13)]
    assert again == ["right"] * 24 + ["forward"]  # from the beginning


def test_who_judges_is_asked_for_logits_and_who_only_speaks_for_words() -> None:
    assert isinstance(looking(SlowToy(), SCENE, "find the door"), VisionAgent)
    with pytest.raises(ValueError, match="no moves to turn left"):
        JudgingAgent(Opinion(), Scene("still", "nothing moves", SCENE.starts, (Action("stay", "stay"),)), "find it")


@pytest.mark.gl
def test_the_shipped_model_turns_to_what_it_is_to_find() -> None:
    tiny, sim, scene = models.load("tiny", device="cpu"), models.load("sim"), models.load_scene("gallery")
    assert isinstance(sim, TrueWorld)
    names = [action.name for action in scene.actions]
    yaws = {"left": 15.0, "forward": 45.0, "right": 75.0}  # the head stands at 45 degrees
    frames = sim.view(scene, [Pose(1.3, 1.3, yaw) for yaw in yaws.values()])
    chosen = [names[int(looking(tiny, scene, "find the head").act(frame, {}))] for frame in frames]
    assert chosen == list(yaws)
    elsewhere = looking(tiny, scene, "find the cactus")
    assert [names[int(elsewhere.act(frames[1], {}))] for _ in range(2)] == ["left"] * 2
    assert isinstance(elsewhere, JudgingAgent)
    assert "seen 0.0" in elsewhere.thought
    sim.close()


@pytest.mark.gl
@pytest.mark.slow
def test_the_shipped_model_finds_things_in_the_simulator_where_chance_does_not() -> None:
    tiny, sim, scene = models.load("tiny", device="cpu"), models.load("sim"), models.load_scene("gallery")
    env = TaskEnv(sim, scene, task="FindObject", places="held_out")
    by_judging = [play(env, looking(tiny, scene, "", seed), seed, 60) for seed in range(20)]
    by_chance = [play(env, RandomAgent(len(scene.actions), seed), seed, 60) for seed in range(20)]
    found, lucky = (sum(bool(e.arrays["terminations"][-1]) for e in es) for es in (by_judging, by_chance))
    assert found >= lucky + 7  # 0.71 of 100 episodes against 0.05
    sim.close()
