"""Things that stand in several scenes: each is built at the origin of the builder's frame, on z = 0, facing +x."""

from __future__ import annotations

import math

from scenes.mjcf import Builder, Corner, Point
from scenes.textures import Paint


def picture(b: Builder, name: str, paint: Paint, at: Point, yaw: float, size: tuple[float, float]) -> None:
    """A framed picture (width, height in m) around `at` on a wall that faces `yaw` degrees."""
    b.texture(name, paint)
    with b.at(*at, yaw, thing="picture"):
        width, height = size
        b.box((0.02, 0, 0), (height + 0.12, width + 0.12, 0.05), "#3a2618", tilt=(0, 90, 0))
        b.box((0.04, 0, 0), (width, height, 0.05), name, tilt=(90, 0, 90))


def edged_wall(b: Builder, start: Corner, end: Corner, height: float, look: str, trim: str, *, tile: float) -> None:
    """A wall with a skirting board and a cornice of the colour `trim`."""
    b.wall(start, end, height, look, tile=tile)
    b.wall(start, end, 0.14, trim, thickness=-0.03, solid=False)
    b.wall(start, end, 0.16, trim, base=height - 0.16, thickness=-0.05, solid=False)


def globe(b: Builder) -> None:
    """A globe on a column, 1.6 m high."""
    b.cylinder((0, 0, 0.06), 0.3, 0.12, "#5a4632")
    b.cylinder((0, 0, 0.5), 0.17, 0.8, "#e8e0d0")
    b.cylinder((0, 0, 0.93), 0.26, 0.08, "#5a4632")
    b.ball((0, 0, 1.28), 0.62, "#2f7fd6")
    for y, z, size, color in ((0.1, 1.36, 0.3, "#4caf50"), (-0.12, 1.2, 0.26, "#8bc34a")):
        b.ball((0.2, y, z), (0.24, size, size), color)
    b.ball((-0.19, 0.06, 1.3), (0.24, 0.42, 0.3), "#e0b050")
    b.ball((0, 0, 1.56), (0.3, 0.3, 0.12), "#ffffff")
    b.block_circle((0, 0), 0.3)


def floor_lamp(b: Builder, shade: str) -> None:
    """A lamp with a big shade, 1.9 m high."""
    b.cylinder((0, 0, 0.03), 0.22, 0.06, "#2b2b2b")
    b.cylinder((0, 0, 0.8), 0.04, 1.5, "#2b2b2b")
    b.cylinder((0, 0, 1.6), 0.34, 0.36, shade)
    b.cylinder((0, 0, 1.82), 0.22, 0.1, "#fff3c4")
    b.cylinder((0, 0, 1.4), 0.36, 0.05, "#7a3b10")
    b.block_circle((0, 0), 0.25)


def pot_plant(b: Builder, pot: str, leaf: str, other_leaf: str) -> None:
    """A plant with big leaves in a pot, 1.7 m high."""
    b.cylinder((0, 0, 0.25), 0.26, 0.5, pot)
    b.cylinder((0, 0, 0.5), 0.3, 0.08, "#ffffff")
    b.cylinder((0, 0, 0.8), 0.05, 0.6, "#6b4a2a")
    for k in range(6):
        turn = math.radians(60 * k)
        reach, up = (0.3, 1.05) if k % 2 else (0.22, 1.35)
        at = (reach * math.cos(turn), reach * math.sin(turn), up)
        b.ball(at, (0.6, 0.26, 0.2), leaf if k % 2 else other_leaf, tilt=(0, -35, 60 * k))
    b.ball((0, 0, 1.5), (0.3, 0.3, 0.4), other_leaf)
    b.block_circle((0, 0), 0.3)


