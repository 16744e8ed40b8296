from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.__main__ import main
from agents.calibrate import (
    Calibration,
    Sample,
    Walks,
    auc,
    best_threshold,
    calibrate,
    calibration_error,
    logistic,
    walked,
)
from scenes.library import calibration_path, load_things, scene_names
from scenes.simulator import SimulatorWorld
from world.models import load_scene
from world.tasks import TaskSettings

RNG = np.random.default_rng(0)
FIELDS = Calibration.__dataclass_fields__


def test_a_measure_that_knows_everything_has_an_area_of_one() -> None:
    truth = np.array([False, False, True, True])
    assert auc(np.array([0.1, 0.2, 0.8, 0.9]), truth) == 1.0
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), truth) == 0.0
    assert auc(np.full(4, 0.5), truth) == 0.5
    assert best_threshold(Sample(np.array([0.1, 0.2, 0.8, 0.9]), truth, np.arange(4), ~truth)) == pytest.approx(0.5)


def test_a_threshold_lets_one_walk_in_twenty_end_where_the_goal_is_not() -> None:
    """F1 alone would take the lowest value at the goal, 0.5, from which on a quarter of all walks end falsely."""
    afar, near = np.linspace(0.0, 0.66, 400), np.linspace(0.5, 1.0, 400)
    walks = np.r_[np.arange(400), np.arange(400)]
    sample = Sample(np.r_[afar, near], np.arange(800) >= 400, walks, np.arange(800) < 400)
    threshold = best_threshold(sample)
    assert (sample.false_peaks() >= threshold).mean() == pytest.approx(0.05, abs=0.01)
    assert 0.6 < threshold < 0.66


def test_probabilities_made_from_a_measure_are_those_that_made_the_truth() -> None:
    values = RNG.uniform(-1, 1, 4000)
    chances = 1 / (1 + np.exp(-(0.5 + 3.0 * values)))
    truth = RNG.random(4000) < chances
    offset, slope = logistic(values, truth)
    assert offset == pytest.approx(0.5, abs=0.15)
    assert slope == pytest.approx(3.0, abs=0.3)
    assert calibration_error(chances, truth) < 0.03
    assert calibration_error(np.ones(4000), truth) == pytest.approx(1 - truth.mean())


@pytest.mark.gl
def test_likeness_is_calibrated_and_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "calibration.json"
    command = ["calibrate", "--task", "RotateObject", "--scene", "tabletop", "--walks", "8"]
    assert main([*command, "--eyes", "pixels", "--out", str(out)]) == 0
    found = json.loads(out.read_text())["RotateObject pixels"]
    assert found["num"] == 8 * (12 + 6)
    assert 0.8 < found["auc"] <= 1.0
    assert "| tabletop | RotateObject | pixels |" in capsys.readouterr().out


@pytest.mark.gl
def test_the_judge_is_calibrated_too() -> None:
    """An untrained judge: that it is asked and held against the truth is what is tested, not what it knows."""
    settings = TaskSettings("FindObject", judged_by="judge", eyes="tests/golden/a")
    world = SimulatorWorld(64)
    found = calibrate(world, walked(world, load_scene("gallery"), "FindObject", 8), settings)
    world.close()
    assert 0.0 <= found.auc <= 1.0
    assert 0.0 < found.threshold < 1.0
    assert 0.0 < found.share < 1.0


@pytest.mark.gl
def test_what_cannot_be_calibrated_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    one = ["calibrate", "--scene", "gallery", "--task"]
    assert main([*one, "ReachGoal", "--walks", "4"]) == 2
    assert "at least 8 walks" in capsys.readouterr().err
    assert main([*one, "FindObject", "--eyes", "pixels"]) == 2
    assert "pixels cannot judge" in capsys.readouterr().err
    assert main([*one, "RotateObject"]) == 2
    assert "there is nothing to turn" in capsys.readouterr().err
    assert main(["calibrate", "--out", "all.json"]) == 2
    assert "a file is about one scene" in capsys.readouterr().err
    world = SimulatorWorld(64)
    walks = Walks("ReachGoal", (), (), np.zeros((0, 0), bool))
    with pytest.raises(ValueError, match="calibrate what ends a task by what is seen"):
        calibrate(world, walks, TaskSettings("ReachGoal"))
    world.close()


def test_every_scene_ships_what_its_measures_are_worth_and_the_page_tells_it() -> None:
    """As `python -m agents calibrate` leaves and prints them: whoever changes a measure makes them anew."""
    page = Path("agents/LEARNING.md").read_text(encoding="utf-8").replace(" ", "")
    for scene in scene_names():
        wanted = {"ReachGoal pixels", "ReachGoal tiny"}
        wanted |= {"FindObject judge tiny"} if load_things(scene) else set()
        turns = any(action.object_yaw for action in load_scene(scene).actions)
        wanted |= {"RotateObject pixels", "RotateObject tiny"} if turns else set()
        shipped = json.loads(calibration_path(scene).read_text(encoding="utf-8"))
        assert shipped.keys() == wanted, scene
        for name, found in shipped.items():
            assert found["model"] == "sim"
            assert found["auc"] > 0.8, (scene, name)
            assert 0 < found["threshold"] <= 1
            cells = (
                f"{found[field]:.3f}" if isinstance(found[field], float) else str(found[field]) for field in FIELDS
            )
            task, *_, eyes = name.split()
            assert "|".join(("", scene, task, eyes, *cells, "")) in page, (scene, name)
