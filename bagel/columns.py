"""A checkpoint as a plain CPU is quickest with it: rows stand as columns, pictures grow while they are convolved.

The arithmetic is that of transformer.py and vae.py, in float32 and on the same weights, summed in another order. A
matrix times columns, onto what is there already, takes 0.5 of the time that the same rows take in `F.linear` where they
are two, 0.85 where they are 64. A picture that is doubled and convolved is a transposed convolution of 4/9 of the work.

B batch, T rows of one kind, M = B * T columns, D width, H query heads, G key heads, K head size.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.model import Bagel
from bagel.transformer import Expert, Layer, RMSNorm, Rope, rotate
from bagel.vae import Decoder, UpLevel, Upsample
from bagel.weights import Checkpoint

Part = TypeVar("Part", bound=nn.Module)

_PARTS = {nn.ModuleList, Layer, Expert, RMSNorm, nn.Linear}  # of layers that nobody has changed
_FEW = 16  # columns that are multiplied faster where each lies in one piece


def in_columns(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint in this form, for use without gradients, or as it is where it is no plain one or MKL is missing.

    The given one stays as it is; but for the few convolutions that grow, its weights are shared.
    """
    model = checkpoint.model
    parts = {type(module) for module in model.transformer.layers.modules()}
    if not (is_plain(model) and parts <= _PARTS and torch.backends.mkl.is_available()):
        return checkpoint
    model = with_layers(model, (_Layer(layer) for layer in model.transformer.layers if isinstance(layer, Layer)))
    autoencoder = shallow(checkpoint.autoencoder)
    autoencoder.decoder = _growing(autoencoder.decoder)
    return replace(checkpoint, model=model, autoencoder=autoencoder)


def is_plain(model: Bagel) -> bool:
    """Whether a model computes in float32 on the CPU, all of it in this process."""
    alone = model.team is None and not any(part._forward_hooks for part in model.transformer.layers.modules())
    here = set(model.transformer.devices) <= {model.device} and model.device.type == "cpu"
    return alone and here and model.evaluations is None and model.dtype == torch.float32


def shallow(module: Part) -> Part:
    """A module of its own with the same children and parameters."""
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    return clone


def with_layers(model: Bagel, layers: Iterable[nn.Module]) -> Bagel:
    """A model of its own that has other layers and shares all else."""
    model = shallow(model)
    model.transformer = shallow(model.transformer)
    model.transformer.layers = nn.ModuleList(layers)
    return model


class _Layer(Layer):
    """Keys and queries are normed and rotated as one."""

    und: _Expert
    gen: _Expert

    def __init__(self, layer: Layer) -> None:
        nn.Module.__init__(self)
        self.und, self.gen = _Expert(layer.und), _Expert(layer.gen)

    def queries(self, und: Tensor, gen: Tensor, ropes: tuple[Rope, Rope]) -> tuple[Tensor, Tensor, Tensor]:
        kinds = zip((self.und, self.gen), (und, gen), ropes, strict=True)
        turned, values = zip(*(expert.turned(x, rope) for expert, x, rope in kinds if x.shape[1]), strict=True)
        qk, v = torch.cat(turned, dim=1).transpose(1, 2), torch.cat(values, dim=1).transpose(1, 2)
        return qk[:, : self.und.heads], qk[:, self.und.heads :], v


class _Expert(Expert):
    def __init__(self, expert: Expert) -> None:
        nn.Module.__init__(self)
        self.__dict__ |= shallow(expert).__dict__
        norms = [expert.q_norm] * self.heads + [expert.k_norm] * self.key_heads
        self.before, self.after = _scale(expert.input_norm)[:, None], _scale(expert.post_norm)[:, None]  # [D, 1]
        self.heads_before = torch.stack([_scale(norm) for norm in norms])  # [H + G, K]
        self.nothing = torch.zeros(1, 1)

    def turned(self, x: Tensor, rope: Rope) -> tuple[Tensor, Tensor]:
        """Rotated q and k [B, T, H + G, K] and plain v [B, T, G, K] of rows [B, T, D]."""
        rows = _normed(_columns(x), 0, self.before, self.input_norm.eps)
        qkv = _product(self.qkv.weight, rows, self.qkv.bias[:, None])  # [(H + 2G) * K, M]
        qkv = qkv.t().reshape(*x.shape[:2], -1, self.head_dim)
        qk, v = qkv.split([self.heads + self.key_heads, self.key_heads], dim=2)
        return rotate(_normed(qk, 3, self.heads_before, self.q_norm.eps), rope), v

    def finish(self, x: Tensor, attention: Tensor) -> Tensor:
        columns = _product(self.out.weight, _columns(attention), _columns(x))
        rows = _normed(columns, 0, self.after, self.post_norm.eps)
        gate, up = _product(self.gate_up.weight, rows, self.nothing).chunk(2)
        columns = _product(self.down.weight, F.silu(gate, inplace=True).mul_(up), columns)
        return columns.t().unflatten(0, x.shape[:2])


def _columns(x: Tensor) -> Tensor:
    """Rows [B, T, D] as columns [D, M]."""
    return x.flatten(0, 1).t()


def _scale(norm: RMSNorm) -> Tensor:
    """What a norm multiplies with, for a sum of squares in place of their mean."""
    return norm.weight.detach() * len(norm.weight) ** 0.5


def _normed(x: Tensor, dim: int, scale: Tensor, eps: float) -> Tensor:
    inverse = x.square().sum(dim, keepdim=True).add_(eps * x.shape[dim]).rsqrt_()  # of the length
    return (x * inverse).mul_(scale)


def _product(weight: Tensor, x: Tensor, onto: Tensor) -> Tensor:
    if x.shape[1] < _FEW:
        x = x.t().contiguous().t()
    return torch.addmm(onto, weight, x)


def _growing(decoder: Decoder) -> Decoder:
    decoder = shallow(decoder)
    levels = [shallow(level) for level in decoder.up if isinstance(level, UpLevel)]
    for level in levels:
        if isinstance(level.upsample, Upsample):
            level.add_module("upsample", _transposed(level.upsample.conv))
    decoder.up = nn.ModuleList(levels)
    return decoder


def _transposed(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """What doubles a picture (nearest) and then convolves it 3x3, as one: each new pixel sees 2x2 old ones."""
    with torch.device("meta"):
        grown = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    sums = F.avg_pool2d(F.pad(conv.weight.detach(), (1, 1, 1, 1)), 2, stride=1, divisor_override=1)
    weight = sums.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    grown.weight, grown.bias = nn.Parameter(weight, requires_grad=False), conv.bias
    return grown
