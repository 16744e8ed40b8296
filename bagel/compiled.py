"""Evaluations without waiting: experts compiled around attention, side by side on a card, small ones as one CUDA graph.

Two rows of markers cost a pass over half of the model's weights, which moves bytes and computes little; the latents
compute and move little. So on a card the markers' expert runs on a stream of its own, of lower priority, and takes
what the latents' leaves idle; the two meet where attention needs the keys and values of both.

No compiled code ever sees how long a context is: attention, which does, stays outside of it. A graph works on a
buffer of one of a few lengths whose free columns lie before the context; how many those are is a tensor, so a context
may grow inside a graph.

R rows of a batch, N latent tokens, P numbers of a token, T new rows of one kind (2 markers or N latents), S columns of
a buffer, H query heads, G key heads, K head size, D width, L layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from bagel.attention import as_bias, attention
from bagel.context import MAX_RUNS, Context, runs_of
from bagel.model import Bagel
from bagel.transformer import Expert, Layer, rotary

BUFFERS = 6  # kept at once, the latest used
MIN_COLUMNS = 512
LAUNCH_BOUND = 1024  # latent rows below which a card would wait for Python without a graph

Attend = Callable[[int, Tensor], Tensor]  # (layer, q [R, H, T, K]) -> [R, T, H * K]


def use_compiled(model: Bagel, one_device: bool) -> None:
    """What `Loading.compile` asks for: compiled experts, and buffers with graphs where all layers are together."""
    from bagel.reading import Readings  # which sizes its buffers as those here

    compile_experts(model)
    if one_device:
        model.evaluations = Evaluations(model)
        model.readings = Readings(model)


def compile_experts(model: Bagel, backend: str = "inductor") -> None:
    """Compiles what an expert does before and after attention; all of them share one compiled form."""
    queries = torch.compile(Expert.queries, dynamic=True, backend=backend)
    finish = torch.compile(Expert.finish, dynamic=True, backend=backend)
    for layer in model.transformer.layers:
        assert isinstance(layer, Layer)
        for expert in (layer.und, layer.gen):
            expert.__dict__ |= {"queries": partial(queries, expert), "finish": partial(finish, expert)}


def num_columns(needed: int) -> int:
    """The buffer for so many columns: a power of two or one and a half of it: growing seldom needs a new one."""
    columns = MIN_COLUMNS
    while columns < needed:
        columns = columns * 3 // 2 if columns & (columns - 1) == 0 else columns * 4 // 3
    return columns


class Streams:
    """Two streams of a card: the one in front goes first wherever both could. A CPU does one thing after the other."""

    def __init__(self, device: torch.device, front: int = -1, behind: int | None = 0) -> None:
        """Priorities, the lower the sooner; without `behind` all runs in front. Others than these serve comparison."""
        cuda = device.type == "cuda"
        self.front = torch.cuda.Stream(device, priority=front) if cuda else None
        self._behind = torch.cuda.Stream(device, priority=behind) if cuda and behind is not None else None

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """What is asked for inside runs in front, after all that was asked for before and before all that follows."""
        if self.front is None:
            yield
            return
        outside = torch.cuda.current_stream(self.front.device)
        self.front.wait_stream(outside)
        with torch.cuda.stream(self.front):
            yield
        outside.wait_stream(self.front)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What is asked for inside runs beside what follows, up to `meet`."""
        if self._behind is None:
            yield
            return
        self._behind.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._behind):
            yield

    def meet(self) -> None:
        if self._behind is not None:
            torch.cuda.current_stream().wait_stream(self._behind)


