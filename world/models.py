"""From an address to a WorldModel, from a name to a Scene: tables of "module:function", imported when asked."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from world.endpoints import is_endpoint, read_endpoint
from world.errors import ModelError
from world.goals import Thing
from world.settings import SamplerConfig
from world.types import Action, Pose, Scene, WorldModel

MODELS = {
    "tiny": "bagel.world_model:load_tiny",
    "sim": "scenes.simulator:load",
}
DIRECTORY = "bagel.addresses:load"  # a checkpoint directory in the release layout, or a hub's OWNER/NAME
REMOTE = "world.client:load"  # ipc://PATH or tcp://HOST:PORT, where a server keeps the model
_HUB = re.compile(r"((hf|modelscope):)?[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
ENGINE = "world.engine:load"  # http(s)://HOST:PORT, an OpenAI-style engine, or several with commas between
SCENES = "scenes.library:load_scene"
THINGS = "scenes.library:load_things"
THRESHOLDS = "scenes.library:load_threshold"
GROUND = "scenes.floor:slide"
PLANS = "scenes.floor:has_plan"


def load(address: str, *, sampler: SamplerConfig | None = None, device: str | None = None) -> WorldModel:
    """The world model at `address`: "tiny", "sim", a checkpoint directory in BAGEL's release layout, or a server's.

    Behind a directory may stand how it is loaded, as in DIR?precision=nf4&devices=cuda:0,cuda:1 (bagel/addresses.py);
    OWNER/NAME and modelscope:OWNER/NAME are fetched from a hub.
    A server's address is ipc://PATH or tcp://HOST:PORT, with ?key=FILE behind it where the server wants a key; an
    OpenAI-style engine's is http://HOST:PORT, or several, and what world.engine.EngineAddress says behind a "?".
    `sampler` None means the model's own default; `device` None means CUDA where there is one, else the CPU.
    Raises ModelError with what to do when the address does not work.
    """
    return _resolve(entry_of(address))(address, sampler=sampler, device=device)


def entry_of(address: str) -> str:
    """The "module:function" that loads `address`; raises ModelError at once where there is nothing to load."""
    if address in MODELS:
        return MODELS[address]
    if is_endpoint(address):
        try:
            read_endpoint(address)
        except ValueError as error:
            raise ModelError(str(error)) from error
        return REMOTE
    if address.startswith(("http://", "https://")):
        return ENGINE
    path = address.partition("?")[0]
    if (path and Path(path).is_dir()) or _HUB.fullmatch(path):
        return DIRECTORY
    names = ", ".join(MODELS)
    if Path(address).is_file():
        raise ModelError(f"{address!r} is a file: use {names} or the directory that holds the checkpoint")
    raise ModelError(f"no model at {address!r}: use {names} or a checkpoint directory")


def load_scene(address: str) -> Scene:
    """The scene of that name ("studio", or "studio:door" for one of its starts), or a picture's path as a scene.

    Raises SceneError with what to do when the address does not work.
    """
    return _resolve(SCENES)(address)


def load_things(scene: Scene) -> tuple[Thing, ...]:
    """What can be looked for in a shipped scene; nothing in any other."""
    return _resolve(THINGS)(scene.name)


def load_threshold(scene: str, task: str, eyes: str) -> float | None:
    """The likeness or probability that `python -m agents calibrate` chose for a scene; None where nobody did."""
    return _resolve(THRESHOLDS)(scene, task, eyes)


def reckon(scene: Scene, pose: Pose, action: Action) -> Pose:
    """Where `action` leads from `pose`: along walls and furniture where the scene's floor plan is known.

    Elsewhere, as in a picture, nothing stands in the way.
    """
    return _resolve(GROUND)(scene, pose, action) if scene.simulated else pose.moved(action)


def has_plan(scene: Scene) -> bool:
    """Whether `reckon` knows what stands where: not in a picture, nor in a folder that this process never loaded."""
    return scene.simulated and _resolve(PLANS)(scene)


def _resolve(entry: str) -> Callable[..., Any]:
    module, _, function = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ModelError(f"{entry} needs the package {error.name!r}: {_cure(error.name or '')}") from error


def _cure(package: str) -> str:
    wanted = "'.[sim]'" if package.partition(".")[0] == "mujoco" else "."
    return f"pip install -e {wanted} in the repository"
