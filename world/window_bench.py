"""`python -m world bench --window`: how smoothly the window draws, with its real loop and a world that needs time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygame
from rich.console import Console
from rich.table import Table

from world.game import Game
from world.gauges import resident_bytes
from world.link_bench import Panorama, panorama_scene
from world.making import Options
from world.player import DRAWS_PER_SECOND, Player
from world.shelf import IN_MEMORY
from world.surroundings import Surroundings
from world.types import Action, State

SLOW = 2.0  # s, a step of the slow world
SIDE = 256  # pixels, a frame
NUM_STATES = 2000
NUM_KEYS = 40


class SlowPanorama(Panorama):
    """Keeps a core busy for `seconds` a step, as a model does."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        end, numbers = time.perf_counter() + self.seconds, np.random.default_rng(0).random(1 << 15)
        while time.perf_counter() < end:
            np.sort(numbers)
        after = super().step(states, actions)
        return [_marked(state) for state in after]


def _marked(state: State) -> State:
    """With the number of its step in the picture: no two pictures of a walk are alike."""
    frame = state.frame.copy()
    frame[0, 0] = [state.step >> 8, state.step & 255, 0]
    return replace(state, frames=(*state.frames[:-1], frame))


def measure(seconds: float = SLOW, num_keys: int = NUM_KEYS, num_states: int = NUM_STATES) -> Table:
    """All figures, with a step of `seconds`; opens a window, on SDL's dummy driver where there is no display."""
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")):
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    table = Table("what", "measured", "goal", title="The window", box=None)
    with _player() as (player, world):
        driver = pygame.display.get_driver()
        rate = _draws_during_a_step(player, world, seconds)
        table.add_row(f"draws a second while a step of {seconds:g} s runs", f"{rate:.1f}", "at least 50")
        times, of_cpu = _keys_to_photons(player, num_keys)
        p50, p95 = np.quantile(times, (0.5, 0.95))
        told = f"{1000 * p50:.1f} ms, p95 {1000 * p95:.1f}; {1000 * float(np.median(of_cpu)):.1f} of CPU"
        table.add_row("from a key to its frame, looked ahead", told, "at most 20 ms")
        few, before = _draw_time(player), resident_bytes() or 0
        _walk(player, num_states)
        many, after = _draw_time(player), resident_bytes() or 0
        num = len(player.game.timeline)
        told = f"{1000 * many:.1f} ms, {1000 * few:.1f} at the beginning"
        table.add_row(f"a draw in a tree of {num} states", told, "no slower")
        kept = f"{(after - before) / 2**20:.0f} MB more, {IN_MEMORY} states in memory"
        table.add_row(f"memory for {num} states of {SIDE} x {SIDE}", kept, "bounded: the rest is on disk")
    table.caption = f"SDL's driver is {driver}"
    return table


def bench() -> None:
    """Prints the figures."""
    console = Console(highlight=False)
    with console.status("Walking"):
        table = measure()
    console.print(table)


@contextlib.contextmanager
def _player() -> Iterator[tuple[Player, SlowPanorama]]:
    world = SlowPanorama()
    with tempfile.TemporaryDirectory() as folder:
        game = Game(lambda address: world, "panorama", panorama_scene(SIDE), 0)
        player = Player(game, Surroundings(keys=Path(folder) / "keys.toml"), Path(folder))
        try:
            while game.state is None:
                player.tick()
            yield player, world
        finally:
            player.close()


def _press(key: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))


def _draws_during_a_step(player: Player, world: SlowPanorama, seconds: float) -> float:
    """Draws a second, paced as the window paces itself."""
    world.seconds = seconds
    clock, num = pygame.time.Clock(), 0
    _press(pygame.K_LEFT)
    player.tick()
    begun = time.perf_counter()
    while player.game.doing:
        player.tick()
        num += 1
        clock.tick(DRAWS_PER_SECOND)
    world.seconds = 0.0
    return num / (time.perf_counter() - begun)


def _keys_to_photons(player: Player, num_keys: int) -> tuple[list[float], list[float]]:
    """s from the event to the display's flip, and s of that which this thread had a core."""
    player.game.options = Options(look_ahead=3)
    found, of_cpu = [], []
    for _ in range(num_keys):
        while player.game.looking or not player.game.futures.at(_place(player)):
            player.tick()
        before = len(player.game.timeline)
        begun, cpu = time.perf_counter(), time.thread_time()
        _press(pygame.K_LEFT)
        player.tick()
        found.append(time.perf_counter() - begun)
        of_cpu.append(time.thread_time() - cpu)
        if len(player.game.timeline) == before:
            raise AssertionError("the step was not looked ahead")
    player.game.options = Options()
    return found, of_cpu


def _place(player: Player) -> bytes:
    return player.game.history.nodes[player.game.timeline.here].state


def _draw_time(player: Player, num: int = 60) -> float:
    """The median time of a draw, s."""
    times = []
    for _ in range(num):
        begun = time.perf_counter()
        player.tick()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def _walk(player: Player, num_states: int) -> None:
    """Until the tree has so many states, with a fork every 500 steps."""
    game = player.game
    left, right = game.scene.actions[3:5]
    step = 0
    while len(game.timeline) < num_states:
        if step % 500 == 0:
            game.go(lambda tree: tree.at(len(tree) // 2))
        game.act(left if step // 500 % 2 else right)
        while game.doing:
            game.poll()
            time.sleep(0.0002)
        if step % 20 == 0:
            player.tick()
        step += 1
