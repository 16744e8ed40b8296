"""The scripted walk and the arguments of play.py: what happens without a window."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import play
from tests.world.toy_world import draw, toy_scene
from world import models, supervisor
from world.supervisor import SupervisedWorldModel, open_supervised
from world.types import Pose, Scene

ROOT = Path(play.__file__).parent

WITH_TOY = """
import sys
sys.path.insert(0, "")
from world import models
models.MODELS["toy"] = "tests.agents.test_simple:load_toy"
import play
sys.exit(play.main(sys.argv[1:]))
"""


def run_play(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WITH_TOY, "--model", "toy", *arguments],
        cwd=Path(play.__file__).parent,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "harbour.png"
    Image.fromarray(draw(Pose(), 0, 0, 60)[:40]).save(path)
    return str(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_it_says_so_and_walks(tmp_path: Path, photo: str) -> None:
    done = run_play("--scene", photo, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "no display here" in done.stdout
    for name in ("walk.mp4", "walk.gif", "sheet.png", "walk.ndjson"):
        assert str(tmp_path / "out" / name) in done.stdout
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert len((tmp_path / "out" / "walk.ndjson").read_text().splitlines()) >= 25


def test_a_script_is_walked_from_ones_own_picture(tmp_path: Path, photo: str) -> None:
    script = "forward*2 /open the door/ left"
    done = run_play("--scene", photo, "--headless", "--script", script, "--seed", "9", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "walk.ndjson").read_text().splitlines()]
    assert (lines[0]["scene"], lines[0]["seed"]) == ("harbour", 9)
    assert [line["action"]["text"] for line in lines[1:]] == ["move forward"] * 2 + ["open the door", "turn left"]


def test_the_tour_fits_every_vocabulary() -> None:
    scene = toy_scene()
    assert 24 <= len(play.tour(scene).steps) <= 31
    bare = Scene(scene.name, scene.caption, scene.starts, scene.actions[:9])
    assert 24 <= len(play.tour(bare).steps) <= 31
    assert not any(step.action and step.action.object_yaw for step in play.tour(bare).steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scene", "nowhere"], "no scene 'nowhere'"),
        (["--scene", "missing.jpg"], "missing.jpg"),
        (["--scene", "{folder}/broken.png"], "broken.png"),
        (["--model", "nowhere"], "no model at 'nowhere'"),
        (["--model", "{folder}"], "{folder}"),
        (["--preset", "best"], "no preset 'best': the presets are edit, text_to_image, fast, walk, quality"),
        (["--num-timesteps", "1"], "at least 2, got 1"),
        (["--timestep-shift", "0"], "timestep_shift must be above 0"),
        (["--cfg-interval", "1", "0"], "cfg_interval is (low, high)"),
        (["--cfg-renorm-type", "local"], "global, channel or text_channel, got 'local'"),
        (["--cfg-renorm-min", "2"], "cfg_renorm_min lies in [0, 1]"),
        (["--size", "5"], "128 to 8192, got 5"),
        (["--script", "forwrd"], "did you mean 'forward'"),
        (["--script", ""], "the script is empty"),
        (["--model", "toy", "--out", "{folder}/broken.png"], "broken.png"),
    ],
)
def test_every_wrong_argument_gets_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    photo: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "broken.png").write_text("not a picture")
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    given = [argument.format(folder=tmp_path) for argument in arguments]
    scene = [] if "--scene" in given else ["--scene", photo]
    assert play.main(["--headless", "--out", str(tmp_path / "out"), *scene, *given]) == 2
    error = capsys.readouterr().err
    assert message.format(folder=tmp_path) in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_on_a_gpu_gets_a_process_of_its_own_that_ends_with_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play, "_on_gpu", lambda device: True)  # the tests have none
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    opened: list[SupervisedWorldModel] = []

    def remembered(*arguments: Any) -> SupervisedWorldModel:
        opened.append(open_supervised(*arguments))
        return opened[0]

    monkeypatch.setattr(supervisor, "open_supervised", remembered)
    walk = ["--headless", "--script", "forward", "--preset", "fast", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert play.main(["--model", str(ROOT / "bagel" / "tiny"), *walk]) == 0
    assert (tmp_path / "out" / "walk.mp4").exists()
    assert opened[0].spec.model == "tiny"
    assert opened[0]._supervisor.process.poll() is not None
