"""The window's real event loop, on SDL's dummy driver, with posted events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pygame
import pytest

from tests import hand as hands
from tests.hand import Hand
from tests.world.odd_worlds import Patient
from tests.world.toy_world import ToyWorld, toy_scene
from world.errors import ModelError
from world.game import Game
from world.player import DRAWS_PER_SECOND, Player
from world.surroundings import Surroundings
from world.types import Action, State

at_window = hands.at_window  # the fixture


class Forgetful(ToyWorld):
    """Fails at every step back."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        if actions[0].name == "back":
            raise ModelError("the model lost its way: load it again")
        if actions[0].name == "up":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if actions[0].name == "down":
            raise KeyError("layers.7")
        return super().step(states, actions)


def test_keys_walk(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_w, pygame.K_LEFT, pygame.K_a, pygame.K_q, pygame.K_z, pygame.K_SPACE)
    names = [action.name for state in hand.walked for action in state.actions[-1:]]
    assert names == ["forward", "forward", "left", "strafe_left", "up", "object_left", "stay"]
    assert hand.state.pose.yaw == 15.0
    assert hand.state.seed == 5


def test_a_tap_is_one_step_and_a_held_key_repeats(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP)
    assert hand.state.step == 1
    hand.down(pygame.K_LEFT)
    hand.until(lambda: hand.state.step >= 4)
    hand.up(pygame.K_LEFT)
    hand.rest()
    assert hand.state.actions[-1].name == "left"


def test_the_newest_key_wins_while_the_model_thinks(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP, pygame.K_LEFT, pygame.K_DOWN, pygame.K_RIGHT)
    world.go_on.release(9)
    hand.rest()
    assert [action.name for action in hand.state.actions] == ["forward", "right"]
    assert hand.state.step == 2


def test_the_window_is_drawn_while_the_model_thinks(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP)
    clock, end, num_draws = pygame.time.Clock(), time.monotonic() + 1.0, 0
    while time.monotonic() < end:
        hand.player.tick()
        num_draws += 1
        clock.tick(DRAWS_PER_SECOND)
    assert hand.game.doing == "step"
    assert num_draws >= 30  # 60 on a machine that has nothing else to do
    world.go_on.release()
    hand.rest()
    assert hand.state.step == 1


