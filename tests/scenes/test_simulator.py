"""The simulator is a world that keeps the contract and tells the truth."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes.library import load_scene, scene_names
from scenes.many_eyes import ManyEyes
from scenes.metrics import psnr
from scenes.simulator import EYES, HISTORY, LAYOUT_SEEDS, SimulatorWorld
from world import models
from world.errors import ModelError, SceneError
from world.testing import check_world_model
from world.types import Action, Pose, Scene, State, TrueWorld

pytestmark = pytest.mark.gl


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorWorld]:
    world = SimulatorWorld()
    yield world
    world.close()


def named(scene: Scene, name: str) -> Action:
    return next(action for action in scene.actions if action.name == name)


def walk(world: SimulatorWorld, state: State, *names: str) -> State:
    for name in names:
        [state] = world.step([state], [named(state.scene, name)])
    return state


@pytest.mark.parametrize("address", ["studio", "tabletop:vase"])
def test_the_contract_holds(address: str) -> None:
    model = models.load("sim")
    assert isinstance(model, TrueWorld)
    check_world_model(model, load_scene(address), tolerance=0)


@pytest.mark.parametrize("name", scene_names())
def test_the_shipped_frames_are_what_the_simulator_sees(world: SimulatorWorld, name: str) -> None:
    scene = load_scene(name)
    for start in scene.starts:
        [state] = world.reset([scene.starting_at(start)], [0])
        # Not bit for bit: another driver draws edges a little differently.
        assert psnr(state.frame[None], start.frame[None])[0] > 30, start.name


def test_a_square_walk_comes_home(world: SimulatorWorld) -> None:
    [home] = world.reset([load_scene("gallery:purple")], [0])
    state = walk(world, home, *(["back", *["left"] * 6] * 4))
    assert (state.pose.x, state.pose.y, state.pose.yaw) == pytest.approx((home.pose.x, home.pose.y, home.pose.yaw))
    assert psnr(state.frame[None], home.frame[None])[0] > 45


def test_the_object_turns_and_turns_back(world: SimulatorWorld) -> None:
    [start] = world.reset([load_scene("tabletop:robot")], [0])
    turned = walk(world, start, "object_left")
    assert turned.pose.object_yaw == start.pose.object_yaw + 15
    assert (turned.frame != start.frame).any()
    assert np.array_equal(walk(world, turned, "object_right").frame, start.frame)


def test_the_first_start_names_the_object_on_the_table(world: SimulatorWorld) -> None:
    scene = load_scene("tabletop")
    assert scene.starting_at("robot").called == "tabletop robot"
    assert load_scene("gallery:purple").called == "gallery"
    pose = scene.starts[0].pose
    frames = [world.view(scene.starting_at(start.name), [pose])[0] for start in scene.starts]
    assert len({frame.tobytes() for frame in frames}) == len(scene.starts)


def test_a_random_start_draws_the_object_and_looks_at_it(world: SimulatorWorld) -> None:
    scene = load_scene("tabletop")
    starts = [world.random_start(scene, seed) for seed in range(24)]
    assert {start.name for start in starts} == {start.name for start in scene.starts}
    for start in starts:
        toward = math.degrees(math.atan2(-start.pose.y, -start.pose.x))
        assert math.cos(math.radians(toward - start.pose.yaw)) > 0.45
        [state] = world.reset([scene.starting_at(start)], [0])
        assert np.array_equal(state.frame, start.frame)


def test_equal_seeds_give_equal_starts_in_any_order(world: SimulatorWorld) -> None:
    scene = load_scene("garden")
    first, _, again = (world.random_start(scene, seed) for seed in (5, 6, 5))
    assert first.pose == again.pose
    assert np.array_equal(first.frame, again.frame)


def test_mixed_batches_equal_rows_alone(world: SimulatorWorld) -> None:
    scenes = [load_scene(a) for a in ("studio", "tabletop:car", "garden", "tabletop:duck", "studio:rug", "gallery")]
    alone = [world.reset([scene], [0])[0] for scene in scenes]
    together = world.reset(scenes, [0] * len(scenes))
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(alone, together, strict=True))


def test_two_worlds_in_one_process_see_the_same(world: SimulatorWorld) -> None:
    scene, other = load_scene("studio:sofa"), SimulatorWorld()
    frames = [w.reset([scene], [0])[0].frame for w in (world, other, world, other)]
    other.close()
    assert all(np.array_equal(frames[0], frame) for frame in frames)


def test_another_thread_may_step(world: SimulatorWorld) -> None:
    [start] = world.reset([load_scene("studio")], [0])
    after: list[State] = []
    thread = threading.Thread(target=lambda: after.extend(world.step([start], [named(start.scene, "left")])))
    thread.start()
    thread.join()
    assert np.array_equal(after[0].frame, walk(world, start, "left").frame)


def test_a_state_keeps_its_last_frames(world: SimulatorWorld) -> None:
    [state] = world.reset([load_scene("studio")], [0])
    state = walk(world, state, *["left"] * (HISTORY + 2))
    assert (len(state.frames), len(state.actions), state.step) == (HISTORY, HISTORY - 1, HISTORY + 2)


def test_a_state_tells_where_its_actions_began_even_along_a_wall(world: SimulatorWorld) -> None:
    [state] = world.reset([load_scene("studio")], [0])
    state, poses = walk(world, state, "left"), [state.pose]
    for _ in range(3 * HISTORY):
        poses.append(state.pose)
        state = walk(world, state, "forward")
    assert state.origins == tuple(poses[-(HISTORY - 1) :])
    ends = [*state.origins[1:], state.pose]
    assert any(a.moved(m) != b for a, m, b in zip(state.origins, state.actions, ends, strict=True))


def test_what_nobody_kept_is_not_made_up(world: SimulatorWorld) -> None:
    [state] = world.reset([load_scene("studio")], [0])
    moved = walk(world, state, "left")
    assert walk(world, replace(moved, origins=()), "left").origins == ()
    assert walk(world, moved, "left").origins == (state.pose, moved.pose)


def test_no_view_is_plain(world: SimulatorWorld) -> None:
    for name in scene_names():
        scene = load_scene(name)
        for seed in range(12):
            frame = world.random_start(scene, seed).frame
            _, counts = np.unique((frame // 24).reshape(-1, 3), axis=0, return_counts=True)
            assert counts.max() < 0.8 * frame.shape[0] * frame.shape[1], (name, seed)


def test_a_layout_is_drawn_from_its_number_and_kept_on_a_walk(world: SimulatorWorld) -> None:
    scene = load_scene("maze")
    one, same, other = (world.random_start(scene, seed) for seed in (0, LAYOUT_SEEDS - 1, LAYOUT_SEEDS))
    assert (one.name, same.name, other.name) == ("0", "0", "1")
    poses = [one.pose]
    [here], [there] = (world.view(scene.starting_at(start), poses) for start in (one, other))
    assert np.array_equal(here, one.frame)
    assert not np.array_equal(here, there)
    state = world.reset([scene.starting_at(one)], [0])[0]
    back = walk(world, state, "left", "right")
    assert np.array_equal(back.frame, one.frame)


def test_a_layout_that_is_not_shipped_is_drawn_when_asked_for(world: SimulatorWorld) -> None:
    scene = load_scene("maze:77")
    assert scene.starts[0].name == "77"
    assert np.array_equal(world.reset([scene], [0])[0].frame, scene.starts[0].frame)


def test_more_layouts_than_are_kept_open_do_no_harm(world: SimulatorWorld) -> None:
    scene = load_scene("maze")
    starts = [world.random_start(scene, LAYOUT_SEEDS * k) for k in range(EYES + 2)]
    assert np.array_equal(world.random_start(scene, 0).frame, starts[0].frame)


def test_a_closed_world_opens_again() -> None:
    world, scene = SimulatorWorld(size=32), load_scene("studio")
    before = world.reset([scene], [0])[0].frame
    world.close()
    world.close()
    assert before.shape == (32, 32, 3)
    assert np.array_equal(world.reset([scene], [0])[0].frame, before)
    world.close()


def test_a_picture_is_not_simulated(world: SimulatorWorld, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "studio.png")
    with pytest.raises(SceneError, match="picture"):
        world.reset([load_scene(str(tmp_path / "studio.png"))], [0])


def test_the_simulator_has_no_words(world: SimulatorWorld) -> None:
    with pytest.raises(ModelError, match="tiny"):
        world.ask([], "where am I?")


def test_nothing_complains_when_the_interpreter_ends() -> None:
    code = """
from scenes.library import load_scene
from scenes.simulator import SimulatorWorld
worlds = [SimulatorWorld(32), SimulatorWorld(32)]
for world in worlds:
    world.reset([load_scene('tabletop')], [0])
del worlds[0]
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_importing_touches_nothing() -> None:
    code = "import os, sys, scenes.simulator\nassert 'mujoco' not in sys.modules and 'MUJOCO_GL' not in os.environ"
    environment = {"PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_view_needs_no_walking(world: SimulatorWorld) -> None:
    scene = load_scene("studio")
    north, south = world.view(scene, [Pose(yaw=90), Pose(yaw=-90)])
    assert psnr(north[None], south[None])[0] < 20
    assert world.view(scene, []) == []


@pytest.mark.slow
def test_several_processes_draw_the_same_frames() -> None:
    alone, together = SimulatorWorld(32), ManyEyes(2, 32)
    scenes = [load_scene("gallery"), load_scene("tabletop"), load_scene("maze")]
    actions = [scene.actions[1] for scene in scenes]
    one, other = (world.step(world.reset(scenes, [0, 1, 2]), actions) for world in (alone, together))
    assert [state.digest() for state in one] == [state.digest() for state in other]
    for world in (alone, together):
        world.close()
