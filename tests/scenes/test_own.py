"""A person's own MuJoCo model is a scene: drawn, walked and learnt from by the path of its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import play
from bagel.train.data import DataConfig, generate
from scenes import library, own
from scenes.__main__ import main
from scenes.ground import MARGIN
from scenes.simulator import SimulatorWorld, held_out
from world import models
from world.errors import SceneError
from world.types import Pose

MODEL = """
<mujoco>
  <asset>
    <texture name="tiles" type="2d" builtin="checker" rgb1=".8 .7 .5" rgb2=".3 .4 .6" width="64" height="64"/>
    <material name="tiles" texture="tiles" texrepeat="6 6"/>
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1"/>
    <camera name="theirs" pos="0 0 9"/>
    <geom type="plane" size="3 2 .1" material="tiles"/>
    <geom type="box" pos="3 0 1" size=".1 2 1" rgba=".8 .3 .3 1"/>
    <geom type="box" pos="-3 0 1" size=".1 2 1" rgba=".3 .8 .3 1"/>
    <geom type="box" pos="0 2 1" size="3 .1 1" rgba=".3 .3 .8 1"/>
    <geom type="box" pos="0 -2 1" size="3 .1 1" rgba=".8 .8 .3 1"/>
    <geom type="box" pos="0 0 3" size="3 2 .1" rgba="1 1 1 1"/>
    <geom name="duck 1" type="cylinder" pos="0 0 .5" size=".4 .5" rgba="1 .5 0 1"/>
    <geom type="sphere" pos="1 1 .05" size=".05"/>
  </worldbody>
</mujoco>
"""
SAID = """
caption = "a shed"
[actions]
step = 0.5
[floor]
low = [-3.0, -2.0]
high = [3.0, 2.0]
circles = [[0.0, 0.0, 0.2]]
[starts]
door = { x = -2.0, y = 0.0 }
wall = { x = -2.0, y = 1.2, yaw = 90.0 }
"""


CELLAR = Path(__file__).parent / "cellar"  # what no model was shown: `scenes evaluate --scenes tests/scenes/cellar`


@pytest.fixture
def shed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(library, "_own", {})
    folder = tmp_path / "shed"
    folder.mkdir()
    (folder / "shed.xml").write_text(MODEL)
    return folder


@pytest.mark.gl
def test_a_model_alone_is_a_scene_to_walk_in(shed: Path) -> None:
    scene = library.load_scene(str(shed))
    assert (scene.name, [start.name for start in scene.starts]) == ("shed", ["start"])
    ground = own.build(shed).ground
    assert (ground.low, ground.high) == ((-3.0, -2.0), (3.0, 2.0))
    assert not ground.is_free(0.4 + MARGIN - 0.05, 0.0)  # the cylinder
    assert ground.is_free(0.4 + MARGIN + 0.05, 0.0)
    assert ground.is_free(1.0, 1.0)  # a pebble to step over, a ceiling to walk under
    world = SimulatorWorld(64)
    state = world.reset([scene], [0])[0]
    assert ground.is_free(state.pose.x, state.pose.y)
    assert state.frame.std() > 10
    forward = next(action for action in scene.actions if action.name == "forward")
    for _ in range(20):
        state = world.step([state], [forward])[0]
    assert ground.is_free(state.pose.x, state.pose.y)
    assert "duck" in world.sights(scene, [Pose(-2.0, 0.0)])[0]
    world.close()


@pytest.mark.gl
def test_scene_toml_says_what_the_model_does_not(shed: Path) -> None:
    (shed / "scene.toml").write_text(SAID)
    scene = library.load_scene(f"{shed}:wall")
    assert (scene.caption, scene.starts[0].name) == ("a shed", "wall")
    assert next(action.forward for action in scene.actions if action.name == "forward") == 0.5
    assert own.build(shed).ground.is_free(0.3 + MARGIN, 0.0)
    red, blue = (library.load_scene(f"{shed}:{start}").starts[0].frame for start in ("door", "wall"))
    assert not np.array_equal(red, blue)


@pytest.mark.gl
def test_commands_take_its_folder_and_training_walks_through_it(shed: Path, tmp_path: Path) -> None:
    assert main(["render", "--scene", str(shed), "--size", "64", "--out", str(tmp_path / "view.png")]) == 0
    assert main(["walk", "--scene", str(shed), "--script", "forward left", "--out", str(tmp_path / "walk")]) == 0
    command = [
        "--scene",
        str(shed),
        "--model",
        "sim",
        "--headless",
        "--script",
        "left*2",
        "--out",
        str(tmp_path / "play"),
    ]
    assert play.main(command) == 0
    walks = generate(DataConfig((str(shed),), 2, length=4), tmp_path / "walks", workers=1)
    assert walks.names == ("shed",)
    assert walks.frames.std() > 10


@pytest.mark.gl
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("capton = 1", "names capton: there are name, caption"),
        ("caption = ", "cannot be read as TOML"),
        ('name = "studio"', "another scene 'studio'"),
        ("[floor]\nlow = [0, 0]\nhigh = [1, 1]", "no floor to walk on"),
        ("[floor]\nlow = [0, 0]", "no floor to walk on"),
        ("[starts]\ndoor = { z = 1 }", "is no scene"),
        ("[starts]\n7 = { x = 2 }", "is a word, not a number"),
    ],
)
def test_a_wrong_scene_is_told(text: str, says: str, shed: Path) -> None:
    (shed / "scene.toml").write_text(text)
    with pytest.raises(SceneError, match=says):
        library.load_scene(str(shed))


@pytest.mark.gl
def test_a_wrong_model_is_told(shed: Path) -> None:
    (shed / "shed.xml").write_text("<mujoco><worldbody><geom/></worldbody></mujoco>")
    with pytest.raises(SceneError, match="is no model that MuJoCo reads"):
        library.load_scene(str(shed))
    (shed / "other.xml").write_text(MODEL)
    with pytest.raises(SceneError, match=r"needs one MuJoCo model, it has other\.xml, shed\.xml"):
        library.load_scene(str(shed))


@pytest.mark.gl
def test_the_cellar_that_no_model_was_shown_can_be_measured_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_own", {})
    scene, world = library.load_scene(str(CELLAR)), SimulatorWorld()
    starts = [world.random_start(scene, held_out(scene, k)) for k in range(3)]
    world.close()
    assert scene.called == "cellar"
    assert scene.called not in models.load("tiny").walk.scenes  # pyright: ignore[reportAttributeAccessIssue]
    assert all(start.frame.std() > 30 for start in starts)
