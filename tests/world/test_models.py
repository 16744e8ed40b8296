from __future__ import annotations

from pathlib import Path

import pytest

from world import models
from world.errors import ModelError


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
