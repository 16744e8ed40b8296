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

from bagel.attention import as_bias, attention
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

    kv: Tensor  # [L, 2, B, G, S, K]
    positions: Tensor  # int [B], the next free one of each context
    lengths: list[int]
    filled: int
    new: int = 0  # rows of the latest evaluation

    @classmethod
    def of(
        cls, contexts: Sequence[Context], room: int, c: LanguageConfig, device: torch.device, dtype: torch.dtype
    ) -> Batch:
        """Lays contexts out with `room` free columns."""
        lengths = [len(context) for context in contexts]
        filled = max(lengths)
        shape = (c.num_hidden_layers, 2, len(contexts), c.num_key_value_heads, filled + room, c.head_dim)
        kv = torch.zeros(shape, device=device, dtype=dtype)
        for b, context in enumerate(contexts):
            end = filled - lengths[b]
            for segment in context.segments:
                start, end = end, end + segment.shape[3]
                kv[:, :, b, :, start:end] = segment
        positions = torch.tensor([context.position for context in contexts], device=device)
        return cls(kv, positions, lengths, filled)

    def __post_init__(self) -> None:
        pads = torch.tensor([self.filled - length for length in self.lengths], device=self.kv.device)
        self.seen = torch.arange(self.kv.shape[4], device=self.kv.device) >= pads[:, None]  # bool [B, S]
        self._runs = _runs(self.lengths)
        self._bias = as_bias(self.seen[:, None, None], self.kv.dtype) if len(self._runs) > MAX_RUNS else None

    def rows(self, start: int, stop: int) -> Batch:
        """The contexts start..stop alone, in the same memory."""
        return Batch(self.kv[:, :, start:stop], self.positions[start:stop], self.lengths[start:stop], self.filled)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """The Transformer's `attend`: new rows see each other and their own past, or what `bias` allows.

        The new rows take the columns behind the past and are overwritten next time, unless `keep` is called.
        """
        self.store(layer, k, v)
        start, end = self.filled, self.filled + self.new
        keys, values = self.kv[layer, 0], self.kv[layer, 1]  # [B, G, S, K]
        if bias is None and self._bias is not None:
            bias = self._bias[..., :end]
        if bias is not None:
            return attention(q, keys[:, :, :end], values[:, :, :end], bias)
        parts = [
            attention(q[a:b], keys[a:b, :, start - length : end], values[a:b, :, start - length : end])
            for a, b, length in self._runs
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Writes new rows [B, G, T, K] behind the past."""
        self.new = k.shape[2]
        rows = slice(self.filled, self.filled + self.new)
        self.kv[layer, 0, :, :, rows], self.kv[layer, 1, :, :, rows] = k, v

    def keep(self) -> None:
        """Makes the rows of the latest evaluation part of the past."""
        self.filled += self.new
        self.lengths = [length + self.new for length in self.lengths]
        self._runs = [(a, b, length + self.new) for a, b, length in self._runs]


def _runs(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Neighbours of equal length as (first row, row behind the last, length)."""
    runs, start = [], 0
    for length, group in groupby(lengths):
        stop = start + len(list(group))
        runs.append((start, stop, length))
        start = stop
    return runs
