"""Moves in sentences: what an editing model reads says the magnitude and the way."""

from __future__ import annotations

import pytest

from world.instructions import STILL, instruction, motion
from world.types import Action, Pose, vocabulary


def test_every_move_of_the_vocabulary_has_its_own_sentence() -> None:
    told = {action.name: instruction(action) for action in vocabulary()}
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
    assert action.text == (
        "Move the camera 0.9 meters forward and move it 0.6 meters to the left and rotate it 150 degrees to the left "
        "and tilt it 10 degrees down and rotate the object 30 degrees counter-clockwise, seen from above."
    )


def test_no_motion_keeps_the_picture() -> None:
    assert motion(Pose(x=1), Pose(x=1)) == Action(STILL)
