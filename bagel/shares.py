"""Tensor parallelism: every process holds some heads and some of the MLP's width; two sums a layer join them.

The MLP's width is divided as evenly as whole blocks allow, by any number of processes. Heads are divided where that
number divides the key heads; where it does not, every process does all of attention.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bagel.config import LanguageConfig
from bagel.placement import Share
from bagel.precision import NF4_BLOCK
from bagel.transformer import Expert, Transformer


def share_matrices(transformer: Transformer, share: Share) -> None:
    """Makes the experts of a transformer on the meta device as small as this process's share.

    Raises ValueError for more processes than the MLP's width has blocks.
    """
    c, width = transformer.config, _width(transformer.config, share)
    num_heads, key_heads = c.num_attention_heads, c.num_key_value_heads
    if heads_are_shared(c, share):
        num_heads, key_heads = num_heads // share.count, key_heads // share.count
    for expert in _experts(transformer):
        with torch.device("meta"):
            expert.heads, expert.key_heads = num_heads, key_heads
            expert.qkv = nn.Linear(c.hidden_size, (num_heads + 2 * key_heads) * c.head_dim)
            expert.out = nn.Linear(num_heads * c.head_dim, c.hidden_size, bias=False)
            expert.gate_up = nn.Linear(c.hidden_size, 2 * len(width), bias=False)
            expert.down = nn.Linear(len(width), c.hidden_size, bias=False)


def join(transformer: Transformer, share: Share, group: dist.ProcessGroup | None = None) -> None:
    """Adds up what the shares of a group (None: of all processes) make of a row, on a transformer that is filled."""
    c = transformer.config

    def add_up(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor:
        dist.all_reduce(result, group=group)
        return result

    hook: Callable[..., Any] = torch.compiler.disable(add_up)  # compiled code ends before a sum and begins behind it
    for expert in _experts(transformer):
        expert.down.register_forward_hook(hook)
        if heads_are_shared(c, share):
            expert.out.register_forward_hook(hook)
    if heads_are_shared(c, share):  # what a layout of keys and values goes by
        transformer.config = replace(c, num_key_value_heads=c.num_key_value_heads // share.count)


def heads_are_shared(c: LanguageConfig, share: Share) -> bool:
    return c.num_key_value_heads % share.count == 0


def cut(tensor: Tensor, key: str, c: LanguageConfig, share: Share) -> Tensor:
    """The share of one of the release's tensors: rows of what makes heads or width, columns of what reads them."""
    found = re.search(r"layers\.\d+\.(?:self_attn|mlp\w*)\.([a-z]+)_proj", key)
    if found is None or "vision_model" in key:
        return tensor
    part = found[1]
    if part in ("gate", "up", "down"):
        width = _width(c, share)
        return tensor[:, width.start : width.stop] if part == "down" else tensor[width.start : width.stop]
    if not heads_are_shared(c, share):
        return tensor
    return tensor.chunk(share.count, dim=1 if part == "o" else 0)[share.rank]


def _width(c: LanguageConfig, share: Share) -> range:
    """The numbers of the MLP's width that a process holds, in whole blocks where the width has them."""
    block = next(size for size in (NF4_BLOCK, 16, 1) if c.intermediate_size % size == 0)
    if c.intermediate_size // block < share.count:
        block = 1
    if c.intermediate_size < share.count:
        raise ValueError(f"an MLP of width {c.intermediate_size} cannot be divided among {share.count} processes")
    bounds = [round(i * c.intermediate_size / block / share.count) * block for i in (share.rank, share.rank + 1)]
    return range(*bounds)


def _experts(transformer: Transformer) -> list[Expert]:
    return [expert for layer in transformer.layers for expert in layer.children() if isinstance(expert, Expert)]