def test_undo_goes_back_and_the_walk_goes_on_as_before(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    seen = hand.state.digest()
    hand.tap(pygame.K_BACKSPACE)
    assert hand.state.step == 1
    hand.walk(pygame.K_LEFT)
    assert hand.state.digest() == seen
    hand.tap(pygame.K_BACKSPACE, pygame.K_BACKSPACE, pygame.K_BACKSPACE)
    assert hand.state.step == 0
    assert "begins" in hand.player.overlay.notice


def test_undo_gives_up_the_step_in_the_making(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP, pygame.K_BACKSPACE)
    world.go_on.release(9)
    hand.rest()
    assert hand.state.step == 0
    hand.walk(pygame.K_LEFT)
    assert [action.name for action in hand.state.actions] == ["left"]


def test_undo_goes_further_back_while_a_step_given_up_still_runs(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    world.go_on.release()
    hand.walk(pygame.K_UP)
    hand.tap(pygame.K_UP, pygame.K_BACKSPACE, pygame.K_BACKSPACE)
    assert hand.state.step == 0
    world.go_on.release(9)
    hand.rest()
    assert hand.state.step == 0


def test_reset_begins_the_very_same_walk(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    seen = hand.state.digest()
    hand.walk(pygame.K_HOME)
    assert (hand.state.step, len(hand.walked)) == (0, 1)
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    assert hand.state.digest() == seen


def test_reset_during_a_step_drops_it(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP, pygame.K_HOME)
    world.go_on.release(9)
    hand.rest()
    assert hand.state.step == 0


def test_a_key_does_not_keep_one_from_the_scene_that_was_chosen(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_UP)  # takes its time
    hand.player.open("second")
    hand.tap(pygame.K_LEFT, pygame.K_BACKSPACE)
    world.go_on.release(9)
    hand.rest()
    assert (hand.state.scene.name, hand.state.step) == ("second", 0)


def test_tab_goes_through_the_scenes(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP)
    hand.chord(pygame.K_n)
    assert (hand.state.scene.name, hand.state.step) == ("second", 0)
    hand.chord(pygame.K_n)
    assert hand.state.scene.name == "first"


def test_pause_holds_the_keys_and_n_makes_one_step(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_p, pygame.K_UP, pygame.K_LEFT)
    assert hand.state.step == 0
    assert hand.player.overlay.chosen == "turn left"
    hand.walk(pygame.K_n, pygame.K_n)
    assert [action.name for action in hand.state.actions] == ["left", "left"]
    hand.walk(pygame.K_p, pygame.K_UP)
    assert hand.state.step == 3


def test_an_error_shows_as_a_card_and_costs_nothing_else(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"toy": Forgetful()})
    hand.walk(pygame.K_UP)
    before = pygame.image.tobytes(pygame.display.get_surface(), "RGB")
    hand.walk(pygame.K_DOWN)
    assert hand.game.problem == "the model lost its way: load it again"
    hand.player.tick()
    assert pygame.image.tobytes(pygame.display.get_surface(), "RGB") != before
    assert hand.state.step == 1
    hand.walk(pygame.K_q)
    assert "not enough memory" in hand.game.problem
    hand.walk(pygame.K_e)
    assert "KeyError: 'layers.7'" in hand.game.problem
    assert "python -m world doctor --model toy" in hand.game.problem
    hand.walk(pygame.K_UP)
    assert (hand.state.step, hand.game.problem) == (2, "")


class Opening:
    """A player before a model that cannot be loaded until it is `there`."""

    def __init__(self, out: Path) -> None:
        self.there = False
        self.game = Game(self.opened, "toy", toy_scene(), 0)
        self.player = Player(self.game, Surroundings(keys=out / "keys.toml"), out, size=256)
        self.until(lambda: self.game.problem)

    def opened(self, address: str) -> ToyWorld:
        if not self.there:
            raise ModelError(f"{address} is broken: download it again")
        return ToyWorld()

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end
            self.player.tick()

    def press(self, key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
        self.player.tick()


def test_a_model_that_cannot_be_loaded_is_told_on_a_card_and_any_key_tries_again(tmp_path: Path) -> None:
    opening = Opening(tmp_path)
    assert (opening.game.problem, opening.player.running) == ("toy is broken: download it again", True)
    opening.press(pygame.K_UP)
    opening.until(lambda: opening.game.problem and not opening.game.doing)
    opening.there = True
    opening.press(pygame.K_UP)
    opening.until(lambda: opening.game.state)
    assert opening.game.problem == ""
    opening.player.close()


def test_escape_leaves_a_model_that_cannot_be_loaded_with_its_sentence(tmp_path: Path) -> None:
    opening = Opening(tmp_path)
    opening.press(pygame.K_ESCAPE)
    with pytest.raises(ModelError, match="toy is broken: download it again"):
        opening.player.run()
    assert not pygame.display.get_init()


def test_a_bug_of_the_window_is_a_card_and_costs_no_walk(
    at_window: Callable[..., Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP)

    def broken(player: Player, verb: str) -> None:
        raise KeyError("a bug")

    def drawn() -> None:
        hand.player.running = not hand.game.problem

    with monkeypatch.context() as patch:
        patch.setattr("world.verbs.do", broken)
        patch.setattr(hand.player.keepsakes, "look_after", drawn)
        patch.setattr(hand.player, "close", lambda: None)
        hand.down(pygame.K_m)
        hand.player.run()
    assert "KeyError: 'a bug'" in hand.game.problem
    hand.walk(pygame.K_UP)
    assert (hand.game.problem, hand.state.step) == ("", 2)


def test_pictures_and_videos_are_saved_without_waiting(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    hand.walk(pygame.K_g, pygame.K_g, pygame.K_v, pygame.K_UP, pygame.K_LEFT)
    hand.tap(pygame.K_v)
    hand.until(lambda: (tmp_path / "first.ndjson").exists())
    hand.until(lambda: "3 frames" in hand.player.overlay.notice)
    assert {path.name for path in tmp_path.iterdir()} == {
        "first-0000.png",
        "first-0000-2.png",
        "first.mp4",
        "first.ndjson",
        "sessions",
    }
    assert [path.name for path in hand.player.saved] == ["first-0000.png", "first-0000-2.png", "first.mp4"]


def test_a_recording_is_finished_when_the_window_closes(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    hand.walk(pygame.K_v, pygame.K_UP)
    hand.player.close()
    assert [path.name for path in hand.player.saved] == ["first.mp4"]
    assert (tmp_path / "first.mp4").stat().st_size > 1000


def test_what_cannot_be_saved_is_told(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    (tmp_path / "file").touch()
    hand.player.keepsakes.out = tmp_path / "file"
    hand.tap(pygame.K_g)
    assert "could not be saved" in hand.game.problem


@pytest.mark.parametrize("size", [(1400, 900), (300, 700), (200, 160), (64, 64)])
def test_every_size_of_window_is_drawn(at_window: Callable[..., Hand], size: tuple[int, int]) -> None:
    hand = at_window()
    pygame.display.set_mode(size, pygame.RESIZABLE)
    hand.walk(
        pygame.K_v,
        pygame.K_UP,
        pygame.K_b,
        pygame.K_BACKSPACE,
        pygame.K_LEFT,
        pygame.K_c,
        pygame.K_p,
        pygame.K_h,
        pygame.K_h,
    )
    hand.game.problem = "something with a long explanation " * 9
    hand.player.tick()
    assert pygame.display.get_surface().get_size() == size


@pytest.mark.parametrize("kind", [pygame.QUIT, pygame.KEYDOWN])
def test_the_window_closes_when_asked(at_window: Callable[..., Hand], kind: int) -> None:
    hand = at_window()
    pygame.event.post(pygame.event.Event(kind, key=pygame.K_ESCAPE))
    hand.player.run()
    assert not hand.player.running


def test_escape_takes_a_card_away_and_leaves_a_walk_only_when_pressed_twice(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"toy": Forgetful()})
    hand.walk(pygame.K_UP, pygame.K_DOWN)
    assert hand.game.problem
    hand.tap(pygame.K_ESCAPE)
    assert (hand.game.problem, hand.player.overlay.notice) == ("", "")
    hand.tap(pygame.K_ESCAPE)
    assert hand.player.overlay.notice.startswith("Esc once more leaves")
    assert hand.player.running
    hand.tap(pygame.K_ESCAPE)
    assert not hand.player.running
