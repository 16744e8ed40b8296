"""Where a compiled evaluation's time goes: the markers' expert beside the latents' or in turn, kernels, products."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bagel.compiled import Evaluations
from bagel.graphs import Streams
from bagel.sampler import Velocity
from bagel.speed.exactness import conditions_of, inputs_for
from bagel.speed.frame import WARM_UP, timed
from bagel.weights import Checkpoint

RUNS = 10
KERNELS = 14  # that take the most time

# Priorities of the latents' stream and the markers' (None: the same stream).
ARRANGEMENTS: dict[str, tuple[int, int | None]] = {
    "in turn": (-1, None),
    "beside, behind": (-1, 0),  # what is used
}


@dataclass(frozen=True)
class EvaluationTime:
    """Median ms of an evaluation of one and of three branches, by how the markers' expert is run."""

    size: str
    markers: str
    one: float
    three: float


@torch.inference_mode()
def measure_evaluations(checkpoint: Checkpoint, sizes: Sequence[tuple[int, int]]) -> Iterator[EvaluationTime]:
    """All arrangements at each size (H, W), on a context of a picture and words."""
    model = checkpoint.model
    for size in sizes:
        for name, arrangement in ARRANGEMENTS.items():
            model.evaluations = Evaluations(model, Streams(model.device, *arrangement))
            gc.collect()  # what the one before held
            one, three = (1e3 * _median(checkpoint, _call(checkpoint, size, branches)) for branches in (1, 3))
            yield EvaluationTime(f"{size[1]}x{size[0]}", name, one, three)


@torch.inference_mode()
def kernel_times(checkpoint: Checkpoint, size: tuple[int, int]) -> list[str]:
    """The kernels of one evaluation of three branches on a card, as the profiler prints them."""
    if checkpoint.model.device.type != "cuda":
        return []
    call = _call(checkpoint, size, 3)
    call()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        call()
        torch.cuda.synchronize()
    table = found.key_averages().table(sort_by="self_cuda_time_total", row_limit=KERNELS, max_name_column_width=60)
    return [" ".join(line.split()) for line in table.splitlines() if line.strip("- ")]


@torch.inference_mode()
def product_rates(checkpoint: Checkpoint) -> list[str]:
    """Each matrix of an expert alone, for rows of markers and of latents: us, TFLOP/s, GB/s of the weights."""
    c, device, dtype = checkpoint.config.language, checkpoint.model.device, checkpoint.model.dtype
    width, inner, keys = c.hidden_size, c.intermediate_size, 2 * c.num_key_value_heads * c.head_dim
    shapes = {
        "qkv": (width, width + keys),
        "out": (width, width),
        "gate_up": (width, 2 * inner),
        "down": (inner, width),
    }
    lines = []
    for rows in (6, 256, 768, 3072):
        for name, (columns, outputs) in shapes.items():
            x = torch.randn(rows, columns, device=device, dtype=dtype)
            weight = torch.randn(outputs, columns, device=device, dtype=dtype)
            seconds = _median(checkpoint, lambda x=x, weight=weight: torch.nn.functional.linear(x, weight))
            rate, bandwidth = 2e-12 * rows * weight.numel() / seconds, 1e-9 * weight.nbytes / seconds
            lines.append(f"{rows:6} rows {name:8}{1e6 * seconds:9.1f} us{rate:8.1f} TFLOP/s{bandwidth:8.0f} GB/s")
    return lines


def _call(checkpoint: Checkpoint, size: tuple[int, int], branches: int) -> Callable[[], Tensor]:
    inputs = inputs_for(checkpoint, size)
    conditions = conditions_of(checkpoint, inputs)
    contexts = [*conditions.gen, *(conditions.cfg_text or ()), *(conditions.cfg_image or ())][:branches]
    velocity = Velocity(checkpoint.model, checkpoint.tokenizer.image_markers, contexts, inputs.grid)
    x_t = inputs.noise.to(checkpoint.model.device).repeat(branches, 1, 1)
    return lambda: velocity(x_t, torch.tensor(0.5))


def _median(checkpoint: Checkpoint, call: Callable[[], object]) -> float:
    return statistics.median(timed(checkpoint, [call] * (WARM_UP + RUNS))[WARM_UP:])
