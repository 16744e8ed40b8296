from __future__ import annotations

import pytest

from tests.world.conftest import Serve
from world.__main__ import main
from world.link_bench import BLOCKS, Panorama, compared, panorama_scene
from world.testing import check_world_model


def test_the_panorama_is_a_world() -> None:
    check_world_model(Panorama(), panorama_scene(16), tolerance=0)


def test_both_sides_make_as_many_steps(serve: Serve) -> None:
    result = compared(Panorama(), serve(Panorama()).client(), panorama_scene(32), rows=2, steps=2 * BLOCKS)
    assert len(result.here) == len(result.there) == 2 * BLOCKS
    assert result.cost > 0
    assert 0 < result.share < 1


def test_the_bench_tells_what_the_link_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", "none", "--steps", str(BLOCKS)]) == 0
    told = capsys.readouterr().out
    assert "256 x 256" in told
    assert "512 x 512" in told
    assert main(["bench", "--model", "nowhere"]) == 2
