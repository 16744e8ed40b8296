"""Evaluations without Python between the kernels: layers compiled around attention, and whole ones as CUDA graphs.

No compiled code ever sees how long a context is: attention, which does, stays outside of it. A graph works on a
buffer of one of a few lengths whose free columns lie before the context; how many those are is a tensor, so a context
may grow inside a graph.

R rows of a batch, N latent tokens, P numbers of a token, T = N + 2 new rows, S columns of a buffer, H query heads,
G key heads, K head size, D width, L layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from bagel.attention import as_bias, attention
from bagel.context import Context
from bagel.model import Bagel
from bagel.transformer import Layer

BUFFERS = 6  # kept at once, the latest used
MIN_COLUMNS = 512


def use_compiled(model: Bagel, one_device: bool) -> None:
    """What `Loading.compile` asks for: compiled layers, and buffers with graphs where all layers are together."""
    compile_layers(model)
    if one_device:
        model.evaluations = Evaluations(model)


def compile_layers(model: Bagel, backend: str = "inductor") -> None:
    """Compiles what a layer does before and after attention; all layers share one compiled form."""
    queries = torch.compile(Layer.queries, dynamic=True, backend=backend)
    finish = torch.compile(Layer.finish, dynamic=True, backend=backend)
    for layer in model.transformer.layers:
        assert isinstance(layer, Layer)
        layer.__dict__ |= {"queries": partial(queries, layer), "finish": partial(finish, layer)}


def num_columns(needed: int) -> int:
    """The buffer for so many columns: a power of two or one and a half of it: growing seldom needs a new one."""
    columns = MIN_COLUMNS
    while columns < needed:
        columns = columns * 3 // 2 if columns & (columns - 1) == 0 else columns * 4 // 3
    return columns


class Evaluations:
    """Buffers and graphs of a model, by their shape; `Velocity` asks for them."""

    def __init__(self, model: Bagel) -> None:
        self.model = model
        self.made = 0  # buffers so far: each is captured once
        self._buffers: OrderedDict[tuple[int, int, int], Buffer] = OrderedDict()

    def hidden(
        self, owner: object, contexts: Sequence[Context], x_t: Tensor, t: Tensor, grid: tuple[Tensor, Tensor]
    ) -> Tensor:
        """As `Velocity.hidden`; `owner` is whoever's contexts these are, `grid` positions [N] and markers [2, D]."""
        num_rows, num_tokens = x_t.shape[:2]
        columns = num_columns(max(len(context) for context in contexts) + num_tokens + 2)
        key = (num_rows, num_tokens, columns)
        if key not in self._buffers:
            self._buffers[key] = Buffer(self.model, key)
            self.made += 1
        self._buffers.move_to_end(key)
        while len(self._buffers) > BUFFERS:
            self._buffers.popitem(last=False)
        buffer = self._buffers[key]
        if buffer.owner is not owner:
            buffer.fill(contexts, *grid)
            buffer.owner = owner
        return buffer.evaluate(x_t, t)


class Buffer:
    """Everything that an evaluation reads and writes, at fixed places."""

    def __init__(self, model: Bagel, shape: tuple[int, int, int]) -> None:
        num_rows, num_tokens, columns = shape
        c, device, dtype = model.transformer.config, model.device, model.dtype
        heads = c.num_key_value_heads
        self.model = model
        self.owner: object = None
        self.kv = torch.zeros(
            (c.num_hidden_layers, 2, num_rows, columns, heads, c.head_dim), device=device, dtype=dtype
        )
        self.x_t = torch.zeros(num_rows, num_tokens, model.config.latent_channels, device=device)
        self.t = torch.zeros(1, device=device)
        self.positions = torch.zeros(num_rows, 1, dtype=torch.long, device=device)
        self.pads = torch.zeros(num_rows, dtype=torch.int32, device=device)  # free columns before each context
        self.grid = torch.zeros(num_tokens, dtype=torch.long, device=device)
        self.markers = torch.zeros(2, c.hidden_size, device=device, dtype=dtype)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result = self.x_t

    def fill(self, contexts: Sequence[Context], grid: Tensor, markers: Tensor) -> None:
        """Takes in contexts, one a row, and what does not change while they are sampled from."""
        new = self.x_t.shape[1] + 2
        for row, context in enumerate(contexts):
            end = self.kv.shape[3] - new
            for segment in reversed(context.segments):  # [L, 2, G, T, K]
                start = end - segment.shape[3]
                self.kv[:, :, row, start:end] = segment.transpose(2, 3)
                end = start
            self.pads[row] = end
            self.positions[row] = context.position
        self.grid.copy_(grid)
        self.markers.copy_(markers)

    def evaluate(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The last layer's output [R, N, D] for x_t [R, N, P] at time t []."""
        self.x_t.copy_(x_t)
        self.t.copy_(t.reshape(1))
        if self.kv.is_cuda:
            if self.graph is None:
                self._capture()
            assert self.graph is not None
            self.graph.replay()
            return self.result.clone()
        return self._run()

    def _capture(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # compiles, and lets libraries take their workspaces
                self._run()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = self._run()

    def _run(self) -> Tensor:
        num_rows, num_tokens = self.x_t.shape[:2]
        gen = self.model.embed_latents(self.x_t, self.t, self.grid)
        und = self.markers.expand(num_rows, -1, -1)
        positions = self.positions.expand(-1, num_tokens + 2)  # a picture takes one position
        attend = self._attend_packed() if self.kv.is_cuda and self.kv.dtype != torch.float32 else self._attend_masked()
        return self.model.transformer.hidden(und, gen, positions, attend)[1]

    def _store(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Writes new keys and values [R, G, T, K] into the last columns; returns all of them, [R, S, G, K] each."""
        keys, values = self.kv[layer]
        keys[:, -k.shape[2] :], values[:, -k.shape[2] :] = k.transpose(1, 2), v.transpose(1, 2)
        return keys, values

    def _attend_masked(self):
        columns = torch.arange(self.kv.shape[3], device=self.kv.device)
        bias = as_bias((columns >= self.pads[:, None])[:, None, None], self.kv.dtype)  # [R, 1, 1, S]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._store(layer, k, v)
            return attention(q, keys.transpose(1, 2), values.transpose(1, 2), bias)

        return attend

    def _attend_packed(self):
        """FlashAttention over all columns as one packed sequence of two stretches a row.

        The first are the free columns, with no queries; the second the context and the new rows, with T of them.
        """
        from torch.nn.attention.varlen import varlen_attn

        from bagel.kernels import grouped

        num_rows, columns, new = self.kv.shape[2], self.kv.shape[3], self.x_t.shape[1] + 2
        rows = torch.arange(num_rows, device=self.kv.device, dtype=torch.int32)
        ends_k = torch.stack((rows * columns + self.pads, (rows + 1) * columns), dim=1).flatten()
        ends_q = torch.stack((rows * new, (rows + 1) * new), dim=1).flatten()
        first = torch.zeros(1, dtype=torch.int32, device=self.kv.device)
        cu_k, cu_q = torch.cat((first, ends_k)).int(), torch.cat((first, ends_q)).int()
        kernel = grouped(varlen_attn)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._store(layer, k, v)
            packed = q.transpose(1, 2).flatten(0, 1)  # [R * T, H, K]
            out = kernel(packed, keys.flatten(0, 1), values.flatten(0, 1), cu_q, cu_k, new, columns)
            return out.unflatten(0, (num_rows, new)).transpose(1, 2)

        return attend
