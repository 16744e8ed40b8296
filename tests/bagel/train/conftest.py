"""Configs as small as they go, and a world of rolling stripes that is quickly learnt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bagel.tiny import TINY
from world.types import Frame

SMALL = {
    "llm_config.json": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "vit_config.json": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "ae_config.json": {"ch": 4, "ch_mult": [1, 1, 1, 1], "norm_groups": 2},
}
ROLLS = {"stay": 0, "turn left": 8, "turn right": -8}  # pixels that a frame of stripes rolls


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped config, as small as it goes."""
    directory = tmp_path / "config"
    directory.mkdir()
    for path in [*TINY.glob("*.json"), TINY / "merges.txt"]:
        shutil.copy(path, directory)
    for name, sizes in SMALL.items():
        path = directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | sizes))
    return directory


@pytest.fixture
def smaller(config: Path) -> Path:
    """... for pictures of 32 x 32, three of them in context."""
    path = config / "bagel_config.json"
    found = json.loads(path.read_text())
    found["walk"] |= {"frame_size": [32, 32], "history": 3}
    path.write_text(json.dumps(found))
    return config


def stripes(words: list[str], seed: int = 0) -> Frame:
    """What is seen on a walk with those moves, [T + 1, 40, 40, 3]."""
    column = np.random.default_rng(seed).integers(0, 2, (1, 5, 3), np.uint8) * 200 + 25
    frame = np.broadcast_to(column.repeat(8, 1), (40, 40, 3))
    turned = np.cumsum([0, *(ROLLS[text] for text in words)])
    return np.stack([np.roll(frame, turn, 1) for turn in turned])
