"""A room of four different walls around a round table, and the six objects of which one stands on it."""

from __future__ import annotations

from scenes import props, textures
from scenes.mjcf import Blueprint, Builder
from scenes.sky import Cloud, Ridge, landscape

_HALF = 2.4  # m
_HEIGHT = 2.3  # m
_OBJECTS = (props.car, props.house, props.vase, props.teapot, props.robot, props.duck)


def build() -> Blueprint:
    """The scene; each object is a body of its own on the turning body "object"."""
    b = Builder((-_HALF, -_HALF), (_HALF, _HALF))
    b.sky(
        landscape(
            ("#2e6fb7", "#a8d8f0", "#ffd9a0"),
            180,
            (150, 48),
            [
                Cloud(20, 40, 60, 22),
                Cloud(75, 62, 40, 14),
                Cloud(-60, 45, 46, 20, "#ffc9d6"),
                Cloud(-115, 62, 60, 16),
                Cloud(105, 35, 40, 14, "#fff0c2"),
                Cloud(-20, 68, 40, 12),
                Cloud(-165, 36, 44, 16),
            ],
            [Ridge(0, 90, 16, "#7fa8c9", 9, sharp=True), Ridge(180, 80, 20, "#d9a066", 5)],
        )
    )
    b.sun((0.5, -0.3, -0.9), 0.28)
    b.sun((-0.5, 0.7, -0.5), 0.16, shadow=False)
    _walls(b)
    _corners(b)
    b.texture("table", textures.quarters(("#b5703a", "#c98a4b", "#9a5a2c", "#b5703a"), "#8a4f28"))
    with b.at(0, 0, thing="table"):
        b.cylinder((0, 0, 0.02), 0.4, 0.04, "#4a2f1c")
        b.cylinder((0, 0, 0.34), 0.09, 0.66, "#4a2f1c")
        b.cylinder((0, 0, 0.69), 0.62, 0.06, "#b5703a")
        b.cylinder((0, 0, 0.73), 0.5, 0.03, "#f5efe0")
    b.block_circle((0, 0), 0.62)
    with b.body("object", (0, 0, 0.745), turns=True):
        for build_object in _OBJECTS:
            with b.body(build_object.__name__), b.at(0, 0, thing=build_object.__name__):
                build_object(b)
    return b.finish()


def _walls(b: Builder) -> None:
    w = _HALF
    b.texture("bricks", textures.bricks("#d9744f", "#f0dcc0", 4, 2))
    b.texture("stripes", textures.stripes(("#2c5f8a", "#e9f1f5")))
    b.texture("dots", textures.dots("#3f8f5a", "#f6e27a"))
    b.texture("zigzag", textures.zigzag(("#6a3d8f", "#f0b7d3", "#9a5fc0", "#f7e6f0")))
    b.texture("floor", textures.checker("#cdbb9a", "#8d7354"))
    b.floor("floor", tile=1.2)
    props.edged_wall(b, (w, w), (-w, w), _HEIGHT, "bricks", "#7a3b22", tile=1.6)
    props.edged_wall(b, (w, -w), (w, w), _HEIGHT, "stripes", "#f2c230", tile=0.8)
    props.edged_wall(b, (-w, -w), (w, -w), _HEIGHT, "dots", "#ffffff", tile=1.0)
    props.edged_wall(b, (-w, w), (-w, -w), _HEIGHT, "zigzag", "#3d1f5c", tile=1.2)
    hills = textures.painting("hills")
    boat = textures.painting("boat")
    face = textures.painting("face")
    squares = textures.quarters(("#e53935", "#1e88e5", "#fdd835", "#43a047"), "#fafafa")
    props.picture(b, "hills", hills, (-0.5, w, 1.5), -90, (1.3, 0.9))
    props.picture(b, "boat", boat, (w, 0.6, 1.5), 180, (1.2, 1.1))
    props.picture(b, "face", face, (0.6, -w, 1.45), 90, (1.0, 1.2))
    props.picture(b, "squares", squares, (-w, -0.5, 1.5), 0, (1.1, 1.1))
    for x, y, yaw, color, mark in (
        (1.2, w, -90, "#1565c0", "#ffeb3b"),
        (w, -1.2, 180, "#c62828", "#ffffff"),
        (-1.1, -w, 90, "#6a1b9a", "#80deea"),
        (-w, 1.2, 0, "#ef6c00", "#1b5e20"),
    ):
        with b.at(x, y, 1.45, yaw):  # a banner
            b.box((0.02, 0, 0), (0.04, 0.6, 1.1), color)
            b.box((0.04, 0, 0.1), (0.04, 0.34, 0.34), mark, tilt=(45, 0, 0))
            b.box((0.05, 0, 0.56), (0.08, 0.72, 0.08), mark)


def _corners(b: Builder) -> None:
    """A column in each corner, each of its own colour and with its own ball, cube or cone on top."""
    c = _HALF - 0.18
    for x, y, color, top in (
        (c, c, "#f2c230", "#c62828"),
        (-c, c, "#26a69a", "#ffffff"),
        (-c, -c, "#ef6c00", "#283593"),
        (c, -c, "#ec407a", "#212121"),
    ):
        b.cylinder((x, y, 1.1), 0.15, 2.2, color)
        b.cylinder((x, y, 1.3), 0.16, 0.25, top)
        b.cylinder((x, y, 0.6), 0.16, 0.25, top)
        b.ball((x, y, 2.42), 0.46, top)
        b.block_circle((x, y), 0.15)
