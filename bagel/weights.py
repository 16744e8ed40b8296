"""Checkpoints in exactly the release's layout: the one place that knows its names, its fused matrices and its storage.

`ema.safetensors` holds everything but the autoencoder, `ae.safetensors` the autoencoder; either may be split into
shards with an index. A matrix may be stored as int8 with a sibling `<name>.scale` of one number a row.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bagel.config import BagelConfig, LanguageConfig, config_files, read_config
from bagel.model import Bagel
from bagel.tokenizer import Tokenizer
from bagel.vae import Autoencoder
from world.errors import ModelError
from world.files import atomic_path

_log = logging.getLogger(__name__)  # at INFO: how far the reading is

Storage = Literal["float32", "float16", "bfloat16", "int8"]

MODEL_FILE, AUTOENCODER_FILE = "ema.safetensors", "ae.safetensors"

# Our module -> theirs, most of them once for a layer and expert: {i} its number, {s} "" or "_moe_gen".
_LLM, _VIT = "language_model.model.", "vit_model.vision_model."
_EXPERT = {
    "input_norm": ("input_layernorm{s}",),
    "qkv": ("self_attn.q_proj{s}", "self_attn.k_proj{s}", "self_attn.v_proj{s}"),
    "q_norm": ("self_attn.q_norm{s}",),
    "k_norm": ("self_attn.k_norm{s}",),
    "out": ("self_attn.o_proj{s}",),
    "post_norm": ("post_attention_layernorm{s}",),
    "gate_up": ("mlp{s}.gate_proj", "mlp{s}.up_proj"),
    "down": ("mlp{s}.down_proj",),
}
_VISION = {
    "norm1": ("layer_norm1",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.out_proj",),
    "norm2": ("layer_norm2",),
    "fc1": ("mlp.fc1",),
    "fc2": ("mlp.fc2",),
}
_WHOLE = {
    "transformer.embed": f"{_LLM}embed_tokens",
    "transformer.head": "language_model.lm_head",
    "transformer.norm_und": f"{_LLM}norm",
    "transformer.norm_gen": f"{_LLM}norm_moe_gen",
    "vit.patch": f"{_VIT}embeddings.patch_embedding",
    "vit.positions": f"{_VIT}embeddings.position_embedding",
    "vit.norm": f"{_VIT}post_layernorm",
    "time_embedder.fc1": "time_embedder.mlp.0",
    "time_embedder.fc2": "time_embedder.mlp.2",
}
_TABLES = {"latent_positions": "latent_pos_embed.pos_embed", "vit_positions": "vit_pos_embed.pos_embed"}


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a checkpoint directory holds."""

    model: Bagel
    autoencoder: Autoencoder
    tokenizer: Tokenizer
    config: BagelConfig


def release_names(name: str) -> tuple[str, ...]:
    """The release's names of one of Bagel's tensors: several where ours is their concatenation along dimension 0."""
    if name in _TABLES:
        return (_TABLES[name],)
    module, leaf = name.rsplit(".", 1)
    if found := re.fullmatch(r"transformer\.layers\.(\d+)\.(und|gen)\.(\w+)", module):
        suffix = "_moe_gen" if found[2] == "gen" else ""
        return tuple(f"{_LLM}layers.{found[1]}.{part.format(s=suffix)}.{leaf}" for part in _EXPERT[found[3]])
    if found := re.fullmatch(r"vit\.layers\.(\d+)\.(\w+)", module):
        return tuple(f"{_VIT}encoder.layers.{found[1]}.{part}.{leaf}" for part in _VISION[found[2]])
    return (f"{_WHOLE.get(module, module)}.{leaf}",)


