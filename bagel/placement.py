"""Where the weights lie: on one device, layers split over several, or some of them in the computer's own memory.

Embeddings, heads, the vision encoder and all contexts are at home, the first device; a layer's keys and values are
where the layer is. The model's code knows nothing of it: hooks carry the rows along.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from bagel.precision import Precision, check_precision
from bagel.transformer import Transformer
from world.errors import ModelError

_log = logging.getLogger(__name__)

Parallel = Literal["auto", "layers", "guidance", "tensor", "guidance+tensor"]
GIB = 1 << 30
RESERVE = GIB  # of a card's free memory, for what is computed: kernels, activations, the autoencoder's pictures


@dataclass(frozen=True)
class Share:
    """Which part of every matrix one of `count` processes holds."""

    rank: int
    count: int


@dataclass(frozen=True)
class Loading:
    """How a checkpoint is brought into memory.

    `precision` None keeps the file's own. `config_from` is a directory for configs, tokenizer and autoencoder where
    the checkpoint lacks them. Several `devices` share the work as `parallel` says; `share` is set in each process of
    a crew (see crew.py). `lora` is the folder of an adapter that is added to the matrices.
    """

    precision: Precision | None = None
    config_from: Path | None = None
    devices: tuple[str, ...] = ()
    parallel: Parallel = "auto"
    attention: str = "auto"  # a name of kernels.KERNELS
    compile: bool = False  # experts and, on one card, evaluations and reading: a minute at the start, faster ever after
    share: Share | None = None
    lora: Path | None = None

    def __post_init__(self) -> None:
        if self.precision is not None:
            check_precision(self.precision)
        if self.parallel not in get_args(Parallel):
            raise ValueError(f"parallel is one of {', '.join(get_args(Parallel))}, got {self.parallel!r}")
        cards = [device for device in self.devices if device != "cpu"]
        if len(set(cards)) < len(cards):
            raise ValueError(f"each device is named once, got {', '.join(self.devices)}")


@dataclass(frozen=True)
class Placement:
    """The device of each layer; `offloaded` ones rest in the computer's memory and come to it for each evaluation."""

    home: torch.device
    layers: tuple[torch.device, ...]
    offloaded: frozenset[int] = frozenset()

    def of(self, name: str) -> torch.device:
        """Where a tensor of the model is stored, by its name there."""
        if not name.startswith("transformer.layers."):
            return self.home
        index = int(name.split(".")[2])
        return torch.device("cpu") if index in self.offloaded else self.layers[index]


def divide(way: str, count: int) -> tuple[int, int]:
    """(processes that share the branches of guidance, processes that share every matrix): their product is `count`.

    Raises ValueError where so many processes cannot do both.
    """
    if way != "guidance+tensor":
        return (count, 1) if way == "guidance" else (1, count)
    if count < 4 or count % 2:
        raise ValueError(f"guidance+tensor takes 4, 6, 8 ... devices, got {count}: choose guidance or tensor")
    teams = 3 if count % 3 == 0 else 2  # three branches are guided
    return teams, count // teams


def split_layers(home: int, layers: Sequence[int], room: Sequence[int]) -> list[int]:
    """The number of the device for each layer, neighbours together, all devices filled to about the same share.

    `home` are the bytes that the first device holds besides, `layers` those of each layer, `room` those that each
    device has. -1 marks layers that fit nowhere. Raises ValueError where not even `home` and one layer fit.
    """

    def fill(share: float) -> list[int]:
        places, card, used = [], 0, float(home)
        for size in layers:
            while card < len(room) and used + size > share * room[card]:
                card, used = card + 1, 0.0
            places.append(card if card < len(room) else -1)
            used += size
        return places

    if -1 in fill(1.0):
        # A layer that is away needs a place to come to.
        rest = [room[0] - max(layers), *room[1:]]
        if rest[0] < home:
            need = (home + max(layers)) / GIB
            raise ValueError(f"the first device needs {need:.1f} GiB for embeddings, heads and one layer")
        room = rest
        return fill(1.0)
    low, high = 0.0, 1.0
    for _ in range(40):  # the lowest common share, so that each device keeps room for contexts
        middle = (low + high) / 2
        low, high = (middle, high) if -1 in fill(middle) else (low, middle)
    return fill(high)


