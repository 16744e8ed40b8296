"""What stands where in a scene, and how a way goes along it: the simulator's floor plan, for who draws nothing."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from scenes.ground import Box, Circle, Ground
from scenes.library import folder_of, read_scene, scene_names
from scenes.simulator import blueprint_of
from world.surroundings import Floor
from world.types import Action, Pose, Scene

_CORNERS = 24  # of a circle


def slide(scene: Scene, pose: Pose, action: Action) -> Pose:
    """Where `action` leads from `pose` along walls and furniture, as in the simulator.

    Where the plan is not known here, nothing stands in the way: a walk goes on.
    """
    ground = _ground_of(scene)
    return pose.moved(action) if ground is None else ground.slide(pose, action)


def has_plan(scene: Scene) -> bool:
    """Whether it is known here what stands where.

    It is not in a picture, in a folder that this process has not loaded, and in a maze whose start does not tell which.
    """
    return _ground_of(scene) is not None


def floor_of(scene: Scene) -> Floor | None:
    """The floor and all footprints (m) of a scene; None where its plan is not known."""
    ground = _ground_of(scene)
    return None if ground is None else _floor(ground)


def _ground_of(scene: Scene) -> Ground | None:
    if not scene.simulated:
        return None
    layout = int(scene.starts[0].name) if scene.has_layouts else None
    return _ground(scene.name, layout, folder_of(scene.name))


@lru_cache(maxsize=256)
def _ground(name: str, layout: int | None, folder: Path | None) -> Ground | None:
    if folder is None and not (name in scene_names() and _comes_in_layouts(name) == (layout is not None)):
        return None
    return blueprint_of(name, layout).ground


def _comes_in_layouts(name: str) -> bool:
    return read_scene(name, with_frames=False).has_layouts


@lru_cache(maxsize=8)
def _floor(ground: Ground) -> Floor:
    (left, bottom), (right, top) = ground.low, ground.high
    walls = ((left, bottom), (right, bottom), (right, top), (left, top))
    return Floor((walls, *map(_outline, ground.footprints)))


def _outline(footprint: Circle | Box) -> tuple[tuple[float, float], ...]:
    if isinstance(footprint, Circle):
        angles = [2 * math.pi * k / _CORNERS for k in range(_CORNERS)]
        return tuple(
            (footprint.x + footprint.radius * math.cos(a), footprint.y + footprint.radius * math.sin(a)) for a in angles
        )
    c, s = math.cos(math.radians(footprint.yaw)), math.sin(math.radians(footprint.yaw))
    corners = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    sides = [(u * footprint.half_x, v * footprint.half_y) for u, v in corners]
    return tuple((footprint.x + c * u - s * v, footprint.y + s * u + c * v) for u, v in sides)
