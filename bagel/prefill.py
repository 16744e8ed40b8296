"""Reading: blocks of words and pictures are appended to contexts, several blocks and several contexts in one forward.

B contexts, T new rows, N latent tokens, M patches, P numbers of a token or patch, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bagel.attention import Rows, as_bias, dense
from bagel.context import Batch, Context
from bagel.embed import grid_positions
from bagel.model import Bagel


@dataclass(frozen=True, eq=False)
class Words:
    """A text, its start and end tokens included: read from left to right, one position a token."""

    ids: Sequence[int]


@dataclass(frozen=True, eq=False)
class LatentPicture:
    """A clean picture as latent tokens [N, P] on a grid (rows, columns): generation expert, time 0, one position."""

    tokens: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SeenPicture:
    """A picture as ViT patches [M, P] on a grid (rows, columns): understanding expert, one position."""

    patches: Tensor
    grid: tuple[int, int]


AT_ONCE = 2048  # new rows of a context up to which a mask over them costs less than another forward

Block: TypeAlias = Words | LatentPicture | SeenPicture


@torch.no_grad()
def prefill(
    model: Bagel, markers: tuple[int, int], contexts: Sequence[Context], blocks: Sequence[Sequence[Block]]
) -> list[Context]:
    """Appends blocks[b] to contexts[b]; contexts may share their past and are left as they are.

    `markers` are the token ids around a picture. All is one forward, which costs a mask over all new rows except where
    every context gets one picture of one size; so many rows are appended block by block.
    """
    if not any(blocks):
        return list(contexts)
    places = [_place(row) for row in blocks]
    num_und, num_gen = max(row[-1].und.stop for row in places if row), max(row[-1].gen.stop for row in places if row)
    if num_und + num_gen > AT_ONCE and (longest := max(map(len, blocks))) > 1:
        for i in range(longest):
            contexts = prefill(model, markers, contexts, [row[i : i + 1] for row in blocks])
        return list(contexts)
    reading = model.readings.of(contexts, num_und, num_gen) if model.readings is not None else None
    if reading is not None:
        num_und = reading.num_und
        if reading.layout != places:
            reading.arrange(places, *_layout(places, num_und, num_gen, model.device))
        newest = reading.read(contexts, *_embed(model, markers, blocks)).unbind(2)
    else:
        und, gen = _embed(model, markers, blocks)
        batch = model.batch(contexts, num_und + num_gen)
        offsets, among = _layout(places, num_und, num_gen, batch.positions.device)
        positions = batch.positions[:, None] + offsets
        attend = partial(batch.attend, bias=_bias(batch, among, model.dtype))
        model.transformer.read(und, gen, positions, attend, batch.store)
        newest = [batch.newest(b) for b in range(len(contexts))]
    return [_append(context, new, row, num_und) for context, new, row in zip(contexts, newest, places, strict=True)]


@dataclass(frozen=True)
class _Place:
    """Where a block lies: its rows among the und rows and among the gen rows, its first position and their number."""

    und: slice
    gen: slice
    first: int
    num_positions: int
    causal: bool


def _place(blocks: Sequence[Block]) -> list[_Place]:
    places, und, gen, position = [], 0, 0, 0
    for block in blocks:
        causal = isinstance(block, Words)
        num_und, num_gen = _sizes(block)
        num_positions = num_und if causal else 1
        places.append(_Place(slice(und, und + num_und), slice(gen, gen + num_gen), position, num_positions, causal))
        und, gen, position = und + num_und, gen + num_gen, position + num_positions
    return places


def _sizes(block: Block) -> tuple[int, int]:
    """Numbers of und and gen rows."""
    if isinstance(block, Words):
        return len(block.ids), 0
    return (2, len(block.tokens)) if isinstance(block, LatentPicture) else (2 + len(block.patches), 0)


def _embed(model: Bagel, markers: tuple[int, int], blocks: Sequence[Sequence[Block]]) -> tuple[Tensor, Tensor]:
    """The rows entering the first layer: und [B, Tu, D] and gen [B, Tg, D], each padded at the end with zeros.

    The vision encoder comes last: a card works on it while Python goes on, until something is brought there again.
    """
    texts = [block for row in blocks for block in row if isinstance(block, Words)]
    ids = torch.tensor([*markers, *(number for block in texts for number in block.ids)], device=model.device)
    start, end, *embedded = model.embed_ids(ids).split([1, 1, *(len(block.ids) for block in texts)])
    said = dict(zip(texts, embedded, strict=True))
    latents = dict(_embed_latents(model, [x for row in blocks for x in row if isinstance(x, LatentPicture)]))
    seen = dict(_embed_seen(model, [x for row in blocks for x in row if isinstance(x, SeenPicture)]))
    und, gen = [], []
    for row in blocks:
        parts = [start[:0]]
        for block in row:
            if isinstance(block, Words):
                parts.append(said[block])
            elif isinstance(block, LatentPicture):
                parts += [start, end]
            else:
                parts += [start, seen[block], end]
        und.append(torch.cat(parts))
        gen.append(torch.cat([start[:0], *(latents[block] for block in row if isinstance(block, LatentPicture))]))
    return pad_sequence(und, batch_first=True), pad_sequence(gen, batch_first=True)


def _embed_latents(model: Bagel, pictures: list[LatentPicture]) -> Iterator[tuple[LatentPicture, Tensor]]:
    if pictures:
        side, device = model.config.max_latent_size, model.device
        tokens = torch.cat([p.tokens.to(device) for p in pictures])
        positions = torch.cat([grid_positions(*p.grid, side, device) for p in pictures])
        rows = model.embed_latents(tokens, torch.zeros(1, device=device), positions)
        yield from zip(pictures, rows.split([len(p.tokens) for p in pictures]), strict=True)


def _embed_seen(model: Bagel, pictures: list[SeenPicture]) -> Iterator[tuple[SeenPicture, Tensor]]:
    """Pictures of one size go through the vision encoder as one batch."""
    sizes: dict[tuple[int, int], list[SeenPicture]] = defaultdict(list)
    for picture in pictures:
        sizes[picture.grid].append(picture)
    for grid, group in sizes.items():
        positions = grid_positions(*grid, model.config.vit_max_num_patch_per_side, model.device)
        patches = torch.stack([p.patches.to(model.device) for p in group])
        yield from zip(group, model.see(patches, positions.expand(len(group), -1)), strict=True)


def _layout(
    places: Sequence[Sequence[_Place]], num_und: int, num_gen: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Position offsets [B, T] of the new rows, and which of them see each other: bool [B, T, T], or None for all."""
    total = num_und + num_gen
    offset = torch.zeros(len(places), total, dtype=torch.long)
    split = torch.full((len(places), total), len(max(places, key=len)))  # padding: a last block, seen by nobody else
    causal = torch.zeros(len(places), total, dtype=torch.bool)
    for b, row in enumerate(places):
        for number, place in enumerate(row):
            for rows in (place.und, slice(num_und + place.gen.start, num_und + place.gen.stop)):
                split[b, rows], causal[b, rows], offset[b, rows] = number, place.causal, place.first
            if place.causal:
                offset[b, place.und] += torch.arange(place.num_positions)
    if not (causal.any() or split.any()):  # one picture a row, nothing padded
        return offset.to(device), None
    split, causal = split.to(device), causal.to(device)
    order, none = torch.arange(total, device=device), torch.zeros(total, dtype=torch.bool, device=device)
    among = torch.stack([dense(Rows(none, s, order, c, none)) for s, c in zip(split, causal, strict=True)])
    return offset.to(device), among


def _bias(batch: Batch, among: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What the new rows may see of the past and of each other: [B, 1, T, past + T], or None for all."""
    if among is None:
        return None
    past = batch.seen[:, None, : batch.filled].expand(-1, among.shape[1], -1)
    return as_bias(torch.cat((past, among), dim=2)[:, None], dtype)


def _append(context: Context, new: Tensor, places: Sequence[_Place], num_und: int) -> Context:
    """Cuts the new rows [L, 2, G, T, K] of one context into its blocks, each with memory of its own."""
    und, gen = new[..., :num_und, :], new[..., num_und:, :]
    for place in places:
        segment = torch.cat((und[..., place.und, :], gen[..., place.gen, :]), dim=3)
        context = context.append(segment, place.num_positions)
    return context
