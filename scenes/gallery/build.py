"""Four rooms joined by doorways in a ring: every wall, floor, picture and statue differs."""

from __future__ import annotations

from dataclasses import dataclass

from scenes import props, textures
from scenes.mjcf import Blueprint, Builder
from scenes.sky import Cloud, Ridge, landscape
from scenes.textures import Paint

_HALF = 4.2  # m, half the building
_HEIGHT = 2.5  # m
_THICK = 0.08  # m, half an inner wall
_DOOR = (1.3, 2.9)  # m, where a doorway begins and ends along an inner wall


@dataclass(frozen=True)
class _Room:
    """A quadrant: the signs of x and y, and the looks of its walls (outer along x, outer along y, inner, inner)."""

    name: str
    x: int
    y: int
    floor: Paint
    trim: str
    walls: tuple[Paint, Paint, Paint, Paint]
    tiles: tuple[float, float, float, float]  # m
    pictures: tuple[Paint, Paint, Paint, Paint]


def build() -> Blueprint:
    """The scene: blue in the north-east, orange north-west, green south-west, purple south-east."""
    b = Builder((-_HALF, -_HALF), (_HALF, _HALF))
    b.sky(
        landscape(
            ("#4a5fc1", "#b7d3f7", "#ffb48a"),
            0,
            (0, 50),
            [
                Cloud(45, 42, 56, 20, "#ffe3cf"),
                Cloud(90, 34, 50, 20),
                Cloud(140, 58, 70, 22, "#f4f0ff"),
                Cloud(-135, 38, 60, 26),
                Cloud(-90, 60, 44, 16),
                Cloud(-40, 36, 46, 16, "#ffd0d0"),
                Cloud(180, 33, 40, 14, "#d6e4ff"),
            ],
            [Ridge(135, 90, 22, "#6d78b8", 8, sharp=True), Ridge(-45, 80, 18, "#c98f86", 5)],
        )
    )
    b.sun((-0.45, 0.3, -0.9), 0.26)
    b.sun((0.6, -0.6, -0.5), 0.15, shadow=False)
    for room in (_blue(), _orange(), _green(), _purple()):
        _build_room(b, room)
    _doorways(b)
    _statues(b)
    return b.finish()


def _build_room(b: Builder, room: _Room) -> None:
    x, y, n = room.x, room.y, room.name
    b.texture(f"{n} floor", room.floor)
    corners = sorted((0, x * _HALF)), sorted((0, y * _HALF))
    b.floor(f"{n} floor", tile=1.4, low=(corners[0][0], corners[1][0]), high=(corners[0][1], corners[1][1]))
    for k, pixels in enumerate(room.walls):
        b.texture(f"{n} {k}", pixels)
    # Built as for the north-east room and mirrored by the signs; a mirrored wall runs the other way.
    far, near, (door_from, door_to) = _HALF, _THICK, _DOOR
    segments = [
        (0, (far, far), (0, far), 0.0),
        (1, (far, 0), (far, far), 0.0),
        (2, (0, near), (door_from, near), 0.0),
        (2, (door_to, near), (far, near), 0.0),
        (2, (door_from, near), (door_to, near), 2.05),
        (3, (near, door_from), (near, 0), 0.0),
        (3, (near, far), (near, door_to), 0.0),
        (3, (near, door_to), (near, door_from), 2.05),
    ]
    for k, start, end, base in segments:
        a, z = (start[0] * x, start[1] * y), (end[0] * x, end[1] * y)
        a, z = (a, z) if x * y > 0 else (z, a)
        b.wall(a, z, _HEIGHT - base, f"{n} {k}", tile=room.tiles[k], base=base, thickness=_THICK, solid=base == 0)
        if base == 0:
            b.wall(a, z, 0.16, room.trim, thickness=-0.03, solid=False)
        b.wall(a, z, 0.14, room.trim, base=_HEIGHT - 0.14, thickness=-0.04, solid=False)
    south, west = 90 * y, 90 - 90 * x  # the yaws that inner walls face
    props.picture(b, f"{n} p0", room.pictures[0], (x * 1.9, y * far, 1.5), -south, (1.1, 0.85))
    props.picture(b, f"{n} p1", room.pictures[1], (x * far, y * 1.9, 1.5), 180 - west, (1.1, 0.85))
    props.picture(b, f"{n} p2", room.pictures[2], (x * 3.55, y * near, 1.5), south, (0.75, 0.9))
    props.picture(b, f"{n} p3", room.pictures[3], (x * near, y * 3.55, 1.5), west, (0.75, 0.9))


