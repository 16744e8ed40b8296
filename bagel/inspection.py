"""What a checkpoint directory holds, part by part, and everything that is wrong with it in one report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from bagel.config import BagelConfig, read_config
from bagel.model import Bagel
from bagel.tokenizer import Tokenizer
from bagel.vae import Autoencoder
from bagel.weights import AUTOENCODER_FILE, MODEL_FILE, Store, check
from world.errors import ModelError

# Parts by what a key holds, the first that fits; the last takes the rest.
_PARTS = {
    "generation experts": ("_moe_gen",),
    "token embedding and head": ("embed_tokens", "lm_head"),
    "understanding experts": ("language_model.",),
    "vision encoder": ("vit_model.",),
    "connector": ("connector.",),
    "position tables": ("pos_embed.pos_embed",),
    "latent and time layers": ("vae2llm.", "llm2vae.", "time_embedder."),
    "autoencoder": ("",),
}


@dataclass(frozen=True)
class Tensors:
    """One part: how many tensors and numbers, and how they are stored."""

    part: str
    num_tensors: int
    num_parameters: int
    stored_as: str


@dataclass(frozen=True)
class Inspection:
    """`keys` are (file, name, shape, storage type); `wrong` are sentences, none when all is well."""

    parts: list[Tensors]
    keys: list[tuple[str, str, tuple[int, ...], str]]
    wrong: list[str]


def inspect(directory: str | Path) -> Inspection:
    """Reads the headers of a checkpoint directory, no weights. Raises ModelError only where there is no directory."""
    directory = Path(directory)
    if not directory.is_dir():
        raise ModelError(f"there is no checkpoint directory {directory}: give the folder that holds {MODEL_FILE}")
    wrong: list[str] = []
    config: BagelConfig | None = None
    tokenizer: Tokenizer | None = None
    stores: dict[str, Store] = {}
    try:
        config = read_config(directory)
    except ModelError as error:
        wrong.append(str(error))
    try:
        tokenizer = Tokenizer.from_directory(directory)
    except ModelError as error:
        wrong.append(str(error))
    for file in (MODEL_FILE, AUTOENCODER_FILE):
        try:
            stores[file] = Store(directory, file)
        except ModelError as error:
            wrong.append(str(error))
    if config is not None:
        if tokenizer is not None and len(tokenizer) > config.language.vocab_size:
            rows = config.language.vocab_size
            wrong.append(f"the tokenizer has {len(tokenizer)} tokens, llm_config.json only {rows} embedding rows")
        with torch.device("meta"):
            model, autoencoder = Bagel(config), Autoencoder(config.autoencoder)
        wrong += [f"{file}: {line}" for file, lines in check(model, autoencoder, stores).items() for line in lines]
    keys = [(file, n, store.shapes[n], store.dtypes[n]) for file, store in stores.items() for n in store.shapes]
    return Inspection(_by_part(keys), keys, wrong)


def _by_part(keys: list[tuple[str, str, tuple[int, ...], str]]) -> list[Tensors]:
    tensors, parameters, types = Counter(), Counter(), {part: Counter() for part in _PARTS}
    for file, name, shape, stored_as in keys:
        part = "autoencoder" if file == AUTOENCODER_FILE else _part(name)
        types[part][stored_as] += 1
        if not name.endswith(".scale"):
            tensors[part] += 1
            parameters[part] += prod(shape)
    return [Tensors(p, tensors[p], parameters[p], ", ".join(sorted(types[p]))) for p in _PARTS if tensors[p]]


def _part(name: str) -> str:
    return next(part for part, marks in _PARTS.items() if any(mark in name for mark in marks))
