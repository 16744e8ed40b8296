"""Training the autoencoder: pictures through a latent an eighth their size, sharp enough to walk on.

Loss: absolute error of pixels, of their gradients and of pooled pixels, a little squared error, and a small KL.

A decoder can be trained further alone: latents stay what a world was trained on. Half of its pictures are then painted
from what the world dreams of them. A dream is not sure of the finest details, and the nearest picture to all that may
be there is a soft one; so there is a loss on how strong edges are in each region, wherever exactly they lie. Where a
dream is of something else than the truth there is nothing to learn: what was painted there before stays.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bagel.config import AutoencoderConfig
from bagel.train.data import Walks
from bagel.train.dreams import Dreams
from bagel.train.optimizer import Optimizer, OptimizerConfig
from bagel.train.run import RunConfig, run
from bagel.vae import Autoencoder, to_bytes
from world.files import atomic_write_text
from world.recording import contact_sheet

REGION = 16  # pixels a side
BANDS = 3  # of edges, each half as fine as the one before
NEAR = 16.0  # grey levels that a region of a dream differs in the mean from the truth, and is still of it; twice: not


@dataclass(frozen=True)
class AutoencoderTraining:
    batch: int = 96
    kl: float = 3e-4  # weight of the KL to a unit normal, mean over latent numbers
    gradient: float = 0.5  # weight of the gradients' absolute error
    pooled: float = 0.5  # weight of the absolute error of pixels pooled 4 x 4
    squared: float = 2.0  # weight of the squared error
    edges: float = 3.0  # of a decoder alone: weight of the error of how strong a region's edges are
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(muon_lr=5e-3, adam_lr=1e-3, betas=(0.9, 0.99), ema=0.999)
    )


def loss(model: Autoencoder, pixels: Tensor, eps: Tensor, c: AutoencoderTraining) -> Tensor:
    """Scalar for pictures [B, 3, H, W] in [-1, 1] and normal draws eps [B, C, h, w]."""
    mean, logvar = (m.float() for m in model.moments(pixels))
    z = mean + (0.5 * logvar).exp() * eps
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return _wrongness(model.decoder(z.to(pixels.dtype)), pixels, c) + c.kl * kl


def decoder_loss(model: Autoencoder, pixels: Tensor, latents: Tensor, true: Tensor, c: AutoencoderTraining) -> Tensor:
    """The same for a decoder alone: of pictures [B, 3, H, W] from their own latents, and of pictures `true` from the
    scaled latents [B, C, h, w] that a world dreamt."""
    with torch.no_grad():
        mean = model.moments(pixels)[0]
    dreamt = latents.to(pixels.dtype) / model.config.scale_factor + model.config.shift_factor
    out, wanted = model.decoder(torch.cat((mean, dreamt))), torch.cat((pixels, true))
    edges = (strengths(out) - strengths(wanted)).abs().mean()
    sure, unsure = out.split([len(pixels), len(true)])
    unsure_c = replace(c, gradient=0.0)  # where edges lie is not known: the nearest gradients to all are none
    return (_wrongness(sure, pixels, c) + _wrongness(unsure, true, unsure_c)) / 2 + c.edges * edges


def strengths(pictures: Tensor) -> Tensor:
    """How strong the edges of each region are in each band, [B, 3 BANDS, H / REGION, W / REGION]: the root of the
    energy of a level of the Laplacian pyramid."""
    level, bands = pictures.float(), []
    for k in range(BANDS):
        coarse = F.avg_pool2d(level, 2)
        edges = level - F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        bands.append((F.avg_pool2d(edges**2, REGION >> k) + 1e-6).sqrt())
        level = coarse
    return torch.cat(bands, 1)


@torch.inference_mode()
def to_paint(model: Autoencoder, dreams: Dreams) -> Dreams:
    """The dreams with what a decoder is to learn of them: the truth where they are near it, and elsewhere what `model`
    paints now."""
    device, frames = next(model.parameters()).device, []
    for latents, truth in zip(dreams.latents.split(64), dreams.frames.split(64), strict=True):
        painted = to_bytes(model.decode(latents.to(device).float())).float()
        true = truth.to(device).float()
        wrong = F.avg_pool2d((painted - true).abs().mean(-1)[:, None], REGION)
        share = F.interpolate((2 - wrong / NEAR).clamp(0, 1), size=true.shape[1:3], mode="bilinear")
        frames.append(painted.lerp(true, share[:, 0, ..., None]).round().to(torch.uint8))
    return replace(dreams, frames=torch.cat(frames))


def _wrongness(out: Tensor, pixels: Tensor, c: AutoencoderTraining) -> Tensor:
    error = out.float() - pixels.float()
    gradients = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    total = error.abs().mean() + c.gradient * gradients + c.pooled * F.avg_pool2d(error, 4).abs().mean()
    return total + c.squared * (error**2).mean()


def train(
    config: AutoencoderConfig,
    walks: Walks,
    held_out: Walks,
    runs: RunConfig,
    c: AutoencoderTraining,
    device: str,
    seed: int,
    start: tuple[Autoencoder, Dreams, Dreams | None] | None = None,
) -> tuple[Autoencoder, dict[str, float]]:
    """The averaged autoencoder in float32, its latents scaled to zero mean and unit spread, and its figures.

    With `start`, an autoencoder and what a world dreams along some of `walks` and along the held-out ones, only its
    decoder is trained further; its latents and their scale stay. The latter dreams are measured: None where others do.
    """
    torch.manual_seed(seed)  # one start for the whole team, then draws of its own for each
    cuda = device.startswith("cuda")
    dtype = torch.bfloat16 if cuda else torch.float32
    model = Autoencoder(config)
    if start is not None:
        model.load_state_dict(start[0].state_dict())
        model.encoder.requires_grad_(False)
    model = _channels_last(model.to(device, dtype))
    torch.manual_seed(seed + runs.team.rank)
    frames = torch.from_numpy(np.ascontiguousarray(walks.frames)).flatten(0, 1).to(device)
    dreamt = None if start is None else to_paint(deepcopy(start[0]).to(device).eval(), start[1]).to(device)
    wanted: Callable[..., Tensor] = loss if start is None else decoder_loss
    compiled = torch.compile(wanted, dynamic=False) if cuda else wanted
    side = frames.shape[1] // config.downsample
    matrices = {n for n, p in model.named_parameters() if p.ndim == 4}
    optimizer = Optimizer(model, c.optimizer, matrices)
    torch.backends.cudnn.benchmark = cuda  # one size of picture: the fastest kernels are worth finding

    def drawn() -> tuple[Tensor, ...]:
        if dreamt is None:
            index = torch.randint(len(frames), (c.batch,), device=device)
            return pixels(frames[index], dtype), torch.randn(c.batch, config.z_channels, side, side, device=device)
        index = torch.randint(len(frames), (c.batch // 2,), device=device)
        other = torch.randint(len(dreamt.frames), (c.batch - c.batch // 2,), device=device)
        return pixels(frames[index], dtype), dreamt.latents[other], pixels(dreamt.frames[other], dtype)

    def step(scale: Tensor) -> dict[str, Tensor]:
        batch = drawn()
        for parameter in model.parameters():
            parameter.grad = None
        value = compiled(model, *batch, c)
        value.backward()
        runs.team.average_([p.grad for p in model.parameters() if p.grad is not None])
        return {"loss": value.detach(), "norm": optimizer.step(scale)}

    averaged = _channels_last(Autoencoder(config).to(device)).eval()
    kept = {} if start is None else start[0].state_dict()
    figures: dict[str, float] = {}

    def sample(step: int) -> None:
        averaged.load_state_dict(kept | optimizer.ema_state())
        figures.clear()
        figures.update(measure(averaged, held_out))
        if start is not None and start[2] is not None:
            figures.update(_measure_dreams(averaged, start[2]))
        atomic_write_text(runs.out / "autoencoder.json", json.dumps({"step": step} | figures, indent=2) + "\n")
        sheet(averaged, held_out, runs.out / "autoencoder.png")

    run(step, optimizer, runs, sample)
    if start is None:
        statistics = _statistics(averaged, frames[:: max(1, len(frames) // 4096)])
        averaged.config = dataclasses.replace(config, **statistics)
    return averaged, figures


def _channels_last(model: Autoencoder) -> Autoencoder:
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def pixels(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 [B, H, W, 3] to [B, 3, H, W] in [-1, 1], channels last in memory."""
    return (frames.to(dtype) / 127.5 - 1).permute(0, 3, 1, 2)


