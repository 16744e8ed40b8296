from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.world.toy_world import ToyWorld, toy_scene
from world.goals import Alignment, Approach, Facing, Goal, Nearness, NewPlace, Thing, Within
from world.looks import SIDE, Judgement, NewPicture, Pixels, Remembered, Similarity, likeness, question_of
from world.rewards import AllOf, AnyOf, AtLeast, Bonus, Gain, Level, StepCost, Total
from world.types import Action, Pose, State

WORLD, SCENE = ToyWorld(), toy_scene()


def states(*poses: Pose) -> list[State]:
    [start] = WORLD.reset([SCENE], [0])
    return [replace(start, pose=pose) for pose in poses]


def test_what_was_gained_only_depends_on_where_it_began_and_ended() -> None:
    goal = (Goal(pose=Pose(x=2.0)),)
    way = states(Pose(), Pose(x=1.0, yaw=50.0), Pose(x=-3.0), Pose(x=2.0))
    gain = Gain(Nearness(goal))
    total = sum(gain([a], [Action("")], [b])[0] for a, b in itertools.pairwise(way))
    assert total == pytest.approx(2.0)
    assert gain(way[:1], [Action("")], way[1:2]) == pytest.approx(0.0)  # a metre nearer, and fifty degrees turned away


def test_a_goal_belongs_to_a_row_or_to_all() -> None:
    here = states(Pose(), Pose())
    assert Nearness((Goal(pose=Pose(x=1.0)), Goal(pose=Pose(x=3.0))))(here) == pytest.approx([-1.0, -3.0])
    assert Nearness((Goal(pose=Pose(x=1.0)),))(here) == pytest.approx([-1.0, -1.0])
    with pytest.raises(ValueError, match="got 3 goals for 2 rows"):
        Nearness((Goal(pose=Pose()),) * 3)(here)
    with pytest.raises(ValueError, match="use judged_by='picture'"):
        Nearness((Goal(),))(here)


def test_rewards_and_endings_combine() -> None:
    before, after = states(Pose(), Pose()), states(Pose(x=1.0), Pose(x=0.2))
    actions = [Action("")] * 2
    goal = (Goal(pose=Pose()),)
    there, level = Within(goal, 0.5, 10.0), AtLeast(Nearness(goal), (-0.1, -0.3))
    assert list(there(before, actions, after)) == [False, True]
    assert list(level(before, actions, after)) == [False, True]
    assert list(AnyOf(())(before, actions, after)) == [False, False]
    assert list(AllOf((there, level))(before, actions, after)) == [False, True]
    reward = Total((Gain(Nearness(goal), 2.0), Bonus(there, 5.0), StepCost(0.25), Level(Nearness(goal), 0.5)))
    assert reward(before, actions, after) == pytest.approx([-2.0 - 0.25 - 0.5, -0.4 + 5.0 - 0.25 - 0.1])
    assert Total(())(before, actions, after) == pytest.approx([0.0, 0.0])


def test_objects_are_faced_and_turned() -> None:
    thing = (Goal(thing=Thing("the ball", 2.0, 0.0)),)
    here = states(Pose(), Pose(yaw=90.0), Pose(x=-3.0))
    assert list(Facing(thing)(here, [Action("")] * 3, here)) == [True, False, False]
    assert Approach(thing)(here) == pytest.approx([-2.0, -2.0 - 90 / 50, -5.0])
    turned = states(Pose(object_yaw=170.0))
    assert Alignment((Goal(pose=Pose(object_yaw=-170.0)),))(turned) == pytest.approx([-20 / 50])


def test_what_is_new_is_what_the_episode_has_not_seen() -> None:
    [start] = WORLD.reset([SCENE], [0])
    away = WORLD.step([WORLD.step([start], [Action("", yaw=120.0)])[0]], [Action("", forward=1.0)])[0]
    goal = (Goal(seen=(start,)),)
    assert list(NewPlace(goal)([start, away])) == [0.0, 1.0]
    same, other = NewPicture(Pixels(), goal)([start, away])
    assert same == pytest.approx(0.0, abs=1e-6)
    assert other > 0.05


def test_likeness_is_one_for_the_goal_itself_and_less_elsewhere() -> None:
    [start] = WORLD.reset([SCENE], [0])
    near, far = WORLD.step([start] * 2, [Action("", yaw=5.0), Action("", yaw=100.0)])
    values = Similarity(Pixels(), (Goal(frame=start.frame),))([start, near, far])
    assert values[0] == pytest.approx(1.0)
    assert 1.0 > values[1] > values[2]
    with pytest.raises(ValueError, match="no picture"):
        Similarity(Pixels(), (Goal(),))([start])


def test_a_picture_that_is_moved_a_little_to_the_side_is_alike() -> None:
    wide = np.random.default_rng(0).normal(size=(1, SIDE, SIDE + 8, 3)).astype(np.float32)
    here = wide[:, :, 4 : 4 + SIDE]
    moved = np.concatenate([wide[:, :, by : by + SIDE] for by in range(9)])  # by -4 to 4 places
    found = likeness(here, moved)
    assert found[1:8] == pytest.approx(1.0)
    assert found[[0, 8]].max() < 0.5
    assert likeness(here, -here)[0] < 0.5


class Asked:
    """Counts what it is asked; says yes to bright pictures."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []

    def chances(self, frames, question: str, answers):
        self.batches.append((question, len(frames)))
        assert answers == ("yes", "no")
        return np.array([(frame.mean() / 255, 1 - frame.mean() / 255) for frame in frames])


def test_the_judge_is_asked_once_about_a_picture_and_in_batches() -> None:
    judge = Asked()
    measure = Judgement(Remembered(judge=judge), (Goal("find the door"), Goal("find the door"), Goal("Is it dark?")))
    a, b = WORLD.step(WORLD.reset([SCENE] * 2, [1, 2]), [Action("", yaw=3.0)] * 2)
    first = measure([a, b, a])
    assert list(measure([a, b, a])) == list(first)
    assert judge.batches == [(question_of("find the door"), 2), ("Is it dark?", 1)]
    assert first[0] == pytest.approx(a.frame.mean() / 255)
