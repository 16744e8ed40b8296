"""Config files go out and come back; a wrong one is named with what is wrong in it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bagel.config import BagelConfig, LanguageConfig, VisionConfig, WalkConfig, config_files, read_config
from world.errors import ModelError
from world.types import Action, Pose, vocabulary


def write(directory: Path, config: BagelConfig) -> None:
    for name, content in config_files(config).items():
        (directory / name).write_text(json.dumps(content))


def edited(directory: Path, file: str, **values: object) -> None:
    content = json.loads((directory / file).read_text())
    (directory / file).write_text(json.dumps(content | values))


def test_what_is_written_is_read_back(golden: Path, tmp_path: Path) -> None:
    walk = WalkConfig(prompt="{scene}: {action}", history=3, scenes=("hall", "attic"), frame_size=(64, 96))
    config = replace(read_config(golden), walk=walk)
    write(tmp_path, config)
    assert read_config(tmp_path) == config


def test_a_model_without_walk_settings_reads_instructions_and_ours_reads_the_vocabulary() -> None:
    forward = vocabulary()[1]
    assert WalkConfig().words("studio", forward, Pose()) == "Move the camera 0.3 meters forward."
    assert WalkConfig().words("", Action("make it night"), Pose()) == "make it night"
    ours = WalkConfig(prompt="{scene}: {action}")
    assert ours.words("studio", forward, Pose(yaw=9.0)) == "studio: move forward"
    assert ours.words("", forward, Pose()) == "move forward"


@pytest.mark.parametrize(
    ("pose", "told"),
    [
        (Pose(1.25, -0.4, 90.0, object_yaw=45.0), "x+126 y-040 yaw090 pitch+00 object045"),
        (Pose(-0.004, 4.009, -90.0, -10.0, -0.4), "x+000 y+400 yaw270 pitch-10 object000"),
        (Pose(yaw=-0.5, pitch=-0.4, object_yaw=-180.0), "x+000 y+000 yaw000 pitch+00 object180"),
        (Pose(0.33 - 1e-10, 0.0, 44.5 - 1e-9, 19.0 + 1e-9, -1.5), "x+034 y+000 yaw045 pitch+20 object000"),
        (Pose(0.329, -0.331, 359.6, -44.9, -1.6), "x+032 y-034 yaw000 pitch-44 object357"),
    ],
)
def test_words_may_tell_where_a_move_leads(pose: Pose, told: str) -> None:
    walk = WalkConfig(prompt="{scene} {aim}: {action}")
    assert walk.words("gallery", vocabulary()[3], pose) == f"gallery {told}: turn left"
    assert walk.words("", vocabulary()[3], pose) == "turn left"
    for silent, known in ((walk.without_aim(), pose), (walk, None), (walk, Pose(x=-4.011)), (walk, Pose(y=4.011))):
        assert silent.words("gallery", vocabulary()[3], known) == "gallery: turn left"


def test_a_place_is_named_where_the_words_know_it_or_tell_no_aims() -> None:
    knows = WalkConfig(prompt="{scene} {aim}: {action}", scenes=("hall vase", "attic"))
    assert [knows.place("hall", "hall vase"), knows.place("attic", "attic")] == ["hall vase", "attic"]
    assert [knows.place("hall", "hall duck"), knows.place("cellar", "cellar")] == ["", ""]
    assert knows.without_aim().place("cellar", "cellar") == "cellar"


@pytest.mark.parametrize("anchor", [-0.1, 1.5, float("nan"), "all"])
def test_an_anchor_is_a_share(anchor: float) -> None:
    with pytest.raises(ValueError, match="anchor is a share in"):
        WalkConfig(anchor=anchor)


@pytest.mark.parametrize("prompt", ["{place}: {action}", "{aim:9}", "{aim", "{}"])
def test_a_prompt_of_unknown_names_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match=r"\{instruction\} and \{aim\} alone"):
        WalkConfig(prompt=prompt)


def test_a_model_of_the_releases_kind_needs_no_files_of_ours(tmp_path: Path) -> None:
    config = BagelConfig(LanguageConfig(64, 128, 2, 4, 2, 576), VisionConfig(48, 96, 3, 3, 14, image_size=980))
    assert config_files(config).keys() == {"llm_config.json", "vit_config.json"}
    write(tmp_path, config)
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("llm_config.json", {"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported, only 'silu'"),
        ("bagel_config.json", {"interpolate_pos": True}, "interpolate_pos True is not supported"),
        ("llm_config.json", {"hidden_size": "64"}, "hidden_size must be a whole number above 0, got '64'"),
        ("llm_config.json", {"num_key_value_heads": 3}, "num_attention_heads 4 must be a multiple"),
        ("vit_config.json", {"num_hidden_layers": 1}, "counts one unused layer"),
        ("ae_config.json", {"ch": 20}, "must be multiples of norm_groups 32"),
        ("bagel_config.json", {"vae_transform": [1, 2]}, "expected an object of settings"),
        ("bagel_config.json", {"walk": {"history": 0}}, "history must be a whole number above 0"),
    ],
)
def test_a_wrong_value_is_named(copied: Path, file: str, values: dict[str, object], says: str) -> None:
    edited(copied, file, **values)
    with pytest.raises(ModelError, match=rf"{file}.*{says}"):
        read_config(copied)


def test_a_missing_field_and_broken_json_are_named(copied: Path) -> None:
    (copied / "llm_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"llm_config\.json lacks a field.*hidden_size"):
        read_config(copied)
    (copied / "llm_config.json").write_text('{"hidden_size": 64,}')
    with pytest.raises(ModelError, match=r"llm_config\.json cannot be read as JSON"):
        read_config(copied)
