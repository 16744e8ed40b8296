"""Reading without waiting: what is appended to contexts, and the vision encoder, each as one CUDA graph.

A walk's reading of one picture and its words computes little: a card would wait for Python, which launches some
thousand kernels. So new rows are padded to one of few shapes, and for each shape there is a buffer at a fixed place
and a graph that works on it. Columns of a buffer are the new rows, then the past, then free ones: a past that has
grown only brings its newest blocks, and no kernel begins with columns of which a row sees none.

B contexts, Tu und rows, Tg gen rows, T = Tu + Tg new rows, C columns of the past, S = T + C, G key heads, K head size,
L layers, D width, M patches, P numbers of a patch.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TypeVar

import torch
from torch import Tensor

from bagel.attention import as_bias, attention
from bagel.context import Context
from bagel.graphs import Streams, capturing, num_columns
from bagel.model import Bagel

KEPT = 16  # buffers of each kind at once, the latest used
MAX_NEW = 2048  # new rows of all contexts together: beyond, a card has enough to do
MAX_COLUMNS = 8192  # columns of all contexts together, half a GB of the 7B model's keys and values


Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Readings:
    """Buffers and graphs of a model whose layers are all on one device, by their shape; `prefill` asks for them."""

    def __init__(self, model: Bagel) -> None:
        self.model = model
        self.made = 0  # buffers so far: each is captured once
        self._graphs = _Graphs(model.device)
        self._readings: OrderedDict[tuple[int, int, int, int], Reading] = OrderedDict()
        self._encoders: OrderedDict[torch.Size, Encoder] = OrderedDict()

    def of(self, contexts: Sequence[Context], num_und: int, num_gen: int) -> Reading | None:
        """The buffer for so many new rows of each context, or None where they are more than it is for."""
        longest = max(len(context) for context in contexts)
        past = num_columns(longest) if longest else 0
        shape = (len(contexts), padded(num_und, num_gen), num_gen, past)
        new = len(contexts) * (shape[1] + num_gen)
        if new > MAX_NEW or new + len(contexts) * past > MAX_COLUMNS:
            return None
        if shape not in self._readings:
            self._readings[shape] = Reading(self.model, shape, self._graphs)
            self.made += 1
        return _latest(self._readings, shape)

    def embed_patches(self, patches: Tensor, positions: Tensor) -> Tensor:
        """As `Bagel.embed_patches` without a mask."""
        shape = positions.shape
        if shape.numel() > MAX_NEW:
            return self.model.embed_patches(patches, positions)
        if shape not in self._encoders:
            self._encoders[shape] = Encoder(self.model, patches, positions, self._graphs)
            self.made += 1
        return _latest(self._encoders, shape).embed(patches, positions)


def padded(num_und: int, num_gen: int) -> int:
    """The und rows of a buffer: few different numbers, such that all rows are a multiple of 8, as kernels like it."""
    return (16 if num_und <= 16 else -(-num_und // 32) * 32) + -num_gen % 8


class Reading:
    """Everything that a reading of one shape takes in and gives back, at fixed places."""

    @torch.inference_mode(False)  # written to with and without it
    def __init__(self, model: Bagel, shape: tuple[int, int, int, int], graphs: _Graphs) -> None:
        num_rows, self.num_und, num_gen, past = shape
        c, device, dtype = model.transformer.config, model.device, model.dtype
        self.num_new = self.num_und + num_gen
        self.model = model
        self.layout: object = None  # what the new rows are arranged for
        self.und = torch.zeros(num_rows, self.num_und, c.hidden_size, device=device, dtype=dtype)
        self.gen = torch.zeros(num_rows, num_gen, c.hidden_size, device=device, dtype=dtype)
        size = (c.num_hidden_layers, 2, num_rows, c.num_key_value_heads, self.num_new + past, c.head_dim)
        self.kv = torch.zeros(size, device=device, dtype=dtype)
        self.offsets = torch.zeros(num_rows, self.num_new, dtype=torch.long, device=device)
        self.among = torch.ones(num_rows, self.num_new, self.num_new, dtype=torch.bool, device=device)
        self.numbers = torch.zeros(2, num_rows, dtype=torch.long, device=device)  # next positions, lengths
        self._held: list[list[weakref.ref[Tensor]]] = [[] for _ in range(num_rows)]
        self._ends = [0] * num_rows
        self._graphs = graphs
        self._graph: torch.cuda.CUDAGraph | None = None

    def arrange(self, layout: object, offsets: Tensor, among: Tensor | None) -> None:
        """Position offsets [B, T] of the new rows and which of them see each other, bool [B, T, T], None for all.

        Each must see the first one. `layout` is whatever names this, to be compared.
        """
        self.offsets.copy_(offsets)
        if among is None:
            self.among.fill_(True)
        else:
            self.among.copy_(among)
        self.layout = layout

    def read(self, contexts: Sequence[Context], und: Tensor, gen: Tensor) -> Tensor:
        """The keys and values [L, 2, B, G, T, K] of new rows und [B, up to Tu, D] and gen [B, Tg, D].

        A view of the buffer: good until something else is read.
        """
        self.und[:, : und.shape[1]].copy_(und)
        self.und[:, und.shape[1] :].zero_()
        self.gen.copy_(gen)
        for row, context in enumerate(contexts):
            self._hold(row, context)
        numbers = [[context.position for context in contexts], [len(context) for context in contexts]]
        self.numbers.copy_(torch.tensor(numbers), non_blocking=True)
        self._graph = self._graphs.run(self._read, self._graph)
        return self.kv[..., : self.num_new, :]

    def _hold(self, row: int, context: Context) -> None:
        """Takes in what is not there already of a context."""
        past, held = self.kv[:, :, row, :, self.num_new :], self._held[row]
        pairs = zip(held, context.segments, strict=False)
        same = len(list(takewhile(lambda pair: pair[0]() is pair[1], pairs)))
        del held[same:]
        end = 0
        for i, segment in enumerate(context.segments):
            start, end = end, end + segment.shape[3]
            if i >= same:
                past[..., start:end, :] = segment
                held.append(weakref.ref(segment))
        past[..., end : self._ends[row], :].zero_()  # what nobody sees must be finite all the same
        self._ends[row] = end

    def _read(self) -> None:
        num_new, columns = self.num_new, self.kv.shape[4]
        positions, lengths = self.numbers[0][:, None], self.numbers[1][:, None]
        past = torch.arange(columns - num_new, device=lengths.device) < lengths  # [B, C]
        seen = torch.cat((self.among, past[:, None].expand(-1, num_new, -1)), dim=2)
        bias = as_bias(seen[:, None], self.kv.dtype)  # [B, 1, T, S]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(layer, k, v)
            keys, values = self.kv[layer]
            return attention(q, keys, values, bias)

        def store(layer: int, k: Tensor, v: Tensor) -> None:
            self.kv[layer, 0, :, :, :num_new], self.kv[layer, 1, :, :, :num_new] = k, v

        # Copies, which are tensors of the same kind as later layers have: one compiled form is for all.
        self.model.transformer.read(self.und.clone(), self.gen.clone(), positions + self.offsets, attend, store)


class Encoder:
    """The vision encoder for pictures of one size, from fixed places to a fixed place."""

    @torch.inference_mode(False)  # written to with and without it
    def __init__(self, model: Bagel, patches: Tensor, positions: Tensor, graphs: _Graphs) -> None:
        device, width = model.device, model.transformer.config.hidden_size
        self.model = model
        self.patches = torch.zeros(patches.shape, device=device, dtype=model.dtype)
        self.positions = torch.zeros(positions.shape, device=device, dtype=torch.long)
        self.result = torch.zeros(*positions.shape, width, device=device, dtype=model.dtype)
        self._graphs = graphs
        self._graph: torch.cuda.CUDAGraph | None = None

    def embed(self, patches: Tensor, positions: Tensor) -> Tensor:
        """Patches [B, M, P] and grid ids [B, M] to rows [B, M, D]."""
        self.patches.copy_(patches)
        self.positions.copy_(positions)
        self._graph = self._graphs.run(self._embed, self._graph)
        return self.result.clone()

    def _embed(self) -> None:
        self.result.copy_(self.model.embed_patches(self.patches, self.positions))


class _Graphs:
    """Captures what works on fixed places. One graph runs at a time, so they share their memory."""

    def __init__(self, device: torch.device) -> None:
        self._streams = Streams(device, 0, None)
        self._alive: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()

    def run(self, work: Callable[[], None], graph: torch.cuda.CUDAGraph | None) -> torch.cuda.CUDAGraph | None:
        """Does the work by its graph, which is returned for the next time; None on the CPU, which has none."""
        if self._streams.front is None:
            work()
            return None
        graph = graph or self._capture(work)
        graph.replay()
        return graph

    def _capture(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        with self._streams.ahead():
            for _ in range(2):  # compiles, and lets libraries take their workspaces
                work()
            with capturing(next(iter(self._alive), None)) as graph:
                work()
        self._alive.add(graph)
        return graph


def _latest(kept: OrderedDict[Key, Kept], key: Key) -> Kept:
    """The one under `key`, which is the last now to be forgotten."""
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]
