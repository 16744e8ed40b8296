"""Fine-tuning by low-rank adapters (LoRA): a large BAGEL learns a world on one card.

The model stays as it is, and both experts read; only the generation expert's matrices of the layers get a product of
two small ones beside them. A sample is a window in the published order (bagel-spec 4 and 9.1), read as a walk reads it:
[picture] [what the ViT sees of it] [words] [noised next picture], and so on for as many pictures as the model walks
with. Layers are computed again for their gradients, so that memory holds the weights and one layer.

F frames of a window, N latent tokens of a picture, P numbers of a token, r rank.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from bagel.adapter import Adapter, save_adapter
from bagel.config import LanguageConfig
from bagel.generate import encode_latent, grid_of, see_picture
from bagel.model import Bagel
from bagel.packing import Inputs, Item, losses_of, pack, rows_in, rows_out, times
from bagel.precision import PackedLinear
from bagel.train.data import Walks, aims_to_tell
from bagel.train.optimizer import Optimizer, OptimizerConfig
from bagel.train.run import RunConfig, run
from bagel.transforms import fit, resize, to_pixels
from bagel.vae import patchify
from bagel.weights import Checkpoint, split
from world.errors import ModelError
from world.files import atomic_write_text
from world.types import Frame, Pose, vocabulary
from world.words import understand

MATRICES = ("qkv", "out", "gate_up", "down")  # of an expert
GIB = 1 << 30


@dataclass(frozen=True)
class LoraTraining:
    rank: int = 16
    alpha: float = 32.0  # the product counts alpha / rank times
    batch: int = 4  # windows, one after the other, whose gradients make a step
    drop_words: float = 0.1  # share of texts left out, for guidance
    other_words: float = 0.3  # share of texts in other words than a move's first
    measured: int = 16  # held-out windows
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(adam_lr=2e-4, ema=0.0))


class LowRank(nn.Module):
    """A Linear that stays as it is, and the product of two small matrices, at first 0, beside it."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.linear, self.scale = linear, scale
        rows, columns = linear.weight.shape
        make = linear.weight.new_zeros
        self.down, self.up = nn.Parameter(make(rank, columns)), nn.Parameter(make(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.scale * F.linear(F.linear(x, self.down), self.up)


def adapt(model: Bagel, c: LoraTraining) -> None:
    """Freezes the model and puts an adapter beside each of the generation expert's matrices.

    Raises ModelError where these are packed.
    """
    if any(isinstance(module, PackedLinear) for module in model.modules()):
        raise ModelError("packed matrices are not trained beside: give the checkpoint that this one was quantized from")
    model.requires_grad_(False)
    for layer in model.transformer.layers:
        for name in MATRICES:
            setattr(layer.gen, name, LowRank(getattr(layer.gen, name), c.rank, c.alpha / c.rank))


def adapter_of(tensors: Mapping[str, Tensor], c: LanguageConfig, scale: float) -> Adapter:
    """The trained tensors under the release's names: what we fuse shares its first matrix."""
    pairs = {}
    for name, up in tensors.items():
        if name.endswith(".up"):
            matrix = name.removesuffix(".up")
            pairs |= {key: (tensors[f"{matrix}.down"], part) for key, part in split(f"{matrix}.weight", up, c).items()}
    return Adapter(pairs, scale)


def loss(checkpoint: Checkpoint, frames: Sequence[Frame], texts: Sequence[str], drop_words: float) -> Tensor:
    """The mean squared error of the velocity of all frames but the first, each with a time and a noise of its own.

    frames: F, of one size; texts: F - 1, what was done between them.
    """
    c, model, device = checkpoint.config, checkpoint.model, checkpoint.model.device
    images = [Image.fromarray(fit(frame, c)) for frame in frames]
    grid = grid_of(checkpoint, (images[0].height, images[0].width))
    pixels = torch.stack([to_pixels(image) for image in images]).to(device)
    latents = patchify(encode_latent(checkpoint, pixels), c.latent_patch_size).float()  # [F, N, P]
    items, order, patches = [], [], []
    for k, text in enumerate(texts):
        items.append(Item("vae", grid=grid))
        if c.walk.vit:
            seen = see_picture(checkpoint, to_pixels(resize(images[k], c.vit_transform)))
            items.append(Item("vit", grid=seen.grid))
            patches.append(seen.patches.to(device))
        items.append(Item("text", tuple(checkpoint.tokenizer.prompt(text)[1:-1]), droppable=True))
        items.append(Item("vae", grid=grid, loss=True))
        order += [k, k + 1]
    tokenizer = checkpoint.tokenizer
    layout = pack(
        [items], (tokenizer.start, tokenizer.end), tokenizer.image_markers, lambda _: torch.rand(()).item() < drop_words
    )
    t = times(torch.randn(len(texts)), c.timestep_shift)
    t = torch.stack((torch.zeros_like(t), t), 1).flatten().repeat_interleave(grid[0] * grid[1]).to(device)
    clean = latents[order].flatten(0, 1)
    inputs = Inputs(clean, torch.randn(clean.shape).to(device), t, torch.cat(patches) if patches else clean[:0])
    with torch.no_grad():
        und, gen = rows_in(model, layout, inputs)
    return losses_of(model, layout, inputs, *rows_out(model, layout, und, gen)).mse.mean()


class Windows:
    """Windows of walks with their words, drawn by torch's generator of the CPU.

    Raises ValueError where the words tell where a move leads and nobody knows.
    """

    def __init__(self, walks: Walks, checkpoint: Checkpoint, other_words: float) -> None:
        self.walks, self.walk, self.other_words = walks, checkpoint.config.walk, other_words
        self.aims, self.called = aims_to_tell(walks, self.walk), walks.called(self.walk)
        self.num_actions = min(self.walk.history, walks.actions.shape[1])

    def draw(self) -> tuple[list[Frame], list[str]]:
        """`num_actions` + 1 frames and the sentences between them."""
        walks, num = self.walks, self.num_actions
        w = int(torch.randint(len(walks.frames), ()))
        begin = int(torch.randint(walks.actions.shape[1] - num + 1, ()))
        name = self.called[w]
        texts = [self._wording(walks.wordings[a]) for a in walks.actions[w, begin : begin + num]]
        aims = [None] * num
        if self.aims is not None and self.walk.knows(name):
            aims = [Pose(*aim) for aim in self.aims[w, begin : begin + num].tolist()]
        moves = [understand(text, vocabulary()) for text in texts]
        said = [self.walk.words(name, move, aim) for move, aim in zip(moves, aims, strict=True)]
        return [np.asarray(frame) for frame in walks.frames[w, begin : begin + num + 1]], said

    def _wording(self, wordings: Sequence[str]) -> str:
        if len(wordings) > 1 and torch.rand(()).item() < self.other_words:
            return wordings[int(torch.randint(1, len(wordings), ()))]
        return wordings[0]


@torch.no_grad()
def measure(checkpoint: Checkpoint, held_out: Windows, num: int) -> float:
    """The mean loss of the same `num` windows, times and noises at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return float(np.mean([loss(checkpoint, *held_out.draw(), drop_words=0.0).item() for _ in range(num)]))


def train(checkpoint: Checkpoint, walks: Walks, held_out: Walks, runs: RunConfig, c: LoraTraining, out: Path, base: str,
          seed: int) -> dict[str, float]:  # fmt: skip
    """Trains an adapter, kept in `out` at each save, and returns the last figures; `base` is the model's name."""
    torch.manual_seed(seed)  # one start for the whole team, then draws of its own for each
    model, device = checkpoint.model, checkpoint.model.device
    adapt(model, c)
    torch.manual_seed(seed + runs.team.rank)
    model.transformer.recompute = True
    optimizer = Optimizer(model, c.optimizer, set())
    learnt, measured = Windows(walks, checkpoint, c.other_words), Windows(held_out, checkpoint, 0.0)
    figures = {"held-out loss before": measure(checkpoint, measured, c.measured)}
    ends: list[float] = []  # of steps, s

    def step(scale: Tensor) -> dict[str, Tensor]:
        for parameter in optimizer.named.values():
            parameter.grad = None
        total = torch.zeros((), device=device)
        for _ in range(c.batch):
            value = loss(checkpoint, *learnt.draw(), c.drop_words) / c.batch
            value.backward()
            total += value.detach()
        runs.team.average_([p.grad for p in optimizer.named.values() if p.grad is not None])
        norm = optimizer.step(scale)
        ends.append(time.monotonic() + 0 * norm.item())  # waits for the card
        return {"loss": total, "norm": norm}

    def sample(step: int) -> None:
        save_adapter(out, adapter_of(optimizer.ema_state(), checkpoint.config.language, c.alpha / c.rank), base)
        figures["step"] = step
        figures["held-out loss"] = measure(checkpoint, measured, c.measured)
        if len(ends) > 1:
            figures["seconds a step"] = float(np.median(np.diff(ends)))
        if device.type == "cuda":
            figures["peak memory, GiB"] = torch.cuda.max_memory_allocated(device) / GIB
        atomic_write_text(runs.out / "lora.json", json.dumps(figures, indent=2) + "\n")

    run(step, optimizer, runs, sample)
    return figures
