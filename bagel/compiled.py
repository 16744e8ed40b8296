"""Evaluations without waiting: experts compiled around attention, side by side on a card, in CUDA graphs.

Two rows of markers cost a pass over half of the model's weights, which moves bytes and computes little; the latents
compute and move little. So on a card the markers' expert runs on a stream of its own, of lower priority, and takes
what the latents' leaves idle; the two meet where attention needs the keys and values of both.

No compiled code ever sees how long a context is: attention, which does, stays outside of it. A buffer is of one of a
few lengths, and its free columns lie before the context. A small evaluation is one graph, in which how many columns
are free is a tensor, so that a context may grow inside it. A large one is a graph from each attention to the next:
attention itself, which then takes longer than asking for it, knows the lengths and needs no mask.

R rows of a batch, N latent tokens, P numbers of a token, T new rows of one kind (2 markers or N latents), S columns of
a buffer, H query heads, G key heads, K head size, D width, L layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from bagel.attention import as_bias, attention
from bagel.context import MAX_RUNS, Context, runs_of
from bagel.fused import finish_fused, rows_to_fuse
from bagel.graphs import Streams, capturing, num_columns
from bagel.kernels import for_few_rows
from bagel.model import Bagel
from bagel.reading import Readings
from bagel.transformer import Expert, Layer, Rope, rotary

BUFFERS = 6  # kept at once, the latest used
ONE_GRAPH = 1024  # latent rows below which a card would wait for Python between two attentions

MARKERS, LATENTS = 0, 1  # kinds of rows, and their places in a pair

Attend = Callable[[int, int], list[Tensor]]  # (layer, kind of rows) -> [R, T, H, K], cut into neighbours of R


def use_compiled(model: Bagel, one_device: bool) -> None:
    """What `Loading.compile` asks for: compiled experts, and buffers with graphs where all layers are together."""
    compile_experts(model)
    if one_device:
        model.evaluations = Evaluations(model)
        model.readings = Readings(model)


def compile_experts(model: Bagel, backend: str = "inductor") -> None:
    """Compiles what an expert does before and after attention; all of them share one compiled form.

    After attention there are two where that is faster for many rows: see fused.py.
    """
    queries = torch.compile(Expert.queries, dynamic=True, backend=backend)
    store = torch.compile(Expert.store, dynamic=True, backend=backend)
    plain = torch.compile(Expert.finish, dynamic=True, backend=backend)
    fused = torch.compile(finish_fused, dynamic=True, backend=backend)
    many = rows_to_fuse(model)

    def finish(expert: Expert, x: Tensor, attention: Tensor) -> Tensor:
        compiled = plain if many is None or x.shape[:-1].numel() < many else fused
        return compiled(expert, x, attention)

    for layer in model.transformer.layers:
        assert isinstance(layer, Layer)
        for expert in (layer.und, layer.gen):
            forms = {"queries": queries, "store": store, "finish": finish}
            expert.__dict__ |= {name: partial(form, expert) for name, form in forms.items()}


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
        near = {"device": device, "dtype": dtype}
        self.model, self.streams = model, streams
        self.owner: object = None
        kept = (c.num_hidden_layers, num_rows, columns, c.num_key_value_heads, c.head_dim)
        self.keys, self.values = torch.zeros(kept, **near), torch.zeros(kept, **near)
        self.x_t = torch.zeros(num_rows, num_tokens, model.config.latent_channels, device=device)
        self.t = torch.zeros(1, device=device)
        self.positions = torch.zeros(num_rows, 1, dtype=torch.long, device=device)
        self.pads = torch.zeros(num_rows, dtype=torch.int32, device=device)  # free columns before each context
        self.runs: list[tuple[int, int, int]] = []  # neighbours of equal length: first row, row behind, length
        self.grid = torch.zeros(num_tokens, dtype=torch.long, device=device)
        self.markers = torch.zeros(2, c.hidden_size, **near)
        self.kernels = for_few_rows(model.kernel, device, dtype), model.kernel
        self.layers = [layer for layer in model.transformer.layers if isinstance(layer, Layer)]
        rows = (2, num_tokens)
        # Queries of markers and of latents, and what attention answers them where it is between graphs.
        self.queries = [torch.zeros(num_rows, n, c.num_attention_heads, c.head_dim, **near) for n in rows]
        self.attended: list[Tensor] = []
        self.und = self.gen = self.x_t  # rows on their way through the layers
        self.ropes: tuple[Rope, Rope]  # known as soon as rows enter
        self.graphs: list[torch.cuda.CUDAGraph] = []  # one, or one before, between and after all attentions

    def fill(self, contexts: Sequence[Context], grid: Tensor, markers: Tensor) -> None:
        """Takes in contexts, one a row, and what does not change while they are sampled from."""
        new = self.x_t.shape[1] + 2
        for row, context in enumerate(contexts):
            end = self.keys.shape[2] - new
            for segment in reversed(context.segments):  # [L, 2, G, T, K]
                start = end - segment.shape[3]
                for kept, read in zip((self.keys, self.values), segment.transpose(2, 3).unbind(1), strict=True):
                    kept[:, row, start:end] = read
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
        with self.streams.ahead():
            if not self.keys.is_cuda:
                self._run(self._attend_by_lengths())
            elif self.x_t.shape[:2].numel() < ONE_GRAPH:
                self.graphs = self.graphs or self._captured_whole()
                self.graphs[0].replay()
            else:
                self.graphs = self.graphs or self._captured_in_pieces()
                self._replay()
            return self.gen.clone()

    def _captured_whole(self) -> list[torch.cuda.CUDAGraph]:
        for _ in range(2):  # compiles, and lets libraries take their workspaces
            self._run(self._attend_any())
        with capturing() as graph:
            self._run(self._attend_any())
        return [graph]

    def _captured_in_pieces(self) -> list[torch.cuda.CUDAGraph]:
        """They share their memory, since they always run in this order; what attention says has a place of its own."""
        for _ in range(2):
            self._run(self._attend_by_lengths())
        self.attended = [torch.zeros_like(q) for q in self.queries]
        graphs: list[torch.cuda.CUDAGraph] = []
        for i in range(len(self.layers) + 1):
            with capturing(graphs[0] if graphs else None) as graph:
                self._to(i, lambda kind: self.attended[kind].flatten(2))
            graphs.append(graph)
        return graphs

    def _replay(self) -> None:
        attend = self._attend_by_lengths()
        self.graphs[0].replay()
        for layer, graph in enumerate(self.graphs[1:]):
            with self.streams.beside():
                if layer < len(self.layers) - 1:
                    self._keep(MARKERS, attend(layer, MARKERS))
            self._keep(LATENTS, attend(layer, LATENTS))
            self.streams.meet()
            graph.replay()

    def _keep(self, kind: int, parts: Sequence[Tensor]) -> None:
        first = 0
        for part in parts:
            self.attended[kind][first : first + len(part)].copy_(part)
            first += len(part)

    def _run(self, attend: Attend) -> None:
        for i in range(len(self.layers) + 1):
            self._to(i, lambda kind, i=i: _joined(attend(i - 1, kind)).flatten(2))

    def _to(self, i: int, attended: Callable[[int], Tensor]) -> None:
        """From what attention in layer `i` - 1 said, [R, T, H * K] of each kind of rows, to the queries of layer `i`.

        With 0 the rows enter the first layer, and behind the last one the latents alone leave it.
        """
        before, after = ([None, *self.layers][i], [*self.layers, None][i])
        if before is None:
            positions = self.positions.expand(-1, 2 + self.x_t.shape[1])  # a picture takes one position
            self.ropes = rotary(positions, 2, self.model.transformer.config, self.keys.dtype)
        with self.streams.beside():  # what one stream alone reads is made on it: its memory is used again in its order
            if after is not None:
                self.und = before.und.finish(self.und, attended(MARKERS)) if before else self._markers()
                self._store(i, MARKERS, after.und, self.und)
        self.gen = before.gen.finish(self.gen, attended(LATENTS)) if before else self._latents()
        if after is not None:
            self._store(i, LATENTS, after.gen, self.gen)
        self.streams.meet()

    def _markers(self) -> Tensor:
        return self.markers.repeat(len(self.x_t), 1, 1)

    def _latents(self) -> Tensor:
        return self.model.embed_latents(self.x_t, self.t, self.grid)

    def _store(self, layer: int, kind: int, expert: Expert, rows: Tensor) -> None:
        """Queries of rows [R, T, D] to their place, keys and values to the new columns."""
        first = self.keys.shape[2] - self.x_t.shape[1] - (0 if kind == LATENTS else 2)
        columns = slice(first, first + rows.shape[1])
        keys, values = self.keys[layer, :, columns], self.values[layer, :, columns]  # [R, T, G, K]
        expert.store(rows, self.ropes[kind], self.queries[kind], keys, values)

    def _attend_by_lengths(self) -> Attend:
        """The model's own kernel over contexts of equal length, without any mask, where there are few lengths."""
        if len(self.runs) > MAX_RUNS:
            return self._attend_any()
        new = self.x_t.shape[1] + 2

        def attend(layer: int, kind: int) -> list[Tensor]:
            q, keys, values = (x.transpose(1, 2) for x in (self.queries[kind], self.keys[layer], self.values[layer]))
            seen = [(slice(a, b), slice(keys.shape[2] - length - new, None)) for a, b, length in self.runs]
            return [self.kernels[kind](q[r], keys[r, :, s], values[r, :, s]).transpose(1, 2) for r, s in seen]

        return attend

    def _attend_any(self) -> Attend:
        """Attention over contexts whose lengths only the device knows."""
        if self.keys.is_cuda and self.keys.dtype != torch.float32:
            return self._attend_packed()
        return self._attend_masked()

    def _attend_masked(self) -> Attend:
        columns = torch.arange(self.keys.shape[2], device=self.keys.device)
        bias = as_bias((columns >= self.pads[:, None])[:, None, None], self.keys.dtype)  # [R, 1, 1, S]

        def attend(layer: int, kind: int) -> list[Tensor]:
            q, keys, values = (x.transpose(1, 2) for x in (self.queries[kind], self.keys[layer], self.values[layer]))
            return [attention(q, keys, values, bias).transpose(1, 2)]

        return attend

    def _attend_packed(self) -> Attend:
        """FlashAttention over all columns as one packed sequence of two stretches a row.

        The first are the free columns, with no queries; the second the context and the new rows, with T of them.
        """
        from torch.nn.attention.varlen import varlen_attn

        from bagel.kernels import grouped

        num_rows, columns = self.keys.shape[1:3]
        rows = torch.arange(num_rows, device=self.keys.device, dtype=torch.int32)

        def bounds(first: Tensor, behind: Tensor) -> Tensor:
            return torch.cat((rows[:1], torch.stack((first, behind), dim=1).flatten())).int()

        cu_k = bounds(rows * columns + self.pads, (rows + 1) * columns)
        cu_q = [bounds(rows * q.shape[1], (rows + 1) * q.shape[1]) for q in self.queries]
        kernel = grouped(varlen_attn)

        def attend(layer: int, kind: int) -> list[Tensor]:
            new = self.queries[kind].shape[1]
            packed, keys, values = (x.flatten(0, 1) for x in (self.queries[kind], self.keys[layer], self.values[layer]))
            return [kernel(packed, keys, values, cu_q[kind], cu_k, new, columns).unflatten(0, (num_rows, new))]

        return attend


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
