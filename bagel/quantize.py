"""A checkpoint written again with packed matrices, a tensor at a time: safetensors that `load` takes as they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from bagel.config import BagelConfig
from bagel.precision import Precision, fits, pack, require
from bagel.store import AUTOENCODER_FILE, MODEL_FILE, Store, copy_small, write_shards
from bagel.tokenizer import OPTIONAL, REQUIRED
from bagel.weights import build, check, choose_device, open_stores, release_names, report
from world.errors import ModelError

_log = logging.getLogger("bagel.weights")  # the same listeners as reading

CONFIGS = ("llm_config.json", "vit_config.json", "ae_config.json", "bagel_config.json")


def quantize(directory: Path, out: Path, to: Precision, config_from: Path | None = None) -> tuple[int, int]:
    """Packs the matrices of the layers and copies everything else; returns the bytes of weights before and after.

    Raises ModelError where the source is broken or this machine cannot pack so, ValueError where `out` holds weights
    or is the source.
    """
    device = choose_device()
    require(to, device)
    if out.resolve() == directory.resolve():
        raise ValueError(f"{out} is the checkpoint itself: give another folder")
    model, autoencoder, _, config = build(directory, config_from)
    stores = open_stores(directory, config_from)
    if wrong := check(model, autoencoder, stores):
        raise ModelError(report(directory, wrong))
    store = stores[MODEL_FILE]
    out.mkdir(parents=True, exist_ok=True)
    if any((out / name).exists() for name in (MODEL_FILE, AUTOENCODER_FILE, f"{MODEL_FILE}.index.json")):
        raise ValueError(f"{out} already holds a checkpoint: give an empty folder")
    matrices = _matrices(model, config, to)
    sources = [folder for folder in (config_from, directory) if folder is not None]
    copy_small(sources, out, (*CONFIGS, *REQUIRED, *OPTIONAL))
    copy_small([directory, *sources], out, [AUTOENCODER_FILE])
    write_shards(out, MODEL_FILE, _packed(store, matrices, to, device), {"precision": to})
    return store.num_bytes, Store(out, MODEL_FILE).num_bytes


def _matrices(model: nn.Module, config: BagelConfig, to: str) -> set[str]:
    """The release's names of what is packed: the Linears of the layers whose rows are whole blocks."""
    return {
        key
        for name, linear in model.named_modules()
        if name.startswith("transformer.layers.") and isinstance(linear, nn.Linear) and fits(to, linear.in_features)
        for key in release_names(f"{name}.weight")
    }


def _packed(store: Store, matrices: set[str], to: str, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    for i, name in enumerate(store.shapes):
        _log.info("packing %s, %d%%", store.file, 100 * i // len(store.shapes))
        tensor = store.tensor(name)
        if name not in matrices:
            yield name, tensor.clone()
            continue
        for leaf, piece in pack(tensor.to(device), to).items():
            yield name if leaf == "weight" else f"{name}.{leaf}", piece.cpu().contiguous()
