"""Typing an action, chords, a person's own keys, action repeat: by keys through the real event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pygame
import pytest

from tests import hand as hands
from tests.hand import Hand, ToyTruth, simulated
from world.errors import WorldError
from world.keys import KeyMap, read_keys
from world.making import Options
from world.player import HOLD_DELAY
from world.prompt import Prompt

at_window = hands.at_window  # the fixture


def say(hand: Hand, words: str, end: int = pygame.K_RETURN) -> None:
    hand.tap(pygame.K_SLASH)
    hand.type("/" + words)  # as SDL does: the slash comes as a letter as well
    hand.tap(end)
    hand.rest()


def texts(hand: Hand) -> list[str]:
    return [node.action.text for node in hand.game.history.nodes if node.action is not None]


def test_a_sentence_is_typed_and_done(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    say(hand, "turn left 30 degrees")
    assert texts(hand) == ["turn left 30 degrees"]
    assert hand.state.pose.yaw == 30.0
    assert hand.player.panel is None


def test_letters_of_a_sentence_move_nothing_and_escape_drops_it(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.tap(pygame.K_SLASH)
    hand.type("wasd")
    hand.tap(pygame.K_w, pygame.K_ESCAPE)
    hand.rest()
    assert (hand.state.step, hand.player.running, hand.player.panel) == (0, True, None)


def test_arrows_recall_what_was_said(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    say(hand, "open the gate")
    say(hand, "wave")
    hand.tap(pygame.K_SLASH, pygame.K_UP, pygame.K_UP, pygame.K_RETURN)
    hand.rest()
    assert texts(hand) == ["open the gate", "wave", "open the gate"]


def test_a_function_key_says_a_sentence_from_now_on_in_this_scene(
    at_window: Callable[..., Hand], tmp_path: Path
) -> None:
    hand = at_window()
    say(hand, "open the gate", end=pygame.K_F5)
    hand.walk(pygame.K_F5)
    assert texts(hand) == ["open the gate"] * 2
    hand.game.options = Options(look_ahead=1)
    place = hand.game.history.nodes[2].state
    hand.until(lambda: hand.game.futures.at(place))
    assert [action.text for action in hand.game.futures.at(place)] == [
        "open the gate"
    ]  # an action of the scene like any other
    saved = read_keys(tmp_path / "own" / "keys.toml")
    assert saved.sentences == {"first": {"open the gate": "f5"}}
    assert saved.in_vocabulary(simulated("first")).actions[-1].text == "open the gate"
    assert len(saved.in_vocabulary(simulated("second")).actions) == 11


def test_a_key_that_does_something_else_says_nothing(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    say(hand, "open the gate", end=pygame.K_F1)
    assert "F1 is the key for 'keys'" in hand.game.problem
    assert texts(hand) == []


def test_a_model_without_words_says_so(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"truth": ToyTruth()})
    say(hand, "open the gate")
    assert "reads no sentences" in hand.game.problem
    assert hand.state.step == 0


def test_keys_held_together_are_one_move(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.down(pygame.K_UP)
    hand.player.tick()
    hand.rest()
    hand.down(pygame.K_LEFT)
    hand.player.tick()
    hand.up(pygame.K_LEFT)
    hand.up(pygame.K_UP)
    hand.rest()
    assert texts(hand) == ["move forward", "move forward and turn left"]
    assert hand.state.pose.yaw == 15.0


def test_of_opposite_keys_the_newer_counts(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.down(pygame.K_LEFT)
    hand.down(pygame.K_RIGHT)
    hand.up(pygame.K_LEFT)
    hand.up(pygame.K_RIGHT)
    hand.player.tick()
    hand.rest()
    assert texts(hand)[-1] == "turn right"


def test_shift_makes_four_steps_of_one_press_and_escape_ends_them(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.chord(pygame.K_UP, pygame.KMOD_LSHIFT)
    hand.until(lambda: hand.state.step == 4 and not hand.game.doing)
    hand.down(pygame.K_LEFT, pygame.KMOD_LSHIFT)
    hand.up(pygame.K_LEFT)
    hand.tap(pygame.K_ESCAPE)
    hand.rest()
    assert hand.state.step < 8
    assert hand.player.running


def test_how_many_steps_shift_makes_is_a_setting(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_o)
    hand.tap(pygame.K_DOWN, pygame.K_DOWN, pygame.K_RIGHT, pygame.K_RIGHT, pygame.K_ESCAPE)
    assert hand.game.options.time_skip == 8
    hand.chord(pygame.K_LEFT, pygame.KMOD_LSHIFT)
    hand.until(lambda: hand.state.step == 8 and not hand.game.doing)
    assert texts(hand) == ["turn left"] * 8


def test_a_held_key_walks_on_or_makes_one_step_as_the_settings_say(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_o)
    hand.tap(pygame.K_DOWN, pygame.K_RIGHT, pygame.K_ESCAPE)
    assert hand.game.options.walk == "step"
    hand.down(pygame.K_UP)
    end = time.monotonic() + 2 * HOLD_DELAY
    hand.until(lambda: time.monotonic() > end)
    assert hand.state.step == 1
    hand.game.options = Options()
    hand.until(lambda: hand.state.step >= 3)
    hand.up(pygame.K_UP)


def test_the_mouse_looks_around_while_its_right_button_is_held(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    for rel in ((-40, 0), (-40, 0)):
        motion = {"pos": (9, 9), "rel": rel, "buttons": (0, 0, 1)}
        pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, motion))
    hand.player.tick()
    hand.rest()
    assert texts(hand) == ["turn left"]


def test_a_gamepad_walks_as_long_as_its_stick_is_held(at_window: Callable[..., Hand]) -> None:
    hand = at_window()

    def tilt(value: int) -> None:
        event = pygame.event.Event(pygame.CONTROLLERAXISMOTION, axis=pygame.CONTROLLER_AXIS_LEFTY, value=value)
        pygame.event.post(event)
        hand.player.tick()

    tilt(-30000)
    hand.until(lambda: hand.state.step >= 3)
    tilt(100)
    hand.rest()
    assert set(texts(hand)) == {"move forward"}
    assert not hand.player.hands.held


def test_all_keys_are_shown_and_any_key_closes_them(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_F1)
    assert hand.player.panel is not None
    hand.walk(pygame.K_UP)
    assert (hand.player.panel, hand.state.step) == (None, 0)


def test_own_keys_take_the_place_of_the_usual_ones(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('[keys]\nstrafe_left = ["f"]\nanchor = ["a"]\n')
    table = read_keys(path).table("garden")
    assert (table["f"], table["a"], table["d"]) == ("strafe_left", "anchor", "strafe_right")
    assert read_keys(path).moves[2].caps() == ["F", "D"]
    assert read_keys(tmp_path / "none.toml") == KeyMap()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[keys]\nanchor = ["a"]', "the key 'a' is for both 'strafe_left' and 'anchor': give one another key"),
        ('[keys]\nforwrad = ["f"]', "nothing is called 'forwrad': did you mean 'forward'?"),
        ('[keys]\nforward = "f"', 'forward needs a list of keys, as in forward = ["f"]'),
        ('[keys]\nforward = ["', "keys.toml"),
        ("[colours]\nx = 1", "[colours] means nothing here"),
        ('[sentences.garden]\n"open the gate" = "r"', "R is the key for 'video'"),
        ('[sentences.garden]\n"open the gate" = 5', "holds lines as in"),
        ("keys = 3", "are tables"),
    ],
)
def test_a_wrong_file_of_keys_is_told_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(WorldError) as raised:
        read_keys(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_saving_sentences_leaves_the_keys_of_the_file_alone(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    path = tmp_path / "own" / "keys.toml"
    path.parent.mkdir()
    path.write_text('# mine\n[keys]\nstrafe_left = ["f"]\n\n[sentences.second]\n"wave" = "f3"\n')
    hand = at_window()
    say(hand, 'say "hello"', end=pygame.K_F6)
    assert path.read_text().startswith('# mine\n[keys]\nstrafe_left = ["f"]')
    assert read_keys(path).sentences == {"second": {"wave": "f3"}, "first": {'say "hello"': "f6"}}


def test_the_cursor_moves_within_a_sentence() -> None:
    prompt = Prompt().typed("open gate").moved(-4).typed("the ")
    assert (prompt.text, prompt.cursor) == ("open the gate", 9)
    assert prompt.erased().moved(-99).erased().text == "open thegate"
    assert Prompt().typed("a\n\tb").text == "ab"
    assert Prompt().said() == ("", Prompt())
