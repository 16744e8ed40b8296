"""Checkpoints go out and come back whole, in the release's layout; broken ones say everything that is wrong at once."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bagel.config import AutoencoderConfig, BagelConfig, LanguageConfig, VisionConfig
from bagel.embed import position_table
from bagel.inspection import inspect
from bagel.model import Bagel
from bagel.vae import Autoencoder
from bagel.weights import Checkpoint, choose_device, load, save, split
from world.errors import ModelError

RELEASE = BagelConfig(
    LanguageConfig(3584, 18944, 28, 28, 4, 152064), VisionConfig(1152, 4304, 27, 16, 14, image_size=980)
)


def names(directory: Path, file: str = "ema.safetensors") -> dict[str, tuple[int, ...]]:
    with safe_open(directory / file, "pt") as stored:
        return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118


def assert_equal(a: nn.Module, b: nn.Module, error: float = 0.0) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        torch.testing.assert_close(x, y, rtol=error, atol=error, msg=name)


def rewritten(directory: Path, change, file: str = "ema.safetensors") -> None:
    """Writes a weights file again after `change(tensors)`."""
    tensors = load_file(directory / file)
    change(tensors)
    save_file(tensors, directory / file)


def test_at_full_size_the_names_are_the_releases() -> None:
    with torch.device("meta"):
        model, autoencoder = Bagel(RELEASE), Autoencoder(AutoencoderConfig())
    parts = {k: v for n, t in model.state_dict().items() for k, v in split(n, t, RELEASE.language).items()}
    assert (len(parts), sum(t.numel() for t in parts.values())) == (1223, 14_607_260_128)
    assert parts["language_model.model.layers.27.self_attn.k_proj_moe_gen.weight"].shape == (512, 3584)
    assert parts["vit_model.vision_model.encoder.layers.25.mlp.fc1.bias"].shape == (4304,)
    assert len(autoencoder.state_dict()) == 244


def test_saving_writes_what_was_loaded(checkpoint: Checkpoint, golden: Path, tmp_path: Path) -> None:
    save(checkpoint, tmp_path)
    for file in ("ema.safetensors", "ae.safetensors"):
        before, after = load_file(golden / file), load_file(tmp_path / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    again = load(tmp_path, "cpu")
    assert again.config == checkpoint.config
    assert_equal(again.model, checkpoint.model)
    assert_equal(again.autoencoder, checkpoint.autoencoder)
    assert again.tokenizer.prompt("a cube") == checkpoint.tokenizer.prompt("a cube")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("storage", "error"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_half_storage_is_read_as_float32(checkpoint: Checkpoint, tmp_path: Path, storage, error: float) -> None:
    save(checkpoint, tmp_path, storage)
    again = load(tmp_path, "cpu")
    assert again.model.dtype == torch.float32
    assert_equal(again.model, checkpoint.model, error)


def test_int8_storage_keeps_every_row_within_its_step(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save(checkpoint, tmp_path, "int8")
    assert "language_model.model.layers.0.mlp.down_proj.weight.scale" in names(tmp_path)
    again = load(tmp_path, "cpu").model.state_dict()
    for name, weight in checkpoint.model.state_dict().items():
        step = weight.abs().amax(dim=-1, keepdim=True) / 127 if weight.ndim == 2 else 0.0
        assert ((again[name] - weight).abs() <= 0.51 * step + 1e-3 * weight.abs() + 1e-6).all(), name


def test_language_model_and_autoencoder_choose_their_dtypes(golden: Path) -> None:
    checkpoint = load(golden, "cpu", torch.bfloat16)
    assert {t.dtype for t in checkpoint.model.state_dict().values()} == {torch.bfloat16}
    assert {t.dtype for t in checkpoint.autoencoder.state_dict().values()} == {torch.float32}


def test_shards_with_an_index_read_as_one_file(checkpoint: Checkpoint, copied: Path) -> None:
    tensors = load_file(copied / "ema.safetensors")
    (copied / "ema.safetensors").unlink()
    weight_map = {name: f"ema-{i % 3}.safetensors" for i, name in enumerate(sorted(tensors))}
    for shard in set(weight_map.values()):
        save_file({name: tensors[name] for name in weight_map if weight_map[name] == shard}, copied / shard)
    (copied / "ema.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_equal(load(copied, "cpu").model, checkpoint.model)
    (copied / "ema-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks the shards ema-1\.safetensors"):
        load(copied, "cpu")


def test_everything_wrong_is_named_in_one_message(copied: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        del tensors["connector.fc1.bias"]
        tensors["surprise"] = torch.zeros(1)
        tensors["llm2vae.bias"] = torch.zeros(3)
        tensors["time_embedder.mlp.0.bias"] = torch.zeros(64, dtype=torch.int64)

    rewritten(copied, spoil)
    with pytest.raises(ModelError) as caught:
        load(copied, "cpu")
    message = str(caught.value)
    assert "connector.fc1.bias is missing" in message
    assert "surprise is not part of the model" in message
    assert "llm2vae.bias has shape [3], the config asks for [64]" in message
    assert "time_embedder.mlp.0.bias is stored as I64" in message
    assert "inspect" in message


def test_a_table_of_the_wrong_size_points_to_the_config(copied: Path) -> None:
    rewritten(copied, lambda tensors: tensors.update({"latent_pos_embed.pos_embed": position_table(4, 64)}))
    with pytest.raises(ModelError, match=r"latent_pos_embed.*bagel_config\.json"):
        load(copied, "cpu")


def test_int8_without_its_scale_is_refused(copied: Path) -> None:
    name = "vae2llm.weight"
    rewritten(copied, lambda tensors: tensors.update({name: torch.zeros(64, 64, dtype=torch.int8)}))
    with pytest.raises(ModelError, match=r"vae2llm\.weight is int8 and needs vae2llm\.weight\.scale"):
        load(copied, "cpu")


def test_a_file_cut_short_is_refused(copied: Path) -> None:
    content = (copied / "ae.safetensors").read_bytes()
    (copied / "ae.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"ae\.safetensors is broken or cut short"):
        load(copied, "cpu")


def test_pickled_weights_are_refused_with_the_cure(copied: Path) -> None:
    (copied / "ema.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickled weights can run code.*save_file"):
        load(copied, "cpu")


@pytest.mark.parametrize("file", ["llm_config.json", "vocab.json", "ema.safetensors", "ae.safetensors"])
def test_a_missing_file_is_named(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        load(copied, "cpu")


def test_no_directory_and_no_device_are_said() -> None:
    with pytest.raises(ModelError, match="no checkpoint directory"):
        load("nowhere")
    with pytest.raises(ModelError, match="'abacus' cannot be used"):
        choose_device("abacus")


def test_a_failed_save_leaves_the_old_file_and_no_rest(
    checkpoint: Checkpoint, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copied / "ema.safetensors").read_bytes()

    def full(tensors, path: Path, metadata) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("bagel.weights.save_file", full)
    with pytest.raises(OSError, match="no space"):
        save(checkpoint, copied)
    assert (copied / "ema.safetensors").read_bytes() == before
    assert not [path for path in copied.iterdir() if path.name.startswith(".")]


def test_saving_over_another_model_leaves_none_of_its_settings(checkpoint: Checkpoint, copied: Path) -> None:
    c = BagelConfig(checkpoint.config.language, checkpoint.config.vision, checkpoint.config.autoencoder)
    save(replace(checkpoint, model=Bagel(c), config=c), copied)
    assert not (copied / "bagel_config.json").exists()
    assert load(copied, "cpu").config == c


def test_a_gradient_splits_like_its_weight(checkpoint: Checkpoint) -> None:
    c = checkpoint.config.language
    name = "transformer.layers.0.gen.qkv.weight"
    parts = split(name, checkpoint.model.state_dict()[name], c)
    rows = {key.split(".")[-2]: tensor.shape[0] for key, tensor in parts.items()}
    assert rows == {"q_proj_moe_gen": 64, "k_proj_moe_gen": 32, "v_proj_moe_gen": 32}


@pytest.mark.weights
def test_the_release_itself_has_nothing_wrong() -> None:
    found = inspect(os.environ["BAGEL_WEIGHTS"])
    assert found.wrong == []
    assert sum(part.num_parameters for part in found.parts) == 14_607_260_128 + 83_819_683