def split(name: str, tensor: Tensor, c: LanguageConfig) -> dict[str, Tensor]:
    """One of Bagel's tensors (a weight or its gradient) as the release's, by name: views into the one given."""
    names = release_names(name)
    if len(names) == 3 and name.startswith("transformer."):
        keys = c.num_key_value_heads * c.head_dim
        sizes = [c.num_attention_heads * c.head_dim, keys, keys]
    else:
        sizes = [tensor.shape[0] // len(names)] * len(names)
    return dict(zip(names, tensor.split(sizes), strict=True))


def load(
    directory: str | Path,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    autoencoder_dtype: torch.dtype = torch.float32,
) -> Checkpoint:
    """Reads a checkpoint directory, tensor by tensor from the mapped file to the device, in eval mode.

    `device` None means CUDA where there is one. `dtype` None means float32 on the CPU and bfloat16 elsewhere; the
    autoencoder stays in float32 unless told otherwise, as in the published app. Raises ModelError with everything
    that is wrong and what to do.
    """
    directory = Path(directory)
    device = choose_device(device)
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    model, autoencoder, tokenizer, config = build(directory)
    stores = {MODEL_FILE: Store(directory, MODEL_FILE), AUTOENCODER_FILE: Store(directory, AUTOENCODER_FILE)}
    wrong = check(model, autoencoder, stores)
    if wrong:
        raise ModelError(report(directory, wrong))
    _fill(model, stores[MODEL_FILE], config.language, device, dtype)
    _fill(autoencoder, stores[AUTOENCODER_FILE], None, device, autoencoder_dtype)
    return Checkpoint(model.eval(), autoencoder.eval(), tokenizer, config)


def build(directory: Path) -> tuple[Bagel, Autoencoder, Tokenizer, BagelConfig]:
    """The modules of a checkpoint directory without their weights (on the meta device), its tokenizer and config."""
    if not directory.is_dir():
        raise ModelError(f"there is no checkpoint directory {directory}: give the folder that holds {MODEL_FILE}")
    config = read_config(directory)
    tokenizer = Tokenizer.from_directory(directory)
    if len(tokenizer) > config.language.vocab_size:
        raise ModelError(
            f"{directory}: the tokenizer has {len(tokenizer)} tokens, but llm_config.json gives the model only "
            f"{config.language.vocab_size} embedding rows: the files come from different models, copy them from one"
        )
    with torch.device("meta"):
        return Bagel(config), Autoencoder(config.autoencoder), tokenizer, config


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device meant; None is CUDA where there is one. Raises ModelError where torch cannot use it."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # "meta" has no numbers to give
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().split("\n")[0]
        raise ModelError(f"device {str(device)!r} cannot be used here ({first}): try cpu or cuda") from None
    return chosen


class Store:
    """The tensors of one safetensors file, or of its shards, by name; nothing is read before it is asked for."""

    def __init__(self, directory: Path, file: str) -> None:
        """Raises ModelError where no file is found or one is broken."""
        self.file = file
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._files = {}
        self._owner: dict[str, Path] = {}
        for path in _files_of(directory, file):
            try:
                self._files[path] = safe_open(path, framework="pt")
            except (SafetensorError, OSError) as error:
                raise ModelError(f"{path} is broken or cut short ({error}): copy it again from its source") from None
            for name in self._files[path].keys():  # noqa: SIM118 - a safetensors file, not a dict
                view = self._files[path].get_slice(name)
                self.shapes[name], self.dtypes[name] = tuple(view.get_shape()), view.get_dtype()
                self._owner[name] = path

    def tensor(self, name: str) -> Tensor:
        """The stored tensor on the CPU; an int8 matrix with a scale comes dequantised, in float32."""
        stored = self._files[self._owner[name]].get_tensor(name)
        scale = f"{name}.scale"
        if scale not in self.shapes:
            return stored
        return stored.float() * self._files[self._owner[scale]].get_tensor(scale).float()[:, None]


def check(model: Bagel, autoencoder: Autoencoder, stores: Mapping[str, Store]) -> dict[str, list[str]]:
    """Everything in the files that the modules do not expect: sentences by file, none when all is well."""
    c = model.config.language
    expected = {
        MODEL_FILE: {k: tuple(v.shape) for n, t in model.state_dict().items() for k, v in split(n, t, c).items()},
        AUTOENCODER_FILE: {n: tuple(t.shape) for n, t in autoencoder.state_dict().items()},
    }
    wrong = {file: _differences(expected[file], store) for file, store in stores.items()}
    return {file: lines for file, lines in wrong.items() if lines}


def report(directory: Path, wrong: Mapping[str, list[str]], limit: int = 12) -> str:
    """One message of everything wrong, at most `limit` lines a file, and the cure."""
    parts = [f"{directory} does not hold the model that its config files describe."]
    for file, lines in wrong.items():
        more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
        parts += [f"{file}:", *(f"  {line}" for line in [*lines[:limit], *more])]
    parts.append("Take weights and config files from the same model; `python -m bagel inspect DIR` lists everything.")
    return "\n".join(parts)


def save(checkpoint: Checkpoint, directory: str | Path, storage: Storage = "float32") -> None:
    """Writes a checkpoint directory in the release's layout; the new files take their places once all are written.

    ae_config.json and bagel_config.json are written only where they differ from what the release fixes in code.
    "int8" stores the matrices of the layers, the token embedding and the head as int8 with one float16 scale a row,
    and the rest as float16.
    """
    directory = Path(directory)
    c = checkpoint.config.language
    named = checkpoint.model.state_dict().items()
    weights = {
        AUTOENCODER_FILE: checkpoint.autoencoder.state_dict(),
        MODEL_FILE: {k: v for n, t in named for k, v in split(n, t, c).items()},
    }
    configs = config_files(checkpoint.config)
    texts = checkpoint.tokenizer.files | {n: (json.dumps(x, indent=2) + "\n").encode() for n, x in configs.items()}
    with ExitStack() as stack:
        staged = {name: stack.enter_context(atomic_path(directory / name)) for name in (*texts, *weights)}
        for name, content in texts.items():
            staged[name].write_bytes(content)
        for name, tensors in weights.items():
            save_file(dict(_stored(tensors, storage)), staged[name], metadata={"format": "pt"})
        for stale in {"ae_config.json", "bagel_config.json"} - configs.keys():
            (directory / stale).unlink(missing_ok=True)


def _fill(module: nn.Module, store: Store, c: LanguageConfig | None, device: torch.device, dtype: torch.dtype) -> None:
    """Gives a module on the meta device its weights; `c` is None where names are the release's own."""
    state, shapes = {}, module.state_dict()
    for i, (name, empty) in enumerate(shapes.items()):
        _log.info("reading %s, %d%%", store.file, 100 * i // len(shapes))
        state[name] = torch.empty(empty.shape, device=device, dtype=dtype)
        parts = split(name, state[name], c) if c else {name: state[name]}
        for key, view in parts.items():
            view.copy_(store.tensor(key))
    module.load_state_dict(state, assign=True)


def _files_of(directory: Path, file: str) -> list[Path]:
    """The file itself, or the shards that its index names."""
    if (directory / file).is_file():
        return [directory / file]
    index = directory / f"{file}.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise ModelError(f"{index} is not an index of shards (no weight_map): copy it again") from None
        missing = [shard for shard in shards if not (directory / shard).is_file()]
        if missing:
            raise ModelError(f"{directory} lacks the shards {', '.join(missing)}, named by {index.name}: copy them too")
        return [directory / shard for shard in shards]
    pickled = [p.name for p in sorted(directory.iterdir()) if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    if pickled:
        raise ModelError(
            f"{directory} has no {file} but {', '.join(pickled)}: pickled weights can run code and are not read here; "
            f"write them as {file} with safetensors.torch.save_file"
        )
    raise ModelError(f"{directory} has no {file} and no {file}.index.json: copy it from the release")


def _differences(expected: Mapping[str, tuple[int, ...]], store: Store) -> list[str]:
    scales = {n for n in store.shapes if n.endswith(".scale") and store.dtypes.get(n[: -len(".scale")]) == "I8"}
    lines = [f"{n} is missing ({list(s)})" for n, s in expected.items() if n not in store.shapes]
    lines += [f"{n} is not part of the model" for n in store.shapes if n not in expected and n not in scales]
    for name, shape in expected.items():
        found, kind = store.shapes.get(name, shape), store.dtypes.get(name, "F32")
        if found != shape:
            table = ": check the grid sizes in bagel_config.json" if name in _TABLES.values() else ""
            lines.append(f"{name} has shape {list(found)}, the config asks for {list(shape)}{table}")
        elif kind == "I8" and store.shapes.get(f"{name}.scale") != shape[:1]:
            lines.append(f"{name} is int8 and needs {name}.scale of shape {list(shape[:1])}")
        elif kind not in ("F32", "F16", "BF16", "I8"):
            lines.append(f"{name} is stored as {kind}: F32, F16, BF16 and I8 with a scale are read")
    return lines


def _stored(tensors: Mapping[str, Tensor], storage: Storage) -> Iterable[tuple[str, Tensor]]:
    """The tensors as they go into a file, on the CPU, each with memory of its own."""
    dtype = torch.float16 if storage == "int8" else getattr(torch, storage)
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        layered = ".layers." in name or name.endswith(("embed_tokens.weight", "lm_head.weight"))
        if storage == "int8" and tensor.ndim == 2 and layered:
            scale = (tensor.float().abs().amax(dim=1) / 127).clamp(min=1e-7).half()
            yield name, (tensor.float() / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
            yield f"{name}.scale", scale
        else:
            yield name, tensor.to(dtype, copy=True).contiguous()
