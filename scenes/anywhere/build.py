"""A place that nobody has seen, indoors or out: its size, walls, colours and things are drawn anew from a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes import drawn, props, textures
from scenes.drawn import any_color, color
from scenes.mjcf import Blueprint, Builder, Corner

_SMALLEST, _LARGEST = 2.3, 4.4  # m, half a side
_INDOORS = 0.65  # chance
_CEILED = 0.4  # chance of a ceiling
_DIVIDED = 0.5  # chance of a wall that goes half way across
_PLAIN = 0.3  # chance that a wall has two plain colours instead of a pattern
_PICTURED = 0.6  # chance that a picture hangs on a wall
_APART = 1.45  # m, between things that stand about: one can walk between them
_SIDES = ((1, 0), (0, 1), (-1, 0), (0, -1))  # east, north, west, south


@dataclass(frozen=True)
class _Room:
    """What all of a place shares."""

    b: Builder
    rng: np.random.Generator
    half: Corner  # m
    height: float  # m, of the walls
    indoors: bool

    def wall(self, side: int) -> tuple[Corner, Corner]:
        """From where to where a side's wall goes, its face to the middle."""
        (x, y), (a, c) = self.half, _SIDES[side]
        return (x * (a + c), y * (c - a)), (x * (a - c), y * (c + a))


def build(layout: int) -> Blueprint:
    """The place with that number."""
    rng = np.random.default_rng((layout, 1))
    half = float(rng.uniform(_SMALLEST, _LARGEST)), float(rng.uniform(_SMALLEST, _LARGEST))
    indoors = bool(rng.random() < _INDOORS)
    b = Builder((-half[0], -half[1]), half, ambient=float(rng.uniform(0.66, 0.82)))
    room = _Room(b, rng, half, float(rng.uniform(2.2, 3.0) if indoors else rng.uniform(0.9, 1.8)), indoors)
    b.sky(drawn.sky(int(rng.integers(drawn.NUM_SKIES))))
    turn = rng.uniform(0, 2 * math.pi)
    b.sun((0.6 * math.cos(turn), 0.6 * math.sin(turn), -0.9), float(rng.uniform(0.15, 0.3)))
    b.sun((-0.6 * math.cos(turn), -0.6 * math.sin(turn), -0.6), 0.15, shadow=False)
    _lay_floor(room)
    hues = rng.uniform() + rng.choice([0.0, 0.08, 0.25]) * np.arange(len(_SIDES))
    for side, hue in enumerate(hues):
        _raise_wall(room, side, float(hue))
    taken = _divide(room, float(hues[0]) + 0.5) if rng.random() < _DIVIDED else []
    _furnish(room, taken)
    if not indoors:
        _look_out(room)
    return b.finish()


def _pattern(room: _Room, name: str, hue: float) -> str:
    """Paints a pattern under that name."""
    room.b.texture(name, drawn.PATTERNS[room.rng.integers(len(drawn.PATTERNS))](room.rng, hue))
    return name


def _lay_floor(room: _Room) -> None:
    b, rng, hue = room.b, room.rng, room.rng.uniform()
    first = color(hue, rng.uniform(0.1, 0.6), rng.uniform(0.5, 0.95))
    second = color(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.1, 0.6), rng.uniform(0.25, 0.7))
    seed = int(rng.integers(99))
    kinds = (
        textures.checker(first, second),
        textures.planks(first, second, 3, seed=seed),
        textures.stones(first, second, seed=seed),
        textures.stripes((first, second)),
        textures.diamonds(first, second, first),
    )
    b.texture("floor", kinds[rng.integers(len(kinds))])
    b.floor("floor", tile=float(rng.uniform(0.9, 2.2)))
    if rng.random() < 0.4:
        b.texture("rug", textures.quarters([any_color(rng) for _ in range(4)], any_color(rng)))
        size = rng.uniform(0.5, 0.9, 2) * room.half
        b.box((0, 0, 0.01), (float(size[0]), float(size[1]), 0.02), "rug")
    if room.indoors and rng.random() < _CEILED:
        x, y = room.half
        look = _pattern(room, "ceiling", hue + 0.5)
        b.box((0, 0, room.height + 0.05), (2 * x + 0.2, 2 * y + 0.2, 0.1), look, tile=float(rng.uniform(1, 2)))


