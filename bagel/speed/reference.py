"""The published implementation timed beside ours, for who has its repository (`bench --reference DIR`).

Its code is imported as it lies there and runs as it is, in its friendliest form, as its own evaluation scripts do: no
placement hooks, everything on one device, inputs moved there once they are made. What it imports from elsewhere and an
edit does not need, or torch has as well, stands in where it is missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bagel.config import BagelConfig, TransformConfig, config_files
from bagel.kernels import grouped
from bagel.tokenizer import Tokenizer
from bagel.transforms import resize, to_pixels
from world.errors import ModelError
from world.settings import SamplerConfig

NEEDED = "inferencer.py", "modeling/bagel/bagel.py", "data/data_utils.py"
# The published functions that make inputs, on the CPU.
PREPARED = (
    "prepare_prompts",
    "prepare_vit_images",
    "prepare_vae_images",
    "prepare_vae_latent",
    "prepare_vae_latent_cfg",
)


@dataclass(frozen=True)
class Edit:
    """A picture, what to do with it, and who reads the words."""

    picture: Image.Image
    words: str
    tokenizer: Tokenizer


@dataclass(frozen=True)
class ReferenceTime:
    """Median seconds of a whole edit by the published implementation, and what stood in for its attention."""

    frame: float
    attention: str


def measure_reference(
    repository: Path,
    config: BagelConfig,
    sampler: SamplerConfig,
    edits: Sequence[Edit],
    runs: int,
    deadline: float = math.inf,
) -> Iterator[ReferenceTime]:
    """Times each edit of a picture by words with random weights, on CUDA in bfloat16 where there is CUDA; as found.

    From `deadline` on (time.time) no further edit is begun.

    Raises ModelError where `repository` is not the published one or lacks a package.
    """
    check_reference(repository)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = torch.autocast(device.type, torch.bfloat16)  # as the published code does on CUDA alone
    with _imported(repository) as attention, half:
        inferencer = _inferencer(config, edits[0].tokenizer, device)
        settings: dict[str, Any] = {
            "cfg_text_scale": sampler.cfg_text_scale,
            "cfg_img_scale": sampler.cfg_image_scale,
            "cfg_interval": sampler.cfg_interval,
            "cfg_renorm_min": sampler.cfg_renorm_min,
            "cfg_renorm_type": sampler.cfg_renorm_type,
            "num_timesteps": sampler.num_timesteps,
            "timestep_shift": sampler.timestep_shift,
        }
        for edit in edits:
            if time.time() > deadline:
                return
            # Two evaluations take every library to where it works at full speed.
            inferencer(image=edit.picture, text=edit.words, **settings | {"num_timesteps": 3})
            seconds = []
            for _ in range(runs):
                begun = time.perf_counter()
                inferencer(image=edit.picture, text=edit.words, **settings)  # ends with the picture on the CPU
                seconds.append(time.perf_counter() - begun)
            yield ReferenceTime(statistics.median(seconds), attention)


def check_reference(repository: Path) -> None:
    """Raises ModelError where `repository` is not the published one."""
    missing = [name for name in NEEDED if not (repository / name).is_file()]
    if missing:
        raise ModelError(f"{repository} has no {missing[0]}: give a clone of github.com/ByteDance-Seed/Bagel")


def _inferencer(config: BagelConfig, tokenizer: Tokenizer, device: torch.device) -> Any:
    from inferencer import InterleaveInferencer  # pyright: ignore[reportMissingImports]
    from modeling import bagel as published  # pyright: ignore[reportMissingImports]
    from modeling.autoencoder import load_ae  # pyright: ignore[reportMissingImports]

    files = config_files(config)
    language = {"qk_norm": True, "layer_module": "Qwen2MoTDecoderLayer"} | files["llm_config.json"]
    vision = {"rope": False, "image_size": 980} | files["vit_config.json"]
    vision["num_hidden_layers"] -= 1
    llm, vit = published.Qwen2Config.from_dict(language), published.SiglipVisionConfig.from_dict(vision)
    autoencoder, vae = load_ae(None)
    whole = published.BagelConfig(
        llm_config=llm,
        vit_config=vit,
        vae_config=vae,
        latent_patch_size=config.latent_patch_size,
        max_latent_size=config.max_latent_size,
        vit_max_num_patch_per_side=config.vit_max_num_patch_per_side,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else before)
    try:
        with torch.device(device):
            model = published.Bagel(published.Qwen2ForCausalLM(llm), published.SiglipVisionModel(vit), whole)
        model.vit_model.vision_model.embeddings.convert_conv2d_to_linear(vit)
    finally:
        torch.set_default_dtype(before)
    ids = {
        "bos_token_id": tokenizer.start,
        "eos_token_id": tokenizer.end,
        "start_of_image": tokenizer.image_start,
        "end_of_image": tokenizer.image_end,
    }
    model.to(device).eval()
    for name in PREPARED:
        setattr(model, name, _at(device, getattr(model, name)))
    rules = (_Transform(None), _Transform(config.vit_transform))
    return InterleaveInferencer(model, autoencoder.to(device).eval(), tokenizer, *rules, ids)


def _at(device: torch.device, prepare: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes inputs, which then come to the device."""

    def prepared(*args: Any, **named: Any) -> Any:
        made = prepare(*args, **named)
        inputs, *rest = made if isinstance(made, tuple) else (made,)
        moved = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in inputs.items()}
        return (moved, *rest) if rest else moved

    return prepared


