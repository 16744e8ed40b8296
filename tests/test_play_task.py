"""A task at the window: what is wanted, what steps earn, and that it is told when it is reached."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygame
import pytest
from PIL import Image

import play
from tests import hand as hands
from tests.hand import Hand, simulated
from tests.world.toy_world import ToyWorld, draw
from world import models
from world.goals import Thing
from world.quest import Quest, Score
from world.task_env import TaskEnv
from world.tasks import TaskSettings
from world.types import Pose, Scene

at_window = hands.at_window  # the fixture
BY_POSE = TaskSettings("ReachGoal", judged_by="pose")


@pytest.fixture(autouse=True)
def things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "THINGS", f"{__name__}:load_things")


def load_things(name: str) -> tuple[Thing, ...]:
    return (Thing("the tree", 2.0, 1.0),)


def plain() -> Scene:
    """A scene where nothing can be turned, so that its starts are goals."""
    scene = simulated("first")
    return replace(scene, actions=scene.actions[:9])


def score(hand: Hand) -> Score:
    """What is known of the place where the hand is, as soon as it is."""
    quest = hand.player.quest
    assert quest is not None
    hand.until(lambda: quest.at(hand.game))
    found = quest.at(hand.game)
    assert found is not None
    return found


def pixels() -> bytes:
    return pygame.image.tobytes(pygame.display.get_surface(), "RGB")


def test_every_step_is_worth_what_the_environment_pays_for_it(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=plain(), quest=Quest(BY_POSE))
    env = TaskEnv(ToyWorld(), plain(), task="ReachGoal", judged_by="pose")
    env.reset(seed=0, options={"start": "door", "goal": "window"})
    assert score(hand).words == "go to the place in the picture"
    names = [action.name for action in env.scene.actions]
    earned = 0.0
    for key, name in ((pygame.K_UP, "forward"), (pygame.K_LEFT, "left"), (pygame.K_DOWN, "back")):
        hand.walk(key)
        reward = float(env.step(names.index(name))[1])
        earned += reward
        assert score(hand).reward == pytest.approx(reward)
        assert score(hand).earned == pytest.approx(earned)
    assert score(hand).progress == "2.0 m away"


def test_the_goal_is_shown_and_a_quiet_card_when_it_is_reached(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=plain(), quest=Quest(BY_POSE, "window"))
    pygame.display.set_mode((1100, 800), pygame.RESIZABLE)
    goal = score(hand).goal.frame
    assert goal is not None
    assert np.array_equal(goal, draw(Pose(x=2.0, yaw=90.0), 0, 0))
    hand.walk(*[pygame.K_UP] * 6, *[pygame.K_LEFT] * 5)
    assert (score(hand).just_reached, score(hand).num_steps) == (True, 11)
    hand.player.tick()
    with_card = pixels()
    hand.walk(pygame.K_h)
    hand.player.tick()
    assert pixels() != with_card
    hand.walk(pygame.K_h, pygame.K_SPACE)
    assert (score(hand).reached, score(hand).just_reached, score(hand).reward) == (True, False, 0.0)
    assert score(hand).earned > 1.0


def test_every_branch_has_a_score_of_its_own(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=plain(), quest=Quest(BY_POSE, "window"))
    hand.walk(pygame.K_UP)
    near = score(hand)
    hand.walk(pygame.K_BACKSPACE, pygame.K_DOWN)
    assert score(hand).earned < 0 < near.earned
    hand.walk(pygame.K_BACKSPACE)
    assert score(hand).earned == 0.0
    hand.walk(pygame.K_UP)
    assert score(hand).earned == near.earned


def test_a_picture_is_a_goal_and_likeness_the_progress(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    Image.fromarray(draw(Pose(yaw=90.0), 0, 0)).save(tmp_path / "there.png")
    settings = TaskSettings("ReachGoal", judged_by="picture", threshold=0.9)
    hand = at_window(scene=plain(), quest=Quest(settings, str(tmp_path / "there.png")))
    assert score(hand).progress.endswith("of 0.90")
    hand.walk(*[pygame.K_LEFT] * 6)
    assert score(hand).reached


def test_a_goal_that_is_a_file_is_judged_by_what_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "there.png"
    Image.fromarray(draw(Pose(yaw=90.0), 0, 0)).save(path)
    ways = []
    for goal, judged_by in ((str(path), None), (str(path), "pose"), ("door", None)):
        flags = Namespace(task="ReachGoal", goal=goal, judged_by=judged_by, eyes=None, places=None)
        quest = play.quest_of(flags)
        assert quest is not None
        ways.append(quest.settings.way)
    assert ways == ["picture", "pose", "pose"]


@pytest.mark.parametrize(
    ("settings", "goal", "words", "progress"),
    [
        (TaskSettings("FindObject"), "", "find the tree", "2.2 m away"),
        (TaskSettings("FindObject"), "find the tree", "find the tree", "2.2 m away"),
        (TaskSettings("Explore"), "", "see what was not seen yet", ""),
        (TaskSettings("RotateObject"), "", "turn the object as in the picture", "° to turn"),
    ],
)
def test_every_task_can_be_walked(
    settings: TaskSettings, goal: str, words: str, progress: str, at_window: Callable[..., Hand]
) -> None:
    hand = at_window(quest=Quest(settings, goal))
    assert score(hand).words == words
    assert score(hand).progress.endswith(progress)
    hand.walk(pygame.K_LEFT)
    assert score(hand).num_steps == 1
    assert score(hand).reward != 0


def test_begun_again_it_is_the_same_task_and_a_session_has_none(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=plain(), quest=Quest(BY_POSE))
    hand.walk(pygame.K_UP)
    first = score(hand)
    hand.walk(pygame.K_HOME, pygame.K_UP)
    assert score(hand).earned == first.earned
    hand.chord(pygame.K_s)
    hand.player.open(str(hand.player.saved[-1]))
    hand.until(lambda: hand.comparison is not None and not hand.game.doing)
    assert hand.comparison is not None
    assert hand.comparison.matched
    hand.walk(pygame.K_LEFT)
    assert hand.game.problem == ""


def test_what_the_scene_has_no_task_for_is_told_on_a_card(at_window: Callable[..., Hand]) -> None:
    hand = at_window(quest=Quest(BY_POSE))
    assert "has an object of its own" in hand.game.problem
    hand.tap(pygame.K_TAB)
    assert hand.player.panel is not None


def test_a_walk_that_cannot_be_judged_goes_on(at_window: Callable[..., Hand], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(scene: str, task: str, eyes: str) -> float:
        raise ValueError("the calibration is gone")

    monkeypatch.setattr(models, "load_threshold", unknown)
    hand = at_window(scene=plain(), quest=Quest(TaskSettings("ReachGoal", judged_by="picture"), "window"))
    hand.until(lambda: hand.game.problem)
    assert hand.game.problem == "This walk is judged no further: the calibration is gone"
    hand.walk(pygame.K_UP, pygame.K_UP)
    assert (hand.state.step, hand.game.problem) == (2, "")


def test_a_frame_that_is_drawn_better_is_judged_anew(at_window: Callable[..., Hand]) -> None:
    settings = TaskSettings("ReachGoal", judged_by="picture", threshold=0.99)
    hand = at_window(scene=plain(), quest=Quest(settings, "window"))
    hand.walk(pygame.K_LEFT)
    before, here = score(hand), hand.game.timeline.here
    better = replace(hand.state, frames=(draw(Pose(x=2.0, yaw=90.0), 0, 0),), actions=())
    node = replace(hand.game.history.nodes[here], state=better.digest())
    hand.game.history.remake(here, better, node)
    assert score(hand).reached
    assert not before.reached


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--goal", "door"], "--goal is about a task: say which, with --task"),
        (["--places", "free"], "--places is about a task: say which, with --task"),
        (["--task", "Explore", "--goal", "door"], "leave the goal 'door' out"),
        (["--task", "FindObject", "--judged-by", "judge"], "pixels cannot judge"),
    ],
)
def test_wrong_words_about_tasks_get_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_goal_that_is_nowhere_is_named(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=plain(), quest=Quest(BY_POSE, "balcony"))
    assert "the goal 'balcony' is no picture, and no start of 'first': it has door, window" in hand.game.problem
    assert hand.game.state is None
