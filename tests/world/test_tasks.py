"""The environments of the tasks, in the toy world and in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

import world
from tests.world.conftest import Serve
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.episodes import Episodes
from world.goals import Thing
from world.looks import Pixels
from world.moves import to_action
from world.task_env import TaskEnv
from world.tasks import TaskSettings
from world.types import Frame
from world.vector_env import TaskVectorEnv


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy world and its scene under addresses, with a thing to find."""
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_toy")
    monkeypatch.setattr(models, "SCENES", f"{__name__}:load_scene")
    monkeypatch.setattr(models, "THINGS", f"{__name__}:load_things")


def load_toy(address: str, **settings: object) -> ToyWorld:
    return ToyWorld()


def load_scene(address: str) -> object:
    return toy_scene(address)


def load_things(name: str) -> tuple[Thing, ...]:
    return (Thing("the tree", 2.0, 1.0),)


KINDS = [
    ("Explore", {}),
    ("Explore", {"judged_by": "pose"}),
    ("ReachGoal", {"judged_by": "pose"}),
    ("FindObject", {}),
    ("RotateObject", {}),
    ("RotateObject", {"judged_by": "pose", "observe": ("frame", "goal", "words")}),
]


def walled(**settings: Any) -> TaskEnv:
    """ReachGoal between the toy's two starts, in a scene without the moves of an object."""
    scene = toy_scene()
    plain = scene.__class__(scene.name, scene.caption, scene.starts, scene.actions[:9])
    return TaskEnv(ToyWorld(), plain, task="ReachGoal", **settings)


@pytest.mark.parametrize("action_type", ["discrete", "continuous", "text"])
@pytest.mark.parametrize(("task", "settings"), [kind for kind in KINDS if kind[0] != "ReachGoal"])
def test_gymnasium_finds_nothing_to_complain_about(task: str, settings: dict[str, Any], action_type: str) -> None:
    env = gymnasium.make(world.TASK_IDS[task], model="toy", scene="toy", action_type=action_type, **settings)
    check_env(env.unwrapped)
    env.close()


def test_gymnasium_finds_nothing_to_complain_about_when_a_goal_is_to_be_reached() -> None:
    """In a scene of its own: each start of the toy scene has its object."""
    check_env(walled(observe=("frame", "goal", "words")), skip_render_check=True)


@pytest.mark.parametrize(("task", "settings"), KINDS)
def test_equal_seeds_give_equal_episodes(task: str, settings: dict[str, Any]) -> None:
    def told(seed: int) -> list[object]:
        env = walled(**settings) if task == "ReachGoal" else TaskEnv("toy", "toy", task=task, **settings)
        seen: list[object] = []
        observation, info = env.reset(seed=seed)
        for action in (1, 3, 5):
            seen += [repr(observation), info]
            observation, reward, *_, info = env.step(action)
            seen.append(reward)
        return seen

    assert told(4) == told(4)
    assert told(4) != told(5)


def test_the_goal_is_reached_where_its_picture_was_taken() -> None:
    env = walled(judged_by="pose")
    observation, info = env.reset(seed=0, options={"start": "door", "goal": "window"})
    assert np.array_equal(observation["goal"], env.scene.starts[1].frame)
    assert info["distance"] == pytest.approx(2.0)
    names = [action.name for action in env.scene.actions]
    for name in ["forward"] * 6 + ["left"] * 4:
        *_, terminated, _, info = env.step(names.index(name))
        assert not terminated
    _, reward, terminated, _, info = env.step(names.index("left"))
    assert terminated
    assert info["reached"]
    assert reward == pytest.approx(1.0 + 15 / 50 - 0.02)


def test_a_picture_of_ones_own_can_be_the_goal() -> None:
    env = walled(judged_by="picture", threshold=0.9)
    picture = np.full((60, 80, 3), 90, np.uint8)
    observation, info = env.reset(seed=0, options={"goal": picture})
    assert observation["goal"].shape == observation["frame"].shape
    assert "reached" not in info
    seen = env.reset(seed=0, options={"start": "door"})[0]["frame"]
    env.reset(seed=0, options={"start": "door", "goal": seen})
    assert env.step(0)[2]  # who stays there is there
    with pytest.raises(ValueError, match="name of a start or a picture"):
        env.reset(options={"goal": np.zeros((4, 4))})
    with pytest.raises(ValueError, match="use judged_by='picture'"):
        walled().reset(seed=0, options={"goal": picture})


