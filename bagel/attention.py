"""Attention over grouped key heads, and the one rule of who may see whom, as a dense mask and as a predicate.

B batch, H query heads, G key heads, R = H / G, T query rows, S key rows, K head size. `attention` leaves the choice of
a kernel to torch; kernels.py knows others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# (q [B, H, T, K], k [B, G, S, K], v [B, G, S, K]) -> [B, H, T, K]; every row sees all.
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """q [B, H, T, K] over k, v [B, G, S, K] -> [B, H, T, K].

    `bias` is added to the scores: float [B or 1, 1, T or 1, S], 0 where a row may look and -inf where not.
    """
    groups = k.shape[1]
    if bias is None and q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    # Query heads of one key head become rows: every kernel can do that, and a key is read once.
    repeats = q.shape[1] // groups
    rows = rearrange(q, "b (g r) t k -> b g (r t) k", g=groups)
    if bias is not None and bias.shape[2] > 1:
        bias = bias.repeat(1, 1, repeats, 1)
    out = F.scaled_dot_product_attention(rows, k, v, attn_mask=bias)
    return rearrange(out, "b g (r t) k -> b (g r) t k", r=repeats)


@dataclass(frozen=True)
class Rows:
    """What decides who sees whom: one number a row, each field [T], all on one device (bagel-spec 9.2)."""

    sample: Tensor  # int, rows of different samples are strangers
    split: Tensor  # int, the block of a row, growing along the sequence
    order: Tensor  # int, the place in the sequence
    causal: Tensor  # bool, whether the row's block is read from left to right
    noise: Tensor  # bool, whether the row's block is seen by itself alone


def visible(rows: Rows, i: Tensor, j: Tensor) -> Tensor:
    """Whether row i may see row j: bool, for index tensors that broadcast (flex_attention's predicate)."""
    inside = ~rows.causal[i] | (rows.order[j] <= rows.order[i])
    earlier = (rows.split[j] < rows.split[i]) & ~rows.noise[j]
    return (rows.sample[i] == rows.sample[j]) & torch.where(rows.split[i] == rows.split[j], inside, earlier)


def dense(rows: Rows) -> Tensor:
    """`visible` for all pairs: bool [T, T]."""
    index = torch.arange(len(rows.split), device=rows.split.device)
    return visible(rows, index[:, None], index[None])


def as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool mask (true = may see) as what `attention` adds to the scores."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
