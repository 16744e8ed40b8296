"""Where one may stand: footprints on the floor, and a step that slides along them. No MuJoCo, no GL."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from world.types import Action, Pose

MARGIN = 0.65  # m, the eye keeps this distance from every footprint
MAX_PITCH = 30.0  # degrees, up and down
_STRIDE = 0.1  # m, a move is made in pieces of at most this length
_EPSILON = 1e-6  # m


@dataclass(frozen=True)
class Circle:
    """A round footprint (m)."""

    x: float
    y: float
    radius: float

    @property
    def reach(self) -> float:
        """How far from its middle it ends."""
        return abs(self.radius)

    def nearest(self, x: float, y: float) -> tuple[float, float, float]:
        """The way out from (x, y): a unit vector, and the distance to the rim (negative inside)."""
        dx, dy = x - self.x, y - self.y
        length = math.hypot(dx, dy)
        if length < _EPSILON:
            return 1.0, 0.0, -self.radius
        return dx / length, dy / length, length - self.radius


@dataclass(frozen=True)
class Box:
    """A rectangular footprint (m): half sizes along its own axes, which are turned by `yaw` degrees."""

    x: float
    y: float
    half_x: float
    half_y: float
    yaw: float = 0.0

    @property
    def reach(self) -> float:
        """How far from its middle it ends."""
        return math.hypot(self.half_x, self.half_y)

    def nearest(self, x: float, y: float) -> tuple[float, float, float]:
        """The way out from (x, y): a unit vector, and the distance to the rim (negative inside)."""
        c, s = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        u, v = c * (x - self.x) + s * (y - self.y), -s * (x - self.x) + c * (y - self.y)
        out_u, out_v = abs(u) - self.half_x, abs(v) - self.half_y
        if out_u > 0 and out_v > 0:  # beyond a corner
            length = math.hypot(out_u, out_v)
            n_u, n_v, distance = math.copysign(out_u / length, u), math.copysign(out_v / length, v), length
        elif out_u > out_v:
            n_u, n_v, distance = math.copysign(1.0, u), 0.0, out_u
        else:
            n_u, n_v, distance = 0.0, math.copysign(1.0, v), out_v
        return c * n_u - s * n_v, s * n_u + c * n_v, distance


@dataclass(frozen=True)
class Ground:
    """A rectangle of floor and what stands on it (m)."""

    low: tuple[float, float]
    high: tuple[float, float]
    footprints: tuple[Circle | Box, ...]

    def is_free(self, x: float, y: float) -> bool:
        """Whether the eye may be at (x, y)."""
        inside = all(
            lo - _EPSILON <= value - MARGIN and value + MARGIN <= hi + _EPSILON
            for value, lo, hi in zip((x, y), self.low, self.high, strict=True)
        )
        return inside and all(
            f.nearest(x, y)[2] >= MARGIN - _EPSILON
            for f, reach in self._reaches
            if abs(x - f.x) < reach and abs(y - f.y) < reach
        )

    def slide(self, pose: Pose, action: Action) -> Pose:
        """The pose after `action`: free places are exact, obstacles turn a step into a slide along them.

        A turn is always exact; a look ends at MAX_PITCH.
        """
        aim = pose.moved(action)
        pitch = min(max(aim.pitch, -MAX_PITCH), MAX_PITCH)
        x, y = aim.x, aim.y
        if not self._way_is_free(pose, aim):
            pieces = max(1, math.ceil(math.hypot(aim.x - pose.x, aim.y - pose.y) / _STRIDE))
            x, y = pose.x, pose.y
            for _ in range(pieces):
                before = x, y
                x, y = self._settle(x, y, (aim.x - pose.x) / pieces, (aim.y - pose.y) / pieces)
                if math.dist(before, (x, y)) < _EPSILON:
                    break  # it leads nowhere any more, however long the way is
        return replace(aim, x=float(x), y=float(y), pitch=pitch)  # footprints may be of NumPy's numbers

    def random_place(self, rng: np.random.Generator) -> tuple[float, float]:
        """A free (x, y), uniform over the free floor."""
        for _ in range(10_000):
            x, y = rng.uniform(self.low, self.high)
            if self.is_free(x, y):
                return float(x), float(y)
        raise ValueError("this ground has no free place: its footprints cover all of the floor")

    @cached_property
    def _reaches(self) -> tuple[tuple[Circle | Box, float], ...]:
        """Each footprint with how far from its middle, along x or y, it cannot be too near any more (m)."""
        return tuple((f, f.reach + MARGIN + _EPSILON) for f in self.footprints)

    def _way_is_free(self, pose: Pose, aim: Pose) -> bool:
        pieces = max(1, math.ceil(math.hypot(aim.x - pose.x, aim.y - pose.y) / _STRIDE))
        steps = (k / pieces for k in range(1, pieces + 1))
        return all(self.is_free(pose.x + t * (aim.x - pose.x), pose.y + t * (aim.y - pose.y)) for t in steps)

    def _settle(self, x: float, y: float, dx: float, dy: float) -> tuple[float, float]:
        """(x + dx, y + dy) pushed out of all that is too near, or (x, y) where that leads nowhere free."""
        new_x, new_y = x + dx, y + dy
        for _ in range(8):
            new_x = min(max(new_x, self.low[0] + MARGIN), self.high[0] - MARGIN)
            new_y = min(max(new_y, self.low[1] + MARGIN), self.high[1] - MARGIN)
            for footprint, reach in self._reaches:
                if abs(new_x - footprint.x) >= reach or abs(new_y - footprint.y) >= reach:
                    continue
                out_x, out_y, distance = footprint.nearest(new_x, new_y)
                if distance < MARGIN:
                    new_x += out_x * (MARGIN - distance)
                    new_y += out_y * (MARGIN - distance)
            if self.is_free(new_x, new_y):
                return new_x, new_y
        return x, y
