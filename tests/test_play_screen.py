"""A person at a real window: an X server without a screen, and keys that come from outside."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageGrab

from tests.test_play_session import ROOT, WALK
from tests.world.toy_world import draw
from world.journal import reopened
from world.session import load_session
from world.types import Pose

pytestmark = pytest.mark.screen


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Screen:
    """An X server, what runs on it, and hands."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._ended, begun = os.pipe()
        # -noreset: else the server begins anew when its last client leaves, and turns away who comes just then
        command = ["Xvfb", "-displayfd", str(begun), "-screen", "0", "1200x900x24", "-nolisten", "tcp", "-noreset"]
        self.running: list[subprocess.Popen[Any]] = [
            subprocess.Popen(command, pass_fds=[begun], stderr=subprocess.DEVNULL)
        ]
        os.close(begun)
        with os.fdopen(self._ended) as told:
            self.display = f":{told.readline().strip()}"
        self._environment = {**os.environ, "DISPLAY": self.display, "SDL_VIDEODRIVER": "x11"}

    def run(self, *command: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=pipe, stderr=pipe, text=True)
        self.running.append(process)
        return process

    def play(self, *arguments: str) -> subprocess.Popen[str]:
        """The window of play.py, as soon as it can be seen."""
        keys = ["--keys", str(self.out / "keys.toml"), "--out", str(self.out), "--size", "300"]
        process = self.run(sys.executable, "-W", "error", "-c", WALK, "--model", "toy", *keys, *arguments)
        until(lambda: self.window or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        until(lambda: self.seen().std() > 20)
        return process

    @property
    def window(self) -> str:
        """The number of play.py's window; "" while there is none."""
        return self.hands("search", "--onlyvisible", "--class", "bagel-world")

    def hands(self, *command: str) -> str:
        done = subprocess.run(["xdotool", *command], env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def seen(self) -> np.ndarray:
        return np.asarray(ImageGrab.grab(xdisplay=self.display))

    def journal(self) -> Path | None:
        return next(iter(sorted(self.out.glob("sessions/*.ndjson"))), None)

    def walked(self) -> list[str]:
        """The steps that are written down so far."""
        journal = self.journal()
        if journal is None or b"\n" not in journal.read_bytes():
            return []
        return [step.action.text for step in reopened(journal).plan.steps[1:] if step.action is not None]

    def close(self) -> None:
        for process in self.running:
            process.kill()  # all of them first: a child of xclip holds its pipes as long as there is an X server
        for process in self.running:
            process.communicate()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tmp_path)
    yield screen
    screen.close()


def test_a_walk_with_real_keys_is_saved_and_opens_again_after_the_window_was_killed(screen: Screen) -> None:
    process = screen.play("--scene", "studio")
    at_first = screen.seen()
    screen.hands("key", "Up")
    until(lambda: screen.walked() == ["move forward"])
    until(lambda: np.abs(screen.seen().astype(int) - at_first).mean() > 1)
    screen.hands("key", "slash")
    screen.hands("type", "--delay", "20", "open the gate")
    screen.hands("key", "Return")
    until(lambda: len(screen.walked()) == 2)
    screen.hands("key", "BackSpace")
    screen.hands("keydown", "Left", "sleep", "1", "keyup", "Left")
    until(lambda: len(screen.walked()) >= 4)
    assert screen.walked()[1:4] == ["open the gate", "turn left", "turn left"]
    screen.hands("key", "ctrl+s")
    until(lambda: list(screen.out.glob("studio*.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    journal = screen.journal()
    assert journal is not None
    before = reopened(journal)
    assert before.plan.steps[3].parent == 1  # the fork
    process = screen.play(str(journal))
    until(lambda: screen.hands("key", "ctrl+s") or len(list(screen.out.glob("studio*.json"))) == 2)
    again = load_session(max(screen.out.glob("studio*.json"), key=lambda path: path.stat().st_mtime))
    assert (again.plan.steps, again.plan.end, again.digests) == (before.plan.steps, before.plan.end, before.digests)
    screen.hands("key", "--delay", "100", "Escape", "Escape")
    told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert told.startswith("saved")  # pygame does not greet


def test_a_window_takes_any_size(screen: Screen) -> None:
    process = screen.play("--scene", "studio")
    screen.hands("windowsize", "--sync", screen.window, "640", "480")
    screen.hands("key", "Left")
    until(lambda: screen.walked() == ["turn left"])
    assert process.poll() is None


@pytest.mark.skipif(shutil.which("xclip") is None, reason="needs xclip: apt-get install xclip")
def test_a_picture_in_the_clipboard_is_pasted(screen: Screen) -> None:
    path = screen.out / "harbour.png"
    Image.fromarray(draw(Pose(), 0, 0, 96)).save(path)
    screen.run("xclip", "-selection", "clipboard", "-t", "image/png", "-i", str(path))
    screen.play("--scene", "studio")
    screen.hands("key", "ctrl+v")
    until(lambda: screen.hands("key", "Up") or list(screen.out.glob("sessions/pasted-*.ndjson")))
    assert list(screen.out.glob("pasted-*.png"))
