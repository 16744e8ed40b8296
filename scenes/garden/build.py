"""A garden with four different sides: brick wall, plank fence, hedge, white fence; each quarter has its own sight."""

from __future__ import annotations

import math

from scenes import props, textures
from scenes.mjcf import Blueprint, Builder
from scenes.sky import Cloud, Ridge, landscape
from scenes.textures import Paint

_HALF = 4.6  # m

_BOARDS = (
    "#c0392b",
    "#e67e22",
    "#f4b350",
    "#f7dc6f",
    "#e59866",
    "#d35400",
    "#a93226",
    "#884ea0",
    "#bb8fce",
    "#e8a0c0",
    "#c2507a",
    "#8d4a22",
    "#d7a86e",
    "#f0e2c0",
)


def build() -> Blueprint:
    """The scene: pond north-east, gazebo north-west, flowers south-west, statue south-east."""
    b = Builder((-_HALF, -_HALF), (_HALF, _HALF), ambient=0.76)
    b.sky(
        landscape(
            ("#2d7fe0", "#b5e0fa", "#fff0c0"),
            -30,
            (-35, 42),
            [
                Cloud(15, 36, 60, 22),
                Cloud(60, 56, 44, 16),
                Cloud(110, 40, 50, 22),
                Cloud(170, 52, 70, 22, "#fff4dc"),
                Cloud(-140, 34, 46, 18),
                Cloud(-95, 55, 60, 22, "#ffe3e3"),
                Cloud(-65, 30, 36, 12),
            ],
            [
                Ridge(90, 75, 20, "#8797c9", 10, sharp=True),
                Ridge(90, 50, 12, "#5f76b0", 14, sharp=True),
                Ridge(-90, 100, 9, "#79b36b", 6),
                Ridge(180, 70, 12, "#c0a36e", 4),
            ],
        )
    )
    b.sun((-0.75, 0.5, -0.95), 0.28)
    b.sun((0.6, -0.5, -0.5), 0.16, shadow=False)
    _ground(b)
    _sides(b)
    _outside(b)
    _pond(b)
    _gazebo(b)
    _flowers(b)
    _statue(b)
    _trees(b)
    _signpost(b)
    for x, y, width, depth in (
        (-3.7, 3.7, 1.8, 1.8),
        (3.2, 4.0, 2.8, 1.2),
        (3.7, -3.7, 1.8, 1.8),
        (-3.4, -3.2, 2.4, 2.8),
        (-3.5, -1.3, 0.9, 1.2),
    ):
        b.block_box((x, y), (width, depth))  # corners that nobody could reach or leave
    return b.finish()


def _ground(b: Builder) -> None:
    """Two tones of grass, a meadow outside, and a cross of flagstones."""
    b.texture("grass", textures.checker("#6fb548", "#5aa03c"))
    b.texture("stones", textures.stones("#d9c7a3", "#94835f", seed=2))
    b.floor("grass", tile=2.3)
    b.box((0, 0, -0.12), (40, 40, 0.1), "#8fbf5a")
    b.box((0, 0, 0.01), (1.3, 2 * _HALF, 0.02), "stones", tile=1.3)
    b.box((0, 0, 0.012), (2 * _HALF, 1.3, 0.02), "stones", tile=1.3)


