"""One furnished room: each wall has its own colour, furniture and pictures; coloured beams cross the open sky."""

from __future__ import annotations

from scenes import props, textures
from scenes.mjcf import Blueprint, Builder
from scenes.sky import Cloud, Ridge, landscape

_X, _Y = 3.0, 2.5  # m, half the room
_HEIGHT = 2.5  # m


def build() -> Blueprint:
    """The scene. North is the desk, west the sofa, east the shelf, south the door."""
    b = Builder((-_X, -_Y), (_X, _Y))
    b.sky(
        landscape(
            ("#1f6fd1", "#9fd4f5", "#ffe6b8"),
            -60,
            (-70, 52),
            [
                Cloud(10, 38, 60, 26),
                Cloud(90, 55, 70, 24),
                Cloud(150, 35, 40, 18),
                Cloud(-150, 58, 50, 20, "#ffe1c4"),
                Cloud(-110, 33, 46, 18),
                Cloud(40, 66, 40, 14),
                Cloud(-25, 62, 44, 14, "#fff0d8"),
            ],
            [Ridge(90, 80, 24, "#7c93c4", 9, sharp=True), Ridge(-90, 90, 18, "#6fae7b", 5)],
        )
    )
    b.sun((0.35, 0.55, -0.9), 0.28)
    b.sun((-0.6, -0.5, -0.5), 0.15, shadow=False)
    _walls(b)
    _beams(b)
    _north(b)
    _west(b)
    _east(b)
    _south(b)
    _floor(b)
    return b.finish()


def _walls(b: Builder) -> None:
    b.texture("bricks", textures.bricks("#d9cbb8", "#8f7d6b", 4, 2, seed=3))
    b.texture("orange", textures.stripes(("#e8923a", "#f6bd60")))
    b.texture("teal", textures.panels("#1f7a7a", "#37a69b"))
    b.texture("rose", textures.diamonds("#c9486c", "#e07f98", "#f8d7de"))
    props.edged_wall(b, (_X, _Y), (-_X, _Y), _HEIGHT, "bricks", "#5b4636", tile=1.6)
    props.edged_wall(b, (-_X, _Y), (-_X, -_Y), _HEIGHT, "orange", "#7b3f00", tile=1.0)
    props.edged_wall(b, (_X, -_Y), (_X, _Y), _HEIGHT, "teal", "#f3ead7", tile=1.25)
    props.edged_wall(b, (-_X, -_Y), (_X, -_Y), _HEIGHT, "rose", "#4a1526", tile=0.8)


def _beams(b: Builder) -> None:
    """Three beams across and one along, each of its own colour."""
    for x, color in ((-1.8, "#8d4a22"), (0.0, "#3f6fb5"), (1.8, "#d4a72c")):
        b.box((x, 0, 2.62), (0.26, 2 * _Y + 0.1, 0.2), color)
    b.box((0, 0.0, 2.8), (2 * _X + 0.1, 0.26, 0.16), "#a33a3a")
    for x, y, color in ((-1.8, -0.9, "#ffd54a"), (1.8, 0.9, "#ef5350"), (0, 1.3, "#ffffff")):  # lanterns
        b.cylinder((x, y, 2.42), 0.015, 0.24, "#222222")
        b.ball((x, y, 2.2), (0.36, 0.36, 0.3), color)


def _floor(b: Builder) -> None:
    b.texture("planks", textures.planks("#b9824c", "#7a5230", 4, seed=1))
    b.floor("planks", tile=2.0)
    b.texture("rug", textures.quarters(("#2f5fa8", "#f2efe4", "#e9b949", "#c8443c"), "#1f2f4f"))
    b.box((0.1, -0.2, 0.01), (2.5, 1.9, 0.02), "rug")


def _north(b: Builder) -> None:
    """Desk with a screen and a chair, a landscape, a floor lamp."""
    with b.at(0.4, _Y - 0.42, thing="desk"):
        b.box((0, 0, 0.74), (1.7, 0.7, 0.06), "#8a4b2a")
        for x in (-0.75, 0.75):
            b.box((x, 0, 0.36), (0.12, 0.6, 0.72), "#5e3219")
        b.box((0.5, 0.0, 0.5), (0.4, 0.6, 0.4), "#e2d3b5")
        b.block_box((0, 0), (1.7, 0.7))
        b.texture("screen", textures.painting("screen"))
        b.box((-0.1, 0.12, 1.12), (0.8, 0.05, 0.52), "#1b1b1b")
        b.box((-0.1, 0.09, 1.12), (0.72, 0.44, 0.02), "screen", tilt=(90, 0, 0))
        b.box((-0.1, 0.14, 0.82), (0.1, 0.1, 0.14), "#1b1b1b")
        b.box((0.55, 0.05, 0.87), (0.16, 0.3, 0.22), "#e53935")
        b.box((0.72, 0.05, 0.84), (0.1, 0.3, 0.16), "#43a047")
    with b.at(0.25, _Y - 1.05, 0, -100, thing="chair"):
        b.box((0, 0, 0.48), (0.5, 0.5, 0.1), "#f4511e")
        b.box((0.24, 0, 0.8), (0.08, 0.46, 0.5), "#f4511e")
        b.cylinder((0, 0, 0.25), 0.04, 0.4, "#333333")
        b.cylinder((0, 0, 0.05), 0.26, 0.06, "#333333")
        b.block_circle((0, 0), 0.2)
    valley = textures.painting("valley")
    props.picture(b, "valley", valley, (-1.45, _Y, 1.5), -90, (1.3, 0.95))
    with b.at(2.55, _Y - 0.5, thing="lamp"):
        props.floor_lamp(b, "#ffb74d")


