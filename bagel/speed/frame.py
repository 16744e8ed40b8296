"""Where a frame's time goes with a model of any size: its parts, the share of the card's rate, memory, the walk.

B states, N latent tokens, T = N + 2 new rows, S columns of a context, P numbers of a token.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image

from bagel.context import EMPTY, Context
from bagel.generate import decode_tokens, encode_latent, grid_of, see_picture
from bagel.placement import GIB
from bagel.prefill import LatentPicture, Words, prefill
from bagel.sampler import Velocity
from bagel.transforms import resize, to_pixels
from bagel.vae import patchify
from bagel.weights import Checkpoint
from bagel.world_model import BagelWorldModel
from world.settings import SamplerConfig
from world.types import Action, Pose, Scene, Start

WORDS = "turn left and look at the blue door in the far corner"
WARM_UP = 2


@dataclass(frozen=True)
class FrameTime:
    """Median seconds of parts and of a whole frame, which reads its picture anew; of a walk's steps p50 and p99.

    `rate` are floating-point operations a second in a guided evaluation, `matmul_rate` those of a large product.
    """

    parts: dict[str, float]
    frame: float
    frames_per_second: float
    p50: float
    p99: float
    first_frame: float
    rate: float
    matmul_rate: float
    peak_memory: float
    settings: dict[str, str | int | float]


@torch.inference_mode()
def measure_frame(
    checkpoint: Checkpoint, sampler: SamplerConfig, batch: int, runs: int, name: str, walk: bool = True
) -> FrameTime:
    """Times B walks of the checkpoint's frame size in one batch; without `walk` the first step of each alone.

    Raises ValueError where the config fixes no size.
    """
    size = checkpoint.config.walk.frame_size
    if size is None:
        raise ValueError("a bench of frames needs a size: --size 512x512")
    begun = time.perf_counter()
    model = BagelWorldModel(checkpoint, name, sampler)
    frame = noise(size)
    scene = Scene("bench", "noise", (Start("here", Pose(), frame),), (Action(WORDS),))
    starts = model.reset([scene] * batch, list(range(batch)))
    actions = [Action(WORDS)] * batch
    model.step(starts, actions)
    synchronize(checkpoint)
    first = time.perf_counter() - begun
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    frames = timed(checkpoint, [partial(model.step, starts, actions)] * runs)  # the first frame has warmed up
    walked = [starts]
    num_steps = runs + WARM_UP if walk else 0
    steps = timed(checkpoint, [lambda: walked.append(model.step(walked.pop(), actions))] * num_steps)
    steps = sorted(steps[WARM_UP:] or frames)
    parts, evaluation, operations = _parts(checkpoint, frame, batch, runs)
    guided = sampler.cfg_text_scale > 1
    settings = {
        "model": name,
        "device": _device_name(checkpoint),
        "torch": torch.__version__,
        "dtype": model.spec.dtype,
        "size": f"{size[1]}x{size[0]}",
        "batch": batch,
        "evaluations": sampler.num_timesteps - 1,
        "guided where": f"{sampler.cfg_interval[0]} < t <= {sampler.cfg_interval[1]}" if guided else "never",
        "compiled": checkpoint.model.evaluations is not None,
    }
    return FrameTime(
        parts,
        statistics.median(frames),
        batch / statistics.median(steps),
        statistics.median(steps),
        steps[round(0.99 * (len(steps) - 1))],
        first,
        operations / evaluation,
        matmul_rate(checkpoint),
        peak_memory(),
        settings,
    )


def noise(size: tuple[int, int]) -> np.ndarray:
    """A picture uint8 [H, W, 3] in which nothing is known beforehand."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def _parts(checkpoint: Checkpoint, frame: np.ndarray, batch: int, runs: int) -> tuple[dict[str, float], float, float]:
    """Median seconds by name; of a guided evaluation (three branches) also its floating-point operations."""
    c, markers = checkpoint, checkpoint.tokenizer.image_markers
    grid = grid_of(c, frame.shape[:2])
    pixels = torch.stack([to_pixels(Image.fromarray(frame))] * batch).to(c.model.device)
    seen = see_picture(c, to_pixels(resize(Image.fromarray(frame), c.config.vit_transform)))
    tokens = patchify(encode_latent(c, pixels), c.config.latent_patch_size).float()
    words = Words(c.tokenizer.prompt(WORDS))

    def read() -> list[Context]:
        pictures = [[LatentPicture(latent, grid), replace(seen), words] for latent in tokens]
        return prefill(c.model, markers, [EMPTY] * batch, pictures)

    gen = read()
    before = [Context(context.segments[:-1], context.position - len(words.ids)) for context in gen]
    texts = prefill(c.model, markers, [EMPTY] * batch, [[words]] * batch)
    alone, guided = Velocity(c.model, markers, gen, grid), Velocity(c.model, markers, [*gen, *before, *texts], grid)
    x_t = torch.randn(batch, grid[0] * grid[1], c.config.latent_channels, device=c.model.device)
    t, patches = torch.tensor(0.7), torch.stack([seen.patches] * batch)
    positions = torch.zeros(batch, len(seen.patches), dtype=torch.long, device=c.model.device)
    calls: dict[str, Callable[[], object]] = {
        "VAE encode": lambda: encode_latent(c, pixels),
        "ViT": lambda: c.model.see(patches.to(c.model.device), positions),
        "prefill, ViT included": read,
        "lay out three branches": lambda: Velocity(c.model, markers, [*gen, *before, *texts], grid),
        "evaluation, one branch": lambda: alone(x_t, t),
        "evaluation, three branches": lambda: guided(x_t.repeat(3, 1, 1), t),
        "VAE decode": lambda: decode_tokens(c, x_t, grid),
    }
    parts = {name: _median(c, runs, call) for name, call in calls.items()}
    operations = sum(evaluation_operations(c, grid, len(context)) for context in (*gen, *before, *texts))
    return parts, parts["evaluation, three branches"], operations


def evaluation_operations(checkpoint: Checkpoint, grid: tuple[int, int], context: int) -> float:
    """Floating-point operations of one branch's evaluation over a context of so many rows."""
    c = checkpoint.config.language
    expert = (
        2 * c.hidden_size * c.hidden_size
        + 2 * c.hidden_size * c.num_key_value_heads * c.head_dim
        + 3 * c.hidden_size * c.intermediate_size
    )
    rows = 2 + grid[0] * grid[1]
    attention = 4 * rows * (context + rows) * c.num_attention_heads * c.head_dim
    return c.num_hidden_layers * (2.0 * rows * expert + attention)


def matmul_rate(checkpoint: Checkpoint) -> float:
    """Floating-point operations a second of a large product of random numbers in the model's dtype."""
    device, dtype = checkpoint.model.device, checkpoint.model.dtype
    side = 8192 if device.type == "cuda" else 512  # not every CPU has products in half precision
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    return 2 * side**3 / _median(checkpoint, 10, lambda: a @ b)


def peak_memory() -> float:
    """GiB: of the card since the count began, or of this process where there is no card."""
    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def synchronize(checkpoint: Checkpoint) -> None:
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize()


def timed(checkpoint: Checkpoint, calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of each call, to the end of what it asks of the device."""
    seconds: list[float] = []
    for call in calls:
        synchronize(checkpoint)
        begun = time.perf_counter()
        call()
        synchronize(checkpoint)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _median(checkpoint: Checkpoint, runs: int, call: Callable[[], object]) -> float:
    return statistics.median(timed(checkpoint, [call] * (WARM_UP + runs))[WARM_UP:])


def _device_name(checkpoint: Checkpoint) -> str:
    device = checkpoint.model.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