def test_the_object_is_brought_to_how_it_stands_in_the_picture() -> None:
    env = TaskEnv("toy", "toy", task="RotateObject", judged_by="pose")
    env.reset(seed=3)
    assert env.episode is not None
    assert env.episode.goal.pose is not None
    left = env.episode.goal.pose.object_yaw > 0
    number = next(i for i, a in enumerate(env.scene.actions) if a.object_yaw and (a.object_yaw > 0) == left)
    ended = [env.step(number)[2] for _ in range(round(abs(env.episode.goal.pose.object_yaw) / 15))]
    assert ended == [False] * (len(ended) - 1) + [True]


def test_what_is_to_be_found_comes_in_words() -> None:
    env = TaskEnv("toy", "toy", task="FindObject")
    observation, info = env.reset(seed=0, options={"start": "door"})
    assert observation["words"] == "find the tree"
    assert info["distance"] == pytest.approx(5**0.5)
    observation, info = env.reset(options={"find": "a unicorn"})
    assert observation["words"] == "find a unicorn"
    assert "distance" not in info


def test_numbers_become_words_with_the_number_in_them() -> None:
    env = TaskEnv("toy", "toy", task="Explore", action_type="continuous")
    action = env.action_of(np.array([0.5, 0.0, -1.0, 0.0, 0.0], np.float32))
    assert action.text == "go forward 0.5 meters and turn right 45 degrees"
    assert (action.forward, action.yaw) == (0.5, -45.0)
    assert env.action_of(np.array([0.3, 0.0, 0.0, 0.0, 0.0], np.float32)) == env.scene.actions[1]
    spoken = TaskEnv("toy", "toy", task="Explore", action_type="text")
    understood = to_action(action.text, spoken.action_space, env.scene)
    assert (understood.forward, understood.yaw) == (0.5, -45.0)
    with pytest.raises(ValueError, match="object_yaw in \\[-1, 1\\] here, got 3"):
        env.action_of(3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "Fly"}, "task is one of Explore, ReachGoal"),
        ({"task": "Explore", "judged_by": "judge"}, "judged_by is one of picture, pose in Explore"),
        ({"task": "FindObject", "judged_by": "judge"}, "pixels cannot judge"),
        ({"task": "Explore", "observe": ("goal",)}, "always frame"),
        ({"task": "Explore", "places": "moon"}, "places is one of named, free, held_out"),
        ({"task": "Explore", "threshold": 3.0}, "from -1 to 1, got 3.0"),
        ({"task": "Explore", "action_type": "dance"}, "action_type is one of"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSettings(**settings)


class SeeingToy(ToyWorld):
    """Has eyes, and says yes to bright pictures."""

    def features(self, frames: Sequence[Frame]) -> NDArray[np.float32]:
        return Pixels().features(frames)

    def chances(self, frames: Sequence[Frame], question: str, answers: Sequence[str]) -> NDArray[np.float64]:
        yes = np.array([frame.mean() / 255 for frame in frames])
        return np.stack((yes, 1 - yes), axis=1)


def load_seeing(address: str, **settings: object) -> SeeingToy:
    return SeeingToy()


@pytest.mark.parametrize("judged_by", ["picture", "judge"])
def test_a_served_world_is_seen_with_the_eyes_that_are_given(
    judged_by: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither features nor verdicts travel, so that what is served has no eyes here, whatever its name."""
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_seeing")
    task = "FindObject" if judged_by == "judge" else "RotateObject"
    rewards: list[float] = []
    for model in (SeeingToy(), serve().address):
        env = TaskEnv(model, "toy", task=task, judged_by=judged_by, eyes="toy")
        env.reset(seed=1)
        rewards.append(env.step(1)[1])
        env.close()
    assert rewards[0] == rewards[1] != 0


def test_what_a_scene_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="an object of its own: use places='free'"):
        TaskEnv("toy", "toy", task="ReachGoal")
    mazes = replace(toy_scene(), actions=toy_scene().actions[:9], simulated=True)
    mazes = replace(mazes, starts=tuple(replace(start, name=str(i)) for i, start in enumerate(mazes.starts)))
    with pytest.raises(ValueError, match="has walls of its own: use places='free'"):
        TaskEnv(ToyWorld(), mazes, task="ReachGoal")
    with pytest.raises(ValueError, match=r"unknown settings \['juged_by'\]"):
        TaskEnv("toy", "toy", task="Explore", juged_by="pose")
    with pytest.raises(ValueError, match="has no eyes of its own"):
        TaskEnv(ToyWorld(), "toy", task="Explore", eyes="toy")
    env = TaskEnv("toy", "toy", task="Explore")
    with pytest.raises(ValueError, match=r"unknown reset options \['goal'\]: Explore has start"):
        env.reset(options={"goal": "door"})
    with pytest.raises(gymnasium.error.ResetNeeded):
        TaskEnv("toy", "toy", task="Explore").step(0)


class Watched(ToyWorld):
    """Tells which of it are open."""

    opened: list[ToyWorld] = []  # noqa: RUF012 (of all)

    def __init__(self) -> None:
        super().__init__()
        self.opened.append(self)

    def close(self) -> None:
        self.opened.remove(self)


def load_watched(address: str, **settings: object) -> Watched:
    return Watched()


@pytest.mark.parametrize("env", [TaskEnv, TaskVectorEnv])
@pytest.mark.parametrize("settings", [{"task": "ReachGoal"}, {"task": "Explore", "eyes": "toy"}])
def test_where_settings_are_refused_what_was_loaded_is_closed_and_a_given_model_stays_open(
    env: type[TaskEnv | TaskVectorEnv], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the scene, and for the eyes, which are a second model."""
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_watched")
    Watched.opened.clear()
    given = Watched()
    for model in ("toy", given):
        with pytest.raises(ValueError, match="of its own"):
            env(model=model, scene="toy", **settings)
        assert Watched.opened == [given]


@pytest.mark.gl
def test_dream_and_simulator_give_the_same_reward_for_the_same_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    env = gymnasium.make(world.TASK_IDS["ReachGoal"], model="sim", scene="gallery", judged_by="pose", places="free")
    _, info = env.reset(seed=1)
    *_, told = env.step(3)
    episode = env.unwrapped.episode  # pyright: ignore[reportAttributeAccessIssue]
    env.close()
    dream = TaskEnv(ToyWorld(), models.load_scene("gallery"), task="ReachGoal", judged_by="pose", places="free")
    _, dreamt = dream.reset(seed=1)
    *_, after = dream.step(3)
    assert dreamt == info
    assert after == told  # a turn meets no wall
    assert dream.episode is not None
    assert dream.episode.goal.pose == episode.goal.pose
    dream.close()


@pytest.mark.gl
def test_only_who_is_there_has_reached_the_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, and by pictures too: random walks from far away, then a wait at the goal."""
    monkeypatch.undo()
    sim, scene = models.load("sim"), models.load_scene("gallery")
    default, seeing = (Episodes(sim, TaskSettings("ReachGoal", judged_by=way)) for way in (None, "picture"))
    rngs = [np.random.default_rng(seed) for seed in range(12)]
    now = default.begin([scene] * 12, rngs)
    for _ in range(8):
        actions = [scene.actions[int(rng.integers(len(scene.actions)))] for rng in rngs]
        outcome = default.step(now, actions)
        by_pictures = seeing.judged(now, actions, [episode.state for episode in outcome.episodes])
        now = outcome.episodes
        assert [default.info(episode)["reached"] for episode in now] == [False] * 12  # the rooms are farther apart
        assert not outcome.done.any()
        assert not by_pictures.done.any()
    stay = [next(action for action in scene.actions if action.name == "stay")]
    there = default.begin([scene], rngs[:1], {"start": "green", "goal": "green"})
    assert default.step(there, stay).done.all()
    assert seeing.step(there, stay).done.all()
    for opened in (default, seeing, sim):
        opened.close()
