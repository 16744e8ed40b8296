"""How long a step of a walk takes and where the time goes, beside the plain way of doing the same, in one run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bagel.context import EMPTY, Context
from bagel.generate import decode_tokens, encode_latent, grid_of
from bagel.prefill import LatentPicture, prefill
from bagel.sampler import Velocity
from bagel.vae import patchify
from bagel.world_model import BagelWorldModel
from world.types import Scene, State
from world.walks import Stroll, bumped

WARM_UP = 3  # steps that are not counted
_FIRST_FRAME = """
import sys
from world import models
model, scene = models.load(sys.argv[1]), models.load_scene(sys.argv[2])
model.step(model.reset([scene], [0]), scene.actions[1:2])
"""


@dataclass(frozen=True)
class Part:
    """Seconds of one part: median and 90th percentile over `count` runs."""

    name: str
    median: float
    p90: float
    count: int


@dataclass(frozen=True)
class Bench:
    """A walk measured. `ratios` are plain seconds over ours, both medians of this run."""

    steps_per_second: float
    parts: tuple[Part, ...]
    ratios: dict[str, float]
    settings: dict[str, str | int | float]


def measure(model: BagelWorldModel, scene: Scene, num_steps: int = 40) -> Bench:
    """Strolls `num_steps` steps from the scene's first start with one state, then times the parts of such a step.

    Raises ValueError for fewer steps than fill the context once, and for a scene without the standard moves.
    """
    history = model.walk.history
    if num_steps < history:
        raise ValueError(f"a context holds {history} pictures: measure at least so many steps, got {num_steps}")
    state = model.reset([scene], [0])[0]
    longest = state  # with the most pictures in context
    stroll, stopped, seconds = Stroll(np.random.default_rng(0), scene), False, []
    for _ in range(num_steps + WARM_UP):
        action, before = stroll.next(stopped), state.pose
        begun = _now(model)
        state = model.step([state], [action])[0]
        seconds.append(_now(model) - begun)
        stopped = bumped(before, action, state.pose)
        longest = max(longest, state, key=lambda s: len(s.frames))
    whole = _part("whole step", seconds[WARM_UP:])
    anchor = model.walk.anchor if model.walk.knows(scene.called) else 0.0
    parts, plain = _parts(model, longest, max(5, num_steps // 2), anchor > 0)
    settings = {
        "model": model.spec.model,
        "device": model.spec.device,
        "dtype": model.spec.dtype,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "evaluations": model.sampler.num_timesteps - 1,
        "pictures in context": f"1 to {history}",
        "anchor": anchor,
    }
    by_name = {part.name: part.median for part in parts}
    again = by_name["prefill, newest picture and words"]
    ratios = {
        "reading the whole past again / keeping it": plain["past"].median / again,
        "decoder channels first / channels last": plain["decode"].median / by_name["decode"],
    }
    return Bench(1 / whole.median, (whole, *parts), ratios, settings)


@torch.inference_mode()
def _parts(model: BagelWorldModel, state: State, runs: int, held: bool) -> tuple[list[Part], dict[str, Part]]:
    """The parts of the step after `state`, `held` by words alone or not, and the plain ways of two of them."""
    c = model.checkpoint
    markers, grid = c.tokenizer.image_markers, grid_of(c, state.frame.shape[:2])
    tokens = [torch.from_numpy(memory).float() for memory in state.memory]
    words = [model.words(state.scene, *move) for move in zip(state.actions, state.origins, strict=True)]
    words.append(words[-1])
    pairs = [[LatentPicture(latent, grid), text] for latent, text in zip(tokens, words, strict=True)]

    def read(context: Context, first: int) -> Context:
        return prefill(c.model, markers, [context], [[block for pair in pairs[first:] for block in pair]])[0]

    past = prefill(c.model, markers, [EMPTY], [[block for pair in pairs[:-1] for block in pair]])[0]
    context = read(past, len(pairs) - 1)
    velocity = Velocity(c.model, markers, [context], grid)
    noise, t = torch.randn(1, *tokens[0].shape, device=c.model.device), torch.tensor(0.7)
    pixels = torch.zeros(1, 3, *state.frame.shape[:2], device=c.model.device)
    patch = c.config.latent_patch_size
    calls: dict[str, Callable[[], object]] = {
        "prefill, newest picture and words": lambda: read(past, len(pairs) - 1),
        "lay out the context": lambda: Velocity(c.model, markers, [context], grid),
        "one evaluation": lambda: velocity(noise, t),
    }
    if held:
        alone = prefill(c.model, markers, [EMPTY], [[words[-1]]])[0]
        both = Velocity(c.model, markers, [context, alone], grid)
        calls["one evaluation, held by words alone"] = lambda: both(noise.repeat(2, 1, 1), t)
    calls["decode"] = lambda: decode_tokens(c, noise, grid)
    calls["encode (start pictures only)"] = lambda: patchify(encode_latent(c, pixels), patch)
    parts = [_time(model, name, runs, call) for name, call in calls.items()]
    plain = {"past": _time(model, "past", runs, lambda: read(EMPTY, 0))}
    c.autoencoder.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    plain["decode"] = _time(model, "decode", runs, calls["decode"])
    c.autoencoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return parts, plain


def start_up(address: str, scene: str) -> float:
    """Seconds from the birth of a process of its own to its first frame, the files being in the system's memory."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", _FIRST_FRAME, address, scene], check=True)
    return time.perf_counter() - begun


def _time(model: BagelWorldModel, name: str, runs: int, call: Callable[[], object]) -> Part:
    call()
    seconds = []
    for _ in range(runs):
        begun = _now(model)
        call()
        seconds.append(_now(model) - begun)
    return _part(name, seconds)


def _part(name: str, seconds: Sequence[float]) -> Part:
    return Part(name, statistics.median(seconds), sorted(seconds)[int(0.9 * (len(seconds) - 1))], len(seconds))


def _now(model: BagelWorldModel) -> float:
    if model.spec.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()
