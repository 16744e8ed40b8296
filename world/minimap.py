"""The walk seen from above: the way, where one looks, bookmarks and forks, and walls where they are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import pygame

from world import lettering, window
from world.closure import returned_to
from world.history import History
from world.jobs import Worker
from world.recording import resized
from world.surroundings import Floor, Surroundings
from world.timeline import NOWHERE, Timeline
from world.types import Frame, Pose, Scene
from world.window import ACCENT, BACKGROUND, DIM, EDGE, PANEL, TEXT, Color, Rect

SIDE = 11.0  # letters
_LEAST = 8.0  # letters of room above the frames, from which the map lies there
_FINE = 3  # lines are drawn so many times as large and then reduced: smooth at every angle
_WALL: Color = (104, 111, 128)
_REACH = 1.5  # m around a walk of which no walls are known
_COMPARED = 128  # pixels, the side at which two frames are compared


@dataclass(frozen=True)
class _View:
    """From metres to pixels: north is up."""

    left: float
    top: float
    scale: float  # pixels a metre
    margin: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        return self.margin + (x - self.left) * self.scale, self.margin + (self.top - y) * self.scale


class Minimap:
    """Draws a history; drawn anew only when something in it changed."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.shown = True
        self.closure = ""  # what is told of a return to a place
        self._surroundings = surroundings
        self._worker = Worker("map")
        self._floor: tuple[Scene, Future[Floor | None]] | None = (
            None  # made in a thread: building a scene takes seconds
        )
        self._drawn_for: tuple[Timeline, int, int, Floor | None] | None = None
        self._picture: pygame.Surface | None = None

    def draw(
        self, surface: pygame.Surface, stage: Rect, place: Rect, size: int, history: History, late: bool = False
    ) -> None:
        """Into a corner of `stage`, frames lying at `place`; what is new may wait where `late` says so."""
        side, above, beside = round(SIDE * size), place.top - stage.top, stage.right - place.right
        if above > _LEAST * size:
            side = min(side, above - 2 * size)  # above the frames, where there is room
        apart = above > _LEAST * size or beside > side + size
        room = stage if apart else place.inflate(-side, -side)  # over the frame, no more than a third of it
        if not history.nodes or history.timeline.here == NOWHERE or min(room.size) < 2 * side:
            return
        floor = self._floor_of(history.shelf.scene(history.timeline.here))
        made_for = (history.timeline, id(history), side, floor)
        if self._picture is None or (made_for != self._drawn_for and not late):
            self._drawn_for = made_for
            self._picture = _drawn(side, history, floor)
            self.closure = self._closure(history)
        told = round(3.2 * size) if self.closure else 0
        box = pygame.Rect(0, stage.top, side, side + told)
        if apart:
            box.right = stage.right
        else:
            box.topright = place.right - size, max(stage.top, place.top) + size
        window.panel(surface, box, PANEL, radius=size, alpha=225)
        surface.blit(self._picture, box)
        small = round(0.85 * size)
        for i, line in enumerate(self.closure.splitlines()):
            words = lettering.fitted(line, small, side - size)
            window.text(surface, words, (box.centerx, box.bottom - (2.6 - 1.3 * i) * size), small, TEXT, "center")

    def close(self) -> None:
        """Ends the thread."""
        self._worker.close(timeout=0)

    def _floor_of(self, scene: Scene) -> Floor | None:
        if self._floor is None or self._floor[0] is not scene:
            self._floor = scene, self._worker.run(lambda: self._surroundings.floor(scene))
        known = self._floor[1]
        return known.result() if known.done() and known.exception() is None else None

    def _closure(self, history: History) -> str:
        """How much the place where one was before looks as it did then."""
        path = history.timeline.path()
        found = returned_to([history.nodes[node].pose for node in path])
        if found is None or self._surroundings.likeness is None:
            return ""
        here, there = (_small(history.shelf.frame(node)) for node in (path[-1], path[found]))
        likeness = self._surroundings.likeness(here, there)
        return f"seen at step {history.nodes[path[found]].step} too:\n{likeness.psnr:.1f} dB, SSIM {likeness.ssim:.2f}"


