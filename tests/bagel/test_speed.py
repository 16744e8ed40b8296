"""The bench: every measure runs on a small model, prints for people and for machines, and refuses what it cannot do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bagel import bench
from bagel.__main__ import main
from bagel.config import RELEASE
from bagel.generate import grid_of
from bagel.inspection import inspect
from bagel.precision import PACKED, check_precision
from bagel.speed.exactness import compare_precisions
from bagel.speed.frame import evaluation_operations
from bagel.speed.random import config_of, random_checkpoint, write_random
from bagel.weights import Checkpoint, load
from bagel.world_model import BagelWorldModel
from tests.world.toy_world import toy_scene
from world.settings import PRESETS


def measured(golden: Path, capsys: pytest.CaptureFixture[str], *more: str):
    arguments = ["bench", "--config", str(golden), "--size", "64x64", "--num-timesteps", "3", "--steps", "4", "--json"]
    assert main([*arguments, *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_frame_is_split_into_its_parts(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(golden, capsys, "--measure", "frame")
    assert {"VAE encode", "ViT", "evaluation, three branches", "VAE decode"} <= found["parts"].keys()
    assert all(seconds > 0 for seconds in found["parts"].values())
    assert found["p50"] <= found["p99"]
    assert 0 < found["share"] < 1
    assert found["settings"]["size"] == "64x64"


@pytest.mark.parametrize("anchor", [0.0, 0.3])
def test_a_walk_is_timed_held_by_words_alone_where_it_is_held_so(checkpoint: Checkpoint, anchor: float) -> None:
    scene = replace(toy_scene(), simulated=True)
    aims = "{scene} {aim}: {action}"
    walk = replace(checkpoint.config.walk, history=2, prompt=aims, scenes=(scene.called,), anchor=anchor)
    model = BagelWorldModel(replace(checkpoint, config=replace(checkpoint.config, walk=walk)), "toy", PRESETS["fast"])
    found = bench.measure(model, scene, 2)
    held = [part.name for part in found.parts if "held by words alone" in part.name]
    assert (len(held), found.settings["anchor"]) == (anchor > 0, anchor)


def test_precisions_are_compared_on_the_same_inputs(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in measured(golden, capsys, "--measure", "precision")}
    assert rows["float32"]["mean"] == 0
    assert 0 < rows["int8"]["mean"] < rows["fp8"]["mean"] < rows["nf4"]["mean"]
    assert rows["nf4"]["gigabytes"] < rows["int8"]["gigabytes"] < rows["float32"]["gigabytes"]


def test_approximations_are_compared_on_the_same_noise(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in measured(golden, capsys, "--measure", "approximations")}
    assert rows["exact"]["error"] == 0
    assert rows["half the evaluations"]["error"] > 0


def test_loading_is_timed_beside_the_disk(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(golden, capsys, "--measure", "loading", "--write", str(tmp_path / "random"))
    assert found["rate"] > 0
    assert found["disk_rate"] > 0
    assert inspect(tmp_path / "random", deep=True).wrong == []


def test_a_batch_is_compared_with_one_walk(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(golden, capsys, "--measure", "batch", "--batch", "2")
    assert found["without guidance"].keys() == {"1", "2"}


def test_people_are_told_the_same(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for measure, says in (
        ("frame", "first frame after"),
        ("precision", "velocity error"),
        ("loading", "the disk alone"),
    ):
        arguments = ["--config", str(golden), "--size", "32x32", "--num-timesteps", "2", "--steps", "4"]
        assert main(["bench", "--measure", measure, *arguments]) == 0
        assert says in capsys.readouterr().out


def test_the_released_shape_is_known_without_a_checkpoint() -> None:
    assert config_of("7b") == RELEASE
    assert config_of("7b:2").language.num_hidden_layers == 2
    with pytest.raises(ValueError, match="7b:LAYERS"):
        config_of("7b:many")


def test_an_evaluation_of_the_released_model_takes_ten_teraflop_for_three_branches_at_256(
    checkpoint: Checkpoint,
) -> None:
    """The figure of the floor: 10.0 TFLOP of matrix products and 0.2 of attention over short contexts."""
    released = Checkpoint(checkpoint.model, checkpoint.autoencoder, checkpoint.tokenizer, RELEASE)
    total = 3 * evaluation_operations(released, grid_of(released, (256, 256)), 0)
    assert total == pytest.approx(10.1e12, rel=0.02)


@pytest.mark.parametrize("precision", PACKED)
def test_random_models_come_in_every_precision(golden: Path, precision) -> None:
    from bagel.placement import Loading

    config = config_of(str(golden))
    assert random_checkpoint(config, "cpu", Loading(precision)).model.state_dict().keys() == (
        load(golden, "cpu", how=Loading(precision)).model.state_dict().keys()
    )


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_precisions_of_a_random_model_are_of_the_same_model(golden: Path, precision) -> None:
    from bagel.placement import Loading

    def make(name: str) -> Checkpoint:
        return random_checkpoint(config_of(str(golden)), "cpu", Loading(check_precision(name)))

    exact, packed = compare_precisions(make, ["bfloat16", precision], (32, 32))
    assert exact.mean == 0 < packed.mean < 0.1


def test_a_random_checkpoint_never_covers_another(golden: Path, copied: Path) -> None:
    with pytest.raises(ValueError, match="already holds"):
        write_random(copied, config_of(str(golden)), "cpu")


def test_what_is_not_the_published_repository_is_refused_at_once(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--config", str(golden), "--measure", "frame", "--reference", str(tmp_path)]) == 2
    assert "has no inferencer.py: give a clone of github.com/ByteDance-Seed/Bagel" in capsys.readouterr().err
