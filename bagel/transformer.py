"""The Mixture-of-Transformers: two experts of one shape, one joint attention.

Rows come sorted by expert: `und` rows (words, picture features, the two markers around a latent picture) and `gen`
rows (latents), so no row is gathered or scattered. Attention sees them concatenated, [und | gen]; what may see what
is the business of the `attend` function that the caller passes in.

B batch, Tu und rows, Tg gen rows, T = Tu + Tg, D width, H query heads, G key heads, K head size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bagel.config import LanguageConfig

# (layer, q [B, H, T, K], k [B, G, T, K], v [B, G, T, K]) -> [B, H, T, K]; rows are [und | gen], q and k are rotated.
# None instead of a result: only the keys and values were wanted, nothing follows.
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor | None]
Rope = tuple[Tensor, Tensor]  # cos and sin [B, T, 1, K]


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Expert(nn.Module):
    """One layer's weights for one kind of row: norms, fused q/k/v, output, SwiGLU."""

    def __init__(self, c: LanguageConfig) -> None:
        super().__init__()
        self.heads, self.key_heads, self.head_dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        self.input_norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.qkv = nn.Linear(c.hidden_size, (self.heads + 2 * self.key_heads) * self.head_dim)
        self.q_norm = RMSNorm(self.head_dim, c.rms_norm_eps)
        self.k_norm = RMSNorm(self.head_dim, c.rms_norm_eps)
        self.out = nn.Linear(self.heads * self.head_dim, c.hidden_size, bias=False)
        self.post_norm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.gate_up = nn.Linear(c.hidden_size, 2 * c.intermediate_size, bias=False)
        self.down = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def queries(self, x: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated q, k and plain v of rows [B, T, D]: [B, heads, T, K]."""
        qkv = self.qkv(self.input_norm(x)).unflatten(-1, (-1, self.head_dim))
        q, k, v = qkv.split([self.heads, self.key_heads, self.key_heads], dim=-2)
        q, k = rotate(self.q_norm(q), rope), rotate(self.k_norm(k), rope)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def store(self, x: Tensor, rope: Rope, queries: Tensor, keys: Tensor, values: Tensor) -> None:
        """The same, written to their places [B, T, heads, K]."""
        for place, rows in zip((queries, keys, values), Expert.queries(self, x, rope), strict=True):
            place.copy_(rows.transpose(1, 2))

    def finish(self, x: Tensor, attention: Tensor) -> Tensor:
        """Residuals of attention [B, T, H * K] and SwiGLU."""
        x = x + self.out(attention)
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Layer(nn.Module):
    """Two experts, who meet in attention."""

    def __init__(self, c: LanguageConfig) -> None:
        super().__init__()
        self.und = Expert(c)
        self.gen = Expert(c)

    def forward(
        self,
        und: Tensor,
        gen: Tensor,
        ropes: tuple[Rope, Rope],
        attend: Callable[[Tensor, Tensor, Tensor], Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        attended = attend(*self.queries(und, gen, ropes))
        return (und, gen) if attended is None else self.finish(und, gen, attended)

    def finish(self, und: Tensor, gen: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        """Both kinds of rows after attention [B, H, T, K]."""
        split = und.shape[1]
        out = attended.transpose(1, 2).flatten(2)  # [B, T, H * K]
        if split:
            und = self.und.finish(und, out[:, :split])
        if gen.shape[1]:
            gen = self.gen.finish(gen, out[:, split:])
        return und, gen

    def queries(self, und: Tensor, gen: Tensor, ropes: tuple[Rope, Rope]) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated q, k and plain v of all rows: [B, heads, T, K]."""
        if gen.shape[1] == 0:
            return self.und.queries(und, ropes[0])
        if und.shape[1] == 0:
            return self.gen.queries(gen, ropes[1])
        pairs = zip(self.und.queries(und, ropes[0]), self.gen.queries(gen, ropes[1]), strict=True)
        q, k, v = (torch.cat(pair, dim=2) for pair in pairs)
        return q, k, v


class Transformer(nn.Module):
    """`language_model` of the release: token embedding, layers, final norms, head (embedding and head untied)."""

    devices: tuple[torch.device, ...] = ()  # of each layer, where they are not all at home
    recompute: bool = False  # in training: a layer is computed again for its gradients instead of being kept

    def __init__(self, c: LanguageConfig) -> None:
        super().__init__()
        self.config = c
        self.embed = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm_und = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.norm_gen = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)

    def forward(self, und: Tensor, gen: Tensor, positions: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """und [B, Tu, D], gen [B, Tg, D], positions int [B, Tu + Tg] -> both after the final norms."""
        und, gen = self.hidden(und, gen, positions, attend)
        return self.norm_und(und), self.norm_gen(gen)

    def hidden(self, und: Tensor, gen: Tensor, positions: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """As `forward`, before the final norms."""
        ropes = rotary(positions, und.shape[1], self.config, und.dtype)
        for index, layer in enumerate(self.layers):
            call = partial(checkpoint, layer, use_reentrant=False) if self.recompute else layer
            und, gen = call(und, gen, ropes, partial(attend, index))
        return und, gen

    def read(
        self, und: Tensor, gen: Tensor, positions: Tensor, attend: Attend, store: Callable[[int, Tensor, Tensor], None]
    ) -> None:
        """As `hidden`, for the keys and values alone: of the last layer they go to `store(layer, k, v)`."""
        last = len(self.layers) - 1

        def attend_or_store(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
            return attend(layer, q, k, v) if layer < last else store(layer, k, v)

        self.hidden(und, gen, positions, attend_or_store)


def rotary(positions: Tensor, split: int, c: LanguageConfig, dtype: torch.dtype) -> tuple[Rope, Rope]:
    """Of the first `split` rows (und) and of the others (gen) of positions [B, T], in `dtype`, computed in float32;
    half-split form (bagel-spec 7.1). Two tensors of their own, not views of one: compiled code knows them again.
    """
    frequency = c.rope_theta ** (-torch.arange(0, c.head_dim, 2, device=positions.device).float() / c.head_dim)

    def turned(rows: Tensor) -> Rope:
        angle = rows[..., None].float() * frequency
        angle = torch.cat((angle, angle), dim=-1)[:, :, None]
        return angle.cos().to(dtype), angle.sin().to(dtype)

    return turned(positions[:, :split]), turned(positions[:, split:])


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """x [B, T, heads, K] turned by its position."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
