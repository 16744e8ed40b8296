from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import world
from tests.world.toy_world import SIZE, ToyWorld, toy_scene
from world import models
from world.env import BagelWorldEnv
from world.types import wrap


@pytest.fixture
def toy_address(monkeypatch: pytest.MonkeyPatch) -> str:
    """The toy world under an address, as a new backend would be: one line in the table."""
    monkeypatch.setitem(models.MODELS, "toy", "tests.world.test_env:load_toy")
    return "toy"


def load_toy(address: str, **settings: object) -> ToyWorld:
    return ToyWorld()


@pytest.mark.parametrize("action_type", ["discrete", "continuous", "text"])
def test_gymnasium_finds_nothing_to_complain_about(toy_address: str, action_type: str) -> None:
    env = gymnasium.make(world.ENV_ID, model=toy_address, scene=toy_scene(), action_type=action_type)
    check_env(env.unwrapped)
    env.close()


def test_equal_seeds_give_equal_walks() -> None:
    def walk(seed: int) -> list[object]:
        env = BagelWorldEnv(ToyWorld(), toy_scene())
        frame, info = env.reset(seed=seed)
        seen: list[object] = [frame.tobytes(), info]
        for action in (1, 3, 5, 9):
            frame, *_, info = env.step(action)
            seen += [frame.tobytes(), info]
        return seen

    assert walk(4) == walk(4)
    assert walk(4) != walk(5)


def test_the_seed_chooses_among_the_starts_and_options_overrule_it() -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene())
    drawn = {env.reset(seed=seed)[1]["pose"]["yaw"] for seed in range(20)}
    assert drawn == {0.0, 90.0}
    assert {env.reset(seed=seed, options={"start": "window"})[1]["pose"]["yaw"] for seed in range(9)} == {90.0}
    with pytest.raises(ValueError, match="no start 'cellar'; it has door, window"):
        env.reset(options={"start": "cellar"})
    with pytest.raises(ValueError, match=r"unknown reset options \['satrt'\]"):
        env.reset(options={"satrt": "door"})


def test_a_step_tells_words_pose_and_count_and_has_no_goal() -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene())
    env.reset(seed=0, options={"start": "door"})
    frame, reward, terminated, truncated, info = env.step(1)
    assert frame.shape == (SIZE, SIZE, 3)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["action"] == "move forward"
    assert info["step"] == 1
    assert info["pose"] == {"x": 0.3, "y": 0.0, "yaw": 0.0, "pitch": 0.0, "object_yaw": 0.0}


def test_what_is_written_into_an_observation_does_not_reach_the_world() -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene())
    frame, _ = env.reset(seed=0)
    before = env.state.frame.copy() if env.state else None
    frame[:] = 0
    assert before is not None
    assert env.state is not None
    assert np.array_equal(env.state.frame, before)


def test_a_sentence_of_the_vocabulary_is_that_very_action() -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene(), action_type="text")
    env.reset(seed=0, options={"start": "door"})
    assert env.step("turn left")[-1]["pose"]["yaw"] == 15.0
    assert env.step("open the door")[-1]["pose"]["yaw"] == 15.0


@pytest.mark.parametrize(
    ("action_type", "action"), [("discrete", 11), ("discrete", "forward"), ("text", ""), ("text", 3)]
)
def test_an_impossible_action_is_named(action_type: str, action: object) -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene(), action_type=action_type)  # pyright: ignore[reportArgumentType]
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"got {action!r}"):
        env.step(action)  # pyright: ignore[reportArgumentType]


@pytest.mark.gl
def test_the_simulator_follows_what_a_sentence_says() -> None:
    env = BagelWorldEnv("sim", "studio", action_type="text")
    _, info = env.reset(seed=0)
    frame, *_, after = env.step("turn left 30 degrees")
    assert wrap(after["pose"]["yaw"] - info["pose"]["yaw"]) == pytest.approx(30.0)
    assert np.array_equal(env.step("open the door")[0], frame)
    env.close()


def test_text_actions_need_a_model_that_reads() -> None:
    with pytest.raises(ValueError, match="use action_type='discrete'"):
        BagelWorldEnv(ToyWorld(frozenset()), toy_scene(), action_type="text")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="discrete, continuous, text, got 'dance'"):
        BagelWorldEnv(ToyWorld(), toy_scene(), action_type="dance")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="human, rgb_array or None, got 'ansi'"):
        BagelWorldEnv(ToyWorld(), toy_scene(), render_mode="ansi")


def test_a_given_model_stays_open() -> None:
    closed: list[bool] = []

    class Watched(ToyWorld):
        def close(self) -> None:
            closed.append(True)

    BagelWorldEnv(Watched(), toy_scene()).close()
    assert not closed


def test_an_episode_is_cut_by_gymnasium(toy_address: str) -> None:
    env = gymnasium.make(world.ENV_ID, model=toy_address, scene=toy_scene(), max_episode_steps=2)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(2)] == [False, True]
    env.close()


def test_make_needs_no_import_of_ours() -> None:
    code = """
import gymnasium
try:
    gymnasium.make("world:BagelWorld/Walk-v0", scene="no such scene")
except Exception as error:  # found, and refused for its scene
    assert type(error).__name__ == "SceneError", error
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


CHECKED = """
import gymnasium
from gymnasium.utils.env_checker import check_env
from tests.world.toy_world import toy_scene
from world import models
from world.errors import WorldError
from world.window import open_window

models.MODELS["toy"] = "tests.world.test_env:load_toy"
for name, scene in ("Walk", toy_scene()), ("RotateObject", toy_scene()):
    env = gymnasium.make(f"BagelWorld/{name}-v0", model="toy", scene=scene)
    check_env(env.unwrapped)
    env.close()
try:
    open_window((64, 64), "play.py")
except WorldError as error:
    print(error)
"""


def test_human_rendering_needs_no_display_as_gymnasiums_own_does_not() -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", CHECKED]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "set DISPLAY" in done.stdout  # play.py refuses
    assert "drawn where nobody can look" in done.stderr
