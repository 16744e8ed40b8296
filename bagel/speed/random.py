"""Models without a checkpoint: random weights in a config's shapes, since speed does not depend on their values."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bagel.compiled import use_compiled
from bagel.config import RELEASE, BagelConfig, config_files, read_config
from bagel.kernels import choose
from bagel.model import Bagel
from bagel.placement import Loading
from bagel.precision import PACKED, PackedLinear, check_precision, pack, require, use_precision
from bagel.store import AUTOENCODER_FILE, MODEL_FILE, write_shards
from bagel.tiny import TINY
from bagel.tokenizer import Tokenizer
from bagel.vae import Autoencoder
from bagel.weights import Checkpoint, choose_device, split
from world.files import atomic_write_text

SPREAD = 0.02  # standard deviation of random weights


def config_of(name: str) -> BagelConfig:
    """The config of "7b", of "7b:4" (the same with four layers), or of a checkpoint directory.

    Raises ValueError or ModelError where there is none.
    """
    if name.partition(":")[0] != "7b":
        return read_config(TINY if name == "tiny" else Path(name))
    layers = name.partition(":")[2] or str(RELEASE.language.num_hidden_layers)
    if not layers.isdigit() or int(layers) < 1:
        raise ValueError(f"expected 7b or 7b:LAYERS, such as 7b:4, got {name!r}")
    return replace(RELEASE, language=replace(RELEASE.language, num_hidden_layers=int(layers)))


def random_checkpoint(config: BagelConfig, device: str | None = None, how: Loading | None = None) -> Checkpoint:
    """A model of that shape in memory, in the precision of `how`, on one device, seeded."""
    how, home = how or Loading(), choose_device(device)
    precision = how.precision or ("float32" if home.type == "cpu" else "bfloat16")
    half = torch.float32 if home.type == "cpu" else torch.bfloat16
    dtype = half if precision in PACKED else getattr(torch, precision)
    generator = torch.Generator(home)
    with torch.device("meta"):
        model, autoencoder = Bagel(config), Autoencoder(config.autoencoder)
    if precision in PACKED:
        require(check_precision(precision), home)
        use_precision(model.transformer, precision)
    for module, kind in ((model, dtype), (autoencoder, torch.float32)):
        packed = {n: m for n, m in module.named_modules() if isinstance(m, PackedLinear)}
        state: dict[str, Tensor] = {}
        for name, empty in module.state_dict().items():
            owner, _, leaf = name.rpartition(".")
            if owner not in packed or leaf == "bias":
                state[name] = _random(name, tuple(empty.shape), home, kind, generator)
            elif leaf == "weight":
                shape = (len(empty), _columns(packed[owner]))
                pieces = pack(_random(name, shape, home, kind, generator), precision)
                state |= {name if p == "weight" else f"{owner}.weight_{p}": t for p, t in pieces.items()}
        module.load_state_dict(state, assign=True)
    model.kernel = choose(how.attention, home, dtype, config.language).call
    if how.compile:
        use_compiled(model, one_device=True)
    return Checkpoint(model.eval(), autoencoder.eval(), Tokenizer.from_directory(TINY), config)


def write_random(directory: Path, config: BagelConfig, device: str | None = None) -> None:
    """A checkpoint directory in the release's layout, bfloat16 and sharded, a few GiB of memory at most.

    Raises ValueError where the directory already holds one.
    """
    home = choose_device(device)
    generator = torch.Generator(home)
    with torch.device("meta"):
        model, autoencoder = Bagel(config), Autoencoder(config.autoencoder)

    def tensors(module: nn.Module, dtype: torch.dtype):
        for name, empty in module.state_dict().items():
            shapes = {name: empty} if module is autoencoder else split(name, empty, config.language)
            for key, part in shapes.items():
                yield key, _random(key, tuple(part.shape), home, dtype, generator).cpu()

    directory.mkdir(parents=True, exist_ok=True)
    write_shards(directory, MODEL_FILE, tensors(model, torch.bfloat16), {})
    write_shards(directory, AUTOENCODER_FILE, tensors(autoencoder, torch.float32), {})
    for name, content in config_files(config).items():
        atomic_write_text(directory / name, json.dumps(content, indent=2) + "\n")
    for name, text in Tokenizer.from_directory(TINY).files.items():
        atomic_write_text(directory / name, text.decode())


def _random(
    name: str, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """Norms near 1, so that rows keep their size through all layers; matrices and biases small.

    Seeded by the name, so that a tensor is the same in whatever order and precision a model is made.
    """
    generator.manual_seed(zlib.crc32(name.encode()))
    tensor = torch.randn(shape, device=device, dtype=dtype, generator=generator) * SPREAD
    return tensor + 1 if "norm" in name and name.endswith("weight") else tensor


def _columns(linear: PackedLinear) -> int:
    return linear.weight.shape[1] * (2 if linear.precision == "nf4" else 1)
