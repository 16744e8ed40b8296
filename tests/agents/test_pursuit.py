"""Goals in the true simulator, and who reaches them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.__main__ import main
from agents.pursuit import Alone
from agents.simple import ScriptedAgent


def test_every_episode_has_an_agent_of_its_own_whose_choices_are_numbers_of_the_scene() -> None:
    player = Alone(lambda number: ScriptedAgent([number, 1 - number]), np.array([3, 7]))

    def seen(*numbers: int) -> list[dict[str, Any]]:
        return [{"number": number, "info": {}} for number in numbers]

    assert player.act_all(seen(0, 1)).tolist() == [3, 7]
    assert player.act_all(seen(1)).tolist() == [3]
    assert player.act_all(seen(0, 1)).tolist() == [7, 7]


@pytest.mark.gl
def test_a_planner_that_thinks_with_the_truth_is_ahead_of_chance(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--episodes", "2", "--limit", "4", "--depth", "2", "--width", "2", "--dreams", "sim"]
    assert main(["pursue", "--scene", "studio", *flags]) == 0
    chance, planner = capsys.readouterr().out.splitlines()[-2:]
    assert chance.split()[:2] == ["chance", "0.00"]
    assert planner.split()[:4] == ["planner,", "sim,", "pixels", "1.00"]


def test_a_picture_has_no_truth_to_pursue_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pursue", "--scene", "scenes/garden/pond.png", "--episodes", "1"]) == 2
    assert "is a picture, not a built scene" in capsys.readouterr().err
