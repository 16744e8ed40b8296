"""What the window tells beside the frame: figures, stages of loading, imagined frames, one key that hides all."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame

from tests import hand as hands
from tests.hand import Hand
from tests.test_play_ahead import Tunable, imagined
from tests.world.odd_worlds import Patient
from tests.world.toy_world import ToyWorld, toy_scene
from world import column, overlays, window
from world.game import Game
from world.making import Options
from world.player import Player
from world.surroundings import Surroundings

at_window = hands.at_window  # the fixture


def told(hand: Hand) -> dict[str, str]:
    return dict(column.facts(hand.game))


def test_the_panel_tells_speed_latency_memory_seed_words_and_pose(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"tunable": Tunable()})
    hand.walk(pygame.K_UP, pygame.K_UP, pygame.K_LEFT, pygame.K_q, pygame.K_z)
    facts = told(hand)
    assert (facts["Model"], facts["Device"]) == ("toy · dream", "cpu, float32")
    assert re.fullmatch(r"\d+\.\d frames/s", facts["Speed"])
    assert re.fullmatch(r"\d+ ms, p99 \d+", facts["Latency"])
    assert facts["Drawn in"] == "4 evaluations"
    assert re.fullmatch(r"[\d.]+ [MG]B", facts["Memory"])
    assert facts["Step"] == "5 · seed 5"
    assert facts["Action"] == "rotate the object left"
    assert (facts["Place"], facts["Gaze"], facts["Object"]) == ("0.6, 0.0 m", "15°, up 10°", "15°")
    assert len(hand.game.pace.latencies) == 5  # which are drawn as bars


def test_the_panel_tells_what_waits_and_how_often_a_guess_was_right(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP, pygame.K_LEFT)
    assert told(hand)["Drawn in"].endswith("1 waiting")
    world.go_on.release(99)
    hand.rest()
    hand.game.options = Options(look_ahead=3)
    hand.until(lambda: imagined(hand))
    hand.walk(pygame.K_LEFT)
    assert told(hand)["Ahead"] == "100% were there"


def test_imagined_frames_lie_beside_their_keys_above_which_notices_are_told(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pygame.display.set_mode((1100, 900), pygame.RESIZABLE)
    hand.walk(pygame.K_UP)
    hand.player.tick()
    without = window.shown()
    hand.game.options = Options(look_ahead=3)
    hand.until(lambda: imagined(hand))
    hand.player.tick()
    hand.player.tick()
    tiles = hand.player.hud._tiles
    assert len(tiles._small) == 3
    changed = np.abs(window.shown().astype(int) - without).max(axis=2)[:, :700] > 30
    rows = np.flatnonzero(changed.any(axis=1))
    assert rows.max() - rows.min() < tiles.height


def test_one_key_hides_everything_but_the_frame(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pygame.display.set_mode((1100, 900), pygame.RESIZABLE)
    hand.walk(pygame.K_UP, pygame.K_h)
    place = hand.player.hud._shown["Here"][1].get_rect()
    place.center = pygame.display.get_surface().get_rect().center
    hidden = window.shown().copy()
    hidden[place.top : place.bottom, place.left : place.right] = window.BACKGROUND
    assert (hidden == np.array(window.BACKGROUND, np.uint8)).all()


def test_the_stages_of_loading_are_told_with_their_percentages(tmp_path: Path) -> None:
    go_on, stages = threading.Event(), ["reading ema.safetensors, 40%"]

    def slow(address: str) -> ToyWorld:
        assert go_on.wait(30)
        return ToyWorld()

    game = Game(slow, "toy", toy_scene(), 0, stage=lambda: stages[-1])
    player = Player(game, Surroundings(keys=tmp_path / "keys.toml"), tmp_path, size=256)
    player.tick()
    assert overlays.patience(game).startswith("Reading ema.safetensors, 40%. 0 s so far")
    go_on.set()
    while game.state is None:
        player.tick()
    player.close()
