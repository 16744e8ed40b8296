"""The window's loop: keys become verbs of the game, and the game is drawn. It waits for nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pygame

from world import hud, keys, models, window
from world.errors import ModelError, WorldError
from world.film import Film
from world.game import Game
from world.recording import save_png
from world.types import Action

DRAWS_PER_SECOND = 60
HOLD_DELAY = 0.25  # s until a held key repeats: a tap is one step
HOLD_INTERVAL = 0.1  # s between repeats at the fastest; slower models set their own pace
NOTICE_TIME = 3.0  # s


class Player:
    """A person at the keyboard of a game."""

    def __init__(self, game: Game, scenes: Sequence[str], out: Path, size: int = 768) -> None:
        """Opens the window, with room for frames of `size` pixels a side. Raises WorldError where it cannot be.

        `scenes` are the addresses that the scene key goes through; pictures and videos go to `out`.
        """
        window.open_window(hud.window_size(size), "Bagel World")
        self.game, self.out = game, out
        self.overlay = hud.Overlay()
        self.running = True
        self.saved: list[Path] = []  # pictures and videos
        self._scenes = scenes
        self._worlds = (game.address, "tiny" if game.address == "sim" else "sim")  # between which one key switches
        self._clock = pygame.time.Clock()
        self._hud = hud.Hud()
        self._moves, self._verbs = keys.table(keys.MOVES), keys.table(keys.VERBS)
        self._held: dict[int, str] = {}  # from a key that is down to its move, in the order of pressing
        self._last_move: Action | None = None
        self._repeat_at = 0.0
        self._notice_until = 0.0
        self._film: Film | None = None
        self._finishing: list[Film] = []

    def run(self) -> None:
        """Until the window is closed. Raises ModelError when the first model could not be loaded."""
        try:
            while self.running:
                self.tick()
                self._clock.tick(DRAWS_PER_SECOND)
        finally:
            self.close()

    def tick(self) -> None:
        """Events, held keys, what the model finished, one drawing: never waits."""
        for event in pygame.event.get():
            self._on(event)
        for state in self.game.poll():
            if self._film is not None:
                self._film.add(state)
        self._repeat_held()  # after the poll, so that a held key loses no time between two steps
        if self.game.state is None and self.game.problem:
            raise ModelError(self.game.problem)
        self._look_after_films()
        self._draw()

    def close(self) -> None:
        """Closes the window at once, then finishes the recordings and the models."""
        pygame.display.quit()
        if self._film is not None:
            self._stop_film()
        for film in self._finishing:
            if film.wait(timeout=30) and film.error is None:
                self.saved.append(film.path)
        self.game.close()

    def _on(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.running = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()  # the key's release would go to another window
        elif event.type == pygame.KEYUP:
            self._held.pop(event.key, None)
        elif event.type == pygame.MOUSEMOTION:
            self._hud.strip.point(event.pos)
        elif event.type == pygame.WINDOWLEAVE:
            self._hud.strip.point(None)
        elif event.type == pygame.MOUSEWHEEL:
            self._hud.strip.scroll(event.x - event.y)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == pygame.BUTTON_LEFT:
            if (node := self._hud.strip.node_at(event.pos)) is not None:
                self.game.go_to(node)
        elif event.type == pygame.KEYDOWN:
            self.game.problem = ""
            name = pygame.key.name(event.key)
            if move := self._move_named(self._moves.get(name, "")):
                self._held[event.key] = move.name
                self._repeat_at = time.monotonic() + HOLD_DELAY
                self._go(move)
            elif verb := self._verbs.get(name):
                self._do(verb)

    def _go(self, move: Action) -> None:
        self._last_move = move
        if self.overlay.paused:
            self.overlay = replace(self.overlay, chosen=move.text)
        else:
            self.game.act(move)

    def _repeat_held(self) -> None:
        now = time.monotonic()
        if not self._held or self.overlay.paused or self.game.doing or now < self._repeat_at:
            return
        if move := self._move_named(next(reversed(self._held.values()))):
            self._repeat_at = now + HOLD_INTERVAL
            self.game.act(move)

    def _do(self, verb: str) -> None:
        game = self.game
        match verb:
            case "undo":
                if not game.undo():
                    self._tell("This is where the walk begins")
            case "redo":
                if not game.redo():
                    self._tell("This is where the walk ends")
            case "bookmark":
                self._tell("Bookmark set" if game.bookmark() else "Bookmark taken away")
            case "next bookmark":
                if not game.go_to_next_bookmark():
                    self._tell("No bookmark elsewhere: B sets one")
            case "compare":
                self._compare()
            case "reset":
                game.reset()
            case "scene":
                self._next_scene()
            case "switch":
                self._switch()
            case "pause":
                self.overlay = replace(self.overlay, paused=not self.overlay.paused, chosen="")
            case "step":
                if move := self._last_move or self._move_named("stay"):
                    game.act(move)
            case "picture":
                self._save_picture()
            case "video":
                self._stop_film() if self._film is not None else self._start_film()
            case "hide":
                self.overlay = replace(self.overlay, hidden=not self.overlay.hidden)
            case "quit":
                self.running = False

    def _next_scene(self) -> None:
        here = self.game.scene.name
        index = self._scenes.index(here) + 1 if here in self._scenes else 0
        try:
            self.game.enter(models.load_scene(self._scenes[index % len(self._scenes)]))
        except WorldError as error:
            self.game.problem = str(error)

    def _switch(self) -> None:
        target = self._worlds[1] if self.game.address == self._worlds[0] else self._worlds[0]
        if target == "sim" and not self.game.scene.simulated:
            self._tell("No truth to see: the simulator does not know this picture")
        else:
            self.game.switch(target)

    def _compare(self) -> None:
        """The next of the frames that other branches have at this step; after the last one, none."""
        num = len(self.game.timeline.peers())
        if not num and not self.overlay.compared:
            self._tell("No other branch reaches this step: go back and walk another way")
        self.overlay = replace(self.overlay, compared=(self.overlay.compared + 1) % (num + 1))

    def _save_picture(self) -> None:
        if (state := self.game.state) is None:
            return
        path = self._free_path(f"{state.scene.name}-{state.step:04d}", ".png")

        def save() -> None:
            save_png(path, state.frame)
            self.saved.append(path)

        self._try(save, f"saved {path}")

    def _start_film(self) -> None:
        state, model = self.game.state, self.game.model
        if state is None or model is None:
            return
        path = self._free_path(state.scene.name, ".mp4")

        def start() -> None:
            self._film = Film(path, model.spec, state)

        self._try(start, "recording: every step is a frame; V ends it")

    def _stop_film(self) -> None:
        if self._film is not None:
            self._film.finish()
            self._finishing.append(self._film)
            self._film = None

    def _look_after_films(self) -> None:
        for film in [film for film in self._finishing if film.done]:
            self._finishing.remove(film)
            if film.error is None:
                self.saved.append(film.path)
                self._tell(f"saved {film.path} ({film.num_frames} frames)")
            else:
                self.game.problem = f"{film.path} could not be written: {film.error}"

    def _try(self, save: Callable[[], None], saved: str) -> None:
        try:
            save()
        except (OSError, ValueError) as error:
            self.game.problem = f"This could not be saved: {error}"
        else:
            self._tell(saved)

    def _free_path(self, stem: str, suffix: str) -> Path:
        path, number = self.out / f"{stem}{suffix}", 1
        while path.exists() or any(film.path == path for film in self._finishing):
            number += 1
            path = self.out / f"{stem}-{number}{suffix}"
        return path

    def _move_named(self, name: str) -> Action | None:
        return next((action for action in self.game.scene.actions if action.name == name), None)

    def _tell(self, notice: str) -> None:
        self._notice_until = time.monotonic() + NOTICE_TIME
        self.overlay = replace(self.overlay, notice=notice)

    def _draw(self) -> None:
        if self.overlay.notice and time.monotonic() > self._notice_until:
            self.overlay = replace(self.overlay, notice="")
        recording = self._film.num_frames if self._film else 0
        overlay = replace(self.overlay, held=frozenset(self._held.values()), recording=recording)
        surface = pygame.display.get_surface()
        if surface is not None:
            self._hud.draw(surface, self.game, overlay)
            pygame.display.flip()
