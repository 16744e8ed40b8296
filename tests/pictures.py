"""The window's pictures of the README, taken anew: `python -m tests.pictures`.

Through the real event loop and with the tiny model; on a quiet machine, for the figures in them are measured.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command lines do
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from PIL import Image

import play
from scenes.floor import floor_of
from scenes.library import scene_names
from world import models, window
from world.game import Game
from world.hud import LONG
from world.making import Options, begun
from world.player import Player
from world.quest import Quest
from world.settings import PRESETS, SamplerConfig
from world.surroundings import Surroundings
from world.tasks import TaskSettings

import pygame  # isort: skip (world.window says how it opens)

FOLDER = Path(play.__file__).parent / "scenes" / "pictures"
SIZE = (864, 715)  # pixels


class Sitter:
    """Somebody at the window, who waits for everything."""

    def __init__(self, game: Game, player: Player) -> None:
        self.game, self.player = game, player

    def until(self, condition: Callable[[], object], seconds: float = 300.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.game.problem or "waited in vain")
            self.player.tick()
            time.sleep(0.01)

    def press(self, *keys: int, mod: int = 0) -> None:
        for key in keys:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=mod))
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))
            self.player.tick()
            self.until(lambda: not self.game.doing and not self.game.waiting)

    def settle(self) -> None:
        """Until everything is there that comes by itself."""
        here = self.game.history.nodes[self.game.timeline.here]
        self.until(lambda: self.game.futures.at(here.state) or not self.game.options.look_ahead)
        self.until(lambda: (drawn := self.player.hud.minimap._drawn_for) is not None and drawn[3] is not None)

    def save(self, name: str) -> None:
        self.player.tick()
        self.player.tick()
        shown = Image.fromarray(window.shown())
        shown.quantize(palette=shown.quantize(256)).save(FOLDER / f"{name}.png", optimize=True)  # Pillow dithers to one


@contextmanager
def seated(
    out: Path, address: str, *, quest: Quest | None = None, sampler: SamplerConfig | None = None, ahead: int = 3
) -> Iterator[Sitter]:
    """At the window in a scene."""
    around = Surroundings(tuple(scene_names()), out / "keys.toml", play.open_truth, play.likeness, floor_of)
    opened = partial(models.load, sampler=sampler)
    model = "tiny" if address else "ipc:///tmp/bagel.sock"
    game = Game(opened, model, models.load_scene(address or "tabletop"), 0, begin=quest.begin if quest else begun)
    game.options = Options(look_ahead=ahead)
    player = Player(game, around, out, 512, quest)
    pygame.display.set_mode(SIZE, pygame.RESIZABLE)
    sitter = Sitter(game, player)
    sitter.until(lambda: game.state or game.problem)
    yield sitter
    if game.state:
        sitter.press(pygame.K_s, mod=pygame.KMOD_LCTRL)
    player.close()


def main() -> None:
    up, left, right, back = pygame.K_UP, pygame.K_LEFT, pygame.K_RIGHT, pygame.K_BACKSPACE
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with seated(out, "") as at:
            at.save("error")
        with seated(out, "garden") as at:
            at.press(left, up, up, left, up, left, up, up)
            at.settle()
            at.save("window")
        with seated(out, "gallery", quest=Quest(TaskSettings("ReachGoal"))) as at:
            at.press(up, up, left)
            at.settle()
            at.save("task")
        with seated(out, "gallery:orange", sampler=replace(PRESETS["quality"], num_timesteps=75), ahead=0) as at:
            at.press(up)
            at.settle()
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=right))
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=right))
            at.until(lambda: at.game.watch.frame is not None and at.game.watch.share > 0.5 and at.game.doing_for > LONG)
            at.save("preview")
        with seated(out, "tabletop:duck") as at:
            at.press(pygame.K_t, pygame.K_z, pygame.K_z, pygame.K_z, pygame.K_a, pygame.K_a, up, pygame.K_z, pygame.K_z)
            at.until(lambda: at.player.hud.truth.at(at.game, at.game.timeline.here) and not at.player.overlay.notice)
            at.settle()
            at.save("truth")
        with seated(out, "studio") as at:
            at.press(left, left, up, up, back, back, pygame.K_b, right, right, up, up, up)
            at.settle()
            at.until(lambda: not at.player.overlay.notice)
            at.save("fork")
            at.press(pygame.K_TAB)
            at.save("start")


if __name__ == "__main__":
    main()
