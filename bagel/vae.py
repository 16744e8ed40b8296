"""The FLUX autoencoder: pictures in [-1, 1] to scaled latents and back, under the release's parameter names.

B batch, C latent channels, H and W pixels, h and w latent pixels (H / downsample), N latent tokens, p token side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from bagel.config import AutoencoderConfig


class Autoencoder(nn.Module):
    """Encoder, decoder and the affine scale between them (bagel-spec 2.1 and 6.1).

    Its state dict is the release's ae.safetensors, key for key. `.to(memory_format=torch.channels_last)` makes it
    faster on the CPU; its norms are less exact then: 1e-5 in pictures, up to 1e-3 in latents of flat grey ones.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log variance, each [B, C, h, w], of pictures [B, 3, H, W] in [-1, 1]."""
        mean, logvar = self.encoder(pixels).chunk(2, dim=1)
        return mean, logvar

    def encode(self, pixels: Tensor, eps: Tensor | None = None) -> Tensor:
        """Scaled latent [B, C, h, w]: of the posterior's mean, or of its sample drawn with a normal `eps`."""
        mean, logvar = self.moments(pixels)
        z = mean if eps is None else mean + torch.exp(0.5 * logvar) * eps
        return self.config.scale_factor * (z - self.config.shift_factor)

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures [B, 3, H, W], nominally in [-1, 1], not clamped, from scaled latents [B, C, h, w]."""
        return self.decoder(latent / self.config.scale_factor + self.config.shift_factor)


def to_bytes(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] in [-1, 1] to uint8 [B, H, W, 3]; fractions are cut off, as the published code does."""
    scaled = (pixels.float() / 2 + 0.5).clamp(0, 1) * 255
    return rearrange(scaled.to(torch.uint8), "b c h w -> b h w c")


def patchify(latent: Tensor, p: int) -> Tensor:
    """[B, C, h * p, w * p] to tokens [B, h * w, p * p * C]; inside a token (row, column, channel). Crops the rest."""
    height, width = (side // p * p for side in latent.shape[-2:])
    return rearrange(latent[..., :height, :width], "b c (h p) (w q) -> b (h w) (p q c)", p=p, q=p)


def unpatchify(tokens: Tensor, h: int, w: int, p: int) -> Tensor:
    """The inverse of `patchify` on a grid of h rows and w columns."""
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=p, q=p)


class Encoder(nn.Module):
    def __init__(self, c: AutoencoderConfig) -> None:
        super().__init__()
        widths = [c.ch * m for m in (1, *c.ch_mult)]
        last = len(c.ch_mult) - 1
        self.conv_in = nn.Conv2d(c.in_channels, c.ch, 3, padding=1)
        self.down = nn.ModuleList(
            DownLevel(widths[i], widths[i + 1], c.num_res_blocks, c.norm_groups, shrink=i < last)
            for i in range(len(c.ch_mult))
        )
        self.mid = Middle(widths[-1], c.norm_groups)
        self.norm_out = nn.GroupNorm(c.norm_groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * c.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    def __init__(self, c: AutoencoderConfig) -> None:
        super().__init__()
        widths = [c.ch * m for m in c.ch_mult]
        inputs = [*widths[1:], widths[-1]]  # what each level receives from the coarser one
        self.conv_in = nn.Conv2d(c.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], c.norm_groups)
        self.up = nn.ModuleList(  # indexed by resolution, run from the coarsest (last) to the finest (0)
            UpLevel(inputs[i], widths[i], c.num_res_blocks + 1, c.norm_groups, grow=i > 0) for i in range(len(widths))
        )
        self.norm_out = nn.GroupNorm(c.norm_groups, widths[0], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[0], c.out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class DownLevel(nn.Module):
    def __init__(self, width_in: int, width: int, num_blocks: int, groups: int, shrink: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(width if i else width_in, width, groups) for i in range(num_blocks))
        self.downsample = Downsample(width) if shrink else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.downsample(x)


class UpLevel(nn.Module):
    def __init__(self, width_in: int, width: int, num_blocks: int, groups: int, grow: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(width if i else width_in, width, groups) for i in range(num_blocks))
        self.upsample = Upsample(width) if grow else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        return self.upsample(x)


class Middle(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(width, width, groups)
        self.attn_1 = PixelAttention(width, groups)
        self.block_2 = ResBlock(width, width, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class ResBlock(nn.Module):
    def __init__(self, width_in: int, width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in, eps=1e-6)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width, eps=1e-6)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return self.nin_shortcut(x) + y


class PixelAttention(nn.Module):
    """One head over all pixels."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.q = nn.Conv2d(width, width, 1)
        self.k = nn.Conv2d(width, width, 1)
        self.v = nn.Conv2d(width, width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (rearrange(conv(y), "b c h w -> b 1 (h w) c").contiguous() for conv in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(rearrange(y, "b 1 (h w) c -> b c h w", h=x.shape[2]))


class Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and bottom only


class Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
