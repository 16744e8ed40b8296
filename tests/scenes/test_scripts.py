"""Every shipped script fits its scene: in the simulator it ends where it should and bumps into nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes.library import load_scene, scene_names
from scenes.scripts import find, shipped
from scenes.sequence import walk
from scenes.simulator import SimulatorWorld, has_object
from world.session import Session
from world.types import Pose

EVERYWHERE = {"orbit", "lookaround", "there-and-back", "square-loop", "zoom", "tour"}


@pytest.mark.parametrize("name", scene_names())
def test_every_script_ends_where_it_should_and_bumps_into_nothing(name: str) -> None:
    scene = load_scene(name)
    world = SimulatorWorld()
    scripts = shipped(scene)
    assert scripts.keys() == EVERYWHERE | {"turntable"}
    for script in scripts.values():
        if script.name == "turntable" and not has_object(scene):
            continue
        plan, begun = script.plan(scene), script.place_in(scene)
        start = begun.starts[0].pose
        poses = [start]
        for step in plan.steps[1:]:
            pose = poses[step.parent]
            poses.append(pose if step.action is None else world.slide(begun, pose, step.action))
        assert script.expect is not None
        assert script.expect.missed(start, poses[plan.end]) == []
        assert poses == plan.poses(start), script.name


@pytest.mark.gl
def test_the_simulator_walks_as_its_ground_says() -> None:
    scene = load_scene("tabletop")
    script = shipped(scene)["zoom"]
    begun, plan = script.place_in(scene), script.plan(scene)
    walked = walk(SimulatorWorld(16), Session("sim", begun, plan, (0,)))
    assert script.expect is not None
    assert script.expect.missed(walked.poses[0][0], walked.poses[0][plan.end]) == []
    assert (walked.frames[0][0] != walked.frames[0][1]).any()
    assert walked.frames[0][1] is walked.frames[0][plan.end]  # held


def test_an_orbit_looks_at_one_point_from_every_side() -> None:
    for name in scene_names():
        scene = load_scene(name)
        script = shipped(scene)["orbit"]
        plan = script.plan(scene)
        poses = plan.poses(script.place_in(scene).starts[0].pose)
        views = [poses[i] for checkpoint, i in plan.checkpoints.items() if checkpoint.startswith("view")]
        ways = np.radians([view.yaw for view in views])
        heading = np.stack([np.cos(ways), np.sin(ways)], axis=1)
        eyes = np.array([[view.x, view.y] for view in views])
        middle = eyes.mean(axis=0)  # of a regular polygon
        ahead = np.linalg.norm(middle - eyes, axis=1)
        np.testing.assert_allclose(eyes + ahead[:, None] * heading, np.broadcast_to(middle, eyes.shape), atol=1e-9)
        assert ahead.std() < 1e-9
        assert len({round(view.yaw) % 360 for view in views}) == len(views) >= 8
        if has_object(scene):
            assert np.linalg.norm(middle) < 0.1  # where the object stands


def test_a_picture_has_every_script(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "photo.png")
    photo = load_scene(str(tmp_path / "photo.png"))
    for script in shipped(photo).values():
        plan = script.plan(photo)
        assert script.expect is not None
        assert script.expect.missed(Pose(), plan.poses(Pose())[plan.end]) == []
        assert script.place_in(photo) is photo


def test_what_is_not_as_expected_is_told_in_words() -> None:
    script = shipped(load_scene("studio"))["zoom"]
    assert script.expect is not None
    assert script.expect.missed(Pose(yaw=90), Pose(y=0.9, yaw=90)) == []
    assert script.expect.missed(Pose(), Pose(x=0.4)) == ["forward is 0.40 m, expected 0.9 m"]


OWN = """
[first]
about = "two lines"
start = "desk"
moves = '''
left*2
  {first}
'''
[second]
moves = "{second}"
"""


def test_a_file_of_ones_own_holds_scripts(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN.format(first="forward", second="right"))
    scene = load_scene("studio")
    script = find(f"{path}:first", scene)
    assert [s.action.name for s in script.plan(scene).steps[1:] if s.action] == ["left", "left", "forward"]
    assert script.place_in(scene).starts[0].name == "desk"
    path.write_text('[only]\nmoves = "up down"\n')
    assert find(str(path), scene).name == "only"
    assert find("left*3", scene).moves == "left*3"


@pytest.mark.parametrize(
    ("content", "ask", "message"),
    [
        (OWN.format(first="forwrd", second="up"), ":first", r"mine.toml: .*'forwrd' \(line 7, column 3\): .*'forward'"),
        (OWN.format(first="up", second="left rihgt"), ":second", r"'rihgt' \(line 10, column 15\): .*'right'"),
        (OWN.format(first="up", second="up"), "", "holds first, second: name one"),
        (OWN.format(first="up", second="up"), ":secnd", "did you mean 'second'"),
        ("", "", "holds no script"),
        ("x = 1", "", "line 1: 'x' stands outside"),
        ("[a", "", "is not TOML: .*"),
        ('[a]\nabout = "b"\n', "", "line 1: script 'a' has no moves"),
        (
            '\n[a]\nmovs = "b"\n',
            "",
            "line 3: a script has about, start, moves, expect, not 'movs': .*'moves'",
        ),
        ("[a]\nmoves = 3\n", "", "line 2: moves is text"),
        ('[a]\nmoves = "up"\nexpect = { yw = 3 }\n', "", "line 3: .*not 'yw': did you mean 'yaw'"),
        ('[a]\nmoves = "up"\nexpect = { yaw = "b" }\n', "", "line 3: expect.yaw is a number"),
        ('[a]\nmoves = "up"\nexpect = 3\n', "", "line 3: expect is a table"),
        ('[a]\nmoves = "up"\nstart = "kitchen"\n', "", "no start 'kitchen'; it has door, desk"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_cause(tmp_path: Path, content: str, ask: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    scene = load_scene("studio")

    def read() -> None:
        script = find(f"{path}{ask}", scene)
        script.place_in(scene)
        script.plan(scene)

    with pytest.raises(ValueError, match=message):
        read()


def test_what_is_not_there_is_told_with_the_nearest_word(tmp_path: Path) -> None:
    scene = load_scene("studio")
    with pytest.raises(ValueError, match=r"no script 'orbt' .*did you mean 'orbit'"):
        find("orbt", scene)
    with pytest.raises(ValueError, match=r"no script file .*check the path"):
        find(str(tmp_path / "nothing.toml"), scene)
    with pytest.raises(ValueError, match="'turntable' is not for scene 'studio', which has no object"):
        find("turntable", scene).plan(scene)
