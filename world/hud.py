"""The whole picture of the window: frames on their stage, the panel beside, the film below, what lies over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pygame

from world import column, filmstrip, goal_card, lettering, overlays, window
from world.game import Game
from world.keys import KeyMap, cap
from world.minimap import Minimap
from world.quest import Quest, Score
from world.surroundings import Surroundings
from world.truth import TruthBeside
from world.types import Frame
from world.window import BACKGROUND, PANEL, Rect

PANEL_WIDTH = 19.0  # letters
LETTERS = 56  # what the longest panel needs, one below the other
LETTERS_WIDE = 50  # the panel and a frame beside it
MIN_HEIGHT = 630  # pixels of a new window: below, the smallest letters leave no room for all keys
SLOW = 0.25  # s after which a running step is shown as such
LONG = 1.0  # s after which the keys that end a step are shown


def window_size(side: int) -> tuple[int, int]:
    """The window in which a frame of any shape has at most `side` pixels a side, with room for the panel beside it.

    What the model makes of a start picture is not known yet, so the room is square.
    """
    height = max(MIN_HEIGHT, math.ceil(side / (1 - (2 + filmstrip.HEIGHT) / LETTERS)))
    return side + round((PANEL_WIDTH + 3) * letter_size(height, 2 * height)), height


def letter_size(height: int, width: int) -> int:
    """Pixels of a letter, for a window of that size: everything grows with it."""
    return max(11, min(40, height // LETTERS, width // LETTERS_WIDE))


@dataclass(frozen=True)
class Overlay:
    """What the loop knows beyond the game."""

    keymap: KeyMap = field(default_factory=KeyMap)
    hidden: bool = False
    paused: bool = False
    chosen: str = ""  # words of the action that a paused game would take
    compared: int = 0  # which of the other branches is shown beside; 0 for none
    covered: bool = False  # whether a panel lies over the frame
    held: frozenset[str] = frozenset()  # names of actions whose keys are down
    notice: str = ""
    recording: int = 0  # frames so far; 0 when off


class Hud:
    """Draws a `Game` onto a window's surface of any size."""

    def __init__(self, surroundings: Surroundings, quest: Quest | None = None) -> None:
        self.strip = filmstrip.Filmstrip()
        self.truth = TruthBeside(surroundings)
        self.minimap = Minimap(surroundings)
        self.quest = quest
        self._goal = goal_card.GoalCard()
        self._tiles = overlays.Tiles()
        self._shown: dict[str, tuple[Frame, pygame.Surface]] = {}  # what stands where, and how it looks
        self._last: Frame | None = None
        self._fresh = False  # whether the frame is new since the last drawing: then all else may be one drawing late
        self._told: object = None  # what the column shows
        self._column: pygame.Surface | None = None

    def draw(self, surface: pygame.Surface, game: Game, overlay: Overlay) -> Rect:
        """One whole picture of the window; where the stage is, for what lies over it."""
        surface.fill(BACKGROUND)
        box = surface.get_rect()
        size = letter_size(box.height, box.width)
        margin = size
        side = round(PANEL_WIDTH * size)
        with_panel = not overlay.hidden and box.width - side > 0.4 * box.width
        newest = self._newest(game)
        self._fresh, self._last = newest is not self._last and not self._fresh, newest
        if with_panel:
            beside = pygame.Rect(box.right - side - margin, margin, side, box.height - 2 * margin)
            self._blit_column(surface, beside, size, game, overlay)
            box = pygame.Rect(0, 0, beside.left, box.height)
        stage = box.inflate(-2 * margin, -2 * margin)
        strip = round(filmstrip.HEIGHT * size)
        with_strip = with_panel and strip < 0.2 * stage.height
        if with_strip:
            stage.height -= strip
        self._tiles.height = 0
        place = self._blit_frames(surface, game, overlay, stage, size)
        if with_strip:
            under = place if place.width > 0.6 * stage.width else stage
            below = pygame.Rect(under.left, stage.bottom + margin, under.width, strip - margin // 2)
            self.strip.draw(surface, below, size, game.history)
        else:
            self.strip.clear()
        if not overlay.hidden:
            if self.minimap.shown:
                self.minimap.draw(surface, stage, place, size, game.history, late=self._fresh)
            if self.quest is not None and (score := self.quest.at(game)) is not None:
                self._blit_goal(surface, stage, place, size, score, below=3 * size if overlay.recording else 0)
            if not (self.truth.shown or overlay.covered or game.problem):
                self._tiles.draw(surface, place, size, game, overlay.keymap.keys(game.scene.name))
        self._draw_over(surface, place, size, game, overlay)
        return stage

    def close(self) -> None:
        """Ends the threads of truth and map."""
        self.truth.close()
        self.minimap.close()

    def _blit_column(self, surface: pygame.Surface, rect: Rect, size: int, game: Game, overlay: Overlay) -> None:
        """Drawn anew only when something in it changed: sixty times a second its hundred parts would cost a core.

        A new frame is shown at once, and what the column tells of it one drawing later.
        """
        facts = column.facts(game)
        told = (rect.size, game.scene.name, facts, overlay.held, overlay.keymap, tuple(game.pace.latencies))
        if self._column is None or self._column.get_size() != rect.size or (told != self._told and not self._fresh):
            self._told = told
            self._column = pygame.Surface(rect.size)
            self._column.fill(BACKGROUND)
            inside = self._column.get_rect()
            window.panel(self._column, inside, PANEL, radius=size)
            column.Column(self._column, inside, size).draw(game, facts, overlay.keymap, overlay.held)
        surface.blit(self._column, rect)

    def _blit_goal(
        self, surface: pygame.Surface, stage: Rect, place: Rect, size: int, score: Score, below: int
    ) -> None:
        """In the frame's corner, or above frames that lie beside each other where there is room."""
        if apart := place.top - stage.top > goal_card.SMALL * size:
            corner = pygame.Rect(place.left - size, stage.top - size, place.width, stage.height)
        else:
            corner = pygame.Rect(place.left, place.top + below, place.width, max(0, place.height - below))
        self._goal.draw(surface, corner, size, score, with_picture=not apart)

    def _blit_frames(self, surface: pygame.Surface, game: Game, overlay: Overlay, stage: Rect, size: int) -> Rect:
        """What is seen here; beside it the truth, or what is seen at this step of another branch."""
        frame = self._newest(game)
        here, peers = game.timeline.here, game.timeline.peers() if overlay.compared else ()
        pair: tuple[tuple[str, str, Frame], tuple[str, str, Frame]] | None = None
        if self.truth.shown and (truth := self.truth.at(game, here)) is not None:
            near = truth.likeness and f" · {truth.likeness.psnr:.1f} dB, SSIM {truth.likeness.ssim:.2f}"
            pair = ("Here", f"Dream · {game.history.words(here)}", frame), ("There", f"Truth{near or ''}", truth.frame)
        elif peers:
            other = peers[min(overlay.compared, len(peers)) - 1]
            there = game.shelf.state(other).frame  # not frame(): it is drawn again and again, so it stays in memory
            pair = (
                ("Here", f"Here · {game.history.words(here)}", frame),
                (
                    "There",
                    f"There · {game.history.words(other)}",
                    there,
                ),
            )
        if pair is None:
            return self._blit_frame(surface, frame, stage, size, "Here")
        places = []
        for (where, told, shown), half in zip(pair, _halves(stage, size, frame), strict=True):
            half.height = max(1, half.height - 2 * size)
            places.append(self._blit_frame(surface, shown, half, size, where))
            words = lettering.fitted(told, size, half.width)
            window.text(surface, words, (places[-1].centerx, places[-1].bottom + 1.2 * size), size, anchor="center")
        if self.truth.shown and not overlay.hidden:
            under = places[0].union(places[1])
            if stage.bottom - under.bottom > 10 * size:
                under.height = stage.bottom - under.top  # below the frames, where there is room
            else:
                under, self._tiles.height = places[1], 6 * size
            overlays.draw_curve(surface, under, size, self.truth.drift(game))
        return places[0].union(places[1])

    def _newest(self, game: Game) -> Frame:
        """What is seen here, or will be by what the model has drawn so far."""
        if game.doing in ("step", "refine") and game.watch.frame is not None:
            return game.watch.frame
        return game.state.frame if game.state else game.scene.starts[0].frame

    def _blit_frame(self, surface: pygame.Surface, frame: Frame, stage: Rect, radius: int, where: str) -> Rect:
        place = window.fitting((frame.shape[1], frame.shape[0]), stage)
        shown = self._shown.get(where)
        if shown is None or shown[0] is not frame or shown[1].get_size() != place.size:
            shown = self._shown[where] = (frame, window.picture(frame, place.size, radius))
        surface.blit(shown[1], place)
        return place

    def _draw_over(self, surface: pygame.Surface, place: Rect, size: int, game: Game, overlay: Overlay) -> None:
        if game.problem:
            here = "The place where you were is still there: go on with any key."
            hint = here if game.state else "Any key tries it again; Tab is the start screen, Esc leaves."
            window.card(surface, place, "That did not work", game.problem, hint, size)
        elif game.doing in ("load", "start") and game.doing_for > SLOW:
            what = f"Loading {game.worlds.opening or game.address}" if game.doing == "load" else "Getting ready"
            dots = "." * (1 + int(game.doing_for * 2) % 3)
            window.card(surface, place, what + dots, overlays.patience(game), "", size)
        if game.doing in ("step", "refine") and game.watch.num_evaluations:
            overlays.draw_progress(surface, place, size, game.watch.share)
        elif game.doing and game.doing_for > SLOW:
            overlays.draw_pulse(surface, place, size, game.doing_for)
        if overlay.recording:
            overlays.draw_recording(surface, place, size, overlay.recording)
        top, notice = (
            (place.centerx, place.top + 2 * size),
            (place.centerx, place.bottom - 3 * size - self._tiles.height),
        )
        if overlay.paused and not overlay.hidden:
            next_step = f" · next: {overlay.chosen}" if overlay.chosen else ""
            overlays.draw_chip(surface, f"Paused{next_step} · N makes one step", top, size)
        elif game.doing == "step" and game.doing_for > LONG and not overlay.hidden:
            overlays.draw_chip(surface, overlays.way_out(game), notice, size, place.width - 2 * size)
        elif game.reopens and game.reopening is not None and game.state is not None:
            overlays.draw_chip(surface, f"Walking the session again: {game.reopening.told}", top, size)
        elif self.truth.shown and self.truth.at(game, game.timeline.here) is None:
            overlays.draw_chip(surface, "The truth is on its way", top, size)
        score = self.quest.at(game) if self.quest and not overlay.hidden else None
        if score is not None and score.just_reached and not game.problem:
            again = cap(overlay.keymap.keys(game.scene.name).get("reset", ""))
            above = pygame.Rect(place.left, place.top, place.width, max(0, place.height - self._tiles.height))
            self._goal.draw_reached(surface, above, size, score, again)
        elif overlay.notice and not game.problem:
            overlays.draw_chip(surface, overlay.notice, notice, size, place.width - 2 * size)


def _halves(stage: Rect, gap: int, frame: Frame) -> tuple[Rect, Rect]:
    """The stage in two: beside each other or one below the other, as the frames come out larger."""
    beside, below = stage.copy(), stage.copy()
    beside.width = max(1, (stage.width - gap) // 2)
    below.height = max(1, (stage.height - gap) // 2)
    shape, caption = (frame.shape[1], frame.shape[0]), 2 * gap
    under = below.inflate(0, -min(caption, below.height - 1))
    if window.fitting(shape, beside).width >= window.fitting(shape, under).width:
        room = pygame.Rect(0, 0, beside.width, max(1, beside.height - caption))
        beside.width = window.fitting(shape, room).width  # close to each other in a wide window
        beside.left = stage.centerx - gap // 2 - beside.width
        return beside, beside.move(beside.width + gap, 0)
    return below, below.move(0, stage.height - below.height)