def _sides(b: Builder) -> None:
    h = _HALF
    b.texture("bricks", textures.bricks("#c65b43", "#efd9bd", 4, 2, seed=5))
    b.texture("boards", textures.stripes(_BOARDS))
    b.texture("hedge", _hedge())
    b.texture("pickets", textures.stripes(("#ffffff", "#69b7e8")))
    b.wall((h, h), (-h, h), 1.9, "bricks", tile=1.9, thickness=0.2)
    b.box((0, h + 0.1, 1.95), (2 * h, 0.32, 0.12), "#f3ead7")
    b.wall((-h, h), (-h, -h), 1.6, "boards", thickness=0.1)
    b.box((-h, 0, 1.62), (0.16, 2 * h, 0.12), "#7b3f00")
    b.wall((-h, -h), (h, -h), 1.5, "hedge", thickness=0.4)
    b.box((0, -h - 0.2, 1.5), (2 * h, 0.44, 0.1), "#246b2a")
    b.wall((h, -h), (h, h), 1.15, "pickets", tile=0.7, thickness=0.1)
    for z in (0.25, 0.95):
        b.box((h - 0.02, 0, z), (0.1, 2 * h, 0.12), "#e53973")
    for x, y, color in ((h, h, "#ffffff"), (-h, h, "#7b3f00"), (-h, -h, "#1e6aa8"), (h, -h, "#8e24aa")):
        b.box((x, y, 1.1), (0.4, 0.4, 2.2), color)
        b.ball((x, y, 2.4), 0.5, "#ffd54a" if color != "#ffffff" else "#e53935")
        b.block_box((x, y), (0.4, 0.4))
    with b.at(0.0, h, 0, -90, thing="gate"):
        b.box((0.03, 0, 1.0), (0.1, 1.3, 2.0), "#1c4f9c")
        for y, color in ((-0.32, "#f2c230"), (0.32, "#e53935")):
            b.box((0.07, y, 1.4), (0.06, 0.42, 0.7), color)
            b.box((0.07, y, 0.5), (0.06, 0.42, 0.6), "#8ec9f0")
        b.ball((0.12, 0, 1.0), 0.16, "#ffffff")
        b.box((0.06, 0, 2.1), (0.2, 1.6, 0.24), "#ffffff")
        for y in (-0.72, 0.72):
            b.box((0.06, y, 1.0), (0.2, 0.18, 2.0), "#ffffff")
    for x, color in ((-3.0, "#8bc34a"), (3.0, "#7e57c2")):  # climbers on the brick wall
        b.ball((x, h - 0.05, 1.1), (1.1, 0.3, 1.5), "#3f8f3a")
        for k in range(5):
            b.ball((x + 0.32 * math.cos(1.3 * k), h - 0.2, 1.1 + 0.5 * math.sin(1.3 * k)), 0.22, color)


def _hedge() -> Paint:
    """Leaves in two greens, with blossoms whose colour tells how far along the hedge one is."""
    shapes: list[tuple[str, str, tuple[float, ...]]] = []
    for k in range(10):
        shapes.append(("box", "#3f9142" if k % 2 else "#2c7a35", (k / 10, 0, (k + 1) / 10, 1)))
        for n, y in enumerate((0.3, 0.7)):
            color = ("#f5e663", "#ff8fb1", "#ffffff", "#ff8a50", "#b39ddb")[(k + 2 * n) % 5]
            x = (k + 0.35 + 0.3 * n) / 10
            shapes.append(("disc", color, (x - 0.019, y - 0.12, x + 0.019, y + 0.12)))
    return textures.drawing("#2c7a35", shapes, (1024, 256))


def _outside(b: Builder) -> None:
    """Sights beyond the sides: a barn in the east, a mill in the south, a lighthouse in the west."""
    with b.at(9.5, 1.5, thing="barn"):
        b.box((0, 0, 1.4), (2.6, 3.6, 2.8), "#b23a32")
        for side in (1, -1):
            b.box((0, side * 0.95, 3.3), (2.8, 2.5, 0.14), "#5d4037", tilt=(-side * 35, 0, 0))
        b.box((-1.32, 0, 1.5), (0.06, 1.3, 1.7), "#ffffff")
        b.box((-1.36, 0, 1.5), (0.06, 0.9, 1.3), "#6d1f1a")
    with b.at(-1.8, -9.5, thing="mill"):
        b.cylinder((0, 0, 2.0), 1.0, 4.0, "#f5efe0")
        b.ball((0, 0, 4.1), (2.2, 2.2, 1.4), "#8e4a2a")
        for k in range(4):
            b.box(
                (0, 1.1, 3.7),
                (0.4, 0.08, 4.4) if k % 2 else (4.4, 0.08, 0.4),
                ("#e53935", "#1e88e5")[k % 2],
                tilt=(0, 30, 0),
            )
    with b.at(-9.0, 3.0, thing="lighthouse"):
        for k in range(4):
            b.cylinder((0, 0, 0.6 + 1.2 * k), 0.85 - 0.1 * k, 1.2, "#ffffff" if k % 2 else "#d32f2f")
        b.cylinder((0, 0, 5.1), 0.4, 0.6, "#ffeb3b")
        b.ball((0, 0, 5.5), (1.0, 1.0, 0.6), "#212121")
    for x, y, color in (
        (5, -9, "#e67e22"),
        (9, -5, "#27ae60"),
        (-8, -3.5, "#16a085"),
        (4, 9.5, "#2ecc71"),
        (-4, 10, "#1e8449"),
    ):
        b.cylinder((x, y, 0.9), 0.2, 1.8, "#5d4037")
        b.ball((x, y, 2.5), (2.2, 2.2, 2.4), color)


