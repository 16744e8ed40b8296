from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.world.toy_world import ToyWorld, toy_scene
from world.gauges import resident_bytes
from world.shelf import Shelf
from world.types import Action, State


def walk(num_steps: int, size: int = 48) -> list[State]:
    world = ToyWorld()
    states = world.reset([toy_scene(size=size)], [1])
    for i in range(num_steps):
        states += world.step(states[-1:], [Action("go", "go", yaw=float(i))])
    return states


@pytest.fixture
def spill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_comes_back_from_disk_is_what_was_put() -> None:
    states = [*walk(9), walk(1)[-1]]
    states[4] = State(**{**vars(states[4]), "memory": (np.arange(6, dtype=np.float16).reshape(2, 3),)})
    states[6] = State(**{**vars(states[6]), "places": states[6].scene.starts})
    states[5] = State(**{**vars(states[5]), "origins": (states[3].pose, states[4].pose)})
    shelf = Shelf(in_memory=2)
    for key, state in enumerate(states):
        shelf.put(key, state)
    for key in (0, 9, 4, 3, 0, 6, 5, 4):
        assert shelf.state(key).digest() == states[key].digest()
        assert np.array_equal(shelf.frame(key), states[key].frame)
    assert shelf.frame(1).flags.writeable  # as any other array: models hand it on
    shelf.close()


def test_the_walk_goes_on_from_a_state_that_was_on_disk_as_from_the_one_before() -> None:
    states, shelf = walk(3), Shelf(in_memory=1)
    for key, state in enumerate(states):
        shelf.put(key, state)
    [new] = ToyWorld().step([shelf.state(1)], [Action("go", "go", yaw=1.0)])
    assert new.digest() == states[2].digest()
    shelf.close()


def test_memory_stays_within_bounds_over_two_thousand_states() -> None:
    [state] = walk(0, size=128)
    shelf = Shelf(in_memory=8)
    before = resident_bytes()
    rng = np.random.default_rng(0)
    for key in range(2000):
        frame = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        shelf.put(key, State(state.scene, (frame,), (), state.pose, 1, key))
    after = resident_bytes()
    assert shelf.state(0).step == 0
    shelf.close()
    if before is None or after is None:
        pytest.skip("this system does not tell")
    assert after - before < 20e6  # all frames are 98 MB


def test_a_frame_that_many_states_share_is_written_once(spill: Path) -> None:
    states, shelf = walk(20), Shelf(in_memory=1)
    for key, state in enumerate(states):
        shelf.put(key, state)
    assert os.fstat(shelf._file.fileno()).st_size == 20 * states[0].frame.nbytes
    assert list(spill.iterdir()) == []  # a crash leaves nothing behind
    shelf.close()


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of a file's size")
def test_a_full_disk_is_told_and_costs_no_state() -> None:
    import resource

    states, shelf = walk(3), Shelf(in_memory=1)
    shelf.put(0, states[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (states[0].frame.nbytes // 2, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            shelf.put(1, states[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    shelf.put(2, states[2])
    assert [shelf.state(key).digest() for key in range(3)] == [state.digest() for state in states[:3]]
    shelf.close()


def test_a_shelf_needs_room_for_one() -> None:
    with pytest.raises(ValueError, match="at least one state"):
        Shelf(in_memory=0)
    shelf = Shelf()
    with pytest.raises(KeyError):
        shelf.state(0)
    shelf.close()
    shelf.close()
