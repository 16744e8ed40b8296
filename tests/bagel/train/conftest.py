"""Configs as small as they go, and a world of rolling stripes that is quickly learnt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from agents.dataset import Kind, write_minari
from agents.episode import Episode
from bagel.tiny import TINY
from world.types import Frame

SMALL = {
    "llm_config.json": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "vit_config.json": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
    "ae_config.json": {"ch": 4, "ch_mult": [1, 1, 1, 1], "norm_groups": 2},
}
ROLLS = {"stay": 0, "turn left": 8, "turn right": -8}  # pixels that a frame of stripes rolls
MOVES = list(ROLLS)


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


def walk(length: int, seed: int) -> list[str]:
    return [MOVES[i] for i in np.random.default_rng(seed).integers(0, 3, length)]


def write(root: Path, lengths: list[int], actions: spaces.Space[Any], of: Any, told: bool = False) -> Path:
    """A Minari dataset with such actions, `of` making one from words; `told` keeps the words beside them."""

    def episode(seed: int, length: int) -> Episode:
        words = walk(length, seed)
        arrays = {"observations": stripes(words), "actions": np.array([of(text) for text in words])}
        arrays |= {"rewards": np.zeros(length)} | dict.fromkeys(("terminations", "truncations"), np.zeros(length, bool))
        return Episode(seed, arrays | ({"infos/action": np.array(["", *words])} if told else {}))

    root.mkdir(parents=True)
    kind = Kind(spaces.Box(0, 255, (40, 40, 3), np.uint8), actions, None, "somebody", "stripes")
    write_minari(root / "data", "stripes-v0", (episode(i, n) for i, n in enumerate(lengths)), kind)
    return root


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    """Four of them, with words."""
    return write(tmp_path / "stripes", [9, 9, 12, 20], spaces.Discrete(3), MOVES.index, told=True)
