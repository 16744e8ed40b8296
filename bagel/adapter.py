"""Low-rank adapters (LoRA, Hu et al. 2021) in peft's own files, under the release's names of matrices.

An adapter is a folder of adapter_config.json and adapter_model.safetensors: for a matrix W [R, C] it holds A [r, C]
and B [R, r], and the matrix in use is W + alpha / r B A. Loading adds the product to what is read from the checkpoint,
so that an adapted model is as fast as any, and can be packed, split over cards and compiled like any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from world.errors import ModelError
from world.files import atomic_path, atomic_write_text

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
_BEFORE, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_PLAIN = {"peft_type": "LORA", "use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}


@dataclass(frozen=True)
class Adapter:
    """`pairs` are A and B by the release's name of the matrix, "...q_proj_moe_gen.weight"."""

    pairs: Mapping[str, tuple[Tensor, Tensor]]
    scale: float  # alpha / r

    def onto(self, name: str, weight: Tensor) -> Tensor:
        """The matrix of that name with its product added, in float32."""
        down, up = self.pairs[name]
        return weight.float().addmm(up.float(), down.float(), alpha=self.scale)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises ModelError where a checkpoint with matrices of these shapes is not what it was trained on."""
        for name, (down, up) in self.pairs.items():
            found, wanted = shapes.get(name), (len(up), down.shape[1])
            if found != wanted:
                has = f"of shape {list(found)}" if found else "not there"
                raise ModelError(
                    f"the adapter belongs to another model: it changes {name} of shape {list(wanted)}, which is {has}"
                )


def load_adapter(folder: Path) -> Adapter:
    """The adapter in a folder. Raises ModelError where there is none, or one of a kind that is not read here."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        odd = [key for key, plain in _PLAIN.items() if config.get(key, plain) != plain]
        if odd:
            raise ModelError(f"{folder} is no plain LoRA ({odd[0]} is {config[odd[0]]!r}): merge it with peft itself")
        scale = float(config["lora_alpha"]) / int(config["r"])
        tensors = load_file(folder / WEIGHTS_FILE)
        names = [name.removesuffix(_DOWN) for name in tensors if name.endswith(_DOWN)]
        pairs = {
            f"{name.removeprefix(_BEFORE)}.weight": (tensors.pop(name + _DOWN), tensors.pop(name + _UP))
            for name in names
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} holds no adapter ({error}): give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, as "
            "`python -m bagel train lora` writes it"
        ) from None
    if tensors:
        raise ModelError(f"{folder} changes more than matrices ({next(iter(tensors))}): merge it with peft itself")
    return Adapter(pairs, scale)


def save_adapter(folder: Path, adapter: Adapter, base: str) -> None:
    """Writes both files; `base` is what the adapter was trained on."""
    rank = len(next(iter(adapter.pairs.values()))[0])
    config = {
        "base_model_name_or_path": base,
        "bias": "none",
        "lora_alpha": adapter.scale * rank,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": sorted({_ending(name) for name in adapter.pairs}),
        "task_type": None,
    }
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in adapter.pairs.items():
        module = _BEFORE + name.removesuffix(".weight")
        tensors[module + _DOWN], tensors[module + _UP] = (t.detach().float().cpu().clone() for t in (down, up))
    with atomic_path(folder / WEIGHTS_FILE) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
    atomic_write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def _ending(name: str) -> str:
    """What peft finds the matrix by: the last two parts of its module, "mlp_moe_gen.up_proj"."""
    return ".".join(name.removesuffix(".weight").split(".")[-2:])