def _raise_wall(room: _Room, side: int, hue: float) -> None:
    b, rng, (start, end) = room.b, room.rng, room.wall(side)
    trim = color(hue, rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.5))
    if rng.random() < _PLAIN:
        low = room.height * rng.uniform(0.4, 0.6)
        b.wall(start, end, low, any_color(rng))
        b.wall(start, end, room.height - low, color(hue, rng.uniform(0.1, 0.5), 0.9), base=low, solid=False)
        b.wall(start, end, 0.1, trim, base=low - 0.05, thickness=-0.03, solid=False)
    else:
        look, tile = _pattern(room, f"wall {side}", hue), float(rng.uniform(0.8, 1.9))
        if room.indoors and rng.random() < 0.6:
            props.edged_wall(b, start, end, room.height, look, trim, tile=tile)
        else:
            b.wall(start, end, room.height, look, tile=tile)
    if room.indoors and rng.random() < _PICTURED:
        share, (width, height) = float(rng.uniform(0.25, 0.75)), rng.uniform(0.7, 1.2, 2)
        at = start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]), 1.5
        props.picture(b, f"picture {side}", drawn.picture(rng), at, 180 + 90 * side, (float(width), float(height)))


def _divide(room: _Room, hue: float) -> list[Corner]:
    """A wall from one side to near the middle; points on it, which things keep away from."""
    b, rng, side = room.b, room.rng, int(room.rng.integers(len(_SIDES)))
    start, end = room.wall(side)
    share, (a, c) = float(rng.uniform(0.42, 0.58)), _SIDES[side]
    x, y = (p + share * (q - p) for p, q in zip(start, end, strict=True))
    length = float(rng.uniform(0.6, 1.0)) * (room.half[0] if a else room.half[1]) - 0.3
    tip = x - length * a, y - length * c
    look = _pattern(room, "divide", hue)
    height = room.height if rng.random() < 0.6 else float(rng.uniform(0.8, 1.2))
    nx, ny = 0.06 * c, -0.06 * a
    for one, other in (((x + nx, y + ny), (tip[0] + nx, tip[1] + ny)), ((tip[0] - nx, tip[1] - ny), (x - nx, y - ny))):
        b.wall(one, other, height, look, tile=1.3)
    b.box((*tip, height / 2), (0.16, 0.16, height), any_color(rng))
    return [(x + k * (tip[0] - x) / 4, y + k * (tip[1] - y) / 4) for k in range(5)]


def _furnish(room: _Room, taken: list[Corner]) -> None:
    """Things in the corners and about the room, so far apart that one can walk around them."""
    b, rng, (x, y) = room.b, room.rng, room.half
    kinds: dict[str, Callable[[], None]] = {
        "globe": lambda: props.globe(b),
        "lamp": lambda: props.floor_lamp(b, any_color(rng)),
        "plant": lambda: drawn.plant(b, rng),
        "blocks": lambda: drawn.blocks(b, rng),
        "column": lambda: drawn.column(b, rng, room.height if room.indoors else float(rng.uniform(1.2, 2.2))),
        "totem": lambda: drawn.totem(b, rng),
        "tree": lambda: drawn.tree(b, rng, float(rng.uniform(1.6, 2.6))),
        "": lambda: drawn.pedestal(b, rng),
    }
    corners = [(i * (x - 0.45), j * (y - 0.45)) for i in (-1, 1) for j in (-1, 1) if rng.random() < 0.6]
    about = []
    for _ in range(12):
        at = float(rng.uniform(-x + 1.8, x - 1.8)), float(rng.uniform(-y + 1.8, y - 1.8))
        if all(math.dist(at, other) > _APART + 0.7 for other in (*about, *taken)):
            about.append(at)
    for at in corners + about[: int(rng.integers(1, 4))]:
        kind = str(rng.choice(list(kinds)))
        with b.at(*at, 0, math.degrees(math.atan2(-at[1], -at[0])), thing=kind):
            kinds[kind]()


def _look_out(room: _Room) -> None:
    """A meadow beyond the walls, with trees and houses on it."""
    b, rng = room.b, room.rng
    b.box((0, 0, -0.12), (40, 40, 0.1), color(rng.uniform(0.05, 0.45), rng.uniform(0.2, 0.6), rng.uniform(0.5, 0.9)))
    for k in range(8):
        turn = 2 * math.pi * (k + rng.uniform(-0.3, 0.3)) / 8
        away = max(room.half) + rng.uniform(1.5, 5)
        with b.at(away * math.cos(turn), away * math.sin(turn), 0, float(rng.uniform(0, 360))):
            if rng.random() < 0.6:
                drawn.tree(b, rng, float(rng.uniform(2.5, 5)))
            else:
                b.box((0, 0, 1.2), (2.2, 1.8, 2.4), any_color(rng))
                b.box((0, 0, 2.5), (2.5, 2.1, 0.2), any_color(rng))
                b.box((1.1, 0.3, 1.3), (0.06, 0.6, 0.8), color(0.55, 0.3, 0.95))
