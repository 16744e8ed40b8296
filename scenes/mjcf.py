"""A small builder of MJCF: boxes and balls with painted surfaces, and the footprints they leave on the floor."""

from __future__ import annotations

import functools
import io
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenes import textures
from scenes.ground import Box, Circle, Ground
from scenes.sky import SIDES, SkyPainter, paint_sky
from scenes.textures import Paint
from world.types import Frame

Point: TypeAlias = tuple[float, float, float]
Corner: TypeAlias = tuple[float, float]

_CALM = 0.6  # contrast of the patterns of walls and floors


@dataclass(frozen=True)
class Blueprint:
    """A scene as MuJoCo reads it, from a text with its assets or from somebody's file, and its ground."""

    xml: str
    painters: Mapping[str, Callable[[], bytes]]  # of the assets, by the names of their files
    ground: Ground
    file: Path | None = None

    @functools.cached_property
    def assets(self) -> dict[str, bytes]:
        """The files that the text names; painting them takes a second, all the rest a hundredth of that."""
        return {name: paint() for name, paint in self.painters.items()}


class Builder:
    """Collects geoms. Lengths are full sizes in m, yaw is in degrees counter-clockwise.

    A `look` is a colour "#rrggbb" or the name of a texture given to `texture`; on a box it lies on the local x-y
    faces, its rows along -y, so that a wall is a thin box whose z is its normal.
    """

    def __init__(self, low: Corner, high: Corner, *, ambient: float = 0.78) -> None:
        self.low, self.high = low, high
        self._footprints: list[Circle | Box] = []
        self._frames: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]  # x, y, yaw of the nested `at`s
        self._thing = ""  # what is being built
        self._paints: dict[str, Paint] = {}
        self._painters: dict[str, Callable[[], bytes]] = {}
        self._root = ET.Element("mujoco")
        ET.SubElement(self._root, "compiler", angle="degree", eulerseq="XYZ")
        ET.SubElement(self._root, "statistic", center="0 0 1", extent=_text(max(high[0] - low[0], high[1] - low[1])))
        visual = ET.SubElement(self._root, "visual")
        ET.SubElement(visual, "quality", shadowsize="1024", offsamples="4", numslices="24", numstacks="12")
        ET.SubElement(visual, "headlight", ambient=_text(ambient, ambient, ambient), diffuse="0 0 0", specular="0 0 0")
        ET.SubElement(visual, "map", znear="0.005", zfar="3.5", shadowclip="1.2")
        self._asset = ET.SubElement(self._root, "asset")
        self._parent = self._world = ET.SubElement(self._root, "worldbody")
        ET.SubElement(self._world, "camera", name="eye")

    # What surfaces look like.

    def texture(self, name: str, paint: Paint) -> None:
        """Names a picture to be used as a look."""
        self._paints[name] = paint
        self._painters[f"{name}.png"] = lambda: _png(_soft(_painted(paint)).astype(np.uint8))
        ET.SubElement(self._asset, "texture", name=name, type="2d", file=f"{name}.png")

    def sky(self, painter: SkyPainter) -> None:
        """Paints what is seen over the walls."""
        for side in SIDES:
            self._painters[f"sky_{side}.png"] = lambda side=side: _sky_files(painter)[side]
        files = {f"file{side}": f"sky_{side}.png" for side in SIDES}
        ET.SubElement(self._asset, "texture", {"name": "sky", "type": "skybox", **files})

    def sun(self, direction: Point, strength: float = 0.55, *, shadow: bool = True) -> None:
        """A light from far away that shines along `direction`."""
        cx, cy = (self.low[0] + self.high[0]) / 2, (self.low[1] + self.high[1]) / 2
        scale = 6.0 / abs(direction[2])
        pos = _text(cx - direction[0] * scale, cy - direction[1] * scale, 6.0)
        light = ET.SubElement(self._world, "light", directional="true", castshadow=str(shadow).lower(), pos=pos)
        light.set("dir", _text(*direction))
        light.set("diffuse", _text(strength, strength, strength))
        light.set("specular", "0 0 0")
        light.set("ambient", "0 0 0")

    # Shapes.

    def box(
        self, at: Point, size: Point, look: str, *, yaw: float = 0.0, tile: float = 0.0, tilt: Point = (0, 0, 0)
    ) -> None:
        """A box around `at`; its texture covers it once, or once every `tile` metres."""
        repeat = (size[0] / tile, size[1] / tile) if tile else (1.0, 1.0)
        self._geom("box", at, tuple(s / 2 for s in size), look, repeat, euler=(tilt[0], tilt[1], tilt[2] + yaw))

    def cylinder(self, at: Point, radius: float, height: float, look: str, *, tilt: Point = (0, 0, 0)) -> None:
        """An upright cylinder around `at`, tilted about x, y, z by degrees."""
        self._geom("cylinder", at, (radius, height / 2), look, euler=tilt)

    def ball(self, at: Point, size: float | Point, look: str, *, tilt: Point = (0, 0, 0)) -> None:
        """A sphere, or an ellipsoid of three diameters, around `at`."""
        sizes = (size, size, size) if isinstance(size, int | float) else size
        self._geom("ellipsoid", at, tuple(s / 2 for s in sizes), look, euler=tilt)

    def capsule(self, start: Point, end: Point, radius: float, look: str) -> None:
        """A rod with round ends."""
        geom = self._geom("capsule", None, (radius,), look)
        geom.set("fromto", _text(*start, *end))

    def floor(
        self, look: str, *, tile: float, low: tuple[float, float] | None = None, high: tuple[float, float] | None = None
    ) -> None:
        """A floor from corner to corner (default: the whole ground), its top at z = 0."""
        (x0, y0), (x1, y1) = low or self.low, high or self.high
        self.texture(f"{look} calm", self._calm(look))
        self.box(((x0 + x1) / 2, (y0 + y1) / 2, -0.05), (x1 - x0, y1 - y0, 0.1), f"{look} calm", tile=tile)

    def wall(
        self,
        start: Corner,
        end: Corner,
        height: float,
        look: str,
        *,
        tile: float = 0.0,
        base: float = 0.0,
        thickness: float = 0.06,
        solid: bool = True,
    ) -> None:
        """An upright panel from `start` to `end` whose face is to the left of that way.

        It stands behind the line, or before it where `thickness` is negative: a board on a wall. A pattern that is
        repeated every `tile` metres goes from warm to cool along the wall, so that near it one knows how far along.
        """
        (x0, y0), (x1, y1) = start, end
        length, yaw = math.hypot(x1 - x0, y1 - y0), math.degrees(math.atan2(y1 - y0, x1 - x0))
        nx, ny = (y1 - y0) / length, -(x1 - x0) / length  # away from the face
        x, y = (x0 + x1) / 2 + nx * thickness / 2, (y0 + y1) / 2 + ny * thickness / 2
        if tile:
            painted = f"{look} from {_text(*start)} to {_text(*end)}, {_text(base)} up"
            calm = self._calm(look)
            self.texture(painted, lambda: textures.drift(calm(), length / tile, height / tile))
            look = painted
        self.box((x, y, base + height / 2), (length, height, abs(thickness)), look, tilt=(90, 0, yaw + 180))
        if solid:
            self.block_box((x, y), (length, thickness), yaw)

    # Where one cannot walk.

    def block_box(self, at: Corner, size: Corner, yaw: float = 0.0) -> None:
        """A rectangular footprint, in the frame of the current `at`."""
        x, y, turn = self._to_world(*at)
        self._footprints.append(Box(x, y, size[0] / 2, size[1] / 2, turn + yaw))

    def block_circle(self, at: Corner, radius: float) -> None:
        """A round footprint, in the frame of the current `at`."""
        x, y, _ = self._to_world(*at)
        self._footprints.append(Circle(x, y, radius))

    # Frames.

    @contextmanager
    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, *, thing: str = "") -> Iterator[None]:
        """What is built inside stands at (x, y, z), is turned by `yaw`, and is a `thing` that one may ask about."""
        outer, whole = self._parent, self._thing
        self._thing = thing or whole
        world_x, world_y, turn = self._to_world(x, y)
        self._parent = ET.SubElement(outer, "frame", pos=_text(x, y, z), euler=_text(0, 0, yaw))
        self._frames.append((world_x, world_y, turn + yaw))
        yield
        self._frames.pop()
        self._parent, self._thing = outer, whole

    @contextmanager
    def body(self, name: str, at: Point = (0, 0, 0), *, turns: bool = False) -> Iterator[None]:
        """What is built inside belongs to a body of that name; a body that `turns` is moved by the simulator."""
        outer = self._parent
        self._parent = ET.SubElement(outer, "body", name=name, pos=_text(*at))
        if turns:
            self._parent.set("mocap", "true")
        yield
        self._parent = outer

    def finish(self) -> Blueprint:
        """The scene built so far."""
        ground = Ground(self.low, self.high, tuple(self._footprints))
        return Blueprint(ET.tostring(self._root, encoding="unicode"), self._painters, ground)

    def _calm(self, look: str) -> Paint:
        paint = self._paints[look]
        return lambda: textures.muted(_painted(paint), _CALM)

    def _to_world(self, x: float, y: float) -> tuple[float, float, float]:
        ox, oy, turn = self._frames[-1]
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        return ox + c * x - s * y, oy + s * x + c * y, turn

    def _geom(
        self,
        kind: str,
        at: Point | None,
        size: tuple[float, ...],
        look: str,
        repeat: tuple[float, float] = (1.0, 1.0),
        euler: Point = (0, 0, 0),
    ) -> ET.Element:
        attributes = {"type": kind, "size": _text(*size), "material": self._material(look, repeat)}
        if at is not None:
            attributes["pos"] = _text(*at)
        if any(euler):
            attributes["euler"] = _text(*euler)
        if self._thing:
            attributes["name"] = f"{self._thing} {sum(1 for _ in self._world.iter('geom'))}"
        return ET.SubElement(self._parent, "geom", attributes)

    def _material(self, look: str, repeat: tuple[float, float]) -> str:
        name = look if look.startswith("#") else f"{look} {_text(*repeat)}"
        if self._asset.find(f"material[@name='{name}']") is None:
            material = ET.SubElement(self._asset, "material", name=name, specular="0", shininess="0")
            if look.startswith("#"):
                rgb = _soft(np.array([int(look[i : i + 2], 16) for i in (1, 3, 5)])) / 255
                material.set("rgba", _text(*rgb, 1.0))
            else:
                material.set("texture", look)
                material.set("texrepeat", _text(*repeat))
        return name


@functools.lru_cache(maxsize=32)
def _painted(paint: Paint) -> Frame:
    """Painted once, though several walls have it: they follow each other closely."""
    return paint()


@functools.lru_cache(maxsize=16)
def _sky_files(painter: SkyPainter) -> dict[str, bytes]:
    """Painted once, though several scenes are under it, or one is built again."""
    return {side: _png(face) for side, face in paint_sky(painter).items()}


def _soft(paint: NDArray[np.integer]) -> NDArray[np.floating]:
    """Paint (of any shape, 0 to 255), never quite black nor quite white: edges are easier to draw and to learn."""
    return 26 + 0.8 * paint


def _text(*numbers: float) -> str:
    return " ".join(f"{n:.5g}" for n in numbers)


def _png(pixels: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
