"""Nine rooms whose walls, doors, colours and things are drawn anew for every layout: here one must look."""

from __future__ import annotations

import numpy as np

from scenes import drawn, props, textures
from scenes.drawn import color
from scenes.mjcf import Blueprint, Builder, Corner

_CELLS = 3  # rooms on a side
_CELL = 3.2  # m
_HALF = _CELLS * _CELL / 2  # m, half the building
_HEIGHT = 2.4  # m
_THICK = 0.06  # m, of a wall on each side of the line between two rooms
_DOOR = 2.0  # m, the width of a doorway
_OPEN = 0.45  # chance that two rooms that need no door between them have no wall either
_FURNISHED = 0.8  # chance that something stands in a room
_PICTURED = 0.5  # chance that a picture hangs on a whole wall

Room = tuple[int, int]


def build(layout: int) -> Blueprint:
    """The building with that number."""
    rng = np.random.default_rng(layout)
    b = Builder((-_HALF, -_HALF), (_HALF, _HALF))
    b.sky(drawn.sky(int(rng.integers(drawn.NUM_SKIES))))
    b.sun((-0.45, 0.3, -0.9), 0.26)
    b.sun((0.6, -0.6, -0.5), 0.15, shadow=False)
    rooms = [(i, j) for i in range(_CELLS) for j in range(_CELLS)]
    hues = dict(zip(rooms, rng.permutation(len(rooms)) / len(rooms) + rng.uniform(), strict=True))
    doors = _doors(rng)
    for room in rooms:
        _lay_floor(b, room, hues[room], rng)
        _paint_walls(b, room, hues[room], doors, rng)
        if rng.random() < _FURNISHED:
            _furnish(b, room, rng)
    return b.finish()


def _doors(rng: np.random.Generator) -> dict[frozenset[Room], bool]:
    """The pairs of neighbours between which one can walk: through a doorway (True) or where no wall is (False).

    All rooms are joined, by doorways drawn as a spanning tree.
    """
    rooms = [(i, j) for i in range(_CELLS) for j in range(_CELLS)]
    pairs = [frozenset({(i, j), (i + a, j + c)}) for i, j in rooms for a, c in ((1, 0), (0, 1))]
    pairs = [pair for pair in pairs if all(max(room) < _CELLS for room in pair)]
    found: dict[frozenset[Room], bool] = {}
    group = {room: k for k, room in enumerate(rooms)}
    for k in rng.permutation(len(pairs)):
        one, other = pairs[k]
        if group[one] != group[other]:
            group = {room: group[one] if g == group[other] else g for room, g in group.items()}
            found[pairs[k]] = True
        elif rng.random() < _OPEN:
            found[pairs[k]] = False
    return found


def _lay_floor(b: Builder, room: Room, hue: float, rng: np.random.Generator) -> None:
    name = f"floor {room}"
    first, second = color(hue + 0.08, 0.35, 0.8), color(hue + 0.08, 0.4, 0.5)
    kinds = (
        lambda: textures.checker(first, second),
        lambda: textures.planks(first, second, 3, seed=int(rng.integers(99))),
        lambda: textures.stones(first, second, seed=int(rng.integers(99))),
    )
    b.texture(name, kinds[rng.integers(len(kinds))]())
    x, y = _corner(room)
    b.floor(name, tile=1.4, low=(x, y), high=(x + _CELL, y + _CELL))


def _paint_walls(
    b: Builder, room: Room, hue: float, doors: dict[frozenset[Room], bool], rng: np.random.Generator
) -> None:
    """The four sides of a room as they are seen from within: a wall, a wall with a doorway, or nothing."""
    trim = color(hue, 0.7, 0.25)
    looks = [f"wall {room} {k}" for k in range(2)]
    for look in looks:
        b.texture(look, drawn.PATTERNS[rng.integers(len(drawn.PATTERNS))](rng, hue))
    x, y = _corner(room)
    corners = [(x + _CELL, y), (x + _CELL, y + _CELL), (x, y + _CELL), (x, y)]
    for side, (a, c) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):  # east, north, west, south
        start, end = ((px - _THICK * a, py - _THICK * c) for px, py in (corners[side], corners[(side + 1) % 4]))
        look, door = looks[side % 2], doors.get(frozenset({room, (room[0] + a, room[1] + c)}))
        if door is None:
            props.edged_wall(b, start, end, _HEIGHT, look, trim, tile=1.3)
            if rng.random() < _PICTURED:
                middle = _between(start, end, 0.5)
                size = (float(rng.uniform(0.8, 1.2)), float(rng.uniform(0.7, 1.0)))
                at = (*middle, 1.45)
                props.picture(b, f"picture {room} {side}", drawn.picture(rng), at, 180 + 90 * side, size)
        elif door:
            share = (1 - _DOOR / _CELL) / 2
            for low, high in ((0.0, share), (1 - share, 1.0)):
                props.edged_wall(
                    b, _between(start, end, low), _between(start, end, high), _HEIGHT, look, trim, tile=1.3
                )
            lintel = _between(start, end, share), _between(start, end, 1 - share)
            b.wall(*lintel, _HEIGHT - 2.0, trim, base=2.0, solid=False)


def _furnish(b: Builder, room: Room, rng: np.random.Generator) -> None:
    """Something in one of the room's corners."""
    x, y = _corner(room)
    away = 0.5
    sx, sy = rng.choice([-1, 1], 2)
    at = (x + _CELL / 2 + sx * (_CELL / 2 - away), y + _CELL / 2 + sy * (_CELL / 2 - away))
    yaw = float(np.degrees(np.arctan2(-sy, -sx)))
    kind = int(rng.integers(6))
    with b.at(*at, 0, yaw, thing=("globe", "lamp", "plant", "blocks", "column", "")[kind]):
        match kind:
            case 0:
                props.globe(b)
            case 1:
                props.floor_lamp(b, drawn.any_color(rng))
            case 2:
                drawn.plant(b, rng)
            case 3:
                drawn.blocks(b, rng)
            case 4:
                drawn.column(b, rng, _HEIGHT)
            case _:
                drawn.pedestal(b, rng)


def _corner(room: Room) -> Corner:
    """The south-west corner of a room."""
    return room[0] * _CELL - _HALF, room[1] * _CELL - _HALF


def _between(start: Corner, end: Corner, share: float) -> Corner:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
