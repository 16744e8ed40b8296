"""Checkpoints in exactly the release's layout: the one place that knows its names and its fused matrices.

`ema.safetensors` holds everything but the autoencoder, `ae.safetensors` the autoencoder. How files are found and
opened is store.py's business, how matrices are packed precision.py's, where they lie placement.py's.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bagel.adapter import load_adapter
from bagel.compiled import use_compiled
from bagel.config import BagelConfig, LanguageConfig, config_files, read_config
from bagel.kernels import choose
from bagel.model import Bagel, unfilled
from bagel.placement import Loading, Placement, Share, arrange, autoencoder_dtype_of, place
from bagel.precision import PACKED, PackedLinear, check_precision, pack, require, unpack, use_precision
from bagel.shares import cut, share_matrices
from bagel.store import AUTOENCODER_FILE, MODEL_FILE, Store, model_file
from bagel.tokenizer import Tokenizer
from bagel.vae import Autoencoder
from world.errors import ModelError
from world.files import atomic_path

_log = logging.getLogger(__name__)  # at INFO: how far the reading is

Storage = Literal["float32", "float16", "bfloat16", "int8"]

# Whose matrices are packed besides the layers': not the time's first, whose errors add up at t = 0 (all cosines are 1).
_LARGE = ("language_model.model.embed_tokens.", "language_model.lm_head.", "time_embedder.mlp.2.", "connector.")

# Storage types that are read, and the precision that each is.
STORED_AS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "F8_E4M3": "fp8", "U8": "nf4"}

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
    autoencoder_dtype: torch.dtype | None = None,
    how: Loading | None = None,
) -> Checkpoint:
    """Reads a checkpoint directory, tensor by tensor from the mapped file to its device, in eval mode.

    `device` None means CUDA where there is one. `dtype` None means that of `how.precision`, else float32 on the CPU
    and bfloat16 elsewhere. The autoencoder is in bfloat16 beside a model in bfloat16 on a card (there the published
    code computes so) and in float32 else, unless told otherwise. Packed matrices stay packed where
    `how.precision` or the file says so. Raises ModelError with everything that is wrong and what to do.
    """
    directory, how = Path(directory), how or Loading()
    devices = [choose_device(name) for name in how.devices or (device,)]
    model, autoencoder, tokenizer, config = build(directory, how.config_from)
    stores = open_stores(directory, how.config_from)
    wrong = check(model, autoencoder, stores)
    if wrong:
        raise ModelError(report(directory, wrong))
    store = stores[MODEL_FILE]
    if how.lora is not None:
        store.adapter = load_adapter(how.lora)
        store.adapter.check(store.shapes)
    precision = how.precision or store.metadata.get("precision")
    if precision is not None and precision not in PACKED:
        dtype = dtype or getattr(torch, precision)
    dtype = dtype or (torch.float32 if devices[0].type == "cpu" else torch.bfloat16)

    if autoencoder_dtype is None:
        autoencoder_dtype = autoencoder_dtype_of(devices[0], dtype)

    def fill(placement: Placement) -> None:
        _fill(model, store, config.language, dtype, placement.of, how.share)
        _fill(autoencoder, stores[AUTOENCODER_FILE], None, autoencoder_dtype, lambda name: placement.home)

    settle(model, devices, dtype, replace(how, precision=precision and check_precision(precision)), fill)
    return Checkpoint(model.eval(), autoencoder.eval(), tokenizer, config)


def settle(
    model: Bagel, devices: Sequence[torch.device], dtype: torch.dtype, how: Loading, fill: Callable[[Placement], None]
) -> None:
    """Brings a model on the meta device to its devices, packed and divided as `how` says; `fill` gives it its weights.

    Raises ModelError where that cannot be done.
    """
    if how.share is not None:
        share_matrices(model.transformer, how.share)
    if how.precision in PACKED:
        require(how.precision, devices[0])
        use_precision(model.transformer, how.precision)
    placement = place(model, model.transformer, devices, dtype)
    fill(placement)
    arrange(model.transformer, placement)
    model.kernel = choose(how.attention, devices[0], dtype, model.config.language).call
    if how.compile:
        together = len(set(placement.layers)) == 1 and not placement.offloaded and how.share is None
        use_compiled(model, one_device=together)


def build(directory: Path, config_from: Path | None = None) -> tuple[Bagel, Autoencoder, Tokenizer, BagelConfig]:
    """The modules of a checkpoint directory without their weights (on the meta device), its tokenizer and config."""
    for folder in (directory, config_from or directory):
        if not folder.is_dir():
            raise ModelError(f"there is no checkpoint directory {folder}: give the folder that holds {MODEL_FILE}")
    source = config_from or directory
    config = read_config(source)
    tokenizer = Tokenizer.from_directory(source)
    if len(tokenizer) > config.language.vocab_size:
        raise ModelError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens, but llm_config.json gives the model only "
            f"{config.language.vocab_size} embedding rows: the files come from different models, copy them from one"
        )
    return *unfilled(config), tokenizer, config


def open_stores(directory: Path, config_from: Path | None = None) -> dict[str, Store]:
    """The files of a directory; `config_from` lends the autoencoder where a fine-tune's folder has none."""
    lends = config_from is not None and not (directory / AUTOENCODER_FILE).is_file()
    autoencoder = config_from if lends and config_from is not None else directory
    return {
        MODEL_FILE: Store(directory, model_file(directory)),
        AUTOENCODER_FILE: Store(autoencoder, AUTOENCODER_FILE),
    }


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
    "int8" stores the matrices of the layers and some others as int8 with a float16 scale a row, the rest as float16.
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


