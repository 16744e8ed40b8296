from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import world
from tests.world.toy_world import SIZE, ToyWorld, toy_scene
from world import models
from world.task_env import TaskEnv
from world.types import Action, Scene, State
from world.vector_env import TaskVectorEnv, WalkVectorEnv

LIMIT = 3


class Counted(ToyWorld):
    """Remembers how many rows each step had."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.batches.append(len(states))
        return super().step(states, actions)


def plain(name: str = "toy") -> Scene:
    scene = toy_scene(name)
    return replace(scene, actions=scene.actions[:9])


def vector(mode: str, num_envs: int = 3, **settings: Any) -> tuple[TaskVectorEnv, Counted]:
    model = Counted()
    settings = {"task": "ReachGoal", "judged_by": "pose", **settings}
    return TaskVectorEnv(num_envs, model, plain(), LIMIT, mode, **settings), model


def test_make_vec_gives_the_batched_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_toy")
    settings = {"judged_by": "pose", "model": "toy", "scene": [plain(), plain("other")]}
    for mode in ("vector_entry_point", None):
        envs = gymnasium.make_vec(world.TASK_IDS["ReachGoal"], 4, mode, **settings)
        assert isinstance(envs, TaskVectorEnv)
        assert envs.max_episode_steps == 60
        assert [scene.name for scene in envs.scenes] == ["toy", "other", "toy", "other"]
        observations, _ = envs.reset(seed=0)
        assert observations["frame"].shape == (4, SIZE, SIZE, 3)
        assert envs.observation_space.contains(observations)
        envs.close()


def load_toy(address: str, **settings: object) -> ToyWorld:
    return ToyWorld()


def test_all_rows_are_one_step_of_the_model() -> None:
    envs, model = vector("NEXT_STEP")
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.array([1, 3, 5]))
    assert model.batches == [3, 3]


def test_a_row_plays_what_the_single_environment_plays_with_its_seed() -> None:
    envs, _ = vector("NEXT_STEP")
    observations, _ = envs.reset(seed=7)
    single = TaskEnv(ToyWorld(), plain(), task="ReachGoal", judged_by="pose")
    alone, _ = single.reset(seed=9)
    for actions in ([1, 1, 1], [3, 4, 5]):
        assert all(np.array_equal(observations[name][2], alone[name]) for name in ("frame", "goal"))
        observations, rewards, *_ = envs.step(np.array(actions))
        alone, reward, *_ = single.step(actions[2])
        assert rewards[2] == reward


def test_a_row_that_has_ended_is_begun_anew_by_the_next_step() -> None:
    envs, model = vector("NEXT_STEP", 2)
    envs.reset(seed=0)
    envs.reset(seed=[None, 3], options={"reset_mask": np.array([False, True])})
    envs.step(np.array([1, 1]))
    envs.reset(seed=5, options={"reset_mask": np.array([False, True])})  # the second row is one step behind now
    envs.step(np.array([1, 1]))
    *_, truncated, infos = envs.step(np.array([1, 1]))
    assert list(truncated) == [True, False]
    assert "final_obs" not in infos
    _, rewards, terminated, truncated, infos = envs.step(np.array([1, 1]))
    assert model.batches == [2, 2, 2, 1]  # the row that is begun anew ignores its action
    assert (rewards[0], terminated[0], truncated[0]) == (0.0, False, False)
    assert list(infos["step"]) == [0, 3]
    assert list(truncated) == [False, True]


def test_a_row_that_has_ended_is_begun_anew_at_once_and_its_last_view_is_kept() -> None:
    envs, _ = vector("SAME_STEP")
    envs.reset(seed=0)
    actions = np.array([1, 3, 5])
    for _ in range(LIMIT - 1):
        envs.step(actions)
    observations, _, _, truncated, infos = envs.step(actions)
    assert truncated.all()
    assert list(infos["step"]) == [0, 0, 0]
    assert list(infos["final_info"]["step"]) == [LIMIT] * 3
    assert infos["_final_obs"].all()
    for i in range(3):
        assert not np.array_equal(infos["final_obs"][i]["frame"], observations["frame"][i])


def test_rows_are_only_begun_anew_where_the_mask_says_so() -> None:
    envs, _ = vector("DISABLED")
    with pytest.raises(gymnasium.error.ResetNeeded, match="every row once"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    envs.reset(seed=0)
    for _ in range(LIMIT - 1):
        envs.step(np.array([1, 3, 5]))
    *_, truncated, _ = envs.step(np.array([1, 3, 5]))
    assert truncated.all()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"rows \[0, 1, 2\] have ended"):
        envs.step(np.array([1, 3, 5]))
    _, infos = envs.reset(options={"reset_mask": np.array([True, True, False])})
    assert list(infos["_step"]) == [True, True, False]
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"rows \[2\] have ended"):
        envs.step(np.array([1, 3, 5]))


def test_it_agrees_with_gymnasiums_own_vector_environment() -> None:
    """Row by row, the same episodes as SyncVectorEnv makes of the single environments, over two episodes."""

    def single() -> gymnasium.Env:
        env = TaskEnv(ToyWorld(), plain(), task="ReachGoal", judged_by="pose")
        return gymnasium.wrappers.TimeLimit(env, LIMIT)

    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        theirs = gymnasium.vector.SyncVectorEnv([single] * 2, autoreset_mode=mode)
        ours, _ = vector(mode.name, 2)
        seen = [envs.reset(seed=3) for envs in (ours, theirs)]
        for _ in range(2 * LIMIT + 1):
            assert all(np.array_equal(seen[0][0][name], seen[1][0][name]) for name in ("frame", "goal"))
            steps = [envs.step(np.array([1, 3])) for envs in (ours, theirs)]
            for mine, other in zip(steps[0][1:4], steps[1][1:4], strict=True):
                assert np.array_equal(mine, other)
            assert steps[0][4].keys() == steps[1][4].keys()
            seen = [(step[0], step[4]) for step in steps]


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_walks_come_in_batches_as_gymnasium_makes_them(mode: AutoresetMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Array by array what `make_vec` gives of single walks, over two walks a row, and by the same calls."""
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_toy")
    settings: dict[str, Any] = {"model": "toy", "scene": plain(), "max_episode_steps": LIMIT}
    ours = gymnasium.make_vec(world.ENV_ID, 2, "vector_entry_point", autoreset_mode=mode, **settings)
    theirs = gymnasium.make_vec(world.ENV_ID, 2, "sync", vector_kwargs={"autoreset_mode": mode}, **settings)
    assert isinstance(ours, WalkVectorEnv)
    both = ours, theirs
    for mine, other in zip(*(envs.reset(seed=3, options={"start": "window"}) for envs in both), strict=True):
        assert_same(mine, other)
    for step in range(2 * LIMIT + 1):
        actions = np.array([1, 3]) if step % 2 else np.array([0, 5])
        taken = [envs.step(actions) for envs in both]
        assert_same(*taken)
        ended = taken[0][3]
        assert ended.all() == (step % (LIMIT + (mode is AutoresetMode.NEXT_STEP)) == LIMIT - 1)
        if mode is AutoresetMode.DISABLED and ended.any():
            assert_same(*(envs.reset(options={"reset_mask": ended}) for envs in both))
    for envs in both:
        envs.close()


