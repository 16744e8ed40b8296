"""Products of bytes: what comes in is rounded to 8 bits as it comes, on CPUs that multiply those faster than floats.

Every row and every picture has a scale of its own, so that none depends on what else is in its batch.

B batch, R rows, C numbers of a row, O outputs, H and W pixels.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.vae import Decoder, ResBlock, Upsample

# Where zero lies among the 256 steps of a convolution's input.
_AFTER_SILU = 32  # never below -0.28
_MIDDLE = 128


@functools.cache
def multiplies_bytes() -> bool:
    """Whether this CPU multiplies bytes several times as fast as floats, and torch has the products for it."""
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    known = hasattr(torch.ops.onednn, "qconv_pointwise") and torch.backends.mkldnn.is_available()
    return known and bool(can.get("avx512_vnni") or can.get("avx_vnni"))


def product(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Rows x [R, C], rounded, times an int8 matrix [O, C] with a scale for each of its rows [O]: [R, O] in float32.

    Measured on the tiny model: predictions differ from those of float32 by what 42 dB means, on average.
    """
    step = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127)
    whole = (x / step).round_().to(torch.int8)
    return (torch._int_mm(whole, weight.t()) * step).mul_(scale)


def round_convolutions(decoder: Decoder) -> None:
    """Lets the 3x3 convolutions of an autoencoder's decoder take rounded pictures, for good; its weights stay.

    The first and the last one stay exact: they cost most in likeness and least in time.
    """
    for module in decoder.modules():
        if isinstance(module, ResBlock):
            for conv in (module.conv1, module.conv2):
                conv.forward = _Rounded(conv, _AFTER_SILU)
        elif isinstance(module, Upsample):
            module.forward = _Rounded(module.conv, _MIDDLE, grows=True)


class _Rounded:
    """A 3x3 convolution of pictures [B, C, H, W] that are rounded one by one; `grows` doubles their sides before."""

    def __init__(self, conv: nn.Conv2d, zero: int, grows: bool = False) -> None:
        weight = conv.weight.detach()
        self.zero, self.grows, self.bias = zero, grows, conv.bias
        self.scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / 127
        self.zeros = torch.zeros(len(weight), dtype=torch.long)
        whole = (weight / self.scale[:, None, None, None]).round().to(torch.int8)
        self.packed = torch.ops.onednn.qconv_prepack(whole, self.scale, 1.0, zero, [1, 1], [1, 1], [1, 1], 1, None)

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return torch.cat([self(one) for one in x.split(1)])
        largest = x.amax() if self.zero == _AFTER_SILU else x.abs().amax()
        step = max(largest.item() / (255 - self.zero), 0.2785 / self.zero if self.zero == _AFTER_SILU else 1e-12)
        whole = torch.add(torch.tensor(self.zero + 0.5), x, alpha=1 / step).to(torch.uint8)
        if self.grows:
            whole = F.interpolate(whole, scale_factor=2.0, mode="nearest")
        where = ([1, 1], [1, 1], [1, 1], 1)  # stride, padding, dilation, groups
        return torch.ops.onednn.qconv_pointwise(
            whole, step, self.zero, self.packed, self.scale, self.zeros, self.bias, *where, 1.0, 0, torch.float32,
            "none", [], "",
        )  # fmt: skip