def _west(b: Builder) -> None:
    """A long green sofa under an abstract painting, and a plant in the corner."""
    with b.at(-_X + 0.5, -0.1, thing="sofa"):
        b.box((0, 0, 0.28), (0.9, 2.2, 0.36), "#1b7a4b")
        b.box((-0.34, 0, 0.62), (0.24, 2.2, 0.6), "#22925b")
        for y in (-1.05, 1.05):
            b.box((0, y, 0.42), (0.9, 0.24, 0.6), "#14603a")
        b.box((-0.12, 0.55, 0.64), (0.2, 0.46, 0.42), "#fdd835", tilt=(0, -15, 0))
        b.box((-0.12, -0.5, 0.64), (0.2, 0.46, 0.42), "#8e24aa", tilt=(0, -15, 10))
        b.block_box((0, 0), (0.9, 2.35))
    abstract = textures.painting("abstract")
    props.picture(b, "abstract", abstract, (-_X, 0.2, 1.6), 0, (1.5, 1.0))
    with b.at(-_X + 0.5, _Y - 0.5, thing="plant"):
        props.pot_plant(b, "#e53935", "#2e8b3d", "#66bb4a")


def _east(b: Builder) -> None:
    """A bookshelf full of thick books, a big round clock."""
    with b.at(_X - 0.24, 0.55, 0, 180, thing="shelf"):
        b.box((-0.2, 0, 0.95), (0.04, 1.7, 1.9), "#3e2615")
        for y in (-0.86, 0, 0.86):
            b.box((0, y, 0.95), (0.4, 0.06, 1.9), "#6b4226")
        for z in (0.04, 0.66, 1.28, 1.88):
            b.box((0, 0, z), (0.4, 1.74, 0.07), "#6b4226")
        colors = ("#d32f2f", "#fbc02d", "#1976d2", "#388e3c", "#f5f5f5", "#7b1fa2", "#f57c00", "#0097a7")
        for k in range(18):
            shelf, slot = divmod(k, 6)
            y = -0.68 + 0.225 * (slot % 3) + (0.88 if slot >= 3 else 0)
            tall = 0.36 + 0.05 * ((k * 5) % 4)
            b.box((0.02, y, 0.09 + shelf * 0.62 + tall / 2), (0.3, 0.2, tall), colors[(k * 3 + shelf * 2) % 8])
        b.ball((0, -0.5, 2.06), 0.3, "#00acc1")
        b.box((0, 0.5, 2.03), (0.26, 0.4, 0.24), "#ffb300")
        b.block_box((0, 0), (0.45, 1.76))
    with b.at(_X - 0.03, -1.15, 1.65, 180, thing="clock"):
        b.cylinder((0, 0, 0), 0.42, 0.08, "#212121", tilt=(0, 90, 0))
        b.cylinder((0.03, 0, 0), 0.36, 0.06, "#fffde7", tilt=(0, 90, 0))
        b.box((0.07, 0.1, 0.03), (0.02, 0.26, 0.06), "#212121", tilt=(-20, 0, 0))
        b.box((0.07, 0, 0.12), (0.02, 0.06, 0.26), "#d32f2f")
    with b.at(_X - 0.6, -_Y + 0.6, thing="globe"):
        props.globe(b)


def _south(b: Builder) -> None:
    """A blue door, a window with a view, and a chest with a duck on it."""
    with b.at(0.9, -_Y, 0, 90, thing="door"):
        b.box((0.02, 0, 1.05), (0.06, 1.16, 2.1), "#f3ead7")
        b.box((0.05, 0, 1.02), (0.06, 0.96, 2.0), "#1e56a0")
        b.box((0.08, 0, 1.45), (0.04, 0.6, 0.7), "#7fb2e5")
        b.box((0.08, 0, 0.55), (0.04, 0.6, 0.6), "#16427c")
        b.ball((0.12, 0.38, 1.0), 0.12, "#ffd54a")
    view = textures.painting("view")
    props.picture(b, "view", view, (-1.0, -_Y, 1.55), 90, (1.2, 0.9))
    with b.at(-_X + 0.75, -_Y + 0.36, 0, 90, thing="chest"):
        b.box((0, 0, 0.3), (0.5, 1.0, 0.6), "#5e35b1")
        b.box((0.02, 0, 0.56), (0.54, 1.04, 0.1), "#ffca28")
        b.box((0.26, 0, 0.36), (0.04, 0.16, 0.16), "#ffca28")
        b.block_box((0, 0), (0.54, 1.04))
        with b.at(0, 0, 0.61, 20, thing="duck"):
            props.duck(b)
