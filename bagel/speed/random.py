"""Models without a checkpoint: random weights in a config's shapes, since speed does not depend on their values."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bagel.config import RELEASE, BagelConfig, config_files, read_config
from bagel.model import unfilled
from bagel.placement import Loading, Placement, autoencoder_dtype_of
from bagel.precision import PACKED, PackedLinear, pack
from bagel.shares import cut
from bagel.store import AUTOENCODER_FILE, MODEL_FILE, write_shards
from bagel.tiny import TINY
from bagel.tokenizer import Tokenizer
from bagel.weights import Checkpoint, choose_device, settle, split
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
    """A model of that shape in memory, seeded: where, in which precision and how divided `how` says."""
    how = how or Loading()
    devices = [choose_device(name) for name in how.devices or (device,)]
    half = torch.float32 if devices[0].type == "cpu" else torch.bfloat16
    dtype = half if how.precision in (None, *PACKED) else getattr(torch, how.precision)
    model, autoencoder = unfilled(config)
    whole = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    def fill(placement: Placement) -> None:
        packed = {name: m for name, m in model.named_modules() if isinstance(m, PackedLinear)}
        state: dict[str, Tensor] = {}
        for name in model.state_dict():
            owner, _, leaf = name.rpartition(".")
            if owner in packed and leaf not in ("weight", "bias"):
                continue
            tensor = _random(name, whole[name], placement.of(name), dtype)
            if how.share is not None:
                parts = split(name, tensor, config.language).items()
                tensor = torch.cat([cut(part, key, config.language, how.share) for key, part in parts])
            pieces = pack(tensor, packed[owner].precision) if owner in packed and leaf == "weight" else {leaf: tensor}
            state |= {f"{owner}.{p if p == leaf else f'weight_{p}'}".lstrip("."): t for p, t in pieces.items()}
        model.load_state_dict(state, assign=True)
        tensors = autoencoder.state_dict().items()
        kind = autoencoder_dtype_of(placement.home, dtype)
        drawn = {n: _random(n, tuple(t.shape), placement.home, kind) for n, t in tensors}
        autoencoder.load_state_dict(drawn, assign=True)

    settle(model, devices, dtype, how, fill)
    return Checkpoint(model.eval(), autoencoder.eval(), _tokenizer(config), config)


def write_random(directory: Path, config: BagelConfig, device: str | None = None) -> None:
    """A checkpoint directory in the release's layout, bfloat16 and sharded, a few GiB of memory at most.

    Raises ValueError where the directory already holds one.
    """
    home = choose_device(device)
    model, autoencoder = unfilled(config)

    def tensors(module: nn.Module, dtype: torch.dtype):
        for name, empty in module.state_dict().items():
            shapes = {name: empty} if module is autoencoder else split(name, empty, config.language)
            for key, part in shapes.items():
                yield key, _random(key, tuple(part.shape), home, dtype).cpu()

    directory.mkdir(parents=True, exist_ok=True)
    write_shards(directory, MODEL_FILE, tensors(model, torch.bfloat16), {})
    write_shards(directory, AUTOENCODER_FILE, tensors(autoencoder, torch.float32), {})
    for name, content in config_files(config).items():
        atomic_write_text(directory / name, json.dumps(content, indent=2) + "\n")
    for name, text in _tokenizer(config).files.items():
        atomic_write_text(directory / name, text.decode())


def _tokenizer(config: BagelConfig) -> Tokenizer:
    """The shipped one, without the added tokens that the model would have no rows for."""
    files = Tokenizer.from_directory(TINY).files
    told = json.loads(files["tokenizer_config.json"])
    added = told["added_tokens_decoder"].items()
    told["added_tokens_decoder"] = {i: token for i, token in added if int(i) < config.language.vocab_size}
    return Tokenizer({**files, "tokenizer_config.json": json.dumps(told).encode()})


def _random(name: str, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Norms near 1, so that rows keep their size through all layers; matrices and biases small.

    Seeded by the name and drawn in float32, so that a tensor is the same in whatever order and precision a model is
    made: what torch draws in half precision is not what it draws in float32.
    """
    generator = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
    tensor = torch.randn(shape, device=device, generator=generator).mul_(SPREAD).to(dtype)
    return tensor + 1 if "norm" in name and name.endswith("weight") else tensor
