"""What approximations cost: velocities and final latents beside the exact ones, on identical noise and contexts."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from bagel.config import BagelConfig
from bagel.context import Context
from bagel.generate import encode_latent, grid_of, see_picture
from bagel.placement import GIB, num_bytes
from bagel.prefill import Block, LatentPicture, Words, prefill
from bagel.sampler import Conditions, Velocity, sample
from bagel.transforms import resize, to_pixels
from bagel.vae import patchify, to_bytes
from bagel.weights import Checkpoint
from world.settings import SamplerConfig

TIMES = (1.0, 0.9, 0.7, 0.4, 0.1)
WORDS = "turn left and look at the blue door in the far corner"


@dataclass(frozen=True)
class Error:
    """Relative error in the 2-norm, mean and worst over the times; GiB of the weights; ms of an evaluation."""

    name: str
    mean: float
    worst: float
    gigabytes: float
    milliseconds: float


@dataclass(frozen=True)
class Inputs:
    """A context of one picture and words, read by one model, and noise [1, N, P]: the same for all that compare."""

    frame: Tensor  # [1, 3, H, W] in [-1, 1]
    noise: Tensor
    grid: tuple[int, int]


def inputs_for(checkpoint: Checkpoint, size: tuple[int, int], frame: Tensor | None = None) -> Inputs:
    """`frame` None is a smooth random picture."""
    generator = torch.Generator().manual_seed(0)
    if frame is None:
        coarse = torch.rand(1, 3, 8, 8, generator=generator) * 2 - 1
        frame = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(-1, 1)
    grid = grid_of(checkpoint, size)
    return Inputs(
        frame, torch.randn(1, grid[0] * grid[1], checkpoint.config.latent_channels, generator=generator), grid
    )


@torch.inference_mode()
def velocities(checkpoint: Checkpoint, inputs: Inputs) -> tuple[Tensor, float]:
    """Velocities [times, N, P] on the CPU in float32 and the median ms of one evaluation."""
    conditions = conditions_of(checkpoint, inputs)
    velocity = Velocity(checkpoint.model, checkpoint.tokenizer.image_markers, conditions.gen, inputs.grid)
    found, seconds = [], []
    x_t = inputs.noise.to(checkpoint.model.device)
    for t in (TIMES[0], *TIMES):
        begun = time.perf_counter()
        found.append(velocity(x_t, torch.tensor(t))[0].float().cpu())
        seconds.append(time.perf_counter() - begun)
    return torch.stack(found[1:]), 1e3 * statistics.median(seconds[1:])


def conditions_of(checkpoint: Checkpoint, inputs: Inputs) -> Conditions:
    """The three contexts of an edit: picture (as a walk reads it) and words, the picture alone, the words alone."""
    model, markers = checkpoint.model, checkpoint.tokenizer.image_markers
    tokens = patchify(encode_latent(checkpoint, inputs.frame.to(model.device)), checkpoint.config.latent_patch_size)[0]
    words = Words(checkpoint.tokenizer.prompt(WORDS))
    picture: list[Block] = [LatentPicture(tokens.float(), inputs.grid)]
    if checkpoint.config.walk.vit:
        frame = Image.fromarray(to_bytes(inputs.frame)[0].numpy())
        picture.append(see_picture(checkpoint, to_pixels(resize(frame, checkpoint.config.vit_transform))))
    before = [Context()]
    for block in picture:
        before = prefill(model, markers, before, [[block]])
    gen, image = prefill(model, markers, [before[0], Context()], [[words], [words]])
    return Conditions([gen], before, [image])


def compare_precisions(make: Callable[[str], Checkpoint], names: list[str], size: tuple[int, int]) -> Iterator[Error]:
    """Velocities of the model that `make` gives in each precision against those of the first name; one at a time."""
    exact: Tensor | None = None
    inputs: Inputs | None = None
    checkpoint: Checkpoint | None = None
    for name in names:
        del checkpoint  # a card has no room for two
        release()
        checkpoint = make(name)
        inputs = inputs or inputs_for(checkpoint, size)
        found, milliseconds = velocities(checkpoint, inputs)
        exact = found if exact is None else exact
        errors = [relative(a, b) for a, b in zip(found, exact, strict=True)]
        gigabytes = num_bytes(checkpoint.model, checkpoint.model.dtype) / GIB
        yield Error(name, statistics.mean(errors), max(errors), gigabytes, milliseconds)


def approximations(config: SamplerConfig) -> dict[str, tuple[SamplerConfig, bool]]:
    """What is compared with the exact sampler: (settings, TaylorSeer) by name."""
    half = replace(config, num_timesteps=config.num_timesteps // 2 + 1)
    return {
        "exact": (config, False),
        "TaylorSeer, last layer": (config, True),
        "guidance only above t = 0.4": (replace(config, cfg_interval=(0.4, 1.0)), False),
        "text guidance alone": (replace(config, cfg_image_scale=1.0), False),
        "half the evaluations": (half, False),
        "half the evaluations, TaylorSeer": (half, True),
        "8 evaluations": (replace(config, num_timesteps=9), False),
        "8 evaluations, guided above t = 0.9": (replace(config, num_timesteps=9, cfg_interval=(0.9, 1.0)), False),
    }


@torch.inference_mode()
def compare_approximations(
    checkpoint: Checkpoint, config: SamplerConfig, size: tuple[int, int]
) -> Iterator[tuple[str, float, float]]:
    """(name, relative error of the final latents, seconds) of each approximation, all from the same noise."""
    inputs = inputs_for(checkpoint, size)
    conditions = conditions_of(checkpoint, inputs)
    exact: Tensor | None = None
    velocities(checkpoint, inputs)  # what is made ready at first counts for nobody
    for name, (settings, taylor) in approximations(config).items():
        begun = time.perf_counter()
        markers = checkpoint.tokenizer.image_markers
        found = sample(checkpoint.model, markers, conditions, inputs.noise, inputs.grid, settings, taylor).cpu()
        seconds = time.perf_counter() - begun
        exact = found if exact is None else exact
        yield name, relative(found, exact), seconds


def release() -> None:
    """Gives back what a model held: its memory, and its compiled forms, of which there is room for few."""
    torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def relative(found: Tensor, exact: Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()


def with_frame_size(config: BagelConfig, size: tuple[int, int]) -> BagelConfig:
    """The config of a model whose walks have pictures of (H, W) pixels."""
    return replace(config, walk=replace(config.walk, frame_size=size))