def assert_same(mine: Any, other: Any) -> None:
    """Trees of dicts, tuples and arrays, to the last key and type."""
    if isinstance(mine, dict):
        assert mine.keys() == other.keys()
        for key in mine:
            assert_same(mine[key], other[key])
    elif isinstance(mine, tuple) or (isinstance(mine, np.ndarray) and mine.dtype == object):
        assert len(mine) == len(other)
        for one, another in zip(mine, other, strict=True):
            assert_same(one, another)
    else:
        assert np.array_equal(mine, other), (mine, other)


@pytest.mark.parametrize("action_type", ["continuous", "text"])
def test_numbers_and_sentences_come_in_batches_too(action_type: str) -> None:
    envs, _ = vector("NEXT_STEP", 2, action_type=action_type)
    envs.reset(seed=0)
    actions = ("turn left 30 degrees", "go on") if action_type == "text" else np.zeros((2, 4), np.float32)
    *_, infos = envs.step(actions)
    expected = list(actions) if action_type == "text" else ["stay", "stay"]
    assert list(infos["action"]) == expected


def test_frames_of_all_rows_are_rendered() -> None:
    envs, _ = vector("NEXT_STEP", render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(SIZE, SIZE, 3)] * 3


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="NEXT_STEP, SAME_STEP, DISABLED, got 'never'"):
        vector("never")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        vector("NEXT_STEP", 0)
    large = replace(toy_scene("large", 64), actions=plain().actions)
    with pytest.raises(ValueError, match="toy and large differ in their observations"):
        TaskVectorEnv(2, ToyWorld(), [plain(), large], task="ReachGoal")
    with pytest.raises(ValueError, match="toy and full differ in their actions"):
        TaskVectorEnv(2, ToyWorld(), [plain(), toy_scene("full")], task="Explore")
    envs, _ = vector("DISABLED")
    with pytest.raises(ValueError, match=r"bool array \[3\] with at least one True"):
        envs.reset(options={"reset_mask": np.zeros(3, bool)})
    with pytest.raises(ValueError, match="got 2 seeds"):
        envs.reset(seed=[1, 2])
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(np.zeros(3, int))
