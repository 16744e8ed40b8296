"""python -m scenes run: what a script leaves, that it goes on after a kill, and that a wrong one leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes.__main__ import main
from tests.world.toy_world import WINDOW, ToyWorld, draw
from world import models
from world.session import load_session
from world.types import Action, Pose, State

WITH_TOY = """
import sys
from world import models
models.MODELS["toy"] = "tests.scenes.test_run:load_slow"
from scenes.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
FORKS = "forward @door fork left wait return fork@door right*2 return forward*2 back*2 @end"


class Toy(ToyWorld):
    """As BAGEL does, it remembers each picture, begins again from the newest where its context is full, and reads a
    past that it has forgotten a little differently."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(frozenset({"free_text", "context"}))
        self.batches: list[int] = []
        self._read: set[bytes] = set()
        self._seconds = seconds

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        time.sleep(self._seconds)
        self.batches.append(len(states))
        after = []
        for state, new in zip(states, super().step(states, actions), strict=True):
            if len(state.frames) > 1 and state.memory and state.digest() not in self._read:
                new = replace(new, frames=(*new.frames[:-1], new.frames[-1] ^ 1))
            if len(state.frames) == WINDOW:
                new = replace(new, frames=new.frames[-1:], actions=())
            after.append(replace(new, memory=tuple(frame.mean(axis=2) for frame in new.frames)))
        self._read |= {state.digest() for state in after}
        return after


def load_toy(address: str, **settings: object) -> Toy:
    return Toy()


def load_slow(address: str, **settings: object) -> Toy:
    return Toy(0.1)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(models.MODELS, "toy", "tests.scenes.test_run:load_toy")
    path = tmp_path / "harbour.png"
    Image.fromarray(draw(Pose(), 0, 0)).save(path)
    return str(path)


def run(script: str, photo: str, out: Path, *more: str) -> int:
    return main(["run", script, "--scene", photo, "--model", "toy", "--out", str(out), *more])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_leaves_sheet_animation_pictures_poses_figures_cameras_and_session(tmp_path: Path, photo: str) -> None:
    out = tmp_path / "out"
    assert run(FORKS, photo, out, "--variants", "2") == 0
    left = set(files(out))
    assert {"sheet.png", "walk.mp4", "walk.gif", "poses.json", "metrics.json", "comparison.png"} < left
    assert {"session.json", "transforms.json", "colmap/images.txt", "frames/seed-1/0006.png"} < left
    poses = json.loads((out / "poses.json").read_text())
    assert [p["checkpoint"] for p in poses if p["checkpoint"]] == ["start", "door", "end"]
    assert poses[3]["pictures"] == poses[2]["pictures"]  # a wait holds the picture
    shots = json.loads((out / "transforms.json").read_text())["frames"]
    assert all((out / shot["file_path"]).exists() for shot in shots)
    with Image.open(out / "walk.gif") as gif:
        assert gif.n_frames == 6  # type: ignore[attr-defined]
        assert gif.width == 2 * gif.height  # two seeds side by side


def test_forks_and_seeds_are_one_batch(tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy()
    monkeypatch.setattr(sys.modules[__name__], "load_toy", lambda address, **settings: toy)
    monkeypatch.setitem(models.MODELS, "toy", f"{__name__}:load_toy")
    assert run(FORKS, photo, tmp_path / "out", "--variants", "2") == 0
    assert toy.batches == [2, 6, 4, 2, 2]


def test_a_run_that_was_killed_goes_on_and_leaves_the_same(tmp_path: Path, photo: str) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    script = "(forward left)*6 fork up*3 return right*2"
    assert run(script, photo, whole, "--variants", "2", "--views") == 0
    command = [*(sys.executable, "-W", "error", "-c", WITH_TOY), "run", script, "--scene", photo]
    command += ["--model", "toy", "--variants", "2", "--views", "--out", str(cut)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."}) as process:
        deadline = time.monotonic() + 120
        while not (cut / "frames" / "seed-1" / "0008.png").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (cut / "states.npz").exists()
    assert not (cut / "metrics.json").exists()
    (cut / "frames" / ".0009.1.partial.png").write_bytes(b"half")
    begun = (cut / "frames" / "seed-0" / "0001.png").stat().st_mtime_ns
    assert run(script, photo, cut, "--variants", "2", "--views") == 0
    assert files(cut) == files(whole)
    assert (cut / "frames" / "seed-0" / "0001.png").stat().st_mtime_ns == begun  # it was not walked anew


def test_without_a_terminal_a_line_tells_how_far_it_is(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("forward*3", photo, tmp_path / "out") == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(" s: 1 of 3: move forward")


def test_a_session_is_walked_again_and_compared(tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FORKS, photo, tmp_path / "out", "--seed", "5") == 0
    path = tmp_path / "out" / "session.json"
    assert load_session(path).seeds == (5,)
    assert main(["run", str(path), "--out", str(tmp_path / "again")]) == 0
    assert "10 of 10 pictures came out as recorded by toy" in capsys.readouterr().out
    assert (tmp_path / "again" / "session.json").read_bytes() == path.read_bytes()
    told = path.read_text().replace('"seeds": [\n  5\n ]', '"seeds": [\n  6\n ]')
    (tmp_path / "other.json").write_text(told)
    assert main(["run", str(tmp_path / "other.json"), "--out", str(tmp_path / "other")]) == 1
    assert "1 of 10 pictures" in capsys.readouterr().out


def test_views_are_made_from_the_start_and_its_nearest_views(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("(left*90deg @view)*4", photo, out, "--views") == 0
    assert len([*(out / "views" / "seed-0").iterdir()]) == 23  # of 24 steps the last one shows the start
    assert [row["step"] for row in json.loads((out / "metrics.json").read_text())["views"]["steps"]] == [6, 12, 18]
    for i, yaw in ((6, 90), (12, -180), (18, -90)):
        seen = np.asarray(Image.open(out / "views" / "seed-0" / f"{i:04d}.png")).astype(int)
        assert np.abs(seen - draw(Pose(yaw=yaw), 0, i + 1)).max() < 16  # the toy turns from view to view
    with Image.open(out / "views" / "walk.gif") as gif:
        assert gif.n_frames == 24  # type: ignore[attr-defined]
    shots = json.loads((out / "views" / "transforms.json").read_text())["frames"]
    assert all((out / "views" / shot["file_path"]).exists() for shot in shots)
    capsys.readouterr()
    assert run("/open the door/", photo, tmp_path / "no", "--views") == 2
    assert "'open the door' says none" in capsys.readouterr().err


@pytest.mark.gl
def test_in_a_scene_the_truth_is_told_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.scenes.test_run:load_toy")
    arguments = ["--scene", "tabletop:car", "--model", "toy", "--views", "--out", str(tmp_path)]
    assert main(["run", "forward*4 left*3 @end", *arguments]) == 0
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["poses"] == "exact"
    assert figures["bumps"] == [2, 3, 4]  # the table is in the way
    assert figures["means"].keys() >= {"psnr", "copying_psnr", "changed", "copying_changed"}
    assert figures["views"]["steps"][0]["step"] == 7
    assert (tmp_path / "comparison.png").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["orbt"], "did you mean 'orbit'"),
        (["left forwrd"], "line 1, column 6): did you mean 'forward'"),
        (["fork@door left return left"], "no checkpoint 'door'"),
        (["forward*0"], "at least 1 after the star"),
        (["left*1500", "--variants", "2"], "3002 pictures over all seeds, and a run at most 2000"),
        (["left", "--scene", "nowhere"], "no scene 'nowhere'"),
        (["left", "--model", "nowhere"], "no model at"),
        (["turntable", "--scene", "studio"], "which has no object that can be turned"),
        (["missing.toml"], "no script file missing.toml"),
        (["missing.json"], "no session missing.json"),
        (["wait", "--views"], "never leaves its start"),
        (["/open/", "--scene", "studio", "--model", "sim"], "reads no sentences"),
        (["left", "--scene", "studio", "--model", "sim", "--views"], "views need a BAGEL checkpoint"),
        (["left", "--preset", "best"], "no preset 'best'"),
    ],
)
def test_a_wrong_run_is_refused_in_a_sentence_and_leaves_nothing(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    out = tmp_path / "out"
    given = [*arguments, "--out", str(out)]
    for flag, usual in (("--scene", photo), ("--model", "toy")):
        given += [] if flag in arguments or arguments[0].endswith(".json") else [flag, usual]
    assert main(["run", *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_another_walk_in_the_folder_is_left_alone(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("left", photo, out) == 0
    before = files(out)
    assert run("right", photo, out) == 2
    assert "holds another walk" in capsys.readouterr().err
    assert files(out) == before


def test_what_was_walked_already_is_said_to_be_kept(
    tmp_path: Path, photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("left", photo, tmp_path / "out") == 0
    assert "kept" not in capsys.readouterr().out
    assert run("left", photo, tmp_path / "out") == 0
    assert "kept from an earlier run: remove" in capsys.readouterr().out


def test_scripts_are_listed_with_what_they_are_about(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scripts", "--scene", "studio"]) == 0
    shown = capsys.readouterr().out
    assert "lookaround" in shown
    assert "turntable" not in shown
    assert main(["scripts", "--scene", photo]) == 0
    assert "turntable" in capsys.readouterr().out
