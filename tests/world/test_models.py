from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.toy_world import toy_scene
from world import models
from world.errors import ModelError
from world.types import Action, Pose

ROOT = Path(__file__).parents[2]


def test_an_address_that_is_nowhere_is_named_with_what_there_is() -> None:
    with pytest.raises(ModelError, match="no model at 'tinny': use tiny, sim or a checkpoint directory"):
        models.load("tinny")


def test_a_file_is_not_a_checkpoint_directory(tmp_path: Path) -> None:
    path = tmp_path / "ema.safetensors"
    path.touch()
    with pytest.raises(ModelError, match="is a file: use tiny, sim or the directory that holds the checkpoint"):
        models.load(str(path))


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "mujoco.no_such_module:load")
    with pytest.raises(ModelError, match=r"pip install -e '.\[sim\]'"):
        models.load("toy")


def test_any_directory_is_taken_for_a_checkpoint(tmp_path: Path) -> None:
    assert models.entry_of(str(tmp_path)) == models.DIRECTORY


def test_in_a_picture_nothing_stands_in_the_way_and_no_scene_is_asked() -> None:
    photo, forward = toy_scene("photo"), Action("", forward=9.0)
    assert models.reckon(photo, Pose(), forward) == Pose(x=9.0)
    assert not models.has_plan(photo)
    code = """
import sys
from tests.world.toy_world import toy_scene
from world import models
from world.types import Action, Pose
models.reckon(toy_scene(), Pose(), Action("", forward=9.0))
models.has_plan(toy_scene())
print(*(name for name in sys.modules if name.partition(".")[0] == "scenes"))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
