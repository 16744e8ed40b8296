"""What stands where in a scene, seen from above: the footprints that the simulator slides along, as outlines."""

from __future__ import annotations

import math
from functools import lru_cache

from scenes.ground import Box, Circle
from scenes.simulator import blueprint_of
from world.surroundings import Floor
from world.types import Scene

_CORNERS = 24  # of a circle


def floor_of(scene: Scene) -> Floor | None:
    """The floor and all footprints (m) of a scene that the simulator knows; None for a picture."""
    return _floor(scene.name) if scene.simulated else None


@lru_cache(maxsize=8)
def _floor(name: str) -> Floor:
    ground = blueprint_of(name).ground
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
