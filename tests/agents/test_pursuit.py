"""Goals in the true simulator, and who reaches them."""

from __future__ import annotations

import pytest

from agents.__main__ import main
from agents.pursuit import Score, pursue, there, trials
from agents.simple import ScriptedAgent
from scenes.simulator import SimulatorWorld
from world import models
from world.types import Pose


def test_a_place_is_reached_within_a_step_and_a_turn() -> None:
    assert there(Pose(0.3, 0.3, 175.0), Pose(0.0, 0.0, -170.0))
    assert not there(Pose(0.5, 0.0, 0.0), Pose())
    assert not there(Pose(0.0, 0.0, 30.0), Pose())


def test_a_detour_costs_path_length_and_a_failure_everything() -> None:
    assert Score(True, 8, 4, 0.0).spl == 0.5
    assert Score(True, 2, 4, 0.0).spl == 1.0
    assert Score(False, 4, 4, 0.5).spl == 0.0


@pytest.mark.gl
def test_goals_repeat_under_their_seeds_and_begin_somewhere_else() -> None:
    truth = SimulatorWorld(32)
    scene = models.load_scene("studio")
    first, again = trials(truth, scene, 2, 3), trials(truth, scene, 2, 3)
    assert [t.goal.pose for t in first] == [t.goal.pose for t in again]
    assert not any(there(t.scene.starts[0].pose, t.goal.pose) for t in first)
    score = pursue(truth, first[0], ScriptedAgent([0]), steps=3)
    truth.close()
    assert (score.reached, score.moves) == (False, 3)


@pytest.mark.gl
def test_a_planner_that_thinks_with_the_truth_reaches_every_near_goal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--trials", "2", "--way", "2", "--steps", "2", "--depth", "2", "--width", "2", "--dreams", "sim"]
    assert main(["pursue", "--scene", "studio", *flags]) == 0
    lines = {line.split("  ")[0].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert "1.00 [1.00, 1.00]" in lines["planner, sim, pixels"]
    assert "random" in lines


def test_a_picture_has_no_truth_to_pursue_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pursue", "--scene", "scenes/garden/pond.png", "--trials", "1"]) == 2
    assert "is a picture, not a built scene" in capsys.readouterr().err
