"""What scenes that are drawn anew from a number draw from: colours, patterns, pictures, skies, things."""

from __future__ import annotations

import colorsys
import functools
import math
from collections.abc import Callable

import numpy as np

from scenes import props, textures
from scenes.mjcf import Builder
from scenes.sky import Cloud, Ridge, SkyPainter, landscape
from scenes.textures import Paint

Pattern = Callable[[np.random.Generator, float], Paint]

TOYS = (props.car, props.house, props.vase, props.teapot, props.robot, props.duck)


def color(hue: float, saturation: float, value: float) -> str:
    """Of hue, saturation and value in [0, 1]; hues go round."""
    return "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def any_color(rng: np.random.Generator) -> str:
    """A colour that is neither pale nor dark."""
    return color(rng.uniform(), rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.0))


def picture(rng: np.random.Generator) -> Paint:
    """What hangs in a frame: fields, rings, stripes, or one of the paintings."""
    colors = [any_color(rng) for _ in range(4)]
    kinds = (
        lambda: textures.quarters(colors, "#ffffff"),
        lambda: textures.rings(colors),
        lambda: textures.stripes(colors, across=bool(rng.integers(2))),
        lambda: textures.painting(str(rng.choice(textures.painting_names()))),
        lambda: textures.painting(str(rng.choice(textures.painting_names()))),
    )
    return kinds[rng.integers(len(kinds))]()


def _two(paint: Callable[[str, str], Paint]) -> Pattern:
    """A pattern in two colours of a hue."""
    return lambda rng, hue: paint(
        color(hue, rng.uniform(0.5, 0.8), rng.uniform(0.55, 0.8)),
        color(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.1, 0.4), 0.95),
    )


PATTERNS: tuple[Pattern, ...] = (
    _two(textures.bricks),
    _two(textures.planks),
    _two(textures.checker),
    _two(lambda one, other: textures.stripes((one, other))),
    _two(textures.dots),
    _two(textures.waves),
    _two(textures.panels),
    _two(lambda one, other: textures.diamonds(one, other, one)),
    _two(lambda one, other: textures.zigzag((one, other))),
    _two(textures.stones),
)
NUM_SKIES = 5


@functools.cache
def sky(number: int) -> SkyPainter:
    """One of a few skies: painting one takes longer than building all the rest."""
    rng = np.random.default_rng(number)
    hue = rng.uniform(0.5, 0.7)
    glow = int(rng.integers(360))
    clouds = [Cloud(int(a), int(rng.integers(30, 60)), 50, 18) for a in rng.integers(-180, 180, 5)]
    ridges = [Ridge(int(rng.integers(360)), 90, 20, color(rng.uniform(0.2, 0.8), 0.3, 0.6), 7)]
    gradient = (color(hue, 0.6, 0.75), color(hue, 0.25, 0.95), color(hue + 0.4, 0.35, 0.97))
    return landscape(gradient, glow, (glow, 50), clouds, ridges)


def blocks(b: Builder, rng: np.random.Generator) -> None:
    """Three boxes, each on a larger one, 1.37 m high."""
    for k, size in enumerate((0.6, 0.45, 0.32)):
        height = sum((0.6, 0.45, 0.32)[:k]) + size / 2
        b.box((0, 0, height), (size, size, size), any_color(rng), yaw=float(rng.uniform(0, 90)))
    b.block_circle((0, 0), 0.35)


def column(b: Builder, rng: np.random.Generator, height: float) -> None:
    """A column with three rings."""
    b.cylinder((0, 0, height / 2), 0.22, height, any_color(rng))
    for z in (0.1, height / 2, height - 0.1):
        b.cylinder((0, 0, z), 0.28, 0.2, any_color(rng))
    b.block_circle((0, 0), 0.3)


def pedestal(b: Builder, rng: np.random.Generator) -> None:
    """A toy on a box."""
    b.box((0, 0, 0.45), (0.5, 0.5, 0.9), any_color(rng))
    toy = TOYS[rng.integers(len(TOYS))]
    with b.at(0, 0, 0.9, thing=toy.__name__):
        toy(b)
    b.block_circle((0, 0), 0.35)


def plant(b: Builder, rng: np.random.Generator) -> None:
    """A pot plant of any colours."""
    props.pot_plant(b, any_color(rng), color(rng.uniform(0.2, 0.4), 0.7, 0.6), any_color(rng))


def totem(b: Builder, rng: np.random.Generator) -> None:
    """Balls, boxes and drums on top of each other, up to 2 m high."""
    z, most = 0.0, rng.uniform(0.9, 2.0)
    while z < most:
        size, look = float(rng.uniform(0.25, 0.6)), any_color(rng)
        tall = size * float(rng.uniform(0.6, 1.1))
        match int(rng.integers(3)):
            case 0:
                b.ball((0, 0, z + tall / 2), (size, size, tall), look)
            case 1:
                b.box((0, 0, z + tall / 2), (size, size, tall), look, yaw=float(rng.uniform(0, 90)))
            case _:
                b.cylinder((0, 0, z + tall / 2), size / 2, tall, look)
        z += tall
    b.block_circle((0, 0), 0.35)


def tree(b: Builder, rng: np.random.Generator, height: float) -> None:
    """A trunk with a few balls of leaves, or a pointed one."""
    leaf, other = (color(rng.uniform(0.05, 0.42), rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.8)) for _ in range(2))
    b.cylinder((0, 0, height / 4), 0.09 * height / 2, height / 2, color(rng.uniform(0.05, 0.1), 0.5, 0.45))
    if rng.random() < 0.5:
        for k in range(3):
            b.cylinder((0, 0, height * (0.4 + 0.2 * k)), height * (0.28 - 0.08 * k), height * 0.2, (leaf, other)[k % 2])
    else:
        for k in range(4):
            turn = math.pi / 2 * k
            at = (0.16 * height * math.cos(turn), 0.16 * height * math.sin(turn), height * 0.62)
            b.ball(at, height * 0.42, leaf if k % 2 else other)
        b.ball((0, 0, height * 0.82), height * 0.38, leaf)
    b.block_circle((0, 0), 0.3)