def _doorways(b: Builder) -> None:
    """A painted frame around each doorway."""
    middle, width = sum(_DOOR) / 2, _DOOR[1] - _DOOR[0]
    for x, y, yaw, color in (
        (0, middle, 0, "#f2c230"),
        (0, -middle, 0, "#e53935"),
        (middle, 0, 90, "#ffffff"),
        (-middle, 0, 90, "#1b1b2f"),
    ):
        with b.at(x, y, 0, yaw):
            for side in (1, -1):
                b.box((0, side * (width / 2 - 0.03), 1.03), (0.26, 0.14, 2.06), color)
            b.box((0, 0, 2.1), (0.26, width + 0.08, 0.16), color)


def _statues(b: Builder) -> None:
    c = 3.1
    for x, y, yaw, color, statue in (
        (c, c, -135, "#f3f1ea", _head),
        (-c, c, -45, "#3b3b46", _totem),
        (-c, -c, 45, "#e0c38c", _cactus),
        (c, -c, 135, "#ffe066", _cubes),
    ):
        with b.at(x, y, 0, yaw):
            b.box((0, 0, 0.08), (0.72, 0.72, 0.16), "#2b2b33")
            b.box((0, 0, 0.5), (0.54, 0.54, 0.8), color)
            b.block_box((-0.4, 0), (1.4, 0.6))  # and the corner behind it
            with b.at(0, 0, 0.9, thing=statue.__name__.strip("_")):
                statue(b)


def _head(b: Builder) -> None:
    b.cylinder((0, 0, 0.1), 0.14, 0.24, "#1565c0")
    b.ball((0, 0, 0.5), (0.5, 0.46, 0.66), "#f5d6b3")
    b.ball((-0.07, 0, 0.62), (0.52, 0.52, 0.56), "#b3402a")
    b.ball((0.26, 0, 0.46), (0.18, 0.11, 0.16), "#e8a27c")
    for y in (0.1, -0.1):
        b.ball((0.21, y, 0.56), 0.11, "#ffffff")
        b.ball((0.25, y, 0.56), 0.06, "#1b1b1b")
    b.box((0.2, 0, 0.32), (0.08, 0.18, 0.05), "#c62828")


def _totem(b: Builder) -> None:
    b.ball((0, 0, 0.2), 0.44, "#1e88e5")
    b.box((0, 0, 0.48), (0.34, 0.5, 0.2), "#fdd835")
    b.ball((0, 0, 0.72), 0.36, "#e53935")
    b.cylinder((0, 0.0, 0.95), 0.2, 0.14, "#43a047")
    b.ball((0.16, 0, 0.74), 0.14, "#ffffff")
    b.capsule((0, 0.2, 0.74), (0, 0.42, 0.9), 0.05, "#ffffff")
    b.capsule((0, -0.2, 0.74), (0, -0.4, 0.56), 0.05, "#1b1b1b")


