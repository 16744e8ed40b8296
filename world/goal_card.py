"""The goal of a task in the frame's corner, with what the walk has earned; and a quiet card when it is reached."""

from __future__ import annotations

import pygame

from world import lettering, window
from world.column import as_sentence
from world.quest import Score
from world.types import Frame
from world.window import ACCENT, DIM, PANEL, TEXT, Rect

SMALL = 8.5  # letters, the height without a picture
_WIDTH = 11.0  # letters
_PICTURE = 6.5  # letters, its height at most


class GoalCard:
    """Draws a score over the frames; the small picture is made once."""

    def __init__(self) -> None:
        self._small: tuple[Frame, int, pygame.Surface] | None = None

    def draw(self, surface: pygame.Surface, place: Rect, size: int, score: Score, with_picture: bool = True) -> None:
        """Into the upper left corner of `place`; nothing where that has no room."""
        width, small = round(_WIDTH * size), max(9, round(0.9 * size))
        if place.width < 2.5 * width or place.height < 2 * width:
            return
        lines = [(line, TEXT) for line in lettering.wrapped(as_sentence(score.words), small, width - size)[:3]]
        lines += [(line, DIM) for line in (score.progress, f"{score.reward:+.2f}, {score.earned:+.2f} in all") if line]
        picture = with_picture and self._picture(score.goal.frame, width - size, round(_PICTURE * size))
        high = picture.get_height() + size // 2 if picture else 0
        step = round(1.45 * small)
        box = pygame.Rect(place.left + size, place.top + size, width, high + len(lines) * step + size)
        window.panel(surface, box, PANEL, radius=size, alpha=232)
        y = box.top + size // 2
        if picture:
            surface.blit(picture, picture.get_rect(midtop=(box.centerx, y)))
        for i, (line, color) in enumerate(lines):
            place_of_line = (box.centerx, y + high + (i + 0.5) * step)
            window.text(surface, lettering.fitted(line, small, width - size), place_of_line, small, color, "center")

    def draw_reached(self, surface: pygame.Surface, place: Rect, size: int, score: Score, again: str) -> None:
        """Over the lower edge of `place`; `again` is the key that begins anew."""
        told = f"in {score.num_steps} step{'' if score.num_steps == 1 else 's'}, {score.earned:+.2f} earned"
        hint = f"{again} begins again, any other key walks on" if again else "Any key walks on"
        small = round(0.9 * size)
        wide = max(lettering.length(f"Reached {told}", size), lettering.length(hint, small)) + 5 * size
        box = pygame.Rect(0, 0, min(place.width - 2 * size, round(wide)), round(4.4 * size))
        box.midbottom = place.centerx, place.bottom - 3 * size
        window.panel(surface, box, PANEL, radius=size, alpha=240)
        x, room = box.left + 2 * size, box.width - 4 * size
        x += window.text(surface, "Reached", (x, box.top + 1.5 * size), size, ACCENT) + size // 2
        window.text(surface, lettering.fitted(told, size, box.right - size - x), (x, box.top + 1.5 * size), size)
        below = (box.left + 2 * size, box.top + 3.1 * size)
        window.text(surface, lettering.fitted(hint, small, room), below, small, DIM)

    def _picture(self, frame: Frame | None, width: int, height: int) -> pygame.Surface | None:
        if frame is None:
            return None
        if self._small is None or self._small[0] is not frame or self._small[1] != width:
            fitted = window.fitting((frame.shape[1], frame.shape[0]), pygame.Rect(0, 0, width, height))
            self._small = frame, width, window.picture(frame, fitted.size, radius=width // 24)
        return self._small[2]
