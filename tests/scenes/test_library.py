"""Scenes by name and pictures by path, without a simulator; what is wrong is told with what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes.library import load_scene, scene_names
from world import models
from world.errors import SceneError


@pytest.mark.parametrize("name", scene_names())
def test_a_shipped_scene_is_whole(name: str) -> None:
    scene = load_scene(name)
    assert scene.name == name
    assert scene.simulated
    assert len(scene.starts) >= 6
    assert len({start.frame.tobytes() for start in scene.starts}) == len(scene.starts)
    assert all(start.frame.shape == (128, 128, 3) and start.frame.dtype == np.uint8 for start in scene.starts)
    assert any(action.object_yaw for action in scene.actions) == (name == "tabletop")


def test_the_six_worlds_are_there() -> None:
    assert set(scene_names()) == {"studio", "gallery", "garden", "tabletop", "maze", "anywhere"}


def test_the_address_of_world_models_leads_here() -> None:
    assert models.load_scene("studio:globe").starts[0].name == "globe"


def test_a_start_is_named_after_a_colon() -> None:
    scene = load_scene("tabletop:teapot")
    assert scene.starts[0].name == "teapot"
    assert {s.name for s in scene.starts} == {s.name for s in load_scene("tabletop").starts}


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("studoi", "did you mean studio"),
        ("studio:cellar", "door"),
        ("nowhere/at/all.png", "no picture at"),
        ("zzzz", "gallery, garden, maze, studio, tabletop"),
    ],
)
def test_a_wrong_address_is_answered_with_what_there_is(address: str, told: str) -> None:
    with pytest.raises(SceneError, match=told):
        load_scene(address)


def test_a_picture_is_a_scene_of_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "beach.png"
    Image.new("RGB", (90, 60), (200, 10, 20)).save(path)
    scene = load_scene(str(path))
    assert (scene.name, scene.simulated, len(scene.starts)) == ("beach", False, 1)
    assert scene.starts[0].frame.shape == (60, 90, 3)
    assert tuple(scene.starts[0].frame[0, 0]) == (200, 10, 20)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    path = tmp_path / "glass.png"
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(path)
    assert (load_scene(str(path)).starts[0].frame == 255).all()


def test_a_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    path = tmp_path / "glass.gif"
    Image.new("P", (64, 64), 0).save(path, transparency=0)
    assert (load_scene(str(path)).starts[0].frame == 255).all()


def test_the_library_needs_no_mujoco() -> None:
    code = "import sys; sys.modules['mujoco'] = None\nfrom world.models import load_scene; load_scene('garden:pond')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_mujoco_the_simulator_names_the_package() -> None:
    code = """
import sys; sys.modules['mujoco'] = None
from world.errors import RenderError
from world.models import load, load_scene
world = load('sim')
try:
    world.reset([load_scene('studio')], [0])
except RenderError as error:
    assert 'pip install' in str(error), error
else:
    raise AssertionError('no error')
"""
    subprocess.run([sys.executable, "-c", code], check=True)
