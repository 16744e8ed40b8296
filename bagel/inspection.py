"""What a checkpoint directory holds, part by part, and everything that is wrong with it in one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TypeVar

from bagel.config import BagelConfig, read_config
from bagel.model import unfilled
from bagel.store import AUTOENCODER_FILE, MODEL_FILE, Store, model_file
from bagel.tokenizer import Tokenizer
from bagel.weights import check
from world.errors import ModelError

T = TypeVar("T")

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
    config: BagelConfig | None = None


def inspect(directory: str | Path, config_from: Path | None = None, deep: bool = False) -> Inspection:
    """Reads the headers of a checkpoint directory, and with `deep` every number. `config_from` as in Loading.

    Raises ModelError only where there is no directory.
    """
    directory = Path(directory)
    for folder in (directory, config_from or directory):
        if not folder.is_dir():
            raise ModelError(f"there is no checkpoint directory {folder}: give the folder that holds {MODEL_FILE}")
    source = config_from or directory
    wrong: list[str] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except ModelError as error:
            wrong.append(str(error))
            return None

    config = attempt(lambda: read_config(source))
    tokenizer = attempt(lambda: Tokenizer.from_directory(source))
    lends = config_from is not None and not (directory / AUTOENCODER_FILE).is_file()
    places = {MODEL_FILE: (directory, model_file(directory)), AUTOENCODER_FILE: (directory, AUTOENCODER_FILE)}
    if lends:
        places[AUTOENCODER_FILE] = (source, AUTOENCODER_FILE)
    stores = {file: store for file, place in places.items() if (store := attempt(lambda p=place: Store(*p)))}
    if config is not None:
        if tokenizer is not None and len(tokenizer) > config.language.vocab_size:
            rows = config.language.vocab_size
            wrong.append(f"the tokenizer has {len(tokenizer)} tokens, llm_config.json only {rows} embedding rows")
        model, autoencoder = unfilled(config)
        for file, lines in check(model, autoencoder, stores).items():
            wrong += [f"{file}: {line}" for line in lines]
            wrong.append(f"{file}: take it and the config files from the same model, or copy it again")
    pickled = sorted(p.name for p in directory.iterdir() if p.suffix == ".bin")
    wrong += [f"{name} is pickled, can run code and is never read: delete it" for name in pickled]
    if deep:
        wrong += [line for file, store in stores.items() for line in _not_finite(file, store)]
    keys = [(file, n, store.shapes[n], store.dtypes[n]) for file, store in stores.items() for n in store.shapes]
    return Inspection(_by_part(keys), keys, wrong, config)


def _not_finite(file: str, store: Store) -> Iterator[str]:
    for name in store.shapes:
        bad = sum(int((~piece.float().isfinite()).sum()) for piece in store.pieces(name).values())
        if bad:
            yield f"{file}: {name} holds {bad} numbers that are NaN or infinite: copy the file again, or train anew"


def _by_part(keys: list[tuple[str, str, tuple[int, ...], str]]) -> list[Tensors]:
    tensors, parameters, types = Counter(), Counter(), {part: Counter() for part in _PARTS}
    for file, name, shape, stored_as in keys:
        part = "autoencoder" if file == AUTOENCODER_FILE else _part(name)
        types[part][stored_as] += 1
        tensors[part] += 1
        parameters[part] += prod(shape)
    return [Tensors(p, tensors[p], parameters[p], ", ".join(sorted(types[p]))) for p in _PARTS if tensors[p]]


def _part(name: str) -> str:
    return next(part for part, marks in _PARTS.items() if any(mark in name for mark in marks))