class _Transform:
    """A resize rule as the published code calls it; without one a picture keeps its size, as in our walks."""

    def __init__(self, rule: TransformConfig | None) -> None:
        self.rule = rule

    def resize_transform(self, picture: Image.Image) -> Image.Image:
        return picture if self.rule is None else resize(picture, self.rule)

    def __call__(self, picture: Image.Image) -> Tensor:
        return to_pixels(self.resize_transform(picture))


@contextmanager
def _imported(repository: Path) -> Iterator[str]:
    """The repository on the path of imports; says whose attention it gets. Afterwards its modules are forgotten."""
    known, path = set(sys.modules), list(sys.path)
    os.environ.setdefault("TQDM_DISABLE", "1")
    sys.path.insert(0, str(repository))
    attention = "flash_attn"
    if importlib.util.find_spec("flash_attn") is None:
        attention, stand_in = _attention()
        module: Any = ModuleType("flash_attn")
        module.__spec__ = ModuleSpec("flash_attn", None)
        module.flash_attn_varlen_func = stand_in
        sys.modules["flash_attn"] = module
    try:
        importlib.import_module("inferencer")
        yield attention
    except ImportError as error:
        raise ModelError(
            f"the published implementation does not import here ({error}): "
            "pip install transformers==4.49.0, in an environment of its own"
        ) from error
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - known:
            if name.partition(".")[0] in ("inferencer", "modeling", "data", "flash_attn"):
                del sys.modules[name]


def _attention() -> tuple[str, Callable[..., Tensor]]:
    """FlashAttention-2's function for packed rows from what torch has: the same kernel on CUDA, plain on a CPU."""
    if torch.cuda.is_available():
        from torch.nn.attention.varlen import varlen_attn

        kernel = grouped(varlen_attn)

        old = "is_causal" in signature(varlen_attn).parameters  # torch 2.10

        def packed(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, **lengths: Any) -> Tensor:
            how: dict[str, Any] = {"is_causal": causal} if old else {"window_size": (-1, 0 if causal else -1)}
            return kernel(q, k, v, *(lengths[name] for name in _LENGTHS), **how)

        return "torch's FlashAttention-2", packed

    def plain(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, **lengths: Any) -> Tensor:
        rows = []
        bounds = zip(*(lengths[name].tolist() for name in _LENGTHS[:2]), strict=True)
        (start_q, start_k), *ends = bounds
        for end_q, end_k in ends:
            a, b, c = (x.transpose(0, 1) for x in (q[start_q:end_q], k[start_k:end_k], v[start_k:end_k]))
            t, s = a.shape[1], b.shape[1]
            seen = torch.ones(t, s, dtype=torch.bool).tril(s - t) if causal else None
            rows.append(F.scaled_dot_product_attention(a, b, c, attn_mask=seen, enable_gqa=True).transpose(0, 1))
            start_q, start_k = end_q, end_k
        return torch.cat(rows)

    return "plain", plain


_LENGTHS = "cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k"
