"""The window's loop: events become verbs of the game, and the game is drawn. It waits for nobody."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import pygame

from world import hud, keys, models, verbs, window
from world.errors import ModelError, WorldError
from world.game import Game
from world.hands import Hands, key_name
from world.jobs import for_a_person
from world.journal import SUFFIX, reopened
from world.keepsakes import Keepsakes
from world.panels import Panel
from world.prompt import Prompt
from world.quest import Quest
from world.start_screen import StartScreen
from world.surroundings import Surroundings
from world.types import Action
from world.words import follows, together, understand

DRAWS_PER_SECOND = 60
HOLD_DELAY = 0.25  # s until a held key repeats: a tap is one step
HOLD_INTERVAL = 0.1  # s between repeats at the fastest; slower models set their own pace
NOTICE_TIME = 3.0  # s

_FOR_PANELS = (pygame.KEYDOWN, pygame.TEXTINPUT, pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEWHEEL)


class Player:
    """A person at the keyboard of a game."""

    def __init__(
        self, game: Game, surroundings: Surroundings, out: Path, size: int = 768, quest: Quest | None = None
    ) -> None:
        """Opens the window, with room for frames of `size` pixels a side; pictures, videos and sessions go to `out`.
        `quest` is the task with whose beginning the game was made.

        Raises WorldError where no window can be, or where the file of keys holds something wrong.
        """
        self.game = game
        self.overlay = hud.Overlay(keymap=keys.read_keys(surroundings.keys))
        window.open_window(hud.window_size(size), "Bagel World")
        self.keepsakes = Keepsakes(game, out, self.tell)
        self.running = True
        self.panel: Panel | None = None
        self.hands = Hands()
        self.hud = hud.Hud(surroundings, quest)
        self.quest = quest
        self.prompt = Prompt()
        self.last_move: Action | None = None
        self.surroundings = surroundings
        self._clock = pygame.time.Clock()
        self._repeat_at = 0.0
        self._notice_until = 0.0

    @property
    def saved(self) -> list[Path]:
        """What was written for the person."""
        return self.keepsakes.saved

    def run(self) -> None:
        """Until the window is closed. Raises ModelError when it was closed over a model that could not be loaded."""
        try:
            num_failed = 0  # in a row
            while self.running:
                try:
                    self.tick()
                    num_failed = 0
                except Exception as error:  # a bug of the window must not cost a person the walk
                    num_failed += 1
                    if num_failed > DRAWS_PER_SECOND:
                        raise
                    self.game.problem = for_a_person(error, self.game.address)
                self._clock.tick(DRAWS_PER_SECOND)
            why_nothing_was_seen = "" if self.game.state else self.game.problem
        finally:
            self.close()
        if why_nothing_was_seen:
            raise ModelError(why_nothing_was_seen)

    def tick(self) -> None:
        """Events, held keys, what the model finished, one drawing: never waits."""
        for event in pygame.event.get():
            self._on(event)
        reopening = self.game.reopening if self.game.reopens else None
        new = self.game.poll()
        if reopening is not None and reopening.done:
            self.tell(reopening.told)
        self._repeat_held()  # after the poll, so that a held key loses no time between two steps
        if not self.hands.held and self.panel is None:
            self.game.rest()
        self.keepsakes.look_after()
        for follower in (self.hud.truth, self.quest):
            if follower is not None:
                follower.follow(self.game)
                if follower.problem:
                    self.game.problem, follower.problem = follower.problem, ""
        self._draw()
        self.keepsakes.add(new, window.shown)

    def close(self) -> None:
        """Closes the window at once, then finishes the recordings and the models."""
        window.close_window()
        self.hands.close()
        self.keepsakes.close()
        self.hud.close()
        if self.quest is not None:
            self.game.worker.run(self.quest.close)
        self.game.close()

    def tell(self, notice: str) -> None:
        """Shows a sentence for a while."""
        self._notice_until = time.monotonic() + NOTICE_TIME
        self.overlay = replace(self.overlay, notice=notice)

    def open(self, address: str) -> None:
        """A scene, a picture's path, a session or a journal; what cannot be opened is told."""
        try:
            if address.endswith((".json", SUFFIX)):
                self.game.reopen(reopened(address))
            else:
                self.game.enter(self.overlay.keymap.in_vocabulary(models.load_scene(address)))
        except WorldError as error:
            self.game.problem = str(error)
        else:
            self.panel, self.keepsakes.session_path = None, None  # what was opened is never overwritten

    def show(self, panel: Panel) -> None:
        """Lays a panel over the window, in the place of another one."""
        self.panel = panel
        self.hands.clear()

    def show_scenes(self) -> None:
        """The start screen."""
        self.show(StartScreen(self.surroundings.scenes, self.keepsakes.out, self.open))

    def say(self, words: str, times: int = 1) -> None:
        """An action in words."""
        self._go(understand(words, self.game.scene.actions), times)

    def move_named(self, name: str) -> Action | None:
        """The scene's action of that name."""
        return next((action for action in self.game.scene.actions if action.name == name), None)

    def _on(self, event: pygame.event.Event) -> None:
        strip = self.hud.strip
        if event.type == pygame.QUIT:
            self.running = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.hands.clear()  # the key's release would go to another window
        elif event.type == pygame.DROPFILE:
            self.open(event.file)
        elif event.type == pygame.KEYUP:
            self.hands.release(event.key)
        elif event.type == pygame.WINDOWLEAVE:
            strip.point(None)
        elif self.panel is not None and event.type in _FOR_PANELS:
            self.panel.on(event)
            if self.panel is not None and self.panel.closed:
                self.panel = None
        elif event.type == pygame.MOUSEWHEEL:
            strip.scroll(event.x - event.y)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            if (node := strip.node_at(event.pos)) is not None:
                self.game.go(lambda tree: tree.at(node))
        elif event.type == pygame.KEYDOWN:
            self._press(event)
        else:
            if event.type == pygame.MOUSEMOTION:
                strip.point(event.pos)
            for source, does in self.hands.on(event):
                self._do(does, source, 1)

    def _press(self, event: pygame.event.Event) -> None:
        if self.game.state is None and self.game.problem:
            self._begin_again(event)
            return
        told, self.game.problem = self.game.problem, ""
        does = self.overlay.keymap.table(self.game.scene.name).get(key_name(event))
        if does is not None and not (told and does == "quit"):  # which only takes the card away
            shifted = getattr(event, "mod", 0) & pygame.KMOD_SHIFT
            self._do(does, event.key, self.game.options.time_skip if shifted else 1)

    def _begin_again(self, event: pygame.event.Event) -> None:
        """After a model that could not be loaded."""
        match self.overlay.keymap.table(self.game.scene.name).get(key_name(event)):
            case "quit":
                self.running = False
            case "scenes":
                self.show_scenes()
            case _:
                self.game.reset()

    def _do(self, does: str, source: Hashable, times: int) -> None:
        """A move, a verb or a sentence; `source` is what is held down for a move, None where nothing is."""
        if does.startswith(keys.SENTENCE):
            self.say(does.removeprefix(keys.SENTENCE), times)
        elif move := self.move_named(does):
            if source is not None and times == 1:
                self.hands.press(source, does)
            self._repeat_at = time.monotonic() + HOLD_DELAY
            self._go((self._held_move() or move) if source is not None else move, times)
        else:
            verbs.do(self, does)

    def _go(self, move: Action, times: int = 1) -> None:
        self.last_move = move
        if self.overlay.paused:
            self.overlay = replace(self.overlay, chosen=move.text)
        else:
            self.game.act(move, times)

    def _repeat_held(self) -> None:
        now = time.monotonic()
        waits = self.overlay.paused or self.game.options.walk == "step"
        if not self.hands.held or waits or self.game.doing or now < self._repeat_at:
            return
        if move := self._held_move():
            self._repeat_at = now + HOLD_INTERVAL
            self.game.act(move, rough=True)

    def _held_move(self) -> Action | None:
        """What the keys that are down mean together; the newest alone where the model cannot follow that."""
        moves = [move for name in self.hands.held.values() if (move := self.move_named(name))]
        if not moves:
            return None
        chord = together(moves, self.game.scene.actions)
        return chord if self.game.model is not None and follows(self.game.model.spec, chord) else moves[-1]

    def _draw(self) -> None:
        if self.overlay.notice and time.monotonic() > self._notice_until:
            self.overlay = replace(self.overlay, notice="")
        held = frozenset(self.hands.held.values())
        overlay = replace(self.overlay, held=held, recording=self.keepsakes.num_filmed, covered=self.panel is not None)
        surface = pygame.display.get_surface()
        if surface is not None:
            stage = self.hud.draw(surface, self.game, overlay)
            if self.panel is not None:
                whole = surface.get_rect()
                place = stage if stage.width > 0.6 * whole.width else whole
                self.panel.draw(surface, place, hud.letter_size(whole.height, whole.width))
            pygame.display.flip()
