"""SigLIP as BAGEL uses it (NaViT): pictures of any size as patches, learned positions, no last layer, no pooling.

B pictures, M patches, P numbers of a patch, D width, H heads, K head size.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from bagel.config import VisionConfig


class VisionLayer(nn.Module):
    """Pre-norm attention with biases and a tanh-GELU MLP."""

    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.heads = c.num_attention_heads
        self.norm1 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.qkv = nn.Linear(c.hidden_size, 3 * c.hidden_size)
        self.out = nn.Linear(c.hidden_size, c.hidden_size)
        self.norm2 = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.fc1 = nn.Linear(c.hidden_size, c.intermediate_size)
        self.fc2 = nn.Linear(c.intermediate_size, c.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = rearrange(self.qkv(self.norm1(x)), "b m (n h k) -> n b h m k", n=3, h=self.heads)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(rearrange(y, "b h m k -> b m (h k)"))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class VisionEncoder(nn.Module):
    """`vit_model` of the release. One layer fewer than vit_config.json counts, and the closing norm stays."""

    def __init__(self, c: VisionConfig, num_positions: int) -> None:
        super().__init__()
        self.patch = nn.Linear(c.patch_size**2 * c.num_channels, c.hidden_size)
        self.positions = nn.Embedding(num_positions, c.hidden_size)
        self.layers = nn.ModuleList(VisionLayer(c) for _ in range(c.num_layers))
        self.norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def forward(self, patches: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """patches [B, M, P], position ids [B, M] -> [B, M, D].

        `mask` (bool, broadcast to [B, 1, M, M], true = may see) serves rows that hold several pictures or padding.
        """
        x = self.patch(patches) + self.positions(positions)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


def cut_patches(pixels: Tensor, size: int) -> Tensor:
    """Pictures [B, 3, H, W] to patches [B, M, size * size * 3], row-major; inside a patch (row, column, channel)."""
    return rearrange(pixels, "b c (h p) (w q) -> b (h w) (p q c)", p=size, q=size)
