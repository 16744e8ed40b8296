"""What fits where: for a model, a precision and cards, the placement, the room for contexts and the command to run it.

Plain arithmetic on the config; nothing is loaded and no card is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bagel.config import BagelConfig
from bagel.model import unfilled
from bagel.placement import GIB, RESERVE, Share, divide, num_bytes, split_layers
from bagel.precision import PACKED, use_precision
from bagel.shares import share_matrices
from bagel.transforms import output_size

BRANCHES = 3  # of a guided evaluation, each with keys and values of its own while a picture is sampled
PCIE = 20e9  # bytes a second from the computer's memory that a plan assumes; loading measures


@dataclass(frozen=True)
class Option:
    """One way to run a model. `weights` are GiB a card, `frames` the pictures of the asked size that fit as context.

    `away` GiB rest in the computer's memory: every evaluation then waits `wait` seconds more.
    """

    precision: str
    parallel: str
    weights: tuple[float, ...]
    frames: int
    away: float
    wait: float
    command: str


def plan(config: BagelConfig, cards: Sequence[float], size: tuple[int, int], directory: str) -> list[Option]:
    """All ways to run the model on cards of so many GiB, for contexts of pictures of (H, W) pixels, guided.

    Raises ValueError for a card without memory.
    """
    if not cards or min(cards) <= 0:
        raise ValueError(f"--gpus are memories in GiB, such as 24,24, got {', '.join(map(str, cards))}")
    options = []
    for precision in ("bfloat16", *PACKED):
        ways = ["one"] if len(cards) == 1 else ["layers", "guidance", "tensor"]
        both = ["guidance+tensor"] if len(cards) >= 4 and len(cards) % 2 == 0 else []
        for way in (*ways, *both):
            option = _option(config, precision, way, cards, size)
            if option is not None:
                options.append(replace(option, command=_command(directory, option, len(cards))))
    return options


def frame_bytes(config: BagelConfig, size: tuple[int, int]) -> int:
    """Keys and values of one remembered picture of (H, W) pixels, as latents and as the ViT sees it, in bfloat16."""
    c = config.language
    width, height = output_size(size[1], size[0], config.vae_transform)
    vit_width, vit_height = output_size(width, height, config.vit_transform)
    rows = 2 + (height // config.latent_stride) * (width // config.latent_stride)
    if config.walk.vit:
        rows += 2 + (vit_height // config.vision.patch_size) * (vit_width // config.vision.patch_size)
    return rows * 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * 2


def _option(
    config: BagelConfig, precision: str, way: str, cards: Sequence[float], size: tuple[int, int]
) -> Option | None:
    """None where the way is not possible or does not fit."""
    room = [int(card * GIB) - RESERVE for card in cards]
    model, autoencoder = unfilled(config)
    shares = divide(way, len(cards))[1] if way in ("tensor", "guidance+tensor") else 1
    if shares > 1:
        share_matrices(model.transformer, Share(0, shares))
    if precision in PACKED:
        use_precision(model.transformer, precision)
    layers = [num_bytes(layer, torch.bfloat16) for layer in model.transformer.layers]
    home = num_bytes(model, torch.bfloat16) - sum(layers) + num_bytes(autoencoder, torch.float32)
    frame = frame_bytes(config, size)
    if way not in ("one", "layers"):
        weights = home + sum(layers)
        left = min(room) - weights
        # What was read lies there once, and once for each branch that is evaluated there.
        held = frame * (1 + BRANCHES)
        if config.language.num_key_value_heads % shares == 0:
            held //= shares
        return Option(precision, way, (weights / GIB,) * len(cards), left // held, 0, 0, "") if left > 0 else None
    try:
        places = split_layers(home, layers, room)
    except ValueError:
        return None
    frames = []
    for card in range(len(cards)):
        mine = [size for size, place in zip(layers, places, strict=True) if place == card]
        held = frame * (BRANCHES * len(mine) / len(layers) + (card == 0))
        if held:
            frames.append(int((room[card] - sum(mine) - home * (card == 0)) / held))
    used = [home * (i == 0) + sum(s for s, p in zip(layers, places, strict=True) if p == i) for i in range(len(cards))]
    away = sum(size for size, place in zip(layers, places, strict=True) if place < 0)
    return Option(precision, way, tuple(u / GIB for u in used), max(0, min(frames)), away / GIB, away / PCIE, "")


def _command(directory: str, option: Option, num_cards: int) -> str:
    words = ["python -m bagel edit photo.jpg WORDS --model", directory]
    if option.precision != "bfloat16":
        words += ["--precision", option.precision]
    if num_cards > 1:
        words += ["--devices", ",".join(f"cuda:{i}" for i in range(num_cards)), "--parallel", option.parallel]
    return " ".join(words)
