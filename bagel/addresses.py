"""From a model's address to a BAGEL that walks: a directory or a hub's name, and behind a "?" how it is loaded.

For example `DIR?precision=nf4` or `DIR?devices=cuda:0,cuda:1,cuda:2&parallel=layers`: the names are those of
`placement.Loading`, so that play, servers, environments and evaluations can all use them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from bagel.crew import Crew
from bagel.hub import download, is_hub
from bagel.placement import Loading
from bagel.weights import Checkpoint
from bagel.world_model import BagelWorldModel
from world.errors import ModelError
from world.previews import OnPreview
from world.settings import SamplerConfig
from world.types import Action, Frame, Scene, State, WorldSpec

_log = logging.getLogger(__name__)

_NAMES = ("precision", "devices", "parallel", "attention", "compile", "config_from", "lora")


def load(
    address: str, *, sampler: SamplerConfig | None = None, device: str | None = None
) -> BagelWorldModel | CrewWorldModel:
    """The model at an address, under the protocol of world.models. Raises ModelError where the address is wrong."""
    directory, how = read_address(address)
    make = partial(_walker, name=directory.resolve().name, sampler=sampler)
    crew = Crew(directory, device, how, make)
    return CrewWorldModel(crew) if crew.size > 1 else crew.mine


def read_address(address: str) -> tuple[Path, Loading]:
    """The directory, fetched first where a hub has it, and how it is loaded."""
    path, _, query = address.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(_NAMES))
    if unknown:
        raise ModelError(f"{address!r}: {unknown[0]!r} is no way to load a model, {', '.join(_NAMES)} are")
    folder = Path(path)
    if not folder.exists() and is_hub(path):
        folder = download(path, lambda line: _log.warning("%s", line))
    config_from, lora = (Path(options[name]) if name in options else None for name in ("config_from", "lora"))
    devices = tuple(name for name in options.get("devices", "").split(",") if name)
    given = {name: options[name] for name in ("precision", "parallel", "attention") if name in options}
    try:
        compiled = options.get("compile", "0") not in ("", "0", "no", "false")
        return folder, Loading(devices=devices, config_from=config_from, compile=compiled, lora=lora, **given)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise ModelError(f"{address!r}: {error}") from None


class CrewWorldModel:
    """A BagelWorldModel in several processes, each of which does every step."""

    def __init__(self, crew: Crew[BagelWorldModel]) -> None:
        self.crew = crew

    @property
    def spec(self) -> WorldSpec:
        return self.crew.mine.spec

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return self.crew.mine.reset(scenes, seeds)

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        return self.crew.run(BagelWorldModel.step, states, actions, on_preview=on_preview)

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return self.crew.run(BagelWorldModel.ask, states, question)

    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]:
        return self.crew.mine.reconstruct(frames)

    def close(self) -> None:
        self.crew.mine.close()
        self.crew.close()


def _walker(checkpoint: Checkpoint, name: str, sampler: SamplerConfig | None) -> BagelWorldModel:
    return BagelWorldModel(checkpoint, name, sampler)
