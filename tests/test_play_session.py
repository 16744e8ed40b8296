"""Sessions of the window: saved, opened, replayed, and never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygame
import pytest

import play
from tests import hand as hands
from tests.hand import Hand
from tests.test_play_words import say
from tests.world.odd_worlds import Patient
from world import journal, models
from world.errors import SceneError
from world.headless import JOURNAL
from world.journal import reopened
from world.session import load_session, to_json

ROOT = Path(play.__file__).parent
at_window = hands.at_window  # the fixture


def walk_a_tree(hand: Hand) -> None:
    """A fork, a sentence, a bookmark; the end is not the last node."""
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_b, pygame.K_BACKSPACE, pygame.K_RIGHT)
    say(hand, "open the gate")
    hand.walk(pygame.K_BACKSPACE)


def saved(hand: Hand) -> Path:
    hand.chord(pygame.K_s)
    return [path for path in hand.player.saved if path.suffix == ".json"][-1]


def test_a_session_opens_again_as_it_was(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    walk_a_tree(hand)
    path, digests = saved(hand), [node.state for node in hand.game.history.nodes]
    before = hand.game.timeline
    hand.chord(pygame.K_n)
    hand.player.open(str(path))
    hand.until(lambda: not hand.game.doing)
    assert [node.state for node in hand.game.history.nodes] == digests
    assert (hand.game.timeline.parents, hand.game.timeline.here) == (before.parents, before.here)
    assert hand.game.timeline.bookmarks == before.bookmarks
    assert hand.player.overlay.notice == "5 of 5 pictures came out as recorded: it matched"
    hand.walk(pygame.K_UP)
    again = saved(hand)
    assert again != path  # what was opened stays as it was
    assert [len(load_session(p).plan.steps) for p in (path, again)] == [5, 6]
    assert saved(hand) == again


def test_a_session_that_comes_out_otherwise_says_so_and_nothing_cuts_it_short(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    world.go_on.release(2)
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    path = saved(hand)
    content = json.loads(path.read_text())
    content["digests"][0][2] = "0" * 16
    path.write_text(json.dumps(content))
    hand.player.open(str(path))
    hand.until(lambda: hand.game.reopens and hand.game.state is not None)
    for key, mod in ((pygame.K_k, 0), (pygame.K_s, pygame.KMOD_LCTRL)):
        hand.player.tell("")
        hand.down(key, mod)
        hand.up(key)
        hand.player.tick()
        assert "still being walked again" in hand.player.overlay.notice
    world.go_on.release(2)
    hand.rest()
    assert hand.state.step == 2
    assert "2 of 3 pictures came out as recorded: it did not match" in hand.player.overlay.notice


def test_a_session_is_a_few_kilobytes_and_the_start_frame(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    walk_a_tree(hand)
    content = json.loads(saved(hand).read_text())
    assert (content["model"], content["seeds"], content["end"]) == ("toy", [5], 3)
    png = len(content["scene"]["start"].pop("png"))
    assert len(json.dumps(content)) < 6000
    assert png < 20_000


def test_the_journal_holds_the_walk_at_every_moment(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    walk_a_tree(hand)
    [path] = (tmp_path / "sessions").iterdir()
    session = reopened(path)
    assert to_json(session) == to_json(hand.game.history.session(hand.game.worlds.walker(hand.game.seed)))
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole), 97):
        path.write_bytes(whole[:cut])
        assert reopened(path).scene.name == "first"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it lacks"),
        ("{}\n", "it lacks"),
        ("no json\n", "is no journal of a walk"),
        ('{"kind": "bagel-world journal", "session": {}}\n', "it lacks"),
    ],
)
def test_a_broken_journal_says_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "walk.ndjson"
    path.write_text(text)
    with pytest.raises(SceneError, match=message):
        reopened(path)
    with pytest.raises(SceneError, match="there is no journal"):
        reopened(tmp_path / "none.ndjson")


WALK = """
import sys
sys.path.insert(0, "")
from world import journal, models
models.MODELS["toy"] = "tests.agents.test_simple:load_toy"
import play
sys.exit(play.main(sys.argv[1:]))
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", WALK, "--model", "toy", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_walk_that_is_killed_opens_up_to_its_last_step(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    process = start("--headless", "--script", "(forward left)*20000", "--out", str(tmp_path))
    try:
        end = time.monotonic() + 60
        while not (path.exists() and path.read_bytes().count(b"\n") > 40):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    lines = path.read_bytes().count(b"\n")
    assert len(reopened(path).plan.steps) in (lines - 1, lines)
    again = start(str(path), "--replay", "--out", str(tmp_path / "again"))
    told, error = again.communicate(timeout=120)
    assert again.returncode == 0, error
    assert "it matched" in told


def test_old_journals_go_when_a_window_opens_and_none_that_is_being_written(
    at_window: Callable[..., Hand], tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    for age in range(journal.KEPT + 3):
        path = folder / f"{age:02d}.ndjson"
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    oldest = folder / f"{journal.KEPT + 2:02d}.ndjson"
    code = f"import sys, fcntl; f = open({str(oldest)!r}); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        hand = at_window()
        assert sorted(folder.iterdir()) == [*(folder / f"{age:02d}.ndjson" for age in range(journal.KEPT)), oldest]
        hand.walk(pygame.K_UP)
        assert journal.forget_old(folder, kept=0) != []
        assert len(list(folder.iterdir())) == 2  # the other process's, and the one of this walk
        other.communicate(b"\n")
    assert journal.forget_old(folder, kept=1) == [oldest]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.test_simple:load_toy")
    script = ["--script", "forward*2 left /open the gate/", "--scene", "studio"]
    assert play.main(["--model", "toy", "--headless", *script, "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / JOURNAL).exists()
    return tmp_path / "out" / "session.json"


def test_headless_writes_a_session_that_matches_when_it_is_replayed(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play.main([str(recorded), "--replay", "--out", str(tmp_path / "again")]) == 0
    assert "5 of 5 pictures came out as recorded: it matched" in capsys.readouterr().out
    assert (tmp_path / "again" / "walk.mp4").exists()


def test_a_replay_that_differs_says_so(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(recorded.read_text())
    content["digests"][0][2] = "0" * 16
    recorded.write_text(json.dumps(content))
    assert play.main([str(recorded), "--replay", "--out", str(tmp_path / "again")]) == 1
    assert "4 of 5 pictures came out as recorded: it did not match" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replay"], "name its file"),
        (["{folder}/session.json", "--seed", "3"], "leave --seed out"),
        (["{folder}/none.json"], "there is no session"),
        (["--look-ahead", "99"], "0 to 32, got 99"),
    ],
)
def test_wrong_words_about_sessions_get_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [a.format(folder=tmp_path) for a in arguments]
    assert play.main(["--headless", *given]) == 2
    assert message in capsys.readouterr().err


def test_an_anchor_lives_in_the_session(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_t)
    hand.until(lambda: hand.player.hud.truth.at(hand.game, 1))
    hand.chord(pygame.K_a)
    hand.walk(pygame.K_LEFT)
    path, digests = saved(hand), [node.state for node in hand.game.history.nodes]
    assert load_session(path).made[2].given is not None
    hand.player.open(str(path))
    hand.until(lambda: hand.comparison is not None and not hand.game.doing)
    assert [node.state for node in hand.game.history.nodes] == digests
    assert np.array_equal(hand.game.shelf.frame(2), hand.player.hud.truth._states.frame(1))
