"""Random walks look like somebody strolling: runs, glances that come back, only moves that the scene has."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scenes.library import load_scene
from world.types import Action, Pose, Scene, wrap
from world.walks import Stroll, bumped, onlook, random_actions


def test_a_walk_has_the_asked_length_and_repeats_with_its_seed() -> None:
    scene = load_scene("studio")
    walks = [random_actions(np.random.default_rng(3), scene, 40) for _ in range(2)]
    assert walks[0] == walks[1]
    assert len(walks[0]) == 40


def test_all_moves_occur_and_no_other() -> None:
    for name in ("studio", "tabletop"):
        scene = load_scene(name)
        assert set(random_actions(np.random.default_rng(0), scene, 3000)) == set(scene.actions)


def test_moves_have_momentum() -> None:
    actions = random_actions(np.random.default_rng(0), load_scene("studio"), 3000)
    assert np.mean([a == b for a, b in pairwise(actions)]) > 0.5


def test_glances_come_back_to_level() -> None:
    scene = load_scene("garden")
    for seed in range(20):
        pitch = np.cumsum([a.pitch for a in random_actions(np.random.default_rng(seed), scene, 300)])
        assert np.abs(pitch).max() <= 50
        assert np.mean(pitch == 0) > 0.3


def test_a_scene_without_known_moves_says_so() -> None:
    scene = load_scene("studio")
    strange = Scene("moon", "", scene.starts, (Action("fly", "fly"),))
    with pytest.raises(ValueError, match="fly"):
        random_actions(np.random.default_rng(0), strange, 3)


def test_who_bumps_into_something_turns_away() -> None:
    stroll = Stroll(np.random.default_rng(0), load_scene("studio"))
    turns = [stroll.next(bumped=True).name, *(stroll.next().name for _ in range(2))]
    assert turns in (["left"] * 3, ["right"] * 3)


def test_an_onlooker_mostly_faces_the_object_and_turns_it_in_every_fifth_step() -> None:
    rng, scene = np.random.default_rng(0), load_scene("tabletop")
    named = {action.name: action for action in scene.actions}
    stroll, pose, names, faced = Stroll(rng, scene), Pose(x=1.0, y=-1.0), [], []
    for _ in range(2000):
        action = named[onlook(rng, pose) or stroll.next().name]
        pose = replace(pose.moved(action), x=1.0, y=-1.0)
        names.append(action.name)
        faced.append(abs(wrap(135 - pose.yaw)) < 60)
    assert np.mean(faced) > 0.7  # of the circle it is a third
    assert np.mean([name.startswith("object") for name in names]) > 0.2


def test_a_bump_is_less_than_half_of_the_way() -> None:
    forward, turn = Action("move forward", "forward", forward=0.3), Action("turn left", "left", yaw=15)
    assert bumped(Pose(), forward, Pose(x=0.1))
    assert not bumped(Pose(), forward, Pose(x=0.3))
    assert not bumped(Pose(), turn, Pose(yaw=15))
