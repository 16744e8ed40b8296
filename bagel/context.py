"""What a model has read is a value: a chain of keys and values whose past is shared, never copied or changed.

L layers, B batch, G key heads, S rows in a batch's buffer, T rows, K head size. In a segment of a latent picture the
two markers come first, then the latents: order inside a block matters to nobody who attends to all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from bagel.attention import Kernel, as_bias, attention
from bagel.config import LanguageConfig

MAX_RUNS = 4  # up to here, rows of equal length are attended run by run; beyond, with one mask


@dataclass(frozen=True)
class Context:
    """Appended blocks, oldest first, each one tensor [L, 2, G, T, K] of rotated keys and of values."""

    segments: tuple[Tensor, ...] = ()
    position: int = 0  # the next free rotary position

    def __len__(self) -> int:
        """Rows in the cache."""
        return sum(segment.shape[3] for segment in self.segments)

    def append(self, segment: Tensor, num_positions: int) -> Context:
        """This context and one block more: a text takes a position a token, a picture one."""
        return Context((*self.segments, segment), self.position + num_positions)

    def drop(self, num_segments: int) -> Context:
        """This context without its oldest blocks. Positions stay: only their differences count."""
        if not 0 <= num_segments <= len(self.segments):
            raise ValueError(f"cannot drop {num_segments} of {len(self.segments)} blocks")
        return Context(self.segments[num_segments:], self.position)


EMPTY = Context()


@dataclass
class Batch:
    """B contexts side by side, ending at column `filled`, with free columns behind them for new rows.

    The copy is made once, by `of`; after that an evaluation only writes its own rows. Contexts are padded at the
    left: rows of one length attend without any mask.
    """

    stages: tuple[Tensor, ...]  # [layers, 2, B, G, S, K] of neighbouring layers that are on one device
    positions: Tensor  # int [B], the next free one of each context
    lengths: list[int]
    filled: int
    kernel: Kernel = attention
    new: int = 0  # rows of the latest evaluation

    @classmethod
    def of(
        cls,
        contexts: Sequence[Context],
        room: int,
        c: LanguageConfig,
        device: torch.device | Sequence[torch.device],
        dtype: torch.dtype,
        kernel: Kernel = attention,
    ) -> Batch:
        """Lays contexts out with `room` free columns, on one device or on one for each layer."""
        lengths = [len(context) for context in contexts]
        filled = max(lengths)
        num_layers = c.num_hidden_layers
        devices = [device] * num_layers if isinstance(device, torch.device) else device
        stages: list[Tensor] = []
        for where, group in groupby(range(num_layers), key=devices.__getitem__):
            layers = list(group)
            shape = (len(layers), 2, len(contexts), c.num_key_value_heads, filled + room, c.head_dim)
            buffer = torch.zeros(shape, device=where, dtype=dtype)
            for b, context in enumerate(contexts):
                end = filled - lengths[b]
                for segment in context.segments:
                    start, end = end, end + segment.shape[3]
                    buffer[:, :, b, :, start:end] = segment[layers[0] : layers[-1] + 1]
            stages.append(buffer)
        positions = torch.tensor([context.position for context in contexts], device=stages[0].device)
        return cls(tuple(stages), positions, lengths, filled, kernel)

    def __post_init__(self) -> None:
        self.kv = [layer for stage in self.stages for layer in stage]  # of each layer [2, B, G, S, K]
        first = self.kv[0]
        pads = torch.tensor([self.filled - length for length in self.lengths], device=first.device)
        self.seen = torch.arange(first.shape[3], device=first.device) >= pads[:, None]  # bool [B, S]
        self._runs = runs_of(self.lengths)
        self._bias = as_bias(self.seen[:, None, None], first.dtype) if len(self._runs) > MAX_RUNS else None
        self._biases: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def rows(self, start: int, stop: int) -> Batch:
        """The contexts start..stop alone, in the same memory."""
        stages = tuple(stage[:, :, start:stop] for stage in self.stages)
        return Batch(stages, self.positions[start:stop], self.lengths[start:stop], self.filled, self.kernel)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """The Transformer's `attend`: new rows see each other and their own past, or what `bias` allows.

        The new rows take the columns behind the past and are overwritten next time, unless `keep` is called.
        """
        self.store(layer, k, v)
        start, end = self.filled, self.filled + self.new
        keys, values = self.kv[layer]  # [B, G, S, K]
        if bias is None and self._bias is not None:
            bias = self._bias[..., :end]
        if bias is not None:
            return attention(q, keys[:, :, :end], values[:, :, :end], self._near(bias, q.device))
        kernel = self.kernel if q.is_cuda else attention  # chosen for the card; a layer may lie on the CPU
        parts = [
            kernel(q[a:b], keys[a:b, :, start - length : end], values[a:b, :, start - length : end])
            for a, b, length in self._runs
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Writes new rows [B, G, T, K] behind the past."""
        self.new = k.shape[2]
        rows = slice(self.filled, self.filled + self.new)
        self.kv[layer][0, :, :, rows], self.kv[layer][1, :, :, rows] = k, v

    def newest(self, b: int) -> Tensor:
        """The rows behind the past of context b, of all layers: [L, 2, G, T, K], where the positions are."""
        home = self.positions.device
        parts = [stage[:, :, b, :, self.filled :].to(home) for stage in self.stages]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def keep(self) -> None:
        """Makes the rows of the latest evaluation part of the past."""
        self.filled += self.new
        self.lengths = [length + self.new for length in self.lengths]
        self._runs = [(a, b, length + self.new) for a, b, length in self._runs]

    def _near(self, bias: Tensor, device: torch.device) -> Tensor:
        """The bias on a layer's device, brought there once for all its layers."""
        if bias.device == device:
            return bias
        if device not in self._biases or self._biases[device][0] is not bias:
            self._biases[device] = bias, bias.to(device)
        return self._biases[device][1]


def runs_of(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Neighbours of equal length as (first row, row behind the last, length)."""
    runs, start = [], 0
    for length, group in groupby(lengths):
        stop = start + len(list(group))
        runs.append((start, stop, length))
        start = stop
    return runs
