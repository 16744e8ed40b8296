"""Places that nobody has seen: true walks in other colours, some of them as a mirror has them.

What a model is never shown it does not keep: a picture of a strange place would turn into a known one within a few
steps. Strange walks are in nobody's list of places, so that only what is seen can tell what comes.
W walks of L pictures, M moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from world.types import Action, vocabulary
from world.words import understand

_INVERTED = 0.2  # share of strange walks whose dark is light
_STEADY = ("forward", "pitch")  # numbers of an action that a mirror leaves as they are
_TURNED = ("left", "yaw", "object_yaw")


def disguise_(pictures: Tensor, moves: Tensor, mirrors: Tensor, share: float) -> Tensor:
    """Makes a share of the walks strange, in place, half of them mirrored; which ones, bool [W].

    pictures: uint8 [W, L, H, W, 3]; moves: int [W, L - 1]; mirrors: as of `mirror_moves`.
    """
    strange = torch.zeros(len(pictures), dtype=torch.bool, device=pictures.device)
    strange[torch.randperm(len(pictures))[: int(share * len(pictures))]] = True
    for i in strange.nonzero()[:, 0].tolist():
        pictures[i] = recolored(pictures[i], *_colors(pictures.device))
        if torch.rand(()) < 0.5:
            pictures[i] = pictures[i].flip(2)
            moves[i] = mirrors[moves[i]]
    return strange


def mirror_moves(wordings: Sequence[Sequence[str]]) -> Tensor:
    """For each of the moves the one that does the same to the other side, int [M]. Raises ValueError without one."""
    actions = [understand(words[0], vocabulary()) for words in wordings]
    numbers = [_numbers(action, 1.0) for action in actions]
    try:
        return torch.tensor([numbers.index(_numbers(action, -1.0)) for action in actions])
    except ValueError:
        raise ValueError("strange walks are mirrored, and a move has nothing like it on the other side") from None


def recolored(pictures: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """uint8 [..., 3] with colours turned about middle grey by [3, 3], then shifted by [3] (of 1: black to white)."""
    middle = pictures.float() / 255 - 0.5
    return ((middle @ turn.T + shift + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)


def _colors(device: torch.device) -> tuple[Tensor, Tensor]:
    """Another hue, saturation, contrast and tint."""
    angle, saturation, contrast, invert = torch.rand(4).tolist()
    grey = torch.full((3, 3), 1 / 3)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turned = math.cos(2 * math.pi * angle) * (torch.eye(3) - grey) + math.sin(2 * math.pi * angle) * across
    turn = (0.6 + 0.5 * contrast) * (grey + (0.2 + saturation) * turned)
    shift = (torch.rand(()) - 0.5) * 0.3 + (torch.rand(3) - 0.5) * 0.2
    return (-turn if invert < _INVERTED else turn).to(device), shift.to(device)


def _numbers(action: Action, side: float) -> tuple[float, ...]:
    steady = tuple(round(getattr(action, name), 3) for name in _STEADY)
    # half a turn is the same to either side
    turned = (side * getattr(action, name) for name in _TURNED)
    return *steady, *(round(number, 3) if abs(number) != 180 else 180.0 for number in turned)
