"""Training as published: samples of words and pictures packed into one sequence, and the two losses on it.

T rows of the packed sequence, I text rows, N latent tokens, M patches, P numbers of a token, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bagel.attention import Rows, as_bias, attention, dense
from bagel.embed import grid_positions
from bagel.model import Bagel

Kind = Literal["text", "vae", "vit"]
Mode = Literal["causal", "full", "noise"]


@dataclass(frozen=True)
class Item:
    """One step of a sample's plan: a text, a picture as latents (with a loss: noised), or a picture for the ViT."""

    kind: Kind
    ids: tuple[int, ...] = ()  # of a text, without its start and end
    grid: tuple[int, int] = (0, 0)  # of a picture: rows, columns
    loss: bool = False
    droppable: bool = False  # whether it is a condition that dropout may remove


@dataclass
class Layout:
    """Where everything lies in the packed sequence (bagel-spec 9.1). Rows are numbered as published."""

    sample_lens: list[int] = field(default_factory=list)
    split_lens: list[int] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)  # one a split
    positions: list[int] = field(default_factory=list)  # [T] rotary
    text_ids: list[int] = field(default_factory=list)  # [I] words and picture markers
    text_rows: list[int] = field(default_factory=list)  # [I]
    latent_rows: list[int] = field(default_factory=list)  # [N]
    latent_grids: list[tuple[int, int]] = field(default_factory=list)
    noised: list[bool] = field(default_factory=list)  # one a latent picture
    patch_rows: list[int] = field(default_factory=list)  # [M]
    patch_grids: list[tuple[int, int]] = field(default_factory=list)
    ce_texts: list[int] = field(default_factory=list)  # which of the I text rows have a loss
    labels: list[int] = field(default_factory=list)  # of those rows
    ce_weights: list[float] = field(default_factory=list)  # of those rows: 1 / sqrt(length of the text)
    mse_latents: list[int] = field(default_factory=list)  # which of the N latents have a loss


def pack(
    samples: Sequence[Sequence[Item]],
    text_markers: tuple[int, int],
    image_markers: tuple[int, int],
    dropped: Callable[[Item], bool] = lambda item: False,
) -> Layout:
    """Lays samples out one after the other.

    The markers are the token ids around a text and around a picture. `dropped` is asked for every droppable item: a
    dropped picture still takes its position, a dropped text takes none. A noised picture takes no position, so the
    clean copy that follows shares it.
    """
    layout = Layout()
    for sample in samples:
        first_row, position = len(layout.positions), 0
        for item in sample:
            if item.droppable and dropped(item):
                position += item.kind != "text"
            elif item.kind == "text":
                position += _add_text(layout, item, position, text_markers)
            else:
                _add_picture(layout, item, position, image_markers)
                position += not item.loss
        layout.sample_lens.append(len(layout.positions) - first_row)
    return layout


def _add_text(layout: Layout, item: Item, position: int, markers: tuple[int, int]) -> int:
    ids = [markers[0], *item.ids, markers[1]]
    first, row = len(layout.text_ids), len(layout.positions)
    if item.loss:  # the end token itself predicts nothing
        num_labels = len(ids) - 1
        layout.ce_texts += range(first, first + num_labels)
        layout.labels += ids[1:]
        layout.ce_weights += [num_labels**-0.5] * num_labels
    layout.text_ids += ids
    layout.text_rows += range(row, row + len(ids))
    layout.positions += range(position, position + len(ids))
    layout.split_lens.append(len(ids))
    layout.modes.append("causal")
    return len(ids)


def _add_picture(layout: Layout, item: Item, position: int, markers: tuple[int, int]) -> None:
    row, size = len(layout.positions), item.grid[0] * item.grid[1]
    inner = range(row + 1, row + 1 + size)
    if item.kind == "vae":
        if item.loss:
            layout.mse_latents += range(len(layout.latent_rows), len(layout.latent_rows) + size)
        layout.latent_rows += inner
        layout.latent_grids.append(item.grid)
        layout.noised.append(item.loss)
    else:
        layout.patch_rows += inner
        layout.patch_grids.append(item.grid)
    layout.text_ids += markers
    layout.text_rows += [row, row + 1 + size]
    layout.positions += [position] * (size + 2)
    layout.split_lens.append(size + 2)
    layout.modes.append("noise" if item.loss else "full")


@dataclass(frozen=True)
class Inputs:
    """The numbers that go into a layout, in its order."""

    latents: Tensor  # [N, P] clean
    noise: Tensor  # [N, P] normal
    t: Tensor  # [N] flow times, 0 where the picture is clean
    patches: Tensor  # [M, P']


