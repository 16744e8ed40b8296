"""A hand at the window: presses keys through SDL's events, and looks at what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pygame
import pytest

from scenes.metrics import psnr
from tests.world.odd_worlds import Patient
from tests.world.toy_world import ToyWorld, draw, toy_scene
from world import models
from world.game import Game
from world.making import begun
from world.player import Player
from world.quest import Quest
from world.replay import Comparison
from world.surroundings import Floor, Likeness, Surroundings
from world.types import Frame, Pose, Scene, Start, State


class ToyTruth(ToyWorld):
    """A toy simulator: knows every pose, reads no sentences."""

    def __init__(self) -> None:
        super().__init__(frozenset({"pose"}))

    def random_start(self, scene: Scene, seed: int) -> Start:
        return scene.starts[0]

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        return [draw(pose, 0, 0) for pose in poses]


def likeness(predicted: Frame, true: Frame) -> Likeness:
    return Likeness(float(psnr(predicted[None], true[None])[0]), 1.0)


def floor_of(scene: Scene) -> Floor | None:
    return Floor((((-2.0, -2.0), (4.0, -2.0), (4.0, 2.0), (-2.0, 2.0)),)) if scene.simulated else None


def simulated(name: str) -> Scene:
    scene = toy_scene(name)
    return Scene(scene.name, scene.caption, scene.starts, simulated=True)


class Hand:
    """Presses keys and looks."""

    def __init__(self, worlds: dict[str, ToyWorld], scene: Scene, out: Path, quest: Quest | None = None) -> None:
        begin = quest.begin if quest else begun
        self.game = Game(worlds.__getitem__, next(iter(worlds)), scene, seed=5, begin=begin)
        around = Surroundings(("first", "second"), out / "own" / "keys.toml", ToyTruth, likeness, floor_of)
        self.player = Player(self.game, around, out, 256, quest)

    def down(self, key: int, mod: int = 0) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=mod))

    def up(self, key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))

    def tap(self, *pressed: int) -> None:
        for key in pressed:
            self.down(key)
            self.up(key)
            self.player.tick()

    def chord(self, key: int, mod: int = pygame.KMOD_LCTRL) -> None:
        """A key with a modifier, and what comes of it."""
        self.down(key, mod)
        self.up(key)
        self.player.tick()
        self.rest()

    def type(self, words: str) -> None:
        for letter in words:
            pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))
        self.player.tick()

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.player.tick()
            time.sleep(0.002)

    def rest(self) -> None:
        """Until nothing is in the making."""
        self.until(lambda: not self.game.doing)

    def walk(self, *pressed: int) -> None:
        for key in pressed:
            self.tap(key)
            self.rest()

    @property
    def comparison(self) -> Comparison | None:
        """Of a session that was walked again; None until it is."""
        reopening = self.game.reopening
        return reopening.comparison if reopening is not None and reopening.done else None

    @property
    def walked(self) -> list[State]:
        return [self.game.shelf.state(node) for node in self.game.timeline.path()]

    @property
    def state(self) -> State:
        assert self.game.state is not None
        return self.game.state


@pytest.fixture
def at_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hand]]:
    monkeypatch.setattr(models, "SCENES", "tests.hand:simulated")
    hands: list[Hand] = []

    def sit_down(
        worlds: dict[str, ToyWorld] | None = None, scene: Scene | None = None, quest: Quest | None = None
    ) -> Hand:
        hands.append(Hand(worlds or {"toy": ToyWorld()}, scene or simulated("first"), tmp_path, quest))
        hands[0].until(lambda: hands[0].game.state or hands[0].game.problem)
        return hands[0]

    yield sit_down
    for hand in hands:
        if isinstance(hand.game.model, Patient):
            hand.game.model.go_on.release(1000)
        hand.player.close()
