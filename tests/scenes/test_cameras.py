"""Exported cameras are those that the simulator drew with: known points lie where their pictures show them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scenes.cameras import OBJECT_AHEAD, Lens, Shot, camera_axes, camera_to_world, save_cameras
from scenes.eye import Eye, OpenGL
from scenes.mjcf import Builder
from world.types import Pose, Scene, Start

Camera = Callable[[Path, int], tuple[np.ndarray, np.ndarray]]

SIZE, FOV, HEIGHT = 256, 70.0, 1.4
MARKERS = {"#ff0000": (1.5, 0.4, 1.9), "#00ff00": (0.3, -1.2, 0.8), "#0000ff": (-0.9, 0.9, 1.2)}
POSES = [Pose(-2.4, 0.2, 5.0, 3.0), Pose(-1.6, -2.0, 55.0, -6.0), Pose(2.6, 0.2, 175.0), Pose(1.1, 2.5, -110.0, -9.0)]


def scene(*, simulated: bool = True) -> Scene:
    start = Start("start", Pose(), np.zeros((SIZE, SIZE, 3), np.uint8))
    return Scene("markers", "", (start,), fov=FOV, eye_height=HEIGHT, simulated=simulated)


def nerfstudio_camera(folder: Path, k: int) -> tuple[np.ndarray, np.ndarray]:
    """World to camera [3, 4] with y down and z ahead, and the matrix of the lens, by nerfstudio's convention."""
    read = json.loads((folder / "transforms.json").read_text())
    to_world = np.array(read["frames"][k]["transform_matrix"])
    lens = np.array([[read["fl_x"], 0, read["cx"]], [0, read["fl_y"], read["cy"]], [0, 0, 1]])
    return (np.diag([1, -1, -1, 1]) @ np.linalg.inv(to_world))[:3], lens


def colmap_camera(folder: Path, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same by COLMAP's convention: two lines an image, quaternions w x y z."""
    lines = [x for x in (folder / "colmap" / "images.txt").read_text().split("\n") if not x.startswith("#")]
    w, x, y, z, *shift = map(float, lines[2 * k].split()[1:8])
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    words = (folder / "colmap" / "cameras.txt").read_text().split("\n")[1].split()
    fx, fy, cx, cy = map(float, words[4:])
    return np.column_stack([turn, shift]), np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


@pytest.mark.gl
@pytest.mark.parametrize("camera", [nerfstudio_camera, colmap_camera])
def test_known_points_lie_where_the_simulator_shows_them(tmp_path: Path, camera: Camera) -> None:
    builder = Builder((-3, -3), (3, 3), ambient=1.0)
    for color, place in MARKERS.items():
        builder.ball(place, 0.05, color)
    opengl = OpenGL()
    eye = opengl.run(lambda: Eye(opengl.mujoco, builder.finish(), SIZE))
    frames = opengl.run(lambda: [eye.see(p, fov=FOV, height=HEIGHT, thing="start") for p in POSES])
    opengl.run(eye.free)
    opengl.free()
    save_cameras(tmp_path, scene(), Lens.of(FOV, SIZE, SIZE), [Shot(f"{k}.png", p) for k, p in enumerate(POSES)])
    seen = 0
    for k, frame in enumerate(frames):
        to_camera, lens = camera(tmp_path, k)
        for channel, place in enumerate(MARKERS.values()):
            x, y, z = lens @ to_camera @ [*place, 1.0]
            strength = frame[..., channel].astype(float) - frame.max(axis=-1, initial=0, where=np.arange(3) != channel)
            marked = strength > 60
            inside = z > 0 and 8 < x / z < SIZE - 8 and 8 < y / z < SIZE - 8
            assert marked.any() == inside
            if inside:
                rows, columns = np.nonzero(marked)
                shown = columns.mean() + 0.5, rows.mean() + 0.5
                assert math.dist(shown, (x / z, y / z)) < 0.5  # pixels
                seen += 1
    assert seen >= 8


def test_a_turned_object_is_a_walk_around_it() -> None:
    photo = scene(simulated=False)
    quarter = camera_to_world(photo, Pose(object_yaw=90))
    np.testing.assert_allclose(quarter[:3, 3], [OBJECT_AHEAD, OBJECT_AHEAD, HEIGHT], atol=1e-12)
    np.testing.assert_allclose(quarter[:3, :3], camera_axes(Pose(yaw=-90)), atol=1e-12)
    np.testing.assert_allclose(camera_to_world(scene(), Pose(x=-2, object_yaw=180))[:3, 3], [2, 0, HEIGHT], atol=1e-12)


def test_the_lens_sees_the_field_of_view_from_top_to_bottom() -> None:
    lens = Lens.of(90.0, 300, 200)
    assert lens.focal == pytest.approx(100.0)