def _drawn(side: int, history: History, floor: Floor | None) -> pygame.Surface:
    timeline, poses = history.timeline, [node.pose for node in history.nodes]
    fine = pygame.Surface((_FINE * side, _FINE * side), pygame.SRCALPHA)
    view = _fitted(poses, floor, _FINE * side)
    thick = max(2, round(_FINE * side / 110))
    for i, outline in enumerate(floor.outlines if floor else ()):
        points = [view.place(*point) for point in outline]
        if i:
            pygame.draw.polygon(fine, EDGE, points)
        pygame.draw.lines(fine, _WALL, True, points, thick)
    path = set(timeline.path())
    for on_path in (False, True):  # the way here lies on top
        color = ACCENT if on_path else DIM
        for node, parent in enumerate(timeline.parents):
            if parent != NOWHERE and (node in path) == on_path:
                _line(fine, view, poses[parent], poses[node], color, thick)
    for node in (n for n, num_children in Counter(timeline.parents).items() if n != NOWHERE and num_children > 1):
        pygame.draw.circle(fine, DIM, view.place(poses[node].x, poses[node].y), 2.2 * thick)
    for node in timeline.bookmarks:
        pygame.draw.circle(fine, BACKGROUND, view.place(poses[node].x, poses[node].y), 3.6 * thick)
        pygame.draw.circle(fine, ACCENT, view.place(poses[node].x, poses[node].y), 2.6 * thick)
    _arrow(fine, view, poses[timeline.here], 6 * thick)
    return pygame.transform.smoothscale(fine, (side, side))


def _small(frame: Frame) -> Frame:
    height, width = frame.shape[:2]
    shrink = min(1.0, _COMPARED / max(height, width))
    return resized(frame, (max(16, round(width * shrink)), max(16, round(height * shrink))))


def _fitted(poses: Sequence[Pose], floor: Floor | None, side: float) -> _View:
    """All of the floor, or of the walk with some air around it, in the middle of a square."""
    points = [(pose.x, pose.y) for pose in poses]
    if floor is not None:
        points += [point for outline in floor.outlines[:1] for point in outline]
    low = [min(point[axis] for point in points) for axis in (0, 1)]
    high = [max(point[axis] for point in points) for axis in (0, 1)]
    if floor is None:
        low, high = [v - _REACH for v in low], [v + _REACH for v in high]
    span, margin = max(high[0] - low[0], high[1] - low[1], 0.1), 0.08 * side
    left, top = (low[0] + high[0] - span) / 2, (low[1] + high[1] + span) / 2
    return _View(left, top, (side - 2 * margin) / span, margin)


def _line(surface: pygame.Surface, view: _View, one: Pose, other: Pose, color: Color, thick: int) -> None:
    if (one.x, one.y) != (other.x, other.y):
        begin, end = view.place(one.x, one.y), view.place(other.x, other.y)
        pygame.draw.line(surface, color, begin, end, thick)
        pygame.draw.circle(surface, color, end, thick / 2)


def _arrow(surface: pygame.Surface, view: _View, pose: Pose, reach: float) -> None:
    """Where one stands, pointing where one looks."""
    x, y = view.place(pose.x, pose.y)
    points = []
    for turn, length in ((0.0, 1.0), (140.0, 0.85), (180.0, 0.35), (-140.0, 0.85)):
        angle = math.radians(pose.yaw + turn)
        points.append((x + length * reach * math.cos(angle), y - length * reach * math.sin(angle)))
    pygame.draw.polygon(surface, TEXT, points)
    pygame.draw.lines(surface, BACKGROUND, True, points, max(1, round(reach / 8)))
