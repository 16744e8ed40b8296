"""python -m scenes, as a person types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes import report
from scenes.__main__ import main
from scenes.library import load_scene
from world import models


def test_list_shows_every_scene(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("studio", "gallery", "garden", "tabletop", "teapot"))


@pytest.mark.gl
def test_render_draws_a_start_and_a_random_place(tmp_path: Path) -> None:
    start, other = tmp_path / "start.png", tmp_path / "other.png"
    assert main(["render", "--scene", "studio:globe", "--size", "64", "--out", str(start)]) == 0
    assert main(["render", "--scene", "studio", "--seed", "3", "--size", "64", "--out", str(other)]) == 0
    frames = [np.asarray(Image.open(path)) for path in (start, other)]
    assert frames[0].shape == frames[1].shape == (64, 64, 3)
    assert (frames[0] != frames[1]).any()


@pytest.mark.gl
@pytest.mark.parametrize("how", [["--script", "forward*3 object_left"], ["--random", "4"]])
def test_walk_leaves_video_sheet_and_poses(tmp_path: Path, how: list[str]) -> None:
    assert main(["walk", "--scene", "tabletop:duck", *how, "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"walk.mp4", "sheet.png", "walk.ndjson"}
    lines = [json.loads(line) for line in (tmp_path / "walk.ndjson").read_text().splitlines()]
    assert lines[0]["start"] == "duck"
    assert len(lines) == 5
    assert lines[-1]["pose"].keys() == {"x", "y", "yaw", "pitch", "object_yaw"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["render", "--scene", "studoi"], "did you mean studio"),
        (["render", "--scene", "studio", "--size", "4"], "from 16"),
        (["walk", "--scene", "studio", "--script", "forwrd"], "did you mean 'forward'"),
        (["walk", "--scene", "studio", "--script", "object_left"], "unknown action"),
        (["walk", "--scene", "studio", "--script", "/open the door/"], "reads no sentences"),
        (["evaluate", "--model", "nothing"], "no model at"),
        (["evaluate", "--model", "sim", "--scenes", "cellar"], "no scene"),
        (["evaluate", "--model", "sim", "--eyes", "tiny"], "give --task as well"),
        (["evaluate", "--model", "sim", "--task", "ReachGoal", "--judged-by", "judge"], "judged_by is one of"),
        (["evaluate", "--model", "sim", "--scenes", "studio", "studio:door"], "'studio' is there already"),
        (["compare", "tiny"], "two or more"),
        (["compare", "tiny", "tiny"], "two or more different"),
        (["compare", "tiny", "tiny@qualty"], "did you mean 'quality'"),
        (["compare", "tiny", "nowhere/at/all"], "no model at"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    out = tmp_path / "out.png"
    assert main([*arguments, "--out", str(out)]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_picture_cannot_be_drawn_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(load_scene("studio").starts[0].frame).save(tmp_path / "photo.png")
    assert main(["render", "--scene", str(tmp_path / "photo.png"), "--out", str(tmp_path / "x.png")]) == 2
    assert "picture" in capsys.readouterr().err


def test_without_a_terminal_every_stage_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.scenes.test_run:load_toy")
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(load_scene("studio").starts[0].frame).save(photo)
    flags = ["--model", "toy", "--scenes", str(photo), "--suite", "guard", "--out", str(out)]
    assert main(["evaluate", *flags]) == 0
    said = capsys.readouterr()
    stages = [line.partition(" s: ")[2] for line in said.err.splitlines()]
    assert stages[-3:] == ["copying the last frame", "toy: closed ways", "toy: objects out of sight, speed"]
    assert "evaluation.html shows it all" in said.out


def test_several_models_are_measured_on_one_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("toy", "other"):
        monkeypatch.setitem(models.MODELS, name, "tests.scenes.test_run:load_toy")
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(load_scene("studio").starts[0].frame).save(photo)
    assert main(["compare", "toy", "other", "--scenes", str(photo), "--suite", "guard", "--out", str(out)]) == 0
    one, other = (report.read(out / name) for name in ("toy", "other"))
    assert one.trial == other.trial
    assert one.figures["full_turn"] == other.figures["full_turn"]
    assert capsys.readouterr().err.count("copying the last frame") == 1  # drawn and set beside once


def test_two_folders_that_evaluate_filled_are_compared_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Path(__file__).parent / "guard"
    other = tmp_path / "other"
    shutil.copytree(record, other)
    assert main(["compare", str(record), str(other), "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"comparison.{kind}" for kind in ("json", "csv", "html")
    }
    assert "action accuracy" in capsys.readouterr().out


def test_a_folder_measured_otherwise_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Path(__file__).parent / "guard"
    assert main(["compare", str(record), "tiny", "--suite", "quick", "--out", str(tmp_path / "out")]) == 2
    assert "was measured with suite" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
