"""What the window draws over the frame: cards, chips, progress, futures, the drift of the dream."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pygame

from world import lettering, window
from world.column import as_sentence
from world.game import Game
from world.keys import cap
from world.timeline import NOWHERE
from world.types import Frame
from world.window import ACCENT, ALARM, BACKGROUND, DIM, EDGE, PANEL, TEXT, Rect

_CLEAR = 35.0  # dB, above which nobody sees a difference: the curve ends there
_TILE = 4.2  # letters, the side of an imagined frame


def patience(game: Game) -> str:
    """How long a loading takes, for a person."""
    if game.doing == "load" and (stage := game.stage()):
        return f"{as_sentence(stage)}. {game.doing_for:.0f} s so far; Esc leaves."
    if game.doing_for < 5:
        return "One moment."
    return f"{game.doing_for:.0f} s so far. Large models take minutes the first time; Esc leaves."


def way_out(game: Game) -> str:
    """How a step that takes long is ended, and why it may take so long."""
    if lost := getattr(game.model, "lost", ""):  # as world.client has
        return f"Esc gives this step up; {lost}"
    early = game.model is not None and "preview" in game.model.spec.supports
    return f"Esc gives this step up{', Enter takes it as it is' if early else ''}"


def draw_pulse(surface: pygame.Surface, place: Rect, size: int, seconds: float) -> None:
    """A short bar that wanders along the frame's lower edge while the model thinks."""
    width, height = place.width // 5, max(3, size // 4)
    x = place.left + size + round((place.width - width - 2 * size) * (0.5 - 0.5 * math.cos(2.2 * seconds)))
    window.panel(surface, pygame.Rect(x, place.bottom - 2 * height, width, height), ACCENT, radius=height // 2)


def draw_recording(surface: pygame.Surface, place: Rect, size: int, num_frames: int) -> None:
    """A chip with a red dot."""
    words = f"REC  {num_frames}"
    width = round(lettering.length(words, size) + 3.2 * size)
    chip = pygame.Rect(place.left + size, place.top + size, width, 2 * size)
    window.panel(surface, chip, PANEL, radius=size, alpha=225)
    dot = pygame.Rect(0, 0, round(0.8 * size), round(0.8 * size))
    dot.center = (chip.left + size, chip.centery)
    window.panel(surface, dot, ALARM, radius=size)
    window.text(surface, words, (chip.left + 1.9 * size, chip.centery), size)


def draw_chip(surface: pygame.Surface, words: str, center: tuple[int, int], size: int, room: float = math.inf) -> None:
    """Words on a rounded ground."""
    words = lettering.fitted(words, size, room - 2.4 * size)
    chip = pygame.Rect(0, 0, round(lettering.length(words, size) + 2.4 * size), round(2.1 * size))
    chip.center = center
    window.panel(surface, chip, PANEL, radius=size, alpha=232)
    window.text(surface, words, chip.center, size, TEXT, "center")


def draw_progress(surface: pygame.Surface, place: Rect, size: int, share: float) -> None:
    """A thin bar along the frame's lower edge: how much of the step is done."""
    track = pygame.Rect(place.left + size, place.bottom - size, place.width - 2 * size, max(3, size // 4))
    window.panel(surface, track, PANEL, radius=track.height // 2, alpha=200)
    done = track.copy()
    done.width = max(track.height, round(share * track.width))
    window.panel(surface, done, ACCENT, radius=track.height // 2)


def draw_curve(surface: pygame.Surface, place: Rect, size: int, psnr: Sequence[float]) -> None:
    """The drift of a dream, dB of the last steps, over the lower edge of `place`."""
    box = pygame.Rect(place.left + size, place.bottom - 7 * size, place.width - 2 * size, 6 * size)
    if box.width < 8 * size or len(psnr) < 2:
        return
    window.panel(surface, box, PANEL, radius=size, alpha=225)
    inner = box.inflate(-2 * size, -3 * size)
    inner.top = box.top + round(2.1 * size)
    shown = [min(v, _CLEAR) for v in psnr][-max(2, inner.width // max(1, size // 3)) :]
    low, high = math.floor(min(shown)), max(math.ceil(max(shown)), math.floor(min(shown)) + 1)
    small = max(9, round(0.85 * size))
    y = box.top + 1.1 * size
    wide = window.text(surface, f"{shown[-1]:.1f} now", (inner.right, y), small, TEXT, "right")
    told = lettering.fitted(f"drift, dB: {low} to {high}", small, inner.width - wide - size)
    window.text(surface, told, (inner.left, y), small, DIM)
    points = [
        (inner.left + i * inner.width / (len(shown) - 1), inner.bottom - (v - low) / (high - low) * inner.height)
        for i, v in enumerate(shown)
    ]
    pygame.draw.line(surface, EDGE, inner.bottomleft, inner.bottomright)
    pygame.draw.lines(surface, ACCENT, False, points, max(2, size // 6))


class Tiles:
    """Imagined frames in a row, each under the key that leads to it."""

    def __init__(self) -> None:
        self.height = 0  # pixels above the frame's lower edge, as they were drawn last
        self._small: dict[tuple[int, int], tuple[Frame, pygame.Surface]] = {}

    def draw(self, surface: pygame.Surface, place: Rect, size: int, game: Game, keys: dict[str, str]) -> None:
        """`keys` gives the key for what a move is called or, behind a slash, for a sentence."""
        if game.timeline.here == NOWHERE:
            return
        futures = list(game.futures.at(game.history.nodes[game.timeline.here].state).items())
        side, gap = round(_TILE * size), size // 2
        if len(futures) * (side + gap) > 0.6 * place.width or place.height < 4 * side:
            return
        self.height = side + 2 * size if futures else 0
        fresh: dict[tuple[int, int], tuple[Frame, pygame.Surface]] = {}
        for i, (action, future) in enumerate(futures):
            frame = future.state.frame
            shown = self._small.get((i, side))
            if shown is None or shown[0] is not frame:
                shown = frame, window.picture(frame, (side, side), radius=size // 2)
            fresh[i, side] = shown
            tile = pygame.Rect(place.left + size + i * (side + gap), place.bottom - side - 2 * size, side, side)
            window.panel(surface, tile.inflate(gap // 2, gap // 2), BACKGROUND, radius=size // 2, alpha=200)
            surface.blit(shown[1], tile)
            key = keys.get(action.name) or keys.get(f"/{action.text}")
            if key is not None:
                window.keycap(surface, cap(key), (tile.left + size // 4, tile.top + size), round(0.8 * size))
        self._small = fresh