def _cactus(b: Builder) -> None:
    b.cylinder((0, 0, 0.1), 0.24, 0.2, "#d2691e")
    b.capsule((0, 0, 0.2), (0, 0, 0.95), 0.14, "#2e9e4f")
    b.capsule((0, 0.1, 0.45), (0, 0.34, 0.45), 0.08, "#2e9e4f")
    b.capsule((0, 0.34, 0.45), (0, 0.34, 0.8), 0.08, "#38b35c")
    b.capsule((0, -0.1, 0.62), (0, -0.3, 0.62), 0.07, "#2e9e4f")
    b.capsule((0, -0.3, 0.62), (0, -0.3, 0.78), 0.07, "#38b35c")
    b.ball((0, 0, 1.12), (0.24, 0.24, 0.16), "#ff4081")
    b.ball((0.14, 0, 0.6), (0.08, 0.14, 0.3), "#ffeb3b")


def _cubes(b: Builder) -> None:
    b.box((0, 0, 0.16), (0.46, 0.46, 0.32), "#00acc1", yaw=10)
    b.box((0, 0, 0.46), (0.36, 0.36, 0.28), "#ff7043", yaw=40)
    b.box((0.02, 0, 0.72), (0.26, 0.26, 0.24), "#7cb342", yaw=-15)
    b.ball((0, 0, 0.98), 0.28, "#ffffff")
    b.ball((0.24, 0.0, 0.2), (0.1, 0.3, 0.22), "#fdd835")


def _blue() -> _Room:
    target = textures.rings(("#e53935", "#ffffff", "#1e88e5", "#ffffff"))
    return _Room(
        "blue",
        1,
        1,
        textures.checker("#f4f7fa", "#2c6fb0"),
        "#0d2f55",
        (
            textures.waves("#2f86c9", "#8cc8ee"),
            textures.stripes(("#1c5f9e", "#dceefb")),
            textures.dots("#3fa7c4", "#e9fbff"),
            textures.panels("#27408b", "#5f7fd6"),
        ),
        (1.4, 1.2, 1.0, 1.25),
        (textures.painting("sea"), textures.painting("fish"), textures.painting("moon"), target),
    )


def _orange() -> _Room:
    flag = textures.stripes(("#1b1b1b", "#ffca28", "#1b1b1b", "#ffca28"), across=True)
    return _Room(
        "orange",
        -1,
        1,
        textures.planks("#a9713f", "#6e4523", 3, seed=5),
        "#4a1d0d",
        (
            textures.bricks("#c8553d", "#f2d9c4", 4, 2, seed=8),
            textures.zigzag(("#f28f3b", "#ffd5a1", "#c8553d")),
            textures.stripes(("#f6c453", "#fff2cf")),
            textures.diamonds("#e76f3c", "#f9a66c", "#fff0dc"),
        ),
        (1.6, 1.3, 0.9, 0.95),
        (textures.painting("desert"), textures.painting("cat"), flag, textures.painting("pear")),
    )


def _green() -> _Room:
    return _Room(
        "green",
        -1,
        -1,
        textures.stones("#a9b58a", "#55603f", seed=4),
        "#16351f",
        (
            textures.bricks("#5fa84f", "#e3f2c8", 4, 2, seed=6),
            textures.planks("#7fb069", "#3d6b35", 4, seed=2),
            textures.checker("#3c9d6b", "#c8ebd3"),
            textures.waves("#1f6f50", "#7ccf9a"),
        ),
        (1.6, 1.4, 0.8, 1.0),
        (textures.painting("tree"), textures.painting("grid"), textures.painting("bird"), textures.painting("sun")),
    )


def _purple() -> _Room:
    return _Room(
        "purple",
        1,
        -1,
        textures.checker("#f7d65a", "#6a3fa0"),
        "#2b1145",
        (
            textures.dots("#7d4fb8", "#ffd1ec"),
            textures.diamonds("#5b2a86", "#a86fd1", "#f3e1ff"),
            textures.stripes(("#d46a9f", "#f9d3e4")),
            textures.panels("#8e3b7d", "#c77fb9"),
        ),
        (1.1, 1.1, 0.8, 1.25),
        (
            textures.painting("heart"),
            textures.painting("city"),
            textures.painting("halves"),
            textures.painting("cross"),
        ),
    )
