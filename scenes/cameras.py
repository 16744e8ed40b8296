"""Pictures with their cameras, as 3D tools read them: nerfstudio's transforms.json and COLMAP's text files.

World: x east, y north, z up (m). A camera has its x to the right and, in transforms.json, y up and z backwards (OpenGL;
docs.nerf.studio/quickstart/data_conventions.html), in COLMAP y down and z ahead (colmap.github.io/format.html).
Pixels are counted from the upper left corner of the picture, so that the middle is (w / 2, h / 2).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from world.files import atomic_write_text
from world.types import Pose, Scene, wrap

Matrix: TypeAlias = NDArray[np.float64]

OBJECT_AHEAD = 1.5  # m, where the object of a picture is taken to stand; nobody knows


@dataclass(frozen=True)
class Shot:
    """A picture by its path, relative to the folder of the export, and where the eye was."""

    path: str
    pose: Pose


@dataclass(frozen=True)
class Lens:
    """A pinhole camera with square pixels: focal length and size in pixels."""

    focal: float
    width: int
    height: int

    @staticmethod
    def of(fov: float, width: int, height: int) -> Lens:
        """The lens that sees `fov` degrees from the top of the picture to its bottom."""
        return Lens(height / 2 / math.tan(math.radians(fov) / 2), width, height)


def camera_axes(pose: Pose) -> Matrix:
    """The camera's right, up and backwards in its columns, [3, 3]."""
    yaw, pitch = np.radians(pose.yaw), np.radians(pose.pitch)
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    return np.stack([right, np.cross(right, ahead), -ahead], axis=1)


def camera_to_world(scene: Scene, pose: Pose) -> Matrix:
    """[4, 4], OpenGL axes. Where the object was turned since the start, the camera is where it stands as the object
    sees it: turning an object before a camera is walking around it (the room behind it goes along)."""
    matrix = np.eye(4)
    matrix[:3, :3] = camera_axes(pose)
    matrix[:3, 3] = pose.x, pose.y, scene.eye_height
    start = scene.starts[0].pose
    turned = math.radians(wrap(pose.object_yaw - start.object_yaw))
    if not turned:
        return matrix
    yaw = math.radians(start.yaw)
    ahead = (start.x + OBJECT_AHEAD * math.cos(yaw), start.y + OBJECT_AHEAD * math.sin(yaw))
    axis = np.array([*((0.0, 0.0) if scene.simulated else ahead), 0.0])  # the scenes' objects stand in the middle
    c, s = math.cos(-turned), math.sin(-turned)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix[:3, :3] = turn @ matrix[:3, :3]
    matrix[:3, 3] = turn @ (matrix[:3, 3] - axis) + axis
    return matrix


def save_cameras(folder: Path, scene: Scene, lens: Lens, shots: Sequence[Shot]) -> list[Path]:
    """Writes transforms.json and colmap/{cameras,images,points3D}.txt into `folder`; returns the paths."""
    matrices = [camera_to_world(scene, shot.pose) for shot in shots]
    paths = [folder / "transforms.json", *(folder / "colmap" / f"{n}.txt" for n in ("cameras", "images", "points3D"))]
    texts = [_transforms(lens, shots, matrices), _cameras(lens), _images(shots, matrices), _POINTS]
    for path, text in zip(paths, texts, strict=True):
        atomic_write_text(path, text)
    return paths


def _transforms(lens: Lens, shots: Sequence[Shot], matrices: Sequence[Matrix]) -> str:
    content = {
        "camera_model": "OPENCV",
        "fl_x": lens.focal,
        "fl_y": lens.focal,
        "cx": lens.width / 2,
        "cy": lens.height / 2,
        "w": lens.width,
        "h": lens.height,
        "frames": [
            {"file_path": shot.path, "transform_matrix": matrix.tolist()}
            for shot, matrix in zip(shots, matrices, strict=True)
        ],
    }
    return json.dumps(content, indent=1) + "\n"


_POINTS = "# 3D point list: POINT3D_ID X Y Z R G B ERROR TRACK[]; there are none, cameras and pictures are all\n"


def _cameras(lens: Lens) -> str:
    sizes = f"{lens.width} {lens.height} {lens.focal!r} {lens.focal!r} {lens.width / 2!r} {lens.height / 2!r}"
    return f"# CAMERA_ID MODEL WIDTH HEIGHT FX FY CX CY\n1 PINHOLE {sizes}\n"


def _images(shots: Sequence[Shot], matrices: Sequence[Matrix]) -> str:
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME (world to camera), then a line of points, which is empty"]
    for k, (shot, matrix) in enumerate(zip(shots, matrices, strict=True), 1):
        turn = (matrix[:3, :3] @ np.diag([1.0, -1.0, -1.0])).T  # world to camera, y down and z ahead
        numbers = [*_quaternion(turn), *(-turn @ matrix[:3, 3])]
        lines += [f"{k} {' '.join(repr(float(n)) for n in numbers)} 1 {shot.path}", ""]
    return "\n".join(lines) + "\n"


def _quaternion(turn: Matrix) -> Matrix:
    """(w, x, y, z) of a rotation [3, 3], w >= 0: the leading eigenvector of Bar-Itzhack's symmetric matrix (2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = turn
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return quaternion if quaternion[0] >= 0 else -quaternion
