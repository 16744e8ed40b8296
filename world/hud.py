"""What the window draws over and beside the frame: where one is, how fast it goes, which keys do what."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import pygame

from world import filmstrip, keys, lettering, window
from world.game import Game
from world.gauges import in_words, resident_bytes
from world.types import Frame
from world.window import ACCENT, ALARM, BACKGROUND, DIM, PANEL, TEXT, Rect

PANEL_WIDTH = 19.0  # letters
LETTERS = 53  # what the longest panel needs, one below the other
MIN_HEIGHT = 610  # pixels of a new window: below, the smallest letters leave no room for all keys
SLOW = 0.25  # s after which a running step is shown as such


def window_size(side: int) -> tuple[int, int]:
    """The window in which a frame of any shape has at most `side` pixels a side, with room for the panel beside it.

    What the model makes of a start picture is not known yet, so the room is square.
    """
    height = max(MIN_HEIGHT, math.ceil(side / (1 - (2 + filmstrip.HEIGHT) / LETTERS)))
    return side + round((PANEL_WIDTH + 3) * _letter_size(height)), height


def _letter_size(height: int) -> int:
    """Pixels, for a window that is `height` high: everything grows with it."""
    return max(11, min(40, height // LETTERS))


@dataclass(frozen=True)
class Overlay:
    """What the loop knows beyond the game."""

    hidden: bool = False
    paused: bool = False
    chosen: str = ""  # words of the action that a paused game would take
    compared: int = 0  # which of the other branches is shown beside; 0 for none
    held: frozenset[str] = frozenset()  # names of actions whose keys are down
    notice: str = ""
    recording: int = 0  # frames so far; 0 when off


class Hud:
    """Draws a `Game` onto a window's surface of any size."""

    def __init__(self) -> None:
        self.strip = filmstrip.Filmstrip()
        self._shown: dict[str, tuple[Frame, pygame.Surface]] = {}  # what stands where, and how it looks
        self._told: object = None  # what the column shows
        self._column: pygame.Surface | None = None

    def draw(self, surface: pygame.Surface, game: Game, overlay: Overlay) -> None:
        """One whole picture of the window."""
        surface.fill(BACKGROUND)
        box = surface.get_rect()
        size = _letter_size(box.height)
        margin = size
        side = round(PANEL_WIDTH * size)
        with_panel = not overlay.hidden and box.width - side > 0.4 * box.width
        if with_panel:
            column = pygame.Rect(box.right - side - margin, margin, side, box.height - 2 * margin)
            self._blit_column(surface, column, size, game, overlay)
            box = pygame.Rect(0, 0, column.left, box.height)
        stage = box.inflate(-2 * margin, -2 * margin)
        strip = round(filmstrip.HEIGHT * size)
        with_strip = with_panel and strip < 0.2 * stage.height
        if with_strip:
            stage.height -= strip
        place = self._blit_frames(surface, game, overlay, stage, size)
        if with_strip:
            under = place if place.width > 0.6 * stage.width else stage
            below = pygame.Rect(under.left, stage.bottom + margin, under.width, strip - margin // 2)
            self.strip.draw(surface, below, size, game.timeline, game.shelf)
        else:
            self.strip.clear()
        self._draw_over(surface, place, size, game, overlay)

    def _blit_column(self, surface: pygame.Surface, rect: Rect, size: int, game: Game, overlay: Overlay) -> None:
        """Drawn anew only when something in it changed: sixty times a second its hundred parts would cost a core."""
        facts = _facts(game)
        told = (rect.size, game.scene.name, facts, overlay.held, tuple(game.latencies))
        if self._column is None or told != self._told:
            self._told = told
            self._column = pygame.Surface(rect.size)
            self._column.fill(BACKGROUND)
            inside = self._column.get_rect()
            window.panel(self._column, inside, PANEL, radius=size)
            _Column(self._column, inside, size).draw(game, facts, overlay.held)
        surface.blit(self._column, rect)

    def _blit_frames(self, surface: pygame.Surface, game: Game, overlay: Overlay, stage: Rect, size: int) -> Rect:
        """What is seen here; beside it, where branches are compared, what is seen at this step of another one."""
        frame = game.state.frame if game.state else game.scene.starts[0].frame
        peers = game.timeline.peers() if overlay.compared else ()
        if not peers:
            return self._blit_frame(surface, frame, stage, size, "Here")
        other = peers[min(overlay.compared, len(peers)) - 1]
        nodes = {"Here": game.timeline.here, "There": other}
        places = []
        for (whose, node), half in zip(nodes.items(), _halves(stage, size), strict=True):
            half.height = max(1, half.height - 2 * size)
            places.append(self._blit_frame(surface, game.shelf.state(node).frame, half, size, whose))
            words = lettering.fitted(f"{whose} · {game.shelf.words(node)}", size, half.width)
            window.text(surface, words, (places[-1].centerx, places[-1].bottom + 1.2 * size), size, anchor="center")
        return places[0].union(places[1])

    def _blit_frame(self, surface: pygame.Surface, frame: Frame, stage: Rect, radius: int, where: str) -> Rect:
        place = window.fitting((frame.shape[1], frame.shape[0]), stage)
        shown = self._shown.get(where)
        if shown is None or shown[0] is not frame or shown[1].get_size() != place.size:
            shown = self._shown[where] = (frame, window.picture(frame, place.size, radius))
        surface.blit(shown[1], place)
        return place

    def _draw_over(self, surface: pygame.Surface, place: Rect, size: int, game: Game, overlay: Overlay) -> None:
        if game.problem:
            hint = "The place where you were is still there: go on with any key." if game.state else ""
            window.card(surface, place, "That did not work", game.problem, hint, size)
        elif game.doing in ("load", "start") and game.doing_for > SLOW:
            what = f"Loading {game.loading}" if game.doing == "load" else "Getting ready"
            dots = "." * (1 + int(game.doing_for * 2) % 3)
            window.card(surface, place, what + dots, _patience(game), "", size)
        if game.doing and game.doing_for > SLOW:
            _draw_pulse(surface, place, size, game.doing_for)
        if overlay.recording:
            _draw_recording(surface, place, size, overlay.recording)
        if overlay.paused and not overlay.hidden:
            next_step = f" · next: {overlay.chosen}" if overlay.chosen else ""
            _chip(surface, f"Paused{next_step} · N makes one step", (place.centerx, place.top + 2 * size), size)
        if overlay.notice:
            _chip(surface, overlay.notice, (place.centerx, place.bottom - 2 * size), size, place.width - 2 * size)


class _Column:
    """The panel beside the frame, filled from the top."""

    def __init__(self, surface: pygame.Surface, rect: Rect, size: int) -> None:
        self._surface, self._rect, self._size = surface, rect, size
        self._x, self._right = rect.left + round(1.4 * size), rect.right - round(1.4 * size)
        self._y = rect.top + round(1.9 * size)

    def draw(self, game: Game, facts: list[tuple[str, str]], held: frozenset[str]) -> None:
        size, scene = self._size, game.scene
        width = self._right - self._x
        title = lettering.fitted(_sentence(scene.name.replace("_", " ")), round(1.7 * size), width)
        window.text(self._surface, title, (self._x, self._y), round(1.7 * size))
        self._y += round(1.9 * size)
        for line in lettering.wrapped(_sentence(scene.caption), round(0.88 * size), width)[:3]:
            window.text(self._surface, line, (self._x, self._y), round(0.88 * size), DIM)
            self._y += round(1.25 * size)
        self._y += round(0.7 * size)
        for label, value in facts:
            if label == "Speed":
                self._curve(list(game.latencies), lettering.length(value, size))
            self._row(label, value)
        self._rule()
        names = {action.name for action in scene.actions}
        for binding in keys.MOVES:
            if names.intersection(binding.does):
                self._keys(binding, held)
        self._rule()
        for binding in keys.VERBS:
            self._keys(binding, held)

    def _row(self, label: str, value: str) -> None:
        size = self._size
        window.text(self._surface, label, (self._x, self._y), round(0.92 * size), DIM)
        room = self._right - self._x - 5.2 * size
        window.text(self._surface, lettering.fitted(value, size, room), (self._right, self._y), size, TEXT, "right")
        self._y += round(1.55 * size)

    def _curve(self, seconds: list[float], room: float) -> None:
        """The last steps' times as small bars, the slowest as high as the row, beside a value that takes `room`."""
        size, width = self._size, max(2, self._size // 6)
        left, right, height = self._x + 3.6 * size, self._right - room - 0.8 * size, 1.1 * size
        shown = seconds[-max(1, int((right - left) // (width + 1))) :]
        for i, value in enumerate(reversed(shown)):
            tall = max(2, round(height * value / max(shown)))
            bar = pygame.Rect(round(right) - (i + 1) * (width + 1), 0, width, tall)
            bar.bottom = round(self._y + height / 2)
            pygame.draw.rect(self._surface, window.EDGE if i else ACCENT, bar)

    def _rule(self) -> None:
        y = self._y + round(0.1 * self._size)
        if y > self._rect.bottom - 3 * self._size:
            return
        pygame.draw.line(self._surface, window.RAISED, (self._x, y), (self._right, y))
        self._y = y + round(1.35 * self._size)

    def _keys(self, binding: keys.Binding, held: frozenset[str]) -> None:
        size = self._size
        if self._y > self._rect.bottom - size:
            return
        x = float(self._x)
        for cap, does in zip(binding.caps, binding.does, strict=True):
            x += window.keycap(self._surface, cap, (x, self._y), round(0.85 * size), does in held) + 0.35 * size
        window.text(self._surface, binding.caption, (self._right, self._y), round(0.92 * size), DIM, "right")
        self._y += round(1.85 * size)


def _halves(stage: Rect, gap: int) -> tuple[Rect, Rect]:
    """The stage in two, along its longer side."""
    one = stage.copy()
    if stage.width >= stage.height:
        one.width = max(1, (stage.width - gap) // 2)
        return one, one.move(stage.width - one.width, 0)
    one.height = max(1, (stage.height - gap) // 2)
    return one, one.move(0, stage.height - one.height)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _facts(game: Game) -> list[tuple[str, str]]:
    model, state = game.model, game.state
    exact = model is not None and "pose" in model.spec.supports
    fps = game.frames_per_second()
    pose = state.pose if state else game.scene.starts[0].pose
    facts = [
        ("Model", f"{model.spec.model} · {'truth' if exact else 'dream'}" if model else game.address),
        ("Device", f"{model.spec.device}, {model.spec.dtype}" if model else "loading"),
        ("Speed", f"{fps:.1f} frames/s" if fps else "idle"),
        ("Latency", _latency(list(game.latencies))),
        ("Memory", in_words(resident_bytes())),
        ("Step", f"{state.step if state else 0} · seed {game.seed}"),
        ("Action", state.actions[-1].text if state and state.actions else "none yet"),
        ("Place", f"{pose.x:.1f}, {pose.y:.1f} m"),
        ("Gaze", f"{pose.yaw:.0f}°, {'up' if pose.pitch >= 0 else 'down'} {abs(pose.pitch):.0f}°"),
    ]
    if any(action.object_yaw for action in game.scene.actions):
        facts.append(("Object", f"{pose.object_yaw:.0f}°"))
    return facts


def _latency(seconds: list[float]) -> str:
    """The median, and what only one step of a hundred exceeds."""
    if not seconds:
        return "no step yet"
    p99 = sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]
    return f"{1000 * statistics.median(seconds):.0f} ms, p99 {1000 * p99:.0f}"


def _patience(game: Game) -> str:
    if game.doing == "load" and (stage := game.stage()):
        return f"{_sentence(stage)}. {game.doing_for:.0f} s so far; Esc leaves."
    if game.doing_for < 5:
        return "One moment."
    return f"{game.doing_for:.0f} s so far. Large models take minutes the first time; Esc leaves."


def _draw_pulse(surface: pygame.Surface, place: Rect, size: int, seconds: float) -> None:
    """A short bar that wanders along the frame's lower edge while the model thinks."""
    width, height = place.width // 5, max(3, size // 4)
    x = place.left + size + round((place.width - width - 2 * size) * (0.5 - 0.5 * math.cos(2.2 * seconds)))
    window.panel(surface, pygame.Rect(x, place.bottom - 2 * height, width, height), ACCENT, radius=height // 2)


def _draw_recording(surface: pygame.Surface, place: Rect, size: int, num_frames: int) -> None:
    words = f"REC  {num_frames}"
    width = round(lettering.length(words, size) + 3.2 * size)
    chip = pygame.Rect(place.left + size, place.top + size, width, 2 * size)
    window.panel(surface, chip, PANEL, radius=size, alpha=225)
    dot = pygame.Rect(0, 0, round(0.8 * size), round(0.8 * size))
    dot.center = (chip.left + size, chip.centery)
    window.panel(surface, dot, ALARM, radius=size)
    window.text(surface, words, (chip.left + 1.9 * size, chip.centery), size)


def _chip(surface: pygame.Surface, words: str, center: tuple[int, int], size: int, room: float = math.inf) -> None:
    words = lettering.fitted(words, size, room - 2.4 * size)
    chip = pygame.Rect(0, 0, round(lettering.length(words, size) + 2.4 * size), round(2.1 * size))
    chip.center = center
    window.panel(surface, chip, PANEL, radius=size, alpha=232)
    window.text(surface, words, chip.center, size, TEXT, "center")
