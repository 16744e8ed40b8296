"""A floor plan is known without a picture, and a way along it is the simulator's."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes import library, mjcf, sky
from scenes.floor import floor_of, slide
from scenes.library import read_scene, scene_names
from scenes.simulator import SimulatorWorld, blueprint_of
from tests.scenes.test_own import MODEL
from tests.world.toy_world import toy_scene
from world import models
from world.types import Action, Pose, Scene, Start

ROOT = Path(__file__).parents[2]
FAR = Action("go far", forward=1.7, left=0.4, yaw=20.0)
SHIPPED = (*scene_names(), "maze:77", "anywhere:77")


def scene_at(address: str) -> Scene:
    """A shipped scene, its pictures black."""
    name, _, layout = address.partition(":")
    scene = read_scene(name, with_frames=False)
    return scene.starting_at(replace(scene.starts[0], name=layout)) if layout else scene


def walk_through(scene: Scene, start: Pose) -> int:
    """How many steps of a random walk slid, each of them as in the simulator."""
    world, rng, pose, slid = SimulatorWorld(16), np.random.default_rng(0), start, 0
    for _ in range(300):
        action = FAR if rng.random() < 0.05 else scene.actions[rng.integers(len(scene.actions))]
        after = world.slide(scene, pose, action)
        assert slide(scene, pose, action) == models.reckon(scene, pose, action) == after
        slid += after != pose.moved(action)
        pose = after
    return slid


@pytest.mark.parametrize("address", SHIPPED)
def test_a_walk_goes_as_in_the_simulator(address: str) -> None:
    scene = scene_at(address)
    assert models.has_plan(scene)
    x, y = blueprint_of(*_parts(scene)).ground.random_place(np.random.default_rng(1))
    assert walk_through(scene, Pose(x, y)) > 30


@pytest.mark.gl
def test_a_walk_through_a_scene_of_ones_own_goes_as_in_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_own", {})
    folder = tmp_path / "shed"
    folder.mkdir()
    (folder / "shed.xml").write_text(MODEL)
    scene = library.load_scene(str(folder))
    assert walk_through(scene, scene.starts[0].pose) > 30
    assert floor_of(scene) is not None


def test_every_layout_of_the_maze_has_a_floor_of_its_own() -> None:
    floors = [floor_of(scene_at(address)) for address in ("maze", "maze:77")]
    for floor, layout in zip(floors, (int(scene_at("maze").starts[0].name), 77), strict=True):
        assert floor is not None
        assert len(floor.outlines) == 1 + len(blueprint_of("maze", layout).ground.footprints)
    assert floors[0] != floors[1]


def test_where_the_plan_is_not_known_nothing_stands_in_the_way() -> None:
    elsewhere = replace(toy_scene("attic"), simulated=True)  # a person's own, loaded by another process
    maze = scene_at("maze")
    untold = maze.starting_at(Start("somewhere", Pose(), maze.starts[0].frame))
    numbered = scene_at("studio:7")
    for scene in (elsewhere, untold, numbered, toy_scene()):
        assert models.reckon(scene, Pose(), FAR) == slide(scene, Pose(), FAR) == Pose().moved(FAR)
        assert not models.has_plan(scene)
        assert floor_of(scene) is None


@pytest.mark.parametrize("address", SHIPPED)
def test_where_one_may_stand_is_known_before_anything_is_painted(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def paint(recipe: object) -> None:
        raise AssertionError("nobody asked for a picture")

    monkeypatch.setattr(mjcf, "paint_sky", paint)
    monkeypatch.setattr(mjcf, "_painted", paint)
    blueprint = blueprint_of(*_parts(scene_at(address)))
    assert blueprint.ground.footprints
    with pytest.raises(AssertionError, match="nobody asked"):
        _ = blueprint.assets


def test_files_of_a_scene_are_painted_once_and_all_that_its_text_names() -> None:
    blueprint = blueprint_of("tabletop")
    assert blueprint.assets is blueprint.assets
    assert all(f'"{name}"' in blueprint.xml for name in blueprint.assets)
    assert sum(name.startswith("sky_") for name in blueprint.assets) == len(sky.SIDES)


def test_a_plan_needs_no_simulator_package() -> None:
    code = """
import sys
from scenes.library import load_scene
from world import models
from world.types import Action, Pose
for name in ("studio", "garden", "gallery", "tabletop", "maze"):
    models.reckon(load_scene(name), Pose(), Action("", forward=1.0))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not {"mujoco", "OpenGL", "torch"}.intersection(done.stdout.split())


def _parts(scene: Scene) -> tuple[str, int | None]:
    number = scene.starts[0].name
    return scene.name, int(number) if number.isdigit() else None
