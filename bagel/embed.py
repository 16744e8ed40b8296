"""What turns positions and flow times into vectors: two fixed sinusoids and a small MLP.

D width, N rows, side rows (or columns) of the position grid.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_WIDTH = 256  # numbers in the sinusoid of a time


def position_table(side: int, width: int) -> Tensor:
    """float32 [side * side, width]: row r * side + c encodes column c in its first half and row r in its second.

    Each half is [sin(x w), cos(x w)] with w = 10000 ** (-k / (width / 4)) (bagel-spec 6.3).
    """
    if width % 4:
        raise ValueError(f"a position table needs a width divisible by 4, got {width}")
    angle = np.arange(side)[:, None] * 10000.0 ** (-np.arange(width // 4) / (width // 4))  # [side, width / 4]
    line = np.concatenate((np.sin(angle), np.cos(angle)), axis=1).astype(np.float32)  # [side, width / 2]
    column, row = np.tile(line, (side, 1)), np.repeat(line, side, axis=0)
    return torch.tensor(np.concatenate((column, row), axis=1))


def grid_positions(rows: int, columns: int, side: int, device: torch.device | str | None = None) -> Tensor:
    """int64 [rows * columns]: the table rows of a picture's grid, row-major. The stride is always `side`.

    Raises ValueError when the picture is larger than the table.
    """
    if rows > side or columns > side:
        raise ValueError(
            f"a grid of {rows} x {columns} does not fit a position table of {side} x {side}: use a smaller picture"
        )
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return (row[:, None] * side + column).flatten()


def time_sinusoid(t: Tensor) -> Tensor:
    """Times [...] in [0, 1] (not scaled by 1000) to float32 [..., 256], cosines first (bagel-spec 6.4)."""
    half = TIME_WIDTH // 2
    frequency = torch.exp(-math.log(10000.0) / half * torch.arange(half, device=t.device, dtype=torch.float32))
    angle = t.float()[..., None] * frequency
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


class TimeEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(TIME_WIDTH, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """Times [...] -> [..., D]."""
        return self.fc2(F.silu(self.fc1(time_sinusoid(t).to(self.fc1.weight.dtype))))


class Connector(nn.Module):
    """From the vision encoder's width to the language model's."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
