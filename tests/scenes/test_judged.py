"""Tasks judged in a dream, held against the simulator's poses."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bagel.tiny import TINY
from scenes import judged
from scenes.dreaming import CopyLastFrame
from scenes.estimates import ALL, Figures
from scenes.evaluate import of_task
from scenes.judged import Attempts
from scenes.library import load_things
from scenes.simulator import SimulatorWorld
from scenes.trial import SUITES, Trial
from world import models
from world.episodes import Episodes
from world.tasks import TaskSettings
from world.types import Scene, WorldModel, wrap

TURN = TaskSettings("RotateObject", judged_by="picture")


@pytest.fixture(scope="module")
def truth() -> Iterator[SimulatorWorld]:
    world = SimulatorWorld(32)
    yield world
    world.close()


@pytest.fixture(scope="module")
def tabletop() -> Scene:
    return models.load_scene("tabletop")


@pytest.fixture(scope="module")
def turned(truth: SimulatorWorld, tabletop: Scene) -> list[Attempts]:
    return judged.attempts(truth, [models.load_scene("studio"), tabletop], TURN, 4)


def values(model: WorldModel, tried: list[Attempts]) -> dict[str, float]:
    figures: Figures = judged.measure(model, tried)
    return {key: row[ALL].value for key, row in figures.items()}


@pytest.mark.gl
def test_scenes_that_have_nothing_for_the_task_are_left_out(turned: list[Attempts], truth: SimulatorWorld) -> None:
    assert [tried.scene.name for tried in turned] == ["tabletop"]
    assert 0 < turned[0].done.mean() < 1  # walks lead away from the goal, and back
    with pytest.raises(ValueError, match="nothing to turn"):
        judged.attempts(truth, [models.load_scene("studio")], TURN, 2)


@pytest.mark.gl
def test_true_pictures_are_judged_better_than_a_world_in_which_nothing_moves(
    turned: list[Attempts], truth: SimulatorWorld
) -> None:
    true, still = values(truth, turned), values(CopyLastFrame(), turned)
    assert true["task_auc"] == true["task_auc_true"] > 0.8
    assert true["task_reward_kept"] == pytest.approx(1.0)
    assert still["task_reward"] == still["task_reward_kept"] == 0.0  # it earns the same whatever is done
    assert still["task_auc"] == 0.5  # what it shows is as good as the goal, always
    assert still["task_auc_true"] == true["task_auc_true"]


@pytest.mark.gl
def test_poses_that_add_up_are_true_where_nothing_is_in_the_way(turned: list[Attempts]) -> None:
    by_pose = [replace(tried, settings=TaskSettings("RotateObject")) for tried in turned]
    assert values(CopyLastFrame(), by_pose) == pytest.approx({"task_reward": 1.0, "task_verdict": 1.0})


@pytest.mark.gl
@pytest.mark.parametrize("scene", ["studio", "gallery", "garden", "tabletop"])
def test_whoever_is_put_before_a_thing_has_found_it(truth: SimulatorWorld, scene: str) -> None:
    episodes = Episodes(truth, TaskSettings("FindObject"))
    begun = episodes.begin([models.load_scene(scene)] * 3, [np.random.default_rng(i) for i in range(3)])
    for thing, episode in product(load_things(scene), begun):
        there = judged.at_goal(replace(episode, goal=replace(episode.goal, thing=thing)), truth).state
        assert truth.is_free(there.scene, there.pose)
        toward = math.degrees(math.atan2(thing.y - there.pose.y, thing.x - there.pose.x))
        assert math.hypot(thing.x - there.pose.x, thing.y - there.pose.y) == pytest.approx(2.2)
        assert abs(wrap(toward - there.pose.yaw)) < 1e-6
        back, name = replace(there.pose, yaw=there.pose.yaw + 20), thing.words.removeprefix("the ")
        before, beside = (sights.get(name) for sights in truth.sights(there.scene, [there.pose, back]))
        assert before is None or before.reached is True
        assert beside is None or beside.reached is False


@pytest.mark.gl
def test_what_is_new_is_judged_without_a_verdict(truth: SimulatorWorld, tabletop: Scene) -> None:
    found = values(truth, judged.attempts(truth, [tabletop], TaskSettings("Explore"), 2))
    assert found.keys() == {"task_reward", "task_reward_kept", "task_reward_true"}


@pytest.mark.gl
def test_a_judge_that_cannot_answer_is_told_in_words(truth: SimulatorWorld, tabletop: Scene, tmp_path: Path) -> None:
    mute = Path(shutil.copytree(TINY, tmp_path / "mute"))
    config = json.loads((mute / "bagel_config.json").read_text())
    config["walk"]["ask"] = False
    (mute / "bagel_config.json").write_text(json.dumps(config))
    settings = TaskSettings("FindObject", judged_by="judge", eyes=str(mute))
    tried = judged.attempts(truth, [tabletop], settings, 1)
    nothing = Trial(SUITES["guard"], (), (), {}, (), (), (), (), tuple(tried))
    figures, notes = of_task(truth, nothing, lambda text: None)
    assert figures == {}
    assert "not learned to answer" in notes[0]


def test_pictures_have_no_true_poses() -> None:
    photo = Scene("harbour", "", models.load_scene("studio").starts)
    with pytest.raises(ValueError, match="pictures have none"):
        judged.attempts(SimulatorWorld(32), [photo], TURN, 2)
    assert judged.measure(CopyLastFrame(), []) == {}
