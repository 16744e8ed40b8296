"""A step is exact where nothing stands, and slides where something does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenes.ground import MARGIN, MAX_PITCH, Box, Circle, Ground
from world.types import Action, Pose, vocabulary

EMPTY = Ground((-5, -5), (5, 5), ())
FORWARD = Action("move forward", "forward", forward=0.3)


def test_a_free_step_is_dead_reckoning() -> None:
    for action in vocabulary():
        pose = Pose(0.1, -0.2, 33.0, 5.0, 10.0)
        assert EMPTY.slide(pose, action) == pose.moved(action)


def test_words_without_numbers_stay() -> None:
    pose = Pose(1, 1, 45)
    assert EMPTY.slide(pose, Action("open the door")) == pose


def test_a_look_ends_at_the_limit() -> None:
    up = Action("look up", "up", pitch=10)
    pose = Pose()
    for _ in range(6):
        pose = EMPTY.slide(pose, up)
    assert pose.pitch == MAX_PITCH


def test_a_turn_is_exact_even_where_the_way_is_blocked() -> None:
    ground = Ground((-5, -5), (5, 5), (Box(1, 0, 0.2, 4),))
    pose = ground.slide(Pose(0.8 - MARGIN), Action("", forward=0.3, yaw=15.0))
    assert pose.yaw == 15.0


def test_a_slanting_step_slides_along_a_wall() -> None:
    ground = Ground((-5, -5), (5, 5), (Box(1, 0, 0.2, 4),))
    pose = ground.slide(Pose(0.8 - MARGIN, 0, 45), FORWARD)
    assert pose.x == pytest.approx(0.8 - MARGIN)
    assert pose.y == pytest.approx(0.3 * math.sin(math.radians(45)))


def test_a_step_straight_into_a_wall_stops_at_the_margin() -> None:
    ground = Ground((-5, -5), (5, 5), (Box(1, 0, 0.2, 4),))
    pose = ground.slide(Pose(0.8 - MARGIN - 0.1), FORWARD)
    assert (pose.x, pose.y) == pytest.approx((0.8 - MARGIN, 0.0))


def test_a_step_slides_around_a_column() -> None:
    ground = Ground((-5, -5), (5, 5), (Circle(0, 0, 0.3),))
    pose = Pose(-1.0, 0.1, 0)
    for _ in range(16):
        pose = ground.slide(pose, FORWARD)
        assert math.hypot(pose.x, pose.y) >= 0.3 + MARGIN - 1e-5
    assert pose.x > 1.0


def test_the_edge_of_the_ground_is_a_wall() -> None:
    pose = Pose(4.4, 0, 0)
    for _ in range(3):
        pose = EMPTY.slide(pose, FORWARD)
    assert pose.x == pytest.approx(5 - MARGIN)


def test_a_corner_holds_without_trembling() -> None:
    ground = Ground((-5, -5), (5, 5), (Box(1, 0, 0.2, 4), Box(0, 1, 4, 0.2)))
    pose = Pose(0, 0, 40)
    for _ in range(6):
        pose = ground.slide(pose, FORWARD)
    again = ground.slide(pose, FORWARD)
    assert (again.x, again.y) == pytest.approx((pose.x, pose.y), abs=1e-4)


def test_a_way_without_an_end_ends_at_the_wall() -> None:
    ground = Ground((-5, -5), (5, 5), ())
    pose = ground.slide(Pose(0, 0, 30), Action("", forward=1e12))
    assert (pose.x, pose.y) == pytest.approx((5 - MARGIN, 5 - MARGIN), abs=1e-3)


def test_a_pose_inside_a_thing_is_let_out() -> None:
    ground = Ground((-5, -5), (5, 5), (Circle(0, 0, 0.3),))
    pose = ground.slide(Pose(0.2, 0.0, 0.0), FORWARD)
    assert ground.is_free(pose.x, pose.y)


def test_a_turned_box_is_met_where_it_stands() -> None:
    box = Box(1, 2, 0.5, 0.1, yaw=90)
    out_x, out_y, distance = box.nearest(1.6, 2.0)
    assert (out_x, out_y, distance) == pytest.approx((1.0, 0.0, 0.5))


def test_what_is_too_far_away_to_be_asked_is_never_in_the_way() -> None:
    rng = np.random.default_rng(0)
    things = (Box(0.5, -0.3, 1.5, 0.1, yaw=30), Box(-2, 2, 0.2, 0.9), Circle(2, 2, 0.4), Circle(-2, -2, 0.0))
    ground = Ground((-4, -4), (4, 4), things)
    for x, y in rng.uniform(-4 + MARGIN, 4 - MARGIN, (2000, 2)):
        assert ground.is_free(x, y) == all(thing.nearest(x, y)[2] >= MARGIN for thing in things)


def test_random_places_are_free() -> None:
    ground = Ground((-2, -2), (2, 2), (Circle(0, 0, 0.6),))
    rng = np.random.default_rng(0)
    assert all(ground.is_free(*ground.random_place(rng)) for _ in range(50))


def test_a_ground_without_a_free_place_says_so() -> None:
    with pytest.raises(ValueError, match="no free place"):
        Ground((-1, -1), (1, 1), (Circle(0, 0, 5),)).random_place(np.random.default_rng(0))
