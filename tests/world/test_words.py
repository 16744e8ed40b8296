"""Sentences as moves: what is understood, and what stays words alone."""

from __future__ import annotations

import pytest

from world.types import Action, vocabulary
from world.words import understand

MOVES = vocabulary()
IN_A_ROOM = tuple(a for a in MOVES if not a.object_yaw)


def numbers(action: Action) -> tuple[float, ...]:
    return action.forward, action.left, action.yaw, action.pitch, action.object_yaw


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go forward two steps", (0.6, 0, 0, 0, 0)),
        ("Walk ahead 1.5 meters.", (1.5, 0, 0, 0, 0)),
        ("step back 50 cm", (-0.5, 0, 0, 0, 0)),
        ("move forward half a step", (0.15, 0, 0, 0, 0)),
        ("strafe right twice", (0, -0.6, 0, 0, 0)),
        ("sidestep to the left three times", (0, 0.9, 0, 0, 0)),
        ("turn left 30 degrees", (0, 0, 30, 0, 0)),
        ("Please turn to the right by 90°", (0, 0, -90, 0, 0)),
        ("look right a little", (0, 0, -7.5, 0, 0)),
        ("turn around", (0, 0, 180, 0, 0)),
        ("tilt the camera up 20 degrees", (0, 0, 0, 20, 0)),
        ("lower your head", (0, 0, 0, -10, 0)),
        ("rotate the vase 30 degrees to the left", (0, 0, 0, 0, 30)),
        ("spin it clockwise", (0, 0, 0, 0, -15)),
        ("rotate the object counter-clockwise 90 degrees", (0, 0, 0, 0, 90)),
        ("forward and look up", (0.3, 0, 0, 10, 0)),
        ("move forward, then turn left", (0.3, 0, 15, 0, 0)),
        ("turn left 90 degrees and go forward", (0, 0.3, 90, 0, 0)),
        ("turn right 90 degrees, step forward two steps, turn left 90 degrees", (0, -0.6, 0, 0, 0)),
    ],
)
def test_a_sentence_gets_the_numbers_that_it_says(text: str, expected: tuple[float, ...]) -> None:
    action = understand(text, MOVES)
    assert action.text == text
    assert numbers(action) == pytest.approx(expected)


@pytest.mark.parametrize("action", MOVES, ids=lambda a: a.name)
def test_the_vocabularys_own_words_are_its_actions(action: Action) -> None:
    assert understand(action.text, MOVES) is action


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("go forward", "forward"),
        ("turn left 15 degrees", "left"),
        ("stand still", "stay"),
        ("spin it left", "object_left"),
    ],
)
def test_other_words_for_a_move_bear_its_name(text: str, name: str) -> None:
    action = understand(text, MOVES)
    assert (action.name, action.text) == (name, text)
    assert numbers(action) == numbers(next(a for a in MOVES if a.name == name))


@pytest.mark.parametrize(
    "text",
    [
        "open the door",
        "turn the lamp on",
        "go to the table",
        "turn left 30",
        "turn left 30 meters",
        "go forward 20 degrees",
        "move up",
        "turn forward",
        "look left and open the door",
        "left right",
        "and",
        "...",
        "walk",
        "turn around 2 times",
        "go forward 99999999 meters",
        "go forward " + "9" * 400 + " meters",
    ],
)
def test_what_is_no_move_stays_words_alone(text: str) -> None:
    assert understand(text, MOVES) == Action(text)


def test_an_object_is_turned_only_where_there_is_one() -> None:
    assert understand("rotate the object left 30 degrees", IN_A_ROOM) == Action("rotate the object left 30 degrees")


def test_a_scenes_own_magnitudes_count() -> None:
    actions = vocabulary(step=0.5, turn=20.0)
    assert understand("go forward two steps", actions).forward == pytest.approx(1.0)
    assert understand("turn right twice", actions).yaw == pytest.approx(-40.0)


def test_moves_that_cancel_are_not_called_stay() -> None:
    action = understand("turn left and turn right", MOVES)
    assert (action.name, numbers(action)) == ("", (0, 0, 0, 0, 0))
