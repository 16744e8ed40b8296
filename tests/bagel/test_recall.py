"""A model that walks back to a remembered place reads the picture of that place again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bagel.config import WalkConfig
from bagel.weights import load
from bagel.world_model import BagelWorldModel
from world.types import Pose, Scene, Start

WALK = WalkConfig(history=3, preset="walk", recall=True)


@pytest.fixture
def model(golden: Path) -> BagelWorldModel:
    checkpoint = load(golden)
    return BagelWorldModel(replace(checkpoint, config=replace(checkpoint.config, walk=WALK)), "golden")


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    return Scene("", "", (Start("start", Pose(), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)),))


def test_the_way_back_is_drawn_from_the_place_and_the_newest_picture(model: BagelWorldModel, scene: Scene) -> None:
    left, right, forward = (next(a for a in scene.actions if a.name == name) for name in ("left", "right", "forward"))
    [state] = model.reset([scene], [3])
    for _ in range(2):
        [state] = model.step([state], [left])
    assert [place.pose.yaw for place in state.places] == [0.0, 15.0]
    state = replace(state, frames=state.frames[-1:], actions=(), memory=state.memory[-1:])  # a context begun anew
    frames, newest = (state.places[1].frame, state.frame), state.memory[-1]
    [seen] = model.step(model.reset([scene.starting_at(state.places[1])], [0]), [left])
    told = replace(state, frames=frames, actions=(left,), memory=(seen.memory[0], newest), places=())
    [expected] = model.step([told], [right])
    after, _ = model.step([state, state], [right, forward])
    assert np.abs(after.frame.astype(int) - expected.frame).max() <= 2
    assert np.array_equal(after.frames[0], state.frame)  # the past of its own
    assert np.array_equal(after.memory[0], newest)
    [forgetful] = model.step([replace(state, places=())], [right])
    assert np.abs(forgetful.frame.astype(int) - after.frame).max() > 2
    [again] = model.step([after], [forward])
    [cold] = BagelWorldModel(model.checkpoint, "golden").step([after], [forward])
    assert np.abs(again.frame.astype(int) - cold.frame).max() <= 2