def car(b: Builder) -> None:
    """A toy car, 0.9 m long."""
    b.box((0, 0, 0.22), (0.9, 0.42, 0.2), "#d92b2b")
    b.box((-0.06, 0, 0.4), (0.46, 0.38, 0.2), "#f2f2f2")
    b.box((-0.06, 0, 0.4), (0.36, 0.4, 0.13), "#3b8fd0")  # side windows
    b.box((-0.06, 0, 0.4), (0.48, 0.3, 0.13), "#2a6aa8")  # wind screens
    b.box((-0.06, 0, 0.52), (0.46, 0.38, 0.04), "#d92b2b")
    b.box((0.31, 0, 0.325), (0.27, 0.14, 0.02), "#ffffff")
    for x in (0.28, -0.28):
        for y in (0.2, -0.2):
            b.cylinder((x, y, 0.13), 0.13, 0.1, "#1d1d1d", tilt=(90, 0, 0))
            b.cylinder((x, y * 1.12, 0.13), 0.06, 0.07, "#d8d8d8", tilt=(90, 0, 0))
    for y in (0.14, -0.14):
        b.ball((0.45, y, 0.25), (0.08, 0.13, 0.12), "#ffe14d")
        b.box((-0.45, y, 0.26), (0.04, 0.1, 0.1), "#7a0d0d")
    b.box((-0.46, 0, 0.17), (0.03, 0.2, 0.08), "#ffffff")
    b.box((0.47, 0, 0.14), (0.05, 0.44, 0.06), "#8a8a8a")


def house(b: Builder) -> None:
    """A doll's house, 0.7 m high; its door faces +x."""
    b.box((0, 0, 0.02), (0.84, 0.84, 0.04), "#58a84c")
    b.box((0, 0, 0.22), (0.52, 0.6, 0.4), "#f4e3b2")
    for side in (1, -1):
        b.box((0, side * 0.17, 0.53), (0.66, 0.5, 0.05), "#c0392b" if side > 0 else "#e0663a", tilt=(-side * 40, 0, 0))
    for x in (0.245, -0.245):
        b.box((x, 0, 0.48), (0.03, 0.36, 0.16), "#f4e3b2")
    b.box((0.27, 0.0, 0.17), (0.03, 0.16, 0.28), "#20639b")
    for y in (0.2, -0.2):
        b.box((0.265, y, 0.26), (0.03, 0.13, 0.13), "#ffd54a")
        b.box((-0.265, y, 0.26), (0.03, 0.15, 0.2), "#2e7d4f")
    b.box((0, 0.305, 0.25), (0.26, 0.03, 0.18), "#7ec8f2")
    b.cylinder((0, -0.305, 0.25), 0.11, 0.03, "#8e44ad", tilt=(90, 0, 0))
    b.box((-0.14, 0.14, 0.68), (0.11, 0.11, 0.28), "#6d4c41")
    b.ball((0.32, 0.34, 0.14), 0.2, "#2f7d32")
    b.ball((0.32, -0.34, 0.1), 0.14, "#e84393")


def vase(b: Builder) -> None:
    """A vase with one handle (+y) and flowers, 0.9 m high; a sun is painted on its front."""
    b.cylinder((0, 0, 0.03), 0.16, 0.06, "#1f4e9c")
    b.ball((0, 0, 0.28), (0.46, 0.46, 0.5), "#2f6fd0")
    b.cylinder((0, 0, 0.28), 0.233, 0.1, "#ffffff")
    b.cylinder((0, 0, 0.54), 0.1, 0.14, "#2f6fd0")
    b.cylinder((0, 0, 0.61), 0.14, 0.04, "#ffffff")
    b.ball((0.17, 0, 0.3), (0.2, 0.26, 0.26), "#ffb300")
    b.ball((-0.18, 0, 0.3), (0.16, 0.16, 0.3), "#c0392b")
    b.capsule((0, 0.12, 0.54), (0, 0.32, 0.46), 0.035, "#ffd54a")
    b.capsule((0, 0.32, 0.46), (0, 0.22, 0.22), 0.035, "#ffd54a")
    flowers = ((0.12, 0.02, 0.84, "#e53935"), (-0.08, 0.12, 0.9, "#ffca28"), (-0.04, -0.14, 0.82, "#d05ce3"))
    for x, y, z, color in flowers:
        b.capsule((x / 3, y / 3, 0.58), (x, y, z), 0.022, "#2e7d32")
        b.ball((x, y, z), (0.17, 0.17, 0.12), color)
        b.ball((x, y, z + 0.04), 0.08, "#5d4037")


