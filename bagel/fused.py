"""What compiled experts do otherwise with few rows, or with many, on a card that is faster so.

Few rows move weights and compute next to nothing. A library's product for them takes a whole card all the same, and so
nothing runs beside it; ours takes a few of the card's processors, for somewhat longer, and leaves the others to the
latents.

With many rows torch's compiler leaves matrix products to a library, so gate and up are written and read again before
they are multiplied; and where `down` rounds its rows one by one, they are read twice, for a row's largest number first.
Here each is one pass.

The three functions are whole to the compiler. On a CPU they are the plain formulas, on a Hopper card the kernels of
swiglu.py. They have no gradient.

R rows, K numbers of a row, I width of the MLP, N numbers of a result.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.model import Bagel
from bagel.precision import Fp8Linear, round_rows
from bagel.transformer import Expert, Layer, Rope

FEW_ROWS = 16  # that one tile of a product holds
# From here on the product in one pass beats the library's and a pass behind it. On an H100, a layer of the release in
# microseconds: 287 against 319 at 768 rows, 1168 against 1400 at 3072, 4718 against 5620 at 12288, but 149 against 135
# at 256. Rounded rows: 30 against 109 at 768, 383 against 1591 at 12288.
MANY_ROWS = 512
MANY_ROUNDED_ROWS = 256
NEVER = 1 << 62
HOPPER = (9, 0)  # the compute capability whose way of fetching tiles the product needs


@torch.library.custom_op("bagel::few_product", mutates_args=())
def few_product(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows [R, K], at most FEW_ROWS, and a matrix [N, K]: [R, N]."""
    return F.linear(rows, weight)


@few_product.register_fake
def _(rows: Tensor, weight: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[0])


@few_product.register_kernel("cuda")
def _(rows: Tensor, weight: Tensor) -> Tensor:
    from bagel import swiglu

    with torch.cuda.device(rows.device):
        return swiglu.few(rows.contiguous(), weight.contiguous())


@torch.library.custom_op("bagel::swiglu_product", mutates_args=())
def swiglu_product(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows [R, K] and the matrix [2I, K] of gate and up: silu(gate) * up, [R, I]."""
    return _swiglu(F.linear(rows, weight))


@swiglu_product.register_fake
def _(rows: Tensor, weight: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[0] // 2)


@swiglu_product.register_kernel("cuda")
def _(rows: Tensor, weight: Tensor) -> Tensor:
    from bagel import swiglu

    with torch.cuda.device(rows.device):
        return swiglu.product(rows.contiguous(), weight.contiguous())


@torch.library.custom_op("bagel::rounded_swiglu", mutates_args=())
def rounded_swiglu(gate_up: Tensor) -> tuple[Tensor, Tensor]:
    """What `round_rows` makes of silu(gate) * up, of rows [R, 2I] that hold both: [R, I] and [R, 1]."""
    return round_rows(_swiglu(gate_up))


@rounded_swiglu.register_fake
def _(gate_up: Tensor) -> tuple[Tensor, Tensor]:
    num_rows, width = gate_up.shape
    packed = gate_up.new_empty(num_rows, width // 2, dtype=torch.float8_e4m3fn)
    return packed, gate_up.new_empty(num_rows, 1, dtype=torch.float32)


@rounded_swiglu.register_kernel("cuda")
def _(gate_up: Tensor) -> tuple[Tensor, Tensor]:
    from bagel import swiglu

    with torch.cuda.device(gate_up.device):
        return swiglu.rounded(gate_up.contiguous())


def _swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


def finish_few(expert: Expert, x: Tensor, attention: Tensor) -> Tensor:
    """As `Expert.finish`, for few rows [B, T, D]."""
    x = x + _few(expert.out, attention)
    return x + _few(expert.down, _swiglu(_few(expert.gate_up, expert.post_norm(x))))


def store_few(expert: Expert, x: Tensor, rope: Rope, *places: Tensor) -> None:
    """As `Expert.store`, for few rows [B, T, D]."""
    for place, rows in zip(places, expert.rotated(_few(expert.qkv, expert.input_norm(x)), rope), strict=True):
        place.copy_(rows.transpose(1, 2))


def _few(linear: nn.Linear, x: Tensor) -> Tensor:
    y = few_product(x.flatten(0, -2), linear.weight).unflatten(0, x.shape[:-1])
    return y if linear.bias is None else y + linear.bias


def finish_many(expert: Expert, x: Tensor, attention: Tensor) -> Tensor:
    """As `Expert.finish`, for many rows [B, T, D]."""
    x = x + expert.out(attention)
    rows = expert.post_norm(x).flatten(0, -2)
    if isinstance(expert.down, Fp8Linear):
        packed, scale = rounded_swiglu(expert.gate_up(rows))
        result = expert.down.product(packed, scale, x.dtype)
    else:
        result = expert.down(swiglu_product(rows, expert.gate_up.weight))
    return x + result.unflatten(0, x.shape[:-1])


def rows_to_fuse(model: Bagel) -> tuple[int, int]:
    """Up to how many rows the forms for few rows are taken, and from how many on those for many: 0 and NEVER, if never.

    Shares of matrices finish as ever: what adds them up hangs behind `down`.
    """
    devices = {model.device, *model.transformer.devices}
    hopper = all(d.type == "cuda" and torch.cuda.get_device_capability(d) >= HOPPER for d in devices)
    if not hopper or model.dtype != torch.bfloat16:
        return 0, NEVER
    c, layers = model.transformer.config, [layer for layer in model.transformer.layers if isinstance(layer, Layer)]
    experts = [expert for layer in layers for expert in (layer.und, layer.gen)]
    if any(expert.down.weight.shape[1] != c.intermediate_size for expert in experts):
        return 0, NEVER
    if all(isinstance(expert.down, Fp8Linear) for expert in experts):
        return 0, MANY_ROUNDED_ROWS
    aligned = c.hidden_size % 8 == c.intermediate_size % 8 == 0  # tiles are fetched in pieces of 16 bytes
    plain = all(type(linear) is nn.Linear for e in experts for linear in (e.qkv, e.out, e.gate_up, e.down))
    return (FEW_ROWS, MANY_ROWS) if aligned and plain else (0, NEVER)
