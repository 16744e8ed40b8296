"""From an address to a WorldModel, from a name to a Scene: tables of "module:function", imported when asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from world.errors import ModelError
from world.settings import SamplerConfig
from world.types import Scene, WorldModel

MODELS = {
    "tiny": "bagel.world_model:load_tiny",
    "sim": "scenes.simulator:load",
}
DIRECTORY = "bagel.world_model:load_directory"  # any checkpoint directory in the release layout
SCENES = "scenes.library:load_scene"


def load(address: str, *, sampler: SamplerConfig | None = None, device: str | None = None) -> WorldModel:
    """The world model at `address`: "tiny", "sim", or a checkpoint directory in BAGEL's release layout.

    `sampler` None means the model's own default; `device` None means CUDA where there is one, else the CPU.
    Raises ModelError with what to do when the address does not work.
    """
    entry = MODELS.get(address)
    if entry is None and not Path(address).is_dir():
        raise ModelError(f"no model at {address!r}: use {', '.join(MODELS)} or a checkpoint directory")
    return _resolve(entry or DIRECTORY)(address, sampler=sampler, device=device)


def load_scene(address: str) -> Scene:
    """The scene of that name ("studio", or "studio:door" for one of its starts), or a picture's path as a scene."""
    return _resolve(SCENES)(address)


def _resolve(entry: str) -> Callable[..., Any]:
    module, _, function = entry.partition(":")
    return getattr(importlib.import_module(module), function)