@dataclass(frozen=True)
class Losses:
    """Squared error of the velocity [N', P], cross entropy [I'], and the weights of the latter [I']."""

    mse: Tensor
    ce: Tensor
    ce_weights: Tensor

    def total(self, ce_weight: float = 1.0, mse_weight: float = 1.0, reweight: bool = False) -> Tensor:
        """The weighted sum of both means (bagel-spec 9.3); a kind of loss without rows counts 0."""
        weights = self.ce_weights if reweight else torch.ones_like(self.ce_weights)
        ce = (self.ce * weights).sum() / weights.sum().clamp(min=1e-9)
        mse = self.mse.sum() / max(self.mse.numel(), 1)
        return ce_weight * ce + mse_weight * mse


def times(draws: Tensor, shift: float) -> Tensor:
    """Flow times from normal draws: sigmoid, then the shift; -inf becomes 0, a clean picture."""
    sigma = torch.sigmoid(draws)
    return shift * sigma / (1 + (shift - 1) * sigma)


def rows_in(model: Bagel, layout: Layout, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The rows entering the first layer: und [1, I + M, D] (words, then patches) and gen [1, N, D] (latents)."""
    c, device = model.config, model.device
    x_t = torch.lerp(inputs.latents, inputs.noise, inputs.t[:, None])
    grid = [grid_positions(*g, c.max_latent_size, device) for g in layout.latent_grids]
    gen = model.embed_latents(x_t, inputs.t, torch.cat(grid)) if grid else model.embed_ids(_ids(model, []))
    und = model.embed_ids(_ids(model, layout.text_ids))
    if layout.patch_grids:
        grid = [grid_positions(*g, c.vit_max_num_patch_per_side, device) for g in layout.patch_grids]
        owner = torch.repeat_interleave(_ids(model, range(len(grid))), _ids(model, [len(g) for g in grid]))
        alone = owner[:, None] == owner  # [M, M] a picture sees itself only
        seen = model.embed_patches(inputs.patches[None], torch.cat(grid)[None], alone[None, None])[0]
        und = torch.cat((und, seen))
    return und[None], gen[None]


def rows_out(model: Bagel, layout: Layout, und: Tensor, gen: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows after the final norms."""
    index = _ids(model, published_rows(layout))
    rows = mask_rows(layout, model.device)
    sorted_rows = Rows(*(x[index] for x in (rows.sample, rows.split, rows.order, rows.causal, rows.noise)))
    bias = as_bias(dense(sorted_rows), und.dtype)[None, None]
    positions = _ids(model, layout.positions)[index]
    return model.transformer(und, gen, positions[None], lambda _, q, k, v: attention(q, k, v, bias))


def losses(model: Bagel, layout: Layout, inputs: Inputs) -> Losses:
    """Both losses, one number a label and one a latent channel."""
    und, gen = rows_out(model, layout, *rows_in(model, layout, inputs))
    return losses_of(model, layout, inputs, und, gen)


def losses_of(model: Bagel, layout: Layout, inputs: Inputs, und: Tensor, gen: Tensor) -> Losses:
    """Both losses from the rows after the final norms."""
    texts, latents = _ids(model, layout.ce_texts), _ids(model, layout.mse_latents)
    velocity = (inputs.noise - inputs.latents)[latents]
    mse = (model.llm2vae(gen[0, latents]) - velocity) ** 2
    logits = model.transformer.head(und[0, texts])  # [I', V]
    ce = F.cross_entropy(logits.float(), _ids(model, layout.labels), reduction="none")
    return Losses(mse, ce, torch.tensor(layout.ce_weights, device=model.device))


def published_rows(layout: Layout) -> list[int]:
    """The published row of each of ours, which are sorted: words and patches, then latents."""
    return layout.text_rows + layout.patch_rows + layout.latent_rows


def mask_rows(layout: Layout, device: torch.device) -> Rows:
    """What decides who sees whom, in the published order of rows."""
    make = partial(torch.tensor, device=device)
    lens, num_rows = make(layout.split_lens), len(layout.positions)
    return Rows(
        sample=torch.repeat_interleave(make(range(len(layout.sample_lens))), make(layout.sample_lens)),
        split=torch.repeat_interleave(make(range(len(lens))), lens),
        order=torch.arange(num_rows, device=device),
        causal=torch.repeat_interleave(make([mode == "causal" for mode in layout.modes]), lens),
        noise=torch.repeat_interleave(make([mode == "noise" for mode in layout.modes]), lens),
    )


def _ids(model: Bagel, values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=model.device)
