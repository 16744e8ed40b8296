"""Drawing for pygame windows: smooth frames, antialiased letters, rounded panels, keycaps. It knows no game."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from world import lettering
from world.errors import WorldError
from world.recording import resized
from world.types import Frame

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on stdout, which belongs to the person
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "bagel-world")  # pygame sets it at import

import pygame

Color: TypeAlias = tuple[int, int, int]
Rect: TypeAlias = pygame.Rect

BACKGROUND: Color = (17, 19, 24)
PANEL: Color = (27, 30, 37)
RAISED: Color = (44, 48, 58)
EDGE: Color = (62, 67, 80)
TEXT: Color = (226, 229, 235)
DIM: Color = (139, 146, 160)
ACCENT: Color = (232, 176, 92)  # the crust of a bagel
ALARM: Color = (232, 93, 88)

_log = logging.getLogger(__name__)


def open_window(size: tuple[int, int], title: str, unseen: bool = False) -> pygame.Surface:
    """A resizable window, `size` in pixels or what the screen has.

    Raises WorldError where no display can be opened; with `unseen` SDL may draw where nobody can look, which is logged.
    """
    os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # real pixels on HiDPI screens
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")  # else SDL's OpenGL bars MuJoCo's from the same thread
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
        if driver in ("dummy", "offscreen") and driver != os.environ.get("SDL_VIDEODRIVER"):
            if not unseen:
                pygame.display.quit()
                raise pygame.error("the display does not answer")  # SDL would draw where nobody can look
            _log.warning("the display does not answer: the window is drawn where nobody can look (SDL's %s)", driver)
        pygame.display.set_icon(_icon())
        screen_w, screen_h = pygame.display.get_desktop_sizes()[0]
        size = (min(size[0], round(0.97 * screen_w)), min(size[1], round(0.9 * screen_h)))  # title and task bars
        surface = pygame.display.set_mode(size, pygame.RESIZABLE)
    except pygame.error as error:
        cure = 'do without: --headless, or render_mode="rgb_array"'
        raise WorldError(f"no window could be opened ({error}): set DISPLAY, or {cure}") from error
    pygame.display.set_caption(title)
    return surface


def close_window() -> None:
    """Closes the window, if any."""
    while pygame.display.get_init():  # the clipboard holds SDL's display once for each time that it was asked
        pygame.display.quit()


def shown() -> Frame:
    """What the open window shows, uint8 [H, W, 3]."""
    surface = pygame.display.get_surface()
    width, height = surface.get_size()
    return np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(height, width, 3)


def fitting(size: tuple[int, int], box: Rect) -> Rect:
    """The largest rectangle of the aspect of `size` in the middle of `box`."""
    width, height = size
    scale = min(box.width / width, box.height / height)
    rect = pygame.Rect(0, 0, max(1, round(width * scale)), max(1, round(height * scale)))
    rect.center = box.center
    return rect


def picture(frame: Frame, size: tuple[int, int], radius: int = 0) -> pygame.Surface:
    """`frame`, uint8 [H, W, 3], at `size` = (width, height) with Lanczos, its corners rounded into BACKGROUND.

    Takes some 10 ms; the surface itself is opaque, which makes drawing it cheap.
    """
    pixels = np.ascontiguousarray(resized(frame, size))
    if radius:
        pixels = pixels.copy()
        radius = max(1, min(radius, size[0] // 2, size[1] // 2))
        mask, ground = np.asarray(_corner(radius), np.float32)[..., None] / 255, np.array(BACKGROUND, np.float32)
        for turned in (pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1]):
            corner = turned[:radius, :radius]
            corner[...] = ground + (corner - ground) * mask
    return pygame.image.frombuffer(pixels, size, "RGB").convert()  # pyright: ignore[reportArgumentType]


def panel(surface: pygame.Surface, rect: Rect, color: Color = PANEL, radius: int = 12, alpha: int = 255) -> None:
    """A rounded, antialiased rectangle."""
    surface.blit(_rounded((rect.width, rect.height), radius, color, alpha), rect)


def text(
    surface: pygame.Surface,
    words: str,
    place: tuple[float, float],
    size: int,
    color: Color = TEXT,
    anchor: str = "left",
) -> int:
    """One line, vertically centred on place = (x, y); its width in pixels. `anchor` is left, center or right."""
    drawn = _line(words, size, color)
    shift = {"left": 0.0, "center": 0.5, "right": 1.0}[anchor]
    surface.blit(drawn, (round(place[0] - shift * drawn.get_width()), round(place[1] - drawn.get_height() / 2)))
    return drawn.get_width()


def keycap(surface: pygame.Surface, label: str, place: tuple[float, float], size: int, lit: bool = False) -> int:
    """A key with its label, vertically centred on place = (x, y); its width. "<", ">", "^" and "v" are arrows."""
    height = round(size * 1.75)
    width = max(height, round(lettering.length(label, size) + size * 1.1))
    rect = pygame.Rect(round(place[0]), round(place[1] - height / 2), width, height)
    panel(surface, rect, ACCENT if lit else RAISED, radius=max(3, size // 3))
    ink = BACKGROUND if lit else TEXT
    if label in _ARROWS:
        surface.blit(_arrow(label, size, ink), _arrow(label, size, ink).get_rect(center=rect.center))
    else:
        text(surface, label, rect.center, size, ink, "center")
    return width


def card(surface: pygame.Surface, box: Rect, title: str, message: str, hint: str, size: int) -> None:
    """A message in the middle of `box`, over what is there."""
    width = min(box.width - 2 * size, 34 * size)
    lines = lettering.wrapped(message, size, width - 4 * size)[:12]
    hints = lettering.wrapped(hint, size, width - 4 * size) if hint else []
    step = round(size * 1.5)
    height = 2 * size + round(2.2 * step) + len(lines) * step + (len(hints) * step + step // 2 if hints else 0)
    rect = pygame.Rect(0, 0, width, height)
    rect.center = box.center
    panel(surface, rect, PANEL, radius=size, alpha=242)
    x, y = rect.x + 2 * size, rect.y + round(1.9 * size)
    text(surface, title, (x, y), round(size * 1.15), ACCENT)
    y += round(1.7 * step)
    for line in lines:
        text(surface, line, (x, y), size)
        y += step
    for line in hints:
        text(surface, line, (x, y + step // 2), size, DIM)
        y += step


class FrameWindow:
    """A window that shows frames and nothing else: Gymnasium's "human" rendering, also where there is no display."""

    def __init__(self, title: str, fps: float, side: int = 512) -> None:
        self._title, self._fps, self._side = title, fps, side
        self._surface: pygame.Surface | None = None
        self._clock = pygame.time.Clock()

    def show(self, frame: Frame) -> None:
        """Draws `frame`, uint8 [H, W, 3], and keeps to the pace of `fps`."""
        if self._surface is None:
            height, width = frame.shape[:2]
            scale = max(1.0, self._side / min(height, width))
            size = round(width * scale), round(height * scale)
            self._surface = open_window(size, self._title, unseen=True)
        pygame.event.pump()
        self._surface = pygame.display.get_surface() or self._surface
        rect = fitting((frame.shape[1], frame.shape[0]), self._surface.get_rect())
        self._surface.fill(BACKGROUND)
        self._surface.blit(picture(frame, rect.size), rect)
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Closes the window; may be called twice."""
        if self._surface is not None:
            self._surface = None
            close_window()


_FINE = 4  # letters are drawn so many times as large and then reduced: even spacing at every size
_ARROWS = {"<": 180, ">": 0, "^": 90, "v": 270}  # degrees


@lru_cache(maxsize=512)
def _line(words: str, size: int, color: Color) -> pygame.Surface:
    face = lettering.font(_FINE * size, words)
    ascent, descent = face.getmetrics()
    width, height = round(lettering.length(words, size)) + 2, round((ascent + descent) / _FINE)
    mask = Image.new("L", (_FINE * width, _FINE * height), 0)
    ImageDraw.Draw(mask).text((0, 0), words, 255, face)
    image = Image.new("RGBA", (width, height), (*color, 0))
    image.putalpha(mask.reduce(_FINE))
    return _surface_of(image)


@lru_cache(maxsize=64)
def _rounded(size: tuple[int, int], radius: int, color: Color, alpha: int) -> pygame.Surface:
    image = Image.new("RGBA", size, (*color, 0))
    image.putalpha(_mask(size, radius).point([v * alpha // 255 for v in range(256)]))
    return _surface_of(image)


def _mask(size: tuple[int, int], radius: int) -> Image.Image:
    """White inside a rounded rectangle: drawn four times as large where it is curved, so that the edge is smooth."""
    width, height = size
    radius = max(1, min(radius, width // 2, height // 2))
    mask, corner = Image.new("L", size, 255), _corner(radius)
    places = ((0, 0), (width - radius, 0), (width - radius, height - radius), (0, height - radius))
    for quarter, place in enumerate(places):
        mask.paste(corner.rotate(-90 * quarter), place)
    return mask


@lru_cache(maxsize=64)
def _corner(radius: int) -> Image.Image:
    """The upper left corner of a rounded rectangle."""
    corner = Image.new("L", (4 * radius, 4 * radius), 0)
    ImageDraw.Draw(corner).ellipse((0, 0, 8 * radius - 1, 8 * radius - 1), fill=255)
    return corner.resize((radius, radius), Image.Resampling.BOX)


@lru_cache(maxsize=16)
def _arrow(label: str, size: int, color: Color) -> pygame.Surface:
    side = 4 * size
    image = Image.new("RGBA", (side, side), (*color, 0))
    points = [(0.28 * side, 0.2 * side), (0.28 * side, 0.8 * side), (0.8 * side, 0.5 * side)]
    ImageDraw.Draw(image).polygon(points, fill=color)
    turned = image.rotate(_ARROWS[label])
    return _surface_of(turned.resize((size, size), Image.Resampling.LANCZOS))


def _icon() -> pygame.Surface:
    image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((64, 64, 192, 192), outline=ACCENT, width=1)
    ImageDraw.Draw(image).ellipse((16, 16, 240, 240), outline=ACCENT, width=72)
    return _surface_of(image.resize((64, 64), Image.Resampling.LANCZOS))


def _surface_of(image: Image.Image) -> pygame.Surface:
    return pygame.image.frombytes(image.tobytes(), image.size, "RGBA")
