"""Goals in the true simulator, and who reaches them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.__main__ import main
from agents.pursuit import Alone
from agents.simple import ScriptedAgent


def test_every_episode_has_an_agent_of_its_own_whose_choices_are_numbers_of_the_scene() -> None:
    told: list[str] = []
    player = Alone(lambda number: ScriptedAgent([number, 1 - number]), np.array([3, 7]), told.append)

    def seen(*numbers: int) -> list[dict[str, Any]]:
        return [{"number": number, "info": {"step": 4}} for number in numbers]

    assert player.act_all(seen(0, 1)).tolist() == [3, 7]
    assert told == ["move 5 of episode 1", "move 5 of episode 2"]
    assert player.act_all(seen(1)).tolist() == [3]
    assert player.act_all(seen(0, 1)).tolist() == [7, 7]


def pursued(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, list[float]]:
    """Success, SPL, moves and way of each agent."""
    assert main(["pursue", "--scene", "gallery", "--dreams", "sim", *flags]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines()[0].endswith(" s: chance")
    rows = [line.strip().split("  ") for line in told.out.splitlines()[-2:]]
    return {name: [float(cell.split()[0]) for cell in cells if cell] for name, *cells in rows}


@pytest.mark.gl
def test_chance_and_a_planner_play_the_same_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    found = pursued(capsys, "--episodes", "2", "--limit", "1", "--depth", "1", "--width", "1")
    assert list(found) == ["chance", "planner, sim, pixels"]
    for success, spl, moves, way in found.values():
        assert (success, spl, moves) == (0.0, 0.0, 1.0)  # nobody is there after a single move
        assert 0.0 <= way <= 0.3


@pytest.mark.gl
@pytest.mark.slow
def test_a_planner_that_thinks_with_the_truth_leaves_chance_behind(capsys: pytest.CaptureFixture[str]) -> None:
    found = pursued(capsys, "--episodes", "10", "--limit", "8", "--depth", "3", "--width", "3")
    assert found["planner, sim, pixels"][0] >= 2 * found["chance"][0]
    assert found["planner, sim, pixels"][0] >= 0.5


def test_a_picture_has_no_truth_to_pursue_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pursue", "--scene", "scenes/garden/pond.png", "--episodes", "1"]) == 2
    assert "is a picture, not a built scene" in capsys.readouterr().err
