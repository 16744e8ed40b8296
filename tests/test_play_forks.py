"""Scripts with forks, checkpoints and waits without a window: what is walked, shown, kept and paid."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest
from imageio_ffmpeg import count_frames_and_secs
from PIL import Image

import play
from tests import hand as hands
from tests.hand import Hand, ToyTruth
from world import models
from world.branches import MOST, tree_sheet, tree_video
from world.plan import Plan, Step
from world.scripting import parse_plan
from world.session import load_session
from world.types import Frame, vocabulary

at_window = hands.at_window  # the fixture
SCRIPT = "forward*2 @door fork left*3 /open the door/ return right wait fork@start back return"


@pytest.fixture
def walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    arguments = ["--headless", "--scene", "studio", "--script", SCRIPT, "--out", str(tmp_path / "out")]
    assert play.main(["--model", "toy", *arguments]) == 0
    return tmp_path / "out"


def test_every_branch_is_walked_and_logged(walked: Path) -> None:
    lines = [json.loads(line) for line in (walked / "walk.ndjson").read_text().splitlines()]
    assert [line["action"] and line["action"]["text"] for line in lines[1:]] == [
        "move forward",
        "move forward",
        "turn left",
        "turn left",
        "turn left",
        "open the door",
        "turn right",
        None,
        "move back",
    ]
    assert {i: line["parent"] for i, line in enumerate(lines) if "parent" in line} == {7: 2, 9: 0}
    assert lines[8]["frame"] == lines[7]["frame"]


def test_its_session_keeps_the_tree_and_comes_out_the_same(
    walked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = load_session(walked / "session.json")
    assert (session.plan.end, session.plan.checkpoints) == (8, {"door": 2})
    assert play.main([str(walked / "session.json"), "--replay", "--out", str(tmp_path / "again")]) == 0
    assert "10 of 10 pictures came out as recorded: it matched" in capsys.readouterr().out
    for name in ("sheet.png", "walk.ndjson"):
        assert (tmp_path / "again" / name).read_bytes() == (walked / name).read_bytes()


def test_the_window_opens_the_tree(at_window: Callable[..., Hand], walked: Path) -> None:
    hand = at_window()
    hand.player.open(str(walked / "session.json"))
    hand.until(lambda: hand.comparison is not None and not hand.game.doing)
    tree = hand.game.timeline
    assert (tree.parents, tree.here, tree.bookmarks) == ((-1, 0, 1, 2, 3, 4, 5, 2, 7, 0), 8, {2})
    hand.walk(pygame.K_UP)
    assert hand.state.step == 4


def test_the_video_shows_all_ways_at_once(walked: Path) -> None:
    assert count_frames_and_secs(str(walked / "walk.mp4"))[0] == 7  # the longest way has six steps
    plan = parse_plan("forward fork left return fork@start right return", vocabulary())
    begun, *_, ended = tree_video(plan, frames(4))
    assert begun.shape == (18, 22, 3)  # 2 x 2 with 2 pixels between
    assert [int(page[y, x, 0]) for page in (begun, ended) for y, x in ((0, 0), (0, 21), (17, 0))] == [0, 0, 0, 1, 2, 3]


def frames(num: int) -> list[Frame]:
    return [np.full((8, 10, 3), i % 256, np.uint8) for i in range(num)]


def test_a_walk_without_forks_is_shown_as_it_is() -> None:
    plan = parse_plan("forward*3", vocabulary())
    assert [frame[0, 0, 0] for frame in tree_video(plan, frames(4))] == [0, 1, 2, 3]
    assert {frame.shape for frame in tree_video(plan, frames(4))} == {(8, 10, 3)}


def test_a_branch_begins_a_row_of_the_sheet_and_a_long_walk_is_thinned_out() -> None:
    short = tree_sheet(parse_plan("forward*5 fork@start left return", vocabulary()), frames(7))
    long = tree_sheet(parse_plan("forward*5 fork@start left*6 return", vocabulary()), frames(12))
    assert short.shape == long.shape  # two rows of six
    num = 3 * MOST
    steps = [Step(0, None), *(Step(i, vocabulary()[1]) for i in range(num))]
    assert tree_sheet(Plan(tuple(steps), num), frames(num + 1)).size < 600 * 300 * 300 * 3


def test_a_task_is_judged_without_a_window_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    task = ["--task", "FindObject", "--goal", "the globe", "--scene", "studio", "--model", "toy"]
    script = ["--script", "forward fork left return right", "--out", str(tmp_path)]
    assert play.main([*task, *script]) == 0
    told = capsys.readouterr().out
    assert "3 steps on 2 branches by toy" in told
    assert "to step 3: find the globe: not reached in 2 steps" in told
    assert "to step 2: find the globe: not reached in 2 steps" in told
    lines = [json.loads(line) for line in (tmp_path / "walk.ndjson").read_text().splitlines()]
    assert all("reward" in line for line in lines[1:])


def test_the_truth_lies_beside_the_dream_without_a_window_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    monkeypatch.setattr(play, "open_truth", ToyTruth)
    script = ["--script", "forward fork left return wait right", "--out", str(tmp_path)]
    assert play.main(["--model", "toy", "--scene", "studio", "--truth", *script]) == 0
    told = capsys.readouterr().out
    assert told.count(" from the truth, ") == 2
    lines = [json.loads(line) for line in (tmp_path / "walk.ndjson").read_text().splitlines()]
    assert all(line["psnr"] > 0 and 0 < line["ssim"] <= 1 for line in lines[1:])
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.size[0] > 3 * gif.size[1]  # two branches of two pictures
    photo = str(tmp_path / "sheet.png")
    assert play.main(["--model", "toy", "--scene", photo, "--truth", "--headless"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_a_script_of_waits_alone_is_no_division_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    assert play.main(["--model", "toy", "--script", "wait*2", "--out", str(tmp_path)]) == 0
    assert "0 steps by toy\n" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 100


def test_what_is_wrong_in_a_script_is_told_with_its_place() -> None:
    command = ["--headless", "--script", "forward fork left", "--model", "sim"]
    done = subprocess.run(
        [play.sys.executable, play.__file__, *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "'fork' (line 1, column 9) is still open where the script ends: close it with 'return'" in done.stderr