class Evaluations:
    """Buffers and graphs of a model, by their shape; `Velocity` asks for them."""

    def __init__(self, model: Bagel, streams: Streams | None = None) -> None:
        self.model = model
        self.made = 0  # buffers so far: each is captured once
        self._streams = streams or Streams(model.device)
        self._buffers: OrderedDict[tuple[int, int, int], Buffer] = OrderedDict()

    def hidden(
        self, owner: object, contexts: Sequence[Context], x_t: Tensor, t: Tensor, grid: tuple[Tensor, Tensor]
    ) -> Tensor:
        """As `Velocity.hidden`; `owner` is whoever's contexts these are, `grid` positions [N] and markers [2, D]."""
        num_rows, num_tokens = x_t.shape[:2]
        columns = num_columns(max(len(context) for context in contexts) + num_tokens + 2)
        key = (num_rows, num_tokens, columns)
        if key not in self._buffers:
            self._buffers[key] = Buffer(self.model, key, self._streams)
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

    def __init__(self, model: Bagel, shape: tuple[int, int, int], streams: Streams) -> None:
        num_rows, num_tokens, columns = shape
        c, device, dtype = model.transformer.config, model.device, model.dtype
        heads = c.num_key_value_heads
        self.model, self.streams = model, streams
        self.owner: object = None
        self.kv = torch.zeros(
            (c.num_hidden_layers, 2, num_rows, columns, heads, c.head_dim), device=device, dtype=dtype
        )
        self.x_t = torch.zeros(num_rows, num_tokens, model.config.latent_channels, device=device)
        self.t = torch.zeros(1, device=device)
        self.positions = torch.zeros(num_rows, 1, dtype=torch.long, device=device)
        self.pads = torch.zeros(num_rows, dtype=torch.int32, device=device)  # free columns before each context
        self.runs: list[tuple[int, int, int]] = []  # neighbours of equal length: first row, row behind, length
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
        self.runs = runs_of([len(context) for context in contexts])
        self.grid.copy_(grid)
        self.markers.copy_(markers)

    def evaluate(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The last layer's output [R, N, D] for x_t [R, N, P] at time t []."""
        self.x_t.copy_(x_t)
        self.t.fill_(t.item())  # a number of the CPU: nothing is waited for
        if self.kv.is_cuda and self.x_t.shape[:2].numel() < LAUNCH_BOUND:
            if self.graph is None:
                self._capture()
            assert self.graph is not None
            self.graph.replay()
            return self.result.clone()
        with self.streams.ahead():
            return self._run(self._attend_by_runs if len(self.runs) <= MAX_RUNS else self._attend_any())

    def _capture(self) -> None:
        with self.streams.ahead():
            for _ in range(2):  # compiles, and lets libraries take their workspaces
                self._run(self._attend_any())
        self.graph = torch.cuda.CUDAGraph()
        # Other threads (of NCCL, of a server) may ask the card something meanwhile.
        with torch.cuda.graph(self.graph, stream=self.streams.front, capture_error_mode="thread_local"):
            self.result = self._run(self._attend_any())

    def _run(self, attend: Attend) -> Tensor:
        gen = self.model.embed_latents(self.x_t, self.t, self.grid)
        positions = self.positions.expand(-1, 2 + self.x_t.shape[1])  # a picture takes one position
        und_rope, gen_rope = rotary(positions, 2, self.model.transformer.config, gen.dtype)
        layers = [layer for layer in self.model.transformer.layers if isinstance(layer, Layer)]
        with self.streams.beside():  # what one stream alone reads is made on it: its memory is used again in its order
            und = self.markers.repeat(len(gen), 1, 1)
            und_q = self._store(0, 0, *layers[0].und.queries(und, und_rope))
        gen_q = self._store(0, 2, *layers[0].gen.queries(gen, gen_rope))
        for i, (layer, following) in enumerate(pairwise(layers)):
            self.streams.meet()
            with self.streams.beside():
                und = layer.und.finish(und, attend(i, und_q))
                und_q = self._store(i + 1, 0, *following.und.queries(und, und_rope))
            gen = layer.gen.finish(gen, attend(i, gen_q))
            gen_q = self._store(i + 1, 2, *following.gen.queries(gen, gen_rope))
        self.streams.meet()
        return layers[-1].gen.finish(gen, attend(len(layers) - 1, gen_q))  # nobody reads the markers any more

    def _store(self, layer: int, first: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Writes keys and values [R, G, T, K] into the new columns from the `first` one on; gives back q."""
        start = self.kv.shape[3] - self.x_t.shape[1] - 2 + first
        columns = slice(start, start + k.shape[2])
        keys, values = self.kv[layer]  # [R, S, G, K]
        keys[:, columns], values[:, columns] = k.transpose(1, 2), v.transpose(1, 2)
        return q

    def _attend_by_runs(self, layer: int, q: Tensor) -> Tensor:
        """The model's own kernel over contexts of equal length, without any mask."""
        keys, values = (x.transpose(1, 2) for x in self.kv[layer])  # [R, G, S, K]
        new = self.x_t.shape[1] + 2
        parts = [
            self.model.kernel(q[a:b], keys[a:b, :, -(length + new) :], values[a:b, :, -(length + new) :])
            for a, b, length in self.runs
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2).flatten(2)

    def _attend_any(self) -> Attend:
        """Attention over contexts whose lengths only the device knows."""
        if self.kv.is_cuda and self.kv.dtype != torch.float32:
            return self._attend_packed()
        return self._attend_masked()

    def _attend_masked(self) -> Attend:
        columns = torch.arange(self.kv.shape[3], device=self.kv.device)
        bias = as_bias((columns >= self.pads[:, None])[:, None, None], self.kv.dtype)  # [R, 1, 1, S]

        def attend(layer: int, q: Tensor) -> Tensor:
            keys, values = self.kv[layer]
            return attention(q, keys.transpose(1, 2), values.transpose(1, 2), bias).transpose(1, 2).flatten(2)

        return attend

    def _attend_packed(self) -> Attend:
        """FlashAttention over all columns as one packed sequence of two stretches a row.

        The first are the free columns, with no queries; the second the context and the new rows, with T of them.
        """
        from torch.nn.attention.varlen import varlen_attn

        from bagel.kernels import grouped

        num_rows, columns = self.kv.shape[2], self.kv.shape[3]
        rows = torch.arange(num_rows, device=self.kv.device, dtype=torch.int32)

        def bounds(first: Tensor, behind: Tensor) -> Tensor:
            return torch.cat((rows[:1], torch.stack((first, behind), dim=1).flatten())).int()

        cu_k = bounds(rows * columns + self.pads, (rows + 1) * columns)
        cu_q = {new: bounds(rows * new, (rows + 1) * new) for new in (2, self.x_t.shape[1])}
        kernel = grouped(varlen_attn)

        def attend(layer: int, q: Tensor) -> Tensor:
            (keys, values), new = self.kv[layer], q.shape[2]
            packed = q.transpose(1, 2).flatten(0, 1)  # [R * T, H, K]
            out = kernel(packed, keys.flatten(0, 1), values.flatten(0, 1), cu_q[new], cu_k, new, columns)
            return out.flatten(1).unflatten(0, (num_rows, new))

        return attend
