"""Learning, scoring and the study at toy size, in the shipped worlds."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecTransposeImage

from agents.__main__ import main
from agents.policy import PolicyAgent, read_checkpoint
from agents.ppo import POLICY, read_curve, train
from agents.recipe import Recipe, numbers_of
from agents.sb3 import WorldVecEnv
from agents.scoring import Chance, CopyLast, score
from agents.study import spearman
from scenes.simulator import SimulatorWorld
from tests.world.toy_world import ToyWorld, toy_scene
from world.errors import ModelError
from world.models import load_scene
from world.task_env import TaskEnv
from world.types import Action, Pose, Scene, State
from world.vector_env import TaskVectorEnv
from world.ways import fewest_moves

TOY = Recipe("RotateObject", "tabletop", "tiny", places="named", num_envs=3, num_steps=4, batch_size=4, num_epochs=1)


def toy_env(mode: str = "SAME_STEP") -> TaskVectorEnv:
    return TaskVectorEnv(3, ToyWorld(), toy_scene(), 2, mode, task="RotateObject", judged_by="pose")


def test_rows_end_as_stable_baselines_wants_it() -> None:
    env = WorldVecEnv(toy_env(), ("stay", "object_left"))
    env.seed(1)
    first: Any = env.reset()
    env.seed(1)
    again: Any = env.reset()
    assert all(np.array_equal(first[name], again[name]) for name in ("frame", "goal"))
    env.step(np.zeros(3, int))
    observations: Any
    observations, rewards, done, infos = env.step(np.zeros(3, int))
    assert done.all()
    assert rewards.dtype == np.float32
    for i, info in enumerate(infos):
        assert info["episode"] == {"r": pytest.approx(-0.04), "l": 2}
        assert info["terminal_observation"]["frame"].shape == observations["frame"][i].shape
        assert (info["TimeLimit.truncated"], info["is_success"], info["action"]) == (True, False, "stay")
    turned = [env.step(np.ones(3, int)) for _ in range(60)]
    ended = [info for _, _, _, infos in turned for info in infos if "episode" in info]
    assert any(info["is_success"] and not info["TimeLimit.truncated"] for info in ended)
    assert isinstance(VecTransposeImage(env), VecTransposeImage)


def test_options_are_for_the_next_reset_and_infos_tell_where_episodes_began() -> None:
    env = WorldVecEnv(toy_env(), ("stay", "object_left"))
    env.set_options({"start": "window"})
    env.reset()
    assert [info["pose"]["x"] for info in env.reset_infos] == [2.0] * 3
    infos = env.step(np.zeros(3, int))[3]
    assert [(info["step"], info["pose"]["x"]) for info in infos] == [(1, 2.0)] * 3
    infos = env.step(np.zeros(3, int))[3]
    assert [info["step"] for info in infos] == [2] * 3
    assert [info["step"] for info in env.reset_infos] == [0] * 3
    env.set_options([{"start": "window"}, {}, {}])
    with pytest.raises(ValueError, match="one dict for all"):
        env.reset()
    env.set_options({})
    env.seed(1)
    env.reset()
    places = [info["pose"]["x"] for info in env.reset_infos]
    env.set_options({"start": "window"})
    env.reset()
    env.seed(1)
    env.reset()
    assert [info["pose"]["x"] for info in env.reset_infos] == places != [2.0] * 3


def test_another_reset_mode_and_unknown_moves_are_refused() -> None:
    with pytest.raises(ValueError, match="SAME_STEP, got NEXT_STEP"):
        WorldVecEnv(toy_env("NEXT_STEP"))
    with pytest.raises(ValueError, match="no move 'fly'"):
        WorldVecEnv(toy_env(), ("fly",))


def test_stable_baselines_finds_nothing_to_complain_about() -> None:
    check_env(TaskEnv(ToyWorld(), toy_scene(), task="RotateObject", judged_by="pose"), skip_render_check=True)


def test_training_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    seen: list[int] = []
    assert train(TOY, tmp_path, 12, watch=lambda point: seen.append(point.steps), model=ToyWorld()) == 12
    path = tmp_path / POLICY
    recipe, shape, tensors, steps = read_checkpoint(path)
    assert (recipe, steps, shape) == (TOY, 12, (128, 128, 3))
    weights = tensors["policy.action_net.weight"]
    train(TOY, tmp_path, 24, watch=lambda point: seen.append(point.steps), model=ToyWorld())
    assert seen == [12, 24] == [point.steps for point in read_curve(tmp_path)]
    *_, after, steps = read_checkpoint(path)
    assert steps == 24
    assert not np.array_equal(after["policy.action_net.weight"], weights)
    assert float(after["adam.0.step"]) == 2 * float(tensors["adam.0.step"])
    assert any(name.name.startswith("events.out.tfevents") for name in tmp_path.iterdir())
    train(TOY, tmp_path, 24, watch=lambda point: seen.append(point.steps), model=ToyWorld())
    assert seen == [12, 24]  # nothing was left to do
    assert train(TOY, tmp_path, 36, model=ToyWorld(), until=time.time() - 1) == 24  # no time was left
    with pytest.raises(ValueError, match="another gamma: give another --out"):
        train(replace(TOY, gamma=0.5), tmp_path, 36, model=ToyWorld())


def test_a_policy_acts_as_an_agent_and_equal_runs_are_equal(tmp_path: Path) -> None:
    for name in "ab":
        train(TOY, tmp_path / name, 12, model=ToyWorld())
    a, b = (tmp_path / name / POLICY for name in "ab")
    first, second = read_checkpoint(a)[2], read_checkpoint(b)[2]
    assert all(np.array_equal(first[name], second[name]) for name in first)
    scene = load_scene("tabletop")
    env = TaskEnv(ToyWorld(), scene, task="RotateObject")
    observation, info = env.reset(seed=0)
    choice = PolicyAgent(a, scene).act(observation, info)
    assert scene.actions[int(choice)].name in TOY.moves
    with pytest.raises(ValueError, match="has no move 'object_left'"):
        PolicyAgent(a, load_scene("gallery"))


class Dial(ToyWorld):
    """Pictures that show one thing, how far the object is turned: by how light they are."""

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return [_lit(state) for state in super().reset(scenes, seeds)]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [_lit(state) for state in super().step(states, actions)]


def _lit(state: State) -> State:
    light = 128 + 120 * state.pose.object_yaw / 180
    return replace(state, frames=(*state.frames[:-1], np.full_like(state.frame, round(light))))


@pytest.mark.slow
def test_a_policy_gets_better_than_chance(tmp_path: Path) -> None:
    recipe = replace(TOY, num_envs=16, num_steps=16, batch_size=64, num_epochs=4, max_episode_steps=8)
    train(recipe, tmp_path, 8192, model=Dial())
    scene = load_scene("tabletop")
    players = PolicyAgent(tmp_path / POLICY, scene), Chance(numbers_of(recipe.moves, scene))
    policy, chance = (score(player, Dial(), scene, recipe, 40, "named").success.mean() for player in players)
    assert policy > chance + 0.3  # 1.0 and 0.43 when this was written
    success = [point.success for point in read_curve(tmp_path)]
    assert np.mean(success[-4:]) > np.mean(success[:4]) + 0.3


def test_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "policy.safetensors"
    with pytest.raises(ModelError, match="no policy at"):
        read_checkpoint(broken)
    broken.write_bytes(b"not a policy")
    with pytest.raises(ModelError, match="is not a policy of agents train"):
        read_checkpoint(broken)


def test_the_fewest_moves_are_found() -> None:
    moves = (Action("", forward=1.0), Action("", yaw=90.0), Action("", yaw=-90.0))

    def fewest(x: float, y: float, most: int = 8) -> int:
        return fewest_moves(Pose(), moves, Pose.moved, lambda p: abs(p.x - x) + abs(p.y - y) < 0.1, most)

    assert [fewest(0, 0), fewest(2, 0), fewest(1, 1), fewest(-1, 0)] == [0, 2, 3, 3]
    assert fewest(5, 0, most=3) == 4


@pytest.mark.gl
def test_the_baselines_are_scored_on_the_same_episodes() -> None:
    recipe = Recipe("RotateObject", "tabletop", max_episode_steps=6, judged_by="pose")
    scene, truth = load_scene("tabletop"), SimulatorWorld(16)
    numbers = np.array([i for i, action in enumerate(scene.actions) if action.object_yaw])
    chance, copying = (score(kind(numbers), truth, scene, recipe, 4) for kind in (Chance, CopyLast))
    assert (chance.fewest == copying.fewest).all()  # the same episodes
    assert ((copying.fewest >= 1) & (copying.fewest <= 6)).all()
    assert 0.2 < copying.success.mean() < 0.8  # one way in two is right, and all of them are short enough
    assert (copying.spl == copying.success).all()  # whoever turns the right way makes no move too many
    assert (chance.spl <= chance.success).all()
    assert copying.metres.sum() == 0.0
    estimate = copying.estimates()["success"]
    assert estimate.low <= estimate.value <= estimate.high
    truth.close()


def test_ranks_are_compared() -> None:
    assert spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 1, 1], [3, 2, 1]) == 0.0


STUDY = ["study", "--task", "RotateObject", "--scene", "tabletop", "--model", "tiny", "--seeds", "2"]
STUDY += ["--rows", "2", "--rollout", "2", "--steps", "4", "--limit", "2", "--episodes", "2"]


@pytest.mark.gl
@pytest.mark.slow
def test_a_study_stops_when_its_time_is_up_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*STUDY, "--processes", "1", "--out", str(tmp_path)]
    assert main([*command, "--minutes", "0.0001"]) == 2
    assert "give the same command more minutes" in capsys.readouterr().err
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "after 4 of 4 steps" in told
    assert "rank correlation" in told
    found = json.loads((tmp_path / "study.json").read_text())
    assert set(found["table"]) == {"dream", "truth", "chance", "copying"}
    assert found["table"]["chance"]["success"]["count"] == 2
    assert len(found["dream_returns"]) == 2  # two seeds at one milestone
    assert read_checkpoint(tmp_path / "dream-1" / "policy-4.safetensors")[0].model == "tiny"
    assert read_checkpoint(tmp_path / "truth-1" / "policy-4.safetensors")[0].model == "sim"
    page = (tmp_path / "study.html").read_text()
    assert "trained in the simulator" in page
    assert page.count("<svg") == 1
    assert "trained in the dream" in (tmp_path / "curves.svg").read_text()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*-*/*.safetensors")}
    assert main([*command, "--minutes", "0.0001"]) == 0  # nothing was left to train
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*-*/*.safetensors")} == written


@pytest.mark.gl
@pytest.mark.slow
def test_a_study_in_several_processes_is_the_same_study(tmp_path: Path) -> None:
    for processes in ("1", "2"):
        assert main([*STUDY, "--processes", processes, "--out", str(tmp_path / processes)]) == 0
    one, two = (json.loads((tmp_path / name / "study.json").read_text()) for name in ("1", "2"))
    assert one == two
