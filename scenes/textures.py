"""Painted surfaces: bold, low-frequency patterns that a small model can learn. All are uint8 [H, W, 3].

A pattern is a recipe: its arguments are taken at once, its pixels are painted when it is called. So who asks only where
the walls of a scene stand paints nothing.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from world.types import Frame

P = ParamSpec("P")

Floats: TypeAlias = NDArray[np.float64]
Paint: TypeAlias = Callable[[], Frame]
Shape: TypeAlias = tuple[str, str, Sequence[float]]  # kind, colour, coordinates

_SIZE = 256  # pixels, the side of a tile
_TILE = 160  # pixels, the side of a tile that is repeated on a wall
_WARM, _COOL = (1.14, 1.02, 0.8), (0.82, 0.96, 1.18)  # factors of red, green, blue


def _recipe(pattern: Callable[P, Frame]) -> Callable[P, Paint]:
    @functools.wraps(pattern)
    def later(*args: P.args, **kwargs: P.kwargs) -> Paint:
        return functools.partial(pattern, *args, **kwargs)

    return later


@_recipe
def bricks(color: str, mortar: str, rows: int = 4, columns: int = 2, seed: int = 0) -> Frame:
    """Bricks in a running bond, each a little lighter or darker; `rows` is even."""
    rng = np.random.default_rng(seed)
    y, x = _grid()
    row = (y * rows).astype(int)
    shifted = x * columns + 0.5 * (row % 2)
    shade = rng.uniform(0.84, 1.12, (rows, columns))[row, shifted.astype(int) % columns]
    joint = 0.022
    edge = np.minimum(_to_edge(shifted) / columns, _to_edge(y * rows) / rows)
    return _paint(_where(edge < joint, _rgb(mortar), _rgb(color) * shade[..., None]))


@_recipe
def planks(color: str, gap: str, boards: int = 4, seed: int = 0) -> Frame:
    """Upright boards of differing shade."""
    rng = np.random.default_rng(seed)
    _, x = _grid()
    shade = rng.uniform(0.8, 1.14, boards)[(x * boards).astype(int)]
    return _paint(_where(_to_edge(x * boards) / boards < 0.012, _rgb(gap), _rgb(color) * shade[..., None]))


@_recipe
def checker(first: str, second: str, cells: int = 2) -> Frame:
    """A chessboard; `cells` is even."""
    y, x = _grid()
    return _paint(_where(((x * cells).astype(int) + (y * cells).astype(int)) % 2 == 0, _rgb(first), _rgb(second)))


@_recipe
def stripes(colors: Sequence[str], *, across: bool = False) -> Frame:
    """Upright bands of equal width, or lying ones if `across`."""
    y, x = _grid()
    table = np.stack([_rgb(c) for c in colors])
    return _paint(table[((y if across else x) * len(colors)).astype(int)])


@_recipe
def dots(ground: str, dot: str, radius: float = 0.3) -> Frame:
    """One big dot in the middle of the tile and one on its corners."""
    y, x = _grid()
    middle = np.hypot(x - 0.5, y - 0.5)
    corner = np.hypot(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    return _paint(_where(np.minimum(middle, corner) < radius * 0.75, _rgb(dot), _rgb(ground)))


@_recipe
def diamonds(ground: str, diamond: str, inner: str) -> Frame:
    """A diamond that touches its neighbours, with another one inside."""
    y, x = _grid()
    distance = np.abs(x - 0.5) + np.abs(y - 0.5)
    return _paint(_where(distance < 0.22, _rgb(inner), _where(distance < 0.46, _rgb(diamond), _rgb(ground))))


@_recipe
def waves(first: str, second: str, count: int = 2) -> Frame:
    """Lying bands that go up and down."""
    y, x = _grid()
    up = y * count + 0.22 * np.sin(2 * np.pi * x)
    return _paint(_where(up % 1 < 0.5, _rgb(first), _rgb(second)))


@_recipe
def zigzag(colors: Sequence[str], count: int = 1) -> Frame:
    """Chevrons of several colours, one above the other."""
    y, x = _grid()
    up = (y + 0.5 * np.abs((x * count * 2) % 2 - 1)) % 1
    return _paint(np.stack([_rgb(c) for c in colors])[(up * len(colors)).astype(int)])


@_recipe
def panels(frame: str, panel: str, inset: float = 0.14) -> Frame:
    """A framed panel with a lit and a shaded edge."""
    y, x = _grid()
    edge = np.minimum(_to_edge(x), _to_edge(y))
    bevel = np.where((y < inset + 0.05) | (x < inset + 0.05), 0.75, 1.2)[..., None]
    inner = _where(edge < inset + 0.04, _rgb(panel) * bevel, _rgb(panel))
    return _paint(_where(edge < inset, _rgb(frame), inner))


@_recipe
def stones(color: str, gap: str, seed: int = 0, count: int = 3) -> Frame:
    """Flagstones: the cells nearest to jittered points. Tileable."""
    rng = np.random.default_rng(seed)
    y, x = _grid()
    cells = [(i, j) for i in range(count) for j in range(count)]
    points = (np.array(cells) + rng.uniform(0.15, 0.85, (len(cells), 2))) / count
    away = np.stack([np.hypot((y - py + 0.5) % 1 - 0.5, (x - px + 0.5) % 1 - 0.5) for py, px in points])
    order = np.sort(away, axis=0)
    shade = rng.uniform(0.82, 1.12, len(points))[away.argmin(0)][..., None]
    return _paint(_where(order[1] - order[0] < 0.03, _rgb(gap), _rgb(color) * shade))


@_recipe
def rings(colors: Sequence[str]) -> Frame:
    """Concentric rings, the first colour in the middle; corners have the last."""
    y, x = _grid()
    index = np.minimum((np.hypot(x - 0.5, y - 0.5) * 2 * (len(colors) - 1)).astype(int), len(colors) - 1)
    return _paint(np.stack([_rgb(c) for c in colors])[index])


@_recipe
def quarters(colors: Sequence[str], border: str) -> Frame:
    """Four fields (top left, top right, bottom left, bottom right) in a border, with a disc where they meet."""
    y, x = _grid()
    fields = np.stack([_rgb(c) for c in colors])[(y > 0.5) * 2 + (x > 0.5)]
    edge = np.minimum(_to_edge(x), _to_edge(y))
    return _paint(_where((edge < 0.06) | (np.hypot(x - 0.5, y - 0.5) < 0.16), _rgb(border), fields))


@_recipe
def painting(name: str) -> Frame:
    """One of the paintings of paintings.toml, 256 x 256."""
    entry = _paintings()[name]
    shapes = [(kind, color, tuple(map(float, numbers))) for kind, color, *numbers in map(str.split, entry["shapes"])]
    return drawing(entry["ground"], shapes)()


def painting_names() -> list[str]:
    """The paintings of paintings.toml."""
    return list(_paintings())


@_recipe
def drawing(
    ground: str, shapes: Sequence[tuple[str, str, Sequence[float]]], size: tuple[int, int] = (256, 256)
) -> Frame:
    """A picture of plain shapes: (kind, colour, coordinates in [0, 1] from the top left).

    kind is "box" or "disc" (left, top, right, bottom), or "poly" (x, y, x, y, ...).
    """
    scale = 2
    width, height = size[0] * scale, size[1] * scale
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    for kind, color, numbers in shapes:
        points = [n * (height if i % 2 else width) for i, n in enumerate(numbers)]
        match kind:
            case "box":
                draw.rectangle(points, fill=color)
            case "disc":
                draw.ellipse(points, fill=color)
            case "poly":
                draw.polygon(points, fill=color)
            case _:
                raise ValueError(f"a shape is box, disc or poly, got {kind!r}")
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def drift(tile: Frame, columns: float, rows: float) -> Frame:
    """The tile repeated `columns` x `rows` times from the top left, going from warm (left) to cool (right)."""
    height, width = round(rows * _TILE), round(columns * _TILE)
    small = np.asarray(Image.fromarray(tile).resize((_TILE, _TILE), Image.Resampling.BOX))
    wall = np.tile(small, (math.ceil(rows), math.ceil(columns), 1))[:height, :width]
    across = np.linspace(0, 1, width)[None, :, None]
    return _paint(wall * (np.array(_WARM) * (1 - across) + np.array(_COOL) * across))


def muted(tile: Frame, contrast: float) -> Frame:
    """The tile with its colours drawn towards their mean: calm enough for a large surface."""
    mean = tile.mean(axis=(0, 1))
    return _paint(mean + contrast * (tile - mean))


@functools.cache
def _paintings() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "paintings.toml").read_text(encoding="utf-8"))


def _grid() -> tuple[Floats, Floats]:
    line = (np.arange(_SIZE) + 0.5) / _SIZE
    y, x = np.meshgrid(line, line, indexing="ij")
    return y, x


def _to_edge(x: Floats) -> Floats:
    part = x % 1
    return np.minimum(part, 1 - part)


def _rgb(color: str) -> Floats:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)


def _where(mask: NDArray[np.bool_], yes: Floats, no: Floats) -> Floats:
    return np.where(mask[..., None], yes, no)


def _paint(values: Floats) -> Frame:
    return values.clip(0, 255).astype(np.uint8)