def _pond(b: Builder) -> None:
    b.texture("water", textures.rings(("#bfe9ff", "#5fb7e8", "#3f9ad6", "#7cc8ef", "#3f9ad6")))
    with b.at(2.5, 2.3, thing="pond"):
        b.cylinder((0, 0, 0.14), 1.3, 0.28, "#c9c2b5")
        b.cylinder((0, 0, 0.17), 1.1, 0.26, "#3f9ad6")
        b.box((0, 0, 0.3), (1.5, 1.5, 0.02), "water", yaw=45)
        for k in range(8):
            turn = math.radians(45 * k)
            at = (1.2 * math.cos(turn), 1.2 * math.sin(turn), 0.28)
            b.ball(at, (0.42, 0.36, 0.3), "#9e9485" if k % 2 else "#e3ddd0", tilt=(0, 0, 45 * k))
        b.block_circle((0, 0), 1.3)
        with b.at(0.1, 0.2, 0.28, 200, thing="duck"):
            props.duck(b)
        for x, y, color in ((-0.6, -0.3, "#ff80ab"), (0.5, -0.6, "#ffffff")):
            b.cylinder((x, y, 0.33), 0.2, 0.02, "#2e7d32")
            b.ball((x, y, 0.4), 0.16, color)


def _gazebo(b: Builder) -> None:
    """Six posts with a roof, and a red bench in it."""
    with b.at(-2.5, 2.4, 0, 30, thing="gazebo"):
        b.cylinder((0, 0, 0.06), 1.35, 0.12, "#d7b98e")
        for k in range(6):
            turn = math.radians(60 * k)
            x, y = 1.15 * math.cos(turn), 1.15 * math.sin(turn)
            b.cylinder((x, y, 1.1), 0.09, 2.2, "#ffffff" if k % 2 else "#26a69a")
        b.cylinder((0, 0, 2.25), 1.4, 0.14, "#ffe0b2")
        for radius, z, color in (
            (1.3, 2.4, "#00897b"),
            (1.0, 2.6, "#4db6ac"),
            (0.66, 2.8, "#00897b"),
            (0.34, 3.0, "#4db6ac"),
        ):
            b.cylinder((0, 0, z), radius, 0.22, color)
        b.ball((0, 0, 3.25), 0.36, "#ffd54a")
        b.box((-0.3, 0, 0.5), (0.45, 1.3, 0.1), "#d32f2f")
        b.box((-0.5, 0, 0.85), (0.08, 1.3, 0.5), "#d32f2f")
        for y in (-0.5, 0.5):
            b.box((-0.3, y, 0.28), (0.4, 0.1, 0.4), "#5d1a1a")
        b.block_circle((0, 0), 1.25)


