"""The timeline as a strip of film: the current way in small frames, the forks beside it as lines of dots."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import pygame

from world import lettering, window
from world.history import History
from world.shelf import Shelf
from world.timeline import NOWHERE, Timeline
from world.types import Frame
from world.window import ACCENT, BACKGROUND, DIM, EDGE, PANEL, Rect

HEIGHT = 7.0  # letters
_THUMB = 3.6  # letters, the height of a small frame
_LANE = 0.75  # letters between two lines of dots
_NUM_LANES = 3  # lines of dots at most; further forks show when one goes near them
_NEW_A_DRAW = 2  # small frames made at one drawing: many that come into view at once must not stall the window
_KEPT = 512  # small frames
_GLANCE = 2.5  # how much larger the frame under the mouse is shown
_UNDONE = 110  # of 255: how bright it is where one has been and went back from


@dataclass(frozen=True)
class _Layout:
    """Columns are steps from the beginning; lane -1 is the line of small frames."""

    timeline: Timeline
    line: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]
    places: dict[int, tuple[int, int]]  # from a node to its (lane, column)
    num_columns: int


def _laid_out(timeline: Timeline) -> _Layout:
    line, depths = timeline.line(), timeline.depths()
    places = {node: (-1, column) for column, node in enumerate(line)}
    ends: list[int] = []  # the last column taken in each lane
    shown = []
    for nodes in sorted(timeline.branches(), key=lambda nodes: depths[nodes[0]]):
        begin = max(0, depths[nodes[0]] - 1)  # where it leaves its fork
        lane = next((lane for lane, end in enumerate(ends) if end < begin), len(ends))
        if lane < _NUM_LANES:
            ends[lane:] = [depths[nodes[-1]], *ends[lane + 1 :]]
            shown.append(nodes)
            places |= {node: (lane, depths[node]) for node in nodes}
    return _Layout(timeline, line, tuple(shown), places, 1 + max(column for _, column in places.values()))


@dataclass(frozen=True)
class _Grid:
    """Where lanes and columns are in the window, in pixels."""

    rect: Rect
    size: int  # of a letter
    thumb: tuple[int, int]  # width and height of a small frame
    first: int = 0  # column at the left edge

    @property
    def pitch(self) -> int:
        return self.thumb[0] + max(4, self.size // 2)

    @property
    def visible(self) -> int:
        return max(1, (self.rect.width + self.pitch - self.thumb[0]) // self.pitch)

    def center(self, lane: int, column: int) -> tuple[int, int]:
        x = self.rect.left + (column - self.first) * self.pitch + self.thumb[0] // 2
        y = self.thumb[1] // 2 if lane < 0 else self.thumb[1] + round((lane + 0.8) * _LANE * self.size)
        return x, self.rect.top + y


class Filmstrip:
    """Draws a timeline, and knows which node is under the mouse."""

    def __init__(self) -> None:
        self._small: OrderedDict[int, pygame.Surface] = OrderedDict()
        self._made_for: tuple[Shelf, tuple[int, int]] | None = None  # whose frames these are, and their size
        self._layout: _Layout | None = None
        self._scrolled = 0  # columns away from where one is
        self._under: list[tuple[Rect, int]] = []
        self._pointer: tuple[int, int] | None = None
        self._glance: tuple[tuple[History, int, int], pygame.Surface] | None = None

    def point(self, place: tuple[int, int] | None) -> None:
        """Where the mouse is in the window; None when it left."""
        self._pointer = place

    def scroll(self, num: int) -> None:
        """So many columns to the right, until the next move."""
        self._scrolled += num

    def node_at(self, place: tuple[int, int]) -> int | None:
        """The node that was drawn at a place of the window."""
        return next((node for rect, node in self._under if rect.collidepoint(place)), None)

    def clear(self) -> None:
        """Nothing is drawn, so nothing is under the mouse."""
        self._under = []

    def draw(self, surface: pygame.Surface, rect: Rect, size: int, history: History) -> None:
        """Into `rect`, which is `HEIGHT` letters of `size` pixels high."""
        self.clear()
        timeline, shelf = history.timeline, history.shelf
        if timeline.here == NOWHERE:
            return
        if self._layout is None or self._layout.timeline is not timeline:
            self._layout, self._scrolled = _laid_out(timeline), 0
        grid = self._grid(rect, size, shelf, self._layout)
        clip = surface.get_clip()
        surface.set_clip(rect.inflate(size, size))  # the mark of where one is stands out a little
        for nodes in self._layout.branches:
            self._draw_branch(surface, grid, nodes)
        columns = range(grid.first, min(grid.first + grid.visible, len(self._layout.line)))
        self._make_small(shelf, [self._layout.line[column] for column in columns], grid)
        for column in columns:
            self._draw_thumb(surface, grid, column)
        surface.set_clip(clip)
        _draw_bar(surface, grid, self._layout.num_columns)
        if self._pointer is not None and (node := self.node_at(self._pointer)) not in (None, timeline.here):
            self._draw_glance(surface, grid, node, history)

    def _grid(self, rect: Rect, size: int, shelf: Shelf, layout: _Layout) -> _Grid:
        height = round(_THUMB * size)
        grid = _Grid(rect, size, (_width(shelf.frame(layout.timeline.here), height), height))
        here = layout.places[layout.timeline.here][1]
        middle, last = here - grid.visible // 2, max(0, layout.num_columns - grid.visible)
        first = min(max(0, middle + self._scrolled), last)
        self._scrolled = 0 if not self._scrolled else first - middle
        return _Grid(rect, size, grid.thumb, first)

    def _make_small(self, shelf: Shelf, nodes: list[int], grid: _Grid) -> None:
        if self._made_for != (shelf, grid.thumb):
            self._made_for = shelf, grid.thumb
            self._small.clear()
        for node in [node for node in nodes if node not in self._small][:_NEW_A_DRAW]:
            self._small[node] = window.picture(shelf.frame(node), grid.thumb, radius=max(2, grid.size // 3))
        while len(self._small) > _KEPT:
            self._small.popitem(last=False)

    def _draw_thumb(self, surface: pygame.Surface, grid: _Grid, column: int) -> None:
        layout, size = self._layout, grid.size
        if layout is None:
            return
        node = layout.line[column]
        place = pygame.Rect((0, 0), grid.thumb)
        place.center = grid.center(-1, column)
        self._under.append((place.inflate(grid.pitch - grid.thumb[0], 0), node))
        if node == layout.timeline.here:
            edge = max(2, size // 6)
            window.panel(surface, place.inflate(4 * edge, 4 * edge), ACCENT, radius=size // 3 + 2 * edge)
            window.panel(surface, place.inflate(2 * edge, 2 * edge), BACKGROUND, radius=size // 3 + edge)
        if (small := self._small.get(node)) is None:
            window.panel(surface, place, PANEL, radius=size // 3)
        else:
            small.set_alpha(_UNDONE if column > layout.places[layout.timeline.here][1] else 255)
            surface.blit(small, place)
        if node in layout.timeline.bookmarks:
            _draw_dot(surface, (place.right - size // 2, place.top + size // 2), round(0.8 * size), BACKGROUND)
            _draw_dot(surface, (place.right - size // 2, place.top + size // 2), round(0.55 * size), ACCENT)

    def _draw_glance(self, surface: pygame.Surface, grid: _Grid, node: int, history: History) -> None:
        """What was seen at the node under the mouse, above it."""
        size, made_for = grid.size, (history, node, grid.size)
        if self._glance is None or self._glance[0] != made_for:
            large = round(_GLANCE * grid.thumb[0]), round(_GLANCE * grid.thumb[1])
            self._glance = made_for, window.picture(history.shelf.frame(node), large, radius=size // 2)
        picture = self._glance[1]
        place = picture.get_rect().inflate(size, 2.6 * size)
        under = next(rect for rect, n in self._under if n == node)
        place.midbottom = (under.centerx, grid.rect.top - size // 2)
        place.clamp_ip(surface.get_rect().inflate(-size, -size))
        window.panel(surface, place, PANEL, radius=size)
        surface.blit(picture, (place.left + size // 2, place.top + size // 2))
        words = lettering.fitted(history.words(node), size, place.width - size)
        window.text(surface, words, (place.centerx, place.bottom - 1.1 * size), size, anchor="center")

    def _draw_branch(self, surface: pygame.Surface, grid: _Grid, nodes: tuple[int, ...]) -> None:
        """A line from its fork through its dots; those out of sight are left out."""
        if self._layout is None:
            return
        timeline, places = self._layout.timeline, self._layout.places
        lane, begin = places[nodes[0]]
        low = max(begin, grid.first - 1)
        high = min(begin + len(nodes) - 1, grid.first + grid.visible)
        if low > high:
            return
        (x, y), thick = grid.center(lane, low), max(1, grid.size // 8)
        pygame.draw.line(surface, EDGE, (x, y), (grid.center(lane, high)[0], y), thick)
        parent = timeline.parents[nodes[0]]
        if parent in places and low == begin:
            fork = grid.center(*places[parent])
            pygame.draw.lines(surface, EDGE, False, [fork, (fork[0], y), (x, y)], thick)
        for node in nodes[low - begin : high - begin + 1]:
            center = grid.center(*places[node])
            marked = node in timeline.bookmarks
            _draw_dot(surface, center, round(0.55 * grid.size), ACCENT if marked else DIM)
            target = pygame.Rect(0, 0, grid.pitch, round(_LANE * grid.size))
            target.center = center
            if grid.rect.collidepoint(center):
                self._under.append((target, node))


def _width(frame: Frame, height: int) -> int:
    """Of a small frame: very wide pictures are squeezed rather than fill the strip."""
    return round(height * min(2.0, max(0.5, frame.shape[1] / frame.shape[0])))


def _draw_dot(surface: pygame.Surface, center: tuple[int, int], width: int, color: window.Color) -> None:
    rect = pygame.Rect(0, 0, width, width)
    rect.center = center
    window.panel(surface, rect, color, radius=width)


def _draw_bar(surface: pygame.Surface, grid: _Grid, num_columns: int) -> None:
    """Which part of a long walk is in sight."""
    if num_columns <= grid.visible:
        return
    height = max(2, grid.size // 5)
    track = pygame.Rect(grid.rect.left, grid.rect.bottom - height, grid.rect.width, height)
    window.panel(surface, track, PANEL, radius=height)
    part = track.copy()
    part.width = max(2 * grid.size, track.width * grid.visible // num_columns)
    part.left += (track.width - part.width) * grid.first // (num_columns - grid.visible)
    window.panel(surface, part, EDGE, radius=height)