def place(model: nn.Module, transformer: Transformer, devices: Sequence[torch.device], dtype: torch.dtype) -> Placement:
    """A placement for a model on the meta device: by its real bytes and by what is free now.

    Raises ModelError where it cannot be done.
    """
    layers = [num_bytes(layer, dtype) for layer in transformer.layers]
    home = num_bytes(model, dtype) - sum(layers)
    room = [_room(device, home + sum(layers)) for device in devices]
    try:
        chosen = split_layers(home, layers, room)
    except ValueError as error:
        have = ", ".join(f"{r / GIB:.1f}" for r in room)
        raise ModelError(f"the model does not fit: {error}, free are {have} GiB: try --precision nf4") from None
    where = tuple(devices[max(0, number)] for number in chosen)
    return Placement(devices[0], where, frozenset(i for i, number in enumerate(chosen) if number < 0))


def num_bytes(module: nn.Module, dtype: torch.dtype) -> int:
    """Bytes of a module whose floats will be stored as `dtype`; packed matrices keep their own."""
    kept = {id(b) for m in module.modules() for b in getattr(m, "pieces", {}).values()}
    return sum(
        t.numel() * (t.element_size() if id(t) in kept else dtype.itemsize)
        for t in (*module.parameters(), *module.buffers())
    )


def autoencoder_dtype_of(home: torch.device, dtype: torch.dtype) -> torch.dtype:
    """In what an autoencoder computes beside a model of that dtype; float16 reaches too low for its decoder."""
    return torch.bfloat16 if home.type == "cuda" and dtype == torch.bfloat16 else torch.float32


def arrange(transformer: Transformer, placement: Placement) -> None:
    """Hangs hooks on a filled transformer so that rows follow its layers and layers that are away come to the rows."""
    carriers = {device: _Carry(device) for device in {*placement.layers, placement.home}}
    for index, layer in enumerate(transformer.layers):
        if len(carriers) > 1:
            layer.register_forward_pre_hook(carriers[placement.layers[index]])
        if index in placement.offloaded:
            visit = _Visit(placement.layers[index])
            layer.register_forward_pre_hook(visit.come)
            layer.register_forward_hook(visit.go, always_call=True)
    if len(carriers) > 1:
        for norm in (transformer.norm_und, transformer.norm_gen):
            norm.register_forward_pre_hook(lambda module, args: (args[0].to(placement.home),))
    transformer.devices = placement.layers
    if placement.offloaded:
        away = sum(num_bytes(transformer.layers[i], torch.bfloat16) for i in placement.offloaded)
        rate = copy_rate(placement.home)
        _log.warning(
            "%d of %d layers do not fit and stay in the computer's memory: every evaluation waits about %.2g s for "
            "them (%.1f GiB at %.1f GB/s, measured); a lower --precision or another card would end that",
            *(len(placement.offloaded), len(placement.layers), away / rate, away / GIB, rate / 1e9),
        )


def copy_rate(device: torch.device, size: int = 64 << 20) -> float:
    """Bytes a second from the computer's memory to the device, measured now."""
    source = torch.ones(size, dtype=torch.uint8)
    source = source.pin_memory() if device.type == "cuda" else source
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        source.to(device, copy=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return size / best


def _room(device: torch.device, all_bytes: int) -> int:
    """Bytes that weights may take; a CPU's memory is never the limit here."""
    if device.type != "cuda":
        return all_bytes
    return max(0, torch.cuda.mem_get_info(device)[0] - RESERVE)


class _Carry:
    """Brings rows and rotations to a device; the rotations, equal for all layers, only once an evaluation."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.source: Any = None

    def __call__(self, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        und, gen, ropes, attend = args
        if ropes is not self.source:
            self.source = ropes
            self.ropes = tuple(tuple(part.to(self.device) for part in rope) for rope in ropes)
        return und.to(self.device), gen.to(self.device), self.ropes, attend


class _Visit:
    """Brings the weights of a layer to a device for the time of one call."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kept: list[tuple[Tensor, Tensor]] = []

    def come(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        self.kept = [(tensor, tensor.data) for tensor in (*layer.parameters(), *layer.buffers())]
        for tensor, content in self.kept:
            tensor.data = content.to(self.device, non_blocking=True)

    def go(self, layer: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        for tensor, content in self.kept:
            tensor.data = content
        self.kept = []