def _flowers(b: Builder) -> None:
    """Three beds, each of one colour, and a bird bath."""
    for x, y, petals, middle in (
        (-1.9, -1.6, "#e53935", "#ffeb3b"),
        (-3.1, -2.4, "#fdd835", "#8d6e63"),
        (-1.9, -3.3, "#8e44ad", "#ffffff"),
    ):
        with b.at(x, y, thing="flowers"):
            b.box((0, 0, 0.12), (1.5, 0.62, 0.24), "#7a5230")
            b.box((0, 0, 0.2), (1.36, 0.5, 0.12), "#3a7d34")
            for k in range(4):
                at = (-0.5 + 0.34 * k, 0.08 * (-1) ** k, 0.46 + 0.08 * (k % 2))
                b.cylinder((at[0], at[1], 0.34), 0.03, 0.3, "#2e7d32")
                b.ball(at, (0.3, 0.3, 0.2), petals)
                b.ball((at[0], at[1], at[2] + 0.09), 0.12, middle)
            b.block_box((0, 0), (1.5, 0.62))


def _statue(b: Builder) -> None:
    """A robot on a striped pedestal, between two clipped bushes."""
    b.texture("pedestal", textures.stripes(("#f5f5f5", "#3949ab")))
    with b.at(2.5, -2.3, 0, 135, thing="statue"):
        b.box((0, 0, 0.1), (0.9, 0.9, 0.2), "#37474f")
        b.box((0, 0, 0.5), (0.6, 0.6, 0.6), "#f5f5f5")
        b.cylinder((0, 0, 0.5), 0.36, 0.2, "#3949ab")
        b.box((0, 0, 0.84), (0.72, 0.72, 0.1), "#37474f")
        b.block_box((0, 0), (0.9, 0.9))
        with b.at(0, 0, 0.89):
            props.robot(b)
    for x, y, color in ((3.7, -2.0, "#2e8b57"), (2.1, -3.7, "#9acd32")):
        b.box((x, y, 0.35), (0.7, 0.7, 0.7), color)
        b.ball((x, y, 0.95), 0.7, color)
        b.ball((x, y, 1.4), 0.36, color)
        b.block_box((x, y), (0.7, 0.7))


def _trees(b: Builder) -> None:
    trees = (
        (1.5, 3.8, "#f48fb1", "#f8bbd9", "#6d4c41"),
        (-3.9, -0.95, "#ef6c00", "#ffa040", "#4e342e"),
        (3.8, 0.95, "#c0392b", "#e25b4b", "#ececec"),
        (-0.95, -3.9, "#cddc39", "#e6ee7a", "#795548"),
    )
    for x, y, dark, light, bark in trees:
        with b.at(x, y, thing="tree"):
            b.cylinder((0, 0, 0.95), 0.12, 1.9, bark)
            b.ball((0, 0, 2.3), (1.3, 1.3, 1.1), dark)
            b.ball((0.35, 0.25, 2.55), 0.75, light)
            b.ball((-0.35, -0.2, 2.6), 0.7, light)
            b.block_circle((0, 0), 0.3)
    with b.at(-3.9, -3.9, thing="tree"):  # a fir
        b.cylinder((0, 0, 0.3), 0.12, 0.6, "#4e342e")
        for k in range(5):
            b.cylinder((0, 0, 0.7 + 0.42 * k), 0.62 - 0.12 * k, 0.36, "#1b5e20" if k % 2 else "#388e3c")
        b.ball((0, 0, 2.7), 0.26, "#ffd54a")
        b.block_circle((0, 0), 0.4)


def _signpost(b: Builder) -> None:
    """A post at the crossing whose arms point, each in its colour, to the four quarters."""
    b.cylinder((0, 0, 1.0), 0.07, 2.0, "#5d4037")
    for yaw, z, color in ((45, 1.85, "#1e88e5"), (135, 1.6, "#26a69a"), (-135, 1.35, "#fdd835"), (-45, 1.1, "#8e44ad")):
        with b.at(0, 0, z, yaw):
            b.box((0.36, 0, 0), (0.6, 0.07, 0.2), color)
            b.box((0.66, 0, 0), (0.15, 0.06, 0.15), color, tilt=(0, 45, 0))
    b.block_circle((0, 0), 0.35)