@torch.inference_mode()
def _statistics(model: Autoencoder, frames: Tensor) -> dict[str, float]:
    means = torch.cat([model.moments(pixels(chunk, torch.float32))[0] for chunk in frames.split(64)])
    return {"scale_factor": 1 / means.std().item(), "shift_factor": means.mean().item()}


@torch.inference_mode()
def measure(model: Autoencoder, walks: Walks) -> dict[str, float]:
    """PSNR (dB, mean over frames) of each scene and of all, and gradient energy over the truth's."""
    device = next(model.parameters()).device
    figures: dict[str, float] = {}
    energy = np.zeros(2)
    for i, name in enumerate(walks.names):
        frames = torch.from_numpy(walks.frames[walks.scenes == i]).flatten(0, 1)
        values = []
        for chunk in frames.split(64):
            truth = chunk.to(device)
            out = to_bytes(model.decoder(model.moments(pixels(truth, torch.float32))[0]))
            values.append(psnr(truth, out))
            energy += [_energy(out).item(), _energy(truth).item()]
        figures[f"psnr {name}"] = torch.cat(values).mean().item()
    figures["psnr"] = float(np.mean(list(figures.values())))
    figures["sharpness"] = float(energy[0] / energy[1])
    return figures


@torch.inference_mode()
def _measure_dreams(model: Autoencoder, dreams: Dreams) -> dict[str, float]:
    """PSNR (dB, mean over frames) and sharpness of what was dreamt, as it is painted."""
    device = next(model.parameters()).device
    out = torch.cat([to_bytes(model.decode(x.to(device).float())).cpu() for x in dreams.latents.split(64)])
    return {"psnr dreamt": psnr(dreams.frames, out).mean().item(), "sharpness dreamt": sharpness(out, dreams.frames)}


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """dB of each picture, uint8 [B, H, W, 3] both."""
    mse = (a.float() - b.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / mse.clamp(min=1e-3))


def sharpness(frames: Tensor, truth: Tensor) -> float:
    """Gradient energy over the truth's, uint8 [B, H, W, 3] both."""
    return (_energy(frames) / _energy(truth)).item()


def _energy(frames: Tensor) -> Tensor:
    x = frames.float()
    return (x[:, 1:] - x[:, :-1]).square().sum() + (x[:, :, 1:] - x[:, :, :-1]).square().sum()


@torch.inference_mode()
def sheet(model: Autoencoder, walks: Walks, path: Path) -> None:
    """Truth above reconstruction, for a few frames of each scene."""
    device = next(model.parameters()).device
    picked = np.concatenate([walks.frames[walks.scenes == i, ::16][:4].reshape(-1, *walks.frames.shape[2:])[:8]
                             for i in range(len(walks.names))])  # fmt: skip
    truth = torch.from_numpy(picked).to(device)
    out = to_bytes(model.decoder(model.moments(pixels(truth, torch.float32))[0])).cpu().numpy()
    rows = []
    for start in range(0, len(picked), 8):
        rows += [*picked[start : start + 8], *out[start : start + 8]]
    Image.fromarray(contact_sheet(rows, columns=8)).save(path)
