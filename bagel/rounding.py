"""A checkpoint that multiplies bytes: for whoever wants speed most, on CPUs where that is several times as fast.

Rows and pictures are rounded to 8 bits as they come. Predictions of the tiny model are at 42 dB of those in float32,
what its decoder draws at 52 dB. A number that falls to the other side in another batch size is a whole step off: a row
of a batch may differ from the same step alone by more than the 2 grey levels that float32 keeps to (33 were seen).

B batch, C channels, H and W pixels.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.columns import is_plain, shallow, with_layers
from bagel.precision import Int8Linear, pack
from bagel.vae import Decoder, ResBlock, Upsample
from bagel.weights import Checkpoint

_SILU_MIN = -0.2785  # nothing that SiLU gives is lower
_AFTER_SILU, _MIDDLE = 32, 128  # where zero lies among the 256 steps of a convolution's input


@functools.cache
def multiplies_bytes() -> bool:
    """Whether this CPU multiplies bytes several times as fast as floats, and torch has the products for it."""
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    known = hasattr(torch.ops.onednn, "qconv_pointwise") and torch.backends.mkldnn.is_available()
    return known and bool(can.get("avx512_vnni") or can.get("avx_vnni"))


def rounded(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with rounded products in the experts and the decoder, or as it is where that gains nothing.

    The given one stays as it is; weights that are not rounded are shared with it.
    """
    model = checkpoint.model
    if not (is_plain(model) and multiplies_bytes()):
        return checkpoint
    autoencoder = copy.deepcopy(checkpoint.autoencoder)
    _round_convolutions(autoencoder.decoder)
    layers = [_rounded(layer) for layer in model.transformer.layers]
    return replace(checkpoint, model=with_layers(model, layers), autoencoder=autoencoder)


def _rounded(layer: nn.Module) -> nn.Module:
    layer = shallow(layer)
    for kind, expert in list(layer.named_children()):
        expert = shallow(expert)
        for name, linear in list(expert.named_children()):
            if isinstance(linear, nn.Linear):
                setattr(expert, name, _packed(linear))
        setattr(layer, kind, expert)
    return layer


class RoundedLinear(Int8Linear):
    """int8 with a scale a row, times rows that are rounded as they come, each with a scale of its own."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        step = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127)
        whole = (rows / step).round_().to(torch.int8)
        product = torch._int_mm  # pyright: ignore[reportPrivateImportUsage] - torch has had no other name for it
        y = (product(whole, self.weight.t()) * step).mul_(self.weight_scale.float()).unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias


def _packed(linear: nn.Linear) -> RoundedLinear:
    with torch.device("meta"):
        packed = RoundedLinear(linear.in_features, linear.out_features, linear.bias is not None)
    packed.weight, packed.weight_scale = pack(linear.weight.detach(), "int8").values()
    packed.bias = linear.bias
    return packed


def _round_convolutions(decoder: Decoder) -> None:
    """Lets the 3x3 convolutions take rounded pictures; the first and the last, which cost likeness, stay exact.

    One picture at a time: its scale is its own then, and it looks the same in every batch.
    """
    for module in decoder.modules():
        if isinstance(module, ResBlock):
            for conv in (module.conv1, module.conv2):
                conv.__dict__["forward"] = _Rounded(conv, _AFTER_SILU)
        elif isinstance(module, Upsample):
            module.forward = _Rounded(module.conv, _MIDDLE, grows=True)
    forward = decoder.forward
    decoder.forward = lambda z: torch.cat([forward(one) for one in z.split(1)])


class _Rounded:
    """A 3x3 convolution of a picture [1, C, H, W] that is rounded first; `grows` doubles its sides in between."""

    def __init__(self, conv: nn.Conv2d, zero: int, grows: bool = False) -> None:
        weight = conv.weight.detach()
        self.zero, self.grows, self.bias = zero, grows, conv.bias
        self.scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / 127
        self.no_shift = torch.zeros(len(weight), dtype=torch.long)
        whole = (weight / self.scale[:, None, None, None]).round().to(torch.int8)
        ones = [1, 1]  # stride, padding and dilation
        self.packed = torch.ops.onednn.qconv_prepack(whole, self.scale, 1.0, zero, ones, ones, ones, 1, None)

    def __call__(self, x: Tensor) -> Tensor:
        largest = (x if self.zero == _AFTER_SILU else x.abs()).amax().item()
        lowest = _SILU_MIN if self.zero == _AFTER_SILU else -1e-12
        step = max(largest / (255 - self.zero), lowest / -self.zero)
        whole = torch.add(torch.tensor(self.zero + 0.5), x, alpha=1 / step).to(torch.uint8)
        if self.grows:
            whole = F.interpolate(whole, scale_factor=2.0, mode="nearest")
        weight = (self.packed, self.scale, self.no_shift, self.bias)
        how = ([1, 1], [1, 1], [1, 1], 1)  # stride, padding, dilation, groups
        out = (1.0, 0, torch.float32, "none", [], "")  # floats, and nothing done to them
        return torch.ops.onednn.qconv_pointwise(whole, step, self.zero, *weight, *how, *out)
