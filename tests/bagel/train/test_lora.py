"""An adapter learns, is kept as peft keeps it, and is the same model wherever it is loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bagel.__main__ import main
from bagel.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter, load_adapter, save_adapter
from bagel.placement import Loading
from bagel.train.data import Walks
from bagel.train.lora import LoraTraining, Windows, adapt, adapter_of, loss
from bagel.weights import Checkpoint, load, release_names
from tests.bagel.train.conftest import stripes
from world import models
from world.errors import ModelError
from world.types import Action


@pytest.fixture
def base(golden: Path) -> Checkpoint:
    """The golden toy, to be changed."""
    return load(golden, "cpu")


def window(base: Checkpoint) -> tuple[list, list[str]]:
    words = ["turn left"] * min(2, base.config.walk.history)
    return list(np.ascontiguousarray(stripes(words))), words


def test_training_learns_and_its_adapter_walks(golden: Path, episodes: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    command = ["train", "lora", "--model", str(golden), "--from", str(episodes), "--out", str(out), "--rank", "4"]
    command += ["--minutes", "5", "--batch", "2", "--device", "cpu", "--rate", "0.01"]
    assert main([*command, "--max-steps", "40"]) == 0
    told = json.loads((out / "run" / "lora" / "lora.json").read_text())
    assert told["held-out loss"] < 0.7 * told["held-out loss before"]
    assert main([*command, "--max-steps", "2", "--resume"]) == 0
    again = json.loads((out / "run" / "lora" / "lora.json").read_text())
    assert again["step"] == 42
    assert again["held-out loss"] < 0.7 * told["held-out loss before"]
    plain, adapted = (models.load(address, device="cpu") for address in (str(golden), f"{golden}?lora={out}"))
    scene = models.load_scene("studio")
    one, other = (m.step(m.reset([scene], [0]), [Action("turn left")])[0].frame for m in (plain, adapted))
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


def test_a_loaded_adapter_is_the_trained_model(golden: Path, base: Checkpoint, tmp_path: Path) -> None:
    c = LoraTraining(rank=3)
    adapt(base.model, c)
    trained = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.normal_(0, 0.1)
    save_adapter(tmp_path, adapter_of(trained, base.config.language, c.alpha / c.rank), "golden")
    with torch.no_grad():
        values = []
        for checkpoint in (base, load(golden, "cpu", how=Loading(lora=tmp_path)), load(golden, "cpu")):
            torch.manual_seed(0)
            values.append(loss(checkpoint, *window(base), drop_words=0.0).item())
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] != pytest.approx(values[2], rel=1e-2)


def test_the_loss_is_the_same_where_layers_are_computed_again(base: Checkpoint) -> None:
    adapt(base.model, LoraTraining(rank=2))
    found = []
    for recompute in (False, True):
        base.model.transformer.recompute = recompute
        base.model.zero_grad()
        torch.manual_seed(0)
        value = loss(base, *window(base), drop_words=0.0)
        value.backward()
        found.append((value.item(), base.model.transformer.layers[0].gen.qkv.up.grad.clone()))  # pyright: ignore
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1])


def test_an_adapter_has_peft_s_names_and_only_what_generates_is_changed(base: Checkpoint, tmp_path: Path) -> None:
    adapt(base.model, LoraTraining(rank=2))
    trained = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
    save_adapter(tmp_path, adapter_of(trained, base.config.language, 2.0), "golden")
    names = {
        name.removesuffix(".lora_A.weight").removesuffix(".lora_B.weight")
        for name in load_file(tmp_path / WEIGHTS_FILE)
    }
    assert "base_model.model.language_model.model.layers.0.self_attn.k_proj_moe_gen" in names
    assert "base_model.model.language_model.model.layers.1.mlp_moe_gen.up_proj" in names
    assert all("_moe_gen" in name for name in names)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert (config["r"], config["lora_alpha"]) == (2, 4.0)
    assert all(any(name.endswith(f".{end}") for end in config["target_modules"]) for name in names)


def test_windows_tell_where_a_move_leads_where_it_is_known(base: Checkpoint) -> None:
    walk = replace(base.config.walk, prompt="{scene} {aim}: {action}", history=2, scenes=("hall",))
    told = replace(base, config=replace(base.config, walk=walk))
    frames, actions = stripes(["turn left"] * 2)[None], np.zeros((1, 2), np.int64)
    walks = Walks(("hall",), (("turn left",),), frames, actions, np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="which recorded walks do not know"):
        Windows(walks, told, 0.0)
    aims = np.array([[[1, 2, yaw, -10, 45] for yaw in (-15, 0)]], np.float32)
    for elsewhere in (walks, replace(walks, aims=aims)):
        attic = replace(elsewhere, names=("attic",))
        assert Windows(attic, told, 0.0).draw()[1] == ["turn left"] * 2
    here = replace(walks, aims=aims)
    assert Windows(here, told, 0.0).draw()[1] == [
        "hall x+100 y+200 yaw345 pitch-10 object045: turn left",
        "hall x+100 y+200 yaw000 pitch-10 object045: turn left",
    ]
    with_vase = replace(here, things=np.array(["vase"]))
    known = replace(base, config=replace(base.config, walk=replace(walk, scenes=("hall vase",))))
    assert Windows(with_vase, known, 0.0).draw()[1][0] == "hall vase x+100 y+200 yaw345 pitch-10 object045: turn left"


def test_an_adapter_of_another_model_or_kind_is_refused(golden: Path, tmp_path: Path) -> None:
    name = release_names("transformer.layers.0.gen.out.weight")[0]
    save_adapter(tmp_path, Adapter({name: (torch.zeros(2, 8), torch.zeros(8, 2))}, 1.0), "other")
    with pytest.raises(ModelError, match="the adapter belongs to another model: it changes"):
        load(golden, "cpu", how=Loading(lora=tmp_path))
    config = tmp_path / CONFIG_FILE
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_dora": True}))
    with pytest.raises(ModelError, match="is no plain LoRA"):
        load_adapter(tmp_path)
    with pytest.raises(ModelError, match="holds no adapter"):
        models.load(f"{golden}?lora={tmp_path / 'nowhere'}")
