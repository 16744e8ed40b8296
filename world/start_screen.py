"""Where to begin: the library in small pictures, the last sessions, and any picture or session by its path."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygame

from world import lettering, models, window
from world.clipboard import path_of
from world.column import as_sentence
from world.errors import WorldError
from world.hands import key_name
from world.journal import SUFFIX, reopened
from world.prompt import Prompt
from world.types import Frame
from world.window import ACCENT, DIM, PANEL, RAISED, TEXT, Rect

SESSIONS = 8  # the newest
_CELL = 11.0  # letters, the width of a card at least
_LINES = 2  # of what is told of a card
_TOLD = 2.0 + 1.15 * _LINES  # letters, the height of title and lines


@dataclass(frozen=True)
class Choice:
    """One card."""

    address: str  # a scene, or the path of a session
    title: str
    about: str
    frame: Frame


def choices(scenes: Sequence[str], out: Path) -> list[Choice]:
    """The newest sessions below `out`, then every scene, then its other starts; what cannot be read is left out."""
    found, walked = [], set()
    paths = [*out.glob("*.json"), *out.glob(f"sessions/*{SUFFIX}")]
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime)[:SESSIONS]:
        try:
            session = reopened(path)
        except WorldError:
            continue
        if (session.scene.name, session.digests) in walked:
            continue  # the journal of a walk that was saved as well
        walked.add((session.scene.name, session.digests))
        when = time.strftime("%d %b %H:%M", time.localtime(path.stat().st_mtime))
        num = len(session.plan.steps) - 1
        about = f"{num} step{'' if num == 1 else 's'} by {session.model}, {when}"
        found.append(Choice(str(path), f"{session.scene.name} again", about, session.scene.starts[0].frame))
    loaded = [models.load_scene(name) for name in scenes]
    found += [Choice(scene.name, scene.name, scene.caption, scene.starts[0].frame) for scene in loaded]
    for scene in loaded:
        for start in scene.starts[1:]:
            address, title = f"{scene.name}:{start.name}", f"{scene.name} · {start.name}"
            found.append(Choice(address, title, scene.caption, start.frame))
    return found


class StartScreen:
    """Cards to choose from; typing searches them, or is a path to open."""

    def __init__(self, scenes: Sequence[str], out: Path, choose: Callable[[str], None]) -> None:
        """`choose` gets an address: of a scene, a picture, or a session. Raises SceneError for an unknown scene."""
        self.closed = False
        self.search = Prompt()
        self.selected = 0
        self._all = choices(scenes, out)
        self._choose = choose
        self._columns = 1
        self._under: list[tuple[Rect, int]] = []
        self._small: dict[tuple[str, int], pygame.Surface] = {}

    @property
    def shown(self) -> list[Choice]:
        """What matches every word that was typed."""
        words = self.search.text.lower().split()
        return [c for c in self._all if all(word in f"{c.address} {c.title} {c.about}".lower() for word in words)]

    def on(self, event: pygame.event.Event) -> None:
        if event.type == pygame.TEXTINPUT:
            self.search, self.selected = self.search.typed(event.text), 0
        elif event.type == pygame.KEYDOWN:
            self._press(key_name(event))
        elif event.type == pygame.MOUSEWHEEL:
            self._select(self.selected - event.y * self._columns)
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION):
            under = next((i for rect, i in self._under if rect.collidepoint(event.pos)), None)
            if under is not None and event.type == pygame.MOUSEBUTTONDOWN:
                self._take(self.shown[under].address)

    def _press(self, key: str) -> None:
        ways = {"left": -1, "right": 1, "up": -self._columns, "down": self._columns}
        if key in ways:
            self._select(self.selected + ways[key])
        elif key == "backspace":
            self.search, self.selected = self.search.erased(), 0
        elif key in ("escape", "tab"):
            self.closed = True
        elif key in ("return", "enter"):
            typed = self.search.text.strip()
            if typed and ("/" in typed or path_of(typed).is_file() or not self.shown):
                self._take(str(path_of(typed)))
            elif self.shown:
                self._take(self.shown[self.selected].address)

    def _select(self, i: int) -> None:
        self.selected = min(max(0, i), max(0, len(self.shown) - 1))

    def _take(self, address: str) -> None:
        self.closed = True
        self._choose(address)

    def draw(self, surface: pygame.Surface, stage: Rect, size: int) -> None:
        box = surface.get_rect()
        surface.fill(PANEL)
        left, y = box.left + 2 * size, box.top + 2.4 * size
        room = box.width - 6 * size - window.text(surface, "Where to?", (left, y), round(1.7 * size), ACCENT)
        told, small = "Enter opens · drop a picture here, or paste one · Esc goes back", round(0.9 * size)
        window.text(surface, lettering.fitted(told, small, room), (box.right - 2 * size, y), small, DIM, "right")
        line = pygame.Rect(left, round(y + 1.7 * size), box.width - 4 * size, round(2.4 * size))
        window.panel(surface, line, RAISED, radius=size // 2)
        typed = self.search.text or "type to search, or the path of a picture or session"
        words = lettering.fitted(typed, size, line.width - 2 * size)
        window.text(surface, words, (line.left + size, line.centery), size, TEXT if self.search.text else DIM)
        self._draw_cards(
            surface, pygame.Rect(left, line.bottom + size, line.width, box.bottom - line.bottom - 2 * size), size
        )

    def _draw_cards(self, surface: pygame.Surface, area: Rect, size: int) -> None:
        gap = size
        self._columns = max(1, (area.width + gap) // (round(_CELL * size) + gap))
        side = (area.width + gap) // self._columns - gap
        row_height = side + round(_TOLD * size) + gap
        shown, self._under = self.shown, []
        if not shown:
            told = f"Nothing is called that here. Enter opens {self.search.text.strip()} as a path."
            window.text(surface, lettering.fitted(told, size, area.width), (area.left, area.top + 2 * size), size, DIM)
        num_rows = max(1, (area.height + gap) // row_height)
        first = max(0, self.selected // self._columns - num_rows + 1) * self._columns
        surface.set_clip(area.inflate(size, size))  # the mark of the chosen card stands out a little
        for i, choice in enumerate(shown[first : first + (num_rows + 1) * self._columns], first):
            row, column = divmod(i - first, self._columns)
            place = pygame.Rect(area.left + column * (side + gap), area.top + row * row_height, side, side)
            self._draw_card(surface, place, size, choice, i == self.selected)
            self._under.append((pygame.Rect(place.left, place.top, side, row_height - gap).clip(area), i))
        surface.set_clip(None)
        _draw_bar(surface, area, size, (first // self._columns, num_rows, -(-len(shown) // self._columns)))

    def _draw_card(self, surface: pygame.Surface, place: Rect, size: int, choice: Choice, selected: bool) -> None:
        if selected:
            edge = max(3, size // 5)
            window.panel(surface, place.inflate(2 * edge, 2 * edge), ACCENT, radius=size // 2 + edge)
        key = (choice.address, place.width)
        if key not in self._small:
            self._small[key] = window.picture(_square(choice.frame), place.size, radius=size // 2)
        surface.blit(self._small[key], place)
        title, about = lettering.fitted(choice.title, size, place.width), round(0.8 * size)
        window.text(surface, title, (place.left, place.bottom + 1.1 * size), size, ACCENT if selected else TEXT)
        lines = lettering.wrapped(as_sentence(choice.about), about, place.width)
        if len(lines) > _LINES:
            lines[_LINES - 1] = lettering.fitted(" ".join(lines[_LINES - 1 :]), about, place.width)
        for k, line in enumerate(lines[:_LINES]):
            window.text(surface, line, (place.left, place.bottom + (2.4 + 1.15 * k) * size), about, DIM)


def _draw_bar(surface: pygame.Surface, area: Rect, size: int, rows: tuple[int, int, int]) -> None:
    """Which rows are in sight: the first, how many, of how many."""
    first, num, total = rows
    if num >= total:
        return
    track = pygame.Rect(area.right + round(0.7 * size), area.top, max(3, size // 4), area.height)
    window.panel(surface, track, RAISED, radius=track.width)
    part = track.copy()
    part.height = track.height * num // total
    part.top += track.height * first // total
    window.panel(surface, part, DIM, radius=track.width)


def _square(frame: Frame) -> Frame:
    """The middle of a frame."""
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return frame[top : top + side, left : left + side]
