"""What fused.py runs on a Hopper card, in Triton: imported only where such a card is.

R rows, K numbers of a row, I width of the MLP; gate and up lie one after the other in a matrix [2I, K] and in what it
makes of rows, [R, 2I].
"""

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor  # pyright: ignore[reportMissingImports]

ROWS, COLUMNS, STEP = 128, 128, 64  # of a tile of gate, of one of up, and of what both are summed over at a time
NEIGHBORS = 8  # tiles below each other that are taken one after the other: they share a part of the matrix
INVERSE_MAX = tl.constexpr(1 / 448)  # torch divides by a number on a card as it multiplies with its inverse


def product(rows: Tensor, weight: Tensor) -> Tensor:
    """Rows [R, K] and a matrix [2I, K], contiguous, K and I multiples of 8: silu(gate) * up, [R, I]."""
    (num_rows, num_in), num_out = rows.shape, len(weight) // 2
    out = rows.new_empty(num_rows, num_out)
    described = (  # on this side of the launch: a card that did it would need memory of ours for it
        TensorDescriptor.from_tensor(rows, [ROWS, STEP]),
        TensorDescriptor.from_tensor(weight, [COLUMNS, STEP]),
        TensorDescriptor.from_tensor(out, [ROWS, COLUMNS]),
    )
    processors = torch.cuda.get_device_properties(rows.device).multi_processor_count
    sizes = (num_rows, num_in, num_out, ROWS, COLUMNS, STEP, NEIGHBORS)
    launch = _product[(processors,)]  # pyright: ignore[reportIndexIssue]
    launch(*described, *sizes, num_stages=3, num_warps=8)
    return out


def rounded(gate_up: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [R, 2I], contiguous: silu(gate) * up as 8-bit floats [R, I], and the scale of each, [R, 1].

    What a row makes stays in a processor's registers between its largest number and its rounding (61 a thread: two
    rows a processor at once), so each row is read once, and silu taken once.
    """
    num_rows, width = len(gate_up), gate_up.shape[1] // 2
    packed = gate_up.new_empty(num_rows, width, dtype=torch.float8_e4m3fn)
    scale = gate_up.new_empty(num_rows, 1, dtype=torch.float32)
    head = triton.next_power_of_2(width) // 2
    launch = _round[(num_rows,)]  # pyright: ignore[reportIndexIssue]
    launch(gate_up, packed, scale, width, head, triton.next_power_of_2(width - head), num_warps=16)
    return packed, scale


@triton.jit
def _swiglu(gate, up):
    """Rounded after silu and after the product, as torch does it."""
    wide = gate.to(tl.float32)
    return (wide / (1 + tl.exp(-wide))).to(gate.dtype) * up


@triton.jit(do_not_specialize=["num_rows"])  # one form for any number of rows
def _product(
    x, w, out, num_rows, num_in, num_out,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Each program takes every so many-th tile, gate and up side by side: x is read once for both."""
    num_m, num_n = tl.cdiv(num_rows, BM), tl.cdiv(num_out, BN)
    for tile in tl.range(tl.program_id(0), num_m * num_n, tl.num_programs(0)):
        first = tile // (GROUP * num_n) * GROUP
        height = min(num_m - first, GROUP)
        m = (first + tile % (GROUP * num_n) % height) * BM
        n = tile % (GROUP * num_n) // height * BN
        gate = tl.zeros((BM, BN), tl.float32)
        up = tl.zeros((BM, BN), tl.float32)
        for k in range(0, num_in, BK):
            rows = x.load([m, k])
            gate = tl.dot(rows, w.load([n, k]).T, gate)
            up = tl.dot(rows, w.load([num_out + n, k]).T, up)
        out.store([m, n], _swiglu(gate.to(out.dtype), up.to(out.dtype)))


@triton.jit
def _round(gate_up, packed, scales, WIDTH: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr):
    """One row, as a power of two and a rest: the next power of two would be 1.7 times the release's width."""
    row = tl.program_id(0).to(tl.int64)
    gate_up += row * 2 * WIDTH
    packed += row * WIDTH
    head = tl.arange(0, HEAD)
    tail = HEAD + tl.arange(0, TAIL)
    inside = tail < WIDTH
    head_products = _swiglu(tl.load(gate_up + head), tl.load(gate_up + WIDTH + head)).to(tl.float32)
    gate = tl.load(gate_up + tail, mask=inside, other=0.0)
    up = tl.load(gate_up + WIDTH + tail, mask=inside, other=0.0)
    tail_products = _swiglu(gate, up).to(tl.float32)
    largest = tl.maximum(tl.max(tl.abs(head_products)), tl.max(tl.abs(tail_products)))
    scale = tl.maximum(largest, 1e-12) * INVERSE_MAX
    tl.store(scales + row, scale)
    tl.store(packed + head, _divided(head_products, scale).to(packed.dtype.element_ty))
    tl.store(packed + tail, _divided(tail_products, scale).to(packed.dtype.element_ty), mask=inside)


@triton.jit
def _divided(x, scale):
    """x / scale, rounded as a division is: from the inverse, and what that leaves over."""
    inverse = tl.div_rn(1.0, scale)
    near = x * inverse
    return tl.fma(tl.fma(-near, scale, x), inverse, near)
