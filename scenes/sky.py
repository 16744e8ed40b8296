"""A painted sky: a colour for every direction, drawn on the six faces of MuJoCo's sky box."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from world.types import Frame

Floats: TypeAlias = NDArray[np.float64]
SkyPainter: TypeAlias = Callable[[Floats, Floats], Floats]
"""(azimuth, elevation) in degrees, [H, W] each -> colour in [0, 1], [H, W, 3]."""

_SIZE = 512  # pixels, the side of a face

# For each face: the direction (x, y, z) as rows over (1, column, row), with column and row in [-1, 1] from the
# picture's top left. MuJoCo shows the side faces mirrored, seen from inside.
_FACES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "right": ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "left": ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "back": ((0, -1, 0), (1, 0, 0), (0, 0, -1)),
    "front": ((0, 1, 0), (-1, 0, 0), (0, 0, -1)),
    "up": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "down": ((0, 1, 0), (0, 0, 1), (-1, 0, 0)),
}
SIDES = tuple(_FACES)


def paint_sky(painter: SkyPainter) -> dict[str, Frame]:
    """The six faces, uint8 [512, 512, 3], by MuJoCo's names."""
    line = (np.arange(_SIZE) + 0.5) / _SIZE * 2 - 1
    row, column = np.meshgrid(line, line, indexing="ij")
    faces = {}
    for side, matrix in _FACES.items():
        x, y, z = np.einsum("ij,jhw->ihw", np.array(matrix, float), np.stack([np.ones_like(row), column, row]))
        azimuth, elevation = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
        faces[side] = (painter(azimuth, elevation).clip(0, 1) * 255).astype(np.uint8)
    return faces


@dataclass(frozen=True)
class Cloud:
    """A heap of soft ellipses around a direction (degrees)."""

    azimuth: float
    elevation: float
    width: float
    height: float
    color: str = "#ffffff"


@dataclass(frozen=True)
class Ridge:
    """Hills or mountains along the horizon, highest at `azimuth`, gone where `spread` degrees away."""

    azimuth: float
    spread: float
    height: float
    color: str
    teeth: float = 7.0  # peaks in 360 degrees
    sharp: bool = False


def landscape(
    colors: tuple[str, str, str],
    glow_azimuth: float,
    sun: tuple[float, float],
    clouds: Sequence[Cloud],
    ridges: Sequence[Ridge],
) -> SkyPainter:
    """A sky that differs in every direction: a gradient that glows on one side, a sun, clouds, ridges far to near.

    `colors` are those of the zenith, the horizon, and the horizon where it glows. Equal skies are one painter, by which
    what is painted can be kept.
    """
    return _landscape(colors, glow_azimuth, sun, tuple(clouds), tuple(ridges))


@functools.cache
def _landscape(
    colors: tuple[str, str, str],
    glow_azimuth: float,
    sun: tuple[float, float],
    clouds: tuple[Cloud, ...],
    ridges: tuple[Ridge, ...],
) -> SkyPainter:
    zenith, horizon, glow = (_rgb(color) for color in colors)

    def painter(azimuth: Floats, elevation: Floats) -> Floats:
        high = np.clip(elevation / 75, 0, 1)[..., None] ** 0.7
        toward = (0.5 + 0.5 * np.cos(np.radians(azimuth - glow_azimuth)))[..., None] ** 1.5
        color = _mix(_mix(horizon, glow, toward), zenith, high * (1 - 0.45 * toward))
        distance = _between(azimuth, elevation, *sun)
        color = _mix(color, _rgb("#fff3b0"), 0.7 * np.exp(-((distance / 14) ** 2))[..., None])
        color = _mix(color, _rgb("#ffe14d"), _soft(7 - distance, 0.8)[..., None])
        for cloud in clouds:
            near = np.abs(elevation - cloud.elevation) < cloud.height
            cover = 0.95 * _cloud_cover(cloud, azimuth[near], elevation[near])
            color[near] = _mix(color[near], _rgb(cloud.color), cover[..., None])
        for ridge in ridges:
            near = elevation < 2 * ridge.height
            cover = _soft(_ridge_height(ridge, azimuth[near]) - elevation[near], 0.4)
            color[near] = _mix(color[near], _rgb(ridge.color), cover[..., None])
        return color

    return painter


def _cloud_cover(cloud: Cloud, azimuth: Floats, elevation: Floats) -> Floats:
    shrink = np.cos(np.radians(np.clip(elevation, -80, 80)))
    x = ((azimuth - cloud.azimuth + 180) % 360 - 180) * shrink / cloud.width
    y = (elevation - cloud.elevation) / cloud.height
    puffs = ((0.0, 0.0, 0.5), (-0.33, -0.1, 0.33), (0.34, -0.08, 0.36), (0.1, 0.2, 0.34))
    inside = np.max([radius - np.hypot(x - px, y - py) for px, py, radius in puffs], axis=0)
    return _soft(inside, 0.06)


def _ridge_height(ridge: Ridge, azimuth: Floats) -> Floats:
    away = np.abs((azimuth - ridge.azimuth + 180) % 360 - 180) / ridge.spread
    phase = np.radians(azimuth - ridge.azimuth)
    wave = np.cos(ridge.teeth * phase) + 0.35 * np.cos((2 * ridge.teeth + 1) * phase + 1)
    if ridge.sharp:
        wave = 2.4 * (1 - np.abs(((ridge.teeth * phase / np.pi) % 2) - 1)) - 1.2
        wave = wave + 0.5 * np.cos((ridge.teeth / 2 + 1) * phase)
    return ridge.height * (1 + 0.35 * wave) * np.clip(1.15 - away**2, 0, 1) - 1


def _between(azimuth: Floats, elevation: Floats, other_azimuth: float, other_elevation: float) -> Floats:
    a, b = np.radians(elevation), np.radians(other_elevation)
    cosine = np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(np.radians(azimuth - other_azimuth))
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def _soft(inside: Floats, width: float) -> Floats:
    return np.clip(inside / width + 0.5, 0, 1)


def _rgb(color: str) -> Floats:
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _mix(a: Floats, b: Floats, weight: Floats) -> Floats:
    return a + (b - a) * weight
