"""Planning, on a world of pure numpy and on one whose rewards can be summed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.casting import Role, caster
from agents.planner import PlannerAgent, Search, imagine, likeness
from tests.world.toy_world import ToyWorld, toy_scene
from world.env import BagelWorldEnv
from world.looks import YES_OR_NO, question_of
from world.types import Action, Frame, State

SCENE = toy_scene()
FORWARD, LEFT = 1, 3


def east(before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> NDArray[np.float64]:
    """How far east the eye went."""
    return np.array([b.pose.x - a.pose.x for a, b in zip(before, after, strict=True)])


class Counted(ToyWorld):
    """Counts rows and calls."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.rows.append(len(states))
        return super().step(states, actions)


def test_imagined_futures_are_one_batch_a_step_and_share_how_they_begin() -> None:
    world = Counted()
    (state,) = world.reset([SCENE], [0])
    sequences = np.array([[FORWARD, FORWARD], [FORWARD, LEFT], [LEFT, FORWARD], [FORWARD, FORWARD]])
    values, ends = imagine(world, state, sequences, east)
    assert world.rows == [2, 3]
    assert values == pytest.approx([0.6, 0.3, 0.3 * np.cos(np.pi / 12), 0.6])
    (alone,) = world.step(world.step([state], [SCENE.actions[FORWARD]]), [SCENE.actions[LEFT]])
    assert ends[1].digest() == alone.digest()


@pytest.mark.parametrize("search", [Search("beam", 3, 4), Search("cem", 3, 60, rounds=4, elites=8)])
def test_both_searches_find_the_best_way(search: Search) -> None:
    agent = PlannerAgent(ToyWorld(), SCENE, east, search)
    (state,) = ToyWorld().reset([SCENE], [0])
    future = agent.plan(state)
    assert future.actions == (FORWARD,) * 3
    assert future.value == pytest.approx(0.9)
    assert future.state.pose.x == pytest.approx(0.9)


def test_a_planner_reaches_the_place_of_a_picture_and_plans_alike_under_one_seed() -> None:
    world = ToyWorld()
    states = world.reset([SCENE], [0])
    for action in (LEFT, LEFT, FORWARD):
        states = world.step(states, [SCENE.actions[action]])
    goal = states[0].frame

    def walked() -> list[object]:
        env = BagelWorldEnv(world, SCENE)
        agent = PlannerAgent(world, SCENE, likeness("pixels", goal, world), Search("cem", 3, 40, elites=6), seed=1)
        frame, info = env.reset(seed=1, options={"start": "door"})
        choices: list[object] = []
        for _ in range(3):
            choices.append(agent.act(frame, info))
            frame, _, _, _, info = env.step(int(choices[-1]))  # pyright: ignore[reportArgumentType]
        pose = info["pose"]
        assert pose["yaw"] == pytest.approx(states[0].pose.yaw)
        assert pose["x"] == pytest.approx(states[0].pose.x)
        return choices

    assert walked() == walked()


def test_a_planner_may_seek_the_goal_that_the_environment_shows() -> None:
    world = ToyWorld()
    (there,) = world.step(world.reset([SCENE], [0]), [SCENE.actions[LEFT]])
    seeker = caster(Role("planner", search=Search(depth=1)), SCENE, world).agent(0)
    assert seeker.act({"frame": SCENE.starts[0].frame, "goal": there.frame}, {}) == LEFT
    with pytest.raises(ValueError, match="shows no goal"):
        caster(Role("planner"), SCENE, world).agent(0).act(SCENE.starts[0].frame, {})


class Watcher(ToyWorld):
    """A toy that is surer of the tree the brighter the picture."""

    def chances(self, frames: Sequence[Frame], question: str, answers: Sequence[str]) -> NDArray[np.float64]:
        assert (question, tuple(answers)) == (question_of("find the tree"), YES_OR_NO)
        yes = np.array([frame.mean() / 255 for frame in frames])
        return np.stack((yes, 1 - yes), axis=1)


def test_a_planner_seeks_what_is_told_in_words_by_the_judge() -> None:
    world, here = Watcher(), {"frame": SCENE.starts[0].frame, "words": "find the tree"}
    after = world.step(world.reset([SCENE] * 9, [0] * 9), SCENE.actions[:9])
    brightest = int(np.argmax([state.frame.mean() for state in after]))
    narrow = replace(SCENE, actions=SCENE.actions[:9])
    assert caster(Role("planner", search=Search(depth=1)), narrow, world).agent(0).act(here, {}) == brightest
    with pytest.raises(ValueError, match="judges no pictures"):
        caster(Role("planner"), SCENE, ToyWorld()).agent(0).act(here, {})


def test_a_dreamer_likens_by_the_latents_that_it_draws_with() -> None:
    from world import models

    model, scene = models.load("tiny", device="cpu"), models.load_scene("studio")
    reward = likeness("latents", scene.starts[0].frame, model)
    start = model.reset([scene] * 2, [1, 1])
    actions = [scene.actions[0], scene.actions[FORWARD]]
    still, gone = reward(start, actions, model.step(start, actions))
    model.close()
    assert gone < still < 1


def test_a_world_without_latents_is_told_to_compare_pixels() -> None:
    with pytest.raises(ValueError, match="--likeness pixels"):
        likeness("latents", SCENE.starts[0].frame, ToyWorld())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "best"}, "method is beam or cem, got 'best'"),
        ({"depth": 0}, "depth is a number from 1"),
        ({"method": "cem", "width": 2, "elites": 3}, "got 3 of 2"),
    ],
)
def test_an_impossible_search_gets_one_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Search(**settings)  # pyright: ignore[reportArgumentType]
