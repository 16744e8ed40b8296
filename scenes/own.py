"""A scene of one's own: a folder with a MuJoCo model, and a scene.toml that says what the model does not.

    name = "attic"                        # default: the folder's
    caption = "under a roof"
    fov = 80.0                            # degrees, vertical
    eye_height = 1.5                      # m above the floor, which is at z = 0

    [actions]                             # how far a move goes: m and degrees
    step = 0.3

    [floor]                               # where the eye may be; default: what the model's shapes leave free
    low = [-2.0, -2.0]
    high = [2.0, 2.0]
    boxes = [[0.5, 0.5, 0.3, 0.2, 45.0]]  # x, y, half sizes, yaw
    circles = [[-1.0, 0.0, 0.4]]          # x, y, radius

    [starts]
    door = { x = 0.0, y = -1.0, yaw = 90.0 }

Every line may be left out, and so may the file. Where it names `object_turn` among its actions, the model has a mocap
body "object", as the table's in `scenes/tabletop`.
"""

from __future__ import annotations

import tomllib
from itertools import count, product, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from scenes.eye import Block, blocks_of
from scenes.ground import MARGIN, Box, Circle, Ground
from scenes.mjcf import Blueprint
from world.errors import SceneError
from world.types import Pose, wrap

FILE = "scene.toml"
KEYS = ("name", "caption", "fov", "eye_height", "actions", "floor", "starts")
_STEP = 0.2  # m, what is lower can be stepped on
_HEAD = 0.15  # m above the eye
_OPEN = 5.0  # m to each side, where the floor has no end and nothing stands on it
_FEW = 0.1  # m, the grid on which a first place to stand is looked for


def is_own(folder: Path) -> bool:
    """Whether a folder is a scene."""
    return folder.is_dir() and ((folder / FILE).is_file() or any(folder.glob("*.xml")))


def read_text(folder: Path) -> dict[str, Any]:
    """scene.toml, or nothing where there is none. Raises SceneError where it cannot be read."""
    path = folder / FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SceneError(f"{path} cannot be read as TOML: {error}") from None
    if unknown := sorted(found.keys() - set(KEYS)):
        raise SceneError(f"{path} names {', '.join(unknown)}: there are {', '.join(KEYS)}")
    return found


def model_of(folder: Path) -> Path:
    """The one model in a folder. Raises SceneError where there is none, or several."""
    models = sorted(folder.glob("*.xml"))
    if len(models) != 1:
        names = ", ".join(path.name for path in models) or "none"
        raise SceneError(f"{folder} needs one MuJoCo model, it has {names}: put what it includes into folders below")
    return models[0]


def build(folder: Path) -> Blueprint:
    """The model and where one may stand in it. Raises SceneError where nothing is free."""
    text, file = read_text(folder), model_of(folder)
    blueprint = Blueprint("", {}, Ground((0, 0), (0, 0), ()), file)
    floor = text.get("floor")
    try:
        ground = _ground(blocks_of(blueprint), text.get("eye_height", 1.5)) if floor is None else _said(floor)
        free_place(ground)
    except (TypeError, ValueError, LookupError) as error:
        raise SceneError(f"{folder}: there is no floor to walk on ({error}): say where in [floor] of {FILE}") from None
    return Blueprint("", {}, ground, file)


def free_place(ground: Ground) -> tuple[float, float]:
    """The free place nearest to the middle. Raises ValueError where there is none."""
    low, high = np.array(ground.low), np.array(ground.high)
    points = np.stack(np.meshgrid(*(np.arange(a, b, _FEW) for a, b in zip(low, high, strict=True))), -1).reshape(-1, 2)
    for x, y in sorted(points.tolist(), key=lambda point: float(np.linalg.norm(point - (low + high) / 2))):
        if ground.is_free(x, y):
            return x, y
    raise ValueError(f"nothing is free of what stands there by {MARGIN} m")


def first_pose(ground: Ground) -> Pose:
    """There, looking where the way is longest. Raises ValueError where nothing is free."""
    x, y = free_place(ground)

    def way(yaw: float) -> int:
        c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        free = (ground.is_free(x + k * _FEW * c, y + k * _FEW * s) for k in count(1))
        return sum(1 for _ in takewhile(bool, free))

    return Pose(x, y, wrap(max(range(0, 360, 45), key=way)))


def _said(floor: dict[str, Any]) -> Ground:
    """[floor] of a scene.toml."""
    (x0, y0), (x1, y1) = floor["low"], floor["high"]
    boxes = [Box(*numbers) for numbers in floor.get("boxes", ())]
    return Ground((x0, y0), (x1, y1), (*boxes, *(Circle(*numbers) for numbers in floor.get("circles", ()))))


def _ground(blocks: list[Block], eye_height: float) -> Ground:
    """The largest of what can be stood on, less what stands between feet and head."""
    floors, standing = [], []
    for block in blocks:
        corners = _corners(block)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if high[2] <= _STEP:
            floors.append((low[:2], high[:2]))
        elif low[2] < eye_height + _HEAD:
            standing.append(_footprint(block, low, high))
    if not floors:
        raise ValueError("the model has no floor at z = 0")
    low, high = max(floors, key=lambda floor: float(np.prod(floor[1] - floor[0])))
    reach = [[f.x + sign * f.half_x, f.y + sign * f.half_y] for f in standing for sign in (-1, 1)] or [[0.0, 0.0]]
    low = np.where(np.isfinite(low), low, np.min(reach, axis=0) - _OPEN * (not standing))
    high = np.where(np.isfinite(high), high, np.max(reach, axis=0) + _OPEN * (not standing))
    return Ground(tuple(low.tolist()), tuple(high.tolist()), tuple(standing))


def _corners(block: Block) -> np.ndarray:
    signs = np.array(list(product((-1, 1), repeat=3)))
    reach = np.where(block.half > 0, block.half, 0.0) * signs
    with np.errstate(invalid="ignore"):  # an endless plane: inf times 0 is no number, and no way to go
        return block.center + np.nan_to_num(
            (reach[:, None] * block.axes).sum(-1), nan=0.0, posinf=np.inf, neginf=-np.inf
        )


def _footprint(block: Block, low: np.ndarray, high: np.ndarray) -> Box:
    """Of an upright block its own outline, of a leaning one the box around it."""
    x, y = block.center[:2]
    if abs(block.axes[2, 2]) > 0.99:
        yaw = float(np.degrees(np.arctan2(block.axes[1, 0], block.axes[0, 0])))
        return Box(float(x), float(y), float(block.half[0]), float(block.half[1]), yaw)
    middle, half = (low + high) / 2, (high - low) / 2
    return Box(float(middle[0]), float(middle[1]), float(half[0]), float(half[1]))
