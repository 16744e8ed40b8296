"""What compiled experts do in one pass where a compiler makes two: a product with SwiGLU behind it, SwiGLU rounded.

Torch's compiler leaves matrix products to a library, so gate and up are written and read again before they are
multiplied; and where `down` rounds its rows one by one, they are read twice, for a row's largest number first. The
two functions here are whole to the compiler. On a CPU they are the plain formulas, on a Hopper card the kernels of
swiglu.py. They have no gradient.

R rows, K numbers of a row, I width of the MLP.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bagel.model import Bagel
from bagel.precision import Fp8Linear, round_rows
from bagel.transformer import Expert, Layer

# From here on the product in one pass beats the library's and a pass behind it. On an H100, a layer of the release in
# microseconds: 1170 against 1318 at 3072 rows, 4938 against 5052 at 12288, but 295 against 286 at 768.
MANY_ROWS = 1536
MANY_ROUNDED_ROWS = 256  # fewer, read twice from a cache, cost less than it takes to call what no compiler can see into
HOPPER = (9, 0)  # the compute capability whose way of fetching tiles the product needs


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


def finish_fused(expert: Expert, x: Tensor, attention: Tensor) -> Tensor:
    """As `Expert.finish`, for experts of a model that has `rows_to_fuse`."""
    x = x + expert.out(attention)
    rows = expert.post_norm(x).flatten(0, -2)
    if isinstance(expert.down, Fp8Linear):
        packed, scale = rounded_swiglu(expert.gate_up(rows))
        result = expert.down.product(packed, scale, x.dtype)
    else:
        result = expert.down(swiglu_product(rows, expert.gate_up.weight))
    return x + result.unflatten(0, x.shape[:-1])


def rows_to_fuse(model: Bagel) -> int | None:
    """The number of rows from which on `finish_fused` is the faster way to finish; None where it never is.

    Shares of matrices finish as ever: what adds them up hangs behind `down`.
    """
    devices = {model.device, *model.transformer.devices}
    hopper = all(d.type == "cuda" and torch.cuda.get_device_capability(d) >= HOPPER for d in devices)
    if not hopper or model.dtype != torch.bfloat16:
        return None
    c, experts = model.transformer.config, [layer.gen for layer in model.transformer.layers if isinstance(layer, Layer)]
    if any(expert.down.weight.shape[1] != c.intermediate_size for expert in experts):
        return None
    if all(isinstance(expert.down, Fp8Linear) for expert in experts):
        return MANY_ROUNDED_ROWS
    aligned = c.hidden_size % 8 == c.intermediate_size % 8 == 0  # tiles are fetched in pieces of 16 bytes
    return MANY_ROWS if aligned and all(type(expert.gate_up) is nn.Linear for expert in experts) else None