def teapot(b: Builder) -> None:
    """A teapot, spout to +x and handle to -x, 0.6 m high."""
    b.cylinder((0, 0, 0.03), 0.2, 0.06, "#e8e0d0")
    b.ball((0, 0, 0.27), (0.58, 0.58, 0.46), "#149c8c")
    b.cylinder((0, 0, 0.27), 0.292, 0.07, "#ffd54a")
    b.ball((0, 0, 0.46), (0.34, 0.34, 0.14), "#e8e0d0")
    b.ball((0, 0, 0.56), 0.12, "#e53935")
    b.capsule((0.24, 0, 0.22), (0.42, 0, 0.36), 0.065, "#0e6f64")
    b.capsule((0.42, 0, 0.36), (0.48, 0, 0.5), 0.05, "#0e6f64")
    b.capsule((-0.26, 0, 0.38), (-0.46, 0, 0.38), 0.04, "#f57c00")
    b.capsule((-0.46, 0, 0.38), (-0.44, 0, 0.18), 0.04, "#f57c00")
    b.capsule((-0.44, 0, 0.18), (-0.27, 0, 0.14), 0.04, "#f57c00")
    b.ball((0, 0.24, 0.3), (0.22, 0.14, 0.22), "#ff7eb6")
    b.ball((0, -0.24, 0.3), (0.22, 0.14, 0.22), "#3f51b5")


def robot(b: Builder) -> None:
    """A robot that looks along +x, 0.95 m high; one arm is green, the other orange."""
    for y in (0.1, -0.1):
        b.box((0, y, 0.1), (0.14, 0.13, 0.2), "#4a4a58")
        b.box((0.05, y, 0.03), (0.24, 0.15, 0.06), "#22222c")
    b.box((0, 0, 0.36), (0.28, 0.4, 0.34), "#7b61d1")
    b.box((0.14, 0, 0.38), (0.03, 0.24, 0.18), "#f2f2f2")
    b.ball((0.16, 0.05, 0.41), 0.09, "#e53935")
    b.ball((0.16, -0.05, 0.35), 0.09, "#43a047")
    b.box((-0.18, 0, 0.38), (0.12, 0.26, 0.26), "#f57c00")
    b.box((0, 0.25, 0.34), (0.13, 0.1, 0.34), "#2eb85c")
    b.box((0, -0.25, 0.42), (0.13, 0.1, 0.2), "#ffa726")
    b.box((0.12, -0.25, 0.36), (0.34, 0.1, 0.1), "#ffa726")
    b.box((0, 0, 0.68), (0.3, 0.36, 0.26), "#c9d1dc")
    for y in (0.09, -0.09):
        b.cylinder((0.155, y, 0.72), 0.06, 0.03, "#12304a", tilt=(0, 90, 0))
        b.cylinder((0.17, y, 0.72), 0.03, 0.03, "#ffe14d", tilt=(0, 90, 0))
    b.box((0.155, 0, 0.61), (0.03, 0.2, 0.05), "#d92b2b")
    b.cylinder((0, 0, 0.86), 0.02, 0.12, "#4a4a58")
    b.ball((0, 0, 0.94), 0.1, "#ff4081")


def duck(b: Builder) -> None:
    """A bath duck that looks along +x, 0.75 m high."""
    b.ball((0, 0, 0.22), (0.72, 0.5, 0.42), "#ffd21f")
    b.ball((-0.32, 0, 0.36), (0.3, 0.24, 0.2), "#ffb300", tilt=(0, 35, 0))
    for y, color in ((0.24, "#f5a300"), (-0.24, "#4fa3e3")):
        b.ball((-0.04, y, 0.26), (0.42, 0.14, 0.24), color)
    b.ball((0.2, 0, 0.54), 0.38, "#ffd21f")
    b.ball((0.42, 0, 0.5), (0.26, 0.24, 0.1), "#f4511e")
    for y in (0.1, -0.1):
        b.ball((0.34, y, 0.61), 0.11, "#ffffff")
        b.ball((0.385, y * 1.05, 0.615), 0.065, "#111111")
    b.cylinder((0.2, 0, 0.38), 0.15, 0.07, "#d92b2b")
    b.ball((0.17, 0, 0.72), (0.14, 0.2, 0.1), "#d92b2b")
