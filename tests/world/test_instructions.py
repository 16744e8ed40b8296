"""Moves in words: what is said is understood again, and an editing model reads magnitude and way."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from world.instructions import STILL, instruction, motion, said
from world.types import Action, Pose, vocabulary
from world.words import understand

MOVES = vocabulary()


def test_every_move_of_the_vocabulary_has_its_own_instruction() -> None:
    told = {action.name: instruction(action) for action in MOVES}
    assert len(set(told.values())) == len(told)
    assert told["forward"] == "Move the camera 0.3 meters forward."
    assert told["right"] == "Rotate the camera 15 degrees to the right."
    assert told["object_left"] == "Rotate the object 15 degrees counter-clockwise, seen from above."
    assert told["stay"] == STILL


def test_a_motion_is_one_action_that_arrives() -> None:
    here, there = Pose(1.0, 2.0, 90.0, 10.0, 170.0), Pose(0.4, 2.9, -120.0, 0.0, -160.0)
    action = motion(here, there)
    arrived = here.moved(action)
    for name in ("x", "y", "yaw", "pitch", "object_yaw"):
        assert getattr(arrived, name) == pytest.approx(getattr(there, name), abs=1e-6)
    assert instruction(action) == (
        "Move the camera 0.9 meters forward and move it 0.6 meters to the left and rotate it 150 degrees to the left "
        "and tilt it 10 degrees down and rotate the object 30 degrees counter-clockwise, seen from above."
    )


@pytest.mark.parametrize(
    "there",
    [
        Pose(x=0.6),
        Pose(y=-0.9, yaw=45),
        Pose(yaw=-180),
        Pose(object_yaw=90),
        Pose(-0.3, 0.6, -30, 20, -15),
        Pose(),
    ],
)
def test_what_is_said_is_understood(there: Pose) -> None:
    action = motion(Pose(), there)
    assert astuple(understand(said(action), MOVES))[2:] == pytest.approx(astuple(action)[2:])


def test_a_sentence_of_ones_own_is_told_as_it_stands() -> None:
    assert instruction(Action("open the door")) == "open the door"
    assert instruction(understand("rotate the vase 30 degrees to the left", MOVES)) == (
        "rotate the vase 30 degrees to the left"
    )
