"""A model that walks back to a remembered place reads the picture of that place again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bagel.config import WalkConfig
from bagel.weights import load
from bagel.world_model import BagelWorldModel
from world.types import Action, Pose, Scene, Start

WALK = WalkConfig(history=3, preset="walk", recall=True)
AIMS = replace(WALK, prompt="{scene} {aim}: {action}", scenes=("hall vase",))


def walked(golden: Path, walk: WalkConfig) -> BagelWorldModel:
    checkpoint = load(golden)
    return BagelWorldModel(replace(checkpoint, config=replace(checkpoint.config, walk=walk)), "golden")


@pytest.fixture
def model(golden: Path) -> BagelWorldModel:
    return walked(golden, WALK)


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    return Scene("", "", (Start("vase", Pose(), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)),))


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


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that were read since it was last cleared."""
    said, words = [], WalkConfig.words

    def listen(walk: WalkConfig, scene: str, action: Action, pose: Pose | None) -> str:
        said.append(words(walk, scene, action, pose))
        return said[-1]

    monkeypatch.setattr(WalkConfig, "words", listen)
    return said


def test_a_past_read_again_tells_where_each_move_led(golden: Path, scene: Scene, heard: list[str]) -> None:
    model = walked(golden, replace(AIMS, recall=False, history=4))
    start = replace(scene.starts[0], pose=Pose(1.0, 2.0, 172.5, -10.0, 0.25))
    [state] = model.reset([replace(scene, name="hall", starts=(start,), simulated=True)], [3])
    moves = {action.name: action for action in scene.actions}
    for name in ("left", "up", "forward"):
        [state] = model.step([state], [moves[name]])
    [warm] = model.step([state], [moves["object_right"]])
    told = list(heard)
    assert told == [
        "hall vase x+100 y+200 yaw188 pitch-10 object000: turn left",
        "hall vase x+100 y+200 yaw188 pitch+00 object000: look up",
        "hall vase x+070 y+196 yaw188 pitch+00 object000: move forward",
        "hall vase x+070 y+196 yaw188 pitch+00 object345: rotate the object right",
    ]
    heard.clear()
    [cold] = BagelWorldModel(model.checkpoint, "golden").step([state], [moves["object_right"]])
    assert sorted(heard) == sorted(told)
    assert np.abs(warm.frame.astype(int) - cold.frame).max() <= 2


def test_what_is_no_known_place_has_neither_aim_nor_name(golden: Path, scene: Scene, heard: list[str]) -> None:
    model = walked(golden, AIMS)
    model.step(model.reset([replace(scene, name="photo")], [3]), scene.actions[:1])
    assert heard == [scene.actions[0].text]
    heard.clear()
    model.step(model.reset([replace(scene, name="attic", simulated=True)], [3]), scene.actions[:1])  # not trained in
    assert heard == [scene.actions[0].text]


def test_a_place_tells_where_one_goes_from_there(golden: Path, scene: Scene, heard: list[str]) -> None:
    model = walked(golden, AIMS)
    left, right = (next(a for a in scene.actions if a.name == name) for name in ("left", "right"))
    [state] = model.reset([replace(scene, name="hall", simulated=True)], [3])
    for _ in range(2):
        [state] = model.step([state], [left])
    state = replace(state, frames=state.frames[-1:], actions=(), memory=state.memory[-1:])
    heard.clear()
    [after] = model.step([state], [right])
    assert sorted(heard) == [
        "hall vase x+000 y+000 yaw015 pitch+00 object000: turn right",
        "hall vase x+000 y+000 yaw030 pitch+00 object000: turn left",
    ]
    near = replace(state, pose=replace(state.pose, yaw=state.pose.yaw + 0.7))
    [warm], [cold] = (m.step([near], [right]) for m in (model, BagelWorldModel(model.checkpoint, "golden")))
    assert np.abs(warm.frame.astype(int) - cold.frame).max() <= 2
    assert sorted(heard[-3:]) == [
        *["hall vase x+000 y+000 yaw016 pitch+00 object000: turn right"] * 2,
        "hall vase x+000 y+000 yaw030 pitch+00 object000: turn left",
    ]
    assert after.actions == (right,)


def test_words_alone_have_more_of_a_picture_the_longer_ago_a_true_one_was(golden: Path, scene: Scene) -> None:
    free, held = (walked(golden, replace(AIMS, anchor=anchor, recall=False)) for anchor in (0.0, 1.0))
    left = scene.actions[3]
    known = replace(scene, name="hall", simulated=True)
    first = [model.step(model.reset([known], [3]), [left])[0] for model in (free, held)]
    assert np.array_equal(first[0].frame, first[1].frame)  # after a true picture
    [state] = first[1:]
    freely, half = (model.step([state], [left])[0].frame.astype(int) for model in (free, held))
    late = replace(state, step=10**9)
    dark = replace(late, memory=tuple(map(np.zeros_like, late.memory)))
    true = replace(late, memory=())  # frames that were not drawn here
    plain = [model.step([true], [left])[0].frame.astype(int) for model in (free, held)]
    assert np.abs(plain[0] - plain[1]).max() <= 1
    frames = [held.step([s], [left])[0].frame.astype(int) for s in (late, dark)]
    assert np.abs(frames[0] - frames[1]).max() <= 1  # no past is seen
    assert np.abs(half - freely).max() > 2
    far = replace(state, pose=Pose(x=5.0))  # cannot be told
    ends = [model.step([far], [left])[0].frame.astype(int) for model in (free, held)]
    assert np.abs(ends[0] - ends[1]).max() <= 1
    elsewhere = replace(scene, name="attic", simulated=True)
    moved = [model.step(model.step(model.reset([elsewhere], [3]), [left]), [left])[0] for model in (free, held)]
    assert np.array_equal(moved[0].frame, moved[1].frame)