def _fill(
    module: nn.Module,
    store: Store,
    c: LanguageConfig | None,
    dtype: torch.dtype,
    where: Callable[[str], torch.device],
    share: Share | None = None,
) -> None:
    """Gives a module on the meta device its weights; `c` is None where names are the release's own."""
    state: dict[str, Tensor] = {}
    packed = {name: m for name, m in module.named_modules() if isinstance(m, PackedLinear)}
    shapes = module.state_dict()
    for i, (name, empty) in enumerate(shapes.items()):
        _log.info("reading %s, %d%%", store.file, 100 * i // len(shapes))
        owner, _, leaf = name.rpartition(".")
        device = where(name)
        keys = release_names(name) if c else (name,)
        if owner not in packed or leaf == "bias":
            state[name] = torch.empty(empty.shape, device=device, dtype=dtype)
            parts = [cut(store.tensor(key), key, c, share) if c and share else store.tensor(key) for key in keys]
            for part, view in zip(parts, state[name].split([len(part) for part in parts]), strict=True):
                view.copy_(part)
        elif leaf == "weight":
            pieces = [_packed(store, key, packed[owner].precision, c, share, device) for key in keys]
            for piece in pieces[0]:
                whole = torch.cat([part[piece] for part in pieces])
                state[name if piece == "weight" else f"{owner}.weight_{piece}"] = whole
    module.load_state_dict(state, assign=True)


def _packed(
    store: Store, key: str, precision: str, c: LanguageConfig | None, share: Share | None, device: torch.device
) -> dict[str, Tensor]:
    """One of the release's matrices, packed on the device: as it is stored where that is the same, else anew."""
    pieces = store.pieces(key)
    if len(pieces) > 1 and STORED_AS[store.dtypes[key]] == precision and share is None:
        return {name: piece.to(device) for name, piece in pieces.items()}
    # Packed where it is computed: bitsandbytes and large matrices are slow on a CPU.
    home = device if device.type != "cpu" or not torch.cuda.is_available() else torch.device("cuda")
    weight = unpack({n: p.to(home) for n, p in pieces.items()}) if len(pieces) > 1 else pieces["weight"].to(home)
    weight = cut(weight, key, c, share) if c and share else weight
    return {name: piece.to(device) for name, piece in pack(weight, precision).items()}


def _differences(expected: Mapping[str, tuple[int, ...]], store: Store) -> list[str]:
    lines = [f"{n} is missing ({list(s)})" for n, s in expected.items() if n not in store.shapes]
    lines += [f"{n} is not part of the model" for n in store.shapes if n not in expected]
    for name, shape in expected.items():
        if name not in store.shapes:
            continue
        found, kind = store.shapes[name], store.dtypes[name]
        if found != shape and kind != "U8":
            table = ": check the grid sizes in bagel_config.json" if name in _TABLES.values() else ""
            lines.append(f"{name} has shape {list(found)}, the config asks for {list(shape)}{table}")
        elif kind not in STORED_AS:
            lines.append(
                f"{name} is stored as {kind}: {', '.join(STORED_AS)} are read, the last three with their scale"
            )
        elif lack := store.wrong_packing(name):
            lines.append(lack)
        elif found != shape:
            lines.append(f"{name} has shape {list(found)} unpacked, the config asks for {list(shape)}")
    return lines


def _stored(tensors: Mapping[str, Tensor], storage: Storage) -> Iterable[tuple[str, Tensor]]:
    """The tensors as they go into a file, on the CPU, each with memory of its own."""
    dtype = torch.float16 if storage == "int8" else getattr(torch, storage)
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        packed = ".layers." in name or name.startswith(_LARGE)
        if storage == "int8" and tensor.ndim == 2 and packed:
            pieces = pack(tensor, "int8")
            yield name, pieces["weight"]
            yield f"{name}.scale", pieces["scale"]
        else:
            yield name, tensor.to(dtype, copy=True).contiguous()
