"""How the big matrices are kept: whole numbers with a scale a row, 8-bit floats, or NF4; everything else stays as is.

A packed matrix is a few tensors whose first dimension is its rows, so that matrices may be joined or cut by rows
without unpacking. The Linear modules here hold such tensors; the model's own code never sees which it has.

R rows (outputs), C columns (inputs), M rows that are multiplied.
"""

from __future__ import annotations

import functools
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.transformer import Transformer
from world.errors import ModelError

Precision = Literal["float32", "bfloat16", "float16", "fp8", "int8", "nf4"]
PACKED = ("fp8", "int8", "nf4")
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "int8": 1.0, "nf4": 0.5 + 4 / 64}  # a number
NF4_BLOCK = 64  # neighbours in a row that share one scale
FP8_MAX = 448.0  # largest number of float8_e4m3fn


def check_precision(precision: str) -> Precision:
    """Raises ValueError for an unknown name."""
    if precision not in get_args(Precision):
        raise ValueError(f"precision is one of {', '.join(get_args(Precision))}, got {precision!r}")
    return cast(Precision, precision)


def can_run(precision: Precision, device: torch.device) -> str:
    """Why matrices of this precision cannot be used on the device, with the cure; "" when they can."""
    if precision == "nf4":
        try:
            import bitsandbytes  # noqa: F401 # pyright: ignore[reportMissingImports]
        except ImportError:
            return "nf4 needs bitsandbytes: pip install bitsandbytes, or choose int8"
    if precision == "fp8" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        name = torch.cuda.get_device_name(device)
        return f"fp8 needs an Ada or Hopper card (compute capability 8.9), {name} is older: choose int8 or nf4"
    return ""


def fits(precision: str, columns: int) -> bool:
    """Whether a matrix of so many columns can be packed: the kernels want whole blocks of a row."""
    return columns % {"nf4": NF4_BLOCK, "fp8": 16}.get(precision, 1) == 0


