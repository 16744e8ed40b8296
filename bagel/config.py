"""Sizes of every part, read from a checkpoint's JSON files; what the release fixes in code is a default here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from bagel.pose_words import pose_words
from world.errors import ModelError
from world.instructions import instruction
from world.settings import PRESETS
from world.types import Action, Pose

T = TypeVar("T")


def _check_numbers(config: Any) -> None:
    """Counts must be whole and above 0; the first that is not is named."""
    for f in fields(config):
        value = getattr(config, f.name)
        if f.type == "int" and (type(value) is not int or value < 1):
            raise ValueError(f"{f.name} must be a whole number above 0, got {value!r}")


@dataclass(frozen=True)
class LanguageConfig:
    """llm_config.json (Qwen2). The generation experts, query/key norms and untied head are always there."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.hidden_size % self.num_attention_heads or self.head_dim % 2:
            raise ValueError(f"hidden_size {self.hidden_size} must be num_attention_heads times an even head size")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} must be a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class VisionConfig:
    """vit_config.json (SigLIP). The file counts one layer more than the model has: see `num_layers`."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int
    num_channels: int = 3
    layer_norm_eps: float = 1e-6
    image_size: int | None = None  # pixels a side that the learned positions span; None: what the grid needs

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.num_hidden_layers < 2:
            raise ValueError(f"num_hidden_layers counts one unused layer: at least 2, got {self.num_hidden_layers}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of the {self.num_attention_heads} heads"
            )

    @property
    def num_layers(self) -> int:
        return self.num_hidden_layers - 1


@dataclass(frozen=True)
class AutoencoderConfig:
    """ae_config.json where there is one; the defaults are the released FLUX autoencoder."""

    in_channels: int = 3
    out_ch: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 16
    scale_factor: float = 0.3611
    shift_factor: float = 0.1159
    norm_groups: int = 32  # ours: a tiny one needs fewer groups than the released 32

    def __post_init__(self) -> None:
        if not self.ch_mult or any(self.ch * m % self.norm_groups for m in self.ch_mult) or self.ch % self.norm_groups:
            raise ValueError(
                f"ch {self.ch} times {list(self.ch_mult)} must be multiples of norm_groups {self.norm_groups}"
            )

    @property
    def downsample(self) -> int:
        return 2 ** (len(self.ch_mult) - 1)


@dataclass(frozen=True)
class TransformConfig:
    """One resize rule: longest side at most max, shortest at least min, multiples of the stride (bagel-spec 4.2)."""

    max_image_size: int
    min_image_size: int
    image_stride: int
    max_pixels: int = 14 * 14 * 9 * 1024

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True)
class WalkConfig:
    """How the checkpoint is walked ("walk" in bagel_config.json); the defaults are the released model's editing order.

    `history` counts the pictures in context: they grow up to it, then start again from the newest alone, so that a
    step depends on nothing that its state does not hold. `prompt` names {scene}, {action} (the vocabulary's words) or
    {instruction} (magnitudes told), and {aim}: where the action leads if nothing stands in the way (`pose_words`),
    which is told in the `scenes` where the model was trained: elsewhere the same numbers would mean another place.
    """

    prompt: str = "{instruction}"
    history: int = 1
    vit: bool = True  # whether a picture in context is also seen by the ViT
    preset: str = "edit"  # of world.settings.PRESETS
    ask: bool = True  # whether the model answers questions
    recall: bool = False  # whether the picture of a place passed before is read again on the way back (world.recall)
    scenes: tuple[str, ...] = ()  # simulated scenes whose places the model knows, as they are called (Scene.called)
    anchor: float = 0.0  # share of a picture that words alone have, without any past, where they tell an aim
    frame_size: tuple[int, int] | None = None  # (height, width) that any start picture is cropped and resized to

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.preset not in PRESETS:
            raise ValueError(f"preset is one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.frame_size is not None and len(self.frame_size) != 2:
            raise ValueError(f"frame_size is height and width in pixels, got {list(self.frame_size)}")
        if not isinstance(self.anchor, (int, float)) or not 0 <= self.anchor <= 1:
            raise ValueError(f"anchor is a share in [0, 1], got {self.anchor!r}")
        if any(not isinstance(name, str) for name in self.scenes):
            raise ValueError(f"scenes are names, got {list(self.scenes)}")
        try:
            self.prompt.replace("{aim}", "").format(scene="", action="", instruction="")
        except (LookupError, ValueError):
            raise ValueError(
                f"prompt may name {{scene}}, {{action}}, {{instruction}} and {{aim}} alone, got {self.prompt!r}"
            ) from None

    @property
    def tells_aim(self) -> bool:
        """Whether the words say where an action leads."""
        return "{aim}" in self.prompt

    def knows(self, called: str) -> bool:
        """Whether the words tell where one is in a place that is called so (Scene.called)."""
        return self.tells_aim and called in self.scenes

    def place(self, name: str, called: str) -> str:
        """What the words call a place (Scene.name, Scene.called): nothing where they tell aims and do not know it."""
        if self.knows(called):
            return called
        return "" if self.tells_aim else name

    def without_aim(self) -> WalkConfig:
        """The same, in words that do not say where an action leads."""
        return replace(self, prompt=self.prompt.replace(" {aim}", "").replace("{aim}", ""))

    def words(self, scene: str, action: Action, aim: Pose | None) -> str:
        """The prompt of an action that leads to `aim` if nothing stands in the way (None where nobody knows: then it is
        not told); a place without a name leaves no trace of it, nor of the aim. A typed sentence stays as it is.
        """
        if not scene and "{scene}" in self.prompt:
            return action.text
        told = None if aim is None else pose_words(aim)
        prompt = self.without_aim().prompt if told is None else self.prompt
        return prompt.format(scene=scene, action=action.text, instruction=instruction(action), aim=told)


@dataclass(frozen=True)
class BagelConfig:
    """The whole model; the fields from `latent_patch_size` on come from bagel_config.json where there is one."""

    language: LanguageConfig
    vision: VisionConfig
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    latent_patch_size: int = 2
    max_latent_size: int = 64
    vit_max_num_patch_per_side: int = 70
    timestep_shift: float = 1.0  # of training
    vae_transform: TransformConfig = TransformConfig(1024, 512, 16)
    vit_transform: TransformConfig = TransformConfig(980, 224, 14)
    walk: WalkConfig = WalkConfig()

    def __post_init__(self) -> None:
        _check_numbers(self)
        most = self.max_latent_size * self.latent_stride
        if any(side % self.latent_stride or not 0 < side <= most for side in self.walk.frame_size or ()):
            raise ValueError(
                f"walk.frame_size must be multiples of {self.latent_stride} up to {most}, got {self.walk.frame_size}"
            )

    @property
    def latent_channels(self) -> int:
        """Numbers in one latent token."""
        return self.latent_patch_size**2 * self.autoencoder.z_channels

    @property
    def vision_positions(self) -> int:
        """Rows of the vision encoder's learned position table."""
        size = self.vision.image_size
        return (size // self.vision.patch_size if size else self.vit_max_num_patch_per_side) ** 2

    @property
    def latent_stride(self) -> int:
        """Pixels on one side of a latent token."""
        return self.latent_patch_size * self.autoencoder.downsample


# BAGEL-7B-MoT (bagel-spec 1.1 and 1.2).
RELEASE = BagelConfig(
    LanguageConfig(3584, 18944, 28, 28, 4, 152064), VisionConfig(1152, 4304, 27, 16, 14, image_size=980)
)

# What the files say of parts that exist here in one form only; read_config refuses another value.
_FIXED = {
    "llm_config.json": {"hidden_act": "silu", "rope_scaling": None},
    "vit_config.json": {"hidden_act": "gelu_pytorch_tanh"},
    "ae_config.json": {},
    "bagel_config.json": {"connector_act": "gelu_pytorch_tanh", "interpolate_pos": False},
}


def read_config(directory: Path) -> BagelConfig:
    """The config of a checkpoint directory in the release layout.

    llm_config.json and vit_config.json must be there; ae_config.json and bagel_config.json may be (the release has
    neither). Raises ModelError that names the file and what is wrong with it.
    """
    required = ("llm_config.json", "vit_config.json")
    found = {n: _read_json(directory / n) for n in _FIXED if n in required or (directory / n).exists()}
    for name, content in found.items():
        for key, value in _FIXED[name].items():
            if content.get(key, value) != value:
                raise ModelError(f"{directory / name}: {key} {content[key]!r} is not supported, only {value!r} is")
    llm, vit, ae, whole = (found.get(name, {}) for name in _FIXED)
    whole |= {
        key: _build(kind, whole[key], directory / "bagel_config.json")
        for key, kind in (("vae_transform", TransformConfig), ("vit_transform", TransformConfig), ("walk", WalkConfig))
        if key in whole
    }
    parts = {
        "language": _build(LanguageConfig, llm, directory / "llm_config.json"),
        "vision": _build(VisionConfig, vit, directory / "vit_config.json"),
        "autoencoder": _build(AutoencoderConfig, ae, directory / "ae_config.json"),
    }
    return _build(BagelConfig, whole | parts, directory / "bagel_config.json")


def config_files(config: BagelConfig) -> dict[str, dict[str, Any]]:
    """The contents of the JSON files that `read_config` reads back as `config`, by file name.

    ae_config.json and bagel_config.json are there only where they differ from what the release fixes in code.
    """
    whole = asdict(config)
    llm, vit, ae = whole.pop("language"), whole.pop("vision"), whole.pop("autoencoder")
    files = {
        "llm_config.json": {"model_type": "qwen2", "hidden_act": "silu", "tie_word_embeddings": False} | llm,
        "vit_config.json": {"model_type": "siglip_vision_model"} | {k: v for k, v in vit.items() if v is not None},
    }
    if config.autoencoder != AutoencoderConfig():
        files["ae_config.json"] = ae | {"downsample": config.autoencoder.downsample}
    if config != BagelConfig(config.language, config.vision, config.autoencoder):
        files["bagel_config.json"] = whole | _FIXED["bagel_config.json"]
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path} is missing: a checkpoint directory holds llm_config.json, vit_config.json, ema.safetensors, "
            "ae.safetensors and the tokenizer files (a fine-tune's folder lacks them: copy them from the release)"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}): copy it again from the release") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, expected an object")
    return content


def _build(kind: type[T], values: Any, path: Path) -> T:
    if not isinstance(values, dict):
        raise ModelError(f"{path}: expected an object of settings, got {values!r}")
    known = {f.name for f in fields(kind)}  # pyright: ignore[reportArgumentType]
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
    try:
        return kind(**chosen)
    except TypeError as error:
        raise ModelError(f"{path} lacks a field or holds one of a wrong kind: {error}") from None
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from None
