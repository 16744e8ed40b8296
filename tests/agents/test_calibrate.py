from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.__main__ import main
from agents.calibrate import auc, best_threshold, calibrate, calibration_error, logistic
from scenes.simulator import SimulatorWorld
from world.models import load_scene
from world.tasks import TaskSettings

RNG = np.random.default_rng(0)


def test_a_measure_that_knows_everything_has_an_area_of_one() -> None:
    truth = np.array([False, False, True, True])
    assert auc(np.array([0.1, 0.2, 0.8, 0.9]), truth) == 1.0
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), truth) == 0.0
    assert auc(np.full(4, 0.5), truth) == 0.5
    assert best_threshold(np.array([0.1, 0.2, 0.8, 0.9]), truth) == pytest.approx(0.5)


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
    command = ["calibrate", "--task", "RotateObject", "--scene", "tabletop", "--walks", "8", "--out", str(out)]
    assert main(command) == 0
    found = json.loads(out.read_text())["RotateObject pixels"]
    assert found["num"] == 48
    assert 0.8 < found["auc"] <= 1.0
    assert "48 pictures" in capsys.readouterr().out


@pytest.mark.gl
def test_the_judge_is_calibrated_too() -> None:
    """An untrained judge: that it is asked and held against the truth is what is tested, not what it knows."""
    settings = TaskSettings("FindObject", judged_by="judge", eyes="tests/golden/a")
    world = SimulatorWorld(64)
    found = calibrate(world, load_scene("gallery"), settings, 8)
    world.close()
    assert 0.0 <= found.auc <= 1.0
    assert 0.0 < found.threshold < 1.0
    assert 0.0 < found.share < 1.0


def test_what_cannot_be_calibrated_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--walks", "4"]) == 2
    assert "at least 8 walks" in capsys.readouterr().err
    assert main(["calibrate", "--task", "FindObject"]) == 2
    assert "pixels cannot judge" in capsys.readouterr().err
    with pytest.raises(ValueError, match="calibrate what ends a task by what is seen"):
        calibrate(SimulatorWorld(), load_scene("gallery"), TaskSettings("ReachGoal", judged_by="pose"), 8)