def pack(weight: Tensor, precision: str) -> dict[str, Tensor]:
    """A matrix [R, C] as "weight" and its "scale" [R] or "absmax" [R, C / 64], each with R rows."""
    if precision == "nf4":
        from bitsandbytes.functional import quantize_4bit  # pyright: ignore[reportMissingImports]

        packed, state = quantize_4bit(weight.contiguous(), blocksize=NF4_BLOCK, quant_type="nf4")
        return {"weight": packed.view(len(weight), -1), "absmax": state.absmax.view(len(weight), -1)}
    largest = {"int8": 127.0, "fp8": FP8_MAX}[precision]
    rows = weight.float()
    scale = (rows.abs().amax(dim=1) / largest).clamp(min=1e-7)
    if precision == "fp8":
        return {"weight": (rows / scale[:, None]).to(torch.float8_e4m3fn), "scale": scale}
    scale = scale.half()
    whole = (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return {"weight": whole, "scale": scale}


def unpack(pieces: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix [R, C] that `pack` took, as near as its precision allows."""
    weight = pieces["weight"]
    if "absmax" not in pieces:
        return (weight.float() * pieces["scale"].float()[:, None]).to(dtype)
    from bitsandbytes.functional import QuantState, dequantize_4bit  # pyright: ignore[reportMissingImports]

    shape = torch.Size((weight.shape[0], 2 * weight.shape[1]))
    state = QuantState(pieces["absmax"].flatten(), shape, _nf4_numbers(weight.device), NF4_BLOCK, "nf4", dtype)
    return dequantize_4bit(weight.reshape(-1, 1), state)


@functools.cache
def _nf4_numbers(device: torch.device) -> Tensor:
    """The sixteen numbers, brought to a device once: a graph that is being captured cannot wait for them."""
    from bitsandbytes.functional import get_4bit_type  # pyright: ignore[reportMissingImports]

    with torch.inference_mode(False):
        return get_4bit_type("nf4", device=device, blocksize=NF4_BLOCK)


class PackedLinear(nn.Module):
    """A Linear whose matrix is packed; `bias` [R], where there is one, is a plain parameter."""

    precision: Precision
    weight: Tensor
    bias: Tensor | None

    def __init__(self, columns: int, rows: int, bias: bool) -> None:
        super().__init__()
        for leaf, tensor in self.empty(rows, columns).items():
            self.register_buffer("weight" if leaf == "weight" else f"weight_{leaf}", tensor)
        self.register_parameter("bias", nn.Parameter(torch.empty(rows)) if bias else None)

    @staticmethod
    def empty(rows: int, columns: int) -> dict[str, Tensor]:
        raise NotImplementedError

    @property
    def pieces(self) -> dict[str, Tensor]:
        """The packed tensors under the names of `pack`."""
        return {name.removeprefix("weight_"): tensor for name, tensor in self.named_buffers(recurse=False)}


class Int8Linear(PackedLinear):
    """int8 with a scale a row; the product is taken in the rows' own dtype."""

    precision = "int8"
    weight_scale: Tensor

    @staticmethod
    def empty(rows: int, columns: int) -> dict[str, Tensor]:
        return {
            "weight": torch.empty(rows, columns, dtype=torch.int8),
            "scale": torch.empty(rows, dtype=torch.float16),
        }

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight.to(x.dtype)) * self.weight_scale.to(x.dtype)
        return y if self.bias is None else y + self.bias


class Fp8Linear(PackedLinear):
    """float8 with a scale a row; the rows that come in are scaled and rounded one by one as they come."""

    precision = "fp8"
    weight_scale: Tensor

    @staticmethod
    def empty(rows: int, columns: int) -> dict[str, Tensor]:
        weight = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
        return {"weight": weight, "scale": torch.empty(rows, dtype=torch.float32)}

    def forward(self, x: Tensor) -> Tensor:
        return self.product(*round_rows(x.flatten(0, -2)), x.dtype).unflatten(0, x.shape[:-1])

    def product(self, packed: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        """Of what `round_rows` gives, [M, C] and [M, 1], for rows of `dtype`: [M, R]."""
        if packed.is_cuda:  # the kernel writes no float32; the sum itself is taken in float32
            product = torch._scaled_mm  # pyright: ignore[reportPrivateImportUsage] - torch has had no other name for it
            scales = (scale, self.weight_scale[None])
            y = product(packed, self.weight.t(), *scales, out_dtype=torch.bfloat16, use_fast_accum=True)
        else:  # torch's own product for a CPU takes no scale a row before 2.13
            y = F.linear(packed.float(), self.weight.float()) * scale * self.weight_scale
        return y.to(dtype) if self.bias is None else y.to(dtype) + self.bias


def round_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [M, C] as 8-bit floats, and the scale of each, [M, 1]."""
    scale = rows.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / FP8_MAX
    return (rows.float() / scale).to(torch.float8_e4m3fn), scale


class Nf4Linear(PackedLinear):
    """Four bits a number (QLoRA's NormalFloat) through bitsandbytes, unpacked for each product."""

    precision = "nf4"
    weight_absmax: Tensor

    @staticmethod
    def empty(rows: int, columns: int) -> dict[str, Tensor]:
        packed = torch.empty(rows, columns // 2, dtype=torch.uint8)
        return {"weight": packed, "absmax": torch.empty(rows, columns // NF4_BLOCK, dtype=torch.float32)}

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, unpack(self.pieces, x.dtype), bias)


_LINEAR = {"int8": Int8Linear, "fp8": Fp8Linear, "nf4": Nf4Linear}


def use_precision(transformer: Transformer, precision: str) -> None:
    """Puts packed Linears, still without content, where the layers of a transformer on the meta device have plain ones.

    The experts' matrices hold nine tenths of the model; embedding, head, norms and the vision encoder stay as they are.
    """
    for layer in transformer.layers:
        for expert in layer.children():
            for name, linear in list(expert.named_children()):
                if isinstance(linear, nn.Linear) and fits(precision, linear.in_features):
                    with torch.device("meta"):
                        packed = _LINEAR[precision](linear.in_features, linear.out_features, linear.bias is not None)
                    setattr(expert, name, packed)


def require(precision: Precision, device: torch.device) -> None:
    """Raises ModelError where `can_run` knows why not."""
    if precision in PACKED and (why := can_run(precision, device)):
        raise ModelError(why)
